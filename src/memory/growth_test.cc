#include "memory/growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

using ::testing::HasSubstr;

constexpr double kDay = 24;

double Hours(Duration duration) { return Seconds(duration) / 3600; }
SteadyTime At(double hours) { return SteadyTime(std::chrono::milliseconds(std::llround(hours * 3.6e6))); }

// What the daemon has at a time in hours, in MiB or as a number.
using Level = std::function<double(double)>;

struct Machine {
  Level pss = [](double) { return 40; };
  Level heap = [](double) { return 30; };
  Level handles = [](double) { return 40; };
  Level threads = [](double) { return 6; };
  std::vector<std::pair<std::string, Level>> components = {};
  double noise_mib = 2;
  // From one sample to the next.
  std::function<double(std::mt19937_64&)> step_hours = [](std::mt19937_64&) { return 1.0 / 60; };
};

struct Event {
  double hours = 0;
  bool began = false;
  GrowthFinding finding;
};

class Simulation {
 public:
  Simulation(Machine machine, unsigned seed, GrowthBounds bounds = {})
      : machine_(std::move(machine)), random_(seed), growth_({}, bounds) {}

  std::vector<Event> RunUntil(double until_hours) {
    std::vector<Event> events;
    for (; hours_ < until_hours; hours_ += machine_.step_hours(random_)) {
      GrowthSample sample{.time = At(hours_),
                          .pss = Noisy(machine_.pss(hours_)),
                          .heap_in_use = Noisy(machine_.heap(hours_)),
                          .handles = static_cast<std::size_t>(machine_.handles(hours_)),
                          .threads = static_cast<std::size_t>(machine_.threads(hours_)),
                          .components = {}};
      for (const auto& [name, level] : machine_.components) {
        sample.components.push_back({.name = name, .used = Bytes::FromMib(level(hours_))});
      }
      for (GrowthChange& change : growth_.Update(sample)) {
        events.push_back({.hours = hours_, .began = change.began, .finding = std::move(change.finding)});
      }
    }
    return events;
  }
  Growth& growth() { return growth_; }

 private:
  Bytes Noisy(double mib) { return Bytes::FromMib(mib + machine_.noise_mib * normal_(random_)); }

  Machine machine_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  Growth growth_;
  double hours_ = 0;
};

// Rises from nothing to `height` and falls at once; each time a bit differently.
Level Sawtooth(double period, double height, unsigned seed) {
  const double phase = 0.37 * seed;
  return [=](double hours) {
    const double turns = hours / period + phase;
    const double bend = 0.1 * std::sin(std::floor(turns) * 12.9898 + seed);
    return height * (0.9 + bend) * (turns - std::floor(turns));
  };
}

// 50 MiB up to two hours, then less, down to 20 MiB at twelve.
double HealthyHeight(double period) { return period <= 2 ? 50 : 50 - 30 * (period - 2) / 10; }

Level Plus(Level a, Level b) {
  return [a = std::move(a), b = std::move(b)](double hours) { return a(hours) + b(hours); };
}
Level Base(double level) {
  return [=](double) { return level; };
}
Level Leak(double per_hour, double from = 0) {
  return [=](double hours) { return per_hour * std::max(0.0, hours - from); };
}

std::string Told(const std::vector<Event>& events) {
  std::string told;
  for (const Event& event : events) {
    told += (event.began ? "began at " : "ended at ") + std::to_string(event.hours) +
            " h: " + event.finding.sentence + "\n";
  }
  return told;
}

class GrowthTest : public ::testing::TestWithParam<unsigned> {
 protected:
  static void ExpectHealthy(const std::string& what, const Machine& machine, double days = 7) {
    const auto events = Simulation(machine, GetParam()).RunUntil(days * kDay);
    EXPECT_TRUE(events.empty()) << what << "\n" << Told(events);
  }
  // The only event, with a slope that is right within a quarter.
  static GrowthFinding ExpectFound(const Machine& machine, double per_hour, double within, double run = 0) {
    const auto events = Simulation(machine, GetParam()).RunUntil(std::max(within, run));
    EXPECT_EQ(events.size(), 1U) << Told(events);
    if (events.empty()) {
      return {};
    }
    const Event& event = events.front();
    EXPECT_TRUE(event.began);
    EXPECT_LE(event.hours, within);
    const double found =
        event.finding.what == Growing::kMemory ? event.finding.bytes_per_hour.mib() : event.finding.count_per_hour;
    EXPECT_NEAR(found, per_hour, per_hour / 4) << Told(events);
    return event.finding;
  }
};

