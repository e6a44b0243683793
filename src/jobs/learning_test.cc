#include "jobs/learning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "media/recipe.h"

namespace weir::jobs {
namespace {

using std::chrono::seconds;

constexpr Bytes kPlenty = Bytes::Gib(64);

media::MediaFacts Clip(media::Size size = {1920, 1080}) {
  media::MediaFacts facts;
  facts.container = "mov,mp4,m4a,3gp,3g2,mj2";
  facts.size = Bytes::Mib(10);
  facts.start = MediaTime(0);
  facts.duration = seconds(10);
  media::VideoStream video;
  video.codec = "h264";
  video.coded = size;
  video.pixel_format = "yuv420p";
  video.nominal_rate = video.average_rate = {30, 1};
  video.start = MediaTime(0);
  video.duration = seconds(10);
  video.frames = 300;
  video.refs = 4;
  facts.video = video;
  facts.video_streams = 1;
  return facts;
}

media::Request Crop(const std::string& preset = "veryfast") {
  return {.recipe = media::Crop{.preset = preset}, .output = media::Container::kMp4};
}

process::ChildReport Exit(Bytes peak, int status = 0, const std::string& words = {}) {
  process::ChildReport report;
  report.ending = process::Exited{.status = status};
  report.peak_resident = report.peak_tree = peak;
  report.stderr_text = words;
  return report;
}
process::ChildReport Killed(Bytes limit) {
  process::ChildReport report;
  report.ending = process::OomKilled{.limit = limit, .by_kernel = true};
  report.peak_resident = report.peak_tree = limit;
  return report;
}

class LearningTest : public testing::Test {
 protected:
  media::Ladder Ladder(Bytes most = kPlenty) const { return Ladder(request_, facts_, most); }
  media::Ladder Ladder(const media::Request& request, const media::MediaFacts& facts, Bytes most = kPlenty) const {
    media::Ladder ladder = Formula(request, facts);
    learning_.Correct(request, facts, most, ladder);
    return ladder;
  }
  static media::Ladder Formula(const media::Request& request, const media::MediaFacts& facts) {
    auto ladder = media::BuildLadder(request, facts, {.cpus = 2}, {});
    EXPECT_TRUE(ladder);
    return *std::move(ladder);
  }
  media::Ladder Formula() const { return Formula(request_, facts_); }

  void TeachPeak(const media::Plan& plan, double ratio) {
    const auto lesson =
        learning_.LessonOf(request_, facts_, plan, plan.forecast.lease, Exit(plan.forecast.prior * ratio));
    ASSERT_TRUE(lesson);
    EXPECT_FALSE(lesson->killed);
    learning_.Take(*lesson);
  }
  void TeachKill(const media::Plan& plan, Bytes limit) {
    const auto lesson = learning_.LessonOf(request_, facts_, plan, limit, Killed(limit));
    ASSERT_TRUE(lesson);
    EXPECT_TRUE(lesson->killed);
    learning_.Take(*lesson);
  }

