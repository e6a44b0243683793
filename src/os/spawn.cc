#include "os/spawn.h"

#include <fcntl.h>
#include <linux/bpf_common.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <string_view>

#include "base/text.h"
#include "os/clone.h"
#include "os/file.h"

namespace weir::os {
namespace {

static_assert(sizeof(FilterInstruction) == sizeof(sock_filter));
static_assert(offsetof(FilterInstruction, jump_true) == offsetof(sock_filter, jt));
static_assert(offsetof(FilterInstruction, jump_false) == offsetof(sock_filter, jf));
static_assert(offsetof(FilterInstruction, k) == offsetof(sock_filter, k));

// The kernel only reads it; its own struct sock_fprog lacks the const.
struct FilterProgram {
  unsigned short length = 0;
  const FilterInstruction* instructions = nullptr;
};
static_assert(sizeof(FilterProgram) == sizeof(sock_fprog));
static_assert(offsetof(FilterProgram, instructions) == offsetof(sock_fprog, filter));

// Where a child can fail before its program runs; crosses the error line. kTied is no failure: it asks whether
// the parent still lives.
enum class Step : int {
  kSession,
  kMemoryGroup,
  kNice,
  kFolder,
  kDescriptors,
  kLimits,
  kParent,
  kTied,
  kSignals,
  kCapabilities,
  kNoNewPrivileges,
  kLandlock,
  kSeccomp,
  kExec,
};

const char* Words(Step step) {
  switch (step) {
    case Step::kSession:
      return "make a session";
    case Step::kMemoryGroup:
      return "enter its memory group";
    case Step::kNice:
      return "set its priority";
    case Step::kFolder:
      return "enter its working folder";
    case Step::kDescriptors:
      return "arrange its descriptors";
    case Step::kLimits:
      return "set its limits";
    case Step::kParent:
    case Step::kTied:
      return "tie its life to ours";
    case Step::kSignals:
      return "reset its signals";
    case Step::kCapabilities:
      return "drop its capabilities";
    case Step::kNoNewPrivileges:
      return "renounce new privileges";
    case Step::kLandlock:
      return "switch Landlock on";
    case Step::kSeccomp:
      return "switch seccomp on";
    case Step::kExec:
      return "run the program";
  }
  return "start";
}

// Stock kernels hand out huge pages unasked, by which the same encode took 12 % more than forecast. x264 asks for
// them, which makes it 2 % faster for 1 % more: what only Linux 6.18 and later can tell apart, by a flag that older
// headers lack.
constexpr long kExceptAdvised = 1L << 1;  // PR_THP_DISABLE_EXCEPT_ADVISED

bool HugePagesUnasked() {
  const auto mode = ReadSmallFile("/sys/kernel/mm/transparent_hugepage/enabled");
  return !mode || mode->find("[always]") != std::string::npos;
}

struct Failure {
  Step step;
  int error;
};

struct Limit {
  int resource;
  rlimit64 value;
};

struct Range {
  unsigned first;
  unsigned last;
};

// Everything that the child needs, computed before it exists. Plain pointers and numbers into the parent's
// memory, which the child sees as a copy; `moved` is scratch space of the child.
struct Plan {
  const char* program = nullptr;
  const char* const* argv = nullptr;
  const char* const* environment = nullptr;
  const FdMapping* fds = nullptr;
  int* moved = nullptr;
  std::size_t fd_count = 0;
  const Range* closed = nullptr;
  std::size_t closed_count = 0;
  const Limit* limits = nullptr;
  std::size_t limit_count = 0;
  int above_targets = 0;
  int working_folder = -1;
  int join_cgroup = -1;
  int enter_cgroup = -1;
  int landlock = -1;
  bool huge_pages_unasked = false;
  const FilterProgram* seccomp = nullptr;
  const char* oom_score_adj = nullptr;
  std::size_t oom_score_adj_size = 0;
  int nice = 0;
  bool drop_capabilities = true;
  int parents_end = -1;
  int error_line = -1;
};

// In the child: system calls only, no allocation, no lock, nothing that a sanitizer or glibc intercepts.
#define WEIR_IN_CHILD [[gnu::no_sanitize("address", "thread", "undefined"), gnu::noinline]]

[[noreturn]] WEIR_IN_CHILD void Die(int line, Step step) {
  const Failure failure{step, errno};
  ::syscall(SYS_write, line, &failure, sizeof(failure));
  for (;;) ::syscall(SYS_exit_group, 127);
}

WEIR_IN_CHILD bool WriteZero(int fd) { return ::syscall(SYS_write, fd, "0", 1) == 1; }

WEIR_IN_CHILD void EnterGroups(const Plan& plan) {
  if (plan.join_cgroup >= 0 && !WriteZero(plan.join_cgroup)) Die(plan.error_line, Step::kMemoryGroup);
  if (plan.enter_cgroup >= 0) {
    const long procs = ::syscall(SYS_openat, plan.enter_cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0 || !WriteZero(static_cast<int>(procs))) Die(plan.error_line, Step::kMemoryGroup);
    ::syscall(SYS_close, procs);
  }
}

// Sources first move above every target, so that no target overwrites a source that is still needed. What is
// left keeps its number but closes at exec: the error line must live until then.
WEIR_IN_CHILD void ArrangeDescriptors(const Plan& plan, int& error_line, int& landlock) {
  const long moved_line = ::syscall(SYS_fcntl, error_line, F_DUPFD_CLOEXEC, plan.above_targets);
  if (moved_line < 0) Die(error_line, Step::kDescriptors);
  ::syscall(SYS_close, error_line);
  error_line = static_cast<int>(moved_line);
  if (landlock >= 0) {
    const long moved = ::syscall(SYS_fcntl, landlock, F_DUPFD_CLOEXEC, plan.above_targets);
    if (moved < 0) Die(error_line, Step::kDescriptors);
    landlock = static_cast<int>(moved);
  }
  for (std::size_t i = 0; i < plan.fd_count; ++i) {
    const long moved = ::syscall(SYS_fcntl, plan.fds[i].source, F_DUPFD_CLOEXEC, plan.above_targets);
    if (moved < 0) Die(error_line, Step::kDescriptors);
    plan.moved[i] = static_cast<int>(moved);
  }
  for (std::size_t i = 0; i < plan.fd_count; ++i) {
    if (::syscall(SYS_dup3, plan.moved[i], plan.fds[i].target, 0) < 0) Die(error_line, Step::kDescriptors);
  }
  for (std::size_t i = 0; i < plan.closed_count; ++i) {
    if (::syscall(SYS_close_range, plan.closed[i].first, plan.closed[i].last, CLOSE_RANGE_CLOEXEC) != 0) {
      Die(error_line, Step::kDescriptors);
    }
  }
}

// The signal is not sent for a parent that died before it was asked for. Neither getppid(), which says nothing
// in a new PID namespace, nor a closed descriptor, which another thread of a dying parent still holds open,
// shows such a death. An answer does: the thread that gives it lives after the signal was asked for.
WEIR_IN_CHILD void TieToParent(int error_line) {
  if (::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) Die(error_line, Step::kParent);
  const Failure tied{Step::kTied, 0};
  if (::syscall(SYS_write, error_line, &tied, sizeof(tied)) != sizeof(tied)) Die(error_line, Step::kParent);
  char answer = 0;
  if (::syscall(SYS_read, error_line, &answer, 1) != 1) Die(error_line, Step::kParent);
}

WEIR_IN_CHILD void ResetSignals(int error_line) {
  struct {
    std::uintptr_t handler, flags, restorer;
    std::uint64_t mask;
  } const standard{0, 0, 0, 0};
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) ::syscall(SYS_rt_sigaction, signal, &standard, nullptr, 8);
  }
  const std::uint64_t none = 0;
  if (::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof(none)) != 0) Die(error_line, Step::kSignals);
}

