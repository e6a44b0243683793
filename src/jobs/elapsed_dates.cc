#include "jobs/elapsed_dates.h"

namespace weir::jobs {
namespace {

// Less is how clocks are kept right.
constexpr std::chrono::milliseconds kLeap{10'000};
constexpr std::size_t kMostLeaps = 64;

}  // namespace

ElapsedDates::ElapsedDates(const Clock& clock) : clock_(clock), looked_(clock.Now()), date_(clock.WallNow()) {}

void ElapsedDates::Look() {
  const SteadyTime now = clock_.Now();
  const WallTime date = clock_.WallNow();
  const auto elapsed = std::chrono::floor<std::chrono::milliseconds>(now - looked_);
  const auto by = date - date_ - elapsed;
  if (by >= kLeap) {
    leaps_.push_back({.after = date_ + by, .by = by});
    if (leaps_.size() > kMostLeaps) {
      leaps_.erase(leaps_.begin());
    }
  } else if (by <= -kLeap) {
    // Dates come again: those behind a leap that lies ahead now are not told from it any more.
    std::erase_if(leaps_, [&](const Leap& leap) { return leap.after > date; });
  }
  looked_ = now;
  date_ = date;
}

WallTime ElapsedDates::Ago(std::chrono::milliseconds ago) {
  Look();
  WallTime then = date_ - ago;
  for (auto leap = leaps_.rbegin(); leap != leaps_.rend() && then < leap->after; ++leap) {
    then -= leap->by;
  }
  return then;
}

}  // namespace weir::jobs
