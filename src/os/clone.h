// The raw fork of this room: clone3 with its fallback, used by Spawn and by the trial children of the
// sandbox detection. Not for other rooms.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace weir::os {

// What the child must still do itself when the kernel has no clone3.
struct CloneOutcome {
  pid_t pid = -1;             // 0 in the child
  int error = 0;              // errno when pid is -1
  bool enter_cgroup = false;  // write "0" to cgroup.procs below `cgroup`: CLONE_INTO_CGROUP was not possible
};

// A child on a copy of this stack and address space, with a pidfd in the parent (close-on-exec). `flags` are
// CLONE_NEW*; `cgroup` is a folder of a cgroup2 hierarchy or -1. The child must stay with raw system calls.
CloneOutcome CloneChild(std::uint64_t flags, int cgroup, int* pidfd);

// Blocks every signal for this thread while it lives, so that no handler of ours ever runs in a child.
class SignalBlock {
 public:
  SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;
  ~SignalBlock();

 private:
  std::uint64_t saved_ = 0;
};

}  // namespace weir::os
