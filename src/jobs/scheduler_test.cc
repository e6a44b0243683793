#include "jobs/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "jobs/scheduler_line.h"

namespace weir::jobs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;

std::uint64_t Member(const Error& error, const std::string& key) {
  const auto found = std::ranges::find(error.members, key, &ErrorMember::key);
  return found == error.members.end() || !found->is_number ? ~std::uint64_t{0} : found->number;
}

class SchedulerTest : public ::testing::Test {
 protected:
  // The budget leaves 1000 bytes; a disk has what `free_` says.
  SchedulerTest() { Settings({.slots = 1}); }

  void Settings(SchedulerSettings settings) {
    settings.disk_reserve = Bytes(100);
    scheduler_ = std::make_unique<Scheduler>(clock_, ledger_, settings);
  }

  void Enqueue(const std::string& id, const std::string& owner = "ann", int priority = 50) {
    ASSERT_TRUE(scheduler_->Enqueue({.id = id, .owner = owner, .priority = priority, .created = clock_.WallNow()}));
  }
  std::string Start() { return scheduler_->NextStart().value_or(""); }
  // Starts one after another, each ended after `turn`.
  std::vector<std::string> Turns(std::size_t count, Duration turn = {}) {
    std::vector<std::string> ids;
    while (ids.size() < count) {
      ids.push_back(Start());
      clock_.Advance(turn);
      scheduler_->Remove(ids.back());
    }
    return ids;
  }

  Status Ask(const std::string& job, const std::vector<std::uint64_t>& ways, std::uint64_t disk = 0,
             const std::string& disk_name = "disk") {
    Need need{.job = job, .disk = Bytes(disk), .disk_name = disk_name, .disk_free = [this, disk_name] {
                return Bytes(free_[disk_name]);
              }};
    for (const std::uint64_t way : ways) {
      need.ways.push_back({.memory = Bytes(way)});
    }
    return scheduler_->Ask(std::move(need));
  }
  // Jobs "a", "b", ... in this order, with slots.
  void StartSome(std::size_t count) {
    Settings({.slots = count});
    for (std::size_t i = 0; i < count; ++i) {
      Enqueue(std::string(1, static_cast<char>('a' + i)));
      ASSERT_NE(Start(), "");
      clock_.Advance(std::chrono::milliseconds(1));
    }
  }
  // "b1" is a grant of its second way, "b!" a refusal; leases are kept.
  std::string GrantNext() {
    auto next = scheduler_->NextGrant();
    if (!next) {
      return "";
    }
    if (!next->second) {
      refused_ = next->second.error();
      return next->first + "!";
    }
    leases_[next->first] = std::move(next->second->lease);
    return next->first + std::to_string(next->second->way);
  }
  std::vector<std::string> GrantAll() {
    std::vector<std::string> all;
    for (std::string one = GrantNext(); !one.empty(); one = GrantNext()) {
      all.push_back(one);
    }
    return all;
  }

  ManualClock clock_;
  memory::Ledger ledger_{Bytes(1050), Bytes(50)};
  std::map<std::string, memory::Lease> leases_;
  std::optional<Error> refused_;  // the last one
  std::map<std::string, std::uint64_t> free_{{"disk", 10'000}, {"other", 10'000}};
  std::unique_ptr<Scheduler> scheduler_;
};

// --- Slots ---------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, HigherPriorityFirstThenFirstCome) {
  Enqueue("low", "ann", 10);
  Enqueue("first");
  Enqueue("second");
  Enqueue("high", "ann", 51);
  EXPECT_THAT(Turns(5), ElementsAre("high", "first", "second", "low", ""));
}

TEST_F(SchedulerTest, SlotsAreNotExceededAndComeBackWithRemove) {
  Settings({.slots = 2});
  for (const char* id : {"a", "b", "c", "d"}) {
    Enqueue(id);
  }
  EXPECT_EQ(Start(), "a");
  EXPECT_EQ(Start(), "b");
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(scheduler_->figures().queued, 2U);
  EXPECT_EQ(scheduler_->figures().running, 2U);
  scheduler_->Remove("a");
  EXPECT_EQ(Start(), "c");
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(scheduler_->figures().started, 3U);
}

TEST_F(SchedulerTest, AWaitingJobGainsAPointEachAgeing) {
  Enqueue("old", "ann", 10);
  clock_.Advance(seconds(30 * 40 - 1));
  Enqueue("young", "ann", 50);
  EXPECT_EQ(Start(), "young");
  scheduler_->Remove("young");
  clock_.Advance(seconds(1));
  Enqueue("younger", "ann", 50);
  EXPECT_EQ(Start(), "old");
}

TEST_F(SchedulerTest, TheLowestPriorityDoesNotStarveBehindAStreamOfTheHighest) {
  Enqueue("low", "ann", 0);
  for (const std::string owner : {"ann", "bob"}) {
    SCOPED_TRACE(owner);
    int turns = 0;
    for (std::string id; id != "low"; ++turns) {
      ASSERT_LT(turns, 102);
      Enqueue("high" + std::to_string(turns), owner, 100);
      clock_.Advance(seconds(30));
      id = Start();
      scheduler_->Remove(id);
    }
    EXPECT_GT(turns, 90);
    while (Turns(1).front() != "") {
    }
    Enqueue("low", "ann", 0);
  }
}

