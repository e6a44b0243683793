#include "os/log_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace weir::os {
namespace {

namespace fs = std::filesystem;

std::string Content(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class LogFileTest : public ::testing::Test {
 protected:
  LogFileTest() {
    std::string pattern = (fs::temp_directory_path() / "weir-log-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ / "log";
  }
  ~LogFileTest() override { fs::remove_all(folder_); }

  std::unique_ptr<LogFile> Open(std::uint64_t size, int files) {
    auto opened = LogFile::Open(path_.string(), Bytes(size), files);
    EXPECT_TRUE(opened) << opened.error().detail;
    return *std::move(opened);
  }
  fs::path Old(int number) const { return path_.string() + "." + std::to_string(number); }
  std::size_t Files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
  fs::path path_;
};

TEST_F(LogFileTest, NothingIsLostAtTheSeam) {
  const auto log = Open(100, 4);
  std::string all;
  for (int i = 0; i < 30; ++i) {
    const std::string line = "line " + std::to_string(100 + i) + "\n";  // nine bytes: eleven in a file
    ASSERT_TRUE(log->Write(line));
    all += line;
  }
  EXPECT_EQ(Files(), 3U);
  EXPECT_EQ(Content(Old(2)) + Content(Old(1)) + Content(path_), all);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(log->Write("line 999\n"));
  }
  EXPECT_EQ(Files(), 4U);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_LE(entry.file_size(), 100U) << entry.path();
  }
}

TEST_F(LogFileTest, GoesOnWhereItEndedAndRemovesWhatIsTooMany) {
  for (const int number : {0, 1, 2, 3, 57}) {
    std::ofstream(number == 0 ? path_ : Old(number)) << "of an earlier life\n";
  }
  const auto log = Open(1000, 2);
  EXPECT_EQ(Files(), 2U);
  ASSERT_TRUE(log->Write("more\n"));
  EXPECT_EQ(Content(path_), "of an earlier life\nmore\n");
}

TEST_F(LogFileTest, ASingleFileBeginsAnew) {
  const auto log = Open(10, 1);
  ASSERT_TRUE(log->Write("first\n"));
  ASSERT_TRUE(log->Write("second\n"));
  EXPECT_EQ(Content(path_), "second\n");
  EXPECT_EQ(Files(), 1U);
  ASSERT_TRUE(log->Write("a line longer than all of it\n"));
  EXPECT_EQ(Content(path_), "a line longer than all of it\n");
}

TEST_F(LogFileTest, MovedOrRemovedByOthers) {
  const auto log = Open(1000, 3);
  ASSERT_TRUE(log->Write("one\n"));
  fs::rename(path_, folder_ / "elsewhere");
  ASSERT_TRUE(log->Write("two\n"));
  fs::remove(path_);
  ASSERT_TRUE(log->Write("three\n"));
  EXPECT_EQ(Content(folder_ / "elsewhere"), "one\n");
  EXPECT_EQ(Content(path_), "three\n");
  const fs::path aside = folder_.string() + "-aside";
  fs::rename(folder_, aside);
  EXPECT_EQ(log->Write("nowhere\n").error().code, ErrorCode::kOutputUnwritable);
  fs::rename(aside, folder_);
  ASSERT_TRUE(log->Write("four\n"));
  EXPECT_EQ(Content(path_), "three\nfour\n");
}

TEST_F(LogFileTest, OlderFilesThatCannotMoveDoNotMakeItGrow) {
  fs::create_directory(Old(1));
  std::ofstream(Old(1) / "full") << "x";
  const auto log = Open(10, 2);
  ASSERT_TRUE(log->Write("first\n"));
  ASSERT_TRUE(log->Write("second\n"));
  EXPECT_EQ(Content(path_), "second\n");
}

TEST_F(LogFileTest, HalfALineIsTakenBack) {
  // A limit of the size of files stands for a full disk.
  const auto log = Open(1000, 2);
  ASSERT_TRUE(log->Write("whole\n"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{.rlim_cur = 10, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto status = log->Write("does not fit\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(status);
  EXPECT_EQ(Content(path_), "whole\n");
  ASSERT_TRUE(log->Write("next\n"));
  EXPECT_EQ(Content(path_), "whole\nnext\n");
}

TEST_F(LogFileTest, WhatIsNoFileIsRefused) {
  EXPECT_EQ(LogFile::Open("/proc/nowhere/log", Bytes::Kib(4), 1).error().code, ErrorCode::kOutputUnwritable);
  EXPECT_EQ(LogFile::Open("/dev/null", Bytes::Kib(4), 1).error().code, ErrorCode::kOutputUnwritable);
  EXPECT_EQ(LogFile::Open(folder_.string(), Bytes::Kib(4), 1).error().code, ErrorCode::kOutputUnwritable);
}

}  // namespace
}  // namespace weir::os
