#include "store/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "store/job_store_test_support.h"

namespace weir::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(JobState, NamesGoBothWays) {
  for (std::size_t i = 0; i < kJobStates; ++i) {
    const auto state = static_cast<JobState>(i);
    EXPECT_EQ(JobStateOf(NameOf(state)), state);
  }
  EXPECT_STREQ(NameOf(JobState::kQueued), "queued");
  EXPECT_STREQ(NameOf(JobState::kCancelled), "cancelled");
  EXPECT_EQ(JobStateOf("Queued"), std::nullopt);
  EXPECT_EQ(JobStateOf(""), std::nullopt);
}

TEST_F(JobStoreTest, WhatIsOnlyKeptToBeReadAgainCanBeHadBack) {
  ASSERT_TRUE(CommitBatch(MakeBatch(), Inserts(500, 2000)));
  const auto numbers = Numbers({});
  ASSERT_THAT(numbers, SizeIs(500));
  store_->Flush();
  const Bytes before = JobStore::MemoryInUse();
  const Bytes of_reads = store_->LetGo();
  EXPECT_GT(of_reads, Bytes::Kib(300));
  store_->Flush();
  EXPECT_LT(JobStore::MemoryInUse() + of_reads + Bytes::Kib(300), before) << "the writer's as well";
  EXPECT_EQ(Numbers({}), numbers);
  ASSERT_TRUE(Commit(Insert(MakeJob())));
  // Between changes that wait, and at the end.
  for (int i = 0; i < 50; ++i) {
    store_->Commit(Insert(MakeJob(i)), [](const Result<Committed>& result) { EXPECT_TRUE(result); });
    store_->LetGo();
  }
  store_->Flush();
  owner_.RunWaiting();
  EXPECT_THAT(Numbers({}), SizeIs(551));
  store_->LetGo();
  store_.reset();
}

TEST_F(JobStoreTest, EveryFieldComesBackAlsoAfterReopening) {
  JobRecord job = MakeJob(3);
  job.request = std::string("{\"zero\":\"\0'; DROP TABLE jobs; --\"}", 34);
  job.labels = R"({"team":"film"})";
  job.priority = 77;
  job.idempotency_key = "k";
  job.request_digest = "d";
  job.not_before = At(9);
  job = Added(job);
  EXPECT_EQ(job.number, 1);
  ExpectSame(store_->Find(job.id).value().value(), job);

  job.state = JobState::kFailed;
  job.outcome = R"({"failure":"x"})";
  job.paused = true;
  job.attempt = 4;
  job.deaths = 2;
  job.updated = At(20);
  job.started = At(10);
  job.ended = At(20);
  job.not_before.reset();
  ASSERT_TRUE(Commit(Update(job, 0, MakeEvent())));
  Open();
  ExpectSame(store_->Find(job.id).value().value(), job);
  EXPECT_EQ(store_->Find("nobody").value(), std::nullopt);
  ExpectSame(store_->FindByKey("alice", "k").value().value(), job);
  EXPECT_FALSE(store_->FindByKey("bob", "k").value().has_value());
  EXPECT_FALSE(store_->FindByKey("alice", "").value().has_value());
  EXPECT_TRUE(store_->CheckWhole());
}

TEST_F(JobStoreTest, AnUpdateMayChangeWhatWasAccepted) {
  JobRecord job = Added(MakeJob());
  job.labels = R"({"a":"1"})";
  job.owner = "bob";
  job.request = "{}";
  ASSERT_TRUE(Commit(Update(job)));
  ExpectSame(store_->Find(job.id).value().value(), job);
  EXPECT_THAT(Numbers({.label_key = "a", .label_value = "1"}), ElementsAre(1));
  EXPECT_THAT(Numbers({.owner = "alice"}), IsEmpty());
}

