#include "base/log.h"

#include <gtest/gtest.h>

#include <string>

namespace weir {
namespace {

template <typename Function>
std::string Logged(Function function) {
  ::testing::internal::CaptureStderr();
  function();
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, WarningsAndErrorsAreShownByDefault) {
  EXPECT_EQ(Logged([] {
              log::Debug("d");
              log::Info("i");
              log::Warning("w {} %v");
              log::Error("e");
            }),
            "weir: warning: w {} %v\nweir: error: e\n");
}

TEST(LogTest, LevelCanBeChanged) {
  log::SetLevel(log::Level::kDebug);
  EXPECT_EQ(Logged([] { log::Debug("d"); }), "weir: debug: d\n");
  log::SetLevel(log::Level::kError);
  EXPECT_EQ(Logged([] { log::Warning("w"); }), "");
  log::SetLevel(log::Level::kWarning);
}

TEST(LogTest, ALineStaysALine) {
  EXPECT_EQ(Logged([] { log::Warning("a\nb\x1b[2J"); }), "weir: warning: a\\nb\\x1b[2J\n");
}

}  // namespace
}  // namespace weir
