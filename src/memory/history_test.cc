#include "memory/history.h"

#include <gtest/gtest.h>

namespace weir::memory {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

SteadyTime At(Duration since) { return SteadyTime() + hours(48) + since; }
TreeUse Use(std::uint64_t mebibytes, Level level = Level::kNormal) {
  return {.tree = Bytes::Mib(mebibytes), .leased = Bytes::Mib(10), .budget = Bytes::Mib(500), .level = level};
}

TEST(History, KeepsTheHighestOfEachInterval) {
  History history;
  history.Add(Use(10), At(seconds(0)));
  history.Add(Use(90, Level::kHigh), At(seconds(5)));
  history.Add(Use(20), At(seconds(9)));
  history.Add(Use(30), At(seconds(10)));
  const auto samples = history.Samples(0, At(seconds(12)));
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].age, seconds(12));
  EXPECT_EQ(samples[0].highest.tree, Bytes::Mib(90));
  EXPECT_EQ(samples[0].highest.level, Level::kHigh);
  EXPECT_EQ(samples[1].age, seconds(2));
  EXPECT_EQ(samples[1].highest.tree, Bytes::Mib(30));
  EXPECT_EQ(history.Samples(1, At(seconds(12))).size(), 1U);
}

TEST(History, WhatIsOlderIsForgottenAndHolesStayHoles) {
  History history;
  for (int i = 0; i < 5 * 3600; i += 10) {
    history.Add(Use(static_cast<std::uint64_t>(i)), At(seconds(i)));
  }
  const auto now = At(seconds(5 * 3600 - 10));
  const auto hour = history.Samples(0, now);
  ASSERT_EQ(hour.size(), History::kPoints);
  EXPECT_EQ(hour.front().highest.tree, Bytes::Mib(5 * 3600 - 3600));
  EXPECT_EQ(history.Samples(1, now).size(), 75U);
  // Nothing for two hours.
  history.Add(Use(7), At(hours(7)));
  const auto later = history.Samples(0, At(hours(7)));
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].highest.tree, Bytes::Mib(7));
  EXPECT_EQ(history.Samples(0, At(hours(9))).size(), 0U);
}

}  // namespace
}  // namespace weir::memory
