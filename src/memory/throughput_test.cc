#include "memory/throughput.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::memory {
namespace {

Bytes Mib(int count) { return Bytes::FromMib(count); }

// 1080p to 1080x1920, veryfast, two processors, as in docs/BENCHMARKS.md.
const std::vector<Way> kCrop{
    {.memory = Mib(330), .processors = 1.85, .time = 1.0},
    {.memory = Mib(310), .processors = 1.85, .time = 1.06},
    {.memory = Mib(262), .processors = 1.7, .time = 1.09, .larger = 0.02},
    {.memory = Mib(255), .processors = 1, .time = 1.85, .in_company = true},
    {.memory = Mib(220), .processors = 1.7, .time = 1.09, .larger = 0.13},
    {.memory = Mib(214), .processors = 1, .time = 1.85, .larger = 0.13},
    {.memory = Mib(150), .processors = 1, .time = 1.65, .larger = 0.45},
    {.memory = Mib(128), .processors = 1, .time = 0.82, .larger = 3.0},
};
constexpr std::size_t kFrameThreads = 0;
constexpr std::size_t kSlices = 2;
constexpr std::size_t kOneThread = 3;
constexpr std::size_t kSlicesBrief = 4;
constexpr std::size_t kUltrafast = 7;

Room RoomOf(int mib, double processors = 2) {
  return {.memory = Mib(mib), .shared = Mib(43), .processors = processors};
}

TEST(Throughput, OneJobAloneTakesAllThatMakesItFast) {
  EXPECT_EQ(BestWay(kCrop, 1, RoomOf(466)), kFrameThreads);
  EXPECT_EQ(BestWay(kCrop, 1, RoomOf(270)), kSlices);
  EXPECT_EQ(BestWay(kCrop, 1, RoomOf(222)), kSlicesBrief);
}

TEST(Throughput, AQueueIsDoneOneThreadForEachProcessor) {
  EXPECT_EQ(BestWay(kCrop, 100, RoomOf(470)), kOneThread);
  EXPECT_EQ(BestWay(kCrop, 2, RoomOf(470)), kOneThread);
}

TEST(Throughput, NoneGoesOnAloneWhenTheQueueIsDone) {
  Room room = RoomOf(2000, 4);
  const std::vector<Way> ways{{.memory = Mib(330), .processors = 3.5, .time = 1},
                              {.memory = Mib(255), .processors = 1, .time = 3.5}};
  EXPECT_EQ(BestWay(ways, 2, room), 1U) << "it fills the processors beside the other way";
  room.queue = Queue{.steps = 2, .processors = 4, .memory = Mib(2000)};
  EXPECT_EQ(BestWay(ways, 2, room), 0U);
  room.queue->steps = 100;
  EXPECT_EQ(BestWay(ways, 100, room), 1U);
  // The last one gets no lean way for being a little quicker.
  const std::vector<Way> with_lean{
      ways[0], ways[1], {.memory = Mib(120), .processors = 3.5, .time = 0.95, .larger = 0.45}};
  room.queue->steps = 1;
  EXPECT_EQ(BestWay(with_lean, 1, room), 0U);
  // What is the only way that fits is never too slow.
  room.queue = Queue{.steps = 1, .processors = 4, .memory = Mib(300)};
  room.memory = Mib(300);
  EXPECT_EQ(BestWay(ways, 1, room), 1U);
  // Others will make room for the better one.
  room.queue->memory = Mib(2000);
  EXPECT_EQ(BestWay(ways, 1, room), std::nullopt);
}

TEST(Throughput, WhatTheyShareIsCountedOnce) {
  Room room = RoomOf(468);
  EXPECT_EQ(BestWay(kCrop, 2, room), kOneThread);  // 2 x (255 - 43) + 43 = 467
  room.memory = Mib(466);
  EXPECT_NE(BestWay(kCrop, 2, room), kOneThread);
  room.memory = Mib(468);
  room.shared = Bytes();
  EXPECT_NE(BestWay(kCrop, 2, room), kOneThread);
}

TEST(Throughput, LargerOutputsAreNotTakenForALittleTime) {
  EXPECT_EQ(BestWay(kCrop, 100, RoomOf(300)), kSlices);  // two ultrafast ones would fit
  Room only_time = RoomOf(300);
  only_time.size_weight = 0;
  EXPECT_EQ(BestWay(kCrop, 100, only_time), kUltrafast);
}

TEST(Throughput, NothingFitsNothingIsTaken) {
  EXPECT_EQ(BestWay(kCrop, 1, RoomOf(100)), std::nullopt);
  EXPECT_EQ(BestWay(kCrop, 50, RoomOf(127)), std::nullopt);
  EXPECT_EQ(BestWay(kCrop, 50, RoomOf(128)), kUltrafast);
}

TEST(Throughput, LargeMachinesAndLongQueuesAreLookedAtInProportion) {
  EXPECT_EQ(BestWay(kCrop, 100'000, RoomOf(512 * 1024, 128)), kOneThread);
  EXPECT_EQ(BestWay(kCrop, 1, RoomOf(512 * 1024, 128)), kFrameThreads);
  // 212 MiB for each of 128.
  EXPECT_EQ(BestWay(kCrop, 1000, RoomOf(128 * 213 + 43, 128)), kOneThread);
  EXPECT_NE(BestWay(kCrop, 1000, RoomOf(128 * 120 + 43, 128)), kOneThread);
}

TEST(Throughput, EveryoneGetsAPlaceUntilTheProcessorsAreBusy) {
  const std::vector<std::span<const Way>> steps(4, kCrop);
  const auto assigned = Assign(steps, RoomOf(2000));
  EXPECT_EQ(assigned, (std::vector<std::optional<std::size_t>>{kOneThread, kOneThread, std::nullopt, std::nullopt}));
}

TEST(Throughput, AssignedWaysAlwaysFit) {
  std::uint64_t seed = 1;
  const auto dice = [&](std::uint64_t below) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33U) % below;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::vector<Way>> ladders(1 + dice(5));
    for (auto& ladder : ladders) {
      std::uint64_t memory = 60 + dice(500);
      for (std::uint64_t way = 0, ways = 1 + dice(6); way < ways && memory > 44;
           ++way, memory = memory * (60 + dice(38)) / 100) {
        ladder.push_back({.memory = Bytes::Mib(memory),
                          .processors = 1 + static_cast<double>(dice(100)) / 50,
                          .time = 1 + static_cast<double>(dice(100)) / 100,
                          .larger = static_cast<double>(dice(50)) / 100});
      }
    }
    const Room room = RoomOf(static_cast<int>(60 + dice(900)), 1 + static_cast<double>(dice(4)));
    std::vector<std::span<const Way>> steps;
    for (const auto& ladder : ladders) {
      steps.emplace_back(ladder);
    }
    const auto assigned = Assign(steps, room);
    ASSERT_EQ(assigned.size(), steps.size());
    Bytes own;
    bool any = false;
    bool any_fits = false;
    for (std::size_t step = 0; step < steps.size(); ++step) {
      for (const Way& way : steps[step]) {
        any_fits |= way.memory <= room.memory;
      }
      if (assigned[step]) {
        any = true;
        own += steps[step][*assigned[step]].memory - room.shared;
      }
    }
    EXPECT_EQ(any, any_fits);
    EXPECT_LE(own, room.memory - room.shared);
  }
}

}  // namespace
}  // namespace weir::memory