TEST_F(SchedulerTest, OwnersTakeTurns) {
  for (const char* id : {"a1", "a2", "a3", "a4"}) {
    Enqueue(id, "ann");
  }
  for (const char* id : {"b1", "b2"}) {
    Enqueue(id, "bob");
  }
  EXPECT_THAT(Turns(6), ElementsAre("a1", "b1", "a2", "b2", "a3", "a4"));
}

TEST_F(SchedulerTest, TheOwnerWithTheFewestSlotsIsNext) {
  Settings({.slots = 5});
  for (const char* id : {"a1", "a2", "a3"}) {
    Enqueue(id, "ann");
  }
  EXPECT_EQ(Start(), "a1");
  EXPECT_EQ(Start(), "a2");
  for (const char* id : {"b1", "b2", "b3"}) {
    Enqueue(id, "bob");
  }
  EXPECT_EQ(Start(), "b1");
  EXPECT_EQ(Start(), "b2");
  EXPECT_EQ(Start(), "a3");  // two each: the one served longest ago
}

TEST_F(SchedulerTest, AWholePointBeatsFairnessAndLessDoesNot) {
  Settings({.slots = 4});
  for (const char* id : {"a1", "a2"}) {
    Enqueue(id, "ann", 51);
  }
  for (const char* id : {"b1", "b2"}) {
    Enqueue(id, "bob", 50);
  }
  EXPECT_EQ(Start(), "a1");
  EXPECT_EQ(Start(), "a2");
  EXPECT_EQ(Start(), "b1");
  scheduler_->Remove("b1");
  clock_.Advance(minutes(2));
  Enqueue("a3", "ann", 50);
  clock_.Advance(seconds(29));
  Enqueue("c1", "cid", 50);  // less than a point behind, with fewer slots
  scheduler_->Remove("b2");
  EXPECT_EQ(Start(), "c1");
  scheduler_->Remove("c1");
  clock_.Advance(seconds(1));
  Enqueue("d1", "dot", 50);  // a whole point behind
  EXPECT_EQ(Start(), "a3");
}

TEST_F(SchedulerTest, AFloodDelaysASingleJobByAboutOneTurn) {
  for (int i = 0; i < 10'000; ++i) {
    Enqueue("flood" + std::to_string(i), "ann");
  }
  Turns(7, minutes(10));
  const std::string running = Start();
  clock_.Advance(minutes(3));
  Enqueue("single", "bob");
  EXPECT_LE(scheduler_->PositionOf("single"), 2U);
  clock_.Advance(minutes(7));
  scheduler_->Remove(running);
  EXPECT_THAT(Turns(2, minutes(10)), ::testing::Contains("single"));
  // One job at a time, each asked for when the one before ended: every other turn, or better.
  int turns = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string id = "more" + std::to_string(i);
    Enqueue(id, "bob");
    for (bool served = false; !served; ++turns) {
      served = Turns(1, minutes(10)).front() == id;
    }
  }
  EXPECT_LE(turns, 101);
}

TEST_F(SchedulerTest, AnOwnersNewJobOfHigherPriorityLiftsItsClaim) {
  for (int i = 0; i < 3; ++i) {
    Enqueue("a" + std::to_string(i), "ann", 10);
    Enqueue("b" + std::to_string(i), "bob", 50);
  }
  Enqueue("urgent", "ann", 90);
  EXPECT_THAT(Turns(7), ElementsAre("urgent", "b0", "b1", "b2", "a0", "a1", "a2"));
}

TEST_F(SchedulerTest, BackOffAndPauseStandAsideAndAreInNobodysWay) {
  ASSERT_TRUE(
      scheduler_->Enqueue({.id = "later", .owner = "ann", .priority = 90, .not_before = clock_.Now() + minutes(5)}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "paused", .owner = "ann", .priority = 90, .paused = true}));
  Enqueue("plain");
  EXPECT_EQ(scheduler_->ReasonOf("later"), WaitingFor::kTime);
  EXPECT_EQ(scheduler_->ReasonOf("paused"), WaitingFor::kPause);
  EXPECT_EQ(scheduler_->ReasonOf("plain"), WaitingFor::kSlot);
  EXPECT_EQ(scheduler_->NextChange(), clock_.Now() + minutes(5));
  EXPECT_THAT(Turns(2), ElementsAre("plain", ""));
  clock_.Advance(minutes(5) - Duration(1));
  EXPECT_EQ(Start(), "");
  clock_.Advance(Duration(1));
  EXPECT_EQ(scheduler_->ReasonOf("later"), WaitingFor::kSlot);
  EXPECT_THAT(Turns(2), ElementsAre("later", ""));
  EXPECT_EQ(scheduler_->NextChange(), std::nullopt);
  scheduler_->SetPaused("paused", false);
  EXPECT_EQ(Start(), "paused");
  scheduler_->SetPaused("paused", true);
  EXPECT_EQ(scheduler_->ReasonOf("paused"), WaitingFor::kNothing);
}

