// How a child ended: a closed sum type, so that every reader must say what it does with each case.
#pragma once

#include <chrono>
#include <string>
#include <variant>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

namespace weir::process {

struct Exited {
  int status = 0;  // 0 to 255, as the program said it
};
struct Signaled {
  int signal = 0;  // not sent by us
  // The kernel's kill, for want of memory on the machine or in a group around the child: its own limit had room.
  bool for_memory = false;
};
// The kernel (or, without cgroups, the allocator's limit) refused memory above the lease.
struct OomKilled {
  Bytes limit;
  bool by_kernel = true;  // false: RLIMIT_DATA or the watcher, recognised and ended by us
};
struct TimedOut {
  Duration deadline{};
  bool of_processor = false;  // RLIMIT_CPU ended it, not the clock
};
struct Stalled {
  Duration limit{};  // without progress for this long
};
// Asked to stop by us: the user, a failed check, a forecast exceeded, shutdown.
struct Cancelled {};
struct SpawnFailed {
  Error error;
};

using Ending = std::variant<Exited, Signaled, OomKilled, TimedOut, Stalled, Cancelled, SpawnFailed>;

// For exhaustive std::visit.
template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

// "exited with status 1", "killed at its memory limit of 240.0 MiB": for messages and logs.
std::string Describe(const Ending& ending);
// "exited", "signaled", "oom_killed", "timed_out", "stalled", "cancelled", "spawn_failed": stable, for scripts.
const char* NameOf(const Ending& ending);

}  // namespace weir::process
