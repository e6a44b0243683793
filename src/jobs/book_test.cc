// What the book hands to the store: which events ride with which change.
#include "jobs/book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <utility>
#include <vector>

namespace weir::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::Change;
using store::Committed;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Keeps what it is given, and answers when told to.
class KeptStore final : public store::JobStore {
 public:
  std::vector<std::pair<Change, std::function<void(Result<Committed>)>>> kept;

  void Commit(Change change, std::function<void(Result<Committed>)> done) override {
    kept.emplace_back(std::move(change), std::move(done));
  }
  void CommitBatch(store::BatchRecord /*batch*/, std::vector<Change> /*inserts*/,
                   std::function<void(Result<Committed>)> /*done*/) override {}
  void Flush() override {}
  [[nodiscard]] Status CheckWhole() const override { return {}; }
  Result<std::optional<store::JobRecord>> Find(const std::string& /*id*/) override { return std::nullopt; }
  Result<std::optional<store::JobRecord>> FindByKey(const std::string& /*o*/, const std::string& /*k*/) override {
    return std::nullopt;
  }
  Result<store::JobPage> List(const store::JobFilter& /*f*/, std::int64_t /*b*/, std::size_t /*l*/) override {
    return store::JobPage{};
  }
  Result<std::vector<store::JobRecord>> Active(std::int64_t /*after*/, std::size_t /*limit*/) override {
    return std::vector<store::JobRecord>{};
  }
  Result<std::optional<store::BatchRecord>> FindBatch(const std::string& /*id*/) override { return std::nullopt; }
  Result<std::optional<store::BatchRecord>> FindBatchByKey(const std::string& /*o*/,
                                                           const std::string& /*k*/) override {
    return std::nullopt;
  }
  Result<std::vector<std::int64_t>> CountOfBatch(const std::string& /*id*/) override {
    return std::vector<std::int64_t>{};
  }
  Result<std::string> Timeline(const std::string& /*job*/) override { return std::string(); }
  Result<std::vector<store::EventRecord>> Events(const std::string& /*j*/, std::int64_t /*a*/,
                                                 std::size_t /*l*/) override {
    return std::vector<store::EventRecord>{};
  }
  Result<std::int64_t> LastEventId() override { return 0; }
  Result<std::vector<store::JobRecord>> EndedBefore(store::JobState /*s*/, WallTime /*t*/,
                                                    std::size_t /*l*/) override {
    return std::vector<store::JobRecord>{};
  }
  Result<std::vector<store::JobRecord>> EndedAfter(store::JobState /*s*/, WallTime /*t*/,
                                                   std::size_t /*l*/) override {
    return std::vector<store::JobRecord>{};
  }
  Result<std::vector<std::int64_t>> CountByState() override { return std::vector<std::int64_t>{}; }
};

class BookTest : public testing::Test {
 protected:
  BookTest() {
    store::JobRecord record{.id = "one"};
    record.recipe = "crop";
    record.request = R"({"params":{},"input":"clip.mp4","output":"","overwrite":false})";
    record.state = store::JobState::kRunning;
    record.attempt = 1;
    job_ = &book_.Add(record);
  }
  static std::vector<std::string> Types(const Change& change) {
    std::vector<std::string> types;
    for (const auto& event : change.earlier) {
      types.push_back(event.type);
    }
    if (change.event) {
      types.push_back(change.event->type);
    }
    return types;
  }

  boost::asio::io_context loop_;
  ManualClock clock_;
  KeptStore store_;
  Book book_{loop_, clock_, store_, [](const std::string&) { return false; }, [](const std::string&) {}};
  ActiveJob* job_ = nullptr;
};

TEST_F(BookTest, WhatIsToldComesWithTheNextChangeAndWithNoWriteOfItsOwn) {
  const std::uint64_t version = job_->version;
  book_.Tell(*job_, "decision", "because", {{"decision", boost::json::object{{"way", 1}}}});
  EXPECT_GT(job_->version, version) << "watchers look again";
  EXPECT_THAT(store_.kept, IsEmpty());
  const WallTime told = clock_.WallNow();
  clock_.Advance(milliseconds(500));
  book_.Enter(*job_, store::JobState::kVerifying);
  book_.Save(*job_, "state", {});
  ASSERT_THAT(store_.kept, SizeIs(1));
  const Change& change = store_.kept.front().first;
  EXPECT_THAT(Types(change), ElementsAre("decision", "state"));
  // As it was when it was told.
  EXPECT_EQ(change.earlier.front().time, told);
  const auto data = boost::json::parse(change.earlier.front().data);
  EXPECT_EQ(data, boost::json::parse(
                      R"({"state":"running","attempt":1,"paused":false,"note":"because","decision":{"way":1}})"));
  book_.Save(*job_, "state", {});
  EXPECT_THAT(Types(store_.kept.back().first), ElementsAre("state"));
}

TEST_F(BookTest, ALongJobNeedsNotEndBeforeItIsHeard) {
  book_.WriteHeld(*job_);
  book_.Tell(*job_, "decision", "because", {});
  clock_.Advance(milliseconds(1999));
  book_.WriteHeld(*job_);
  EXPECT_THAT(store_.kept, IsEmpty());
  clock_.Advance(milliseconds(1));
  book_.WriteHeld(*job_);
  book_.WriteHeld(*job_);
  ASSERT_THAT(store_.kept, SizeIs(1));
  EXPECT_THAT(Types(store_.kept.front().first), ElementsAre("decision"));
  EXPECT_FALSE(store_.kept.front().first.event);
}

TEST_F(BookTest, WhatCouldNotBeWrittenIsWrittenAgainWithAllOfIt) {
  book_.Tell(*job_, "decision", "because", {});
  book_.Save(*job_, "state", {});
  auto done = std::move(store_.kept.front().second);
  store_.kept.clear();
  done(Fail(ErrorCode::kDiskFull, "full"));
  EXPECT_THAT(job_->unsaved, SizeIs(1));
  // What comes meanwhile keeps its place behind it.
  book_.Tell(*job_, "decision", "another", {});
  clock_.Advance(seconds(10));
  book_.WriteHeld(*job_);
  EXPECT_THAT(store_.kept, IsEmpty());
  book_.Save(*job_, "note", "n");
  EXPECT_THAT(store_.kept, IsEmpty());
  const auto until = std::chrono::steady_clock::now() + seconds(10);
  while (store_.kept.size() < 2 && std::chrono::steady_clock::now() < until) {
    loop_.run_one_for(milliseconds(100));
    loop_.restart();
  }
  ASSERT_THAT(store_.kept, SizeIs(2));
  EXPECT_THAT(Types(store_.kept[0].first), ElementsAre("decision", "state"));
  EXPECT_THAT(Types(store_.kept[1].first), ElementsAre("decision", "note"));
}

}  // namespace
}  // namespace weir::jobs
