#include "os/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <sstream>
#include <string>

#include "base/id.h"
#include "os/cgroup_control.h"
#include "os/cgroup_paths.h"
#include "os/test_support.h"

namespace weir::os {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Groups(const std::string& root) {
  std::string found;
  std::error_code ignored;
  for (auto entry = std::filesystem::recursive_directory_iterator(
           root, std::filesystem::directory_options::skip_permission_denied, ignored);
       entry != std::filesystem::recursive_directory_iterator(); entry.increment(ignored)) {
    if (entry->path().filename().string().starts_with("weir-")) found += entry->path().string() + "\n";
  }
  return found;
}

// A fake /sys/fs/cgroup and /proc/self/cgroup.
class FakeTree : public testing::Test {
 protected:
  void SetUp() override { ::unsetenv("WEIR_TEST_MEMORY_BACKEND"); }
  void TearDown() override { ::unsetenv("WEIR_TEST_MEMORY_BACKEND"); }

  void Write(const std::string& file, const std::string& text) { WriteText(folder_ / file, text); }
  CgroupRoot Detect() { return CgroupRoot::Detect(folder_ / "fs", folder_ / "self"); }

  void MakeV2(const std::string& at, const std::string& own, const std::string& controllers) {
    Write(at + "/cgroup.controllers", controllers);
    Write(at + "/cgroup.subtree_control", controllers);
    Write(at + "/cgroup.procs", "");
    if (own.empty()) return;
    Write(at + own + "/cgroup.controllers", controllers);
    Write(at + own + "/cgroup.subtree_control", "");
    Write(at + own + "/cgroup.procs", "");
  }
  void MakeV1(const std::string& own) {
    Write("fs/memory/cgroup.procs", "");
    Write("fs/memory" + own + "/cgroup.procs", "");
  }

