#include "memory/relief.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReliefTest : public ::testing::Test {
 protected:
  // Writes its name when used, and "-name" when undone.
  Remedy Plain(const std::string& name, Level from, Duration settle = seconds(2), Duration pause = seconds(30)) {
    return {.name = name,
            .from = from,
            .act =
                [this, name] {
                  done_.push_back(name);
                  return freed_;
                },
            .settle = settle,
            .pause = pause};
  }
  Remedy State(const std::string& name, Level from, Duration settle = seconds(2), Duration pause = seconds(30)) {
    Remedy remedy = Plain(name, from, settle, pause);
    remedy.undo = [this, name] { done_.push_back("-" + name); };
    return remedy;
  }
  void Make(std::vector<Remedy> remedies, std::size_t most_history = 100) {
    relief_ = std::make_unique<Relief>(
        std::move(remedies), [this](const Used& used) { told_.push_back(used); }, most_history);
  }
  // What is done `at` this time after the start.
  std::vector<std::string> At(Duration at, Level level) {
    relief_->Update(level, "because", Time(at));
    return std::exchange(done_, {});
  }
  static SteadyTime Time(Duration at) { return SteadyTime(std::chrono::hours(1)) + at; }

  Bytes freed_ = Bytes::Mib(3);
  std::vector<std::string> done_;
  std::vector<Used> told_;
  std::unique_ptr<Relief> relief_;
};

TEST_F(ReliefTest, NothingToDoAtNormalOrWithoutRemedies) {
  Make({});
  EXPECT_THAT(At(seconds(0), Level::kCritical), IsEmpty());
  EXPECT_EQ(relief_->next(), std::nullopt);
  Make({Plain("trim", Level::kElevated)});
  EXPECT_EQ(relief_->next(), std::nullopt);
  EXPECT_THAT(At(seconds(0), Level::kNormal), IsEmpty());
  EXPECT_EQ(relief_->next(), std::nullopt);
  EXPECT_THAT(relief_->history(), IsEmpty());
}

TEST_F(ReliefTest, OneAfterTheOtherEachWhenTheOneBeforeHasSettled) {
  Make({Plain("trim", Level::kElevated, seconds(2)), Plain("sweep", Level::kElevated, seconds(3)),
        Plain("end", Level::kCritical, seconds(1))});
  EXPECT_THAT(At(seconds(0), Level::kCritical), ElementsAre("trim"));
  EXPECT_EQ(relief_->next(), Time(seconds(2)));
  EXPECT_THAT(At(milliseconds(1999), Level::kCritical), IsEmpty());
  EXPECT_THAT(At(seconds(2), Level::kCritical), ElementsAre("sweep"));
  EXPECT_EQ(relief_->next(), Time(seconds(5)));
  EXPECT_THAT(At(seconds(4), Level::kCritical), IsEmpty());
  EXPECT_THAT(At(seconds(6), Level::kCritical), ElementsAre("end"));
  EXPECT_EQ(relief_->next(), Time(seconds(30)));  // the pause of the first
}

TEST_F(ReliefTest, ALevelGetsOnlyTheRemediesFromItDown) {
  Make({Plain("trim", Level::kElevated), Plain("shrink", Level::kHigh), Plain("end", Level::kCritical)});
  EXPECT_THAT(At(seconds(0), Level::kElevated), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(10), Level::kElevated), IsEmpty());
  EXPECT_EQ(relief_->next(), Time(seconds(30)));
  EXPECT_THAT(At(seconds(11), Level::kHigh), ElementsAre("shrink"));
  EXPECT_THAT(At(seconds(20), Level::kHigh), IsEmpty());
  EXPECT_THAT(At(seconds(21), Level::kCritical), ElementsAre("end"));
}

TEST_F(ReliefTest, WhatFreesNothingDoesNotStopTheNext) {
  freed_ = Bytes();
  Make({Plain("trim", Level::kElevated),
        {.name = "nothing at all", .from = Level::kElevated, .act = {}},
        Plain("sweep", Level::kElevated)});
  EXPECT_THAT(At(seconds(0), Level::kElevated), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(2), Level::kElevated), IsEmpty());
  EXPECT_THAT(At(seconds(3), Level::kElevated), ElementsAre("sweep"));
  ASSERT_EQ(told_.size(), 3U);
  EXPECT_EQ(told_[1].name, "nothing at all");
  EXPECT_EQ(told_[1].freed, Bytes());
}

