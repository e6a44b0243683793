#include "api/window.h"

#include <gtest/gtest.h>

namespace weir::api {
namespace {

using namespace std::chrono_literals;

TEST(Window, KeepsAHundredSamplesAndCountsAll) {
  Window window;
  EXPECT_EQ(window.Quantile(0.95), 0ns);
  for (int i = 1; i <= 1000; ++i) {
    window.Add(std::chrono::milliseconds(i), i % 10 == 0);
  }
  EXPECT_EQ(window.count(), 1000U);
  EXPECT_EQ(window.failed(), 100U);
  EXPECT_EQ(window.samples(), 100U);
  EXPECT_EQ(window.Quantile(0), 901ms);
  EXPECT_EQ(window.Quantile(1), 1000ms);
  EXPECT_EQ(window.Quantile(0.95), 996ms);
  EXPECT_EQ(window.Mean(), 950500us);
}

}  // namespace
}  // namespace weir::api
