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
