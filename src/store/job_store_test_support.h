// What the tests of JobStore share: a temporary data folder, an owner's thread with a queue, records, and an
// open store.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/id.h"
#include "store/job_store.h"
#include "store/job_store_database.h"

namespace weir::store {

class DataFolder {
 public:
  DataFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-jobs-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data()) == nullptr ? "" : pattern;
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  ~DataFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const char* name = "jobs.db") const { return path_ + "/" + name; }
  // A connection of somebody else.
  [[nodiscard]] Database Outside() const {
    return std::move(Database::Open(file(), Database::Mode::kWrite, Bytes::Mib(1)).value());
  }

 private:
  std::string path_;
};

// The owner's thread is the test's: posted functions run inside RunUntil.
class Owner {
 public:
  JobStore::Post Post() {
    return [queue = queue_](std::function<void()> function) {
      const std::lock_guard lock(queue->mutex);
      queue->functions.push_back(std::move(function));
      queue->changed.notify_one();
    };
  }
  bool RunUntil(const std::function<bool()>& condition, std::chrono::milliseconds within = std::chrono::seconds(60)) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (!condition()) {
      std::function<void()> next;
      {
        std::unique_lock lock(queue_->mutex);
        if (!queue_->changed.wait_until(lock, deadline, [&] { return !queue_->functions.empty(); })) {
          return false;
        }
        next = std::move(queue_->functions.front());
        queue_->functions.pop_front();
      }
      next();
    }
    return true;
  }
  // What has been posted so far.
  void RunWaiting() {
    for (std::size_t left = waiting(); left > 0; --left) {
      std::function<void()> next;
      {
        const std::lock_guard lock(queue_->mutex);
        next = std::move(queue_->functions.front());
        queue_->functions.pop_front();
      }
      next();
    }
  }
  std::size_t waiting() {
    const std::lock_guard lock(queue_->mutex);
    return queue_->functions.size();
  }

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> functions;
  };
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
};

// Hands in one change and waits for its answer.
inline Result<Committed> CommitAndWait(JobStore& store, Owner& owner, Change change) {
  std::optional<Result<Committed>> answer;
  store.Commit(std::move(change), [&answer](Result<Committed> result) { answer = std::move(result); });
  if (!owner.RunUntil([&] { return answer.has_value(); })) {
    return Fail(ErrorCode::kTimedOut, "no answer");
  }
  return *std::move(answer);
}

inline Result<Committed> CommitBatchAndWait(JobStore& store, Owner& owner, BatchRecord batch,
                                            std::vector<Change> inserts) {
  std::optional<Result<Committed>> answer;
  store.CommitBatch(std::move(batch), std::move(inserts),
                    [&answer](Result<Committed> result) { answer = std::move(result); });
  if (!owner.RunUntil([&] { return answer.has_value(); })) {
    return Fail(ErrorCode::kTimedOut, "no answer");
  }
  return *std::move(answer);
}

inline WallTime At(int seconds) { return WallTime(std::chrono::seconds(1'800'000'000 + seconds)); }

inline JobRecord MakeJob(int salt = 0) {
  JobRecord job;
  job.id = NewId();
  job.recipe = "crop";
  job.owner = "alice";
  job.request = R"({"input":"a.mp4","width":)" + std::to_string(salt) + "}";
  job.labels = "{}";
  job.created = job.updated = At(salt);
  return job;
}

inline EventRecord MakeEvent(std::string type = "state", std::string data = "{}") {
  EventRecord event;
  event.time = At(1);
  event.type = std::move(type);
  event.data = std::move(data);
  return event;
}

inline Change Insert(JobRecord job, std::optional<EventRecord> event = MakeEvent()) {
  Change change;
  change.kind = Change::Kind::kInsert;
  change.job = std::move(job);
  change.event = std::move(event);
  return change;
}

inline Change Update(JobRecord job, std::optional<int> only_if_attempt = std::nullopt,
                     std::optional<EventRecord> event = std::nullopt) {
  Change change;
  change.kind = Change::Kind::kUpdate;
  change.job = std::move(job);
  change.only_if_attempt = only_if_attempt;
  change.event = std::move(event);
  return change;
}

inline Change Remove(const std::string& id) {
  Change change;
  change.kind = Change::Kind::kRemove;
  change.job.id = id;
  return change;
}

inline BatchRecord MakeBatch(std::string key = "") {
  BatchRecord batch;
  batch.id = NewId();
  batch.owner = "alice";
  batch.labels = "{}";
  batch.created = At(5);
  batch.idempotency_key = std::move(key);
  return batch;
}

inline std::vector<Change> Inserts(int jobs, std::size_t request_size = 0) {
  std::vector<Change> inserts;
  for (int i = 0; i < jobs; ++i) {
    inserts.push_back(Insert(MakeJob(i)));
    inserts.back().job.request.resize(std::max(inserts.back().job.request.size(), request_size), ' ');
  }
  return inserts;
}

// By value: a loop over a part of a temporary would outlive it.
template <typename T>
T Take(Result<T> result) {
  return std::move(result).value();
}

class JobStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open(const JobStoreSettings& settings = {}) {
    store_.reset();
    auto opened = JobStore::Open(folder_.path(), owner_.Post(), settings);
    ASSERT_TRUE(opened) << Describe(opened.error());
    store_ = *std::move(opened);
  }
  Result<Committed> Commit(Change change) { return CommitAndWait(*store_, owner_, std::move(change)); }
  Result<Committed> CommitBatch(BatchRecord batch, std::vector<Change> inserts) {
    return CommitBatchAndWait(*store_, owner_, std::move(batch), std::move(inserts));
  }
  JobRecord Added(JobRecord job) {
    const auto done = Commit(Insert(job));
    EXPECT_TRUE(done) << Describe(done.error());
    job.number = done ? done->number : 0;
    return job;
  }
  static ErrorCode CodeOf(const Result<Committed>& result) {
    EXPECT_FALSE(result);
    return result ? ErrorCode::kTimedOut : result.error().code;
  }
  ErrorCode CodeOf(Change change) { return CodeOf(Commit(std::move(change))); }
  // Of one page.
  std::vector<std::int64_t> Numbers(const JobFilter& filter, std::int64_t before = 0, std::size_t limit = 1000) {
    std::vector<std::int64_t> numbers;
    for (const auto& job : Take(store_->List(filter, before, limit)).jobs) numbers.push_back(job.number);
    return numbers;
  }

  DataFolder folder_;
  Owner owner_;
  std::unique_ptr<JobStore> store_;
};

inline void ExpectSame(const JobRecord& a, const JobRecord& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.number, b.number);
  EXPECT_EQ(a.batch, b.batch);
  EXPECT_EQ(a.recipe, b.recipe);
  EXPECT_EQ(a.owner, b.owner);
  EXPECT_EQ(a.request, b.request);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.priority, b.priority);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.paused, b.paused);
  EXPECT_EQ(a.attempt, b.attempt);
  EXPECT_EQ(a.deaths, b.deaths);
  EXPECT_EQ(a.created, b.created);
  EXPECT_EQ(a.updated, b.updated);
  EXPECT_EQ(a.started, b.started);
  EXPECT_EQ(a.ended, b.ended);
  EXPECT_EQ(a.not_before, b.not_before);
  EXPECT_EQ(a.idempotency_key, b.idempotency_key);
  EXPECT_EQ(a.request_digest, b.request_digest);
}

}  // namespace weir::store
