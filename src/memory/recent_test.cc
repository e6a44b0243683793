#include "memory/recent.h"

#include <gtest/gtest.h>

namespace weir::memory {
namespace {

TEST(Recent, NothingIsZero) {
  const auto sum = Recent().Sum();
  EXPECT_EQ(sum.samples, 0U);
  EXPECT_EQ(sum.highest, 0);
}

TEST(Recent, OnlyTheLastHundredCount) {
  Recent recent;
  for (int i = 1; i <= 20; ++i) {
    recent.Add(i);
  }
  auto sum = recent.Sum();
  EXPECT_EQ(sum.samples, 20U);
  EXPECT_EQ(sum.last, 20);
  EXPECT_EQ(sum.mean, 10.5);
  EXPECT_EQ(sum.p95, 19);
  EXPECT_EQ(sum.highest, 20);
  recent.Add(1000);
  for (int i = 100; i >= 1; --i) {
    recent.Add(i);
  }
  sum = recent.Sum();
  EXPECT_EQ(sum.samples, 100U);
  EXPECT_EQ(sum.last, 1);
  EXPECT_EQ(sum.mean, 50.5);
  EXPECT_EQ(sum.p95, 95);
  EXPECT_EQ(sum.highest, 100) << "the thousand is too long ago";
}

}  // namespace
}  // namespace weir::memory
