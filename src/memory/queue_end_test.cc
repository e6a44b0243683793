#include "memory/queue_end.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace weir::memory {
namespace {

Bytes Mib(int count) { return Bytes::FromMib(count); }

constexpr int kShared = 43;

// Two processors, as in docs/BENCHMARKS.md.
const std::vector<Way> kCrop{
    {.memory = Mib(330), .processors = 1.85, .time = 1.0},
    {.memory = Mib(262), .processors = 1.7, .time = 1.09, .larger = 0.02},
    {.memory = Mib(255), .processors = 1, .time = 1.85, .in_company = true},
    {.memory = Mib(150), .processors = 1, .time = 1.65, .larger = 0.45},
};
constexpr std::size_t kFrameThreads = 0;
constexpr std::size_t kOneThread = 2;

Room RoomOf(int mib, double processors = 2) {
  return {.memory = Mib(mib), .shared = Mib(kShared), .processors = processors};
}

std::vector<LastStep> Steps(std::size_t count, double seconds = 10) {
  return std::vector<LastStep>(count, LastStep{.ways = kCrop, .seconds = seconds});
}

TEST(QueueEnd, TheLastOneAloneTakesWhatMakesItFast) {
  const auto end = PlanEnd(Steps(1), {}, 4, RoomOf(2000), 1);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->way, kFrameThreads);
  EXPECT_NEAR(end->seconds, 10, 1e-6);
}

TEST(QueueEnd, TwoAlikeGoSideBySide) {
  const auto end = PlanEnd(Steps(2), {}, 4, RoomOf(2000), 1);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->way, kOneThread);
  EXPECT_NEAR(end->seconds, 18.5, 1e-6);
}

TEST(QueueEnd, WithOneSlotNothingGoesSideBySide) {
  const auto end = PlanEnd(Steps(2), {}, 1, RoomOf(2000), 1);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->way, kFrameThreads);
  EXPECT_NEAR(end->seconds, 20, 1e-6);
  const std::vector<GoingStep> going{{.own = Mib(100), .processors = 1, .seconds = 3}};
  const auto later = PlanEnd(Steps(1), going, 1, RoomOf(2000), 1);
  ASSERT_TRUE(later);
  EXPECT_FALSE(later->way);
}

// On one thread beside the other it would go on alone for most of its time.
TEST(QueueEnd, ItWaitsForOneThatIsAlmostDone) {
  std::vector<GoingStep> going{{.own = Mib(212), .processors = 1, .seconds = 0.5}};
  EXPECT_EQ(PlanEnd(Steps(1), going, 4, RoomOf(500), 1)->way, std::nullopt);
  going[0].seconds = 18;
  EXPECT_EQ(PlanEnd(Steps(1), going, 4, RoomOf(500), 1)->way, kOneThread);
}

// Three that each keep one of two processors busy end sooner together than two and then one.
TEST(QueueEnd, BusyProcessorsAreSharedWhereThatEndsAllSooner) {
  const std::vector<Way> one{{.memory = Mib(100)}};
  const std::vector<LastStep> step{{.ways = one, .seconds = 9}};
  const std::vector<GoingStep> going(2, GoingStep{.own = Mib(57), .processors = 1, .seconds = 9});
  const auto end = PlanEnd(step, going, 4, RoomOf(500), 1);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->way, 0U);
  EXPECT_NEAR(end->seconds, 13.5, 1e-6);
}

TEST(QueueEnd, AmongEqualsTheBetterPictureAndThenLessMemory) {
  const std::vector<Way> ways{
      {.memory = Mib(300), .larger = 0.1}, {.memory = Mib(200)}, {.memory = Mib(100), .larger = 0.1}};
  Room room = RoomOf(1000);
  room.size_weight = 0;
  EXPECT_EQ(PlanEnd(std::vector<LastStep>{{.ways = ways}}, {}, 4, room, 1)->way, 1U);
  const std::vector<Way> alike{{.memory = Mib(300)}, {.memory = Mib(200), .time = 1 + 1e-12}};
  EXPECT_EQ(PlanEnd(std::vector<LastStep>{{.ways = alike}}, {}, 4, room, 1)->way, 1U);
}

TEST(QueueEnd, WhatItCannotPlanItLeavesToOthers) {
  EXPECT_FALSE(PlanEnd({}, {}, 4, RoomOf(500), 1));
  EXPECT_FALSE(PlanEnd(Steps(kMostLastSteps + 1), {}, 4, RoomOf(500), 1));
  EXPECT_FALSE(PlanEnd(Steps(1), {}, 4, RoomOf(100), 1)) << "no way fits, ever";
  EXPECT_FALSE(PlanEnd(Steps(1), {}, 0, RoomOf(500), 1));
}

// What is found for the first step, carried on with, ends when it said; and nothing is above the memory.
TEST(QueueEnd, CarriedOutItKeepsWhatItPromised) {
  std::mt19937_64 random(3);
  const auto dice = [&](std::uint64_t below) { return static_cast<double>(random() % below); };
  for (int round = 0; round < 200; ++round) {
    const double processors = 1 + dice(16);
    const int mib = 200 + static_cast<int>(dice(1500));
    std::vector<std::vector<Way>> ways;
    for (int i = 0; i < 3; ++i) {
      ways.emplace_back();
      for (int way = 0; way < 4; ++way) {
        ways.back().push_back({.memory = Mib(kShared + 20 + static_cast<int>(dice(130))),
                               .processors = 0.5 + dice(8) / 2,
                               .time = 1 + dice(10) / 4,
                               .larger = dice(5) / 20});
      }
    }
    std::vector<LastStep> steps;
    for (const auto& list : ways) {
      steps.push_back({.ways = list, .seconds = 1 + dice(20)});
    }
    const Room room = RoomOf(mib, processors);
    std::vector<GoingStep> going;
    double now = 0;
    std::optional<double> promised;
    while (!steps.empty() || !going.empty()) {
      if (!steps.empty()) {
        const auto end = PlanEnd(steps, going, 4, room, 1);
        ASSERT_TRUE(end);
        if (!promised) {
          promised = end->seconds;
        }
        if (end->way) {
          const Way& way = steps.front().ways[*end->way];
          going.push_back({.own = way.memory - Mib(kShared),
                           .processors = std::min(way.processors, processors),
                           .seconds = way.time * steps.front().seconds});
          steps.erase(steps.begin());
          Bytes held = Mib(kShared);
          for (const auto& one : going) {
            held += one.own;
          }
          ASSERT_LE(held, room.memory);
          continue;
        }
        ASSERT_FALSE(going.empty()) << "it waits for nobody";
      }
      double wanted = 0;
      double next = std::numeric_limits<double>::infinity();
      for (const auto& one : going) {
        wanted += one.processors;
        next = std::min(next, one.seconds);
      }
      for (auto& one : going) {
        one.seconds -= next;
      }
      std::erase_if(going, [](const GoingStep& one) { return one.seconds <= 1e-9; });
      now += next * std::max(1.0, wanted / processors);
    }
    // Of later plans some are for a better picture: the whole counts less, the less of it is left.
    EXPECT_GT(now, 0);
    EXPECT_LE(now, *promised * 1.3) << "round " << round;
  }
}

}  // namespace
}  // namespace weir::memory
