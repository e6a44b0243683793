// Clock: the one way to ask what time it is, so that tests can turn it by hand. Not a timer.
#pragma once

#include <chrono>
#include <string>

namespace weir {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// A position in or length of media, in microseconds: the unit in which ffmpeg reports progress.
using MediaTime = std::chrono::microseconds;
// A date and time of day, UTC. It may jump either way: never measure with it.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// Safe to call from any thread.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  // Never goes back; unrelated to the date.
  [[nodiscard]] virtual SteadyTime Now() const = 0;
  [[nodiscard]] virtual WallTime WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] WallTime WallNow() const override {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  }
};

// Stands still until told to move. For tests; one thread.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return now_; }
  [[nodiscard]] WallTime WallNow() const override {
    return wall_ + std::chrono::floor<std::chrono::milliseconds>(now_ - SteadyTime());
  }
  void Advance(Duration by) { now_ += by; }
  // The date alone, as when somebody sets it.
  void JumpWall(std::chrono::milliseconds by) { wall_ += by; }

 private:
  SteadyTime now_{};
  WallTime wall_{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}};
};

inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
// "2026-03-01T12:00:00.250Z" (RFC 3339).
std::string ToRfc3339(WallTime time);
// "90 s", "0.25 s": four digits at most, for people.
std::string InSeconds(Duration duration);
inline double Seconds(MediaTime t) { return std::chrono::duration<double>(t).count(); }

}  // namespace weir
