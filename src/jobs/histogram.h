// How long something took, counted in buckets. Bounded, and never forgets; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace weir::jobs {

class Histogram {
 public:
  // Seconds; each bucket has what took at most that and more than the one before.
  static constexpr std::array<double, 14> kBounds{0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400};

  void Add(Duration taken) {
    const double seconds = std::max(Seconds(taken), 0.0);
    const auto bucket = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
    if (static_cast<std::size_t>(bucket) < kBounds.size()) {
      ++counts_.at(static_cast<std::size_t>(bucket));
    }
    ++count_;
    sum_ += seconds;
  }
  // Of each bucket alone; what took longer than the last bound is in none.
  [[nodiscard]] const std::array<std::uint64_t, kBounds.size()>& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] double sum() const { return sum_; }  // seconds

 private:
  std::array<std::uint64_t, kBounds.size()> counts_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

}  // namespace weir::jobs