TEST_F(JobStoreTest, ALateAttemptCannotTouchAJob) {
  JobRecord job = Added(MakeJob());
  job.attempt = 1;
  ASSERT_TRUE(Commit(Update(job, 0)));
  job.attempt = 2;
  ASSERT_TRUE(Commit(Update(job, 1)));
  JobRecord late = job;
  late.attempt = 1;
  late.outcome = "late";
  EXPECT_EQ(CodeOf(Update(late, 1, MakeEvent())), ErrorCode::kConflict);
  Change removal = Remove(job.id);
  removal.only_if_attempt = 1;
  EXPECT_EQ(CodeOf(removal), ErrorCode::kConflict);
  ExpectSame(store_->Find(job.id).value().value(), job);
  EXPECT_THAT(store_->Events(job.id, 0, 10).value(), SizeIs(1));
  EXPECT_EQ(CodeOf(Update(MakeJob())), ErrorCode::kConflict);
  EXPECT_EQ(CodeOf(Remove("nobody")), ErrorCode::kConflict);
  EXPECT_EQ(CodeOf(Insert(job)), ErrorCode::kConflict);
}

TEST_F(JobStoreTest, AnIdempotencyKeyIsTakenOncePerOwner) {
  JobRecord first = MakeJob();
  first.idempotency_key = "key";
  (void)Added(first);
  JobRecord second = MakeJob();
  second.idempotency_key = "key";
  EXPECT_EQ(CodeOf(Insert(second)), ErrorCode::kOutputExists);
  EXPECT_EQ(store_->LastEventId().value(), 1);
  JobRecord third = MakeJob();
  third = Added(third);
  third.idempotency_key = "key";
  EXPECT_EQ(CodeOf(Update(third)), ErrorCode::kOutputExists);
  second.owner = "bob";
  EXPECT_TRUE(Commit(Insert(second)));
  ASSERT_TRUE(Commit(Remove(first.id)));
  first.id = NewId();
  EXPECT_TRUE(Commit(Insert(first)));
}

// All in one transaction: those that fail take nobody along.
TEST_F(JobStoreTest, AFailureInATransactionIsItsOwn) {
  const JobRecord present = Added(MakeJob());
  std::vector<int> wrong;
  std::size_t answers = 0;
  auto outside = folder_.Outside();
  ASSERT_TRUE(outside.Run("BEGIN IMMEDIATE"));
  std::vector<std::int64_t> numbers;
  for (int i = 0; i < 60; ++i) {
    JobRecord job = i % 3 == 1 ? present : MakeJob(i);
    if (i % 3 == 2) job.ended = At(1);  // queued and ended: contradicts itself
    store_->Commit(Insert(job), [&, i](const Result<Committed>& result) {
      ++answers;
      const bool fine =
          i % 3 == 0 ? result.has_value()
                     : !result && result.error().code == (i % 3 == 1 ? ErrorCode::kConflict : ErrorCode::kInternal);
      if (!fine) wrong.push_back(i);
      if (result) numbers.push_back(result->number);
    });
  }
  ASSERT_TRUE(outside.Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return answers == 60; }));
  EXPECT_THAT(wrong, IsEmpty());
  EXPECT_TRUE(std::ranges::is_sorted(numbers));
  EXPECT_THAT(Numbers({}), SizeIs(21));
  EXPECT_EQ(store_->CountByState().value().at(0), 21);
  EXPECT_THAT(store_->Events("", 0, 1000).value(), SizeIs(21));
}

TEST_F(JobStoreTest, PagesStayWhereTheyAreWhileJobsAreAdded) {
  for (int i = 0; i < 25; ++i) (void)Added(MakeJob(i));
  std::set<std::int64_t> seen;
  std::int64_t before = 0;
  std::size_t pages = 0;
  for (;; ++pages) {
    const auto page = Take(store_->List({}, before, 10));
    std::vector<std::int64_t> numbers;
    for (const auto& job : page.jobs) numbers.push_back(job.number);
    EXPECT_TRUE(std::ranges::is_sorted(numbers, std::greater<>()));
    for (const auto number : numbers) EXPECT_TRUE(seen.insert(number).second);
    before = page.next;
    if (before == 0) break;
    for (int i = 0; i < 7; ++i) (void)Added(MakeJob());
  }
  EXPECT_EQ(pages, 2U);
  EXPECT_THAT(seen, SizeIs(25));
}

