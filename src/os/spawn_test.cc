#include "os/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/id.h"
#include "os/cgroup.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "os/test_support.h"

namespace weir::os {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;

bool Gone(pid_t pid) {
  // A zombie that nobody reaps yet is as good as gone.
  return ::kill(pid, 0) != 0 || !ReadStatm(pid);
}

void UsePidNamespace(ChildSpec& spec, const SandboxSupport& support) {
  spec.new_pid_namespace = support.pid_namespace;
  spec.user_namespace = support.pid_namespace && support.user_namespace_needed;
}

TEST(Spawn, RunsAProgramAndReportsItsStatusAndUse) {
  Runner runner("echo hello; exit 7");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "hello\n");
  EXPECT_FALSE(finished->report.signaled);
  EXPECT_EQ(finished->report.code, 7);
  EXPECT_GT(finished->report.peak_resident, Bytes::Kib(300));
}

TEST(Spawn, PeakIsTheHighWaterMarkAndTimesAreMeasured) {
  Runner runner;
  runner.Python("x = bytearray(80 << 20); del x\nfor i in range(2000000): pass");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->report.code, 0) << finished->output;
  EXPECT_GT(finished->report.peak_resident, Bytes::Mib(80));
  // The child starts as a copy of this process, which sanitizers make large.
  rusage own{};
  ::getrusage(RUSAGE_SELF, &own);
  EXPECT_LT(finished->report.peak_resident,
            std::max(Bytes::Mib(110), Bytes::Kib(static_cast<std::uint64_t>(own.ru_maxrss)) + Bytes::Mib(1)));
  EXPECT_GT(finished->report.user_time.count(), 10000);
}

TEST(Spawn, ReportsTheSignalThatEndedIt) {
  Runner runner("kill -9 $$");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_TRUE(finished->report.signaled);
  EXPECT_EQ(finished->report.code, SIGKILL);
}

TEST(Spawn, ReapSaysNothingWhileItRunsAndSignalsReachIt) {
  Runner runner("sleep 60");
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  const auto still = Reap(*child);
  ASSERT_TRUE(still);
  EXPECT_FALSE(still->has_value());
  SendSignal(*child, SIGTERM);
  const auto report = WaitFor(*child);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->signaled);
  EXPECT_EQ(report->code, SIGTERM);
  SendSignal(*child, SIGTERM);
  EXPECT_FALSE(Reap(*child)) << "reaped twice";
}

TEST(Spawn, TheWholeGroupHearsASignal) {
  Runner runner("sleep 60 & echo $!; wait");
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  const pid_t below = std::stoi(runner.Line());
  SendSignalToGroup(*child, SIGKILL);
  ASSERT_TRUE(WaitFor(*child));
  EXPECT_TRUE(Eventually([&] { return Gone(below); }));
}

