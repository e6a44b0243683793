#include "app/governor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GovernorTest : public ::testing::Test {
 protected:
  GovernorTest()
      : governor_({}, {.trim = [this] { return Did("trim", freed_); },
                       .sweep = [this] { return Did("sweep", Bytes()); },
                       .hold = [this](bool held) { static_cast<void>(Did(held ? "hold" : "release", Bytes())); },
                       .lower_leases = [this] { return Did("lower", lowered_); },
                       .suspend_youngest =
                           [this](const std::string&) {
                             static_cast<void>(Did("suspend", Bytes()));
                             return several_;
                           },
                       .resume_suspended = [this] { static_cast<void>(Did("resume", Bytes())); },
                       .end_youngest =
                           [this](const std::string&) { return Did("end", several_ ? Bytes::Mib(200) : Bytes()); }}) {
    reading_.pressure = {.measured = Bytes::Mib(100),
                         .planned = Bytes::Mib(400),
                         .budget = Bytes::Mib(500),
                         .machine_available = Bytes::Mib(8000),
                         .machine_total = Bytes::Mib(16000),
                         .stall_percent = 0.0};
    reading_.children_swap = true;
    reading_.own = {.pss = Bytes::Mib(8), .heap_in_use = Bytes::Mib(2), .handles = 20, .threads = 3};
  }

  Bytes Did(const std::string& what, Bytes freed) {
    done_.push_back(what);
    return freed;
  }
  // One look a second for so long; what was done in it.
  std::vector<std::string> For(Duration time) {
    done_.clear();
    for (Duration passed{}; passed < time; passed += seconds(1)) {
      now_ += seconds(1);
      governor_.Update(reading_, now_);
    }
    return done_;
  }
  void MachineHas(std::uint64_t mebibytes) { reading_.pressure.machine_available = Bytes::Mib(mebibytes); }

  Bytes freed_;
  Bytes lowered_ = Bytes::Mib(20);
  bool several_ = true;  // jobs work
  std::vector<std::string> done_;
  GovernorReading reading_;
  SteadyTime now_ = SteadyTime() + std::chrono::hours(1);
  Governor governor_;
};

TEST_F(GovernorTest, NothingIsDoneWhileWorkUsesWhatWasPlanned) {
  reading_.pressure.planned = Bytes::Mib(500);
  EXPECT_THAT(For(minutes(2)), IsEmpty());
  EXPECT_EQ(governor_.pressure().level(), memory::Level::kNormal);
  // All of the budget, within the plan: mild remedies only, and not every second.
  reading_.pressure.measured = Bytes::Mib(499);
  EXPECT_THAT(For(seconds(30)), ElementsAre("trim", "sweep"));
  EXPECT_EQ(governor_.pressure().level(), memory::Level::kElevated);
  EXPECT_THAT(For(seconds(31)), ElementsAre("trim"));
}

TEST_F(GovernorTest, RemediesComeInTheirOrderAndTheStateEndsWithTheLevel) {
  MachineHas(1000);  // 300 of them are promised: 95.6 %
  EXPECT_THAT(For(seconds(5)), ElementsAre("trim", "sweep", "hold", "lower"));
  EXPECT_TRUE(governor_.pressure().is_of_machine());
  EXPECT_THAT(For(seconds(20)), Contains("lower")) << "again after its pause";
  MachineHas(8000);
  const auto after = For(seconds(10));
  EXPECT_THAT(after, Contains("release"));
  EXPECT_THAT(after, ::testing::Not(Contains("end")));
  EXPECT_EQ(governor_.pressure().level(), memory::Level::kNormal);
}

TEST_F(GovernorTest, TheYoungestIsEndedLastAndSuspendedOnlyWhereThatHelps) {
  MachineHas(100);
  EXPECT_THAT(For(seconds(8)), ElementsAre("trim", "sweep", "hold", "lower", "end"));
  EXPECT_THAT(For(seconds(10)), ::testing::Not(Contains("suspend"))) << "there is nowhere to put its pages";
  MachineHas(8000);
  For(minutes(2));
  reading_.swap_free = Bytes::Mib(500);
  MachineHas(100);
  EXPECT_THAT(For(seconds(12)), ElementsAre("trim", "hold", "lower", "suspend", "end", "lower"));
  MachineHas(8000);
  EXPECT_THAT(For(seconds(10)), ElementsAre("lower", "resume", "release")) << "a level ends after its hold";
}

TEST_F(GovernorTest, NobodyStandsStillWherePagesOfChildrenAreNotSwapped) {
  reading_.swap_free = Bytes::Mib(500);
  reading_.children_swap = false;
  MachineHas(100);
  EXPECT_THAT(For(seconds(20)), ::testing::Not(Contains("suspend")));
  EXPECT_EQ(governor_.counts()[4].uses, 0U);
}

