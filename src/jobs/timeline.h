// Timeline: what the children of one attempt used over time, down-sampled so that it stays small however long the
// attempt lasts: when it is full, the period doubles and neighbours become one. Peaks stay. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace weir::jobs {

class Timeline {
 public:
  explicit Timeline(std::size_t most_samples) : most_(most_samples) {}

  void Begin(int attempt, SteadyTime now);
  // `resident`: of all children of the attempt now; `lease`: what they may use.
  void Add(SteadyTime now, Bytes resident, Bytes lease);
  [[nodiscard]] bool empty() const { return samples_.empty(); }
  // {"attempt":n,"samples":[{"seconds":x,"resident_bytes":n,"lease_bytes":n}]}; seconds since the attempt began, the
  // bytes are the highest of the time up to the next sample.
  [[nodiscard]] std::string AsJson() const;

 private:
  struct Sample {
    std::int64_t slot = 0;  // start / period
    Bytes resident;
    Bytes lease;
  };

  std::size_t most_;
  int attempt_ = 0;
  SteadyTime began_{};
  Duration period_{};
  std::vector<Sample> samples_;
};

}  // namespace weir::jobs
