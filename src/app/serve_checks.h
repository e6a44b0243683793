// What the daemon makes of its configuration before anything is built, and what it would refuse of it: shared by
// `weir serve` and `weir config check`, so that both mean the same. Listens nowhere and leaves nothing.
#pragma once

#include <cstdint>

#include "app/config.h"
#include "app/invocation.h"
#include "base/bytes.h"
#include "base/result.h"

namespace weir::app {

// Bodies of the largest size that may be on their way together.
inline constexpr std::uint64_t kBodiesAtOnce = 2;

// What the daemon may need for itself when everything that is bounded by a setting is full. Measured with
// bench/api/own_memory.py; the figures are in docs/BENCHMARKS.md.
Bytes OwnUseOf(const Config& config);
// Memory, tools and limits of its children.
Settings SessionSettings(const Config& config);

// Looks at the folders of data and log, at the sandbox where it is required (by trial children), the budget, the
// tools, the media roots, and who may call; as the user who asks. What only a start can tell is left out: whether the
// port is free, what is in the data folder, and whether the tools work. Errors: those of the start.
Status CheckServe(const Config& config);

}  // namespace weir::app
