// Why steps got what they got: the numbers of the scheduler, and what is made of them.
#include "jobs/decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jobs/histogram.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;
using memory::Way;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kMib = [](std::uint64_t count) { return Bytes::Mib(count); };

std::string NameOfWay(std::size_t way) {
  static const std::vector<std::string> kNames{"2 frame threads", "1 thread", "lean, 1 thread"};
  return kNames.at(way);
}

// A thousand MiB to lease; jobs "a", "b", ... with slots.
class DecisionTest : public ::testing::Test {
 protected:
  void StartSome(std::size_t count, std::size_t processors, std::size_t slots = 0) {
    scheduler_ = std::make_unique<Scheduler>(
        clock_, ledger_,
        SchedulerSettings{.slots = slots == 0 ? count : slots, .disk_reserve = kMib(100), .processors = processors});
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(scheduler_->Enqueue({.id = std::string(1, static_cast<char>('a' + i))}));
      ASSERT_TRUE(scheduler_->NextStart());
      clock_.Advance(milliseconds(1));
    }
  }
  void Ask(const std::string& job, std::vector<Way> ways, bool work = true, Bytes disk = {}) {
    ASSERT_TRUE(scheduler_->Ask(
        {.job = job, .work = work, .ways = std::move(ways), .disk = disk, .disk_name = "disk", .disk_free = [this] {
           return free_;
         }}));
  }
  // Of the next grant, whose lease is kept; `job` has to be the one that gets it.
  Reason Granted(const std::string& job) {
    auto next = scheduler_->NextGrant();
    if (!next || next->first != job || !next->second) {
      ADD_FAILURE() << job << " was not granted";
      return {};
    }
    EXPECT_EQ(next->second->way, next->second->reason.way);
    leases_[job] = std::move(next->second->lease);
    return next->second->reason;
  }
  void NoneGranted() { EXPECT_FALSE(scheduler_->NextGrant()); }

  ManualClock clock_;
  memory::Ledger ledger_{kMib(1050), kMib(50)};
  std::map<std::string, memory::Lease> leases_;
  Bytes free_ = kMib(10'000);
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(DecisionTest, AloneItGetsTheFastestWay) {
  StartSome(1, 2);
  Ask("a", {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85, .in_company = true}});
  const Reason reason = Granted("a");
  EXPECT_EQ(reason.way, 0U);
  EXPECT_EQ(reason.ways, 2U);
  EXPECT_EQ(reason.memory, kMib(305));
  EXPECT_EQ(reason.available, kMib(1000));
  EXPECT_EQ(reason.processors, 2);
  EXPECT_EQ(reason.idle, 2);
  EXPECT_EQ(reason.working, 0U);
  EXPECT_EQ(reason.alike, 1U);
  EXPECT_EQ(reason.wanting, 1U);
  EXPECT_EQ(reason.waited_for, WaitingFor::kNothing);
  EXPECT_THAT(reason.passed, IsEmpty());
  EXPECT_EQ(Sentence(reason, NameOfWay),
            "started with 2 frame threads (305.0 MiB, way 1 of 2) because 1000.0 MiB were free and 2 of 2 processors "
            "idle, with nothing else at work: the fastest way");
}

TEST_F(DecisionTest, TheEndOfTheQueueDecides) {
  StartSome(2, 2);
  ASSERT_TRUE(scheduler_->Ask({.job = "a", .work = true, .ways = {{.memory = kMib(198)}}, .seconds = 20}));
  Granted("a");
  ASSERT_TRUE(
      scheduler_->Ask({.job = "b",
                       .work = true,
                       .ways = {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85}},
                       .seconds = 10}));
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.way, 1U);
  ASSERT_EQ(reason.passed.size(), 1U);
  EXPECT_EQ(reason.passed[0].why, PassedFor::kEnd);
  EXPECT_EQ(
      Sentence(reason, [](std::size_t way) { return way == 0 ? "2 frame threads" : "1 thread"; }),
      "started with 1 thread (198.0 MiB, way 2 of 2) because 802.0 MiB were free and 1 of 2 processors idle; with "
      "\"2 frame threads\" all that is left of the queue would end later");
}

