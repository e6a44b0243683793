// What every child of a run has in common: how its order is filled in, and what its ending means in words.
// Pure functions over orders and reports.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "jobs/run.h"
#include "process/child.h"

namespace weir::jobs::workplace {

// `arguments` without argv[0]. The child reads nothing, writes nothing, has no deadline and is killed at once when it
// is to stop, until the caller says otherwise.
process::Order OrderFor(std::string purpose, const std::string& program, const std::vector<std::string>& arguments,
                        Bytes memory_limit);

// RLIMIT_CPU that no honest child with that deadline can reach: every processor busy until then. At least a minute.
std::chrono::seconds CpuLimitFor(std::chrono::milliseconds deadline, unsigned cpus);

// The lease was what stopped it: by the kernel, by the watcher, or by an allocation that RLIMIT_DATA refused.
bool RanOutOfMemory(const process::ChildReport& report);
// RLIMIT_FSIZE or the watched size of its folder stopped it.
bool WroteTooMuch(const process::ChildReport& report);

// For every ending but a plain exit, which media::ClassifyFailure reads. `program` is "ffmpeg" or "ffprobe".
Error ErrorOf(const process::ChildReport& report, const std::string& program, const Limits& limits);

}  // namespace weir::jobs::workplace
