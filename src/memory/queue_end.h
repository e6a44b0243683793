// QueueEnd: how the last few steps of a queue are begun so that all are done soonest. While a queue is long it is
// enough that what the machine has is used well (throughput.h); at its end it counts how long each step takes, which
// one is left alone, and whether a processor stands idle meanwhile. Pure arithmetic over what it is told.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "memory/throughput.h"

namespace weir::memory {

// More of them than this are a queue whose end is far away, and take too long to plan.
inline constexpr std::size_t kMostLastSteps = 4;

// One that has not begun.
struct LastStep {
  std::span<const Way> ways;  // never empty
  double seconds = 1;         // that a `time` of 1 takes on idle processors; only their relation counts
};

// One that goes on.
struct GoingStep {
  Bytes own;  // memory beyond what is shared
  double processors = 1;
  double seconds = 1;  // left, on idle processors
};

struct QueueEnd {
  std::optional<std::size_t> way;  // of the first step, to begin now; nullopt: one of those that go on is waited for
  double seconds = 0;              // until all are done, with the lengths as told
};

// What to do now, so that all ends best: steps begin in their order, at most `slots` go on at once, and processors
// are shared evenly by what wants them. Best is the smallest product of the time until all are done and 1 +
// size_weight times the mean of `larger` (Room), then the better quality, then less memory. `room` is all that there
// is, with what those that go on hold; its `queue` is not looked at.
//
// Lengths are guesses. With an `error` above 1 that is taken which is best in the mean over the lengths as told and,
// one at a time, each of them so many times too long and too short, as if that came to be known right after.
//
// nullopt where some step fits in no way, and with none or more than kMostLastSteps of them. It looks at a bounded
// number of orders, which takes 2 ms at the most; beyond it, the best that was found.
std::optional<QueueEnd> PlanEnd(std::span<const LastStep> steps, std::span<const GoingStep> going, std::size_t slots,
                                const Room& room, double error);

}  // namespace weir::memory