TEST_F(JobStoreTest, LabelsThatAreNotADocumentAreKeptAndMatchNothing) {
  JobRecord job = MakeJob();
  job.labels = "not json";
  job = Added(job);
  EXPECT_EQ(store_->Find(job.id).value()->labels, "not json");
  EXPECT_TRUE(Commit(Remove(job.id)));
}

TEST_F(JobStoreTest, ActiveAndEndedJobs) {
  std::vector<JobRecord> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(Added(MakeJob(i)));
  for (const int i : {1, 3, 4}) {
    JobRecord& job = jobs[static_cast<std::size_t>(i)];
    job.state = i == 4 ? JobState::kFailed : JobState::kSucceeded;
    job.ended = At(100 - i);
    ASSERT_TRUE(Commit(Update(job)));
  }
  std::vector<std::int64_t> active;
  for (const auto& job : Take(store_->Active(0, 100))) active.push_back(job.number);
  EXPECT_THAT(active, ElementsAre(1, 3, 6));
  active.clear();
  for (std::int64_t after = 0;;) {
    const auto page = Take(store_->Active(after, 1));
    if (page.empty()) break;
    ASSERT_THAT(page, SizeIs(1));
    active.push_back(after = page.back().number);
  }
  EXPECT_THAT(active, ElementsAre(1, 3, 6));
  const auto ended = store_->EndedBefore(JobState::kSucceeded, At(100), 10).value();
  ASSERT_THAT(ended, SizeIs(2));
  EXPECT_EQ(ended[0].number, 4);
  EXPECT_EQ(ended[1].number, 2);
  EXPECT_THAT(store_->EndedBefore(JobState::kSucceeded, At(99), 10).value(), SizeIs(1));
  EXPECT_THAT(store_->EndedBefore(JobState::kSucceeded, At(100), 1).value(), SizeIs(1));
  const auto later = store_->EndedAfter(JobState::kSucceeded, At(0), 10).value();
  ASSERT_THAT(later, SizeIs(2));
  EXPECT_EQ(later[0].number, 2);
  EXPECT_EQ(later[1].number, 4);
  EXPECT_THAT(store_->EndedAfter(JobState::kSucceeded, *ended[0].ended, 10).value(), SizeIs(1));
  EXPECT_THAT(store_->EndedAfter(JobState::kSucceeded, At(0), 1).value(), SizeIs(1));
  EXPECT_THAT(store_->CountByState().value(), ElementsAre(3, 0, 0, 0, 0, 2, 1, 0));
}

TEST_F(JobStoreTest, EventsKeepTheFirstAndTheStates) {
  Open({.most_events_per_job = 5});
  const JobRecord job = MakeJob();
  ASSERT_TRUE(Commit(Insert(job, MakeEvent("note", "first"))));
  for (int i = 0; i < 20; ++i) {
    const auto done = Commit(Update(job, {}, MakeEvent(i % 10 == 5 ? "state" : "progress", std::to_string(i))));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->event_id, i + 2);
  }
  std::vector<std::string> data;
  for (const auto& event : Take(store_->Events(job.id, 0, 100))) {
    EXPECT_EQ(event.job, job.id);
    data.push_back(event.data);
  }
  EXPECT_THAT(data, ElementsAre("first", "5", "15", "18", "19"));
  EXPECT_EQ(store_->LastEventId().value(), 21);
  // A lower bound counts from the next event on.
  Open({.most_events_per_job = 3});
  ASSERT_TRUE(Commit(Update(job, {}, MakeEvent("progress", "20"))));
  EXPECT_THAT(store_->Events(job.id, 0, 100).value(), SizeIs(3));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Commit(Update(job, {}, MakeEvent("state"))));
  EXPECT_THAT(store_->Events(job.id, 0, 100).value(), SizeIs(8));
}

