// History: what the whole process tree used over the last hour and the last day, down-sampled: the highest of each 10
// seconds, and of each 4 minutes. Always the same size. Pure; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "memory/pressure.h"

namespace weir::memory {

struct TreeUse {
  Bytes tree;    // measured, of the daemon and all its children
  Bytes leased;  // what they may use
  Bytes budget;
  Level level = Level::kNormal;
};

struct HistorySample {
  Duration age{};  // from the begin of its interval until now
  TreeUse highest;
};

class History {
 public:
  static constexpr std::size_t kPoints = 360;
  static constexpr std::array<Duration, 2> kPeriods{std::chrono::seconds(10), std::chrono::minutes(4)};

  // `now` never goes back.
  void Add(const TreeUse& use, SteadyTime now) {
    for (std::size_t i = 0; i < series_.size(); ++i) {
      auto& series = series_[i];
      const std::int64_t slot = now.time_since_epoch() / kPeriods[i];
      auto& point = series[static_cast<std::size_t>(slot) % kPoints];
      if (point.slot != slot) {
        point = {.slot = slot, .use = use};
        continue;
      }
      point.use.tree = std::max(point.use.tree, use.tree);
      point.use.leased = std::max(point.use.leased, use.leased);
      point.use.budget = use.budget;
      point.use.level = std::max(point.use.level, use.level);
    }
  }

  // Oldest first; intervals without a sample are missing. `which`: an index of kPeriods.
  [[nodiscard]] std::vector<HistorySample> Samples(std::size_t which, SteadyTime now) const {
    std::vector<HistorySample> samples;
    const std::int64_t last = now.time_since_epoch() / kPeriods[which];
    for (std::int64_t slot = last - static_cast<std::int64_t>(kPoints) + 1; slot <= last; ++slot) {
      const auto& point = series_[which][static_cast<std::size_t>(slot) % kPoints];
      if (slot >= 0 && point.slot == slot) {
        samples.push_back({.age = now.time_since_epoch() - slot * kPeriods[which], .highest = point.use});
      }
    }
    return samples;
  }

 private:
  struct Point {
    std::int64_t slot = -1;
    TreeUse use;
  };
  std::array<std::array<Point, kPoints>, 2> series_{};
};

}  // namespace weir::memory
