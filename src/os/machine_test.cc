#include "os/machine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "os/test_support.h"

namespace weir::os {
namespace {

using std::chrono::microseconds;

TEST(Machine, MemoryAndSwap) {
  const TemporaryFolder proc;
  WriteText(proc / "meminfo",
            "MemTotal:       24684084 kB\nMemFree:        23570804 kB\nMemAvailable:   24045800 kB\n"
            "SwapCached:            0 kB\nSwapTotal:       1048576 kB\nSwapFree:         524288 kB\n");
  const auto memory = ReadMachineMemory(proc.path());
  EXPECT_EQ(memory.total, Bytes::Kib(24684084));
  EXPECT_EQ(memory.available, Bytes::Kib(24045800));
  EXPECT_EQ(memory.swap_total, Bytes::Gib(1));
  EXPECT_EQ(memory.swap_free, Bytes::Mib(512));
}

TEST(Machine, WhatCannotBeReadIsAbsentAndTheRestIsNot) {
  const TemporaryFolder proc;
  EXPECT_EQ(ReadMachineMemory(proc.path()).total, std::nullopt);
  WriteText(proc / "meminfo", "MemTotal: 1024 kB\nMemAvailable: lots\nSwapTotal:\nSwapFree: 0 kB\n");
  const auto memory = ReadMachineMemory(proc.path());
  EXPECT_EQ(memory.total, Bytes::Mib(1));
  EXPECT_EQ(memory.available, std::nullopt);
  EXPECT_EQ(memory.swap_total, std::nullopt);
  EXPECT_EQ(memory.swap_free, Bytes());
  std::filesystem::remove(proc / "meminfo");
  std::filesystem::create_directory(proc / "meminfo");
  EXPECT_EQ(ReadMachineMemory(proc.path()).total, std::nullopt);
}

TEST(Machine, ThisOneHasMemory) {
  const auto memory = ReadMachineMemory();
  ASSERT_TRUE(memory.total && memory.available && memory.swap_total && memory.swap_free);
  EXPECT_GT(*memory.available, Bytes());
  EXPECT_LE(*memory.available, *memory.total);
  EXPECT_LE(*memory.swap_free, *memory.swap_total);
}

TEST(Stalls, BothLines) {
  const TemporaryFolder folder;
  WriteText(folder / "memory",
            "some avg10=12.50 avg60=3.00 avg300=0.10 total=24656187\nfull avg10=0.25 avg60=1.00 avg300=0.00 "
            "total=12819390\n");
  const auto stall = ReadStall(folder / "memory");
  ASSERT_TRUE(stall);
  EXPECT_DOUBLE_EQ(stall->some_percent, 12.5);
  EXPECT_DOUBLE_EQ(stall->full_percent, 0.25);
  EXPECT_EQ(stall->some_total, microseconds(24656187));
  EXPECT_EQ(stall->full_total, microseconds(12819390));
}

TEST(Stalls, AnythingElseIsAbsent) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReadStall(folder / "nothing"), std::nullopt);
  for (const char* text : {"", "some avg10=1.00 total=5\n", "some avg10=x total=5\nfull avg10=0.00 total=5\n",
                           "some avg10=1.00 total=\nfull avg10=0.00 total=5\n", "some avg10=1.00\nfull total=5\n"}) {
    WriteText(folder / "memory", text);
    EXPECT_EQ(ReadStall(folder / "memory"), std::nullopt) << text;
  }
}

TEST(Stalls, ATriggerOfTheMachineCanBeWaitedFor) {
  const auto trigger = StallTrigger::Open();
  if (!trigger) GTEST_SKIP() << Describe(trigger.error());
  EXPECT_FALSE(trigger->Gone());
  pollfd waiting{trigger->fd(), POLLPRI, 0};
  EXPECT_GE(::poll(&waiting, 1, 0), 0);
  EXPECT_EQ(waiting.revents & POLLNVAL, 0);
}

TEST(Stalls, ATriggerIsGoneWhenNothingComesAnyMore) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd reader(ends[0]);
  const StallTrigger trigger{UniqueFd(ends[1])};
  EXPECT_FALSE(trigger.Gone());
  reader.Close();
  EXPECT_TRUE(trigger.Gone());
}

TEST(Stalls, ARequestThatTheKernelRefusesIsAnError) {
  if (!ReadStall()) GTEST_SKIP() << "no pressure stall information here";
  // A stall longer than its window.
  const auto trigger = StallTrigger::Open("/proc/pressure/memory", StallTrigger::Kind::kFull, std::chrono::seconds(9),
                                          std::chrono::seconds(1));
  ASSERT_FALSE(trigger);
  EXPECT_EQ(trigger.error().code, ErrorCode::kSystem);
  EXPECT_FALSE(StallTrigger::Open("/nowhere/memory.pressure"));
}

TEST(GroupReadings, OfVersion2) {
  const TemporaryFolder group;
  EXPECT_EQ(ReadGroupMemory(group.path()), std::nullopt);
  WriteText(group / "memory.current", "1000\n");
  WriteText(group / "memory.max", "max\n");
  auto memory = ReadGroupMemory(group.path());
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->now, Bytes(1000));
  EXPECT_EQ(memory->limit, std::nullopt);
  EXPECT_EQ(memory->peak, std::nullopt);
  WriteText(group / "memory.max", "5000\n");
  WriteText(group / "memory.peak", "1500\n");
  WriteText(group / "memory.stat", "anon 200\nfile 700\nkernel 100\nshmem 300\nfile_mapped 1\n");
  WriteText(group / "memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 1\n");
  memory = ReadGroupMemory(group.path());
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->limit, Bytes(5000));
  EXPECT_EQ(memory->peak, Bytes(1500));
  EXPECT_EQ(memory->on_tmpfs, Bytes(300));
  EXPECT_EQ(memory->page_cache, Bytes(400));
  EXPECT_EQ(memory->oom_kills, 2U);
}

TEST(GroupReadings, OfVersion1) {
  const TemporaryFolder group;
  WriteText(group / "memory.usage_in_bytes", "1000\n");
  WriteText(group / "memory.limit_in_bytes", "9223372036854771712\n");
  WriteText(group / "memory.max_usage_in_bytes", "1500\n");
  WriteText(group / "memory.stat", "cache 1\nshmem 2\ntotal_cache 700\ntotal_shmem 300\n");
  WriteText(group / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  const auto memory = ReadGroupMemory(group.path());
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->now, Bytes(1000));
  EXPECT_EQ(memory->limit, std::nullopt);
  EXPECT_EQ(memory->peak, Bytes(1500));
  EXPECT_EQ(memory->on_tmpfs, Bytes(300));
  EXPECT_EQ(memory->page_cache, Bytes(400));
  EXPECT_EQ(memory->oom_kills, 4U);
}

}  // namespace
}  // namespace weir::os
