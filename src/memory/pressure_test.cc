#include "memory/pressure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr Bytes kBudget = Bytes::Mib(500);

SteadyTime After(Duration duration) { return SteadyTime(std::chrono::hours(1)) + duration; }

// Nothing of it was planned.
PressureReading Uses(std::uint64_t mib) { return {.measured = Bytes::Mib(mib), .planned = {}, .budget = kBudget}; }
PressureReading UsesPlanned(std::uint64_t mib, std::uint64_t planned_mib) {
  return {.measured = Bytes::Mib(mib), .planned = Bytes::Mib(planned_mib), .budget = kBudget};
}
// 1000 MiB in all; the tree is small.
PressureReading MachineHas(std::uint64_t mib) {
  PressureReading reading = UsesPlanned(10, 10);
  reading.machine_available = Bytes::Mib(mib);
  reading.machine_total = Bytes::Mib(1000);
  return reading;
}
PressureReading Stalled(double percent) {
  PressureReading reading = UsesPlanned(10, 10);
  reading.stall_percent = percent;
  return reading;
}

TEST(PressureTest, NamesOfLevels) {
  EXPECT_STREQ(NameOf(Level::kNormal), "normal");
  EXPECT_STREQ(NameOf(Level::kElevated), "elevated");
  EXPECT_STREQ(NameOf(Level::kHigh), "high");
  EXPECT_STREQ(NameOf(Level::kCritical), "critical");
}

TEST(PressureTest, BeforeTheFirstReading) {
  const Pressure pressure;
  EXPECT_EQ(pressure.level(), Level::kNormal);
  EXPECT_EQ(pressure.reason(), "nothing was measured yet");
  EXPECT_EQ(pressure.since(), SteadyTime());
}

TEST(PressureTest, RisesAtOnceAndExactlyAtTheThresholds) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update(Uses(349), After(seconds(0))), Level::kNormal);
  EXPECT_EQ(pressure.since(), After(seconds(0)));
  EXPECT_EQ(pressure.Update(Uses(350), After(seconds(1))), Level::kElevated);
  EXPECT_EQ(pressure.Update(Uses(424), After(seconds(2))), Level::kElevated);
  EXPECT_EQ(pressure.since(), After(seconds(1)));
  EXPECT_EQ(pressure.Update(Uses(425), After(seconds(3))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(475), After(seconds(4))), Level::kCritical);
  EXPECT_EQ(pressure.level(), Level::kCritical);
  EXPECT_EQ(pressure.since(), After(seconds(4)));
  EXPECT_EQ(Pressure().Update(Uses(5000), After(seconds(0))), Level::kCritical);
}

TEST(PressureTest, FallsOnlyBelowTheHysteresisAndAfterTheHold) {
  Pressure pressure;
  pressure.Update(Uses(430), After(seconds(0)));
  ASSERT_EQ(pressure.level(), Level::kHigh);
  // Between 0.80 and 0.85 for ever: stays.
  EXPECT_EQ(pressure.Update(Uses(401), After(seconds(100))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(401), After(seconds(1000))), Level::kHigh);
  // Below, but not for long enough, and then not below: the hold begins again.
  EXPECT_EQ(pressure.Update(Uses(399), After(seconds(1001))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(399), After(milliseconds(1005999))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(401), After(seconds(1006))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(399), After(seconds(1010))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(399), After(milliseconds(1014999))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(399), After(seconds(1015))), Level::kElevated);
  EXPECT_EQ(pressure.since(), After(seconds(1015)));
  EXPECT_EQ(pressure.Update(Uses(326), After(seconds(1100))), Level::kElevated);
  EXPECT_EQ(pressure.Update(Uses(320), After(seconds(1200))), Level::kElevated);
  EXPECT_EQ(pressure.Update(Uses(320), After(seconds(1205))), Level::kNormal);
}

TEST(PressureTest, AFallThroughSeveralLevelsIsOneChange) {
  Pressure pressure;
  std::vector<Level> heard;
  const Watch watch = pressure.OnChange([&](Level, Level now, const std::string&) { heard.push_back(now); });
  pressure.Update(Uses(490), After(seconds(0)));
  pressure.Update(Uses(100), After(seconds(1)));
  pressure.Update(Uses(100), After(seconds(6)));
  EXPECT_THAT(heard, ElementsAre(Level::kCritical, Level::kNormal));
}

