// Batches: whole or not at all, in order, bounded; and timelines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

#include "store/job_store_test_support.h"

namespace weir::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JobStoreBatchTest : public JobStoreTest {
 protected:
  std::int64_t Count(const char* table) {
    return folder_.Outside().Number((std::string("SELECT count(*) FROM ") + table).c_str()).value();
  }
};

TEST_F(JobStoreBatchTest, EveryFieldComesBackAlsoAfterReopening) {
  (void)Added(MakeJob());
  BatchRecord batch = MakeBatch("key");
  batch.labels = R"({"team":"film"})";
  batch.request_digest = "digest";
  auto inserts = Inserts(3);
  inserts[1].job.labels = R"({"x":"1"})";
  inserts[1].job.batch = "is set by the store";
  inserts[2].event = MakeEvent("note", "last");
  const auto done = CommitBatch(batch, inserts);
  ASSERT_TRUE(done) << Describe(done.error());
  EXPECT_EQ(done->number, 4);
  EXPECT_EQ(done->event_id, 4);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < inserts.size(); ++i) {
      JobRecord job = inserts[i].job;
      job.number = static_cast<std::int64_t>(i) + 2;
      job.batch = batch.id;
      ExpectSame(store_->Find(job.id).value().value(), job);
      ExpectSame(Take(store_->List({.batch = batch.id}, job.number + 1, 1)).jobs.at(0), job);
      ExpectSame(Take(store_->Active(job.number - 1, 1)).at(0), job);
    }
    for (const auto& found : {store_->FindBatch(batch.id), store_->FindBatchByKey("alice", "key")}) {
      ASSERT_TRUE(found && *found);
      EXPECT_EQ((*found)->id, batch.id);
      EXPECT_EQ((*found)->owner, batch.owner);
      EXPECT_EQ((*found)->labels, batch.labels);
      EXPECT_EQ((*found)->jobs, 3);
      EXPECT_EQ((*found)->created, batch.created);
      EXPECT_EQ((*found)->idempotency_key, "key");
      EXPECT_EQ((*found)->request_digest, "digest");
    }
    EXPECT_EQ(store_->Events(inserts[2].job.id, 0, 10).value().at(0).data, "last");
    EXPECT_EQ(store_->FindBatch("nobody's").value().has_value(), false);
    EXPECT_EQ(store_->FindBatchByKey("bob", "key").value().has_value(), false);
    EXPECT_EQ(store_->FindBatchByKey("alice", "").value().has_value(), false);
    EXPECT_THAT(Numbers({.label_key = "x"}), ElementsAre(3));
    Open();
  }
  // What a job came with does not change with it.
  JobRecord job = inserts[0].job;
  job.batch.clear();
  job.state = JobState::kRunning;
  ASSERT_TRUE(Commit(Update(job)));
  job.owner = "bob";
  ASSERT_TRUE(Commit(Update(job)));
  EXPECT_EQ(store_->Find(job.id).value()->batch, batch.id);
  EXPECT_THAT(Numbers({.owner = "bob", .batch = batch.id}), ElementsAre(2));
  EXPECT_TRUE(store_->CheckWhole());
}

TEST_F(JobStoreBatchTest, IsThereWholeOrNotAtAll) {
  const JobRecord present = Added([] {
    JobRecord job = MakeJob();
    job.idempotency_key = "taken";
    return job;
  }());
  ASSERT_TRUE(CommitBatch(MakeBatch("batch key"), Inserts(1)));
  const std::int64_t events = store_->LastEventId().value();
  const auto fails = [&](BatchRecord batch, std::vector<Change> inserts, ErrorCode code) {
    const auto result = CommitBatch(batch, std::move(inserts));
    EXPECT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << Describe(result.error());
    EXPECT_EQ(Count("jobs"), 2);
    EXPECT_EQ(Count("batches"), 1);
    EXPECT_EQ(Count("events"), 2);
    EXPECT_EQ(store_->LastEventId().value(), events);
    EXPECT_EQ(store_->CountByState().value().at(0), 2);
  };
  auto inserts = Inserts(50);
  inserts[49].job.id = present.id;
  fails(MakeBatch(), inserts, ErrorCode::kConflict);
  inserts = Inserts(50);
  inserts[30].job.idempotency_key = "taken";
  fails(MakeBatch(), inserts, ErrorCode::kOutputExists);
  inserts[30] = inserts[29];
  fails(MakeBatch(), inserts, ErrorCode::kConflict);
  inserts = Inserts(50);
  inserts[49].job.ended = At(1);  // queued and ended
  fails(MakeBatch(), inserts, ErrorCode::kInternal);
  inserts[49] = Update(present);
  fails(MakeBatch(), inserts, ErrorCode::kInternal);
  fails(MakeBatch(), {}, ErrorCode::kInternal);
  fails(MakeBatch("batch key"), Inserts(2), ErrorCode::kOutputExists);
  BatchRecord same = MakeBatch();
  same.id = store_->FindBatchByKey("alice", "batch key").value()->id;
  fails(same, Inserts(2), ErrorCode::kConflict);
  // A job cannot join later.
  JobRecord joining = MakeJob();
  joining.batch = same.id;
  EXPECT_EQ(CodeOf(Insert(joining)), ErrorCode::kInternal);
  // Nor does a key of a job stand in the way of a batch's, or another owner's.
  EXPECT_TRUE(CommitBatch(MakeBatch("taken"), Inserts(2)));
  BatchRecord bobs = MakeBatch("batch key");
  bobs.owner = "bob";
  EXPECT_TRUE(CommitBatch(bobs, Inserts(2)));
  // Nothing was used up either.
  EXPECT_THAT(Numbers({}), ElementsAre(6, 5, 4, 3, 2, 1));
}

