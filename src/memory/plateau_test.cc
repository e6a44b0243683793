#include "memory/plateau.h"

#include <gtest/gtest.h>

namespace weir::memory {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

SteadyTime At(Duration since) { return SteadyTime() + seconds(100) + since; }

TEST(Plateau, PeakIsKnownOnceNothingGrows) {
  Plateau plateau;
  plateau.Add(Bytes::Mib(40), At(seconds(0)));
  plateau.Add(Bytes::Mib(180), At(milliseconds(500)));
  EXPECT_FALSE(plateau.Peak(1000, At(seconds(5))));
  EXPECT_EQ(plateau.Peak(1000, At(milliseconds(5500))), Bytes::Mib(180));
}

TEST(Plateau, BreathingIsNoGrowthButCountsForThePeak) {
  Plateau plateau;
  plateau.Add(Bytes::Mib(200), At(seconds(0)));
  for (int i = 1; i <= 50; ++i) {
    plateau.Add(i % 2 == 0 ? Bytes::Mib(199) : Bytes::Mib(201), At(milliseconds(100 * i)));
  }
  EXPECT_EQ(plateau.Peak(1000, At(seconds(5))), Bytes::Mib(201));
}

TEST(Plateau, SlowCreepingIsGrowth) {
  Plateau plateau;
  for (int i = 0; i <= 60; ++i) {
    plateau.Add(Bytes::Mib(static_cast<std::uint64_t>(100 + i)), At(seconds(i)));
    EXPECT_FALSE(plateau.Peak(1000, At(seconds(i))));
  }
}

TEST(Plateau, BuffersMayStillFillBeforeTheFirstPicturesAreOut) {
  Plateau plateau;
  plateau.Add(Bytes::Mib(100), At(seconds(0)));
  EXPECT_FALSE(plateau.Peak(Plateau::kFrames - 1, At(seconds(60))));
  EXPECT_TRUE(plateau.Peak(Plateau::kFrames, At(seconds(60))));
}

TEST(Plateau, NothingSampledIsNothingKnown) { EXPECT_FALSE(Plateau().Peak(1000, At(seconds(60)))); }

TEST(Plateau, WhatIsLeftIsAboveThePeak) {
  EXPECT_EQ(LeaseAbove(Bytes::Mib(100)), Bytes::Mib(112));
  EXPECT_GT(LeaseAbove(Bytes::Mib(1)), Bytes::Mib(5));
}

}  // namespace
}  // namespace weir::memory