TEST(Spawn, AProgramThatIsNotThereIsAnError) {
  TemporaryFolder folder;
  WriteText(folder / "text", "no program");
  WriteText(folder / "rubbish",
            "\x7f"
            "ELF rubbish");
  std::filesystem::permissions(folder / "rubbish", std::filesystem::perms::all);
  struct Case {
    std::string program;
    ErrorCode code;
  };
  for (const auto& [program, code] :
       {Case{"/nonexistent/ffmpeg", ErrorCode::kToolMissing}, Case{folder / "text", ErrorCode::kToolMissing},
        Case{folder.path(), ErrorCode::kToolMissing}, Case{folder / "text/below", ErrorCode::kToolMissing},
        Case{folder / "rubbish", ErrorCode::kToolUnusable}, Case{"ffmpeg", ErrorCode::kInternal}}) {
    Runner runner;
    runner.Program(program, {program});
    const auto child = runner.Start();
    ASSERT_FALSE(child) << program;
    EXPECT_EQ(child.error().code, code) << Describe(child.error());
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a failed child is left unreaped";
}

TEST(Spawn, EveryStepThatFailsIsNamed) {
  struct Case {
    void (*spoil)(ChildSpec&);
    ErrorCode code;
    const char* words;
  };
  static const SeccompProgram nonsense{{.code = 0xffff}};
  for (const auto& [spoil, code, words] : {
           Case{[](ChildSpec& spec) { spec.working_folder = 999; }, ErrorCode::kSystem, "working folder"},
           Case{[](ChildSpec& spec) { spec.fds.push_back({999, 5}); }, ErrorCode::kSystem, "descriptors"},
           Case{[](ChildSpec& spec) { spec.join_cgroup = 999; }, ErrorCode::kSystem, "memory group"},
           Case{[](ChildSpec& spec) { spec.landlock = 999; }, ErrorCode::kSystem, "descriptors"},
           Case{[](ChildSpec& spec) { spec.landlock = ::open("/", O_PATH | O_CLOEXEC); }, ErrorCode::kSandbox,
                "Landlock"},
           Case{[](ChildSpec& spec) { spec.seccomp = &nonsense; }, ErrorCode::kSandbox, "seccomp"},
           Case{[](ChildSpec& spec) { spec.fds.push_back({0, 1}); }, ErrorCode::kInternal, "same number"},
           Case{[](ChildSpec& spec) { spec.argv.emplace_back("a\0b", 3); }, ErrorCode::kInternal, "NUL"},
       }) {
    Runner runner("true");
    spoil(runner.spec);
    const auto child = runner.Start();
    ASSERT_FALSE(child) << words;
    EXPECT_EQ(child.error().code, code) << Describe(child.error());
    EXPECT_THAT(child.error().detail, HasSubstr(words));
  }
}

TEST(Spawn, TheChildHasExactlyTheDescriptorsItWasGiven) {
  // Neither an inheritable one of ours nor sources whose numbers are other targets get in the way.
  const UniqueFd leaky(::open("/etc/hostname", O_RDONLY));
  const UniqueFd high(::dup2(leaky.get(), 300));
  TemporaryFolder folder;
  WriteText(folder / "three", "three");
  WriteText(folder / "four", "four");
  const UniqueFd first(::open((folder / "three").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd second(::open((folder / "four").c_str(), O_RDONLY | O_CLOEXEC));
  Runner runner;
  runner.Python(
      "import os; me = os.listdir('/proc/self/fd'); print(sorted(int(x) for x in me if "
      "os.path.exists('/proc/self/fd/' + x)));"
      "print(os.read(first, 9), os.read(second, 9))");
  runner.spec.argv.back().insert(
      0, "first, second = " + std::to_string(second.get()) + ", " + std::to_string(first.get()) + "\n");
  runner.spec.fds = {{first.get(), second.get()}, {second.get(), first.get()}};
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  const int low = std::min(first.get(), second.get());
  const int top = std::max(first.get(), second.get());
  EXPECT_EQ(finished->output,
            "[0, 1, 2, " + std::to_string(low) + ", " + std::to_string(top) + "]\n" + "b'three' b'four'\n");
}

TEST(Spawn, NothingIsInherited) {
  ::setenv("WEIR_SECRET", "x", 1);
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  TemporaryFolder folder;
  const UniqueFd work = folder.Open();
  Runner runner(
      "/usr/bin/env; pwd; grep -E '^Sig(Blk|Ign|Cgt)|^NoNewPrivs' /proc/self/status; ps -o pid=,pgid=,sid= -p $$; "
      "ulimit -c");
  runner.spec.environment = {"ONLY=this"};
  runner.spec.working_folder = work.get();
  const auto finished = runner.Run();
  ::signal(SIGUSR1, SIG_DFL);
  ::pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  ::unsetenv("WEIR_SECRET");
  ASSERT_TRUE(finished);
  EXPECT_THAT(finished->output, HasSubstr("ONLY=this\n"));
  EXPECT_THAT(finished->output, testing::Not(HasSubstr("WEIR_SECRET")));
  EXPECT_THAT(finished->output, HasSubstr("\n" + folder.path() + "\n"));
  EXPECT_THAT(finished->output, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(finished->output, HasSubstr("SigIgn:\t0000000000000000\n"));
  EXPECT_THAT(finished->output, HasSubstr("NoNewPrivs:\t1\n"));
  EXPECT_THAT(finished->output, MatchesRegex("(.|\n)*\n *([0-9]+) +[0-9]+ +[0-9]+\n0\n"));
}

TEST(Spawn, LeadsItsOwnSession) {
  Runner runner;
  runner.Python("import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->output, "True\n");
}

TEST(Spawn, LimitsHold) {
  TemporaryFolder folder;
  const UniqueFd work = folder.Open();
  Runner runner("ulimit -n; ulimit -f; ulimit -s; ulimit -d; ulimit -t; head -c 9000000 /dev/zero > big");
  runner.spec.working_folder = work.get();
  runner.spec.limits = {
      .cpu = 7s, .file_size = Bytes::Mib(1), .data = Bytes::Mib(100), .stack = Bytes::Mib(1), .open_files = 33};
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_THAT(finished->output, testing::StartsWith("33\n2048\n1024\n102400\n7\n"));
  EXPECT_NE(finished->report.code, 0);
  EXPECT_EQ(std::filesystem::file_size(folder / "big"), 1U << 20U);
}

TEST(Spawn, TheDataLimitStopsAnAllocation) {
  Runner runner;
  runner.Python("x = bytearray(200 << 20)");
  runner.spec.limits.data = Bytes::Mib(100);
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_THAT(finished->output, HasSubstr("MemoryError"));
}

TEST(Spawn, CpuTimeIsLimitedAlsoForPid1) {
  Runner runner("while :; do :; done");
  runner.spec.limits.cpu = 1s;
  UsePidNamespace(runner.spec, DetectSandbox());
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_TRUE(finished->report.signaled);
}

TEST(Spawn, PrefersTheChildWhenMemoryIsShortAndIsNice) {
  Runner runner("cat /proc/self/oom_score_adj; nice");
  runner.spec.nice = 5;
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->output, "500\n5\n");
}

// Memory would depend on the kernel's mood; what a program asks for makes it faster.
TEST(Spawn, ChildrenGetHugePagesOnlyWhenTheyAsk) {
  Runner runner("grep THP_enabled /proc/self/status || echo THP_enabled: 0");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  const auto mode = ReadSmallFile("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool unasked = !mode || mode->find("[always]") != std::string::npos;
  // The kernel says 0 only where all huge pages are off.
  const pid_t tried = ::fork();
  if (tried == 0) {
    ::_exit(::prctl(PR_SET_THP_DISABLE, 1, 2, 0, 0) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(tried, &status, 0), tried);
  const bool told_apart = status == 0;
  EXPECT_THAT(finished->output,
              testing::MatchesRegex(!told_apart && unasked ? "THP_enabled:[ \t]*0\n" : "THP_enabled:[ \t]*1\n"));
}

TEST(Spawn, RootKeepsOnlyTheRightToPassPermissions) {
  Runner runner("grep -E '^Cap(Prm|Eff|Bnd|Inh|Amb)' /proc/self/status");
  const auto finished = runner.Run();
  ASSERT_TRUE(finished);
  constexpr unsigned long long kKept = 6;  // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
  std::istringstream lines(finished->output);
  std::string name;
  std::string value;
  int seen = 0;
  while (lines >> name >> value) {
    if (::geteuid() == 0 || name != "CapBnd:") {
      EXPECT_EQ(std::stoull(value, nullptr, 16) & ~kKept, 0U) << name;
    }
    ++seen;
  }
  EXPECT_EQ(seen, 5);
}

class SpawnNamespace : public testing::Test {
 protected:
  void SetUp() override {
    if (!support_.pid_namespace) GTEST_SKIP() << "no PID namespaces here";
  }
  SandboxSupport support_ = DetectSandbox();
};

TEST_F(SpawnNamespace, TheChildIsPid1AndReachesItsFilesThroughProc) {
  TemporaryFolder folder;
  WriteText(folder / "input", "content");
  std::filesystem::permissions(folder / "input", std::filesystem::perms::owner_read);
  const auto input = OpenInput(folder / "input");
  ASSERT_TRUE(input);
  Runner runner("echo $$; cat /proc/self/fd/3");
  UsePidNamespace(runner.spec, support_);
  runner.spec.fds = {{input->fd.get(), 3}};
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "1\ncontent");
}

TEST_F(SpawnNamespace, WithAUserNamespaceFilesAreReadAndWrittenAsUs) {
  TemporaryFolder folder;
  WriteText(folder / "input", "content");
  std::filesystem::permissions(folder / "input", std::filesystem::perms::owner_read);
  const UniqueFd work = folder.Open();
  const auto input = OpenInput(folder / "input");
  ASSERT_TRUE(input);
  Runner runner("cat /proc/self/fd/3 > output && mv output named && cat named && cat < named && cat input");
  runner.spec.new_pid_namespace = true;
  runner.spec.user_namespace = true;
  runner.spec.working_folder = work.get();
  runner.spec.fds = {{input->fd.get(), 3}};
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "contentcontentcontent");
}

TEST_F(SpawnNamespace, TheEndOfPid1EndsItsRunaways) {
  Runner runner;
  runner.Python(
      "import os, time, sys\n"
      "for i in range(5):\n"
      "  if os.fork() == 0:\n"
      "    os.setsid()\n"
      "    if os.fork() == 0: time.sleep(60)\n"
      "    os._exit(0)\n"
      "print('ready', flush=True)\n"
      "time.sleep(60)");
  UsePidNamespace(runner.spec, support_);
  const auto child = runner.Start();
  ASSERT_TRUE(child);
  ASSERT_EQ(runner.Line(), "ready");
  ASSERT_TRUE(Eventually([&] { return Tree(child->pid).size() >= 6; }));
  const auto tree = Tree(child->pid);
  SendSignal(*child, SIGKILL);
  ASSERT_TRUE(WaitFor(*child, 1s));
  for (const pid_t pid : tree) EXPECT_NE(::kill(pid, 0), 0) << pid;
  EXPECT_EQ(runner.Output(1s), "") << "somebody still holds the pipe";
}

// The pid of a child of a supervisor that is a process of its own, so that it can be killed.
struct Orphan {
  pid_t supervisor = -1;
  pid_t child = -1;
};

Orphan StartUnderSupervisor(const ChildSpec& model) {
  void* shared = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* slot = new (shared) std::atomic<int>(0);
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    Runner runner("sleep 60 & sleep 60; true");
    runner.spec.new_pid_namespace = model.new_pid_namespace;
    runner.spec.user_namespace = model.user_namespace;
    const auto child = runner.Start();
    slot->store(child ? child->pid : -1);
    for (;;) ::pause();
  }
  Orphan orphan{.supervisor = supervisor};
  Eventually([&] { return slot->load() != 0; });
  orphan.child = slot->load();
  ::munmap(shared, sizeof(std::atomic<int>));
  return orphan;
}

TEST(Spawn, DiesWithItsMaker) {
  const SandboxSupport support = DetectSandbox();
  for (const bool own_namespace : {false, true}) {
    if (own_namespace && !support.pid_namespace) continue;
    ChildSpec model;
    if (own_namespace) UsePidNamespace(model, support);
    const Orphan orphan = StartUnderSupervisor(model);
    ASSERT_GT(orphan.child, 0);
    EXPECT_FALSE(Gone(orphan.child));
    ::kill(orphan.supervisor, SIGKILL);
    ::waitpid(orphan.supervisor, nullptr, 0);
    EXPECT_TRUE(Eventually([&] { return Gone(orphan.child); }, 1s)) << "own namespace: " << own_namespace;
    if (!Gone(orphan.child)) ::kill(orphan.child, SIGKILL);
  }
}

// However early its maker is killed, also between clone and the request for the signal, and also while another
// thread of the maker takes longer to die.
TEST(Spawn, DiesWithAMakerThatIsKilledAtAnyMoment) {
  const SandboxSupport support = DetectSandbox();
  // No other run of this test sleeps so.
  const std::string nap = "77." + std::to_string(::getpid());
  TemporaryFolder folder;
  for (int round = 0; round < 60; ++round) {
    const pid_t supervisor = ::fork();
    ASSERT_GE(supervisor, 0);
    if (supervisor == 0) {
      std::vector<std::thread> others;
      for (int i = 0; i < round % 4; ++i) {
        others.emplace_back([] {
          // Memory that takes time to give back.
          std::vector<char> filled(Bytes::Mib(8).count(), 'x');
          for (;;) ::pause();
        });
      }
      for (;;) {
        // Its pid, for the test to look for, is the name of a file.
        Runner runner("echo > " + folder.path() + "/" + std::to_string(::getpid()) + "; exec sleep " + nap);
        UsePidNamespace(runner.spec, support);
        (void)runner.Start();
      }
    }
    // A slow machine needs longer before there is anything to kill.
    const bool slow = round > 30 && std::filesystem::is_empty(folder.path());
    ::usleep(static_cast<useconds_t>((1500 + 137 * round) * (slow ? 10 : 1)));
    ::kill(supervisor, SIGKILL);
    ::waitpid(supervisor, nullptr, 0);
  }
  const auto sleepers = [&] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string command = ReadText(entry.path() / "cmdline");
      if (command.find(nap) != std::string::npos && command.starts_with("sleep")) ++count;
    }
    return count;
  };
  EXPECT_TRUE(Eventually([&] { return sleepers() == 0; }, 1s)) << sleepers();
  EXPECT_FALSE(std::filesystem::is_empty(folder.path())) << "no child ever ran";
}

// The same, held still: the child waits at a full pipe, long before it asks for the signal, while its maker dies.
TEST(Spawn, DoesNotRunWhenItsMakerDiedBeforehand) {
  const SandboxSupport support = DetectSandbox();
  for (const bool own_namespace : {false, true}) {
    if (own_namespace && !support.pid_namespace) continue;
    TemporaryFolder folder;
    auto gate = MakePipe();
    ASSERT_TRUE(gate);
    const std::string page(4096, 'x');
    ::fcntl(gate->write_end.get(), F_SETFL, O_NONBLOCK);
    while (::write(gate->write_end.get(), page.data(), page.size()) > 0) {
    }
    ::fcntl(gate->write_end.get(), F_SETFL, 0);
    const pid_t supervisor = ::fork();
    if (supervisor == 0) {
      Runner runner("echo > " + (folder / "ran"));
      runner.spec.join_cgroup = gate->write_end.get();
      if (own_namespace) UsePidNamespace(runner.spec, support);
      (void)runner.Start();
      for (;;) ::pause();
    }
    ASSERT_TRUE(Eventually([&] { return Tree(supervisor).size() == 2; }));
    const pid_t child = Tree(supervisor).back();
    ::kill(supervisor, SIGKILL);
    ::waitpid(supervisor, nullptr, 0);
    EXPECT_FALSE(Gone(child)) << "the test does not hold it still";
    std::string drained(page.size(), '\0');
    while (::read(gate->read_end.get(), drained.data(), drained.size()) > 0) {
    }
    EXPECT_TRUE(Eventually([&] { return Gone(child); }, 1s));
    EXPECT_FALSE(std::filesystem::exists(folder / "ran")) << "own namespace: " << own_namespace;
  }
}

// Container managers that do not know clone3 answer ENOSYS.
TEST(Spawn, WorksWithoutClone3) {
  const CgroupRoot cgroups = CgroupRoot::Detect();
  const pid_t restricted = ::fork();
  if (restricted == 0) {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{.len = 4, .filter = code};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
      ::_exit(1);
    }
    const auto group = cgroups.Create(NewId(), Bytes::Mib(64));
    if (!group) ::_exit(2);
    Runner runner("grep -c weir- /proc/self/cgroup; exit 3");
    UsePidNamespace(runner.spec, DetectSandbox());
    if (*group) {
      runner.spec.clone_into_cgroup = (*group)->clone_into_fd();
      runner.spec.join_cgroup = (*group)->join_fd();
    }
    const int expected = (runner.spec.clone_into_cgroup >= 0 ? 1 : 0) + (runner.spec.join_cgroup >= 0 ? 1 : 0);
    const auto finished = runner.Run();
    if (!finished || finished->report.code != 3) ::_exit(4);
    if (finished->output != std::to_string(expected) + "\n") ::_exit(5);
    // Destructors do not run past _exit, and the group must go.
    const_cast<std::unique_ptr<MemoryGroup>&>(*group).reset();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(restricted, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Spawn, ManyThreadsMaySpawnAtOnce) {
  std::atomic<int> good = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        Runner runner("echo fine");
        const auto finished = runner.Run();
        if (finished && finished->output == "fine\n" && finished->report.code == 0) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 40);
}

TEST(Pipe, ReadingNeverBlocksAndNothingIsInheritable) {
  const auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  char byte = 0;
  EXPECT_EQ(::read(pipe->read_end.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(::fcntl(pipe->write_end.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(pipe->read_end.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(pipe->write_end.get(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace weir::os