INSTANTIATE_TEST_SUITE_P(Seeds, GrowthTest, ::testing::Values(1U, 2U, 3U));

TEST_P(GrowthTest, ASawtoothOfAnyPeriodIsHealthy) {
  for (const double period : {1.0 / 12, 1.0 / 3, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0}) {
    ExpectHealthy("period " + std::to_string(period),
                  {.pss = Plus(Base(40), Sawtooth(period, HealthyHeight(period), GetParam()))});
  }
}

TEST_P(GrowthTest, EvenTheGrantedSwingIsHealthyAtAnyPeriod) {
  for (const double period : {3.6, 4.2, 5.0, 7.0, 12.0}) {
    ExpectHealthy("period " + std::to_string(period), {.pss = Plus(Base(40), Sawtooth(period, 50, GetParam()))}, 3);
  }
}

TEST_P(GrowthTest, AStepIsHealthy) {
  for (const double height : {15.0, 50.0, 300.0}) {
    ExpectHealthy("step of " + std::to_string(height),
                  {.pss = [height](double hours) { return hours < 20 + 7 * GetParam() ? 40 : 40 + height; }});
  }
}

TEST_P(GrowthTest, AWarmUpThatLevelsOffIsHealthy) {
  ExpectHealthy("bent", {.pss = [](double hours) { return 8 + 90 * (1 - std::exp(-hours / 0.6)); }}, 3);
  ExpectHealthy("straight", {.pss = [](double hours) { return 8 + 60 * std::min(hours, 2.0); }}, 3);
  ExpectHealthy("first work after a day",
                {.pss = [](double hours) { return 8 + 45 * std::clamp(hours - 24, 0.0, 1.5); }}, 3);
}

TEST_P(GrowthTest, NoiseIsHealthy) {
  ExpectHealthy("small", {.noise_mib = 2});
  ExpectHealthy("large", {.pss = Base(100), .noise_mib = 15});
  std::mt19937_64 random(GetParam() + 100);
  std::normal_distribution<double> normal;
  double wander = 0;
  ExpectHealthy("wandering for hours", {.pss = [&](double) {
                  constexpr double kKept = 1 - 1.0 / 120;  // forgets in two hours
                  wander = kKept * wander + std::sqrt(1 - kKept * kKept) * 6 * normal(random);
                  return 60 + wander;
                }});
}

TEST_P(GrowthTest, LoadThatComesAndGoesByDayIsHealthy) {
  const double shift = 5.0 * GetParam();
  const auto smooth = [=](double hours) { return 65 + 24 * std::sin((hours + shift) / kDay * 2 * std::numbers::pi); };
  const auto office = [=](double hours) {
    const double of_day = std::fmod(hours + shift, kDay);
    const bool weekend = std::fmod(hours + shift, 7 * kDay) >= 5 * kDay;
    const bool at_work = !weekend && of_day >= 9 && of_day < 18;
    return 40 + (at_work ? 15 + 30 * std::min(1.0, (of_day - 9) / 6) : 0);
  };
  const auto slow_climb = [=](double hours) {
    const double of_day = std::fmod(hours + shift, kDay);
    return 40 + 48 * (of_day < 16 ? of_day / 16 : (kDay - of_day) / 8);
  };
  ExpectHealthy("smooth", {.pss = smooth});
  ExpectHealthy("office hours", {.pss = office});
  ExpectHealthy("climbs for 16 hours", {.pss = slow_climb});
  ExpectHealthy("with a sawtooth",
                {.pss = Plus([=](double hours) { return 20 + office(hours) / 2; }, Sawtooth(1, 25, GetParam()))});
  ExpectHealthy("handles and threads", {.handles = [=](double hours) { return 40 + 6 * (office(hours) - 40); },
                                        .threads = [=](double hours) { return 6 + (office(hours) - 40); }});
}