TEST_F(JobStoreTest, EarlierEventsComeWithTheNextChangeInOneWrite) {
  Open({.most_events_per_job = 5});
  const JobRecord job = Added(MakeJob());
  Change change = Update(job, {}, MakeEvent("state", "third"));
  change.earlier = {MakeEvent("decision", "first"), MakeEvent("note", "second")};
  const auto done = Commit(std::move(change));
  ASSERT_TRUE(done);
  const auto events = Take(store_->Events(job.id, 0, 100));
  const std::size_t before = events.size() - 3;
  EXPECT_EQ(events[before].type, "decision");
  EXPECT_EQ(events[before + 1].data, "second");
  EXPECT_EQ(events[before + 2].data, "third");
  EXPECT_EQ(events[before + 2].id, done->event_id);
  // Without one of its own as well, and they count for the bound.
  Change only = Update(job, {}, std::nullopt);
  only.earlier = {MakeEvent("decision", "fourth")};
  EXPECT_EQ(Commit(std::move(only))->event_id, done->event_id + 1);
  for (int i = 0; i < 10; ++i) {
    Change more = Update(job, {}, MakeEvent("note", "last"));
    more.earlier = {MakeEvent("decision", "more")};
    ASSERT_TRUE(Commit(std::move(more)));
  }
  EXPECT_THAT(store_->Events(job.id, 0, 100).value(), SizeIs(5));
  // What is refused leaves nothing.
  Change refused = Update(job, 77, MakeEvent("state"));
  refused.earlier = {MakeEvent("decision")};
  const auto last = store_->LastEventId().value();
  EXPECT_FALSE(Commit(std::move(refused)));
  EXPECT_EQ(store_->LastEventId().value(), last);
}

TEST_F(JobStoreTest, EventsOfAllAndAfterRemoval) {
  const JobRecord a = Added(MakeJob());
  const JobRecord b = Added(MakeJob());
  ASSERT_TRUE(Commit(Update(a, {}, MakeEvent("note", "third"))));
  const auto all = store_->Events("", 1, 100).value();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].job, b.id);
  EXPECT_EQ(all[1].job, a.id);
  EXPECT_EQ(all[1].data, "third");
  EXPECT_THAT(store_->Events("", 0, 2).value(), SizeIs(2));
  ASSERT_TRUE(Commit(Remove(a.id)));
  EXPECT_THAT(store_->Events(a.id, 0, 100).value(), IsEmpty());
  EXPECT_THAT(store_->Events("", 0, 100).value(), SizeIs(1));
  EXPECT_EQ(store_->LastEventId().value(), 3);
  // Numbers and ids do not come again.
  ASSERT_TRUE(Commit(Remove(b.id)));
  Open();
  EXPECT_EQ(store_->LastEventId().value(), 3);
  EXPECT_EQ(Added(MakeJob()).number, 3);
  EXPECT_EQ(store_->LastEventId().value(), 4);
}

TEST_F(JobStoreTest, TooMuchWaitingIsRefusedAtOnce) {
  Open({.most_waiting_changes = 10});
  auto outside = folder_.Outside();
  ASSERT_TRUE(outside.Run("BEGIN IMMEDIATE"));
  int written = 0;
  int busy = 0;
  for (int i = 0; i < 15; ++i) {
    store_->Commit(Insert(MakeJob(i)), [&](const Result<Committed>& result) {
      written += result ? 1 : 0;
      busy += !result && result.error().code == ErrorCode::kBusy ? 1 : 0;
    });
    EXPECT_EQ(busy, 0) << "called from inside Commit";
  }
  ASSERT_TRUE(owner_.RunUntil([&] { return busy == 5; }));
  EXPECT_EQ(written, 0);
  ASSERT_TRUE(outside.Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return written == 10; }));
  EXPECT_TRUE(Commit(Insert(MakeJob())));
}

