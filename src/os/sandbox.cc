#include "os/sandbox.h"

#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "os/clone.h"
#include "os/landlock_abi.h"

namespace weir::os {
namespace {

// A child in new namespaces that leaves at once: 0 when it is PID 1 there.
[[gnu::no_sanitize("address", "thread", "undefined"), gnu::noinline]] bool NamespaceWorks(std::uint64_t flags) {
  int pidfd = -1;
  pid_t pid = 0;
  {
    const SignalBlock no_signals;
    pid = CloneChild(flags, -1, &pidfd).pid;
    if (pid == 0) {
      for (;;) ::syscall(SYS_exit_group, ::syscall(SYS_getpid) == 1 ? 0 : 1);
    }
  }
  if (pid < 0) return false;
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  while (::syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, nullptr) != 0) {
    if (errno != EINTR) return false;
  }
  return info.si_code == CLD_EXITED && info.si_status == 0;
}

bool SeccompWorks() {
  const std::uint32_t action = SECCOMP_RET_ERRNO;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool Hidden(std::string_view layer) {
  const char* variable = std::getenv("WEIR_TEST_NO_LAYERS");
  std::string_view words = variable == nullptr ? "" : variable;
  while (!words.empty()) {
    const std::size_t comma = words.find(',');
    if (words.substr(0, comma) == layer) return true;
    if (comma == std::string_view::npos) return false;
    words.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

std::vector<std::string> SandboxSupport::Missing() const {
  std::vector<std::string> missing;
  if (landlock_abi == 0) missing.emplace_back("landlock");
  if (!seccomp) missing.emplace_back("seccomp");
  if (!pid_namespace) missing.emplace_back("pid-namespace");
  return missing;
}

SandboxSupport DetectSandbox() {
  SandboxSupport support;
  if (!Hidden("landlock")) support.landlock_abi = LandlockAbi();
  support.seccomp = !Hidden("seccomp") && SeccompWorks();
  if (!Hidden("pid-namespace")) {
    support.pid_namespace = NamespaceWorks(CLONE_NEWPID);
    if (!support.pid_namespace) {
      support.user_namespace_needed = NamespaceWorks(CLONE_NEWPID | CLONE_NEWUSER);
      support.pid_namespace = support.user_namespace_needed;
    }
  }
  return support;
}

}  // namespace weir::os