TEST(PressureTest, FromCriticalOnlyAsFarAsTheHysteresisOfTheNext) {
  Pressure pressure;
  pressure.Update(Uses(490), After(seconds(0)));
  // 0.82: below critical's 0.90, but high is left below 0.80 only.
  pressure.Update(Uses(410), After(seconds(1)));
  EXPECT_EQ(pressure.Update(Uses(410), After(seconds(6))), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(410), After(seconds(600))), Level::kHigh);
}

TEST(PressureTest, FlappingInputGivesFewChanges) {
  Pressure pressure;
  int changes = 0;
  const Watch watch = pressure.OnChange([&](Level, Level, const std::string&) { ++changes; });
  for (int i = 0; i < 10000; ++i) {  // around high's threshold, and far below it for half a second each
    pressure.Update(Uses(i % 2 == 0 ? 430 : 100), After(milliseconds(500) * i));
  }
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(pressure.level(), Level::kHigh);
}

TEST(PressureTest, PlannedUseIsNeverHigh) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update(UsesPlanned(475, 480), After(seconds(0))), Level::kElevated);
  EXPECT_EQ(pressure.reason(), "the process tree uses 475.0 MiB of 500.0 MiB, within the 480.0 MiB planned");
  EXPECT_EQ(pressure.Update(UsesPlanned(500, 500), After(seconds(1))), Level::kElevated);
  EXPECT_EQ(pressure.Update(UsesPlanned(300, 500), After(seconds(2))), Level::kElevated);
  EXPECT_EQ(pressure.Update(UsesPlanned(300, 500), After(seconds(7))), Level::kNormal);
}

TEST(PressureTest, UseBeyondThePlanIs) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update(UsesPlanned(460, 400), After(seconds(0))), Level::kHigh);
  EXPECT_EQ(pressure.reason(), "the process tree uses 460.0 MiB of 500.0 MiB, 60.0 MiB more than planned");
  EXPECT_EQ(pressure.Update(UsesPlanned(480, 479), After(seconds(1))), Level::kCritical);
  // Beyond the plan, but little: no trouble.
  EXPECT_EQ(Pressure().Update(UsesPlanned(100, 50), After(seconds(0))), Level::kNormal);
}

TEST(PressureTest, HighIsLeftWhenTheSameUseBecomesPlanned) {
  Pressure pressure;
  pressure.Update(UsesPlanned(480, 400), After(seconds(0)));
  ASSERT_EQ(pressure.level(), Level::kCritical);
  EXPECT_EQ(pressure.Update(UsesPlanned(480, 490), After(seconds(1))), Level::kCritical);
  EXPECT_THAT(pressure.reason(), HasSubstr("; critical ends when it has stayed so for 5 s"));
  EXPECT_EQ(pressure.Update(UsesPlanned(480, 490), After(seconds(6))), Level::kElevated);
}

TEST(PressureTest, APlanAboveALoweredBudgetExcusesNothingAboveTheBudget) {
  const PressureReading reading{.measured = Bytes::Mib(450), .planned = Bytes::Mib(480), .budget = Bytes::Mib(400)};
  Pressure pressure;
  EXPECT_EQ(pressure.Update(reading, After(seconds(0))), Level::kCritical);
}

TEST(PressureTest, NoBudget) {
  EXPECT_EQ(Pressure().Update({.measured = Bytes(1), .planned = Bytes(1)}, After(seconds(0))), Level::kCritical);
}

TEST(PressureTest, MachineShortage) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update(MachineHas(101), After(seconds(0))), Level::kNormal);
  EXPECT_EQ(pressure.Update(MachineHas(100), After(seconds(1))), Level::kElevated);
  EXPECT_EQ(pressure.Update(MachineHas(50), After(seconds(2))), Level::kHigh);
  EXPECT_EQ(pressure.reason(), "the machine has 50.0 MiB of 1000.0 MiB available");
  EXPECT_EQ(pressure.Update(MachineHas(20), After(seconds(3))), Level::kCritical);
  EXPECT_EQ(pressure.Update(MachineHas(60), After(seconds(60))), Level::kCritical);
  EXPECT_EQ(pressure.reason(),
            "the machine has 60.0 MiB of 1000.0 MiB available; critical ends when 70.0 MiB are available and not "
            "promised");
  EXPECT_EQ(pressure.Update(MachineHas(800), After(seconds(61))), Level::kCritical);
  EXPECT_EQ(pressure.Update(MachineHas(800), After(seconds(66))), Level::kNormal);
}

