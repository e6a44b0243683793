// Reading /proc: memory of processes and of the machine. Every function takes one reading and keeps nothing; any
// folder can stand in for /proc in tests.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::os {

struct ProcessMemory {
  Bytes resident;   // statm: resident pages
  Bytes anonymous;  // statm: resident minus shared; equals RssAnon
};
// About 11 microseconds. nullopt when the process is gone.
std::optional<ProcessMemory> ReadStatm(pid_t pid, const std::string& proc = "/proc");
// Proportional set size, from smaps_rollup. About 1 ms for an encoder. nullopt when gone or not permitted.
std::optional<Bytes> ReadPss(pid_t pid, const std::string& proc = "/proc");
// ReadPss of this process; its resident pages where that is not permitted; zero when neither can be read.
Bytes OwnPss(const std::string& proc = "/proc");
// What this process has taken from its heap and not given back, over all threads. Microseconds.
Bytes HeapInUse();
// Gives free memory of the heap back to the kernel. Milliseconds.
void TrimHeap();
struct OwnCounts {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
};
// Open descriptors and threads of this process; zero when /proc cannot be read.
OwnCounts OwnCountsNow();
// The process and all its live descendants, parents first, at most `limit`.
std::vector<pid_t> Tree(pid_t root, std::size_t limit = 1000, const std::string& proc = "/proc");
// Sum of ReadPss over Tree(root). Where that of one is not permitted, its resident pages count, shared ones as well:
// taken for nothing, it could never be over its limit.
Bytes TreePss(pid_t root, const std::string& proc = "/proc");
// Bytes that the process has caused to be written to storage so far; pipes and sockets do not count. nullopt when
// gone or not permitted.
std::optional<Bytes> StorageWritten(pid_t pid, const std::string& proc = "/proc");
// User plus system CPU time used so far, in clock ticks of 10 ms; nullopt when gone.
std::optional<std::uint64_t> CpuTicks(pid_t pid, const std::string& proc = "/proc");

// MemAvailable of /proc/meminfo. Errors: kSystem.
Result<Bytes> AvailableMemory(const std::string& proc = "/proc");
// Processors that this process may run on, at least 1; a cgroup CPU quota counts, rounded up.
unsigned UsableCpus();
// Kernel boot id; empty when unknown. A record of another boot describes processes that cannot exist any more.
std::string BootId();

}  // namespace weir::os