  media::Request request_ = Crop();
  media::MediaFacts facts_ = Clip();
  Learning learning_{{.tool = "5.1.9"}};
};

void ExpectAsTheFormula(const media::Forecast& forecast, const media::Forecast& formula) {
  EXPECT_EQ(forecast.prior, formula.peak);
  EXPECT_EQ(forecast.peak, formula.peak);
  EXPECT_EQ(forecast.lease, formula.lease);
  EXPECT_EQ(forecast.needed, formula.needed);
  EXPECT_EQ(forecast.data_limit, formula.data_limit);
}

TEST_F(LearningTest, ForecastsAreTheFormulasUntilEightPeaks) {
  const media::Plan first = Formula().plans.front();
  for (int i = 0; i < 7; ++i) {
    TeachPeak(first, 0.8 + 0.001 * i);
    const auto ladder = Ladder();
    ASSERT_EQ(ladder.plans.size(), Formula().plans.size());
    for (std::size_t at = 0; at < ladder.plans.size(); ++at) {
      ExpectAsTheFormula(ladder.plans[at].forecast, Formula().plans[at].forecast);
    }
    EXPECT_EQ(ladder.plans.front().experience.samples, static_cast<std::size_t>(i + 1));
    EXPECT_EQ(ladder.plans.front().experience.confidence, "low");
  }
  TeachPeak(first, 0.807);
  const media::Plan learned = Ladder().plans.front();
  EXPECT_EQ(learned.experience.confidence, "fair");
  EXPECT_EQ(learned.forecast.prior, first.forecast.peak);
  EXPECT_LT(learned.forecast.peak, first.forecast.peak * 0.9);
  EXPECT_GT(learned.forecast.peak, first.forecast.prior * 0.807) << "never below what was measured";
  EXPECT_GE(learned.forecast.lease, learned.forecast.peak + Bytes::Mib(4)) << "what groups are charged for besides";
  EXPECT_LE(learned.forecast.lease, learned.forecast.peak + Bytes::Mib(5));
  EXPECT_EQ(learned.forecast.data_limit, first.forecast.data_limit) << "address space was not measured";
}

TEST_F(LearningTest, APeakWithinTheMarginChangesNothing) {
  const media::Plan first = Formula().plans.front();
  TeachPeak(first, 1.02);
  const media::Plan learned = Ladder().plans.front();
  EXPECT_EQ(learned.forecast.lease, first.forecast.lease);
  EXPECT_EQ(learned.forecast.data_limit, first.forecast.data_limit);
  EXPECT_GT(learned.forecast.peak, first.forecast.peak);
}

TEST_F(LearningTest, AKillRaisesAtOnceAndAPeakTakesItBack) {
  const media::Plan leanest = Formula().plans.back();
  TeachKill(leanest, leanest.forecast.lease);
  // A leanest plan that needs more than the others is not leaner.
  EXPECT_NE(Ladder().plans.back().name, leanest.name);

  const media::Plan first = Formula().plans.front();
  TeachKill(first, first.forecast.lease);
  const media::Plan raised = Ladder().plans.front();
  EXPECT_EQ(raised.name, first.name);
  EXPECT_EQ(raised.experience.killed, 1U);
  EXPECT_GE(raised.forecast.lease, first.forecast.lease * 3);
  EXPECT_GE(raised.forecast.data_limit, first.forecast.data_limit + (raised.forecast.lease - first.forecast.lease));
  EXPECT_EQ(raised.forecast.needed, raised.forecast.lease);

  TeachPeak(raised, 1.5);
  const media::Plan told = Ladder().plans.front();
  EXPECT_LT(told.forecast.lease, raised.forecast.lease);
  EXPECT_GT(told.forecast.lease, first.forecast.prior * 1.5);
}

TEST_F(LearningTest, AKillBelowTheForecastCountsWithTheLimitItHad) {
  const media::Plan first = Formula().plans.front();
  const Bytes limit = first.forecast.prior * 0.5;
  const auto lesson = learning_.LessonOf(request_, facts_, first, limit, Killed(first.forecast.lease));
  ASSERT_TRUE(lesson);
  EXPECT_EQ(lesson->amount, limit);
  learning_.Take(*lesson);
  const media::Plan raised = Ladder().plans.front();
  EXPECT_NEAR(raised.experience.factor, 3 * 0.5 * 1.01, 0.01);
  EXPECT_GT(raised.forecast.lease, first.forecast.lease);
}

TEST_F(LearningTest, LeasesStayFallingWhateverIsLearned) {
  std::mt19937 random(7);  // NOLINT(*-msc51-cpp): the same each time
  for (const char* preset : {"ultrafast", "veryfast", "medium", "veryslow"}) {
    request_ = Crop(preset);
    const auto formula = Formula();
    for (int i = 0; i < 300; ++i) {
      const auto& plan = formula.plans[random() % formula.plans.size()];
      const double ratio = 0.5 + 0.001 * static_cast<double>(random() % 700);
      if (random() % 10 == 0) {
        TeachKill(plan, plan.forecast.lease * ratio);
      } else {
        TeachPeak(plan, ratio);
      }
      const Bytes most = i % 3 == 0 ? formula.plans.back().forecast.needed : kPlenty;
      const auto ladder = Ladder(most);
      ASSERT_FALSE(ladder.plans.empty());
      bool fits = false;
      for (std::size_t at = 0; at < ladder.plans.size(); ++at) {
        const auto& one = ladder.plans[at];
        EXPECT_GE(one.forecast.needed, one.forecast.lease);
        fits = fits || (!one.in_company && one.forecast.needed <= most);
        if (at > 0) {
          const auto& before = ladder.plans[at - 1];
          EXPECT_LE(one.forecast.lease, before.forecast.lease) << preset << " " << one.name;
          EXPECT_TRUE(one.forecast.lease < before.forecast.lease || one.in_company) << preset << " " << one.name;
        }
        const auto same = std::ranges::find(formula.plans, one.name, &media::Plan::name);
        ASSERT_NE(same, formula.plans.end());
        EXPECT_EQ(one.forecast.prior, same->forecast.peak);
      }
      EXPECT_TRUE(fits) << "what the formula lets in is let in";
    }
  }
}

TEST_F(LearningTest, CorrectionsDoNotCompound) {
  const Bytes prior = Formula().plans.front().forecast.prior;
  for (int i = 0; i < 100; ++i) {
    const auto corrected = Ladder().plans.front();
    ASSERT_EQ(corrected.forecast.prior, prior);
    const auto lesson = learning_.LessonOf(request_, facts_, corrected, corrected.forecast.lease,
                                           Exit(prior * (0.80 + 0.0001 * (i % 10))));
    ASSERT_TRUE(lesson);
    EXPECT_EQ(lesson->prior, prior);
    learning_.Take(*lesson);
  }
  const auto corrected = Ladder().plans.front();
  EXPECT_EQ(corrected.experience.confidence, "good");
  EXPECT_NEAR(corrected.experience.factor, 0.82, 0.02);
}

TEST_F(LearningTest, WhatEveryPlanWasKilledAtIsTriedWithAllThereIs) {
  const auto formula = Formula();
  const Bytes most = formula.plans.front().forecast.lease + Bytes::Mib(10);
  for (const auto& plan : formula.plans) {
    TeachKill(plan, most);
  }
  const auto ladder = Ladder(most);
  const auto chosen = media::ChoosePlan(ladder, most);
  ASSERT_TRUE(chosen) << "nothing would ever run, and nothing be learned";
  EXPECT_EQ(ladder.plans[*chosen].name, formula.plans.back().name);
  EXPECT_EQ(ladder.plans[*chosen].forecast.lease, most);
  // What the formula itself refuses is refused.
  EXPECT_FALSE(media::ChoosePlan(Ladder(Bytes::Mib(50)), Bytes::Mib(50)));
}

TEST_F(LearningTest, WhatFailedIsTriedAgainOnlyWithMoreRoom) {
  const auto formula = Formula();
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 0), 0U);
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 2), 2U);
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 1000), formula.plans.size() - 1);
  for (int i = 0; i < 3; ++i) {
    TeachPeak(formula.plans[0], 0.8);
  }
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 2), 2U);
  TeachKill(formula.plans[1], formula.plans[1].forecast.lease);
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 2), 3U)
      << "no longer leaner, so it is gone; one for company lies between";
  TeachKill(formula.plans[0], formula.plans[0].forecast.lease);
  EXPECT_EQ(Learning::ToSkip(Ladder(), kPlenty, 2), 0U);
}

