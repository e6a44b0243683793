// Recent: the last hundred values of one number, and what they come to. Always the same size. Pure; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace weir::memory {

class Recent {
 public:
  static constexpr std::size_t kMost = 100;

  struct Summary {
    std::size_t samples = 0;  // with none, all is zero
    double last = 0;
    double mean = 0;
    double p95 = 0;  // the smallest that at least 95 of 100 do not exceed
    double highest = 0;
  };

  void Add(double value) { values_.at(static_cast<std::size_t>(count_++ % kMost)) = value; }

  [[nodiscard]] Summary Sum() const {
    const auto samples = static_cast<std::size_t>(std::min<std::uint64_t>(count_, kMost));
    if (samples == 0) {
      return {};
    }
    auto sorted = values_;
    const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(samples);
    std::sort(sorted.begin(), end);
    const auto rank = static_cast<std::size_t>(std::ceil(0.95 * static_cast<double>(samples)));
    return {.samples = samples,
            .last = values_.at(static_cast<std::size_t>((count_ - 1) % kMost)),
            .mean = std::accumulate(sorted.begin(), end, 0.0) / static_cast<double>(samples),
            .p95 = sorted.at(rank - 1),
            .highest = sorted.at(samples - 1)};
  }

 private:
  std::array<double, kMost> values_{};
  std::uint64_t count_ = 0;
};

}  // namespace weir::memory
