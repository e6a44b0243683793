#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
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

TEST(LogTest, AFileIsRotatedAtItsSize) {
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-log-XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  ASSERT_TRUE(log::ToFile((folder / "log").string(), Bytes::Kib(4), 3));
  for (int i = 0; i < 1000; ++i) {
    log::Warning("a line of a log that goes on for ever");
  }
  std::uintmax_t sum = 0;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    sum += entry.file_size();
    ++files;
  }
  EXPECT_EQ(files, 3U);
  EXPECT_LE(sum, 3U * 4096U);
  std::filesystem::remove_all(folder);
}

TEST(LogTest, AFileThatCannotBeIsAnError) {
  const auto status = log::ToFile("/proc/nowhere/log", Bytes::Kib(4), 1);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutputUnwritable);
}

}  // namespace
}  // namespace weir
