// ElapsedDates: which date the clock showed some time ago, although somebody may have set it forward since. So that
// what is kept for a day is kept for a day, and not until the date has changed. Knows of this life only. One thread.
#pragma once

#include <cstddef>
#include <vector>

#include "base/clock.h"

namespace weir::jobs {

class ElapsedDates {
 public:
  // The clock outlives this.
  explicit ElapsedDates(const Clock& clock);

  // `ago` is looked for as if leaps had happened as late as possible before the last look: call it now and then.
  WallTime Ago(std::chrono::milliseconds ago);

 private:
  struct Leap {
    WallTime after;  // the first date behind it
    std::chrono::milliseconds by{};
  };
  void Look();

  const Clock& clock_;
  SteadyTime looked_;
  WallTime date_;
  std::vector<Leap> leaps_;  // in their order
};

}  // namespace weir::jobs