TEST_F(ReliefTest, WithoutSettlingTheNextFollowsInTheSameCall) {
  Make({Plain("trim", Level::kElevated, seconds(0), seconds(0)), Plain("sweep", Level::kElevated, seconds(-1)),
        Plain("end", Level::kCritical)});
  EXPECT_THAT(At(seconds(0), Level::kElevated), ElementsAre("trim", "sweep"));
  EXPECT_EQ(relief_->next(), Time(Relief::kLeastPause));  // not "now" again and again
  EXPECT_THAT(At(Relief::kLeastPause, Level::kElevated), ElementsAre("trim"));
}

TEST_F(ReliefTest, WhileTheLevelStaysTheRoundBeginsAgainButForThoseInTheirPause) {
  Make({Plain("trim", Level::kElevated, seconds(1), seconds(10)),
        Plain("end", Level::kCritical, seconds(1), seconds(3))});
  EXPECT_THAT(At(seconds(0), Level::kCritical), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(1), Level::kCritical), ElementsAre("end"));
  EXPECT_EQ(relief_->next(), Time(seconds(4)));
  EXPECT_THAT(At(seconds(3), Level::kCritical), IsEmpty());
  EXPECT_THAT(At(seconds(4), Level::kCritical), ElementsAre("end"));
  EXPECT_THAT(At(seconds(7), Level::kCritical), ElementsAre("end"));
  EXPECT_THAT(At(seconds(10), Level::kCritical), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(11), Level::kCritical), ElementsAre("end"));
}

TEST_F(ReliefTest, ShortPausesOfTheMildDoNotKeepTheHardAway) {
  Make({Plain("trim", Level::kElevated, seconds(1), seconds(1)),
        Plain("sweep", Level::kElevated, seconds(1), seconds(1)),
        Plain("end", Level::kCritical, seconds(1), seconds(1))});
  std::vector<std::string> all;
  for (int i = 0; i < 6; ++i) {
    for (const std::string& name : At(seconds(i), Level::kCritical)) {
      all.push_back(name);
    }
  }
  EXPECT_THAT(all, ElementsAre("trim", "sweep", "end", "trim", "sweep", "end"));
}

TEST_F(ReliefTest, FallingBelowOneThatWasUsedStartsOverAtTheFirst) {
  Make({Plain("trim", Level::kElevated, seconds(1), seconds(5)),
        Plain("sweep", Level::kElevated, seconds(1), seconds(5)),
        Plain("shrink", Level::kHigh, seconds(1), seconds(5)),
        Plain("end", Level::kCritical, seconds(1), seconds(5))});
  EXPECT_THAT(At(seconds(0), Level::kHigh), ElementsAre("trim"));
  // Below `shrink`, which was not used yet: goes on where it was.
  EXPECT_THAT(At(seconds(6), Level::kElevated), ElementsAre("sweep"));
  EXPECT_THAT(At(seconds(7), Level::kHigh), ElementsAre("shrink"));
  EXPECT_THAT(At(seconds(14), Level::kElevated), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(15), Level::kElevated), ElementsAre("sweep"));
  EXPECT_THAT(At(seconds(16), Level::kNormal), IsEmpty());
  EXPECT_EQ(relief_->next(), std::nullopt);
  // Over again at the first, but trim and sweep are in their pauses.
  EXPECT_THAT(At(seconds(17), Level::kCritical), ElementsAre("shrink"));
  EXPECT_THAT(At(seconds(18), Level::kCritical), ElementsAre("end"));
  EXPECT_THAT(At(seconds(19), Level::kNormal), IsEmpty());
  EXPECT_THAT(At(seconds(40), Level::kCritical), ElementsAre("trim"));
}

TEST_F(ReliefTest, SettlingOutlastsAFall) {
  Make({Plain("trim", Level::kElevated, seconds(10), seconds(1)), Plain("sweep", Level::kElevated)});
  EXPECT_THAT(At(seconds(0), Level::kElevated), ElementsAre("trim"));
  EXPECT_THAT(At(seconds(3), Level::kNormal), IsEmpty());
  EXPECT_THAT(At(seconds(4), Level::kElevated), IsEmpty());
  EXPECT_EQ(relief_->next(), Time(seconds(10)));
  EXPECT_THAT(At(seconds(10), Level::kElevated), ElementsAre("trim"));
}