TEST_F(SchedulerTest, PauseOutlastsTheBackOffAndTheOtherWayRound) {
  ASSERT_TRUE(
      scheduler_->Enqueue({.id = "job", .owner = "ann", .not_before = clock_.Now() + seconds(5), .paused = true}));
  EXPECT_EQ(scheduler_->NextChange(), std::nullopt);
  scheduler_->SetPaused("job", false);
  EXPECT_EQ(scheduler_->ReasonOf("job"), WaitingFor::kTime);
  scheduler_->SetPaused("job", true);
  clock_.Advance(seconds(5));
  EXPECT_EQ(Start(), "");
  scheduler_->SetPaused("job", false);
  EXPECT_EQ(Start(), "job");
}

TEST_F(SchedulerTest, JumpsOfTheDateDoNotMatter) {
  Enqueue("old", "ann", 50);
  clock_.JumpWall(-hours(1000));
  clock_.Advance(seconds(31));
  Enqueue("new", "ann", 50);
  Enqueue("other", "bob", 50);
  EXPECT_THAT(Turns(3), ElementsAre("old", "other", "new"));
}

TEST_F(SchedulerTest, OlderCreationBreaksTies) {
  const WallTime now = clock_.WallNow();
  ASSERT_TRUE(scheduler_->Enqueue({.id = "younger", .owner = "ann", .created = now}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "older", .owner = "ann", .created = now - hours(1)}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "oldest", .owner = "bob", .created = now - hours(2)}));
  EXPECT_THAT(Turns(3), ElementsAre("oldest", "older", "younger"));
}

TEST_F(SchedulerTest, PriorityCanBeChangedAndKeepsWhatWasWaited) {
  Enqueue("a");
  clock_.Advance(minutes(5));
  Enqueue("b");
  scheduler_->SetPriority("a", 45);  // ten points of age
  EXPECT_EQ(scheduler_->PositionOf("a"), 1U);
  scheduler_->SetPriority("b", 56);
  EXPECT_EQ(scheduler_->PositionOf("a"), 2U);
  scheduler_->SetPriority("b", 1'000'000);
  scheduler_->SetPriority("a", 100);
  EXPECT_THAT(Turns(2), ElementsAre("a", "b"));
  scheduler_->SetPriority("gone", 3);
}

TEST_F(SchedulerTest, AFullQueueRefusesWithNumbersExceptForRecovery) {
  Settings({.slots = 1, .most_queued = 2});
  Enqueue("running");
  EXPECT_EQ(Start(), "running");
  Enqueue("a");
  ASSERT_TRUE(scheduler_->Enqueue({.id = "b", .owner = "ann", .paused = true}));
  const Status refused = scheduler_->Enqueue({.id = "c", .owner = "ann"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(Member(refused.error(), "waiting"), 2U);
  EXPECT_EQ(Member(refused.error(), "limit"), 2U);
  EXPECT_TRUE(scheduler_->Enqueue({.id = "c", .owner = "ann"}, true));
  EXPECT_EQ(scheduler_->figures().queued, 3U);
  const Status twice = scheduler_->Enqueue({.id = "c", .owner = "ann"}, true);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kConflict);
  EXPECT_EQ(scheduler_->figures().queued, 3U);
}

TEST_F(SchedulerTest, DrainingGivesNoSlotsButMemory) {
  Settings({.slots = 2});
  Enqueue("a");
  Enqueue("b");
  EXPECT_EQ(Start(), "a");
  scheduler_->SetDraining(true);
  EXPECT_TRUE(scheduler_->draining());
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kDrain);
  ASSERT_TRUE(Ask("a", {10}));
  EXPECT_EQ(GrantNext(), "a0");
  scheduler_->SetDraining(false);
  EXPECT_EQ(Start(), "b");
}

TEST_F(SchedulerTest, FewerSlotsTakeNothingAway) {
  Settings({.slots = 3});
  for (const char* id : {"a", "b", "c", "d"}) {
    Enqueue(id);
  }
  Start();
  Start();
  Start();
  scheduler_->Reload({.slots = 1});
  EXPECT_EQ(scheduler_->figures().running, 3U);
  scheduler_->Remove("a");
  scheduler_->Remove("b");
  EXPECT_EQ(Start(), "");
  scheduler_->Remove("c");
  EXPECT_EQ(Start(), "d");
}

TEST_F(SchedulerTest, AnotherAgeingCountsForThoseThatWaitAlready) {
  Enqueue("old", "ann", 10);
  Enqueue("aged", "bob", 10);
  clock_.Advance(minutes(10));
  Enqueue("young", "ann", 50);
  EXPECT_EQ(scheduler_->PositionOf("young"), 1U);
  scheduler_->Reload({.slots = 1, .ageing = seconds(10)});
  EXPECT_EQ(scheduler_->PositionOf("young"), 3U);
  EXPECT_THAT(Turns(3), ElementsAre("old", "aged", "young"));
}

