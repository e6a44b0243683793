#include "process/ending.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::process {
namespace {

using namespace std::chrono_literals;

TEST(Ending, HasAStableNameAndASentence) {
  struct Case {
    Ending ending;
    std::string name;
    std::string sentence;
  };
  const std::vector<Case> cases = {
      {Exited{.status = 1}, "exited", "exited with status 1"},
      {Signaled{.signal = 11}, "signaled", "killed by SIGSEGV (signal 11)"},
      {Signaled{.signal = 40}, "signaled", "killed by signal 40"},
      {Signaled{.signal = 9, .for_memory = true}, "signaled", "killed by SIGKILL (signal 9) for want of memory"},
      {OomKilled{.limit = Bytes::Mib(240), .by_kernel = true}, "oom_killed",
       "killed at its memory limit of " + ToString(Bytes::Mib(240))},
      {TimedOut{.deadline = 90s}, "timed_out", "stopped at its deadline of 90 s"},
      {TimedOut{.deadline = 60s, .of_processor = true}, "timed_out",
       "stopped at its limit of 60 s of processor time"},
      {Stalled{.limit = 1500ms}, "stalled", "stopped after 1.5 s without progress"},
      {Cancelled{}, "cancelled", "stopped on request"},
      {SpawnFailed{Error{.code = ErrorCode::kToolMissing, .detail = "no such program"}}, "spawn_failed",
       "could not be started: no such program"},
  };
  for (const Case& c : cases) {
    EXPECT_STREQ(NameOf(c.ending), c.name.c_str());
    EXPECT_EQ(Describe(c.ending), c.sentence);
  }
}

}  // namespace
}  // namespace weir::process
