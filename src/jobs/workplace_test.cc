#include "jobs/workplace.h"

#include <gtest/gtest.h>

#include <csignal>

#include "jobs/retry.h"

namespace weir::jobs::workplace {
namespace {

process::ChildReport ReportOf(process::Ending ending, std::string stderr_text = {}) {
  process::ChildReport report;
  report.ending = std::move(ending);
  report.stderr_text = std::move(stderr_text);
  return report;
}

TEST(RanOutOfMemory, IsTheKernelsKillOrARefusedAllocation) {
  EXPECT_TRUE(RanOutOfMemory(ReportOf(process::OomKilled{.limit = Bytes::Mib(100)})));
  EXPECT_TRUE(
      RanOutOfMemory(ReportOf(process::Exited{.status = 1}, "x264 [error]: malloc of size 3317824 failed\n")));
  EXPECT_FALSE(RanOutOfMemory(ReportOf(process::Exited{.status = 1}, "No such filter: 'crap'\n")));
  EXPECT_FALSE(RanOutOfMemory(ReportOf(process::Signaled{.signal = SIGKILL})));
  EXPECT_FALSE(RanOutOfMemory(ReportOf(process::Signaled{.signal = SIGKILL, .for_memory = true})));
}

TEST(RanOutOfMemory, SuccessIsSuccessWhateverWasPrinted) {
  EXPECT_FALSE(RanOutOfMemory(ReportOf(process::Exited{.status = 0}, "malloc of size 3317824 failed\n")));
}

TEST(WroteTooMuch, IsTheSizeLimitInAnyOfItsForms) {
  EXPECT_TRUE(WroteTooMuch(ReportOf(process::Signaled{.signal = SIGXFSZ})));
  EXPECT_TRUE(WroteTooMuch(ReportOf(process::Exited{.status = 1}, "av_interleaved_write_frame(): File too large\n")));
  auto watched = ReportOf(process::Cancelled{});
  EXPECT_FALSE(WroteTooMuch(watched));
  watched.folder_limit_exceeded = true;
  EXPECT_TRUE(WroteTooMuch(watched));
}

TEST(ErrorOf, EveryEndingHasItsRowOfTheTable) {
  Limits limits;
  limits.stall = std::chrono::seconds(7);
  EXPECT_EQ(ErrorOf(ReportOf(process::Exited{.status = 3}), "ffmpeg", Purpose::kWork, limits).code,
            ErrorCode::kChildFailed);
  EXPECT_EQ(ErrorOf(ReportOf(process::Signaled{.signal = SIGSEGV}), "ffmpeg", Purpose::kWork, limits).code,
            ErrorCode::kCrashed);
  EXPECT_EQ(ErrorOf(ReportOf(process::OomKilled{.limit = Bytes::Mib(9)}), "ffmpeg", Purpose::kWork, limits).code,
            ErrorCode::kOutOfMemory);
  EXPECT_EQ(
      ErrorOf(ReportOf(process::TimedOut{.deadline = std::chrono::seconds(5)}), "ffmpeg", Purpose::kWork, limits)
          .code,
      ErrorCode::kTimedOut);
  const Error stalled = ErrorOf(ReportOf(process::Stalled{.limit = limits.stall}), "ffmpeg", Purpose::kWork, limits);
  EXPECT_EQ(stalled.code, ErrorCode::kStalled);
  EXPECT_NE(stalled.detail.find("7 s"), std::string::npos) << stalled.detail;
  const Error spawn{.code = ErrorCode::kToolMissing, .detail = "gone"};
  EXPECT_EQ(ErrorOf(ReportOf(process::SpawnFailed{.error = spawn}), "ffmpeg", Purpose::kWork, limits).code,
            ErrorCode::kToolMissing);
}

TEST(ErrorOf, AKillForWantOfMemoryElsewhereIsNobodysFaultHere) {
  const Error error =
      ErrorOf(ReportOf(process::Signaled{.signal = SIGKILL, .for_memory = true}), "ffmpeg", Purpose::kWork, {});
  EXPECT_EQ(AgainAfter(CauseOf(error.code)), Again::kLater);
  EXPECT_NE(error.detail.find("for want of memory on the machine"), std::string::npos) << error.detail;
}

TEST(ErrorOf, NamesTheOptionOnlyWhereItHelps) {
  const auto late = ReportOf(process::TimedOut{.deadline = std::chrono::seconds(5)});
  EXPECT_NE(ErrorOf(late, "ffmpeg", Purpose::kWork, {}).detail.find("--timeout"), std::string::npos);
  EXPECT_EQ(ErrorOf(late, "ffprobe", Purpose::kLook, {}).detail.find("--timeout"), std::string::npos);
}

TEST(LimitTime, LeavesEveryProcessorBusyUntilTheDeadline) {
  process::Order order;
  LimitTime(order, std::chrono::minutes(10), 4);
  EXPECT_EQ(order.deadline, std::chrono::minutes(10));
  EXPECT_EQ(order.cpu_limit, std::chrono::minutes(40));
  LimitTime(order, std::chrono::milliseconds(1500), 2);
  EXPECT_EQ(order.cpu_limit, std::chrono::seconds(60));
}

TEST(ErrorOf, QuotesTheLastWordsSafely) {
  const Error error =
      ErrorOf(ReportOf(process::Exited{.status = 1}, "first\n\x1b[31mlast words\n\n"), "ffmpeg", Purpose::kWork, {});
  EXPECT_NE(error.detail.find("last words"), std::string::npos);
  EXPECT_EQ(error.detail.find('\x1b'), std::string::npos);
  EXPECT_EQ(error.detail.find("first"), std::string::npos);
}

}  // namespace
}  // namespace weir::jobs::workplace
