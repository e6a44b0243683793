// Clock: the one way to ask what time it is, so that tests can turn it by hand. Not a timer.
#pragma once

#include <chrono>
#include <string>

namespace weir {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// A position in or length of media, in microseconds: the unit in which ffmpeg reports progress.
using MediaTime = std::chrono::microseconds;

// Safe to call from any thread.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  // Never goes back; unrelated to the date.
  [[nodiscard]] virtual SteadyTime Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
};

// Stands still until told to move. For tests; one thread.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return now_; }
  void Advance(Duration by) { now_ += by; }

 private:
  SteadyTime now_{};
};

inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
// "90 s", "0.25 s": four digits at most, for people.
std::string InSeconds(Duration duration);
inline double Seconds(MediaTime t) { return std::chrono::duration<double>(t).count(); }

}  // namespace weir
