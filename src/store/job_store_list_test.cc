// Pages of jobs: that filters hold together, that every page is bounded, and that nothing is missed or doubled.
#include "store/job_store_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "store/job_store_test_support.h"

namespace weir::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kPassed = static_cast<std::int64_t>(kMostPassedOver);

class JobStoreListTest : public JobStoreTest {
 protected:
  // What follows of the pages from the newest on, and where each ended.
  struct Walked {
    std::vector<std::int64_t> numbers;
    std::vector<std::int64_t> nexts;
    std::vector<std::size_t> sizes;
  };
  Walked Walk(const JobFilter& filter, std::size_t limit) {
    Walked walked;
    std::int64_t before = 0;
    do {
      const JobPage page = Take(store_->List(filter, before, limit));
      EXPECT_TRUE(before == 0 || page.next < before);
      before = page.next;
      for (const auto& job : page.jobs) walked.numbers.push_back(job.number);
      walked.sizes.push_back(page.jobs.size());
      walked.nexts.push_back(page.next);
    } while (before != 0 && walked.nexts.size() < 1000);
    EXPECT_TRUE(std::ranges::is_sorted(walked.numbers, std::greater<>()));
    return walked;
  }
  // Many jobs at once, as SQL: the condition is on `number`.
  void Fill(std::int64_t jobs, const std::string& changes) {
    auto outside = folder_.Outside();
    ASSERT_TRUE(outside.Run(
        ("BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(jobs) +
         ") INSERT INTO jobs(id, recipe, owner, request, labels, outcome, priority, state, paused,"
         " attempt, created, updated, idempotency_key, request_digest) "
         "SELECT 'job' || i, 'crop', 'alice', '{}', '{\"team\":\"film\"}', '', 50, 'queued', 0, 0, "
         "i, i, '', '' FROM n;" +
         changes + "; COMMIT")
            .c_str()));
  }
};

// Of every set of filters, how SQLite would run it: along one index, in its order, with the rest looked up in
// indexes.
TEST_F(JobStoreListTest, EveryWalkIsOneOrderedPassOverAnIndex) {
  auto outside = folder_.Outside();
  std::set<std::string> texts;
  for (unsigned mask = 0; mask < 64; ++mask) {
    JobFilter filter;
    if ((mask & 1U) != 0) filter.recipe = "crop";
    if ((mask & 2U) != 0) filter.owner = "alice";
    if ((mask & 4U) != 0) filter.state = JobState::kQueued;
    if ((mask & 8U) != 0) filter.batch = "b";
    if ((mask & 16U) != 0) filter.label_key = "team";
    if ((mask & 32U) != 0) filter.label_value = "film";
    const ListWalk walk = WalkOf(filter);
    texts.insert(walk.sql);
    EXPECT_EQ(std::ranges::count(walk.sql, '?'), static_cast<std::ptrdiff_t>(walk.values.size()) + 1) << walk.sql;
    auto explained = outside.Prepare("EXPLAIN QUERY PLAN " + walk.sql);
    ASSERT_TRUE(explained) << walk.sql << Describe(explained.error());
    for (;;) {
      const auto row = explained->Step();
      ASSERT_TRUE(row);
      if (!*row) break;
      const std::string step = explained->Text(3);
      EXPECT_THAT(step, Not(HasSubstr("SCAN"))) << walk.sql;
      EXPECT_THAT(step, Not(HasSubstr("B-TREE"))) << walk.sql;
      if (step.starts_with("SEARCH") && mask != 0 && mask != 32) {
        EXPECT_TRUE(step.find("COVERING INDEX") != std::string::npos ||
                    step.find(" e USING PRIMARY KEY") != step.npos || step.starts_with("SEARCH l "))
            << step << " in " << walk.sql;
      }
    }
  }
  EXPECT_THAT(texts, SizeIs(48));
}