TEST_F(LearningTest, OneThatCanRunAloneIsLeftHoweverOftenItFailed) {
  auto ladder = Formula();
  ASSERT_GE(ladder.plans.size(), 2U);
  ladder.plans.resize(2);
  ladder.plans[1].in_company = true;
  for (std::size_t failed = 0; failed < 4; ++failed) {
    EXPECT_EQ(Learning::ToSkip(ladder, kPlenty, failed), 0U) << failed;
  }
}

TEST_F(LearningTest, WhatNeverFittedIsNotCountedAsTried) {
  const auto ladder = Formula();
  const Bytes most = ladder.plans[3].forecast.needed;
  const auto first = media::ChoosePlan(ladder, most);
  ASSERT_TRUE(first);
  const auto second = media::ChoosePlan(ladder, most, Learning::ToSkip(ladder, most, 1));
  ASSERT_TRUE(second);
  EXPECT_GT(*second, *first);
}

TEST_F(LearningTest, AWayForCompanyIsNotLostBecauseItNeverRan) {
  const auto formula = Formula();
  const auto single = std::ranges::find(formula.plans, "1 thread", &media::Plan::name);
  ASSERT_TRUE(single != formula.plans.end() && single->in_company);
  const auto& slices = *(single - 1);
  for (int i = 0; i < 8; ++i) {
    TeachPeak(slices, 0.8);
  }
  const auto ladder = Ladder();
  const auto kept = std::ranges::find(ladder.plans, "1 thread", &media::Plan::name);
  ASSERT_NE(kept, ladder.plans.end());
  EXPECT_LT(kept->forecast.lease, (kept - 1)->forecast.lease);
  EXPECT_LT((kept - 1)->forecast.lease, single->forecast.lease) << "else this shows nothing";
}