TEST_F(DecisionTest, FreeMemoryDecides) {
  StartSome(2, 2);
  Ask("a", {{.memory = kMib(788)}});
  Granted("a");
  Ask("b", {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85}});
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.way, 1U);
  EXPECT_EQ(reason.available, kMib(212));
  EXPECT_EQ(reason.idle, 1);
  EXPECT_EQ(reason.leases, 1U);
  EXPECT_EQ(reason.working, 1U);
  ASSERT_EQ(reason.passed.size(), 1U);
  EXPECT_EQ(reason.passed[0].way, 0U);
  EXPECT_EQ(reason.passed[0].memory, kMib(305));
  EXPECT_EQ(reason.passed[0].why, PassedFor::kMemory);
  EXPECT_EQ(
      Sentence(reason, NameOfWay),
      "started with 1 thread (198.0 MiB, way 2 of 2) because 212.0 MiB were free and 1 of 2 processors idle; \"2 "
      "frame threads\" needs 305.0 MiB");
}

TEST_F(DecisionTest, ProcessorsDecide) {
  StartSome(2, 2);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(scheduler_->Enqueue({.id = "later " + std::to_string(i)}));
  }
  Ask("a", {{.memory = kMib(100)}});
  Granted("a");
  Ask("b", {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85}});
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.way, 1U);
  EXPECT_EQ(reason.available, kMib(900));
  ASSERT_EQ(reason.passed.size(), 1U);
  EXPECT_EQ(reason.passed[0].why, PassedFor::kProcessors);
  EXPECT_THAT(
      Sentence(reason, NameOfWay),
      EndsWith(" because 900.0 MiB were free and 1 of 2 processors idle; \"2 frame threads\" keeps more of them "
               "busy"));
}

TEST_F(DecisionTest, TheLastOneDoesNotGoOnAloneOnOneThread) {
  StartSome(2, 2);
  Ask("a", {{.memory = kMib(100)}});
  Granted("a");
  Ask("b", {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85}});
  EXPECT_EQ(Granted("b").way, 0U) << "it has a processor now, and another when a ends";
}

TEST_F(DecisionTest, ManyJobsGetTheWayThatIsGoodInCompany) {
  StartSome(4, 2);
  for (const char* job : {"a", "b", "c", "d"}) {
    Ask(job, {{.memory = kMib(305), .processors = 1.85}, {.memory = kMib(198), .time = 1.85, .in_company = true}});
  }
  const Reason reason = Granted("a");
  EXPECT_EQ(reason.way, 1U);
  EXPECT_EQ(reason.alike, 4U);
  EXPECT_EQ(reason.wanting, 4U);
  ASSERT_EQ(reason.passed.size(), 1U);
  EXPECT_EQ(reason.passed[0].why, PassedFor::kCompany);
  EXPECT_THAT(
      Sentence(reason, NameOfWay),
      EndsWith(" because 1000.0 MiB were free and 2 of 2 processors idle, planned for 4 side by side; \"2 frame "
               "threads\" is for one alone"));
  // As many as may start beside those that work, and all who will want to.
  const Reason second = Granted("b");
  EXPECT_EQ(second.alike, 3U);
  EXPECT_EQ(second.wanting, 3U);
  EXPECT_EQ(second.working, 1U);
}

TEST_F(DecisionTest, WhoWillWantToWorkIsMoreThanWhoMay) {
  StartSome(2, 2);
  for (const char* job : {"x", "y", "z"}) {
    ASSERT_TRUE(scheduler_->Enqueue({.id = job}));
  }
  Ask("a", {{.memory = kMib(198)}});
  const Reason reason = Granted("a");
  EXPECT_EQ(reason.alike, 2U);
  EXPECT_EQ(reason.wanting, 5U);
}

TEST_F(DecisionTest, AWayThatDoesLessIsPassedForThat) {
  StartSome(1, 1);
  Ask("a", {{.memory = kMib(198), .time = 2}, {.memory = kMib(198), .time = 1}});
  const Reason reason = Granted("a");
  EXPECT_EQ(reason.way, 1U);
  ASSERT_EQ(reason.passed.size(), 1U);
  EXPECT_EQ(reason.passed[0].why, PassedFor::kYield);
  EXPECT_THAT(Sentence(reason, NameOfWay),
              EndsWith("\"2 frame threads\" does less in its time, or makes a larger file"));
}