TEST_F(JobStoreListTest, FiltersHoldTogether) {
  std::vector<std::int64_t> numbers;
  BatchRecord batch = MakeBatch();
  std::vector<Change> inserts;
  const auto job_of = [](int i) {
    JobRecord job = MakeJob(i);
    job.recipe = (i & 1) != 0 ? "trim" : "crop";
    job.owner = (i & 2) != 0 ? "bob" : "alice";
    job.labels = (i & 4) != 0 ? R"({"team":"film","x":"1"})" : R"({"team":"news","odd":7})";
    job.state = (i & 8) != 0 ? JobState::kRunning : JobState::kQueued;
    return job;
  };
  for (int i = 0; i < 64; ++i) {
    if ((i & 16) != 0) inserts.push_back(Insert(job_of(i)));
  }
  ASSERT_TRUE(CommitBatch(batch, std::move(inserts)));
  ASSERT_TRUE(CommitBatch(MakeBatch(), Inserts(3)));
  std::vector<int> order;  // of the bits, oldest first
  for (int i = 0; i < 64; ++i) {
    if ((i & 16) != 0) order.push_back(i);
  }
  order.insert(order.end(), 3, 0);
  for (int i = 0; i < 64; ++i) {
    if ((i & 16) == 0) {
      order.push_back(i);
      (void)Added(job_of(i));
    }
  }
  for (int mask = 0; mask < 32; ++mask) {
    JobFilter filter;
    if ((mask & 1) != 0) filter.recipe = "trim";
    if ((mask & 2) != 0) filter.owner = "bob";
    if ((mask & 4) != 0) {
      filter.label_key = "team";
      filter.label_value = "film";
    }
    if ((mask & 8) != 0) filter.state = JobState::kRunning;
    if ((mask & 16) != 0) filter.batch = batch.id;
    std::vector<std::int64_t> expected;
    for (std::size_t i = order.size(); i > 0; --i) {
      if ((order[i - 1] & mask) == mask) expected.push_back(static_cast<std::int64_t>(i));
    }
    EXPECT_EQ(Numbers(filter), expected) << mask;
    EXPECT_EQ(Walk(filter, 1).numbers, expected) << mask;
    if ((mask & 4) != 0) {
      filter.label_key = "x";
      filter.label_value = "";
      EXPECT_EQ(Numbers(filter), expected) << mask;
    }
    expected.erase(expected.begin());
    EXPECT_EQ(Numbers(filter, Numbers(filter).front()), expected) << mask;
  }
  EXPECT_THAT(Numbers({.label_key = "x"}), SizeIs(32));
  EXPECT_THAT(Numbers({.label_key = "team"}), SizeIs(64));
  EXPECT_THAT(Numbers({.label_key = "odd"}), IsEmpty());
  EXPECT_THAT(Numbers({.label_key = "team", .label_value = "' OR 1"}), IsEmpty());
  EXPECT_THAT(Numbers({.batch = "nobody's"}), IsEmpty());
}

TEST_F(JobStoreListTest, TheLastPageSaysSo) {
  EXPECT_EQ(Take(store_->List({}, 0, 10)).next, 0);
  for (int i = 0; i < 20; ++i) (void)Added(MakeJob(i));
  EXPECT_THAT(Walk({}, 10).nexts, ElementsAre(11, 0));
  EXPECT_THAT(Walk({}, 19).nexts, ElementsAre(2, 0));
  EXPECT_THAT(Walk({}, 20).nexts, ElementsAre(0));
  EXPECT_THAT(Walk({}, 21).nexts, ElementsAre(0));
}

