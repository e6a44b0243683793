#include "os/surroundings.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "os/file.h"
#include "os/test_support.h"

namespace weir::os {
namespace {

namespace fs = std::filesystem;

TEST(Surroundings, TheEnvironmentIsReadAndForgotten) {
  ::setenv("WEIR_TEST_SURROUNDINGS", "a=b", 1);
  EXPECT_EQ(Environment().at("WEIR_TEST_SURROUNDINGS"), "a=b");
  Forget("WEIR_TEST_SURROUNDINGS");
  EXPECT_FALSE(Environment().contains("WEIR_TEST_SURROUNDINGS"));
  EXPECT_EQ(ProcessId(), ::getpid());
}

TEST(Surroundings, RandomBytesAreAsManyAsAskedAndNeverTheSame) {
  const auto one = RandomBytes(32);
  const auto two = RandomBytes(32);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->size(), 32U);
  EXPECT_NE(*one, *two);
}

TEST(Surroundings, WhatIsNoAddressIsRefused) {
  EXPECT_EQ(SendDatagram("", "x").error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(SendDatagram("@", "x").error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(SendDatagram("relative", "x").error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(SendDatagram("/" + std::string(200, 'x'), "x").error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(SendDatagram("/nonexistent/socket", "x").error().code, ErrorCode::kSystem);
}

TEST(Surroundings, OnlyASocketThatListensIsAdopted) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_TRUE(socket);
  EXPECT_EQ(AdoptListener(socket.get()).error().code, ErrorCode::kBadParameters);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  const int number = socket.release();
  const auto adopted = AdoptListener(number);
  ASSERT_TRUE(adopted) << Describe(adopted.error());
  EXPECT_EQ(adopted->get(), number);
  EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(number, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(AdoptListener(9999).error().code, ErrorCode::kBadParameters);
}

TEST(Surroundings, AReplacedFileKeepsItsPermissionsAndItsLinks) {
  const TemporaryFolder folder;
  const std::string file = folder / "file";
  const std::string link = folder / "link";
  ASSERT_TRUE(ReplaceFile(file, "one", true));
  fs::create_symlink("file", link);
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  ASSERT_TRUE(ReplaceFile(link, "two", true));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(*ReadSmallFile(file), "two");
  EXPECT_EQ(fs::status(file).permissions(), fs::perms(0640));
  ASSERT_TRUE(ReplaceFile(folder / "secret", "x", false));
  EXPECT_EQ(fs::status(folder / "secret").permissions(), fs::perms(0600));
  EXPECT_EQ(ReplaceFile(folder / "missing/file", "x", true).error().code, ErrorCode::kOutputFolder);
}

}  // namespace
}  // namespace weir::os