TEST_P(GrowthTest, ASlowLeakIsFoundWithinADay) {
  const auto finding = ExpectFound({.pss = Plus(Base(40), Leak(1.5))}, 1.5, 24, 72);
  EXPECT_EQ(finding.what, Growing::kMemory);
  EXPECT_GE(Hours(finding.over), 14);
  EXPECT_EQ(finding.suspect, kOutsideHeap);
  EXPECT_THAT(finding.sentence, HasSubstr("per hour for 18."));
}

TEST_P(GrowthTest, ALeakBelowTheLimitIsNotOne) {
  ExpectHealthy("0.6 MiB per hour", {.pss = Plus(Base(40), Leak(0.6))});
  ExpectHealthy("5 handles per hour", {.handles = Plus(Base(40), Leak(5))});
}

TEST_P(GrowthTest, AFastLeakIsFoundWithinFiveHours) {
  EXPECT_GE(Hours(ExpectFound({.pss = Plus(Base(40), Leak(12))}, 12, 5, 48).over), 3);
  EXPECT_GE(Hours(ExpectFound({.pss = Plus(Base(40), Leak(50))}, 50, 3.5).over), 3);
}

TEST_P(GrowthTest, ALeakThatBeginsAfterDaysIsFoundAsSoon) {
  ExpectFound({.pss = Plus(Base(40), Leak(1.5, 100))}, 1.5, 100 + 24);
  ExpectFound({.pss = Plus(Base(40), Leak(12, 100))}, 12, 100 + 5);
}

TEST_P(GrowthTest, ALeakBelowASawtoothIsFound) {
  for (const double period : {0.25, 1.0, 3.0, 6.0}) {
    const auto sawtooth = Sawtooth(period, HealthyHeight(period), GetParam());
    ExpectFound({.pss = Plus(Plus(Base(40), Leak(1.5)), sawtooth)}, 1.5, 30);
  }
}

// Half a period more or less of a swing that is larger than what leaked makes the first slope a rough one.
TEST_P(GrowthTest, ALeakBelowASawtoothOfTwelveHoursIsFoundAndGetsExact) {
  Simulation simulation({.pss = Plus(Plus(Base(40), Leak(1.5)), Sawtooth(12, 20, GetParam()))}, GetParam());
  const auto events = simulation.RunUntil(96);
  ASSERT_EQ(events.size(), 1U) << Told(events);
  EXPECT_LE(events.front().hours, 48);
  ASSERT_EQ(simulation.growth().findings().size(), 1U);
  EXPECT_NEAR(simulation.growth().findings().front().bytes_per_hour.mib(), 1.5, 1.5 / 4);
}

TEST_P(GrowthTest, TheLeakingComponentIsNamed) {
  const auto rendered = Sawtooth(1, 12, GetParam());
  const auto leak = Leak(2, 24);
  const auto pss = Plus(Plus(Base(50), rendered), leak);
  const auto heap = Plus(Plus(Base(35), rendered), leak);
  const std::pair<std::string, Level> others[] = {{"rendered", rendered}, {"store cache", Base(8)}};

  Machine machine{.pss = pss, .heap = heap, .components = {others[0], {"book", Plus(Base(1), leak)}, others[1]}};
  const auto named = ExpectFound(machine, 2, 48);
  EXPECT_EQ(named.suspect, "book");
  EXPECT_THAT(named.sentence, HasSubstr("component \"book\""));

  machine.components = {others[0], {"book", Base(1)}, others[1]};
  EXPECT_EQ(ExpectFound(machine, 2, 48).suspect, kHeapOutsideComponents);

  machine.heap = Plus(Base(35), rendered);
  EXPECT_EQ(ExpectFound(machine, 2, 48).suspect, kOutsideHeap);
}

TEST_P(GrowthTest, TheOneThatLeaksMostOfTwoIsNamed) {
  const Machine machine{.pss = Plus(Base(50), Leak(5)),
                        .heap = Plus(Base(30), Leak(5)),
                        .components = {{"rendered", Leak(1.5)}, {"unchanged", Leak(3)}}};
  EXPECT_EQ(ExpectFound(machine, 5, 14).suspect, "unchanged");
}