TEST_F(JobStoreBatchTest, CountsItsJobsAndGoesWithTheLast) {
  const BatchRecord batch = MakeBatch("key");
  auto inserts = Inserts(4);
  ASSERT_TRUE(CommitBatch(batch, inserts));
  ASSERT_TRUE(CommitBatch(MakeBatch(), Inserts(2)));
  EXPECT_THAT(store_->CountOfBatch(batch.id).value(), ElementsAre(4, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(store_->CountOfBatch("nobody's").value(), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  inserts[0].job.state = JobState::kRunning;
  inserts[1].job.state = JobState::kFailed;
  inserts[1].job.ended = At(2);
  ASSERT_TRUE(Commit(Update(inserts[0].job)));
  ASSERT_TRUE(Commit(Update(inserts[1].job)));
  ASSERT_TRUE(Commit(Remove(inserts[2].job.id)));
  EXPECT_THAT(store_->CountOfBatch(batch.id).value(), ElementsAre(1, 0, 1, 0, 0, 0, 1, 0));
  EXPECT_EQ(store_->FindBatch(batch.id).value()->jobs, 4);
  for (const std::size_t i : {0U, 1U, 3U}) {
    EXPECT_TRUE(store_->FindBatch(batch.id).value().has_value());
    ASSERT_TRUE(Commit(Remove(inserts[i].job.id)));
  }
  EXPECT_FALSE(store_->FindBatch(batch.id).value().has_value());
  EXPECT_EQ(Count("batches"), 1);
  EXPECT_TRUE(CommitBatch(MakeBatch("key"), Inserts(1)));
}

// Numbers and answers in the order of the calls, also around batches that fail and one that has a transaction of its
// own.
TEST_F(JobStoreBatchTest, KeepsItsPlaceAmongOtherChanges) {
  Open({.most_waiting = Bytes::Mib(64)});
  auto outside = folder_.Outside();
  ASSERT_TRUE(outside.Run("BEGIN IMMEDIATE"));
  std::vector<int> answers;
  std::vector<std::int64_t> numbers;
  std::int64_t expected = 0;
  std::vector<std::int64_t> expected_numbers;
  std::vector<JobRecord> firsts;
  for (int i = 0; i < 60; ++i) {
    const auto done = [&, i](const Result<Committed>& result) {
      answers.push_back(i);
      if (result) numbers.push_back(result->number);
    };
    if (i % 5 == 2) {
      auto inserts = Inserts(i == 32 ? 700 : i);
      firsts.push_back(inserts[0].job);
      const bool bad = i % 10 == 7;
      if (bad) inserts.back().job.id = firsts[0].id;
      if (!bad) expected_numbers.push_back(expected += static_cast<std::int64_t>(inserts.size()));
      store_->CommitBatch(MakeBatch(), std::move(inserts), done);
    } else if (i % 5 == 3 && i % 10 != 8) {
      // A change of what the batch before it brought.
      firsts.back().outcome = "changed";
      store_->Commit(Update(firsts.back()), [&, i](const Result<Committed>& result) {
        answers.push_back(i);
        EXPECT_TRUE(result);
      });
    } else {
      expected_numbers.push_back(++expected);
      store_->Commit(Insert(MakeJob(i)), done);
    }
  }
  ASSERT_TRUE(outside.Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return answers.size() == 60; }));
  EXPECT_TRUE(std::ranges::is_sorted(answers));
  EXPECT_EQ(numbers, expected_numbers);
  EXPECT_EQ(Count("jobs"), expected);
  EXPECT_EQ(folder_.Outside().Number("SELECT count(*) FROM jobs WHERE outcome = 'changed'").value(), 6);
}

TEST_F(JobStoreBatchTest, TenThousandAreTakenAndLeaveRoomForOthers) {
  auto outside = folder_.Outside();
  ASSERT_TRUE(outside.Run("BEGIN IMMEDIATE"));
  int written = 0;
  int busy = 0;
  const auto count = [&](const Result<Committed>& result) { ++(result ? written : busy); };
  const BatchRecord batch = MakeBatch();
  store_->CommitBatch(batch, Inserts(10'000, 1000), count);
  // A second of this size is too much, a small one is not.
  store_->CommitBatch(MakeBatch(), Inserts(10'000, 1000), count);
  ASSERT_TRUE(owner_.RunUntil([&] { return busy == 1; }));
  store_->CommitBatch(MakeBatch(), Inserts(100), count);
  for (int i = 0; i < 3996; ++i)
    store_->Commit(Remove("nobody"), [&](const Result<Committed>& result) {
      busy += !result && result.error().code == ErrorCode::kBusy ? 1 : 0;
    });
  EXPECT_EQ(busy, 1);
  store_->CommitBatch(MakeBatch(), Inserts(1), count);
  ASSERT_TRUE(owner_.RunUntil([&] { return busy == 2; }));
  EXPECT_EQ(written, 0);
  ASSERT_TRUE(outside.Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return written == 2; }));
  store_->Flush();
  EXPECT_EQ(busy, 2);
  EXPECT_EQ(Count("jobs"), 10'100);
  EXPECT_THAT(store_->CountOfBatch(batch.id).value(), ElementsAre(10'000, 0, 0, 0, 0, 0, 0, 0));
  // One page, though nothing in it matches.
  const JobPage page = Take(store_->List({.state = JobState::kFailed, .batch = batch.id}, 0, 10));
  EXPECT_THAT(page.jobs, IsEmpty());
  EXPECT_EQ(page.next, 0);
  EXPECT_TRUE(CommitBatch(MakeBatch(), Inserts(10'000)));
}

TEST_F(JobStoreBatchTest, FlushAndDestructionWriteIt) {
  int answers = 0;
  const auto count = [&](const Result<Committed>&) { ++answers; };
  const BatchRecord first = MakeBatch();
  const BatchRecord second = MakeBatch();
  store_->CommitBatch(first, Inserts(2000), count);
  store_->Flush();
  EXPECT_EQ(store_->CountOfBatch(first.id).value().at(0), 2000);
  store_->CommitBatch(second, Inserts(2000), count);
  store_.reset();
  owner_.RunWaiting();
  EXPECT_EQ(answers, 0);
  Open();
  EXPECT_EQ(store_->CountOfBatch(second.id).value().at(0), 2000);
}

// One that does not fit on the disk takes nobody along, though a part of it had been in the log.
TEST_F(JobStoreBatchTest, ThatDoesNotFitLeavesNothing) {
  Open({.largest_file = Bytes::Mib(2)});
  auto outside = std::make_optional(folder_.Outside());
  ASSERT_TRUE(outside->Run("BEGIN IMMEDIATE"));
  std::vector<ErrorCode> errors;
  int written = 0;
  const auto count = [&](const Result<Committed>& result) {
    if (!result) errors.push_back(result.error().code);
    written += result ? 1 : 0;
  };
  store_->Commit(Insert(MakeJob()), count);
  store_->CommitBatch(MakeBatch(), Inserts(20), count);
  store_->CommitBatch(MakeBatch(), Inserts(200, 20'000), count);
  store_->CommitBatch(MakeBatch(), Inserts(5000, 1000), count);
  store_->Commit(Insert(MakeJob()), count);
  ASSERT_TRUE(outside->Run("ROLLBACK"));
  ASSERT_TRUE(owner_.RunUntil([&] { return written + static_cast<int>(errors.size()) == 5; }));
  EXPECT_THAT(errors, ElementsAre(ErrorCode::kDiskFull, ErrorCode::kDiskFull));
  EXPECT_EQ(Count("jobs"), 22);
  EXPECT_EQ(Count("batches"), 1);
  EXPECT_EQ(store_->CountByState().value().at(0), 22);
  EXPECT_EQ(store_->LastEventId().value(), 22);
  EXPECT_TRUE(store_->CheckWhole());
  Open();
  EXPECT_EQ(Count("jobs"), 22);
}

TEST_F(JobStoreBatchTest, ATimelineIsTheLastAndGoesWithItsJob) {
  JobRecord job = Added(MakeJob());
  EXPECT_EQ(store_->Timeline(job.id).value(), "");
  EXPECT_EQ(store_->Timeline("nobody").value(), "");
  const auto with = [](Change change, std::string timeline) {
    change.timeline = std::move(timeline);
    return change;
  };
  ASSERT_TRUE(Commit(with(Update(job), "first")));
  const std::string document = std::string(100'000, 'x') + std::string("\0'", 2);
  job.attempt = 1;
  ASSERT_TRUE(Commit(with(Update(job), document)));
  EXPECT_EQ(store_->Timeline(job.id).value(), document);
  ASSERT_TRUE(Commit(Update(job)));
  EXPECT_EQ(CodeOf(with(Update(job, 0), "late")), ErrorCode::kConflict);
  Open();
  EXPECT_EQ(store_->Timeline(job.id).value(), document);
  const JobRecord other = MakeJob();
  ASSERT_TRUE(Commit(with(Insert(other), "from the beginning")));
  EXPECT_EQ(store_->Timeline(other.id).value(), "from the beginning");
  ASSERT_TRUE(Commit(Remove(job.id)));
  EXPECT_EQ(store_->Timeline(job.id).value(), "");
  EXPECT_EQ(Count("timelines"), 1);
}

}  // namespace
}  // namespace weir::store
