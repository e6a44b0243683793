#include "os/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "os/cgroup.h"
#include "os/test_support.h"

namespace weir::os {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What any dynamically linked program needs.
std::vector<FileRule> Libraries() {
  std::vector<FileRule> rules;
  for (const char* path : {"/usr", "/bin", "/lib", "/lib64"}) {
    rules.push_back({.path = path, .allow = FileRule::Allow::kReadExecute});
  }
  for (const char* path :
       {"/etc/ld.so.cache", "/etc/alternatives", "/dev/urandom", "/dev/null", "/nonexistent/skipped"}) {
    rules.push_back({.path = path, .allow = FileRule::Allow::kRead});
  }
  return rules;
}

void UsePidNamespace(ChildSpec& spec, const SandboxSupport& support) {
  spec.new_pid_namespace = support.pid_namespace;
  spec.user_namespace = support.pid_namespace && support.user_namespace_needed;
}

TEST(Detect, FindsTheLayersQuicklyAndHidesThoseToldTo) {
  ::unsetenv("WEIR_TEST_NO_LAYERS");
  (void)DetectSandbox();
  const auto start = std::chrono::steady_clock::now();
  const SandboxSupport all = DetectSandbox();
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took, 200ms);
  RecordProperty("microseconds", std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  ::setenv("WEIR_TEST_NO_LAYERS", "landlock,pid-namespace", 1);
  const SandboxSupport fewer = DetectSandbox();
  EXPECT_EQ(fewer.landlock_abi, 0);
  EXPECT_FALSE(fewer.pid_namespace);
  EXPECT_EQ(fewer.seccomp, all.seccomp);
  ::setenv("WEIR_TEST_NO_LAYERS", "landlock,seccomp,pid-namespace", 1);
  EXPECT_THAT(DetectSandbox().Missing(), ElementsAre("landlock", "seccomp", "pid-namespace"));
  ::unsetenv("WEIR_TEST_NO_LAYERS");
  EXPECT_THAT((SandboxSupport{.landlock_abi = 1, .seccomp = true, .pid_namespace = true}.Missing()), IsEmpty());
}

class Landlock : public testing::Test {
 protected:
  void SetUp() override {
    if (support_.landlock_abi == 0) {
      EXPECT_EQ(BuildLandlock({}).error().code, ErrorCode::kSandbox);
      GTEST_SKIP() << "no Landlock in this kernel; the refusal was checked instead";
    }
    std::filesystem::create_directory(outside_);
    std::filesystem::create_directory(work_path_);
    WriteText(outside_ + "/secret", "secret");
    WriteText(outside_ + "/input", "the input");
    work_ = std::move(OpenFolder(work_path_, Access::kWrite).value());
    input_ = std::move(OpenInput(outside_ + "/input").value().fd);
  }

  // Runs a shell script behind the wall, with the working folder, descriptor 3 and the libraries.
  std::string Walled(const std::string& script, bool pid_namespace = false) {
    auto rules = Libraries();
    rules.push_back({.path = {}, .fd = work_.get(), .allow = FileRule::Allow::kReadWriteBelow});
    rules.push_back({.path = {}, .fd = input_.get(), .allow = FileRule::Allow::kRead});
    auto wall = BuildLandlock(rules);
    if (!wall) return Describe(wall.error());
    Runner runner(script);
    runner.spec.working_folder = work_.get();
    runner.spec.fds = {{input_.get(), 3}};
    runner.spec.landlock = wall->get();
    if (pid_namespace) UsePidNamespace(runner.spec, support_);
    const auto finished = runner.Run();
    return finished ? finished->output : Describe(finished.error());
  }