TEST_F(DecisionTest, PatienceRunsOut) {
  StartSome(2, 2);
  Ask("a", {{.memory = kMib(900)}}, false);
  Granted("a");
  Ask("b", {{.memory = kMib(805), .processors = 1.85}, {.memory = kMib(98), .time = 2}});
  NoneGranted();
  const SteadyTime asked = clock_.Now();
  clock_.Advance(seconds(4));
  NoneGranted();
  const Wait wait = scheduler_->WaitOf("b");
  EXPECT_EQ(wait.what, WaitingFor::kMemory);
  EXPECT_EQ(wait.required, kMib(805));
  EXPECT_EQ(wait.leanest, kMib(98));
  EXPECT_EQ(wait.available, kMib(100));
  EXPECT_EQ(wait.holders, 1U);
  EXPECT_EQ(wait.since, asked);
  EXPECT_EQ(wait.until, asked + seconds(10));
  EXPECT_EQ(Sentence(wait),
            "it needs 805.0 MiB of memory (98.0 MiB at the least), 100.0 MiB are free, and 1 lease holds the rest");
  clock_.Advance(seconds(6));
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.way, 1U);
  EXPECT_TRUE(reason.out_of_patience);
  EXPECT_EQ(reason.waited, Duration(seconds(10)));
  EXPECT_EQ(reason.waited_for, WaitingFor::kMemory);
  EXPECT_EQ(
      Sentence(reason, NameOfWay),
      "started with 1 thread (98.0 MiB, way 2 of 2) after 10 s of waiting, at last for memory, because 100.0 MiB "
      "were free and 2 of 2 processors idle; \"2 frame threads\" needs 805.0 MiB, and it had waited long enough for "
      "a better way");
  EXPECT_EQ(scheduler_->WaitOf("b").what, WaitingFor::kNothing);
}

TEST_F(DecisionTest, DiskThatOthersReservedIsWaitedFor) {
  free_ = kMib(1100);
  StartSome(2, 0);
  Ask("a", {{.memory = kMib(10)}}, true, kMib(600));
  Granted("a");
  Ask("b", {{.memory = kMib(10)}}, true, kMib(500));
  NoneGranted();
  clock_.Advance(seconds(3));
  const Wait wait = scheduler_->WaitOf("b");
  EXPECT_EQ(wait.what, WaitingFor::kDisk);
  EXPECT_EQ(wait.required, kMib(500));
  EXPECT_EQ(wait.available, kMib(400));
  EXPECT_EQ(wait.holders, 1U);
  EXPECT_EQ(Sentence(wait),
            "it may write 500.0 MiB, and 400.0 MiB of the disk are free beside the reserve and what is reserved by 1 "
            "other step");
  scheduler_->Remove("a");
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.waited_for, WaitingFor::kDisk);
  EXPECT_EQ(reason.waited, Duration(seconds(3)));
  EXPECT_EQ(reason.processors, 0);  // not looked at
  EXPECT_THAT(
      Sentence(reason, NameOfWay),
      StartsWith("started with 2 frame threads (10.0 MiB, way 1 of 1) after 3 s of waiting, at last for disk, "
                 "because 990.0 MiB were free"));
}

TEST_F(DecisionTest, BusyProcessorsAreWaitedFor) {
  StartSome(2, 1);
  Ask("a", {{.memory = kMib(10)}});
  Granted("a");
  Ask("b", {{.memory = kMib(10)}});
  NoneGranted();
  const Wait wait = scheduler_->WaitOf("b");
  EXPECT_EQ(wait.what, WaitingFor::kProcessor);
  EXPECT_EQ(wait.all, 1);
  EXPECT_EQ(wait.idle, 0);
  EXPECT_EQ(wait.holders, 1U);
  EXPECT_FALSE(wait.until);
  EXPECT_EQ(Sentence(wait), "0 of 1 processors are idle: 1 job keeps them busy, and one more would end no sooner");
}

TEST_F(DecisionTest, TheSinceOfAWaitIsThatOfItsReason) {
  StartSome(3, 1);
  Ask("a", {{.memory = kMib(900)}});
  Granted("a");
  Ask("b", {{.memory = kMib(900)}});
  NoneGranted();
  EXPECT_EQ(scheduler_->WaitOf("b").what, WaitingFor::kProcessor);
  clock_.Advance(seconds(5));
  scheduler_->SetPaused("a", true);  // its processor is free, its memory is not
  NoneGranted();
  EXPECT_EQ(scheduler_->WaitOf("b").what, WaitingFor::kMemory);
  EXPECT_EQ(scheduler_->WaitOf("b").since, clock_.Now());
}

