// One supervised child from spawn to report, and the registry of all of them. Knows nothing of media:
// what is on the progress pipe is the caller's business.
//
// Threads: everything runs on the one thread that runs the io_context, which must live as long as the
// process (the parent-death signal is tied to it). A Child may be destroyed at any moment: what it started is
// killed and reaped before the destructor returns, and its callbacks are not called any more.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "process/ending.h"

namespace weir::process {

// Descriptor numbers in every child of ours: 0 is /dev/null, 1 the standard output pipe, 2 the standard error
// pipe, 3 and up the inputs in order, then the progress pipe. media's plans name the same numbers.
inline constexpr int kFirstInputFd = 3;

// What to run. Everything a child may know of the world is in here.
struct Order {
  std::string id;       // fresh for each child (NewId); names its cgroup
  std::string purpose;  // "probe", "encode": for logs and diagnostics
  std::string program;  // absolute path
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  int working_folder = -1;                     // held by the caller for the child's life
  bool working_folder_writable = false;        // the only place that it may write
  std::vector<int> inputs;                     // descriptors, become 3, 4, ...; opened read-only by the caller
  bool progress_pipe = false;                  // one more descriptor after the inputs, for -progress
  Bytes memory_limit;                          // the lease: enforced by the back end; without cgroups a watcher
                                               // holds it, and RLIMIT_DATA bounds what comes between two looks
  Bytes file_memory{};                         // that it may write to tmpfs; its group is charged with it
  Bytes data_limit{};                          // RLIMIT_DATA of that back end; zero: derived from memory_limit
  Bytes shared_pages = Bytes::Mib(45);         // program and library text, which RLIMIT_DATA does not count
  Bytes file_size_limit = Bytes::Mib(64);      // of any one file that it writes
  Bytes folder_size_limit{};                   // of its whole working folder, watched; zero: not watched
  std::size_t folder_entries_limit = 10000;    // files in that folder, watched with its size
  std::chrono::seconds cpu_limit{0};           // zero: none
  std::chrono::milliseconds deadline{0};       // wall time; zero: none
  std::chrono::milliseconds stall_limit{0};    // zero: none; see Hooks::on_progress
  std::chrono::milliseconds stop_grace{2000};  // zero: Stop kills at once
  Bytes stderr_tail = Bytes::Kib(16);
  int nice = 0;
};

struct Hooks {
  // Bytes of the progress pipe, as they come. Returns true when they show that work advanced, which
  // restarts the stall clock, as bytes written to storage do. Without this hook, any byte on any pipe counts.
  std::function<bool(std::string_view)> on_progress;
  // Bytes of standard output, as they come. Reading stops until the call returns, so a slow reader stops the child.
  std::function<void(std::string_view)> on_stdout;
  // Resident memory of its whole tree, ten times a second or more often; shared pages count in each process.
  std::function<void(Bytes)> on_memory;
};

struct ChildReport {
  Ending ending;
  Bytes peak_resident;                  // kernel high-water mark of the largest process; at least our own size,
                                        // which the child had before exec
  Bytes peak_tree;                      // highest sampled sum over all its processes; at least peak_resident
  std::optional<Bytes> cgroup_peak;     // charge of the memory group, page cache included
  std::size_t most_processes = 1;       // seen at once
  std::uint64_t folder_bytes_peak = 0;  // of the working folder, as watched
  bool folder_limit_exceeded = false;   // the ending is Cancelled because of a limit of the folder
  std::chrono::microseconds user_time{};
  std::chrono::microseconds system_time{};
  Duration wall{};
  std::string stderr_text;         // bounded tail
  std::uint64_t stderr_bytes = 0;  // all that it wrote
};

// What is common to all children: the machine's walls and how they are used. Built once by app.
struct Walls {
  os::SandboxSupport support;
  os::CgroupRoot cgroups;
  std::vector<os::FileRule> readable;  // libraries, devices, the program itself
  os::SeccompProgram seccomp;          // empty: none
};

// The spawning seam: the one real implementation calls os::Spawn.
class Spawner {
 public:
  Spawner() = default;
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;
  virtual ~Spawner() = default;
  virtual Result<os::ChildHandle> Spawn(const os::ChildSpec& spec) = 0;
};
class RealSpawner final : public Spawner {
 public:
  Result<os::ChildHandle> Spawn(const os::ChildSpec& spec) override;
};

class Child {
 public:
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  virtual ~Child() = default;

  // TERM, one grace, KILL. The report still comes, as Cancelled. Safe to repeat and after the end.
  virtual void Stop() = 0;
  // KILL now. The report still comes.
  virtual void Kill() = 0;
  // Stands still (SIGSTOP), with its deadline and its stall clock, until Resume or until it is to end. It keeps its
  // memory. Safe to repeat and after the end.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  // Less memory from now on; asking for more than it has is ignored. The address space stays as ordered. Not below
  // what it uses: it would be killed. Errors: kSystem; the limit is the old one then.
  virtual Status LowerMemoryLimit(Bytes limit) = 0;
  [[nodiscard]] virtual bool ended() const = 0;
  [[nodiscard]] virtual pid_t pid() const = 0;
  // The highest memory of its tree sampled so far.
  [[nodiscard]] virtual Bytes sampled_peak() const = 0;

 protected:
  Child() = default;
};

// Starts children and knows all that live. Must outlive every Child that it made.
class Launcher {
 public:
  Launcher(boost::asio::io_context& loop, Walls walls, Spawner& spawner);
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  ~Launcher();

  // `on_end` is called exactly once, from the loop, never from inside Start, unless the Child is destroyed first.
  // A refusal to spawn is both the error here and never a callback.
  Result<std::unique_ptr<Child>> Start(const Order& order, Hooks hooks, std::function<void(ChildReport)> on_end);

  // Everything that lives is told to stop (false), with one deadline for all, or killed (true).
  void StopAll(bool immediately);
  [[nodiscard]] std::size_t living() const;
  [[nodiscard]] const Walls& walls() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace weir::process
