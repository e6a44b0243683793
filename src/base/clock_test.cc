#include "base/clock.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

using namespace std::chrono_literals;

TEST(Clock, WritesTheDateAsRfc3339) {
  const WallTime leap = std::chrono::sys_days{std::chrono::year{2028} / 2 / 29} + 23h + 59min + 58s + 7ms;
  EXPECT_EQ(ToRfc3339(leap), "2028-02-29T23:59:58.007Z");
}

TEST(Clock, TheDateMayJumpWithoutTheSteadyTime) {
  ManualClock clock;
  const SteadyTime before = clock.Now();
  const WallTime date = clock.WallNow();
  clock.JumpWall(-1h);
  clock.Advance(1s);
  EXPECT_EQ(clock.Now() - before, 1s);
  EXPECT_EQ(clock.WallNow() - date, -1h + 1s);
}

TEST(Clock, SecondsForPeople) {
  EXPECT_EQ(InSeconds(90s), "90 s");
  EXPECT_EQ(InSeconds(250ms), "0.25 s");
}

}  // namespace
}  // namespace weir
