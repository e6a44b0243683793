// The walls around one child: Landlock (which files), seccomp (which system calls), and the record of
// which walls this machine has. Built in the parent; the child only switches them on between fork and exec.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

// What the kernel offers here, found by asking it once (Landlock ABI query, a trial child for namespaces).
struct SandboxSupport {
  int landlock_abi = 0;  // 0: none; TCP rules from 4
  bool seccomp = false;
  bool pid_namespace = false;  // as root, or through a user namespace
  bool user_namespace_needed = false;

  // One word for each missing layer ("landlock", "seccomp", "pid-namespace"); empty when all are there.
  [[nodiscard]] std::vector<std::string> Missing() const;
};

// Starts and reaps trial children; tens of milliseconds at most. Environment variable WEIR_TEST_NO_LAYERS
// (comma-separated words as above) makes layers look absent, so that their absence can be tested.
SandboxSupport DetectSandbox();

struct FileRule {
  enum class Allow : std::uint8_t { kRead, kReadExecute, kReadWriteBelow };
  std::string path;  // used when fd < 0; a path that does not exist is skipped
  int fd = -1;       // a descriptor held by the caller: the very file that was opened and checked
  Allow allow = Allow::kRead;
};

// A Landlock rule set as a descriptor, ready to be switched on in a child. Everything not named is refused:
// reading, writing, executing, making, removing, and, from ABI 4, TCP. Errors: kSandbox.
Result<UniqueFd> BuildLandlock(const std::vector<FileRule>& rules);

// One classic-BPF instruction; the same layout as the kernel's struct sock_filter.
struct FilterInstruction {
  std::uint16_t code = 0;
  std::uint8_t jump_true = 0;
  std::uint8_t jump_false = 0;
  std::uint32_t k = 0;
};
using SeccompProgram = std::vector<FilterInstruction>;

// The deny list as a BPF program: more processes (threads are free), sockets, ptrace, mount, namespaces, owners and
// modes of files, changes of user, keyrings, bpf, io_uring, userfaultfd, kernel modules, clocks, reboot,
// foreign-process memory, personality and the parent-death signal answer EPERM, clone3 ENOSYS; calls by another
// processor interface (x32, i386) are deadly. execve stays allowed, because the filter is switched on before it.
// Errors: kSandbox.
Result<SeccompProgram> BuildSeccomp();

}  // namespace weir::os
