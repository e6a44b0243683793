// How memory stands, of the machine and of one control group, and how long work waits for it. Every function takes
// one reading and keeps nothing; any folder can stand in for /proc and /sys/fs/cgroup in tests. What the kernel does
// not have, or does not let us read, is absent and never an error. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

// /proc/meminfo. Absent: a member that it does not have; all, when it cannot be read.
struct MachineMemory {
  std::optional<Bytes> total{};
  std::optional<Bytes> available{};
  std::optional<Bytes> swap_total{};  // zero: there is no swap
  std::optional<Bytes> swap_free{};
};
MachineMemory ReadMachineMemory(const std::string& proc = "/proc");

// Pressure stall information: how long work stood still for want of memory. "some": at least one task did; "full":
// all that were not idle did at once.
struct Stall {
  double some_percent = 0;  // of the last 10 s
  double full_percent = 0;
  std::chrono::microseconds some_total{};  // since the start of the machine, or of the group
  std::chrono::microseconds full_total{};
};
// `path`: /proc/pressure/memory, or memory.pressure in a group of cgroup v2 (or of the unified part of a hybrid
// machine). nullopt: it is not there, switched off, or says something else.
std::optional<Stall> ReadStall(const std::string& path = "/proc/pressure/memory");

// Asks the kernel to say when work stands still for longer than that within a window, at most once in each window.
// Lives as long as the request does.
class StallTrigger {
 public:
  enum class Kind : std::uint8_t { kSome, kFull };
  // `window`: 500 ms to 10 s. Who lacks the right (CAP_SYS_RESOURCE) gets windows of whole 2 s only: then it is the
  // next of them, with the same share of it. Errors: kSystem, when the kernel has no such thing, or not for us.
  static Result<StallTrigger> Open(const std::string& path = "/proc/pressure/memory", Kind kind = Kind::kSome,
                                   std::chrono::microseconds stall = std::chrono::milliseconds(150),
                                   std::chrono::microseconds window = std::chrono::seconds(1));

  // Any descriptor that says POLLPRI and POLLERR as one of the kernel's does: for tests.
  explicit StallTrigger(UniqueFd fd) : fd_(std::move(fd)) {}

  // For poll with POLLPRI (Asio: wait_error, edge-triggered). Nothing is to be read from it: the next wait may begin
  // at once. Each poll takes the event, so whoever has waited must not ask again whether there was one.
  [[nodiscard]] int fd() const { return fd_.get(); }
  // POLLERR: the group is gone, and nothing comes any more; every wait is over at once then.
  [[nodiscard]] bool Gone() const;

 private:
  UniqueFd fd_;
};

// What is charged to a control group with memory and to those below it, also below that are gone.
struct GroupMemory {
  Bytes now{};                   // processes, page cache, files on tmpfs, and what the kernel needs for them
  std::optional<Bytes> limit{};  // absent: none
  std::optional<Bytes> peak{};   // of `now`; absent: unknown (before Linux 5.19 with v2)
  Bytes page_cache{};            // of `now`: files on disk, which the kernel gives up before it kills
  Bytes on_tmpfs{};              // of `now`: files in memory and shared memory, which only removing them frees
  std::uint64_t oom_kills = 0;   // processes that the kernel killed; with v1 in this very group only
};
// `group`: its folder, of v1 or v2. nullopt: there is no such group, or it counts no memory.
std::optional<GroupMemory> ReadGroupMemory(const std::string& group);

}  // namespace weir::os