TEST_F(SchedulerTest, NonsenseInSettingsAndPrioritiesIsBounded) {
  Settings({.slots = 1, .ageing = seconds(0), .patience = seconds(-5)});
  Enqueue("a", "ann", -1'000'000'000);
  Enqueue("b", "bob", 1'000'000'000);
  EXPECT_THAT(Turns(2), ElementsAre("b", "a"));
  scheduler_->Reload({.slots = 1, .ageing = seconds::max(), .patience = seconds::max()});
  Enqueue("c", "ann", 0);
  Enqueue("d", "bob", 100);
  EXPECT_THAT(Turns(2), ElementsAre("d", "c"));
}

TEST_F(SchedulerTest, WhileHeldWhatGoesOnEndsAndThenOneAtATimeGoesOn) {
  Settings({.slots = 4});
  for (const char* id : {"a", "b", "c", "d"}) {
    Enqueue(id);
  }
  for (int i = 0; i < 3; ++i) {
    Start();
  }
  const auto ask = [&](const std::string& job) {
    return scheduler_->Ask({.job = job, .work = true, .ways = {{.memory = Bytes(100)}}});
  };
  ASSERT_TRUE(ask("a"));
  EXPECT_EQ(GrantNext(), "a0");
  scheduler_->SetHeld(true);
  EXPECT_TRUE(scheduler_->held());
  EXPECT_EQ(Start(), "") << "there is a slot, and memory";
  EXPECT_EQ(scheduler_->ReasonOf("d"), WaitingFor::kPressure);
  ASSERT_TRUE(ask("b"));
  ASSERT_TRUE(ask("c"));
  EXPECT_EQ(GrantNext(), "");
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kPressure);
  EXPECT_FALSE(scheduler_->WantsMemory()) << "it is not the memory of others that is waited for";
  // A check of what was made is short, and ends something.
  leases_.clear();
  ASSERT_TRUE(Ask("a", {50}));
  EXPECT_EQ(GrantNext(), "b0") << "nothing works any more: the oldest that asked goes on";
  EXPECT_EQ(GrantNext(), "a0");
  EXPECT_EQ(GrantNext(), "");
  scheduler_->SetPaused("b", true);
  EXPECT_EQ(GrantNext(), "c0") << "who stands still keeps nobody from going on";
  leases_.clear();
  for (const char* id : {"a", "b", "c"}) {
    scheduler_->Remove(id);
  }
  EXPECT_EQ(Start(), "d") << "nobody has a slot any more";
  scheduler_->SetHeld(false);
  Enqueue("e");
  EXPECT_EQ(Start(), "e");
}

TEST_F(SchedulerTest, WhileHeldWhoIsPausedWithASlotKeepsNobodyFromGettingOne) {
  Settings({.slots = 3});
  for (const char* id : {"a", "b", "c"}) {
    Enqueue(id);
  }
  EXPECT_EQ(Start(), "a");
  scheduler_->SetHeld(true);
  EXPECT_EQ(Start(), "");
  scheduler_->SetPaused("a", true);
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kSlot);
  EXPECT_EQ(Start(), "b");
  EXPECT_EQ(Start(), "") << "one at a time goes on";
  EXPECT_EQ(scheduler_->WaitOf("c").what, WaitingFor::kPressure);
  EXPECT_EQ(scheduler_->WaitOf("c").holders, 1U);
  scheduler_->Remove("b");
  scheduler_->SetPaused("a", false);
  EXPECT_EQ(Start(), "");
  scheduler_->Remove("a");
  EXPECT_EQ(Start(), "c");
}

TEST_F(SchedulerTest, AStepThatGoesOnWithTheLeaseOfTheWorkWorksNoMore) {
  Settings({.slots = 2, .processors = 2});
  Enqueue("a");
  Enqueue("b");
  Start();
  Start();
  const auto ask = [&](const std::string& job) {
    return scheduler_->Ask({.job = job,
                            .work = true,
                            .ways = {{.memory = Bytes(100), .processors = 2}},
                            .disk = Bytes(6000),
                            .disk_name = "disk",
                            .disk_free = [this] { return Bytes(free_["disk"]); }});
  };
  ASSERT_TRUE(ask("a"));
  EXPECT_EQ(GrantNext(), "a0");
  EXPECT_EQ(scheduler_->IdleProcessors(), 0);
  scheduler_->SetPaused("a", true);
  ASSERT_TRUE(ask("b"));
  EXPECT_EQ(GrantNext(), "");
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kDisk);
  scheduler_->GoOn("a");
  EXPECT_EQ(GrantNext(), "b0");
  EXPECT_EQ(ledger_.lease_count(), 2U);
  scheduler_->SetPaused("a", false);
  EXPECT_EQ(scheduler_->IdleProcessors(), 0) << "those of b";
  scheduler_->GoOn("b");
  EXPECT_EQ(scheduler_->IdleProcessors(), 2);
  scheduler_->GoOn("gone");
}

TEST_F(SchedulerTest, WhatALeaseGivesBackIsPlannedWith) {
  Settings({.slots = 2, .patience = seconds(1000), .processors = 2});
  Enqueue("a");
  Enqueue("b");
  Start();
  Start();
  const auto ask = [&](const std::string& job) {
    return scheduler_->Ask({.job = job, .work = true, .ways = {{.memory = Bytes(600)}}});
  };
  ASSERT_TRUE(ask("a"));
  ASSERT_TRUE(ask("b"));
  EXPECT_EQ(GrantNext(), "a0");
  EXPECT_EQ(GrantNext(), "");
  EXPECT_TRUE(scheduler_->WantsMemory());
  leases_["a"].ShrinkTo(Bytes(300));
  scheduler_->Shrunk("a", Bytes(300));
  EXPECT_EQ(GrantNext(), "b0");
  EXPECT_FALSE(scheduler_->WantsMemory());
  scheduler_->Remove("a");
  leases_.clear();
}

