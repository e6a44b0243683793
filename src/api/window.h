// How long requests take: the last hundred of them, and a count of all. Bounded; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace weir::api {

class Window {
 public:
  void Add(Duration taken, bool failed) {
    samples_.at(static_cast<std::size_t>(count_ % samples_.size())) = taken;
    ++count_;
    failed_ += failed ? 1U : 0U;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] std::size_t samples() const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(count_, samples_.size()));
  }
  [[nodiscard]] Duration Mean() const {
    Duration sum{};
    for (std::size_t i = 0; i < samples(); ++i) {
      sum += samples_.at(i);
    }
    return samples() == 0 ? Duration{} : sum / static_cast<std::int64_t>(samples());
  }
  // The smallest time that at least `share` of the samples do not exceed; zero without samples.
  [[nodiscard]] Duration Quantile(double share) const {
    std::vector<Duration> sorted(samples_.begin(), samples_.begin() + static_cast<std::ptrdiff_t>(samples()));
    if (sorted.empty()) {
      return {};
    }
    std::sort(sorted.begin(), sorted.end());
    const auto rank = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.999999);
    return sorted[std::min(rank, sorted.size() - 1)];
  }

 private:
  std::array<Duration, 100> samples_{};
  std::uint64_t count_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace weir::api
