#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <regex>
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

TEST(LogTest, JsonIsOneObjectALine) {
  log::SetFormat(log::Format::kJson);
  const std::string line = Logged([] { log::Warning("job \"a\\b\"\nend"); });
  log::SetFormat(log::Format::kText);
  EXPECT_NE(line.find(R"("level":"warning","message":"job \"a\\b\"\\nend"})"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(LogTest, AJobIsNamed) {
  EXPECT_EQ(Logged([] { log::Warning("it runs", "abc"); }), "weir: warning: job abc: it runs\n");
  log::SetFormat(log::Format::kJson);
  const std::string line = Logged([] { log::Warning("it runs", "a\"b"); });
  log::SetFormat(log::Format::kText);
  EXPECT_NE(line.find(R"("level":"warning","job":"a\"b","message":"it runs"})"), std::string::npos) << line;
}

TEST(LogTest, LinesThatCannotBeWrittenAreCounted) {
  // The last test of this process that looks at standard error.
  struct Place {
    bool full = false;
    std::string text;
  };
  const auto place = std::make_shared<Place>();
  log::To([place](std::string_view line) -> Status {
    if (place->full) {
      return Fail(ErrorCode::kDiskFull, "no room");
    }
    place->text += line;
    return {};
  });
  log::Warning("first");
  EXPECT_TRUE(std::regex_match(place->text, std::regex("....-..-..T..:..:..\\....Z weir: warning: first\n")))
      << place->text;
  place->full = true;
  const std::string told = Logged([] {
    for (int i = 0; i < 3; ++i) {
      log::Warning("lost");
    }
  });
  EXPECT_EQ(told, "weir: error: no room; lines are lost until it can be\n");
  place->full = false;
  place->text.clear();
  log::Warning("back");
  log::Warning("again");
  EXPECT_TRUE(std::regex_match(place->text, std::regex("[^\n]* error: 3 lines could not be written here\n"
                                                       "[^\n]* warning: back\n[^\n]* warning: again\n")))
      << place->text;
  log::SetFormat(log::Format::kJson);
  place->text.clear();
  log::Warning("x");
  log::SetFormat(log::Format::kText);
  EXPECT_TRUE(place->text.starts_with(R"({"time":")")) << place->text;
}

}  // namespace
}  // namespace weir