TEST_F(ReliefTest, AStateIsSetOnceAndClearedOnceWhenTheLevelIsBelow) {
  Make({State("hold", Level::kHigh, seconds(1), seconds(3))});
  EXPECT_THAT(At(seconds(0), Level::kElevated), IsEmpty());
  EXPECT_THAT(At(seconds(1), Level::kHigh), ElementsAre("hold"));
  EXPECT_EQ(relief_->next(), std::nullopt);
  EXPECT_THAT(At(seconds(100), Level::kCritical), IsEmpty());
  EXPECT_THAT(At(seconds(200), Level::kHigh), IsEmpty());
  EXPECT_THAT(At(seconds(201), Level::kElevated), ElementsAre("-hold"));
  EXPECT_THAT(At(seconds(202), Level::kNormal), IsEmpty());
  EXPECT_THAT(At(seconds(203), Level::kHigh), ElementsAre("hold"));
  // The pause holds for states too; the undo waits for nothing.
  EXPECT_THAT(At(milliseconds(203100), Level::kNormal), ElementsAre("-hold"));
  EXPECT_THAT(At(seconds(205), Level::kHigh), IsEmpty());
  EXPECT_EQ(relief_->next(), Time(seconds(206)));
  EXPECT_THAT(At(seconds(206), Level::kHigh), ElementsAre("hold"));
}

TEST_F(ReliefTest, StatesAreClearedLastFirstAndEachAtItsOwnLevel) {
  Make({State("a", Level::kHigh, seconds(0)), State("b", Level::kHigh, seconds(0)),
        State("c", Level::kCritical, seconds(0))});
  EXPECT_THAT(At(seconds(0), Level::kCritical), ElementsAre("a", "b", "c"));
  EXPECT_THAT(At(seconds(1), Level::kHigh), ElementsAre("-c"));
  EXPECT_THAT(At(seconds(2), Level::kNormal), ElementsAre("-b", "-a"));
  relief_.reset();
  EXPECT_THAT(done_, IsEmpty());
}

TEST_F(ReliefTest, DestroyingUndoesNothing) {
  Make({State("hold", Level::kHigh)});
  EXPECT_THAT(At(seconds(0), Level::kHigh), ElementsAre("hold"));
  relief_.reset();
  EXPECT_THAT(done_, IsEmpty());
}

TEST_F(ReliefTest, TellsWhatWasDoneAndKeepsTheLast) {
  Make({Plain("trim", Level::kElevated), State("hold", Level::kHigh)}, 2);
  At(seconds(0), Level::kHigh);
  At(seconds(2), Level::kHigh);
  At(seconds(3), Level::kNormal);
  ASSERT_EQ(told_.size(), 3U);
  EXPECT_EQ(told_[0].name, "trim");
  EXPECT_EQ(told_[0].level, Level::kHigh);
  EXPECT_EQ(told_[0].freed, Bytes::Mib(3));
  EXPECT_EQ(told_[0].reason, "because");
  EXPECT_EQ(told_[0].at, Time(seconds(0)));
  EXPECT_FALSE(told_[0].undone);
  EXPECT_FALSE(told_[1].undone);
  EXPECT_EQ(told_[2].name, "hold");
  EXPECT_EQ(told_[2].level, Level::kNormal);
  EXPECT_TRUE(told_[2].undone);
  ASSERT_EQ(relief_->history().size(), 2U);
  EXPECT_EQ(relief_->history().front().name, "hold");
  EXPECT_TRUE(relief_->history().back().undone);
}

TEST_F(ReliefTest, NobodyNeedsToListenAndNothingNeedsToBeKept) {
  Relief relief({Plain("trim", Level::kElevated)}, nullptr, 0);
  relief.Update(Level::kHigh, "because", Time(seconds(0)));
  EXPECT_THAT(done_, ElementsAre("trim"));
  EXPECT_THAT(relief.history(), IsEmpty());
}