TEST_F(LearningTest, AWayForCompanyIsNotLostBecauseItIsLeanerThanTheNext) {
  const auto formula = Formula();
  const auto single = std::ranges::find(formula.plans, "1 thread", &media::Plan::name);
  ASSERT_TRUE(single != formula.plans.end() && single->in_company && !(single + 1)->in_company);
  for (int i = 0; i < 12; ++i) {
    TeachPeak(*single, 0.8);
  }
  const auto ladder = Ladder();
  const auto kept = std::ranges::find(ladder.plans, "1 thread", &media::Plan::name);
  ASSERT_NE(kept, ladder.plans.end());
  EXPECT_LT(kept->forecast.lease, (single + 1)->forecast.lease) << "else this shows nothing";
  EXPECT_NE(std::ranges::find(ladder.plans, (single + 1)->name, &media::Plan::name), ladder.plans.end())
      << "a lone job still gets that";
}

TEST_F(LearningTest, OnlyThePeakOfAChildThatEndedByItselfTeaches) {
  const media::Plan plan = Formula().plans.front();
  const auto teaches = [&](const process::ChildReport& report) {
    return learning_.LessonOf(request_, facts_, plan, plan.forecast.lease, report).has_value();
  };
  EXPECT_TRUE(teaches(Exit(Bytes::Mib(100))));
  EXPECT_FALSE(teaches(Exit(Bytes::Mib(100), 1))) << "it may have stopped early";
  process::ChildReport report = Exit(Bytes::Mib(100));
  for (const process::Ending& ending :
       {process::Ending(process::Signaled{.signal = 11}),
        process::Ending(process::Signaled{.signal = 9, .for_memory = true}), process::Ending(process::Cancelled{}),
        process::Ending(process::Stalled{}), process::Ending(process::TimedOut{})}) {
    report.ending = ending;
    EXPECT_FALSE(teaches(report));
  }
  report = Exit(Bytes::Mib(100));
  report.most_processes = 2;
  EXPECT_FALSE(teaches(report)) << "a sum of samples may have missed the peak";

  const Learning large({.tool = "5.1.9", .own_size = [] { return Bytes::Mib(100); }});
  EXPECT_FALSE(large.LessonOf(request_, facts_, plan, plan.forecast.lease, Exit(Bytes::Mib(100))))
      << "the mark is ours, not the child's";
  EXPECT_TRUE(large.LessonOf(request_, facts_, plan, plan.forecast.lease, Exit(Bytes::Mib(101))));
}

TEST_F(LearningTest, ARefusedAllocationIsALimitOnlyWhereAllocationsAreLimited) {
  const media::Plan plan = Formula().plans.front();
  const auto refused = Exit(Bytes::Mib(100), 1, "x264 [error]: malloc of size 1234 failed\n");
  EXPECT_FALSE(learning_.LessonOf(request_, facts_, plan, plan.forecast.lease, refused));
  const Learning limited({.tool = "5.1.9", .limits_allocations = true});
  const auto lesson = limited.LessonOf(request_, facts_, plan, plan.forecast.lease, refused);
  ASSERT_TRUE(lesson);
  EXPECT_TRUE(lesson->killed);
  EXPECT_EQ(lesson->amount, plan.forecast.lease);
}