TEST_F(SchedulerTest, RemovalWorksWhereverAJobIs) {
  Settings({.slots = 2});
  Enqueue("waits");
  ASSERT_TRUE(scheduler_->Enqueue({.id = "later", .owner = "bob", .not_before = clock_.Now() + seconds(5)}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "paused", .owner = "cid", .paused = true}));
  for (const char* id : {"waits", "later", "paused", "never was"}) {
    scheduler_->Remove(id);
  }
  EXPECT_EQ(scheduler_->figures().queued, 0U);
  clock_.Advance(seconds(10));
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(scheduler_->NextChange(), std::nullopt);
  EXPECT_EQ(scheduler_->ReasonOf("waits"), WaitingFor::kNothing);
  Enqueue("a");
  Enqueue("b");
  Start();
  Start();
  ASSERT_TRUE(Ask("a", {900}));
  ASSERT_TRUE(Ask("b", {900}));
  EXPECT_EQ(GrantNext(), "a0");
  scheduler_->Remove("b");
  leases_.clear();
  EXPECT_EQ(GrantNext(), "");
  EXPECT_EQ(scheduler_->figures().needs_waiting, 0U);
  Enqueue("b");  // the same id may come again
  EXPECT_EQ(Start(), "b");
}

TEST_F(SchedulerTest, PositionsAreTheOrderInWhichSlotsWouldBeGiven) {
  Settings({.slots = 3});
  for (int i = 0; i < 40; ++i) {
    Enqueue("j" + std::to_string(i), std::string(1, static_cast<char>('a' + i * i % 7)), (i * 37) % 5 * 20);
    clock_.Advance(seconds(i % 3 * 20));
  }
  Start();
  Start();
  ASSERT_TRUE(scheduler_->Enqueue({.id = "later", .owner = "z", .not_before = clock_.Now() + minutes(1)}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "paused", .owner = "z", .paused = true}));
  ASSERT_TRUE(scheduler_->Enqueue({.id = "sooner", .owner = "z", .not_before = clock_.Now() + seconds(1)}));
  std::map<std::string, std::size_t> told;
  for (int i = 0; i < 40; ++i) {
    const std::string id = "j" + std::to_string(i);
    if (const auto position = scheduler_->PositionOf(id)) {
      told[id] = *position;
    }
  }
  ASSERT_EQ(told.size(), 38U);
  EXPECT_EQ(scheduler_->PositionOf("sooner"), 39U);
  EXPECT_EQ(scheduler_->PositionOf("later"), 40U);
  EXPECT_EQ(scheduler_->PositionOf("paused"), 41U);
  EXPECT_EQ(scheduler_->PositionOf("unknown"), std::nullopt);
  scheduler_->Reload({.slots = 100});
  for (std::size_t position = 1; position <= 38; ++position) {
    EXPECT_EQ(told[Start()], position);
  }
}

TEST(SchedulerLineTest, OwnersThatLeftAreForgottenInTheEnd) {
  SchedulerLine line(seconds(30));
  for (int i = 0; i < 5000; ++i) {
    LineJob job{.id = "job", .owner_name = std::to_string(i)};
    line.Insert(job);
    if (i % 2 == 0) {
      line.Erase(job);
    } else {
      ASSERT_EQ(line.Start(SteadyTime(seconds(i))), &job);
      line.End(job);
    }
  }
  EXPECT_EQ(line.size(), 0U);
  EXPECT_EQ(line.owners(), 1000U);
}

// --- Memory --------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, ThePreferredWayIfItFitsNowElseTheFirstLeanerOneThatDoes) {
  StartSome(4);
  ASSERT_TRUE(Ask("a", {600, 300, 100}));
  ASSERT_TRUE(Ask("b", {600, 300, 100}));
  ASSERT_TRUE(Ask("c", {600, 300, 100}));
  ASSERT_TRUE(Ask("d", {600, 300, 100}));
  EXPECT_THAT(GrantAll(), ElementsAre("a0", "b1", "c2"));
  EXPECT_EQ(ledger_.available(), Bytes());
  EXPECT_EQ(leases_["b"].size(), Bytes(300));
  EXPECT_EQ(scheduler_->ReasonOf("a"), WaitingFor::kNothing);
  EXPECT_EQ(scheduler_->ReasonOf("d"), WaitingFor::kMemory);
  EXPECT_EQ(scheduler_->figures().needs_waiting, 1U);
}

TEST_F(SchedulerTest, StepsAreServedInTheOrderOfTheirJobs) {
  Settings({.slots = 3});
  Enqueue("low", "ann", 10);
  Enqueue("high", "bob", 90);
  Enqueue("middle", "cid", 50);
  Start();
  Start();
  Start();
  ASSERT_TRUE(Ask("low", {10}));
  ASSERT_TRUE(Ask("middle", {10}));
  ASSERT_TRUE(Ask("high", {10}));
  EXPECT_EQ(GrantNext(), "high0");
  scheduler_->SetPriority("low", 60);
  EXPECT_THAT(GrantAll(), ElementsAre("low0", "middle0"));
}