TEST_F(JobStoreTest, WaitingBytesAreBounded) {
  Open({.most_waiting = Bytes::Kib(100)});
  auto outside = folder_.Outside();
  ASSERT_TRUE(outside.Run("BEGIN IMMEDIATE"));
  const auto sized = [](std::size_t size) {
    JobRecord job = MakeJob();
    job.request = std::string(size, 'x');
    return job;
  };
  const JobRecord large = sized(200'000);
  std::vector<int> written;
  std::vector<int> busy;
  const auto commit = [&](int which, const JobRecord& job) {
    store_->Commit(Insert(job),
                   [&, which](const Result<Committed>& result) { (result ? written : busy).push_back(which); });
  };
  commit(0, large);           // beyond the bound
  commit(1, sized(60'000));   // beside it
  commit(2, sized(60'000));   // two of these are too much
  commit(3, sized(200'000));  // a second large one
  commit(4, sized(20'000));
  ASSERT_TRUE(owner_.RunUntil([&] { return busy.size() == 2; }));
  EXPECT_THAT(busy, ElementsAre(2, 3));
  ASSERT_TRUE(outside.Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return written.size() == 3; }));
  EXPECT_THAT(written, ElementsAre(0, 1, 4));
  EXPECT_EQ(store_->Find(large.id).value()->request, large.request);
  EXPECT_TRUE(Commit(Insert(sized(200'000))));
}

TEST_F(JobStoreTest, FlushWaitsForTheDiskAndDestructionWritesAndDropsAnswers) {
  int answers = 0;
  std::vector<std::string> ids;
  for (int i = 0; i < 500; ++i) {
    JobRecord job = MakeJob(i);
    ids.push_back(job.id);
    store_->Commit(Insert(std::move(job)), [&](const Result<Committed>&) { ++answers; });
  }
  store_->Flush();
  EXPECT_EQ(answers, 0);
  EXPECT_THAT(Numbers({}), SizeIs(500));
  for (int i = 0; i < 400; ++i) {
    JobRecord job = MakeJob(i);
    ids.push_back(job.id);
    store_->Commit(Insert(std::move(job)), [&](const Result<Committed>&) { ++answers; });
  }
  store_.reset();
  const std::size_t posted = owner_.waiting();
  owner_.RunWaiting();
  EXPECT_EQ(answers, 0);
  EXPECT_LE(posted, 900U);
  Open();
  for (const auto& id : ids) EXPECT_TRUE(store_->Find(id).value().has_value());
}

TEST_F(JobStoreTest, AnAnswerMayDestroyTheStore) {
  int answers = 0;
  for (int i = 0; i < 20; ++i) {
    store_->Commit(Insert(MakeJob(i)), [&](const Result<Committed>&) {
      ++answers;
      store_.reset();
    });
  }
  ASSERT_TRUE(owner_.RunUntil([&] { return answers == 1; }));
  owner_.RunWaiting();
  EXPECT_EQ(answers, 1);
  Open();
  EXPECT_THAT(Numbers({}), SizeIs(20));
}

TEST_F(JobStoreTest, TheLogStaysShortWhileOneReads) {
  JobRecord job = MakeJob();
  (void)Added(job);
  job.outcome = std::string(20'000, 'x');
  std::uintmax_t longest = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 50; ++i) store_->Commit(Update(job), [](const Result<Committed>&) {});
    ASSERT_TRUE(store_->Events(job.id, 0, 1).value().size() == 1);
    ASSERT_EQ(store_->Active(0, 10).value().size(), 1U);
    store_->Flush();
    longest = std::max(longest, std::filesystem::file_size(folder_.file("jobs.db-wal")));
    ASSERT_TRUE(Commit(Update(job)));
  }
  // A single transaction above the length at which the log is cut, and what the file keeps afterwards.
  EXPECT_LT(longest, 32U << 20U);
}

TEST_F(JobStoreTest, WrongCountersAreCountedAnew) {
  for (int i = 0; i < 3; ++i) (void)Added(MakeJob(i));
  store_.reset();
  ASSERT_TRUE(folder_.Outside().Run("UPDATE counters SET jobs = 7 WHERE state = 'queued'"));
  Open();
  EXPECT_THAT(store_->CountByState().value(), ElementsAre(3, 0, 0, 0, 0, 0, 0, 0));
  store_.reset();
  // Their sum is right, the active ones are not.
  ASSERT_TRUE(folder_.Outside().Run("UPDATE counters SET jobs = 1 WHERE state IN ('queued', 'running', 'failed')"));
  Open();
  EXPECT_THAT(store_->CountByState().value(), ElementsAre(3, 0, 0, 0, 0, 0, 0, 0));
}

// Random changes, alone and in batches, against maps in memory.
TEST_F(JobStoreTest, AgreesWithAModel) {
  struct Model {
    std::map<std::string, JobRecord> jobs;
    std::map<std::string, std::vector<std::string>> events;
    std::map<std::string, std::string> timelines;
    std::map<std::string, BatchRecord> batches;
    std::int64_t numbers = 0;
    // Whether the key of the job is free, and its id.
    [[nodiscard]] bool Takes(const JobRecord& job) const {
      return !jobs.contains(job.id) && std::ranges::none_of(jobs, [&](const auto& other) {
        return !job.idempotency_key.empty() && other.second.owner == job.owner &&
               other.second.idempotency_key == job.idempotency_key;
      });
    }
    void Insert(const Change& change) {
      jobs[change.job.id] = change.job;
      jobs[change.job.id].number = ++numbers;
      if (change.event) events[change.job.id].push_back("s" + change.event->data);
    }
    void Remove(const std::string& id) {
      const std::string batch = jobs[id].batch;
      jobs.erase(id);
      events.erase(id);
      timelines.erase(id);
      if (std::ranges::none_of(jobs, [&](const auto& job) { return job.second.batch == batch; })) {
        batches.erase(batch);
      }
    }
  } model;
  std::mt19937 random(20260301);
  const auto pick = [&](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
  Open({.most_events_per_job = 6});
  std::vector<std::string> ids;
  std::size_t handed = 0;
  std::size_t answered = 0;
  const auto expect = [&](bool good, int step) {
    ++handed;
    return [&, good, step](const Result<Committed>& result) {
      ++answered;
      EXPECT_EQ(result.has_value(), good) << step << (result ? "" : Describe(result.error()));
    };
  };
  for (int step = 0; step < 1500; ++step) {
    Change change;
    bool good = true;
    const std::uint32_t what = pick(10);
    if (pick(15) == 0) {
      BatchRecord batch = MakeBatch(pick(3) == 0 ? std::to_string(pick(10)) : "");
      std::vector<Change> inserts = Inserts(static_cast<int>(1 + pick(6)));
      if (pick(4) == 0) inserts.back().job.idempotency_key = std::to_string(pick(40));
      if (pick(8) == 0 && !ids.empty()) inserts.back().job.id = ids[pick(static_cast<std::uint32_t>(ids.size()))];
      good = std::ranges::all_of(inserts, [&](const Change& insert) { return model.Takes(insert.job); }) &&
             std::ranges::none_of(model.batches, [&](const auto& other) {
               return !batch.idempotency_key.empty() && other.second.idempotency_key == batch.idempotency_key;
             });
      if (good) {
        batch.jobs = static_cast<std::int64_t>(inserts.size());
        model.batches[batch.id] = batch;
        for (const Change& insert : inserts) {
          model.Insert(insert);
          model.jobs[insert.job.id].batch = batch.id;
          ids.push_back(insert.job.id);
        }
      }
      store_->CommitBatch(batch, std::move(inserts), expect(good, step));
      continue;
    }
    if (what < 3 || ids.empty()) {
      change = Insert(MakeJob(step));
      change.job.owner = pick(2) == 0 ? "alice" : "bob";
      if (pick(3) == 0) change.job.idempotency_key = std::to_string(pick(40));
      if (pick(20) == 0 && !ids.empty()) change.job.id = ids[pick(static_cast<std::uint32_t>(ids.size()))];
      good = model.Takes(change.job);
      if (good) {
        model.Insert(change);
        ids.push_back(change.job.id);
      }
    } else {
      const std::string id = ids[pick(static_cast<std::uint32_t>(ids.size()))];
      const auto found = model.jobs.find(id);
      good = found != model.jobs.end();
      if (what == 3) {
        change = Remove(id);
      } else {
        change = Update(good ? found->second : MakeJob());
        change.job.id = id;
        change.job.state = static_cast<JobState>(pick(kJobStates));
        change.job.ended = IsFinal(change.job.state) ? std::optional(At(step)) : std::nullopt;
        change.job.attempt += static_cast<int>(pick(2));
        if (pick(8) == 0) change.job.labels = R"({"n":")" + std::to_string(pick(5)) + "\"}";
        if (pick(2) == 0) {
          change.event = MakeEvent(pick(3) == 0 ? "state" : "progress", std::to_string(step));
        }
        if (pick(5) == 0) change.timeline = std::to_string(step);
      }
      if (pick(4) == 0) {
        change.only_if_attempt = static_cast<int>(pick(4));
        good = good && found->second.attempt == *change.only_if_attempt;
      }
      if (good && what == 3) {
        model.Remove(id);
      } else if (good) {
        found->second = change.job;
        if (change.timeline) model.timelines[id] = *change.timeline;
      }
    }
    if (good && change.event && change.kind == Change::Kind::kUpdate) {
      auto& events = model.events[change.job.id];
      events.push_back((change.event->type == "state" ? "s" : "p") + change.event->data);
      for (std::size_t i = 1; i < events.size() && events.size() > 6; ++i) {
        if (events[i].front() == 'p') {
          events.erase(events.begin() + static_cast<std::ptrdiff_t>(i));
          break;
        }
      }
    }
    store_->Commit(std::move(change), expect(good, step));
    if (pick(30) == 0) {
      ASSERT_TRUE(owner_.RunUntil([&] { return answered == handed; }));
    }
    if (pick(400) == 0) {
      Open({.most_events_per_job = 6});
      answered = handed;
    }
  }
  ASSERT_TRUE(owner_.RunUntil([&] { return answered == handed; }));

  std::vector<std::int64_t> counts(kJobStates, 0);
  std::map<std::string, std::vector<std::int64_t>> by_label;
  std::vector<std::int64_t> active;
  for (const auto& [id, job] : model.jobs) {
    ExpectSame(store_->Find(id).value().value(), job);
    ++counts[static_cast<std::size_t>(job.state)];
    if (job.labels != "{}") by_label[job.labels].push_back(job.number);
    if (!IsFinal(job.state)) active.push_back(job.number);
    std::vector<std::string> events;
    for (const auto& event : Take(store_->Events(id, 0, 100))) {
      events.push_back((event.type == "state" ? "s" : "p") + event.data);
    }
    EXPECT_EQ(events, model.events[id]);
    EXPECT_EQ(store_->Timeline(id).value(), model.timelines.contains(id) ? model.timelines[id] : "");
  }
  EXPECT_GT(model.batches.size(), 10U);
  for (const auto& [id, batch] : model.batches) {
    const auto found = store_->FindBatch(id).value();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->jobs, batch.jobs);
    EXPECT_EQ(found->idempotency_key, batch.idempotency_key);
    std::vector<std::int64_t> states(kJobStates, 0);
    std::vector<std::int64_t> numbers;
    for (const auto& [job_id, job] : model.jobs) {
      if (job.batch != id) continue;
      ++states[static_cast<std::size_t>(job.state)];
      numbers.push_back(job.number);
    }
    EXPECT_EQ(store_->CountOfBatch(id).value(), states);
    std::ranges::sort(numbers, std::greater<>());
    EXPECT_EQ(Numbers({.batch = id}), numbers);
  }
  EXPECT_EQ(folder_.Outside().Number("SELECT count(*) FROM batches").value(),
            static_cast<std::int64_t>(model.batches.size()));
  EXPECT_EQ(folder_.Outside().Number("SELECT count(*) FROM timelines").value(),
            static_cast<std::int64_t>(model.timelines.size()));
  EXPECT_EQ(store_->CountByState().value(), counts);
  EXPECT_EQ(Numbers({}).size(), model.jobs.size());
  for (auto& [labels, numbers] : by_label) {
    std::ranges::sort(numbers, std::greater<>());
    EXPECT_EQ(Numbers({.label_key = "n", .label_value = labels.substr(6, 1)}), numbers);
  }
  std::ranges::sort(active);
  std::vector<std::int64_t> found;
  for (const auto& job : Take(store_->Active(0, 1000))) found.push_back(job.number);
  EXPECT_EQ(found, active);
  EXPECT_TRUE(store_->CheckWhole());
}

}  // namespace
}  // namespace weir::store