TEST(PressureTest, TheMachineIsJudgedAsIfEveryPromiseWereUsed) {
  PressureReading reading = UsesPlanned(100, 450);
  reading.machine_available = Bytes::Mib(380);
  reading.machine_total = Bytes::Mib(1000);
  Pressure pressure;
  EXPECT_EQ(pressure.Update(reading, After(seconds(0))), Level::kHigh);  // 0.62 now, 0.97 then
  EXPECT_EQ(pressure.reason(), "the machine has 380.0 MiB of 1000.0 MiB available and 350.0 MiB is promised");
  // What is used beyond the plan is in the machine's own figure; and use that is not known promises nothing.
  reading.measured = Bytes::Mib(455);
  EXPECT_EQ(Pressure().Update(reading, After(seconds(0))), Level::kHigh);  // the budget's 0.91
  reading.measured.reset();
  EXPECT_EQ(Pressure().Update(reading, After(seconds(0))), Level::kNormal);
}

TEST(PressureTest, Stalls) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update(Stalled(1.99), After(seconds(0))), Level::kNormal);
  EXPECT_EQ(pressure.Update(Stalled(2), After(seconds(1))), Level::kElevated);
  EXPECT_EQ(pressure.Update(Stalled(12.34), After(seconds(2))), Level::kHigh);
  EXPECT_EQ(pressure.reason(), "all work stood still waiting for memory 12.34% of the last 10 s");
  EXPECT_EQ(pressure.Update(Stalled(25), After(seconds(3))), Level::kCritical);
  EXPECT_EQ(pressure.Update(Stalled(24), After(seconds(300))), Level::kCritical);
  EXPECT_THAT(pressure.reason(), HasSubstr("24% of the last 10 s; critical ends below 24%"));
  EXPECT_EQ(pressure.Update(Stalled(0), After(seconds(301))), Level::kCritical);
  EXPECT_EQ(pressure.Update(Stalled(0), After(seconds(306))), Level::kNormal);
}

TEST(PressureTest, TheWorstSourceDecidesAndAmongEqualsTheOneThatIsThereNow) {
  Pressure pressure;
  PressureReading reading = Uses(430);
  reading.stall_percent = 3;
  EXPECT_EQ(pressure.Update(reading, After(seconds(0))), Level::kHigh);
  EXPECT_THAT(pressure.reason(), HasSubstr("process tree"));
  reading.measured = Bytes::Mib(410);
  reading.stall_percent = 11;
  EXPECT_EQ(pressure.Update(reading, After(seconds(1))), Level::kHigh);
  EXPECT_THAT(pressure.reason(), HasSubstr("11%"));
  reading.stall_percent = 9.5;
  EXPECT_EQ(pressure.Update(reading, After(seconds(2))), Level::kHigh);
  EXPECT_EQ(pressure.reason(),
            "the process tree uses 410.0 MiB of 500.0 MiB, 410.0 MiB more than planned; high ends below 400.0 MiB");
}

TEST(PressureTest, AbsentSourcesDoNotCount) {
  Pressure pressure;
  EXPECT_EQ(pressure.Update({}, After(seconds(0))), Level::kNormal);
  EXPECT_EQ(pressure.reason(), "nothing can be measured");
  PressureReading half = UsesPlanned(10, 10);
  half.machine_available = Bytes();
  EXPECT_EQ(pressure.Update(half, After(seconds(1))), Level::kNormal);
  half.machine_total = Bytes();
  EXPECT_EQ(pressure.Update(half, After(seconds(2))), Level::kNormal);
  EXPECT_EQ(pressure.Update(Stalled(std::numeric_limits<double>::quiet_NaN()), After(seconds(3))), Level::kNormal);
  EXPECT_EQ(pressure.Update(Stalled(-1), After(seconds(4))), Level::kNormal);
  // More available than there is: a reading like any other.
  EXPECT_EQ(pressure.Update(MachineHas(5000), After(seconds(5))), Level::kNormal);
}

