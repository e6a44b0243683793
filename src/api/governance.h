// Governance: what the governor of memory says of itself, in words and numbers, for answers. Values only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace weir::api {

struct RemedyReading {
  std::string name;
  std::uint64_t uses = 0;
  Bytes freed;
};
struct RecommendationReading {
  std::string priority;  // "high", "medium", "low"
  std::string setting;   // "queue.slots"; "" when none is to be changed
  std::string action;
};
struct GrowthReading {
  std::string what;     // "memory", "handles", "threads"
  double per_hour = 0;  // bytes, or a count
  Duration over{};
  std::string suspect;  // component; "" for handles and threads
  std::string sentence;
};

// The last looks at one number, at most a hundred.
struct WindowReading {
  std::string name;
  std::size_t samples = 0;
  double last = 0;
  double mean = 0;
  double p95 = 0;
  double highest = 0;
};

struct Governance {
  std::string level;  // "normal", "elevated", "high", "critical"
  std::string reason;
  std::optional<WallTime> since;  // nullopt: before the first look
  std::optional<Bytes> machine_total;
  std::optional<Bytes> machine_available;
  std::optional<Bytes> swap_free;
  std::optional<double> stall_percent;          // of the last 10 s, in which all work waited for memory
  std::optional<double> growth_bytes_per_hour;  // of the daemon's PSS; nullopt in the first 3 h
  std::vector<GrowthReading> growth;            // what does not stop growing
  std::vector<RemedyReading> remedies;          // since the start
  std::vector<std::string> warnings;            // that hold now
  std::vector<RecommendationReading> recommendations;
  std::vector<WindowReading> windows;
};

struct RemedyUse {
  WallTime at{};
  std::string name;
  std::string level;
  std::string reason;
  Bytes freed;
  bool undone = false;    // its end
  std::size_t times = 1;  // in a row, which freed nothing; the rest is of the last
};
struct TreePoint {
  WallTime at{};  // begin of the interval of which these are the highest
  Bytes tree;
  Bytes leased;
  Bytes budget;
  std::string level;
};
struct TreeSeries {
  Duration period{};
  std::vector<TreePoint> points;  // oldest first
};
struct GovernanceHistory {
  std::vector<RemedyUse> uses;  // oldest first
  std::vector<TreeSeries> series;
};

}  // namespace weir::api