// Root keeps only the right to pass file permissions: it must still read the input of another user through
// /proc/self/fd. Everything else that root may do is of no use to a decoder and of much use to its attacker.
WEIR_IN_CHILD void DropCapabilities(int error_line) {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capget, &header, &data) != 0) Die(error_line, Step::kCapabilities);
  constexpr unsigned kKept = (1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH);
  data[0].effective &= kKept;
  data[0].permitted &= kKept;
  data[0].inheritable = 0;
  data[1].effective = 0;
  data[1].permitted = 0;
  data[1].inheritable = 0;
  // The bounding set falls first: it takes a capability to lower it, and exec as root would refill from it.
  for (unsigned capability = 0; capability < 64; ++capability) {
    if (capability < 32 && ((kKept >> capability) & 1U) != 0) continue;
    if (::syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;
  }
  ::syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  header.version = _LINUX_CAPABILITY_VERSION_3;
  header.pid = 0;
  if (::syscall(SYS_capset, &header, &data) != 0) Die(error_line, Step::kCapabilities);
}

[[noreturn]] WEIR_IN_CHILD void RunChild(const Plan& plan) {
  int error_line = plan.error_line;
  int landlock = plan.landlock;
  ::syscall(SYS_close, plan.parents_end);
  if (::syscall(SYS_setsid) < 0) Die(error_line, Step::kSession);
  EnterGroups(plan);
  const long score = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    ::syscall(SYS_write, score, plan.oom_score_adj, plan.oom_score_adj_size);
    ::syscall(SYS_close, score);
  }
  if (::syscall(SYS_prctl, PR_SET_THP_DISABLE, 1, kExceptAdvised, 0, 0) != 0 && plan.huge_pages_unasked) {
    ::syscall(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
  }
  if (plan.nice != 0 && ::syscall(SYS_setpriority, PRIO_PROCESS, 0, plan.nice) != 0) Die(error_line, Step::kNice);
  if (plan.working_folder >= 0 && ::syscall(SYS_fchdir, plan.working_folder) != 0) Die(error_line, Step::kFolder);
  ArrangeDescriptors(plan, error_line, landlock);
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    if (::syscall(SYS_prlimit64, 0, plan.limits[i].resource, &plan.limits[i].value, nullptr) != 0) {
      Die(error_line, Step::kLimits);
    }
  }
  if (plan.drop_capabilities) DropCapabilities(error_line);
  // After the last change of credentials, because such a change may clear it.
  TieToParent(error_line);
  ResetSignals(error_line);
  if (::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Die(error_line, Step::kNoNewPrivileges);
  if (landlock >= 0 && ::syscall(SYS_landlock_restrict_self, landlock, 0) != 0) Die(error_line, Step::kLandlock);
  if (plan.seccomp != nullptr && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.seccomp) != 0) {
    Die(error_line, Step::kSeccomp);
  }
  ::syscall(SYS_execve, plan.program, plan.argv, plan.environment);
  Die(error_line, Step::kExec);
}