// Two filters that each match much and together nothing, or little at the far end.
TEST_F(JobStoreListTest, PagesAreBoundedAndMissNothing) {
  constexpr std::int64_t kJobs = 2 * kPassed + 5000;
  Fill(kJobs, "UPDATE jobs SET recipe = 'trim', state = 'running' WHERE number <= 3 OR number = " +
                  std::to_string(kJobs - kPassed - 10) +
                  ";INSERT INTO batches VALUES (1, 'all', '', '{}', 1, 0, '', '');"
                  "UPDATE jobs SET batch = 1, owner = 'bob' WHERE number % 2 = 0");
  const std::int64_t first = kJobs - kPassed + 1;
  const std::int64_t second = first - kPassed;
  // Nothing: pages without jobs, each as far as allowed behind the one before.
  for (const JobFilter& nothing : {JobFilter{.state = JobState::kQueued, .recipe = "trim"},
                                   JobFilter{.recipe = "none", .label_key = "team", .label_value = "film"},
                                   JobFilter{.state = JobState::kFailed, .label_key = "team"}}) {
    const auto walked = Walk(nothing, 100);
    EXPECT_THAT(walked.numbers, IsEmpty());
    // The walk along states has a few jobs less.
    ASSERT_THAT(walked.nexts, SizeIs(3));
    EXPECT_THAT(walked.nexts[0], ::testing::AllOf(::testing::Le(first), ::testing::Ge(first - 4)));
    EXPECT_THAT(walked.nexts[1], ::testing::AllOf(::testing::Le(second), ::testing::Ge(second - 4)));
    EXPECT_EQ(walked.nexts[2], 0);
  }
  // Little: one job on the second page, three on the third.
  const auto little = Walk({.state = JobState::kRunning, .label_key = "team"}, 100);
  EXPECT_THAT(little.numbers, ElementsAre(kJobs - kPassed - 10, 3, 2, 1));
  EXPECT_THAT(little.nexts, ElementsAre(first, second, 0));
  EXPECT_THAT(little.sizes, ElementsAre(0, 1, 3));
  // A page that is full ends where its last job is, and the next begins to count there.
  EXPECT_THAT(Walk({.state = JobState::kRunning, .label_key = "team"}, 1).nexts,
              ElementsAre(first, kJobs - kPassed - 10, kJobs - 2 * kPassed - 10, 3, 2, 0));
  // Every second one: the batch is its own index, so it counts what is in it.
  const auto batch = Walk({.recipe = "none", .batch = "all"}, 1000);
  EXPECT_THAT(batch.nexts, ElementsAre(kJobs - 2 * (kPassed - 1), 0));
  const auto half = Walk({.owner = "bob", .label_key = "team"}, 1000);
  ASSERT_THAT(half.numbers, SizeIs(kJobs / 2));
  for (std::size_t i = 0; i < half.numbers.size(); ++i) {
    ASSERT_EQ(half.numbers[i], kJobs - 2 * static_cast<std::int64_t>(i));
  }
  EXPECT_THAT(half.nexts, SizeIs(13));
}

// Jobs that go between two pages, the one that the page ended with among them, take no others along.
TEST_F(JobStoreListTest, PagesStayWhereTheyAreWhileJobsAreRemoved) {
  Fill(kPassed + 100, "UPDATE jobs SET state = 'running' WHERE number <= 50");
  const JobFilter filter{.state = JobState::kRunning, .label_key = "team"};
  const JobPage empty = Take(store_->List(filter, 0, 10));
  EXPECT_THAT(empty.jobs, IsEmpty());
  ASSERT_EQ(empty.next, 101);
  ASSERT_TRUE(folder_.Outside().Run("DELETE FROM jobs WHERE number BETWEEN 90 AND 5000"));
  JobPage page = Take(store_->List(filter, empty.next, 10));
  ASSERT_THAT(page.jobs, SizeIs(10));
  EXPECT_EQ(page.jobs.front().number, 50);
  EXPECT_EQ(page.next, 41);
  ASSERT_TRUE(Commit(Remove("job41")));
  page = Take(store_->List(filter, page.next, 10));
  EXPECT_EQ(page.jobs.front().number, 40);
}

}  // namespace
}  // namespace weir::store