TEST_F(SchedulerTest, OthersPassTheHeadUntilItsPatienceEndsAndNobodyAfterThat) {
  StartSome(5);
  ASSERT_TRUE(Ask("b", {500}));
  EXPECT_EQ(GrantNext(), "b0");
  ASSERT_TRUE(Ask("a", {900}));
  ASSERT_TRUE(Ask("c", {100}));
  EXPECT_EQ(GrantNext(), "c0");
  EXPECT_EQ(scheduler_->NextChange(), clock_.Now() + seconds(10));
  EXPECT_EQ(scheduler_->figures().passed, 1U);
  clock_.Advance(seconds(10) - Duration(1));
  ASSERT_TRUE(Ask("d", {100}));
  EXPECT_EQ(GrantNext(), "d0");
  EXPECT_EQ(GrantNext(), "");
  EXPECT_FALSE(scheduler_->KeepsMemory());
  clock_.Advance(Duration(1));
  ASSERT_TRUE(Ask("e", {100}));
  EXPECT_EQ(GrantNext(), "");
  EXPECT_TRUE(scheduler_->KeepsMemory());
  EXPECT_EQ(scheduler_->ReasonOf("e"), WaitingFor::kMemory);
  leases_.erase("b");
  EXPECT_EQ(GrantNext(), "");  // kept for the head
  leases_.erase("c");
  EXPECT_EQ(GrantNext(), "a0");
  EXPECT_EQ(GrantNext(), "");
  EXPECT_FALSE(scheduler_->KeepsMemory());
  leases_.erase("a");
  EXPECT_EQ(GrantNext(), "e0");
  EXPECT_EQ(scheduler_->figures().passed, 2U);
  EXPECT_EQ(scheduler_->NextChange(), std::nullopt);
}

TEST_F(SchedulerTest, WithNothingLeasedTheFirstIsAlwaysServed) {
  StartSome(2);
  ASSERT_TRUE(Ask("a", {5000, 1000}));
  clock_.Advance(hours(1));
  EXPECT_EQ(GrantNext(), "a1");
  EXPECT_EQ(ledger_.available(), Bytes());
}

TEST_F(SchedulerTest, WhatWaitsAndFitsALowerBudgetNoMoreIsRefusedAndTheRestGoesOn) {
  StartSome(4);
  ASSERT_TRUE(Ask("a", {800}));
  EXPECT_EQ(GrantNext(), "a0");
  ASSERT_TRUE(Ask("b", {900, 600}));
  ASSERT_TRUE(Ask("c", {900, 200}));
  EXPECT_THAT(GrantAll(), ElementsAre("c1"));
  ASSERT_TRUE(Ask("d", {900, 300}));
  EXPECT_EQ(GrantNext(), "");
  ledger_.SetBudget(Bytes(450));
  EXPECT_THAT(GrantAll(), ElementsAre("b!"));
  ASSERT_TRUE(refused_);
  EXPECT_EQ(refused_->code, ErrorCode::kOverBudget);
  EXPECT_EQ(Member(*refused_, "required_bytes"), 600U);
  EXPECT_EQ(Member(*refused_, "available_bytes"), 400U);
  EXPECT_EQ(Member(*refused_, "budget_bytes"), 450U);
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kNothing);
  const auto again = Ask("b", {900, 600});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().detail, refused_->detail) << "as a new one is refused";
  leases_.erase("a");
  EXPECT_EQ(leases_["c"].size(), Bytes(200));
  EXPECT_THAT(GrantAll(), ElementsAre()) << "300 beside 200 is above 400";
  leases_.erase("c");
  EXPECT_THAT(GrantAll(), ElementsAre("d1"));
}

TEST_F(SchedulerTest, WhatCanDoWithLessGetsAllThatThereIs) {
  StartSome(2);
  ASSERT_TRUE(Ask("a", {900}));
  EXPECT_EQ(GrantNext(), "a0");
  ASSERT_TRUE(scheduler_->Ask({.job = "b", .ways = {{.memory = Bytes(800)}}, .squeezable = true}));
  EXPECT_EQ(GrantNext(), "");
  ledger_.SetBudget(Bytes(450));
  EXPECT_EQ(GrantNext(), "");
  leases_.erase("a");
  EXPECT_EQ(GrantNext(), "b0");
  EXPECT_EQ(leases_["b"].size(), Bytes(400));
}

TEST_F(SchedulerTest, AHigherBudgetLetsMoreStart) {
  StartSome(3);
  ASSERT_TRUE(Ask("a", {1000}));
  ASSERT_TRUE(Ask("b", {500}));
  ASSERT_FALSE(Ask("c", {1500}));
  EXPECT_THAT(GrantAll(), ElementsAre("a0"));
  ledger_.SetBudget(Bytes(3050));
  EXPECT_THAT(GrantAll(), ElementsAre("b0"));
  ASSERT_TRUE(Ask("c", {1500}));
  EXPECT_THAT(GrantAll(), ElementsAre("c0"));
}

TEST_F(SchedulerTest, AWayThatWasPutAsideForItsSizeIsThereAgainWhenTheBudgetWantsIt) {
  Settings({.slots = 2, .processors = 4, .size_weight = 2});
  Enqueue("a");
  Enqueue("b");
  ASSERT_NE(Start(), "");
  ASSERT_NE(Start(), "");
  ASSERT_TRUE(Ask("a", {900}));
  EXPECT_EQ(GrantNext(), "a0");
  Need need{.job = "b", .work = true};
  need.ways = {{.memory = Bytes(800), .processors = 1}, {.memory = Bytes(300), .processors = 1, .larger = 3}};
  ASSERT_TRUE(scheduler_->Ask(std::move(need)));
  EXPECT_EQ(GrantNext(), "");
  leases_.erase("a");
  ledger_.SetBudget(Bytes(450));
  EXPECT_EQ(GrantNext(), "b1");
}