TEST_P(GrowthTest, LeakingHandlesAndThreadsAreFound) {
  const auto handles = ExpectFound({.handles = Plus(Sawtooth(1, 60, GetParam()), Leak(15))}, 15, 24, 72);
  EXPECT_EQ(handles.what, Growing::kHandles);
  EXPECT_EQ(handles.bytes_per_hour, Bytes());
  EXPECT_THAT(handles.sentence, HasSubstr("open handles"));
  EXPECT_EQ(ExpectFound({.handles = Leak(150)}, 150, 3.5).what, Growing::kHandles);
  EXPECT_EQ(ExpectFound({.threads = Plus(Base(6), Leak(12))}, 12, 24).what, Growing::kThreads);
}

TEST_P(GrowthTest, AFindingEndsOnceWhenTheGrowthEnds) {
  struct Case {
    double per_hour;
    double until;
    double ends_within;
  };
  for (const Case& c : {Case{12, 24, 5}, Case{5, 24, 8}, Case{1.5, 26, 9}, Case{1.5, 72, 10}}) {
    const auto events =
        Simulation({.pss = [&](double hours) { return 40 + c.per_hour * std::min(hours, c.until); }}, GetParam())
            .RunUntil(c.until + 24);
    ASSERT_EQ(events.size(), 2U) << Told(events);
    EXPECT_FALSE(events[1].began);
    EXPECT_GT(events[1].hours, c.until);
    EXPECT_LT(events[1].hours, c.until + c.ends_within) << c.per_hour;
  }
}

TEST_P(GrowthTest, AFindingEndsAtOnceWhenTheMemoryIsGivenBackAndIsNewWhenItGrowsAgain) {
  Simulation simulation({.pss = [](double hours) { return 40 + 5 * std::fmod(hours, 30.0); }}, GetParam());
  const auto events = simulation.RunUntil(59);
  ASSERT_EQ(events.size(), 3U) << Told(events);
  EXPECT_TRUE(events[0].began);
  EXPECT_FALSE(events[1].began);
  EXPECT_NEAR(events[1].hours, 30, 0.5);
  EXPECT_TRUE(events[2].began);
  EXPECT_EQ(simulation.growth().findings().size(), 1U);
}

TEST_P(GrowthTest, IrregularSamplesAndGapsAreSurvived) {
  const auto irregular = [](std::mt19937_64& random) {
    const bool suspended = std::uniform_int_distribution<int>(0, 400)(random) == 0;
    return std::uniform_real_distribution<double>(0.0, suspended ? 12.0 : 0.4)(random);
  };
  for (const double period : {0.5, 4.0, 12.0}) {
    ExpectHealthy(
        "period " + std::to_string(period),
        {.pss = Plus(Base(40), Sawtooth(period, HealthyHeight(period), GetParam())), .step_hours = irregular}, 14);
  }
  const auto rarely = [](std::mt19937_64& random) {
    return std::uniform_real_distribution<double>(0.0, 0.6)(random);
  };
  ExpectFound({.pss = Plus(Base(40), Leak(1.5)), .step_hours = rarely}, 1.5, 24);
}

TEST_P(GrowthTest, ALeakAroundAGapIsFound) {
  double before = 0;
  const auto gap_after_ten_hours = [&](std::mt19937_64&) {
    const double step = before < 10 && before + 1.0 / 60 >= 10 ? 2.0 : 1.0 / 60;
    before += step;
    return step;
  };
  ExpectFound({.pss = Plus(Base(40), Leak(1.5)), .step_hours = gap_after_ten_hours}, 1.5, 24);
}

TEST(GrowthTimeTest, TimesThatStandStillOrGoBackAreOnePoint) {
  Growth growth;
  for (int i = 0; i < 10000; ++i) {
    EXPECT_TRUE(growth.Update({.time = At(100), .pss = Bytes::Mib(static_cast<std::uint64_t>(i))}).empty());
  }
  EXPECT_TRUE(growth.Update({.time = At(3), .pss = Bytes::Mib(900)}).empty());
  EXPECT_FALSE(growth.pss_mib_per_hour());
  EXPECT_LE(growth.bytes(), growth.most_bytes());
}