TEST(PressureTest, AReadingThatFailsOnceChangesNothingAndForGoodIsForgotten) {
  Pressure pressure;
  int changes = 0;
  const Watch watch = pressure.OnChange([&](Level, Level, const std::string&) { ++changes; });
  pressure.Update(Uses(430), After(seconds(0)));
  EXPECT_EQ(pressure.Update({}, After(seconds(1))), Level::kHigh);
  EXPECT_EQ(pressure.reason(),
            "what the process tree uses is not known any more; high ends when it has stayed so for 5 s");
  EXPECT_EQ(pressure.Update(Uses(430), After(seconds(2))), Level::kHigh);
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(pressure.Update({}, After(seconds(10))), Level::kHigh);
  EXPECT_EQ(pressure.Update({}, After(seconds(15))), Level::kNormal);
  EXPECT_EQ(changes, 2);
}

TEST(PressureTest, ReloadedThresholdsCountFromTheNextReading) {
  Pressure pressure;
  pressure.Update(Uses(430), After(seconds(0)));
  PressureSettings settings;
  settings.budget = {.elevated = 0.90, .high = 0.95, .critical = 0.99};
  settings.hold = Duration::zero();
  pressure.Reload(settings);
  EXPECT_EQ(pressure.level(), Level::kHigh);
  EXPECT_EQ(pressure.Update(Uses(430), After(seconds(1))), Level::kElevated);  // 0.86: not below 0.85
  EXPECT_EQ(pressure.Update(Uses(420), After(seconds(2))), Level::kNormal);
}

TEST(PressureSettingsTest, DefaultsAreValid) { EXPECT_TRUE(Validate({})); }

TEST(PressureSettingsTest, WhatIsWrongIsNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refusal = [](const std::function<void(PressureSettings&)>& change) {
    PressureSettings settings;
    change(settings);
    const Status status = Validate(settings);
    if (status) {
      return std::string("accepted");
    }
    EXPECT_EQ(status.error().code, ErrorCode::kBadParameters);
    EXPECT_EQ(status.error().members.size(), 1U);
    EXPECT_EQ(status.error().detail.find(status.error().members.front().text), 0U);
    return status.error().detail;
  };
  EXPECT_EQ(refusal([](auto& s) { s.budget.high = 0.70; }),
            "budget.high must be above budget.elevated (0.7), not 0.7");
  EXPECT_EQ(refusal([](auto& s) { s.budget.critical = 0.6; }),
            "budget.critical must be above budget.high (0.85), not 0.6");
  EXPECT_EQ(refusal([](auto& s) { s.budget.elevated = 0; }), "budget.elevated must be above 0 and at most 1, not 0");
  EXPECT_EQ(refusal([](auto& s) { s.machine.critical = 1.01; }),
            "machine.critical must be above 0 and at most 1, not 1.01");
  EXPECT_EQ(refusal([&](auto& s) { s.machine.high = nan; }), "machine.high must be above 0 and at most 1, not nan");
  EXPECT_EQ(refusal([](auto& s) { s.stalls.critical = 101; }),
            "stalls.critical must be above 0 and at most 100, not 101");
  EXPECT_EQ(refusal([](auto& s) { s.hysteresis = -0.1; }), "hysteresis must be at least 0 and below 0.7, not -0.1");
  EXPECT_EQ(refusal([](auto& s) { s.hysteresis = 0.7; }), "hysteresis must be at least 0 and below 0.7, not 0.7");
  EXPECT_EQ(refusal([&](auto& s) { s.hysteresis = nan; }), "hysteresis must be at least 0 and below 0.7, not nan");
  EXPECT_EQ(refusal([](auto& s) { s.stall_hysteresis = 2; }),
            "stall_hysteresis must be at least 0 and below 2, not 2");
  EXPECT_EQ(refusal([](auto& s) { s.hold = seconds(-1); }), "hold must be at least 0 s, not -1");
  EXPECT_EQ(refusal([](auto& s) { s.budget.critical = 1; }), "accepted");
  EXPECT_EQ(refusal([](auto& s) { s.hysteresis = 0; }), "accepted");
}

class WatchTest : public ::testing::Test {
 protected:
  Pressure::Hear Writes(const std::string& name) {
    return [this, name](Level, Level, const std::string&) { heard_.push_back(name); };
  }
  // Each call is a change.
  void Change() {
    now_ += seconds(1);
    high_ = !high_;
    pressure_->Update(Uses(high_ ? 430 : 10), now_);
  }
  std::vector<std::string> Heard() { return std::exchange(heard_, {}); }