TEST_F(LearningTest, WhatFitsDifferentlyIsLearnedApart) {
  const media::Plan plan = Formula().plans.front();
  for (int i = 0; i < 8; ++i) {
    TeachPeak(plan, 0.8);
  }
  const auto samples = [&](const media::Request& request, const media::MediaFacts& facts, unsigned cpus = 2) {
    auto ladder = media::BuildLadder(request, facts, {.cpus = cpus}, {});
    EXPECT_TRUE(ladder);
    learning_.Correct(request, facts, kPlenty, *ladder);
    std::size_t sum = 0;
    for (const auto& one : ladder->plans) {
      sum += one.experience.samples;
    }
    return sum;
  };
  EXPECT_EQ(samples(request_, facts_), 8U);
  EXPECT_EQ(samples(request_, Clip({1900, 1080})), 8U) << "about as large";
  EXPECT_EQ(samples(Crop("faster"), facts_), 0U) << "preset";
  EXPECT_EQ(samples(request_, Clip({1280, 720})), 0U) << "size";
  // Three frame threads on six processors come with four of the decoder.
  EXPECT_EQ(samples(request_, facts_, 6), 0U) << "decoder threads";
  auto hevc = Clip();
  hevc.video->codec = "hevc";
  EXPECT_EQ(samples(request_, hevc), 0U) << "codec";
  auto deep = Clip();
  deep.video->bit_depth = 10;
  deep.video->pixel_format = "yuv420p10le";
  EXPECT_EQ(samples(request_, deep), 0U) << "depth";
  EXPECT_EQ(samples({.recipe = media::Transcode{}, .output = media::Container::kMp4}, facts_), 0U) << "recipe";
  EXPECT_EQ(samples({.recipe = media::Crop{.size = media::Size{180, 320}}, .output = media::Container::kMp4}, facts_),
            0U)
      << "output";
}

TEST_F(LearningTest, AnyInputHasAKey) {
  facts_.video->codec = std::string(500, '\xe4') + "\n\t";
  TeachPeak(Formula().plans.front(), 0.9);
  EXPECT_EQ(learning_.calibration().keys(), 1U);
}

TEST_F(LearningTest, SurvivesAsTextAndCanBeForgotten) {
  int changes = 0;
  learning_.OnChange([&] { ++changes; });
  const media::Plan plan = Formula().plans.front();
  for (int i = 0; i < 8; ++i) {
    TeachPeak(plan, 0.8);
  }
  EXPECT_EQ(changes, 8);
  EXPECT_EQ(learning_.summary().samples, 8U);
  const Bytes lease = Ladder().plans.front().forecast.lease;

  Learning again({.tool = "5.1.9"});
  ASSERT_TRUE(again.Restore(learning_.calibration().Serialize()));
  auto ladder = Formula();
  again.Correct(request_, facts_, kPlenty, ladder);
  EXPECT_EQ(ladder.plans.front().forecast.lease, lease);
  EXPECT_EQ(again.summary().samples, 8U);

  Learning other({.tool = "6.0"});
  ASSERT_TRUE(other.Restore(learning_.calibration().Serialize()));
  EXPECT_EQ(other.calibration().keys(), 0U) << "another build";

  EXPECT_FALSE(again.Restore("weir-calibration 1\nnonsense\n"));
  EXPECT_EQ(again.summary().samples, 8U) << "nothing changed";

  learning_.Forget();
  EXPECT_EQ(changes, 9);
  EXPECT_EQ(learning_.summary().samples, 0U);
  EXPECT_EQ(Ladder().plans.front().forecast.lease, plan.forecast.lease);
}

// What the daemon sets aside for it rests on this.
TEST(LearningMemory, IsBounded) {
  Learning learning({.tool = "5.1.9"});
  for (int kind = 0; kind < 2000; ++kind) {
    for (int i = 0; i < 64; ++i) {
      learning.Take(
          {.key = {.recipe = "transcode",
                   .codec = "mpeg2video, deep, 422",
                   .plan = "h264 veryfast, 2 decoder threads: 2 slice threads, lookahead " + std::to_string(kind),
                   .input = {kind % 40},
                   .output = {kind % 30}},
           .prior = Bytes::Mib(100),
           .amount = Bytes::Mib(90) + Bytes::Kib(static_cast<std::uint64_t>(i))});
    }
  }
  EXPECT_EQ(learning.calibration().keys(), learning.most_kinds());
  EXPECT_LT(learning.calibration().bytes(), Bytes::Mib(1));
  EXPECT_LT(learning.calibration().Serialize().size(), Bytes::Mib(1).count());
}

}  // namespace
}  // namespace weir::jobs