TEST_F(DecisionTest, WhatIsHeldForWantOfMemoryWaitsForThat) {
  StartSome(2, 4, 3);
  ASSERT_TRUE(scheduler_->Enqueue({.id = "queued"}));
  Ask("a", {{.memory = kMib(10)}});
  Granted("a");
  scheduler_->SetHeld(true);
  Ask("b", {{.memory = kMib(10)}});
  NoneGranted();
  const Wait wait = scheduler_->WaitOf("b");
  EXPECT_EQ(wait.what, WaitingFor::kPressure);
  EXPECT_EQ(wait.holders, 1U);
  EXPECT_FALSE(wait.until);
  EXPECT_EQ(Sentence(wait), "memory is short, and nothing new begins while 1 job works");
  EXPECT_EQ(scheduler_->WaitOf("queued").what, WaitingFor::kPressure);
  EXPECT_EQ(scheduler_->WaitOf("queued").holders, 2U);
  clock_.Advance(seconds(2));
  scheduler_->SetHeld(false);
  const Reason reason = Granted("b");
  EXPECT_EQ(reason.waited_for, WaitingFor::kPressure);
  EXPECT_THAT(Sentence(reason, NameOfWay), HasSubstr(" after 2 s of waiting, at last for less pressure on memory, "));
}

TEST_F(DecisionTest, WhoOvertakesSaysSo) {
  StartSome(3, 0);
  Ask("a", {{.memory = kMib(900)}}, false);
  Granted("a");
  Ask("b", {{.memory = kMib(500)}}, false);
  Ask("c", {{.memory = kMib(50)}}, false);
  EXPECT_EQ(Granted("c").overtaken, 1U);
}

TEST_F(DecisionTest, JobsWithoutASlotWaitForWhatTheirStateSays) {
  StartSome(1, 0);
  ASSERT_TRUE(scheduler_->Enqueue({.id = "queued"}));
  const SteadyTime came = clock_.Now();
  ASSERT_TRUE(scheduler_->Enqueue({.id = "later", .not_before = came + seconds(4)}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "paused", .paused = true}));
  clock_.Advance(seconds(1));
  Wait wait = scheduler_->WaitOf("queued");
  EXPECT_EQ(wait.what, WaitingFor::kSlot);
  EXPECT_EQ(wait.since, came);
  EXPECT_EQ(wait.all, 1);
  EXPECT_EQ(wait.holders, 1U);
  EXPECT_EQ(Sentence(wait), "1 job has the 1 slot that there is");
  wait = scheduler_->WaitOf("later");
  EXPECT_EQ(wait.what, WaitingFor::kTime);
  EXPECT_EQ(wait.until, came + seconds(4));
  wait = scheduler_->WaitOf("paused");
  EXPECT_EQ(wait.what, WaitingFor::kPause);
  EXPECT_FALSE(wait.since);
  scheduler_->SetDraining(true);
  EXPECT_EQ(scheduler_->WaitOf("queued").what, WaitingFor::kDrain);
  EXPECT_EQ(scheduler_->WaitOf("nobody").what, WaitingFor::kNothing);
  EXPECT_EQ(scheduler_->WaitOf("a").what, WaitingFor::kNothing);
}