  std::vector<std::string> heard_;
  SteadyTime now_ = After(seconds(0));
  bool high_ = false;
  std::unique_ptr<Pressure> pressure_ = [] {
    PressureSettings settings;
    settings.hold = Duration::zero();
    return std::make_unique<Pressure>(settings);
  }();
};

TEST_F(WatchTest, HearsOfChangesWithBothLevelsAndTheReason) {
  std::vector<std::string> told;
  const Watch watch = pressure_->OnChange([&](Level old_level, Level new_level, const std::string& reason) {
    EXPECT_EQ(pressure_->level(), new_level);
    told.push_back(std::string(NameOf(old_level)) + " " + NameOf(new_level) + " " + reason);
  });
  Change();
  pressure_->Update(Uses(431), now_);
  Change();
  EXPECT_THAT(told,
              ElementsAre("normal high the process tree uses 430.0 MiB of 500.0 MiB, 430.0 MiB more than planned",
                          "high normal the process tree uses 10.0 MiB of 500.0 MiB, 10.0 MiB more than planned"));
}

TEST_F(WatchTest, EndsWhenDestroyedAndMovesWithItsHandle) {
  auto first = std::make_unique<Watch>(pressure_->OnChange(Writes("a")));
  Watch second = pressure_->OnChange(Writes("b"));
  Change();
  EXPECT_THAT(Heard(), ElementsAre("a", "b"));
  first.reset();
  Watch moved = std::move(second);
  second = Watch();  // NOLINT: use after move is what is tested
  Change();
  EXPECT_THAT(Heard(), ElementsAre("b"));
  moved = pressure_->OnChange(Writes("c"));
  Change();
  EXPECT_THAT(Heard(), ElementsAre("c"));
  moved = Watch();
  Change();
  EXPECT_THAT(Heard(), IsEmpty());
}

TEST_F(WatchTest, MayEndItselfOrOthersWhileHearing) {
  std::array<Watch, 4> watches;
  watches[0] = pressure_->OnChange(
      [&, name = std::string("a long enough name to live on the heap")](Level, Level, const std::string&) {
        watches[0] = Watch();  // itself: the name must survive this
        watches[2] = Watch();  // one that would hear next
        heard_.push_back(name);
      });
  watches[1] = pressure_->OnChange(Writes("b"));
  watches[2] = pressure_->OnChange(Writes("c"));
  watches[3] = pressure_->OnChange([&](Level, Level, const std::string&) {
    watches[1] = Watch();  // one that has heard
    heard_.push_back("d");
  });
  Change();
  EXPECT_THAT(Heard(), ElementsAre("a long enough name to live on the heap", "b", "d"));
  Change();
  EXPECT_THAT(Heard(), ElementsAre("d"));
}

TEST_F(WatchTest, WhoComesDuringAChangeHearsTheNext) {
  std::vector<Watch> late;
  const Watch watch = pressure_->OnChange([&](Level, Level, const std::string&) {
    if (late.empty()) {
      late.push_back(pressure_->OnChange(Writes("late")));
    }
  });
  Change();
  EXPECT_THAT(Heard(), IsEmpty());
  Change();
  EXPECT_THAT(Heard(), ElementsAre("late"));
}

TEST_F(WatchTest, MayOutliveThePressure) {
  Watch watch = pressure_->OnChange(Writes("a"));
  pressure_.reset();
  Watch moved = std::move(watch);
  moved = Watch();
}

TEST_F(WatchTest, CallbacksMayHoldTheHandlesOfOthers) {
  auto inner = std::make_shared<Watch>(pressure_->OnChange(Writes("inner")));
  Watch outer = pressure_->OnChange([inner](Level, Level, const std::string&) {});
  inner.reset();
  outer = Watch();
  Change();
  EXPECT_THAT(Heard(), IsEmpty());
  inner = std::make_shared<Watch>(pressure_->OnChange(Writes("inner")));
  outer = pressure_->OnChange([inner](Level, Level, const std::string&) {});
  inner.reset();
  pressure_.reset();
}

TEST_F(WatchTest, ThePressureMayBeDestroyedByOneWhoHears) {
  auto inner = std::make_shared<Watch>(pressure_->OnChange(Writes("a")));
  const Watch ends = pressure_->OnChange([&](Level, Level, const std::string&) { pressure_.reset(); });
  const Watch after = pressure_->OnChange([this, inner](Level, Level, const std::string&) { heard_.push_back("b"); });
  inner.reset();
  Pressure* const pressure = pressure_.get();
  EXPECT_EQ(pressure->Update(Uses(430), now_), Level::kHigh);
  EXPECT_THAT(Heard(), ElementsAre("a"));
}