  TemporaryFolder folder_;
};

TEST_F(FakeTree, NothingThereLeavesOnlyTheRlimit) {
  const CgroupRoot root = Detect();
  EXPECT_EQ(root.backend(), MemoryBackend::kRlimit);
  EXPECT_FALSE(root.can_kill());
  EXPECT_THAT(root.reason(), HasSubstr("cgroup v1"));
  EXPECT_EQ(root.FreeInOwnCgroup(), std::nullopt);
  const auto group = root.Create(NewId(), Bytes::Mib(1));
  ASSERT_TRUE(group);
  EXPECT_EQ(*group, nullptr);
  root.RemoveAbandoned();
}

TEST_F(FakeTree, V2IsPreferredAndItsGroupsAreLimited) {
  Write("self", "0::/user/me\n");
  MakeV2("fs", "/user/me", "cpu memory pids");
  const CgroupRoot root = Detect();
  EXPECT_EQ(root.backend(), MemoryBackend::kCgroupV2);
  EXPECT_STREQ(NameOf(root.backend()), "cgroup-v2");
  EXPECT_TRUE(root.can_kill());
  EXPECT_THAT(root.reason(), IsEmpty());
  EXPECT_EQ(ReadText(folder_ / "fs/user/me/cgroup.subtree_control"), "+memory");
  const std::string id = NewId();
  const std::string group = folder_ / ("fs/user/me/weir-" + id);
  {
    const auto made = root.Create(id, Bytes::Mib(64));
    ASSERT_TRUE(made) << Describe(made.error());
    EXPECT_EQ(ReadText(group + "/memory.max"), "67108864");
    EXPECT_EQ(ReadText(group + "/memory.swap.max"), "0");
    EXPECT_EQ(ReadText(group + "/memory.oom.group"), "1");
    EXPECT_GE((*made)->clone_into_fd(), 0);
    EXPECT_EQ((*made)->join_fd(), -1);
    EXPECT_EQ((*made)->Peak(), std::nullopt);
    EXPECT_EQ((*made)->OomKills(), 0U);
    EXPECT_TRUE((*made)->SetLimit(Bytes::Mib(32)));
    EXPECT_EQ(ReadText(group + "/memory.max"), "33554432");
    WriteText(group + "/memory.peak", "12345\n");
    WriteText(group + "/memory.events", "low 0\noom 9\noom_kill 3\noom_group_kill 1\n");
    WriteText(group + "/cgroup.procs", "0\n");
    EXPECT_EQ((*made)->Peak(), Bytes(12345));
    EXPECT_EQ((*made)->OomKills(), 3U);
    EXPECT_TRUE((*made)->ReachedLimit());
    WriteText(group + "/memory.events.local", "low 0\nmax 7\noom 0\noom_kill 3\n");
    EXPECT_FALSE((*made)->ReachedLimit()) << "the limit of a group around it, or the machine";
    WriteText(group + "/memory.events.local", "low 0\nmax 7\noom 1\noom_kill 3\n");
    EXPECT_TRUE((*made)->ReachedLimit());
    std::filesystem::remove(group + "/memory.events.local");
    WriteText(group + "/memory.events", "low 0\nmax 0\noom_kill 3\n");
    EXPECT_FALSE((*made)->ReachedLimit());
    std::filesystem::remove(group + "/memory.events");
    EXPECT_TRUE((*made)->ReachedLimit()) << "nobody tells otherwise";
    EXPECT_EQ((*made)->Members(), 0U);
    WriteText(group + "/cgroup.kill", "");
    (*made)->KillAll();
    EXPECT_EQ(ReadText(group + "/cgroup.kill"), "1");
    EXPECT_FALSE(root.Create(id, Bytes::Mib(64))) << "the same id twice";
  }
}

TEST_F(FakeTree, V2OfAContainerWhoseOwnPathIsNotMounted) {
  for (const char* self : {"0::/docker/abc\n", "0::/../../elsewhere\n", "0::/\n", ""}) {
    Write("self", self);
    MakeV2("fs", "", "memory");
    const CgroupRoot root = Detect();
    EXPECT_EQ(root.backend(), MemoryBackend::kCgroupV2) << self;
    const std::string id = NewId();
    const auto made = root.Create(id, Bytes::Mib(64));
    EXPECT_TRUE(PathExists(folder_ / ("fs/weir-" + id))) << self;
  }
}

TEST_F(FakeTree, V2ThatCannotBeDividedUsesTheGroupAboveOnlyWhenItIsDividedAlready) {
  Write("self", "0::/user/me\n");
  MakeV2("fs", "/user/me", "memory");
  // A folder in its place cannot be written, as a busy subtree_control cannot.
  std::filesystem::remove(folder_ / "fs/user/me/cgroup.subtree_control");
  std::filesystem::create_directory(folder_ / "fs/user/me/cgroup.subtree_control");
  Write("fs/user/cgroup.subtree_control", "cpu\n");
  const CgroupRoot refused = Detect();
  EXPECT_EQ(refused.backend(), MemoryBackend::kRlimit);
  EXPECT_TRUE(refused.can_kill());
  EXPECT_THAT(refused.reason(), HasSubstr("cannot be divided"));
  EXPECT_EQ(ReadText(folder_ / "fs/user/cgroup.subtree_control"), "cpu\n") << "a foreign group was changed";

  Write("fs/user/cgroup.subtree_control", "cpu memory\n");
  const CgroupRoot above = Detect();
  EXPECT_EQ(above.backend(), MemoryBackend::kCgroupV2);
  const std::string id = NewId();
  const auto made = above.Create(id, Bytes::Mib(64));
  EXPECT_TRUE(PathExists(folder_ / ("fs/user/weir-" + id)));
}

TEST_F(FakeTree, HybridTakesMemoryFromV1AndKillingFromV2) {
  Write("self", "4:memory:/me\n1:cpu:/\n0::/mine\n");
  MakeV1("/me");
  MakeV2("fs/unified", "/mine", "hugetlb");
  const CgroupRoot root = Detect();
  EXPECT_EQ(root.backend(), MemoryBackend::kCgroupV1);
  EXPECT_TRUE(root.can_kill());
  EXPECT_THAT(root.reason(), HasSubstr("no memory controller"));
  const std::string id = NewId();
  const auto made = root.Create(id, Bytes::Mib(64));
  ASSERT_TRUE(made) << Describe(made.error());
  const std::string group = folder_ / ("fs/memory/me/weir-" + id);
  EXPECT_EQ(ReadText(group + "/memory.limit_in_bytes"), "67108864");
  EXPECT_EQ(ReadText(group + "/memory.memsw.limit_in_bytes"), "67108864");
  EXPECT_EQ(ReadText(group + "/memory.swappiness"), "0");
  EXPECT_GE((*made)->join_fd(), 0);
  EXPECT_GE((*made)->clone_into_fd(), 0);
  EXPECT_TRUE(PathExists(folder_ / ("fs/unified/mine/weir-" + id)));
  WriteText(group + "/memory.max_usage_in_bytes", "777\n");
  WriteText(group + "/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  EXPECT_EQ((*made)->Peak(), Bytes(777));
  EXPECT_EQ((*made)->OomKills(), 2U);
  EXPECT_FALSE((*made)->ReachedLimit());
  WriteText(group + "/memory.max_usage_in_bytes", "67000000\n");
  EXPECT_TRUE((*made)->ReachedLimit());
  for (const std::uint64_t limit : {32U, 128U}) {
    EXPECT_TRUE((*made)->SetLimit(Bytes::Mib(limit)));
    EXPECT_EQ(ReadText(group + "/memory.limit_in_bytes"), std::to_string(limit << 20U));
    EXPECT_EQ(ReadText(group + "/memory.memsw.limit_in_bytes"), std::to_string(limit << 20U));
  }
}

TEST_F(FakeTree, TheEnvironmentNarrowsTheChoice) {
  Write("self", "4:memory:/me\n0::/mine\n");
  MakeV1("/me");
  MakeV2("fs/unified", "/mine", "memory");
  ::setenv("WEIR_TEST_MEMORY_BACKEND", "v1", 1);
  EXPECT_EQ(Detect().backend(), MemoryBackend::kCgroupV1);
  ::setenv("WEIR_TEST_MEMORY_BACKEND", "v2", 1);
  EXPECT_EQ(Detect().backend(), MemoryBackend::kCgroupV2);
  ::setenv("WEIR_TEST_MEMORY_BACKEND", "rlimit", 1);
  const CgroupRoot root = Detect();
  EXPECT_EQ(root.backend(), MemoryBackend::kRlimit);
  EXPECT_STREQ(NameOf(root.backend()), "rlimit-data");
  EXPECT_TRUE(root.can_kill());
  EXPECT_THAT(root.reason(), HasSubstr("WEIR_TEST_MEMORY_BACKEND"));
  const auto made = root.Create(NewId(), Bytes::Mib(64));
  ASSERT_TRUE(made);
  ASSERT_NE(*made, nullptr);
  EXPECT_GE((*made)->clone_into_fd(), 0);
  EXPECT_EQ((*made)->join_fd(), -1);
  EXPECT_EQ((*made)->Peak(), std::nullopt);
}

TEST_F(FakeTree, FreeMemoryIsTheLeastOfAllGroupsAroundUs) {
  Write("self", "4:memory:/a/b\n");
  MakeV1("/a/b");
  const auto group = [&](const std::string& at, std::uint64_t limit, std::uint64_t usage, std::uint64_t cache) {
    Write("fs/memory" + at + "/cgroup.procs", "");
    Write("fs/memory" + at + "/memory.limit_in_bytes", std::to_string(limit));
    Write("fs/memory" + at + "/memory.usage_in_bytes", std::to_string(usage));
    Write("fs/memory" + at + "/memory.stat",
          "inactive_file 1\nhierarchical_memory_limit 5\ntotal_inactive_file " + std::to_string(cache) + "\n");
  };
  group("", 9223372036854771712ULL, 5, 0);
  EXPECT_EQ(Detect().FreeInOwnCgroup(), std::nullopt);
  group("/a", 1000, 700, 150);
  EXPECT_EQ(Detect().FreeInOwnCgroup(), Bytes(450));
  group("/a/b", 800, 900, 0);
  EXPECT_EQ(Detect().FreeInOwnCgroup(), Bytes(0));
  group("/a/b", 800, 100, 500);
  EXPECT_EQ(Detect().FreeInOwnCgroup(), Bytes(450));
}

TEST_F(FakeTree, FreeMemoryOfV2) {
  Write("self", "0::/a\n");
  MakeV2("fs", "/a", "memory");
  Write("fs/a/memory.max", "max\n");
  Write("fs/a/memory.current", "10\n");
  EXPECT_EQ(Detect().FreeInOwnCgroup(), std::nullopt);
  Write("fs/a/memory.max", "1000\n");
  Write("fs/a/memory.current", "600\n");
  Write("fs/a/memory.stat", "anon 5\ninactive_file 100\nactive_file 50\n");
  EXPECT_EQ(Detect().FreeInOwnCgroup(), Bytes(500));
}

TEST_F(FakeTree, AnAbandonedGroupIsFoundWhereverItsMakerLived) {
  Write("self", "4:memory:/me\n0::/\n");
  MakeV1("/me");
  MakeV2("fs/unified", "", "");
  const std::string id = NewId();
  for (const std::string& name : {"fs/memory/elsewhere/deep/weir-" + id, "fs/unified/weir-" + id}) {
    std::filesystem::create_directories(folder_ / name);
  }
  const CgroupRoot root = Detect();
  root.RemoveAbandoned();
  EXPECT_TRUE(PathExists(folder_ / "fs/memory/elsewhere/deep"));
  EXPECT_FALSE(PathExists(folder_ / ("fs/memory/elsewhere/deep/weir-" + id)));
  EXPECT_FALSE(PathExists(folder_ / ("fs/unified/weir-" + id)));
}

TEST_F(FakeTree, OnlyGroupsWhoseMakerIsGoneAreSwept) {
  Write("self", "4:memory:/me\n");
  MakeV1("/me");
  const CgroupRoot root = Detect();
  const std::string living = NewId();
  const std::string dead = NewId();
  const auto made = root.Create(living, Bytes::Mib(64));
  ASSERT_TRUE(made);
  std::filesystem::create_directory(folder_ / ("fs/memory/me/weir-" + dead));
  std::filesystem::create_directory(folder_ / "fs/memory/me/weir-notours");
  root.RemoveAbandoned();
  EXPECT_TRUE(PathExists(folder_ / ("fs/memory/me/weir-" + living)));
  EXPECT_TRUE(PathExists(folder_ / "fs/memory/me/weir-notours"));
  EXPECT_FALSE(PathExists(folder_ / ("fs/memory/me/weir-" + dead)));
}

TEST_F(FakeTree, OneGroupAroundEverything) {
  Write("self", "4:memory:/me\n");
  MakeV1("/me");
  std::string tree;
  {
    CgroupRoot root = Detect();
    EXPECT_EQ(root.enclosure(), Enclosure::kNone);
    EXPECT_EQ(root.tree(), std::nullopt);
    ASSERT_TRUE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
    EXPECT_EQ(root.enclosure(), Enclosure::kTree);
    EXPECT_STREQ(NameOf(root.enclosure()), "tree");
    tree = root.tree_folder();
    EXPECT_THAT(tree, HasSubstr("/fs/memory/me/weir-"));
    EXPECT_EQ(ReadText(tree + "/memory.limit_in_bytes"), "104857600");
    EXPECT_EQ(ReadText(tree + "/memory.memsw.limit_in_bytes"), "104857600");
    EXPECT_EQ(ReadText(tree + "/memory.swappiness"), "0");
    EXPECT_EQ(ReadText(tree + "/cgroup.procs"), "0");
    const std::string id = NewId();
    const auto group = root.Create(id, Bytes::Mib(20));
    ASSERT_TRUE(group);
    EXPECT_TRUE(PathExists(tree + "/weir-" + id));
    ASSERT_TRUE(root.SetBudget(Bytes::Mib(200)));
    EXPECT_EQ(ReadText(tree + "/memory.limit_in_bytes"), "209715200");
  }
  EXPECT_EQ(ReadText(folder_ / "fs/memory/me/cgroup.procs"), "0") << "back where it was";
}

TEST_F(FakeTree, WhatLiesOnTmpfsIsAddedToTheLimit) {
  Write("self", "4:memory:/me\n");
  MakeV1("/me");
  CgroupRoot root = Detect();
  ASSERT_TRUE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
  const auto on_tmpfs = [&](Bytes bytes) {
    WriteText(root.tree_folder() + "/memory.usage_in_bytes", std::to_string(bytes.count()));
    WriteText(root.tree_folder() + "/memory.stat", "total_shmem " + std::to_string(bytes.count()) + "\n");
    EXPECT_TRUE(root.Create(NewId(), Bytes::Mib(20)));
    return ReadNumber(root.tree_folder() + "/memory.limit_in_bytes").value_or(0) >> 20U;
  };
  EXPECT_EQ(on_tmpfs(Bytes::Mib(60)), 160U);
  EXPECT_EQ(on_tmpfs(Bytes::Mib(70)), 170U);
  EXPECT_EQ(on_tmpfs(Bytes()), 100U);
  EXPECT_EQ(ReadNumber(root.tree_folder() + "/memory.memsw.limit_in_bytes"), Bytes::Mib(100).count());
}

TEST_F(FakeTree, WhatAChildMayWriteToTmpfsIsAddedToItsLimitAndToThatOfAll) {
  Write("self", "4:memory:/me\n");
  MakeV1("/me");
  CgroupRoot root = Detect();
  ASSERT_TRUE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
  const auto limit_of = [&](const std::string& group) {
    return ReadNumber(group + "/memory.limit_in_bytes").value_or(0) >> 20U;
  };
  const std::string tree = root.tree_folder();
  {
    const std::string id = NewId();
    const auto writer = root.Create(id, Bytes::Mib(20), Bytes::Mib(50));
    ASSERT_TRUE(writer);
    EXPECT_EQ(limit_of(tree + "/weir-" + id), 70U);
    EXPECT_EQ(limit_of(tree), 150U);
    ASSERT_TRUE((*writer)->SetLimit(Bytes::Mib(15)));
    EXPECT_EQ(limit_of(tree + "/weir-" + id), 65U);
    EXPECT_TRUE(root.Create(NewId(), Bytes::Mib(20)));
    EXPECT_EQ(limit_of(tree), 150U) << "beside others as well";
  }
  EXPECT_TRUE(root.Create(NewId(), Bytes::Mib(20)));
  EXPECT_EQ(limit_of(tree), 100U);
}

TEST_F(FakeTree, AGroupThatIsNotOursAloneKeepsUsInAndOnlyTheChildrenAreEnclosed) {
  Write("self", "0::/user/me\n");
  MakeV2("fs", "/user/me", "memory");
  Write("fs/user/cgroup.controllers", "memory");
  Write("fs/user/cgroup.subtree_control", "memory");
  Write("fs/user/cgroup.procs", "");
  Write("fs/user/me/cgroup.procs", "1\n2\n");
  std::filesystem::remove(folder_ / "fs/user/me/cgroup.subtree_control");
  std::filesystem::create_directory(folder_ / "fs/user/me/cgroup.subtree_control");  // cannot be written
  CgroupRoot root = Detect();
  ASSERT_EQ(root.backend(), MemoryBackend::kCgroupV2) << root.reason();
  ASSERT_TRUE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
  EXPECT_EQ(root.enclosure(), Enclosure::kChildren);
  EXPECT_EQ(ReadText(root.tree_folder() + "/memory.max"), std::to_string(90 << 20));
  EXPECT_EQ(ReadText(root.tree_folder() + "/memory.swap.max"), "0");
  EXPECT_EQ(ReadText(root.tree_folder() + "/cgroup.subtree_control"), "+memory");
  EXPECT_FALSE(PathExists(root.tree_folder() + "/cgroup.procs"));
}

TEST_F(FakeTree, WithoutMemoryGroupsThereIsNothingToEnclose) {
  CgroupRoot root = Detect();
  EXPECT_FALSE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
  EXPECT_EQ(root.enclosure(), Enclosure::kNone);
  EXPECT_TRUE(root.SetBudget(Bytes::Mib(50)));
  EXPECT_EQ(root.LimitAround(), std::nullopt);
}

TEST_F(FakeTree, TheLeastLimitAroundUs) {
  Write("self", "4:memory:/a/b\n");
  MakeV1("/a/b");
  Write("fs/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Detect().LimitAround(), std::nullopt);
  Write("fs/memory/a/memory.limit_in_bytes", "1000\n");
  Write("fs/memory/a/b/memory.limit_in_bytes", "2000\n");
  EXPECT_EQ(Detect().LimitAround(), Bytes(1000));
}

TEST_F(FakeTree, CpuQuotaOfBothVersions) {
  const std::string mount = folder_ / "fs";
  const std::string self = folder_ / "self";
  EXPECT_EQ(CpuQuota(mount, self), std::nullopt);
  Write("self", "2:cpu,cpuacct:/a\n0::/b\n");
  Write("fs/cpu/cgroup.procs", "");
  Write("fs/cpu/a/cgroup.procs", "");
  Write("fs/cpu/cpu.cfs_quota_us", "-1\n");
  Write("fs/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CpuQuota(mount, self), std::nullopt);
  Write("fs/cpu/a/cpu.cfs_quota_us", "150000\n");
  Write("fs/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CpuQuota(mount, self), 1.5);
  MakeV2("fs/unified", "/b", "cpu");
  Write("fs/unified/b/cpu.max", "max 100000\n");
  EXPECT_EQ(CpuQuota(mount, self), 1.5);
  Write("fs/unified/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(CpuQuota(mount, self), 0.5);
}

// The machine that runs the tests, whatever it offers.
class RealGroup : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("WEIR_TEST_MEMORY_BACKEND");
    root_ = CgroupRoot::Detect();
  }
  void TearDown() override { EXPECT_THAT(Groups("/sys/fs/cgroup"), Not(HasSubstr(id_))); }

  std::unique_ptr<MemoryGroup> Make(Bytes limit) {
    auto group = root_.Create(id_, limit);
    EXPECT_TRUE(group) << Describe(group.error());
    return group ? *std::move(group) : nullptr;
  }
  static void Put(Runner& runner, const MemoryGroup& group) {
    runner.spec.clone_into_cgroup = group.clone_into_fd();
    runner.spec.join_cgroup = group.join_fd();
  }

  std::string id_ = NewId();
  CgroupRoot root_;
};

TEST_F(RealGroup, DetectionLeavesNothingBehindAndSaysWhy) {
  EXPECT_EQ(root_.reason().empty(), root_.backend() == MemoryBackend::kCgroupV2) << root_.reason();
  // A killed life of somebody else may have left groups here before.
  const std::string before = Groups("/sys/fs/cgroup");
  (void)CgroupRoot::Detect();
  // Others may be at work here at the same time: theirs are locked.
  const auto left = [&before] {
    std::string unlocked;
    std::istringstream groups(Groups("/sys/fs/cgroup"));
    for (std::string group; std::getline(groups, group);) {
      if (before.contains(group)) continue;
      const auto folder = OpenFolder(group, Access::kRead);
      if (folder && TryLock(folder->get()).value_or(false)) unlocked += group + "\n";
    }
    return unlocked;
  };
  EXPECT_TRUE(Eventually([&] { return left().empty(); })) << left() << "were not there before:\n" << before;
}

// As a service is.
TEST_F(RealGroup, WhoIsAloneInItsGroupMakesRoomForOthers) {
  const std::string mount = "/sys/fs/cgroup";
  if (!HasWord(mount + "/cgroup.subtree_control", "memory")) GTEST_SKIP() << "no cgroup v2 with memory here";
  const std::string own = mount + "/test-" + id_;
  ASSERT_TRUE(std::filesystem::create_directory(own));
  const pid_t service = ::fork();
  if (service == 0) {
    std::ofstream(own + "/cgroup.procs") << "0" << std::flush;
    {
      const CgroupRoot root = CgroupRoot::Detect();
      if (root.backend() != MemoryBackend::kCgroupV2) ::_exit(1);
      // Where it is now is nothing to sweep, and a second look finds the same.
      CgroupRoot::Detect().RemoveAbandoned();
      if (CgroupRoot::Detect().backend() != MemoryBackend::kCgroupV2) ::_exit(2);
      {
        const auto group = root.Create(NewId(), Bytes::Mib(48));
        if (!group) ::_exit(3);
        Runner runner;
        runner.Python("x = bytearray(b'1') * (200 << 20); print('survived')");
        Put(runner, **group);
        const auto finished = runner.Run();
        if (!finished || finished->report.code != SIGKILL || (*group)->OomKills() == 0) ::_exit(4);
      }
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(service, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(Groups(own), IsEmpty());
  EXPECT_TRUE(std::filesystem::remove(own));
}

// In a process of its own, which this one is not moved along with. 0, or the line that failed.
class RealTree : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("WEIR_TEST_MEMORY_BACKEND");
    const CgroupRoot root = CgroupRoot::Detect();
    if (root.backend() == MemoryBackend::kRlimit) GTEST_SKIP() << "no memory groups here: " << root.reason();
  }
  void TearDown() override {
    for (const std::string& file : files_) std::filesystem::remove(file);
  }

  // `life` returns 0, or what it failed at. The group that it was in is gone afterwards.
  int Live(const std::function<int(CgroupRoot&)>& life, bool may_be_left = false) {
    const Pipe pipe = std::move(MakePipe().value());
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      int failed = 0;
      {
        CgroupRoot root = CgroupRoot::Detect();
        const auto enclosed = root.Enclose(Bytes::Mib(120), Bytes::Mib(10));
        const std::string folder = enclosed ? root.tree_folder() : Describe(enclosed.error());
        (void)!::write(pipe.write_end.get(), folder.data(), folder.size());
        failed = enclosed ? life(root) : -1;
      }
      ::_exit(failed);
    }
    int status = 0;
    ::waitpid(daemon, &status, 0);
    char folder[4096] = {};
    EXPECT_GT(::read(pipe.read_end.get(), folder, sizeof folder - 1), 0);
    tree_ = folder;
    EXPECT_THAT(tree_, HasSubstr("/weir-"));
    if (!may_be_left) {
      EXPECT_FALSE(PathExists(tree_)) << tree_;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  static std::unique_ptr<MemoryGroup> Put(CgroupRoot& root, Runner& runner, Bytes limit, Bytes files = {}) {
    auto group = root.Create(NewId(), limit, files);
    if (!group) return nullptr;
    runner.spec.clone_into_cgroup = (*group)->clone_into_fd();
    runner.spec.join_cgroup = (*group)->join_fd();
    return *std::move(group);
  }
  // Takes as much and ends. Whether it lived to tell.
  static bool Takes(CgroupRoot& root, unsigned mib) {
    Runner runner;
    runner.Python("x = bytearray(b'1') * (" + std::to_string(mib) + " << 20); print('fine')");
    const auto group = Put(root, runner, Bytes::Mib(100));
    const auto finished = group ? runner.Run() : Fail(ErrorCode::kInternal, "");
    return finished && finished->output == "fine\n";
  }

  std::string tree_;
  std::vector<std::string> files_;
};

// Each below its own limit, and together above that of the tree.
TEST_F(RealTree, IsLimitedAsAWholeAndChildrenAreTheVictims) {
  EXPECT_EQ(Live([](CgroupRoot& root) {
              Runner one;
              one.Python("import time; x = bytearray(b'1') * (60 << 20); print('ready', flush=True); time.sleep(30)");
              auto first = Put(root, one, Bytes::Mib(100));
              const auto child = one.Start();
              if (!child || one.Line() != "ready") return 1;
              Runner two;
              two.Python("import time; x = bytearray(b'1') * (85 << 20); print('survived')");
              auto second = Put(root, two, Bytes::Mib(100));
              if (!second || !two.Run()) return 2;
              const auto use = root.tree();
              const Bytes limit = Bytes::Mib(root.enclosure() == Enclosure::kTree ? 120 : 110);
              if (!use || use->limit != limit || use->now > limit) return 3;
              if (use->peak && *use->peak > limit) return 4;
              if (first->OomKills() + second->OomKills() == 0) return 5;
              first->KillAll();
              if (!WaitFor(*child, 5s)) return 6;
              first.reset();
              second.reset();
              return root.tree()->oom_kills > 0 ? 0 : 7;
            }),
            0);
}

TEST_F(RealTree, TakesAnotherBudgetUpAndDown) {
  EXPECT_EQ(Live([](CgroupRoot& root) {
              const Bytes own = Bytes::Mib(root.enclosure() == Enclosure::kTree ? 0 : 10);
              for (const unsigned mib : {150U, 90U, 130U}) {
                if (!root.SetBudget(Bytes::Mib(mib))) return 1;
                if (root.tree()->limit != Bytes::Mib(mib) - own) return 2;
              }
              return Takes(root, 80) ? 0 : 3;
            }),
            0);
}

TEST_F(RealTree, OfAKilledLifeIsSweptWithTheGroupsInIt) {
  EXPECT_EQ(Live(
                [](CgroupRoot& root) {
                  const auto group = root.Create(NewId(), Bytes::Mib(64));
                  ::kill(::getpid(), SIGKILL);
                  return 1;
                },
                true),
            -SIGKILL);
  EXPECT_THAT(Groups(tree_), HasSubstr("weir-"));
  CgroupRoot::Detect().RemoveAbandoned();
  EXPECT_FALSE(PathExists(tree_));
}

TEST_F(RealTree, OfALivingOneIsNotSwept) {
  EXPECT_EQ(Live([](CgroupRoot& root) {
              const pid_t other = ::fork();
              if (other == 0) {
                CgroupRoot::Detect().RemoveAbandoned();
                ::_exit(0);
              }
              ::waitpid(other, nullptr, 0);
              return Takes(root, 20) ? 0 : 1;
            }),
            0);
}

// They stay charged until somebody removes them.
TEST_F(RealTree, FilesOnTmpfsTakeNothingFromThoseWhoComeAfter) {
  if (!PathExists("/dev/shm")) GTEST_SKIP() << "no tmpfs at /dev/shm";
  const std::string file = "/dev/shm/weir-test-" + NewId();
  files_.push_back(file);
  EXPECT_EQ(Live([&](CgroupRoot& root) {
              Runner writer("head -c 62914560 /dev/zero > " + file + " && echo written");
              auto group = Put(root, writer, Bytes::Mib(100));
              const auto written = group ? writer.Run() : Fail(ErrorCode::kInternal, "");
              if (!written || written->output != "written\n") return 1;
              group.reset();
              if (root.tree()->on_tmpfs < Bytes::Mib(60)) return 2;
              if (!Takes(root, 80)) return 3;
              if (*root.tree()->limit < Bytes::Mib(160)) return 4;
              std::filesystem::remove(file);
              if (!Takes(root, 80)) return 5;
              return *root.tree()->limit <= Bytes::Mib(122) ? 0 : 6;
            }),
            0);
}

// More than the limit of all.
TEST_F(RealTree, AChildMayWriteToTmpfsWhatItWasToldToBesideItsMemory) {
  if (!PathExists("/dev/shm")) GTEST_SKIP() << "no tmpfs at /dev/shm";
  const std::string file = "/dev/shm/weir-test-" + NewId();
  files_.push_back(file);
  EXPECT_EQ(Live([&](CgroupRoot& root) {
              Runner writer("head -c 146800640 /dev/zero > " + file + " && echo written");
              const auto group = Put(root, writer, Bytes::Mib(30), Bytes::Mib(150));
              const auto written = group ? writer.Run() : Fail(ErrorCode::kInternal, "");
              return written && written->output == "written\n" ? 0 : 1;
            }),
            0);
}

TEST_F(RealTree, PageCacheMakesRoom) {
  const std::string file = std::filesystem::temp_directory_path().string() + "/weir-test-" + NewId();
  files_.push_back(file);
  EXPECT_EQ(Live([&](CgroupRoot& root) {
              for (int i = 0; i < 3; ++i) {
                Runner writer("head -c 94371840 /dev/zero > " + file + " && echo written");
                auto group = Put(root, writer, Bytes::Mib(100));
                const auto written = group ? writer.Run() : Fail(ErrorCode::kInternal, "");
                if (!written || written->output != "written\n") return 1;
              }
              return Takes(root, 85) && root.tree()->oom_kills == 0 ? 0 : 2;
            }),
            0);
}

TEST_F(RealTree, RemovedBySomebodyElseIsMadeAgain) {
  EXPECT_EQ(Live([](CgroupRoot& root) {
              const std::string tree = root.tree_folder();
              const std::string above = tree.substr(0, tree.rfind('/'));
              // As whoever cleans up would: with the processes in it out first.
              std::ofstream(above + "/cgroup.procs") << ::getpid() << std::flush;
              for (const std::string& name : SubFolders(tree)) std::filesystem::remove(tree + "/" + name);
              if (::rmdir(tree.c_str()) != 0) return 1;
              if (root.tree() || root.Create(NewId(), Bytes::Mib(50))) return 2;
              if (!root.LookAgain() || root.enclosure() == Enclosure::kNone) return 3;
              if (root.tree_folder() == tree || !Takes(root, 80)) return 4;
              const bool went = root.tree()->limit >= Bytes::Mib(110);
              const std::string second = root.tree_folder();
              root = CgroupRoot();
              return went && !PathExists(second) ? 0 : 5;
            }),
            0);
}

TEST(GroupsLost, LeaveTheLimitOfEachChild) {
  ::unsetenv("WEIR_TEST_MEMORY_BACKEND");
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "fs/memory/me");
  WriteText(folder / "fs/memory/cgroup.procs", "");
  WriteText(folder / "fs/memory/me/cgroup.procs", "");
  WriteText(folder / "self", "4:memory:/me\n");
  CgroupRoot root = CgroupRoot::Detect(folder / "fs", folder / "self");
  ASSERT_TRUE(root.Enclose(Bytes::Mib(100), Bytes::Mib(10)));
  EXPECT_FALSE(root.LookAgain()) << "nothing has changed";
  std::filesystem::remove_all(folder / "fs/memory");
  EXPECT_FALSE(root.Create(NewId(), Bytes::Mib(10)));
  EXPECT_TRUE(root.LookAgain());
  EXPECT_EQ(root.backend(), MemoryBackend::kRlimit);
  EXPECT_EQ(root.enclosure(), Enclosure::kNone);
  EXPECT_TRUE(root.Create(NewId(), Bytes::Mib(10)));
}

TEST_F(RealTree, WeAreTheLastToBeKilledWhereThatIsPermitted) {
  EXPECT_EQ(Live([](CgroupRoot& root) {
              const std::string path = "/proc/self/oom_score_adj";
              if (root.enclosure() != Enclosure::kTree || std::stoi(ReadText(path)) <= -500) return 0;
              return WriteControl(path, "-500", false) ? 1 : 0;
            }),
            0);
}

TEST_F(RealGroup, TheKernelKillsAChildAboveTheLimitAndCountsIt) {
  if (root_.backend() == MemoryBackend::kRlimit) {
    const auto group = Make(Bytes::Mib(48));
    EXPECT_TRUE(group == nullptr || group->join_fd() == -1);
    GTEST_SKIP() << "no memory groups here (" << root_.reason() << "); the fall-back was checked";
  }
  const auto group = Make(Bytes::Mib(48));
  ASSERT_NE(group, nullptr);
  Runner runner;
  runner.Python("x = bytearray(b'1') * (200 << 20); print('survived')");
  Put(runner, *group);
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_TRUE(finished->report.signaled) << finished->output;
  EXPECT_EQ(finished->report.code, SIGKILL);
  EXPECT_GE(group->OomKills(), 1U);
  if (const auto peak = group->Peak()) {
    EXPECT_LE(*peak, Bytes::Mib(48));
    EXPECT_GT(*peak, Bytes::Mib(40));
  }
}

TEST_F(RealGroup, AChildBelowTheLimitIsLeftAlone) {
  if (root_.backend() == MemoryBackend::kRlimit) GTEST_SKIP() << root_.reason();
  const auto group = Make(Bytes::Mib(100));
  ASSERT_NE(group, nullptr);
  Runner runner;
  runner.Python("x = bytearray(b'1') * (30 << 20); print('fine')");
  Put(runner, *group);
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "fine\n");
  EXPECT_EQ(group->OomKills(), 0U);
  if (const auto peak = group->Peak()) {
    EXPECT_GT(*peak, Bytes::Mib(30));
  }
}

TEST_F(RealGroup, KillReachesEverybodyAndTheEndLeavesNothing) {
  auto group = Make(Bytes::Mib(300));
  if (group == nullptr) GTEST_SKIP() << "no groups here: " << root_.reason();
  Runner runner;
  runner.Python(
      "import os, time\n"
      "for i in range(12):\n"
      "  if os.fork() == 0:\n"
      "    os.setsid()\n"
      "    if os.fork() == 0: time.sleep(60)\n"
      "    os._exit(0)\n"
      "print('ready', flush=True)\n"
      "time.sleep(60)");
  Put(runner, *group);
  const auto child = runner.Start();
  ASSERT_TRUE(child) << Describe(child.error());
  ASSERT_EQ(runner.Line(), "ready");
  EXPECT_TRUE(Eventually([&] { return group->Members() == 13; })) << group->Members();
  group->KillAll();
  EXPECT_TRUE(WaitFor(*child, 1s));
  EXPECT_TRUE(Eventually([&] { return group->Members() == 0; }, 1s));
  const auto start = std::chrono::steady_clock::now();
  group.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 500ms);
}

// A pure v1 machine: nothing but the list of members to kill by.
TEST_F(RealGroup, KillsMemberByMemberWithoutCgroup2) {
  if (root_.backend() != MemoryBackend::kCgroupV1) GTEST_SKIP() << "no v1 memory groups here";
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "fs");
  std::filesystem::create_directory_symlink("/sys/fs/cgroup/memory", folder / "fs/memory");
  const CgroupRoot v1 = CgroupRoot::Detect(folder / "fs");
  ASSERT_EQ(v1.backend(), MemoryBackend::kCgroupV1) << v1.reason();
  ASSERT_FALSE(v1.can_kill());
  auto group = v1.Create(id_, Bytes::Mib(100));
  ASSERT_TRUE(group) << Describe(group.error());
  Runner runner;
  runner.Python(
      "import os, time\n"
      "for i in range(5):\n"
      "  if os.fork() == 0: os.setsid(); time.sleep(60)\n"
      "print('ready', flush=True)\n"
      "while True:\n"
      "  if os.fork() == 0: time.sleep(0.01); os._exit(0)\n"
      "  os.waitpid(-1, os.WNOHANG)\n"
      "  time.sleep(0.001)");
  Put(runner, **group);
  const auto child = runner.Start();
  ASSERT_TRUE(child) << Describe(child.error());
  ASSERT_EQ(runner.Line(), "ready");
  EXPECT_GE((*group)->Members(), 6U);
  (*group)->KillAll();
  EXPECT_TRUE(Eventually([&] { return (*group)->Members() == 0; }, 1s)) << (*group)->Members();
  EXPECT_TRUE(WaitFor(*child, 1s));
}

TEST_F(RealGroup, DestructionKillsAndRemovesWithMembersInside) {
  auto group = Make(Bytes::Mib(300));
  if (group == nullptr) GTEST_SKIP() << "no groups here: " << root_.reason();
  Runner runner("sleep 60 & sleep 60 & wait");
  Put(runner, *group);
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  group.reset();
  EXPECT_THAT(Groups("/sys/fs/cgroup"), Not(HasSubstr(id_)));
  const auto report = WaitFor(*child, 1s);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->code, SIGKILL);
}

TEST_F(RealGroup, AGroupOfAKilledLifeIsSweptAndALivingOneIsNot) {
  const auto living = Make(Bytes::Mib(64));
  if (living == nullptr) GTEST_SKIP() << "no groups here: " << root_.reason();
  const std::string lost = NewId();
  const pid_t earlier = ::fork();
  if (earlier == 0) {
    const auto group = root_.Create(lost, Bytes::Mib(64));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(earlier, nullptr, 0);
  EXPECT_THAT(Groups("/sys/fs/cgroup"), HasSubstr(lost));
  root_.RemoveAbandoned();
  const std::string left = Groups("/sys/fs/cgroup");
  EXPECT_THAT(left, Not(HasSubstr(lost)));
  EXPECT_THAT(left, HasSubstr(id_));
}

TEST_F(RealGroup, AGroupOfAKilledLifeIsRemovedById) {
  const std::string lost = NewId();
  const pid_t earlier = ::fork();
  if (earlier == 0) {
    auto group = root_.Create(lost, Bytes::Mib(64));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(earlier, nullptr, 0);
  root_.RemoveAbandoned();
  EXPECT_THAT(Groups("/sys/fs/cgroup"), Not(HasSubstr(lost)));
}

}  // namespace
}  // namespace weir::os
