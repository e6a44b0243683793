// What every child of a run has in common: how its order is filled in, and what its ending means in words.
// Pure functions over orders and reports.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "jobs/run.h"
#include "process/child.h"

namespace weir::jobs::workplace {

// ffprobe's answer about a file with the most streams that the limits allow stays well below this.
inline constexpr Bytes kLargestProbeAnswer = Bytes::Mib(1);

// `arguments` without argv[0]. The child reads nothing, writes nothing, has no deadline and is killed at once when it
// is to stop, until the caller says otherwise.
process::Order OrderFor(std::string purpose, const std::string& program, const std::vector<std::string>& arguments,
                        Bytes memory_limit);

// Sets the deadline, and with it RLIMIT_CPU at what no honest child can use until then: every processor busy all
// the time, at least a minute.
void LimitTime(process::Order& order, std::chrono::milliseconds deadline, unsigned cpus);

// The lease was what stopped it: by the kernel, by the watcher, or by an allocation that RLIMIT_DATA refused.
bool RanOutOfMemory(const process::ChildReport& report);
// RLIMIT_FSIZE or the watched size of its folder stopped it.
bool WroteTooMuch(const process::ChildReport& report);

// For every ending but a plain exit, which media::ClassifyFailure reads. `program` is "ffmpeg" or "ffprobe".
enum class Purpose : std::uint8_t { kWork, kLook };  // --timeout is about work; looking at a file has its own limits
Error ErrorOf(const process::ChildReport& report, const std::string& program, Purpose purpose, const Limits& limits);

}  // namespace weir::jobs::workplace