class PressurePropertyTest : public ::testing::TestWithParam<unsigned> {};

// Against the rule said backwards: a level holds exactly when some source reached it and has since then never been
// below its threshold minus hysteresis for all of a hold.
TEST_P(PressurePropertyTest, ALevelIsEnteredAtOnceAndLeftOnlyByTheHysteresis) {
  std::mt19937_64 random(GetParam());
  const auto between = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  const PressureSettings settings;
  Pressure pressure(settings);
  Level heard = Level::kNormal;
  const Watch watch = pressure.OnChange([&](Level old_level, Level new_level, const std::string& reason) {
    EXPECT_EQ(old_level, heard);
    EXPECT_NE(new_level, heard);
    EXPECT_THAT(reason, Not(IsEmpty()));
    heard = new_level;
  });

  struct Seen {
    SteadyTime at;
    // Of budget, machine and stalls; of the budget also whether it was planned.
    std::array<std::optional<double>, 3> values;
    bool planned;
  };
  std::vector<Seen> seen;
  const auto expected = [&] {
    const std::array<const PressureThresholds*, 3> all = {&settings.budget, &settings.machine, &settings.stalls};
    int worst = 0;
    for (std::size_t source = 0; source < 3; ++source) {
      const std::array<double, 3> thresholds = {all[source]->elevated, all[source]->high, all[source]->critical};
      const double hysteresis = source == 2 ? settings.stall_hysteresis : settings.hysteresis;
      for (int level = 1; level <= 3; ++level) {
        const double threshold = thresholds[static_cast<std::size_t>(level - 1)];
        bool holds = false;
        SteadyTime below = SteadyTime::max();  // since when; max: it is not
        for (const Seen& one : seen) {
          const auto value = source == 0 && one.planned && level >= 2 ? std::nullopt : one.values[source];
          if (value && *value >= threshold - hysteresis) {
            below = SteadyTime::max();
            holds = holds || *value >= threshold;
          } else {
            below = std::min(below, one.at);
            holds = holds && one.at - below < settings.hold;
          }
        }
        worst = holds ? std::max(worst, level) : worst;
      }
    }
    return static_cast<Level>(worst);
  };

  SteadyTime now = After(seconds(0));
  double used = 0.5;
  double machine = 0.6;
  double stalls = 0;
  for (int step = 0; step < 400; ++step) {
    now += milliseconds(static_cast<int>(between(0, 3000)));
    used = std::clamp(used + between(-0.12, 0.12), 0.0, 1.2);
    machine = std::clamp(machine + between(-0.1, 0.1), 0.0, 1.0);
    stalls = std::clamp(stalls + between(-4, 4), 0.0, 40.0);
    PressureReading reading{.planned = kBudget * between(0, 1.1), .budget = kBudget};
    Seen one{.at = now, .values = {}, .planned = false};
    Bytes to_come;
    if (between(0, 1) < 0.95) {
      reading.measured = kBudget * used;
      to_come = reading.planned - *reading.measured;
      one.values[0] = static_cast<double>(reading.measured->count()) / static_cast<double>(kBudget.count());
      one.planned = *reading.measured <= reading.planned && *reading.measured <= kBudget;
    }
    if (between(0, 1) < 0.95) {
      const Bytes total = Bytes::Gib(8);
      reading.machine_total = total;
      reading.machine_available = total - total * machine;
      one.values[1] = static_cast<double>((total - *reading.machine_available + to_come).count()) /
                      static_cast<double>(total.count());
    }
    if (between(0, 1) < 0.95) {
      reading.stall_percent = stalls;
      one.values[2] = stalls;
    }
    seen.push_back(one);
    const Level before = pressure.level();
    const SteadyTime since = pressure.since();
    ASSERT_EQ(pressure.Update(reading, now), expected()) << "step " << step << ": " << pressure.reason();
    ASSERT_EQ(pressure.level(), heard);
    if (step > 0) {
      ASSERT_EQ(pressure.since(), pressure.level() == before ? since : now);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PressurePropertyTest, ::testing::Range(1U, 41U));

}  // namespace
}  // namespace weir::memory
