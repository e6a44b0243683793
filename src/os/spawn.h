// Spawn: starts one program in a fully declared world and returns a running child, or says why not.
// Never "exit 127": a failed exec is an error here. Nothing allocates between fork and exec.
// Call it from a thread that lives as long as the process: the parent-death signal is tied to that thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"
#include "os/sandbox.h"

namespace weir::os {

struct FdMapping {
  int source = -1;  // ours; close-on-exec is fine
  int target = -1;  // the child's number: 0, 1, 2, 3, ...
};

struct ChildLimits {
  std::optional<std::chrono::seconds> cpu;  // RLIMIT_CPU
  std::optional<Bytes> file_size;           // RLIMIT_FSIZE
  std::optional<Bytes> data;                // RLIMIT_DATA, the memory back end without cgroups
  std::optional<Bytes> stack;               // RLIMIT_STACK: also the default stack of the child's threads
  std::uint64_t open_files = 64;            // RLIMIT_NOFILE
};  // RLIMIT_CORE is always 0

struct ChildSpec {
  std::string program;                   // absolute path
  std::vector<std::string> argv;         // argv[0] included
  std::vector<std::string> environment;  // "KEY=value"; nothing is inherited
  int working_folder = -1;               // descriptor; becomes the current folder
  std::vector<FdMapping> fds;            // the complete set: everything else is closed in the child
  ChildLimits limits;
  bool new_pid_namespace = false;  // the child is PID 1 of its own namespace: its death ends all its descendants
  bool user_namespace = false;     // needed for the former without root
  int landlock = -1;               // from BuildLandlock; -1: none
  const SeccompProgram* seccomp = nullptr;
  bool drop_capabilities = true;  // root keeps only the right to pass file permissions
  int clone_into_cgroup = -1;     // from MemoryGroup
  int join_cgroup = -1;           // from MemoryGroup
  int oom_score_adj = 500;        // prefer the child over everything else when memory is short
  int nice = 0;
};

// A child that runs (or has ended and is not reaped yet). Leads its own session and process group, dies with
// the thread that made it (PR_SET_PDEATHSIG, SIGKILL), has default signal dispositions and an empty mask.
struct ChildHandle {
  pid_t pid = -1;
  UniqueFd pidfd;  // becomes readable when the child ends
};

// Errors: kToolMissing (ENOENT, EACCES on the program), kToolUnusable (not an executable format), kSandbox (a
// wall could not be switched on), kSystem (anything else; the sentence names the step).
Result<ChildHandle> Spawn(const ChildSpec& spec);

struct ExitReport {
  bool signaled = false;
  int code = 0;         // exit status, or signal number
  Bytes peak_resident;  // ru_maxrss: the kernel's high-water mark of the largest process
  std::chrono::microseconds user_time{};
  std::chrono::microseconds system_time{};
};

// The ending of exactly this child, with its resource use; nullopt while it still runs. Reaps it.
Result<std::optional<ExitReport>> Reap(const ChildHandle& child);

// Signal to the child itself; an ended child is fine.
void SendSignal(const ChildHandle& child, int signal);
// Signal to its whole process group (the child is its leader). Valid until Reap has returned its ending.
void SendSignalToGroup(const ChildHandle& child, int signal);

struct Pipe {
  UniqueFd read_end;   // non-blocking
  UniqueFd write_end;  // blocking, for the child
};
Result<Pipe> MakePipe();
// /dev/null, opened for reading and writing.
Result<UniqueFd> OpenNull();

}  // namespace weir::os