TEST_F(GovernorTest, WhatWasDoneIsCountedWithWhatItFreed) {
  freed_ = Bytes::Kib(300);
  MachineHas(100);
  For(seconds(8));
  const auto& counts = governor_.counts();
  ASSERT_EQ(counts.size(), 6U);
  EXPECT_EQ(counts[0].name, "trim caches");
  EXPECT_EQ(counts[0].freed, Bytes::Kib(300));
  EXPECT_EQ(counts[3].freed, Bytes::Mib(20));
  EXPECT_EQ(counts[4].uses, 0U);
  EXPECT_EQ(counts[5].uses, 1U);
  EXPECT_EQ(governor_.relief().history().back().name, "end the youngest");
  EXPECT_EQ(governor_.history().Samples(0, now_).back().highest.level, memory::Level::kCritical);
}

TEST_F(GovernorTest, WhatFoundNothingToDoIsNeitherToldNorInForce) {
  several_ = false;
  lowered_ = Bytes();
  reading_.swap_free = Bytes::Mib(500);
  MachineHas(100);
  EXPECT_THAT(For(minutes(1)), Contains("suspend"));
  const auto& counts = governor_.counts();
  for (std::size_t remedy : {3U, 4U, 5U}) {
    EXPECT_EQ(counts[remedy].uses, 0U) << counts[remedy].name;
  }
  for (const auto& used : governor_.relief().history()) {
    EXPECT_THAT(used.name, ::testing::AnyOf("trim caches", "sweep", "begin nothing"));
  }
  ASSERT_TRUE(governor_.next());
  EXPECT_GT(*governor_.next(), now_);
  // There are several now: what had nothing to do does it at once.
  several_ = true;
  EXPECT_THAT(For(seconds(8)), ::testing::IsSupersetOf({"suspend", "end"}));
  EXPECT_EQ(counts[4].uses, 1U);
  EXPECT_EQ(counts[5].uses, 1U);
  MachineHas(8000);
  EXPECT_THAT(For(seconds(10)), Contains("resume"));
}

TEST_F(GovernorTest, NobodyIsResumedWhereNobodyStoodStill) {
  several_ = false;
  reading_.swap_free = Bytes::Mib(500);
  MachineHas(100);
  For(seconds(20));
  MachineHas(8000);
  EXPECT_THAT(For(seconds(10)), ::testing::Not(Contains("resume")));
}

TEST_F(GovernorTest, HoursOfRemediesDoNotPushOutWhatIsInForce) {
  several_ = false;
  MachineHas(1000);
  For(std::chrono::hours(6));
  const auto& history = governor_.relief().history();
  EXPECT_LE(history.size(), Governor::kMostHistory);
  EXPECT_THAT(history, Contains(::testing::Field(&memory::Used::name, "begin nothing")));
}

TEST_F(GovernorTest, TheLastLooksAreRemembered) {
  reading_.tracker.children = 2;
  reading_.tracker.leased = Bytes::Mib(300);
  For(seconds(5));
  reading_.pressure.measured.reset();
  reading_.own.pss = {};
  reading_.tracker.children = 0;
  For(seconds(1));
  const auto& recent = governor_.recent();
  EXPECT_EQ(recent.tree.Sum().samples, 5U) << "what could not be read is no zero";
  EXPECT_EQ(recent.own.Sum().last, static_cast<double>(Bytes::Mib(8).count()));
  EXPECT_EQ(recent.leased.Sum().highest, static_cast<double>(Bytes::Mib(300).count()));
  EXPECT_EQ(recent.children.Sum().samples, 6U);
  EXPECT_EQ(recent.children.Sum().last, 0);
  EXPECT_EQ(recent.children.Sum().highest, 2);
}

TEST_F(GovernorTest, WhatCannotBeReadChangesNothing) {
  reading_.pressure = {.planned = Bytes::Mib(400), .budget = Bytes::Mib(500)};
  reading_.own = {};
  EXPECT_THAT(For(minutes(5)), IsEmpty());
  EXPECT_EQ(governor_.pressure().level(), memory::Level::kNormal);
}

TEST_F(GovernorTest, ALeakOfTheDaemonIsFound) {
  for (int minute = 0; minute < 24 * 60; ++minute) {
    now_ += minutes(1);
    reading_.own.pss = Bytes::Mib(8) + Bytes::Kib(static_cast<std::uint64_t>(minute) * 70);  // 4.1 MiB an hour
    reading_.own.components = {{.name = "answers", .used = reading_.own.pss - Bytes::Mib(8)}};
    reading_.own.heap_in_use = reading_.own.pss - Bytes::Mib(5);
    governor_.Update(reading_, now_);
  }
  ASSERT_EQ(governor_.growth().findings().size(), 1U);
  EXPECT_EQ(governor_.growth().findings()[0].suspect, "answers");
}

TEST_F(GovernorTest, OtherThresholdsHoldFromTheNextLookOn) {
  reading_.pressure.measured = Bytes::Mib(260);
  EXPECT_THAT(For(seconds(5)), IsEmpty());
  GovernorSettings settings;
  settings.pressure.budget = {.elevated = 0.5, .high = 0.85, .critical = 0.95};
  governor_.Reload(settings);
  EXPECT_THAT(For(seconds(5)), ElementsAre("trim", "sweep"));
}

}  // namespace
}  // namespace weir::app
