#include "jobs/elapsed_dates.h"

#include <gtest/gtest.h>

namespace weir::jobs {
namespace {

using namespace std::chrono_literals;

TEST(ElapsedDates, AreThoseThatTheClockShowed) {
  ManualClock clock;
  ElapsedDates dates(clock);
  const WallTime began = clock.WallNow();
  clock.Advance(1h);
  EXPECT_EQ(dates.Ago(10min), began + 50min);
  clock.JumpWall(1000h);
  EXPECT_EQ(dates.Ago(10min), began + 50min) << "before the leap";
  clock.Advance(1h);
  EXPECT_EQ(dates.Ago(10min), began + 1001h + 50min) << "behind it";
  EXPECT_EQ(dates.Ago(70min), began + 50min) << "before it again";
  clock.JumpWall(500h);
  clock.Advance(1h);
  EXPECT_EQ(dates.Ago(130min), began + 50min) << "before both";
  EXPECT_EQ(dates.Ago(90min), began + 1001h + 30min) << "between them";
}

TEST(ElapsedDates, ALeapThatIsTakenBackIsForgotten) {
  ManualClock clock;
  ElapsedDates dates(clock);
  const WallTime began = clock.WallNow();
  clock.JumpWall(1000h);
  clock.Advance(1min);
  static_cast<void>(dates.Ago(0ms));
  clock.JumpWall(-1000h);
  clock.Advance(1min);
  EXPECT_EQ(dates.Ago(1min), began + 1min);
}

TEST(ElapsedDates, AClockThatIsKeptRightDoesNotLeap) {
  ManualClock clock;
  ElapsedDates dates(clock);
  for (int i = 0; i < 1000; ++i) {
    clock.Advance(30s);
    clock.JumpWall(i % 2 == 0 ? 500ms : -500ms);
    EXPECT_EQ(dates.Ago(1h), clock.WallNow() - 1h);
  }
}

}  // namespace
}  // namespace weir::jobs