  TemporaryFolder folder_;
  std::string outside_ = folder_ / "outside";
  std::string work_path_ = folder_ / "work";
  UniqueFd work_;
  UniqueFd input_;
  SandboxSupport support_ = DetectSandbox();
};

TEST_F(Landlock, ReadsItsInputAgainThroughProcAndNothingElse) {
  for (const bool pid_namespace : {false, true}) {
    EXPECT_EQ(Walled("cat /proc/self/fd/3", pid_namespace), "the input");
    EXPECT_THAT(Walled("cat /etc/passwd", pid_namespace), HasSubstr("Permission denied"));
    EXPECT_THAT(Walled("cat " + outside_ + "/secret", pid_namespace), HasSubstr("Permission denied"));
    EXPECT_THAT(Walled("ls " + outside_, pid_namespace), HasSubstr("Permission denied"));
    EXPECT_THAT(Walled("cat /proc/1/environ", pid_namespace), HasSubstr("Permission denied"));
  }
}

TEST_F(Landlock, WritesFilesInItsFolderAndNowhereElse) {
  EXPECT_EQ(Walled("echo one > a; mv a b; echo two >> b; cat b; rm b; echo three > c; ls"), "one\ntwo\nc\n");
  EXPECT_EQ(ReadText(work_path_ + "/c"), "three\n");
  EXPECT_THAT(Walled("echo x > " + outside_ + "/new"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("echo x > " + outside_ + "/input"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("echo x > /proc/self/fd/3"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("rm " + outside_ + "/secret"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("mv c " + outside_ + "/c"), HasSubstr("c'"));
  EXPECT_EQ(ReadText(outside_ + "/input"), "the input");
  EXPECT_TRUE(std::filesystem::exists(outside_ + "/secret"));
  EXPECT_FALSE(std::filesystem::exists(outside_ + "/c"));
}

TEST_F(Landlock, MakesNoLinksFoldersPipesOrProgramsThere) {
  EXPECT_THAT(Walled("ln -s /etc/passwd link"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("mkdir below"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("mkfifo pipe"), HasSubstr("Permission denied"));
  EXPECT_THAT(Walled("cp /bin/true mine && ./mine"), HasSubstr("Permission denied"));
}

TEST_F(Landlock, AProgramOutsideTheRulesDoesNotStart) {
  const auto wall = BuildLandlock({});
  ASSERT_TRUE(wall) << Describe(wall.error());
  Runner runner("true");
  runner.spec.landlock = wall->get();
  const auto child = runner.Start();
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::kToolMissing);
}

TEST_F(Landlock, RefusesTcpWhereTheKernelCan) {
  if (support_.landlock_abi < 4) GTEST_SKIP() << "TCP rules need Landlock ABI 4";
  EXPECT_THAT(Walled("/usr/bin/python3 -I -S -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))'"),
              HasSubstr("PermissionError"));
}

TEST_F(Landlock, ADescriptorThatIsNoFileIsAnError) {
  const auto pipe = MakePipe();
  const auto wall = BuildLandlock({{.path = {}, .fd = pipe->read_end.get(), .allow = FileRule::Allow::kRead}});
  ASSERT_FALSE(wall);
  EXPECT_EQ(wall.error().code, ErrorCode::kSandbox);
}

class Seccomp : public testing::Test {
 protected:
  void SetUp() override {
    if (!DetectSandbox().seccomp) GTEST_SKIP() << "no seccomp filters in this kernel";
    auto program = BuildSeccomp();
    ASSERT_TRUE(program) << Describe(program.error());
    program_ = *std::move(program);
  }
  // What python says after `code` has run behind the filter.
  Result<Finished> Filtered(const std::string& code) {
    Runner runner;
    runner.Python(code);
    runner.spec.seccomp = &program_;
    return runner.Run();
  }
  SeccompProgram program_;
};

TEST_F(Seccomp, IsShort) {
  EXPECT_GT(program_.size(), 50U);
  EXPECT_LT(program_.size(), 1000U);
}

TEST_F(Seccomp, RefusesTheListAndAllowsTheRest) {
  // Numbers of x86-64 would tie the test to one machine: the C library's wrappers are called instead.
  const auto finished = Filtered(R"(
import ctypes, errno, os, threading, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def refused(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    if result != -1 or ctypes.get_errno() != errno.EPERM:
        print(name, 'was not refused:', result, errno.errorcode.get(ctypes.get_errno()))
for family in (1, 2, 10, 16, 17):
    refused('socket', family, 2, 0)
refused('socketpair', 1, 1, 0, (ctypes.c_int * 2)())
refused('ptrace', 0, 0, 0, 0)
refused('process_vm_readv', os.getppid(), None, 0, None, 0, 0)
refused('mount', b'none', b'/', b'tmpfs', 0, None)
refused('umount2', b'/', 0)
refused('chroot', b'/')
refused('unshare', 0x10000000)
refused('unshare', 0x20000)
refused('setns', 0, 0)
refused('settimeofday', ctypes.byref((ctypes.c_long * 2)(0, 0)), None)
refused('reboot', 0)
refused('personality', 0x40000)
refused('fanotify_init', 0, 0)
refused('chmod', b'.', 0o777)
refused('chown', b'.', 0, 0)
refused('setuid', 1)
refused('prctl', 1, 0, 0, 0, 0)
refused('swapon', b'/x', 0)
refused('klogctl', 3, None, 0)
refused('memfd_secret', 0) if hasattr(libc, 'memfd_secret') else None
if libc.personality(ctypes.c_ulong(0xffffffff)) == -1: print('asking for the personality was refused')
thread = threading.Thread(target=lambda: print('thread', flush=True))
thread.start(); thread.join()
for attempt in (os.fork, libc.fork, libc.vfork, lambda: os.posix_spawn('/bin/echo', ['echo', 'spawned'], {})):
    try:
        if attempt() == 0: os._exit(0)
        if ctypes.get_errno() != errno.EPERM: print('a second process')
    except PermissionError: pass
os.execv('/bin/echo', ['echo', 'exec'])
)");
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "thread\nexec\n");
  EXPECT_EQ(finished->report.code, 0);
}

#ifdef __x86_64__
TEST_F(Seccomp, RefusesNewNamespacesThroughCloneAndHidesClone3) {
  const auto finished = Filtered(R"(
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    ctypes.set_errno(0)
    if libc.syscall(56, flag | 17, None, None, None, 0) != -1 or ctypes.get_errno() != errno.EPERM: print('clone', hex(flag))
ctypes.set_errno(0)
if libc.syscall(157, ctypes.c_ulong(0x100000001), 0, 0, 0, 0) != -1: print('prctl')
ctypes.set_errno(0)
libc.syscall(435, None, 0)
print(errno.errorcode[ctypes.get_errno()])
)");
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->output, "ENOSYS\n");
}

TEST_F(Seccomp, TheOtherInterfacesOfTheProcessorAreDeadly) {
  // getpid of x32.
  const auto finished = Filtered("import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39); print('survived')");
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_TRUE(finished->report.signaled) << finished->output;
  EXPECT_EQ(finished->report.code, SIGSYS);
}
#endif

// A real encoder with every wall up does its work, and its output is where it may be.
TEST(Sandbox, FfmpegEncodesInsideAllWalls) {
  ASSERT_TRUE(std::filesystem::exists("/usr/bin/ffmpeg")) << "this test needs ffmpeg";
  const SandboxSupport support = DetectSandbox();
  TemporaryFolder folder;
  const UniqueFd work = folder.Open();
  {
    Runner make;
    make.Program("/usr/bin/ffmpeg",
                 {"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:d=1", "-f", "lavfi",
                  "-i", "sine=d=1", "-c:v", "libx264", "-preset", "ultrafast", "-shortest", folder / "input.mp4"});
    const auto made = make.Run();
    ASSERT_TRUE(made) << Describe(made.error());
    ASSERT_EQ(made->report.code, 0) << made->output;
  }
  std::filesystem::create_directory(folder / "work");
  const UniqueFd inside = std::move(OpenFolder(folder / "work", Access::kWrite).value());
  const auto input = OpenInput(folder / "input.mp4");
  ASSERT_TRUE(input);
  const auto progress = MakePipe();

  const CgroupRoot cgroups = CgroupRoot::Detect();
  const auto group = cgroups.Create("fmpegfmpegfmpegf", Bytes::Mib(400));
  ASSERT_TRUE(group) << Describe(group.error());

  Runner runner;
  runner.Program("/usr/bin/ffmpeg", {"ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-progress", "pipe:4", "-i",
                                     "file:/proc/self/fd/3", "-vf", "crop=120:200", "-c:v", "libx264", "-c:a", "aac",
                                     "-movflags", "+faststart", "file:out.mp4"});
  UniqueFd wall;
  if (support.landlock_abi > 0) {
    auto rules = Libraries();
    rules.push_back({.path = {}, .fd = inside.get(), .allow = FileRule::Allow::kReadWriteBelow});
    rules.push_back({.path = {}, .fd = input->fd.get(), .allow = FileRule::Allow::kRead});
    wall = std::move(BuildLandlock(rules).value());
    runner.spec.landlock = wall.get();
  }
  SeccompProgram filter;
  if (support.seccomp) {
    filter = std::move(BuildSeccomp().value());
    runner.spec.seccomp = &filter;
  }
  runner.spec.working_folder = inside.get();
  runner.spec.fds = {{input->fd.get(), 3}, {progress->write_end.get(), 4}};
  runner.spec.limits = {.cpu = 60s, .file_size = Bytes::Mib(50), .stack = Bytes::Mib(1), .open_files = 64};
  runner.spec.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent", "TMPDIR=."};
  if (*group) {
    runner.spec.clone_into_cgroup = (*group)->clone_into_fd();
    runner.spec.join_cgroup = (*group)->join_fd();
  }
  UsePidNamespace(runner.spec, support);
  const auto finished = runner.Run();
  ASSERT_TRUE(finished) << Describe(finished.error());
  EXPECT_EQ(finished->report.code, 0);
  EXPECT_EQ(finished->output, "");
  EXPECT_GT(std::filesystem::file_size(folder / "work/out.mp4"), 5000U);
  char text[4096];
  const ssize_t got = ::read(progress->read_end.get(), text, sizeof(text));
  ASSERT_GT(got, 0);
  EXPECT_THAT(std::string(text, static_cast<std::size_t>(got)), HasSubstr("progress=end"));
}

}  // namespace
}  // namespace weir::os
