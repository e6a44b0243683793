#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <initializer_list>
#include <memory>

#include "os/sandbox.h"

namespace weir::os {
namespace {

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};

// By name, because libseccomp knows numbers that the C library's header does not; names that this libseccomp does
// not know are left out. Answered with EPERM, so that a decoder that merely tries goes on without.
constexpr auto kDenied = std::to_array<const char*>({
    // Network, all families.
    "socket",
    "socketpair",
    "socketcall",
    "bind",
    "connect",
    "listen",
    "accept",
    "accept4",
    // Other processes.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_getfd",
    "kcmp",
    "migrate_pages",
    "move_pages",
    // File systems and namespaces.
    "mount",
    "umount",
    "umount2",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "acct",
    "open_by_handle_at",
    "name_to_handle_at",
    "fanotify_init",
    "fanotify_mark",
    "mknod",
    "mknodat",
    // Landlock refuses truncation by path only from ABI 3 on; descriptors that a child has may be cut as it likes.
    "truncate",
    "truncate64",
    // Objects that would outlive the child.
    "shmget",
    "msgget",
    "semget",
    "mq_open",
    // Owners, modes and attributes of files: Landlock does not cover them.
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    // Identity.
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    // Keys and the kernel itself.
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "syslog",
    "_sysctl",
    "sysfs",
    "uselib",
    "ustat",
    "lookup_dcookie",
    "nfsservctl",
    "vm86",
    "vm86old",
    "vserver",
    "vmsplice",
    "memfd_secret",
    "modify_ldt",
    "iopl",
    "ioperm",
    "pciconfig_read",
    "pciconfig_write",
    "pciconfig_iobase",
    "vhangup",
    "sethostname",
    "setdomainname",
    // Clocks.
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
});

Error FilterError(const char* what, int error) {
  return SystemError(std::string("cannot build the seccomp filter: ") + what, error, ErrorCode::kSandbox);
}

}  // namespace

Result<SeccompProgram> BuildSeccomp() {
  const std::unique_ptr<void, Release> filter(::seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return std::unexpected(FilterError("out of memory", ENOMEM));
  // System calls of the 32-bit and x32 interfaces have other numbers and would walk past the list.
  if (const int status = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
      status != 0) {
    return std::unexpected(FilterError("foreign interfaces", -status));
  }
  const auto deny = [&](const char* name, int answer, std::initializer_list<scmp_arg_cmp> when) -> Status {
    const int number = ::seccomp_syscall_resolve_name(name);
    // Below zero: unknown, or known to other architectures only.
    if (number < 0) return {};
    const int status = ::seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(static_cast<std::uint32_t>(answer)),
                                                number, static_cast<unsigned>(when.size()), std::data(when));
    if (status != 0) return std::unexpected(FilterError(name, -status));
    return {};
  };
  for (const char* name : kDenied) WEIR_TRY(deny(name, EPERM, {}));
  // Its flags are behind a pointer, out of a filter's sight; on ENOSYS the C library falls back to clone.
  WEIR_TRY(deny("clone3", ENOSYS, {}));
  // Threads only. A second process would get its own RLIMIT_DATA, and have to be found to be ended.
  WEIR_TRY(deny("fork", EPERM, {}));
  WEIR_TRY(deny("vfork", EPERM, {}));
  WEIR_TRY(deny("clone", EPERM, {{.arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0}}));
  // With CLONE_THREAD the kernel refuses new process and user namespaces by itself; the others it would make.
  for (const std::uint64_t flag : std::to_array<std::uint64_t>(
           {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET})) {
    WEIR_TRY(deny("clone", EPERM, {{.arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = flag, .datum_b = flag}}));
  }
  // Asking for the personality is harmless, changing it switches mitigations off.
  WEIR_TRY(deny("personality", EPERM, {{.arg = 0, .op = SCMP_CMP_NE, .datum_a = 0xffffffff, .datum_b = 0}}));
  // A child must not untie its life from ours. The kernel looks at the lower half of the register only.
  WEIR_TRY(deny("prctl", EPERM,
                {{.arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffff, .datum_b = PR_SET_PDEATHSIG}}));

  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return std::unexpected(FilterError("memfd", errno));
  if (const int status = ::seccomp_export_bpf(filter.get(), memory.get()); status != 0) {
    return std::unexpected(FilterError("export", -status));
  }
  const off_t size = ::lseek(memory.get(), 0, SEEK_END);
  if (size <= 0 || size % static_cast<off_t>(sizeof(FilterInstruction)) != 0) {
    return std::unexpected(FilterError("size", EINVAL));
  }
  SeccompProgram program(static_cast<std::size_t>(size) / sizeof(FilterInstruction));
  if (::pread(memory.get(), program.data(), static_cast<std::size_t>(size), 0) != size) {
    return std::unexpected(FilterError("read", errno));
  }
  return program;
}

}  // namespace weir::os