// Beside one that has just begun it goes on one processor; for one that is almost done it waits, to have both and all
// the memory; and whoever comes behind it waits as well.
TEST_F(SchedulerTest, TheEndOfAQueueIsPlannedWithWhatIsKnownOfLengths) {
  const auto ask = [&](const std::string& job, std::vector<memory::Way> ways) {
    return scheduler_->Ask({.job = job, .work = true, .ways = std::move(ways), .seconds = 10});
  };
  const memory::Way alone{.memory = Bytes(850), .processors = 1.9, .time = 1};
  const memory::Way beside{.memory = Bytes(200), .processors = 1, .time = 1.9};
  const auto start = [&] {
    Settings({.slots = 3, .processors = 2});
    for (const char* id : {"a", "b", "c"}) {
      Enqueue(id);
      ASSERT_NE(Start(), "");
      clock_.Advance(std::chrono::milliseconds(1));
    }
    ASSERT_TRUE(ask("a", {beside}));
    EXPECT_EQ(GrantNext(), "a0");
    scheduler_->Remove("c");
  };
  start();
  scheduler_->Advanced("a", 0.1);
  ASSERT_TRUE(ask("b", {alone, beside}));
  EXPECT_EQ(GrantNext(), "b1");
  leases_.clear();

  start();
  scheduler_->Advanced("a", 0.97);
  ASSERT_TRUE(ask("b", {alone, beside}));
  EXPECT_EQ(GrantNext(), "");
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kProcessor);
  Enqueue("d");
  ASSERT_EQ(Start(), "d");
  ASSERT_TRUE(ask("d", {{.memory = Bytes(200), .time = 0.1}}));
  EXPECT_EQ(GrantNext(), "") << "d would fit, and take from b what it waits for";
  EXPECT_EQ(scheduler_->ReasonOf("d"), WaitingFor::kProcessor);
  leases_.clear();
  scheduler_->Remove("a");
  EXPECT_EQ(GrantNext(), "b0");
}

TEST_F(SchedulerTest, LargeNeedsAreServedWithinPatienceAndTheLongestLease) {
  StartSome(6);
  // Five jobs keep asking for small leases of twenty seconds, which overlap.
  std::multimap<SteadyTime, std::string> ends;
  const auto fill = [&] {
    for (std::string granted = GrantNext(); !granted.empty(); granted = GrantNext()) {
      granted.pop_back();
      ends.emplace(clock_.Now() + seconds(20), granted);
    }
  };
  for (const char* id : {"b", "c", "d", "e", "f"}) {
    ASSERT_TRUE(Ask(id, {180}));
    fill();
    clock_.Advance(seconds(4));
  }
  ASSERT_TRUE(Ask("a", {900}));
  const SteadyTime asked = clock_.Now();
  while (!leases_.contains("a")) {
    ASSERT_LE(clock_.Now() - asked, hours(1));
    ASSERT_FALSE(ends.empty());
    clock_.Advance(std::max(Duration(), ends.begin()->first - clock_.Now()));
    const std::string id = ends.begin()->second;
    ends.erase(ends.begin());
    leases_.erase(id);
    ASSERT_TRUE(Ask(id, {180}));
    fill();
  }
  EXPECT_LE(clock_.Now() - asked, seconds(10 + 20));
  EXPECT_GT(scheduler_->figures().passed, 0U);
}

TEST_F(SchedulerTest, WhatNeverFitsTheBudgetIsRefusedWithTheNumbers) {
  StartSome(1);
  EXPECT_TRUE(Ask("a", {2000, 1000}));
  scheduler_->Withdraw("a");
  const Status refused = Ask("a", {2000, 1001});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverBudget);
  EXPECT_EQ(Member(refused.error(), "required_bytes"), 1001U);
  EXPECT_EQ(Member(refused.error(), "available_bytes"), 1000U);
  EXPECT_EQ(Member(refused.error(), "budget_bytes"), 1050U);
  EXPECT_EQ(GrantNext(), "");
  EXPECT_TRUE(Ask("a", {1}));
}

TEST_F(SchedulerTest, AskingNeedsASlotAndHappensOneAtATime) {
  StartSome(1);
  Enqueue("waits");
  for (const char* id : {"waits", "unknown"}) {
    const Status refused = Ask(id, {1});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  }
  ASSERT_TRUE(Ask("a", {1}));
  const Status again = Ask("a", {1});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kConflict);
  scheduler_->Withdraw("a");
  EXPECT_EQ(GrantNext(), "");
  const Status nothing = Ask("a", {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kInternal);
}

