#include "os/clone.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace weir::os {

[[gnu::no_sanitize("address", "thread", "undefined")]] CloneOutcome CloneChild(std::uint64_t flags, int cgroup,
                                                                               int* pidfd) {
  CloneOutcome outcome;
  if (cgroup >= 0) flags |= CLONE_INTO_CGROUP;
  clone_args args{};
  args.flags = flags | static_cast<std::uint64_t>(CLONE_PIDFD);
  args.pidfd = reinterpret_cast<std::uintptr_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) args.cgroup = static_cast<decltype(args.cgroup)>(cgroup);
  outcome.pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args)));
  if (outcome.pid < 0 && errno == ENOSYS) {
    // Container managers answer so to push programs back to clone. Its third argument doubles as the pidfd's place.
    outcome.enter_cgroup = cgroup >= 0;
    flags &= ~static_cast<std::uint64_t>(CLONE_INTO_CGROUP);
    outcome.pid =
        static_cast<pid_t>(::syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, nullptr, pidfd, nullptr, 0UL));
  }
  if (outcome.pid < 0) outcome.error = errno;
  return outcome;
}

SignalBlock::SignalBlock() {
  const std::uint64_t all = ~std::uint64_t{0};
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &saved_, sizeof(all));
}

SignalBlock::~SignalBlock() { ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved_, nullptr, sizeof(saved_)); }

}  // namespace weir::os
