// Plateau: whether the memory of a child that works has stopped growing, so that its peak is known. Pure: samples and
// the time are handed in.
//
// Encoders reach their peak early (99 % of it after 0.5 s for a vertical 1080p crop alone, 90 % after 2.2 s beside
// five others on two processors) and hold it to the end: their buffers are full once more pictures went in than they
// look ahead. So the peak counts as known when that many pictures have come out and nothing has grown for a while.
// What grows later all the same is not foreseen: whoever takes memory away by this has to live with a kill.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"

namespace weir::memory {

// One thread.
class Plateau {
 public:
  // More than any encoder of ours looks ahead (60) with its threads and decoders.
  static constexpr std::int64_t kFrames = 150;
  static constexpr Duration kQuiet = std::chrono::seconds(5);
  // Growth by less is breathing.
  static constexpr double kBreath = 0.01;

  // `resident`: of the child's tree, now.
  void Add(Bytes resident, SteadyTime now) {
    if (resident > level_ * (1 + kBreath) || level_.count() == 0) {
      level_ = resident;
      grew_ = now;
    }
    peak_ = std::max(peak_, resident);
  }
  // The highest sample, once it is known to be the peak; nullopt before. `frames`: that came out so far.
  [[nodiscard]] std::optional<Bytes> Peak(std::int64_t frames, SteadyTime now) const {
    return level_.count() > 0 && frames >= kFrames && now - grew_ >= kQuiet ? std::optional(peak_) : std::nullopt;
  }

 private:
  Bytes level_;  // when it last grew
  Bytes peak_;
  SteadyTime grew_{};
};

// What a child with this peak is left with: 8 % more, as a lease is above its forecast (docs/BENCHMARKS.md), and 4
// MiB.
inline Bytes LeaseAbove(Bytes peak) { return peak * 1.08 + Bytes::Mib(4); }

}  // namespace weir::memory