// --- Disk ----------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, ReservationsAddUpPerDiskAndEndWithTheStep) {
  free_ = {{"disk", 1100}, {"other", 1100}};
  StartSome(5);
  ASSERT_TRUE(Ask("a", {1}, 600));
  ASSERT_TRUE(Ask("b", {1}, 401));
  ASSERT_TRUE(Ask("c", {1}, 400));
  ASSERT_TRUE(Ask("d", {1}, 1000, "other"));
  ASSERT_TRUE(Ask("e", {1}));
  EXPECT_THAT(GrantAll(), ElementsAre("a0", "c0", "d0", "e0"));
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kDisk);
  leases_.clear();
  EXPECT_EQ(GrantNext(), "");  // the lease is back, the reservation is not
  ASSERT_TRUE(Ask("a", {1}, 200));
  EXPECT_THAT(GrantAll(), ElementsAre("a0"));  // its next step: 600 are reserved
  scheduler_->Withdraw("a");
  EXPECT_THAT(GrantAll(), ElementsAre("b0"));
  scheduler_->Remove("b");
  scheduler_->Remove("c");
  ASSERT_TRUE(Ask("a", {1}, 1000));
  EXPECT_THAT(GrantAll(), ElementsAre("a0"));
}

TEST_F(SchedulerTest, WhatNeverFitsTheDiskIsRefusedWithTheNumbers) {
  free_["disk"] = 1100;
  StartSome(2);
  const Status refused = Ask("a", {1}, 1001);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(Member(refused.error(), "required_bytes"), 1001U);
  EXPECT_EQ(Member(refused.error(), "available_bytes"), 1000U);
  EXPECT_EQ(Member(refused.error(), "reserve_bytes"), 100U);
  EXPECT_FALSE(Ask("a", {1}, ~std::uint64_t{0}));
  free_["disk"] = 50;  // less than the reserve
  EXPECT_FALSE(Ask("a", {1}, 1));
  EXPECT_TRUE(Ask("a", {1}, 0));
}

TEST_F(SchedulerTest, WhatWaitedInVainForTheReservationsOfOthersIsRefusedThen) {
  free_["disk"] = 1100;
  StartSome(3);
  ASSERT_TRUE(Ask("a", {1}, 300));
  EXPECT_EQ(GrantNext(), "a0");
  ASSERT_TRUE(Ask("b", {1}, 900));
  EXPECT_EQ(GrantNext(), "");
  free_["disk"] = 999;  // what was written stays
  scheduler_->Remove("a");
  EXPECT_EQ(GrantNext(), "b!");
  EXPECT_EQ(refused_->code, ErrorCode::kDiskFull);
  EXPECT_EQ(scheduler_->ReasonOf("b"), WaitingFor::kNothing);
  EXPECT_EQ(scheduler_->figures().needs_waiting, 0U);
  EXPECT_TRUE(Ask("b", {1}, 800));
  EXPECT_EQ(GrantNext(), "b0");
}

TEST_F(SchedulerTest, WaitingForDiskKeepsNoMemoryFromOthersNorTheReverse) {
  free_["disk"] = 1100;
  StartSome(5);
  ASSERT_TRUE(Ask("e", {500}, 600));
  EXPECT_EQ(GrantNext(), "e0");
  ASSERT_TRUE(Ask("a", {100}, 500));  // waits for disk
  clock_.Advance(hours(1));           // long out of patience
  ASSERT_TRUE(Ask("b", {400}));
  EXPECT_EQ(GrantNext(), "b0");
  ASSERT_TRUE(Ask("c", {700}, 300, "other"));  // waits for memory; its disk is nobody's yet
  ASSERT_TRUE(Ask("d", {100}, 9000, "other"));
  EXPECT_EQ(GrantNext(), "d0");
  EXPECT_EQ(scheduler_->ReasonOf("a"), WaitingFor::kDisk);
  EXPECT_EQ(scheduler_->ReasonOf("c"), WaitingFor::kMemory);
}

TEST_F(SchedulerTest, AStepThatWaitedLongForDiskIsNotPassedOnThatDisk) {
  free_["disk"] = 1100;
  StartSome(5);
  ASSERT_TRUE(Ask("e", {1}, 600));
  EXPECT_EQ(GrantNext(), "e0");
  ASSERT_TRUE(Ask("a", {1}, 500));
  ASSERT_TRUE(Ask("b", {1}, 100));
  EXPECT_EQ(GrantNext(), "b0");
  clock_.Advance(seconds(10));
  ASSERT_TRUE(Ask("c", {1}, 100));
  ASSERT_TRUE(Ask("d", {1}, 100, "other"));
  EXPECT_THAT(GrantAll(), ElementsAre("d0"));
  EXPECT_EQ(scheduler_->ReasonOf("c"), WaitingFor::kDisk);
  scheduler_->Remove("e");
  EXPECT_THAT(GrantAll(), ElementsAre("a0", "c0"));
}

TEST(WaitingForTest, EveryReasonHasAName) {
  std::set<std::string> names;
  for (const WaitingFor reason : {WaitingFor::kSlot, WaitingFor::kProcessor, WaitingFor::kMemory, WaitingFor::kDisk,
                                  WaitingFor::kTime, WaitingFor::kPause, WaitingFor::kDrain, WaitingFor::kPressure}) {
    names.insert(NameOf(reason));
  }
  EXPECT_THAT(names, ElementsAre("disk", "drain", "memory", "pause", "pressure", "processor", "slot", "time"));
  EXPECT_STREQ(NameOf(WaitingFor::kNothing), "");
}

}  // namespace
}  // namespace weir::jobs