TEST_F(ReliefTest, NeverAgainIsALongPause) {
  Make({Plain("once", Level::kElevated, Duration::min(), Duration::max()),
        Plain("last", Level::kElevated, Duration::max())});
  EXPECT_THAT(At(seconds(0), Level::kElevated), ElementsAre("once", "last"));
  EXPECT_EQ(relief_->next(), Time(Relief::kLongest));
  EXPECT_THAT(At(std::chrono::hours(10000), Level::kElevated), IsEmpty());
}

class ReliefPropertyTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(ReliefPropertyTest, RulesHoldOnAnyWalk) {
  std::mt19937_64 random(GetParam());
  const auto below = [&](int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); };

  struct Model {
    Level from;
    Duration settle;
    Duration pause;
    bool is_state;
    bool in_force = false;
    bool applies = true;
    bool idle = false;  // there is nothing for it to do
    std::optional<SteadyTime> last;
    std::optional<SteadyTime> vain;
  };
  std::vector<Model> models;
  std::vector<Remedy> remedies;
  SteadyTime now(std::chrono::hours(1));
  Level level = Level::kNormal;
  SteadyTime settled = SteadyTime::min();
  int uses = 0;
  int tries = 0;
  const int count = 1 + below(6);
  for (int i = 0; i < count; ++i) {
    models.push_back({.from = static_cast<Level>(1 + below(3)),
                      .settle = milliseconds(below(4) * 500),
                      .pause = milliseconds(100 + below(8000)),
                      .is_state = below(2) == 0,
                      .last = std::nullopt,
                      .vain = std::nullopt});
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    Remedy remedy{.name = std::to_string(i),
                  .from = models[i].from,
                  .act = [&, i]() -> std::optional<Bytes> {
                    Model& model = models[i];
                    EXPECT_GE(level, model.from);
                    EXPECT_GE(now, settled);
                    EXPECT_FALSE(model.in_force);
                    EXPECT_TRUE(model.applies);
                    EXPECT_TRUE(!model.last || now - *model.last >= model.pause);
                    EXPECT_TRUE(!model.vain || now - *model.vain >= Relief::kRetry);
                    ++tries;
                    if (model.idle) {
                      model.vain = now;
                      return std::nullopt;
                    }
                    model.vain.reset();
                    model.last = now;
                    model.in_force = model.is_state;
                    settled = now + model.settle;
                    ++uses;
                    return Bytes(1);
                  },
                  .settle = models[i].settle,
                  .pause = models[i].pause,
                  .applies = [&, i] { return models[i].applies; }};
    if (models[i].is_state) {
      remedy.undo = [&, i] {
        EXPECT_TRUE(models[i].in_force);
        EXPECT_LT(level, models[i].from);
        models[i].in_force = false;
      };
    }
    remedies.push_back(std::move(remedy));
  }
  int told = 0;
  Relief relief(std::move(remedies), [&](const Used&) { ++told; }, 5);

  for (int step = 0; step < 3000; ++step) {
    const int kind = below(4);
    const std::optional<SteadyTime> next = relief.next();
    if (kind == 0 && next) {  // just before next() nothing happens, and at it something does
      if (*next - now > milliseconds(1)) {
        const int before = tries;
        now = *next - milliseconds(1);
        relief.Update(level, "walk", now);
        ASSERT_EQ(tries, before);
        ASSERT_EQ(relief.next(), next);
      }
      const int before = tries;
      now = *next;
      relief.Update(level, "walk", now);
      ASSERT_GT(tries, before);
    } else {
      now += milliseconds(below(1500));
      level = static_cast<Level>(std::clamp(static_cast<int>(level) + below(3) - 1, 0, 3));
      for (Model& model : models) {
        model.applies = below(8) == 0 ? !model.applies : model.applies;
        model.idle = below(8) == 0 ? !model.idle : model.idle;
      }
      relief.Update(level, "walk", now);
    }
    ASSERT_TRUE(!relief.next() || *relief.next() > now);
    ASSERT_LE(relief.history().size(), 5U);
    bool any = false;
    for (const Model& model : models) {
      ASSERT_FALSE(model.in_force && level < model.from);
      any = any || (level >= model.from && !model.in_force && model.applies);
    }
    ASSERT_EQ(relief.next().has_value(), any);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GE(told, uses);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReliefPropertyTest, ::testing::Range(1U, 41U));

