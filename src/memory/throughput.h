// Throughput: which way each step should be done, and how many steps at once, so that a queue of them ends soonest
// within the memory and the processors that there are. Pure arithmetic over what it is told: it starts nothing,
// measures nothing and knows no clock.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace weir::memory {

// One of several ways to do the same step.
struct Way {
  Bytes memory;             // of its lease
  double processors = 1;    // that it keeps busy while nothing else runs; at least a little
  double time = 1;          // that it takes then, over that of the step's other ways
  double larger = 0;        // its output at the same quality, over the best way's: 0.13 is 13 % larger
  bool in_company = false;  // of no use to a step that runs alone

  // Processor time, in the unit of `time`.
  [[nodiscard]] double work() const { return processors * time; }
};

// All that is still to be done, and with what, when those that work now are done.
struct Queue {
  std::size_t steps = 1;
  double processors = 1;
  Bytes memory;
};

struct Room {
  Bytes memory;           // for all leases together
  Bytes shared;           // of each lease, what all of them have in common (Ledger)
  double processors = 1;  // that are idle
  // What size costs: 2 means that an output 1 % larger must come 2 % sooner. 0: only time counts.
  double size_weight = 2;
  // A way that would go on alone when all others are done is of no use, however little it takes. nullopt: no end is
  // in sight.
  std::optional<Queue> queue{};
};

// What a way yields for each processor that it has: the work of the step's first way over its own, less what its
// output is larger. 1 for the first way when that is the best in quality.
double YieldOf(const Way& way, const Way& first, double size_weight);

// The way for each step, or nullopt where it should wait, so that together they yield the most; as soon as the
// processors are busy, further steps wait. Earlier steps come first where it makes no difference, and less memory is
// better than more. At most about 20 steps and 20 ways each are meant. O(steps * ways * 500).
std::vector<std::optional<std::size_t>> Assign(const std::vector<std::span<const Way>>& steps, const Room& room);

// The way for one of `jobs` steps (at least 1) that all have these ways, with all of the room; nullopt when none fits
// it. For any number of jobs and processors.
std::optional<std::size_t> BestWay(std::span<const Way> ways, std::size_t jobs, const Room& room);

}  // namespace weir::memory
