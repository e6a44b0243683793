#include "os/proc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "os/test_support.h"

namespace weir::os {
namespace {

TEST(Proc, StatmSeesAnAllocation) {
  const auto before = ReadStatm(::getpid());
  ASSERT_TRUE(before);
  std::string block(40 << 20, 'x');
  const auto after = ReadStatm(::getpid());
  ASSERT_TRUE(after);
  EXPECT_GT(after->anonymous, before->anonymous + Bytes::Mib(35));
  EXPECT_GE(after->resident, after->anonymous);
  EXPECT_EQ(block.back(), 'x');
}

TEST(Proc, PssIsCloseToTheResidentSetOfALoneProcess) {
  const std::string block(40 << 20, 'x');
  const auto pss = ReadPss(::getpid());
  ASSERT_TRUE(pss);
  EXPECT_GT(*pss, Bytes::Mib(39));
  EXPECT_LE(*pss, ReadStatm(::getpid())->resident + Bytes::Mib(2));
  EXPECT_GT(OwnPss(), Bytes::Mib(39));
}

TEST(Proc, AnEndedProcessHasNothing) {
  Runner runner("exit 0");
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  EXPECT_EQ(runner.Output(), "");
  // A zombie first, then nothing at all.
  EXPECT_TRUE(Eventually([&] { return !ReadStatm(child->pid); }));
  EXPECT_TRUE(Eventually([&] { return Tree(child->pid).empty(); }));
  ASSERT_TRUE(WaitFor(*child));
  EXPECT_EQ(ReadStatm(child->pid), std::nullopt);
  EXPECT_EQ(ReadPss(child->pid), std::nullopt);
  EXPECT_EQ(CpuTicks(child->pid), std::nullopt);
  EXPECT_THAT(Tree(child->pid), testing::IsEmpty());
  EXPECT_EQ(TreePss(child->pid), Bytes());
}

TEST(Proc, TheTreeHoldsGrandchildrenOfThreadsToo) {
  Runner runner;
  runner.Python(
      "import os, threading, time\n"
      "def child():\n"
      "  if os.fork() == 0:\n"
      "    if os.fork() == 0: time.sleep(60)\n"
      "    time.sleep(60)\n"
      "  time.sleep(60)\n"
      "threading.Thread(target=child).start()\n"
      "time.sleep(60)");
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  EXPECT_TRUE(Eventually([&] { return Tree(child->pid).size() == 3; }));
  const auto tree = Tree(child->pid);
  ASSERT_FALSE(tree.empty());
  EXPECT_EQ(tree.front(), child->pid);
  EXPECT_EQ(Tree(child->pid, 2).size(), 2U);
  EXPECT_GT(TreePss(child->pid), *ReadPss(child->pid));
  SendSignalToGroup(*child, SIGKILL);
  EXPECT_TRUE(WaitFor(*child));
}

class ProcFolderTest : public ::testing::Test {
 protected:
  // With so many resident pages, half of them shared. `pss` in KiB; 0: nobody may see it.
  void Process(pid_t pid, const std::string& children, std::uint64_t pages, std::uint64_t pss, char state = 'S') {
    const std::string folder = proc_ / std::to_string(pid);
    WriteText(folder + "/stat", std::to_string(pid) + " (a ) name) " + state + " 1 0 0 0 0 0 0 0 0 0 7 5 0 0\n");
    WriteText(folder + "/statm",
              pages == 0 ? "0 0 0 0 0 0 0\n"
                         : "9999 " + std::to_string(pages) + " " + std::to_string(pages / 2) + " 1 0 9 0\n");
    WriteText(folder + "/task/" + std::to_string(pid) + "/stat", "");
    WriteText(folder + "/task/" + std::to_string(pid) + "/children", children);
    if (pss > 0) {
      WriteText(folder + "/smaps_rollup", "1000-2000 ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss: " +
                                              std::to_string(pss) + " kB\nPss_Dirty: 1 kB\n");
    }
  }
  [[nodiscard]] static Bytes Pages(std::uint64_t count) {
    return Bytes(count * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  }

  TemporaryFolder proc_;
};

TEST_F(ProcFolderTest, TheSizeOfATreeCountsWhatNobodyMaySeeAsResident) {
  Process(7, "8 9 10 ", 100, 300);
  Process(8, "", 1000, 0);
  Process(9, "11 ", 50, 40);
  Process(10, "", 70, 0, 'Z');
  Process(11, "", 0, 0);
  const std::string& proc = proc_.path();
  EXPECT_THAT(Tree(7, 1000, proc), testing::ElementsAre(7, 8, 9, 11));
  EXPECT_EQ(ReadPss(8, proc), std::nullopt);
  EXPECT_EQ(ReadStatm(8, proc)->anonymous, Pages(500));
  EXPECT_EQ(TreePss(8, proc), Pages(1000));
  EXPECT_EQ(TreePss(7, proc), Bytes::Kib(340) + Pages(1000));
  EXPECT_EQ(TreePss(12, proc), Bytes());
}

TEST_F(ProcFolderTest, OwnSizeIsNeverNothingWhereItIsResident) {
  EXPECT_EQ(OwnPss(proc_.path()), Bytes());
  Process(::getpid(), "", 200, 0);
  EXPECT_EQ(OwnPss(proc_.path()), Pages(200));
  Process(::getpid(), "", 200, 77);
  EXPECT_EQ(OwnPss(proc_.path()), Bytes::Kib(77));
}

TEST_F(ProcFolderTest, TheRestIsReadThereToo) {
  Process(7, "", 1, 1);
  WriteText(proc_ / "7/io", "rchar: 1\nwchar: 2\nwrite_bytes: 4096\n");
  WriteText(proc_ / "meminfo", "MemTotal: 9 kB\nMemAvailable: 5 kB\n");
  EXPECT_EQ(StorageWritten(7, proc_.path()), Bytes(4096));
  EXPECT_EQ(CpuTicks(7, proc_.path()), 12U * 100 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  EXPECT_EQ(AvailableMemory(proc_.path()).value(), Bytes::Kib(5));
}

TEST(Proc, CpuTicksGrowWithWork) {
  Runner runner("while :; do :; done");
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  EXPECT_TRUE(Eventually([&] { return CpuTicks(child->pid).value_or(0) >= 5; }));
  SendSignal(*child, SIGKILL);
  EXPECT_TRUE(WaitFor(*child));
}

TEST(Proc, TheMachineHasMemoryProcessorsAndABoot) {
  const auto available = AvailableMemory();
  ASSERT_TRUE(available);
  EXPECT_GT(*available, Bytes::Mib(50));
  EXPECT_GE(UsableCpus(), 1U);
  EXPECT_LE(UsableCpus(), static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF)));
  EXPECT_EQ(BootId().size(), 36U);
}

}  // namespace
}  // namespace weir::os
