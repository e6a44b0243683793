#include "jobs/retry.h"

#include <gtest/gtest.h>

namespace weir::jobs {
namespace {

using namespace std::chrono_literals;

TEST(Retry, WhatIsWrongWithTheRequestIsNeverTriedAgain) {
  for (const ErrorCode code : {ErrorCode::kInputDamaged, ErrorCode::kInputMissing, ErrorCode::kBadParameters,
                               ErrorCode::kOutputExists, ErrorCode::kOverBudget, ErrorCode::kVerification}) {
    EXPECT_EQ(AgainAfter(CauseOf(code)), Again::kNever) << NameOf(CauseOf(code));
  }
}

TEST(Retry, MemoryTimeAndCrashesGetALeanerPlan) {
  for (const ErrorCode code :
       {ErrorCode::kOutOfMemory, ErrorCode::kTimedOut, ErrorCode::kStalled, ErrorCode::kCrashed}) {
    EXPECT_EQ(AgainAfter(CauseOf(code)), Again::kLeaner) << NameOf(CauseOf(code));
  }
}

TEST(Retry, EveryRowOfTheTableHasACause) {
  for (const auto& info : ErrorTable()) {
    EXPECT_STRNE(NameOf(CauseOf(info.code)), "");
  }
  EXPECT_STREQ(NameOf(CauseOf(ErrorCode::kDiskFull)), "disk_full");
  EXPECT_STREQ(NameOf(CauseOf(ErrorCode::kSystem)), "infrastructure");
}

TEST(Retry, PausesDoubleUpToFiveMinutes) {
  EXPECT_EQ(BackoffFor(0, 2s), 2s);
  EXPECT_EQ(BackoffFor(3, 2s), 16s);
  EXPECT_EQ(BackoffFor(1000, 2s), 5min);
}

}  // namespace
}  // namespace weir::jobs