TEST(Decision, OfSomeWaysOfALadderIsOneAboutAllOfThem) {
  std::vector<media::Plan> plans(5);
  const std::vector<std::pair<const char*, std::uint64_t>> ways{
      {"huge", 900}, {"failed", 400}, {"skipped", 350}, {"good", 300}, {"lean", 90}};
  for (std::size_t i = 0; i < plans.size(); ++i) {
    plans[i].name = ways[i].first;
    plans[i].forecast.needed = kMib(ways[i].second);
  }
  const auto failed = [](std::size_t way) { return way == 1; };
  const Reason reason = InLadder({.way = 1,
                                  .ways = 2,
                                  .memory = kMib(90),
                                  .available = kMib(100),
                                  .passed = {{.way = 0, .memory = kMib(300), .why = PassedFor::kMemory}}},
                                 3, plans, kMib(500), failed);
  EXPECT_EQ(reason.way, 4U);
  EXPECT_EQ(reason.ways, 5U);
  ASSERT_EQ(reason.passed.size(), 4U);
  EXPECT_EQ(reason.passed[0].why, PassedFor::kBudget);
  EXPECT_EQ(reason.passed[1].why, PassedFor::kFailed);
  EXPECT_EQ(reason.passed[2].why, PassedFor::kEarlier);
  EXPECT_EQ(reason.passed[3].way, 3U);
  // What could never have been, or not again, tells less than what could have been had.
  const WayName name = [&](std::size_t way) { return plans[way].name; };
  EXPECT_EQ(Sentence(reason, name),
            "started with lean (90.0 MiB, way 5 of 5) because 100.0 MiB were free; \"good\" needs 300.0 MiB");
  Reason first = InLadder({.memory = kMib(300), .available = kMib(400)}, 3, plans, kMib(500), failed);
  EXPECT_THAT(Sentence(first, name), EndsWith("; an earlier try with \"failed\" failed, or had to make room"));
  first.passed.erase(first.passed.begin() + 1);
  EXPECT_THAT(Sentence(first, name), EndsWith("; \"huge\" needs 900.0 MiB, more than there can ever be"));
  first.passed.erase(first.passed.begin());
  EXPECT_THAT(Sentence(first, name), EndsWith("; \"skipped\" had been passed over before"));

  const auto document = ReasonAsJson(reason, name);
  EXPECT_EQ(document.at("plan"), "lean");
  EXPECT_EQ(document.at("way"), 5);
  EXPECT_EQ(document.at("available_bytes"), kMib(100).count());
  EXPECT_EQ(document.at("waited_for"), json::value());
  EXPECT_EQ(document.at("passed").as_array().size(), 4U);
  EXPECT_EQ(document.at("passed").at(3),
            json::value({{"plan", "good"}, {"required_bytes", kMib(300).count()}, {"why", "memory"}}));
}

TEST(Decision, AWaitAsJsonHasWhatBelongsToItsReason) {
  const WallTime since{seconds(1'767'607'200)};
  EXPECT_FALSE(WaitAsJson({}, {}, {}));
  const auto memory = WaitAsJson(
      {.what = WaitingFor::kMemory, .required = kMib(3), .leanest = kMib(2), .available = kMib(1), .holders = 4},
      since, since + seconds(1));
  ASSERT_TRUE(memory);
  EXPECT_EQ(
      *memory,
      json::parse(
          R"({"for":"memory","reason":"it needs 3.0 MiB of memory (2.0 MiB at the least), 1.0 MiB are free, and 4 leases hold the rest",
    "since":"2026-01-05T10:00:00.000Z","until":"2026-01-05T10:00:01.000Z","required_bytes":3145728,
    "available_bytes":1048576,"holders":4,"leanest_bytes":2097152})")
          .as_object());
  const auto paused = WaitAsJson({.what = WaitingFor::kPause}, {}, {});
  ASSERT_TRUE(paused);
  EXPECT_EQ(*paused, json::parse(R"({"for":"pause","reason":"it is paused","since":null})").as_object());
  for (const auto what : {WaitingFor::kSlot, WaitingFor::kProcessor, WaitingFor::kDisk, WaitingFor::kTime,
                          WaitingFor::kDrain, WaitingFor::kPressure}) {
    const auto document = WaitAsJson({.what = what}, since, {});
    ASSERT_TRUE(document);
    EXPECT_EQ(document->at("for"), NameOf(what));
    EXPECT_THAT(std::string(document->at("reason").as_string()), Not(IsEmpty()));
  }
}

TEST(HistogramTest, CountsByBoundsAndSumsUp) {
  Histogram histogram;
  histogram.Add(milliseconds(10));  // a bound belongs to its bucket
  histogram.Add(milliseconds(11));
  histogram.Add(seconds(-1));  // as zero
  histogram.Add(std::chrono::hours(10));
  EXPECT_EQ(histogram.counts()[0], 2U);
  EXPECT_EQ(histogram.counts()[1], 1U);
  std::uint64_t in_buckets = 0;
  for (const auto count : histogram.counts()) {
    in_buckets += count;
  }
  EXPECT_EQ(in_buckets, 3U);
  EXPECT_EQ(histogram.count(), 4U);
  EXPECT_DOUBLE_EQ(histogram.sum(), 36000.021);
}

}  // namespace
}  // namespace weir::jobs
