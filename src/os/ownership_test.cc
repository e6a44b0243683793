#include "os/ownership.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace weir::os {
namespace {

namespace fs = std::filesystem;

class OwnershipTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "weir-ownership-XXXXXX";
    root_ = mkdtemp(pattern.data());
    folder_ = OpenFolder(root_, Access::kWrite).value();
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
  UniqueFd folder_;
};

TEST_F(OwnershipTest, ALockedFileIsWholePrivateAndLockedUntilClosed) {
  auto made = CreateLockedFile(folder_.get(), "record", "content", Locking::kRequired);
  ASSERT_TRUE(made) << Describe(made.error());
  EXPECT_EQ(ReadSmallFileAt(folder_.get(), "record").value(), "content");
  EXPECT_EQ(static_cast<unsigned>(fs::status(root_ / "record").permissions()), 0600U);
  EXPECT_FALSE(EntryExists(folder_.get(), UnfinishedName("record")));
  const UniqueFd other = OpenAt(folder_.get(), "record", O_RDWR).value();
  EXPECT_FALSE(TryLock(other.get()).value());
  made->Close();
  EXPECT_TRUE(TryLock(other.get()).value());
}

TEST_F(OwnershipTest, AnUnfinishedFileOfAnotherIsNotTaken) {
  std::ofstream(root_ / UnfinishedName("record")) << "theirs";
  EXPECT_FALSE(CreateLockedFile(folder_.get(), "record", "content", Locking::kRequired));
  EXPECT_EQ(ReadSmallFileAt(folder_.get(), UnfinishedName("record")).value(), "theirs");
  EXPECT_FALSE(EntryExists(folder_.get(), "record"));
}

TEST_F(OwnershipTest, AFailureLeavesNoUnfinishedFile) {
  fs::create_directory(root_ / "record");
  EXPECT_FALSE(CreateLockedFile(folder_.get(), "record", "content", Locking::kRequired));
  EXPECT_FALSE(EntryExists(folder_.get(), UnfinishedName("record")));
}

// A file system of 64 KiB, filled up. Needs the right to mount.
TEST_F(OwnershipTest, AFullDiskIsCalledThatAndNothingIsLeft) {
  fs::create_directory(root_ / "disk");
  if (mount("none", (root_ / "disk").c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no right to mount a small file system";
  }
  {
    const UniqueFd disk = OpenFolder(root_ / "disk", Access::kWrite).value();
    std::ofstream(root_ / "disk" / "ballast") << std::string(1 << 20, 'x');
    const auto made = CreateLockedFile(disk.get(), "record", "content", Locking::kRequired);
    EXPECT_FALSE(made);
    EXPECT_TRUE(made || made.error().code == ErrorCode::kDiskFull);
    EXPECT_EQ(ListFolder(disk.get()).value(), std::vector<std::string>{"ballast"});
  }
  EXPECT_EQ(umount((root_ / "disk").c_str()), 0);
}

TEST_F(OwnershipTest, KnowsWhetherANameStillMeansTheFile) {
  std::ofstream(root_ / "a") << "a";
  const UniqueFd a = OpenAt(folder_.get(), "a", O_RDONLY).value();
  EXPECT_TRUE(IsStill(folder_.get(), "a", a.get()));
  fs::rename(root_ / "a", root_ / "b");
  EXPECT_FALSE(IsStill(folder_.get(), "a", a.get()));
  std::ofstream(root_ / "a") << "another";
  EXPECT_FALSE(IsStill(folder_.get(), "a", a.get()));
  fs::remove(root_ / "a");
  fs::create_symlink("b", root_ / "a");
  EXPECT_FALSE(IsStill(folder_.get(), "a", a.get()));
  EXPECT_TRUE(IsStill(folder_.get(), "b", a.get()));
}

TEST_F(OwnershipTest, AgeCountsFromTheLastChangeAndIsNeverNegative) {
  std::ofstream(root_ / "a") << "a";
  const UniqueFd a = OpenAt(folder_.get(), "a", O_RDONLY).value();
  fs::last_write_time(root_ / "a", fs::file_time_type::clock::now() - std::chrono::hours(5));
  EXPECT_NEAR(static_cast<double>(AgeOf(a.get()).count()), 5 * 3600.0, 5);
  fs::last_write_time(root_ / "a", fs::file_time_type::clock::now() + std::chrono::hours(5));
  EXPECT_EQ(AgeOf(a.get()).count(), 0);
}

TEST_F(OwnershipTest, AVersionIsSettledTwoSecondsAfterTheLastChange) {
  std::ofstream(root_ / "a") << "a";
  const UniqueFd a = OpenAt(folder_.get(), "a", O_RDONLY).value();
  EXPECT_FALSE(SettledVersionOf(a.get()));
  // A date that was set back says nothing: the kernel's own does.
  fs::last_write_time(root_ / "a", fs::file_time_type::clock::now() - std::chrono::hours(5));
  EXPECT_FALSE(SettledVersionOf(a.get()));
  EXPECT_FALSE(SettledVersionOf(-1));
  const UniqueFd old(::open("/bin/sh", O_RDONLY | O_CLOEXEC));
  const auto version = SettledVersionOf(old.get());
  ASSERT_TRUE(version);
  EXPECT_EQ(version, SettledVersionOf(old.get()));
  EXPECT_EQ(version->size, SizeOf(old.get()));
}

TEST_F(OwnershipTest, RemovesOnlyEmptyFolders) {
  fs::create_directories(root_ / "full" / "inside");
  EXPECT_FALSE(RemoveEmptyFolder(folder_.get(), "full"));
  EXPECT_TRUE(fs::exists(root_ / "full" / "inside"));
  fs::remove(root_ / "full" / "inside");
  EXPECT_TRUE(RemoveEmptyFolder(folder_.get(), "full"));
  EXPECT_FALSE(fs::exists(root_ / "full"));
  EXPECT_TRUE(RemoveEmptyFolder(folder_.get(), "full"));
}

TEST_F(OwnershipTest, ADuplicateIsTheSameFolderAndIsNotInherited) {
  const UniqueFd copy = Duplicate(folder_.get()).value();
  EXPECT_NE(copy.get(), folder_.get());
  EXPECT_EQ(IdentityOf(copy.get()), IdentityOf(folder_.get()));
  EXPECT_NE(fcntl(copy.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(Duplicate(-1));
}

}  // namespace
}  // namespace weir::os