TEST(GrowthTimeTest, AfterAYearWithoutSamplesItStartsAfresh) {
  Simulation simulation({.pss = Plus(Base(40), Leak(12))}, 1);
  EXPECT_EQ(simulation.RunUntil(10).size(), 1U);
  Growth& growth = simulation.growth();
  const double year = 366 * kDay;
  int ended = 0;
  for (int minute = 0; minute < 8 * 60; ++minute) {
    for (const auto& change : growth.Update({.time = At(year + minute / 60.0), .pss = Bytes::Mib(400)})) {
      EXPECT_FALSE(change.began);
      ++ended;
    }
  }
  EXPECT_EQ(ended, 1);
}

TEST(GrowthTrendTest, TheTrendOfTheLastHoursHasASign) {
  Simulation falling({.pss = [](double hours) { return 200 - 4 * hours; }}, 1);
  EXPECT_TRUE(falling.RunUntil(2.9).empty());
  EXPECT_FALSE(falling.growth().pss_mib_per_hour());
  EXPECT_TRUE(falling.RunUntil(24).empty());
  EXPECT_NEAR(falling.growth().pss_mib_per_hour().value_or(0), -4, 0.3);
}

TEST(GrowthBoundTest, ThirtyDaysAndEndlesslyManyNamesKeepTheBound) {
  Growth growth({}, {.points = 240, .components = 8});
  const Bytes most = growth.most_bytes();
  EXPECT_LT(most, Bytes::Kib(48));
  EXPECT_LE(Growth().most_bytes(), Bytes::Kib(64));
  std::vector<Event> events;
  for (int minute = 0; minute < 30 * 24 * 60; ++minute) {
    const double hours = minute / 60.0;
    GrowthSample sample{.time = At(hours),
                        .pss = Bytes::FromMib(60 + Leak(2, 690)(hours)),
                        .heap_in_use = Bytes::FromMib(40 + Leak(2, 690)(hours)),
                        .components = {}};
    sample.components.push_back({.name = "job " + std::to_string(minute / 7), .used = Bytes::Mib(1)});
    sample.components.push_back(
        {.name = std::string(1000, 'x') + std::to_string(minute), .used = Bytes::FromMib(Leak(2, 690)(hours))});
    for (GrowthChange& change : growth.Update(sample)) {
      events.push_back({.hours = hours, .began = change.began, .finding = std::move(change.finding)});
    }
    ASSERT_LE(growth.bytes(), most);
    ASSERT_LE(growth.component_count(), 8U);
  }
  ASSERT_EQ(events.size(), 1U) << Told(events);
  EXPECT_LE(events.front().hours, 690 + 24);
  EXPECT_THAT(events.front().finding.suspect, ::testing::StartsWith("xxx"));
  EXPECT_EQ(events.front().finding.suspect.size(), 64U);
}

TEST(GrowthBoundTest, ComponentsBeyondTheBoundAreSuspectedTogetherAndPlacesGetFree) {
  Growth growth({}, {.points = 180, .components = 2});
  std::vector<GrowthFinding> found;
  const auto feed = [&](double from, double to, bool two_more) {
    for (double hours = from; hours < to; hours += 1.0 / 60) {
      const Bytes leaked = Bytes::FromMib(Leak(3)(hours));
      GrowthSample sample{.time = At(hours),
                          .pss = Bytes::Mib(60) + leaked,
                          .heap_in_use = Bytes::Mib(40) + leaked,
                          .components = {{"first", Bytes::Mib(1)}}};
      if (two_more) {
        sample.components.push_back({"second", Bytes::Mib(1)});
        sample.components.push_back({"third", leaked});
      }
      for (GrowthChange& change : growth.Update(sample)) {
        found.push_back(std::move(change.finding));
      }
    }
  };
  feed(0, 24, true);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().suspect, kOtherComponents);
  EXPECT_EQ(growth.component_count(), 2U);
  feed(24, 24 + 61, false);
  EXPECT_EQ(growth.component_count(), 1U);
}

TEST(GrowthBoundTest, TooFewPointsAreRaised) {
  EXPECT_EQ(Growth({}, {.points = 1, .components = 4}).most_bytes(),
            Growth({}, {.points = 180, .components = 4}).most_bytes());
}

}  // namespace
}  // namespace weir::memory