#undef WEIR_IN_CHILD

std::vector<const char*> Pointers(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(word.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<Limit> LimitsOf(const ChildLimits& limits) {
  std::vector<Limit> result;
  const auto add = [&](int resource, std::uint64_t soft, std::uint64_t hard) {
    // Without root a limit can only go down: what is tighter already stays.
    rlimit64 now{};
    if (::prlimit64(0, static_cast<__rlimit_resource>(resource), nullptr, &now) == 0)
      hard = std::min(hard, now.rlim_max);
    result.push_back({resource, {.rlim_cur = std::min(soft, hard), .rlim_max = hard}});
  };
  add(RLIMIT_CORE, 0, 0);
  add(RLIMIT_NOFILE, limits.open_files, limits.open_files);
  if (limits.cpu) {
    // PID 1 of a namespace ignores SIGXCPU; the hard limit one second later kills it all the same.
    const auto seconds = static_cast<std::uint64_t>(std::max<std::chrono::seconds::rep>(1, limits.cpu->count()));
    add(RLIMIT_CPU, seconds, seconds + 1);
  }
  if (limits.file_size) add(RLIMIT_FSIZE, limits.file_size->count(), limits.file_size->count());
  if (limits.data) add(RLIMIT_DATA, limits.data->count(), limits.data->count());
  if (limits.stack) add(RLIMIT_STACK, limits.stack->count(), limits.stack->count());
  return result;
}

// The numbers between the targets.
std::vector<Range> GapsBetween(const std::vector<FdMapping>& fds) {
  std::vector<unsigned> targets;
  targets.reserve(fds.size());
  for (const FdMapping& fd : fds) targets.push_back(static_cast<unsigned>(fd.target));
  std::ranges::sort(targets);
  std::vector<Range> gaps;
  unsigned next = 0;
  for (const unsigned target : targets) {
    if (target > next) gaps.push_back({next, target - 1});
    next = target + 1;
  }
  gaps.push_back({next, UINT_MAX});
  return gaps;
}

Status Validate(const ChildSpec& spec) {
  const auto has_nul = [](const std::string& word) { return word.find('\0') != std::string::npos; };
  if (spec.program.empty() || spec.program.front() != '/') {
    return Fail(ErrorCode::kInternal, "not an absolute program path: " + Quoted(spec.program));
  }
  if (spec.argv.empty()) return Fail(ErrorCode::kInternal, "a child without argv[0]");
  if (has_nul(spec.program) || std::ranges::any_of(spec.argv, has_nul) ||
      std::ranges::any_of(spec.environment, has_nul)) {
    return Fail(ErrorCode::kInternal, "a NUL byte in the arguments of a child");
  }
  std::vector<int> targets;
  for (const FdMapping& fd : spec.fds) {
    if (fd.source < 0 || fd.target < 0 || fd.target > 1000)
      return Fail(ErrorCode::kInternal, "a bad descriptor for a child");
    targets.push_back(fd.target);
  }
  std::ranges::sort(targets);
  if (std::ranges::adjacent_find(targets) != targets.end()) {
    return Fail(ErrorCode::kInternal, "two descriptors of a child with the same number");
  }
  return {};
}

Error CloneError(const ChildSpec& spec, int error) {
  const std::string what = "cannot start a process for " + Quoted(spec.program);
  if (spec.new_pid_namespace || spec.user_namespace) {
    switch (error) {
      case EPERM:
      case ENOSPC:
      case EUSERS:
      case EINVAL:
        return SystemError(what + " in its own process namespace", error, ErrorCode::kSandbox);
      default:
        break;
    }
  }
  return SystemError(what, error);
}

Error StartError(const ChildSpec& spec, const Failure& failure) {
  const std::string program = Quoted(spec.program);
  switch (failure.step) {
    case Step::kExec:
      switch (failure.error) {
        case ENOENT:
        case ENOTDIR:
          return {.code = ErrorCode::kToolMissing,
                  .detail = "there is no program " + program + "; install it or name another"};
        case EACCES:
        case EPERM:
          return {.code = ErrorCode::kToolMissing,
                  .detail = "no permission to run " + program + "; make it executable or name another"};
        case ENOEXEC:
        case ELIBBAD:
          return SystemError(program + " is not a program that can run here", failure.error,
                             ErrorCode::kToolUnusable);
        default:
          break;
      }
      break;
    case Step::kCapabilities:
    case Step::kNoNewPrivileges:
    case Step::kLandlock:
    case Step::kSeccomp:
      return SystemError("a child could not " + std::string(Words(failure.step)), failure.error, ErrorCode::kSandbox);
    case Step::kSession:
    case Step::kMemoryGroup:
    case Step::kNice:
    case Step::kFolder:
    case Step::kDescriptors:
    case Step::kLimits:
    case Step::kParent:
    case Step::kTied:
    case Step::kSignals:
      break;
  }
  return SystemError("a child for " + program + " could not " + Words(failure.step), failure.error);
}

}  // namespace

Result<ChildHandle> Spawn(const ChildSpec& spec) {
  WEIR_TRY(Validate(spec));
  const std::vector<const char*> argv = Pointers(spec.argv);
  const std::vector<const char*> environment = Pointers(spec.environment);
  const std::vector<Limit> limits = LimitsOf(spec.limits);
  const std::vector<Range> gaps = GapsBetween(spec.fds);
  std::vector<int> moved(spec.fds.size(), -1);
  const std::string score = std::to_string(std::clamp(spec.oom_score_adj, -1000, 1000));
  FilterProgram filter;
  if (spec.seccomp != nullptr) {
    if (spec.seccomp->size() > BPF_MAXINSNS) return Fail(ErrorCode::kSandbox, "the seccomp filter is too long");
    filter = {.length = static_cast<unsigned short>(spec.seccomp->size()), .instructions = spec.seccomp->data()};
  }

  int error_line[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, error_line) != 0) {
    return std::unexpected(SystemError("cannot make a pair of sockets", errno));
  }
  const UniqueFd ours(error_line[0]);
  UniqueFd childs(error_line[1]);

  Plan plan{
      .program = spec.program.c_str(),
      .argv = argv.data(),
      .environment = environment.data(),
      .fds = spec.fds.data(),
      .moved = moved.data(),
      .fd_count = spec.fds.size(),
      .closed = gaps.data(),
      .closed_count = gaps.size(),
      .limits = limits.data(),
      .limit_count = limits.size(),
      .above_targets = static_cast<int>(gaps.back().first),
      .working_folder = spec.working_folder,
      .join_cgroup = spec.join_cgroup,
      .enter_cgroup = -1,
      .landlock = spec.landlock,
      .huge_pages_unasked = HugePagesUnasked(),
      .seccomp = spec.seccomp != nullptr && !spec.seccomp->empty() ? &filter : nullptr,
      .oom_score_adj = score.c_str(),
      .oom_score_adj_size = score.size(),
      .nice = spec.nice,
      .drop_capabilities = spec.drop_capabilities,
      .parents_end = ours.get(),
      .error_line = childs.get(),
  };
  const std::uint64_t flags = (spec.new_pid_namespace ? std::uint64_t{CLONE_NEWPID} : 0U) |
                              (spec.user_namespace ? std::uint64_t{CLONE_NEWUSER} : 0U);
  int pidfd = -1;
  CloneOutcome outcome;
  {
    const SignalBlock no_signals;
    outcome = CloneChild(flags, spec.clone_into_cgroup, &pidfd);
    if (outcome.pid == 0) {
      if (outcome.enter_cgroup) plan.enter_cgroup = spec.clone_into_cgroup;
      RunChild(plan);
    }
  }
  if (outcome.pid < 0) return std::unexpected(CloneError(spec, outcome.error));
  ChildHandle child{.pid = outcome.pid, .pidfd = UniqueFd(pidfd)};
  childs.Close();

  const auto hear = [&] {
    Failure failure{};
    ssize_t got = 0;
    do {
      got = ::read(ours.get(), &failure, sizeof(failure));
    } while (got < 0 && errno == EINTR);
    return got == static_cast<ssize_t>(sizeof(failure)) ? std::optional(failure) : std::nullopt;
  };
  std::optional<Failure> failure = hear();
  if (failure && failure->step == Step::kTied) {
    const char answer = 0;
    while (::send(ours.get(), &answer, sizeof(answer), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    failure = hear();
  }
  // End of file: exec closed the line, or the child was killed on its way there, which is an ordinary ending.
  if (!failure) return child;
  siginfo_t info{};
  while (::syscall(SYS_waitid, P_PIDFD, child.pidfd.get(), &info, WEXITED, nullptr) != 0 && errno == EINTR) {
  }
  return std::unexpected(StartError(spec, *failure));
}

Result<std::optional<ExitReport>> Reap(const ChildHandle& child) {
  siginfo_t info{};
  rusage usage{};
  long result = 0;
  do {
    result = ::syscall(SYS_waitid, P_PIDFD, child.pidfd.get(), &info, WEXITED | WNOHANG, &usage);
  } while (result != 0 && errno == EINTR);
  if (result != 0)
    return std::unexpected(SystemError("cannot learn how process " + std::to_string(child.pid) + " ended", errno));
  if (info.si_pid == 0) return std::optional<ExitReport>();
  const auto micros = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return ExitReport{.signaled = info.si_code != CLD_EXITED,
                    .code = info.si_status,
                    .peak_resident = Bytes::Kib(static_cast<std::uint64_t>(usage.ru_maxrss)),
                    .user_time = micros(usage.ru_utime),
                    .system_time = micros(usage.ru_stime)};
}

void SendSignal(const ChildHandle& child, int signal) {
  if (child.pidfd) ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), signal, nullptr, 0);
}

void SendSignalToGroup(const ChildHandle& child, int signal) {
  if (child.pid > 1) ::kill(-child.pid, signal);
}

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(SystemError("cannot make a pipe", errno));
  Pipe pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return std::unexpected(SystemError("cannot set up a pipe", errno));
  return pipe;
}

Result<UniqueFd> OpenNull() {
  UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!fd) return std::unexpected(SystemError("cannot open /dev/null", errno));
  return fd;
}

}  // namespace weir::os