TEST(ReliefConditionTest, WhatDoesNotApplyIsPassedOverAndNotTold) {
  bool applies = false;
  std::vector<std::string> used;
  Relief relief(
      {{.name = "sometimes", .from = Level::kHigh, .settle = Duration(0), .applies = [&] { return applies; }},
       {.name = "always", .from = Level::kHigh, .settle = Duration(0)}},
      [&](const Used& use) { used.push_back(use.name); }, 10);
  const SteadyTime start = SteadyTime() + std::chrono::hours(1);
  relief.Update(Level::kHigh, "why", start);
  EXPECT_EQ(used, std::vector<std::string>({"always"}));
  applies = true;
  relief.Update(Level::kHigh, "why", start + std::chrono::seconds(1));
  EXPECT_EQ(used, std::vector<std::string>({"always", "sometimes"}))
      << "its pause did not begin before its first use";
}

TEST_F(ReliefTest, WhatDoesNotApplyIsNeverDue) {
  bool applies = false;
  auto suspend = Plain("suspend", Level::kHigh);
  suspend.applies = [&] { return applies; };
  Make({std::move(suspend), Plain("end", Level::kHigh, seconds(1), seconds(10))});
  EXPECT_THAT(At(seconds(0), Level::kHigh), ElementsAre("end"));
  EXPECT_EQ(relief_->next(), Time(seconds(10)));
  applies = true;
  EXPECT_THAT(At(seconds(2), Level::kHigh), ElementsAre("suspend"));
}

TEST_F(ReliefTest, WhatFindsNothingToDoWasNotUsedAndTheNextFollowsAtOnce) {
  bool idle = true;
  const auto unless_idle = [&](Remedy remedy) {
    remedy.act = [&, act = std::move(remedy.act)]() -> std::optional<Bytes> { return idle ? std::nullopt : act(); };
    return remedy;
  };
  Make({unless_idle(State("suspend", Level::kHigh)), Plain("end", Level::kHigh, seconds(1), seconds(10))});
  EXPECT_THAT(At(seconds(0), Level::kHigh), ElementsAre("end"));
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(relief_->next(), Time(Relief::kRetry));
  EXPECT_THAT(At(seconds(1), Level::kHigh), IsEmpty());
  EXPECT_EQ(relief_->next(), Time(seconds(2)));
  EXPECT_THAT(At(seconds(2), Level::kNormal), IsEmpty()) << "it is not in force, so there is nothing to undo";
  idle = false;
  EXPECT_THAT(At(seconds(3), Level::kHigh), ElementsAre("suspend"));
  EXPECT_THAT(At(seconds(4), Level::kNormal), ElementsAre("-suspend"));
}

TEST_F(ReliefTest, UsesInARowThatFreedNothingAreOne) {
  freed_ = Bytes();
  Make({Plain("trim", Level::kElevated, seconds(0), seconds(10))});
  for (int use = 0; use < 5; ++use) {
    At(seconds(10 * use), Level::kHigh);
  }
  ASSERT_EQ(relief_->history().size(), 1U);
  EXPECT_EQ(relief_->history().back().times, 5U);
  EXPECT_EQ(relief_->history().back().at, Time(seconds(40)));
  EXPECT_EQ(told_.size(), 5U);
  EXPECT_EQ(told_.back().times, 5U);
  At(seconds(50), Level::kElevated);
  freed_ = Bytes(1);
  At(seconds(60), Level::kElevated);
  At(seconds(70), Level::kElevated);
  EXPECT_EQ(relief_->history().size(), 4U) << "another level, and uses that freed something";
}

TEST_F(ReliefTest, WhatIsInForceIsNotForgotten) {
  Make({State("hold", Level::kHigh, seconds(0)), Plain("trim", Level::kElevated, seconds(0), seconds(1)),
        Plain("sweep", Level::kElevated, seconds(0), seconds(1))},
       4);
  for (int use = 0; use < 50; ++use) {
    At(seconds(use), Level::kHigh);
  }
  ASSERT_EQ(relief_->history().size(), 4U);
  EXPECT_EQ(relief_->history().front().name, "hold");
  At(seconds(50), Level::kElevated);
  At(seconds(51), Level::kElevated);
  for (const Used& used : relief_->history()) {
    EXPECT_TRUE(used.name != "hold" || used.undone) << "its use is past now";
  }
}

}  // namespace
}  // namespace weir::memory
