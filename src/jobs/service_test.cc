// The service over a real database, a real folder and the real ffmpeg: what restarts find, and what callers are told.
#include "jobs/service.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "jobs/test_place.h"

namespace weir::jobs {
namespace {

namespace fs = std::filesystem;
using store::JobRecord;
using store::JobState;
using namespace std::chrono_literals;

// testing::Test has a member of the same name.
using Service = JobService;

class ServiceTest : public TestPlace {
 protected:
  ServiceTest() {
    for (const char* name : {"media", "data"}) {
      fs::create_directory(folder_ / name);
    }
    MakeClip(folder_ / "media" / "clip.mp4", 1);
    roots_.emplace(*store::MediaRoots::Open({(folder_ / "media").string()}));
    artifacts_.emplace(*store::Artifacts::Open((folder_ / "data").string()));
    OpenStore();
  }
  ~ServiceTest() override {
    service_.reset();
    store_.reset();
  }

  void OpenStore() {
    store_ = std::move(*store::JobStore::Open(
        (folder_ / "data").string(),
        [this](std::function<void()> call) { boost::asio::post(loop_, std::move(call)); }, {}));
  }

  Service& Open(SchedulerSettings order = {}, ServiceSettings settings = {}) {
    auto opened = Service::Open({.loop = loop_,
                                 .clock = clock_,
                                 .ledger = ledger_,
                                 .launcher = *launcher_,
                                 .state = *state_,
                                 .aside = aside_,
                                 .store = *store_,
                                 .roots = *roots_,
                                 .artifacts = *artifacts_,
                                 .tools = TestTools(),
                                 .machine = {.cpus = 2},
                                 .limits = {}},
                                order, settings);
    EXPECT_TRUE(opened) << Describe(opened.error());
    service_ = std::move(*opened);
    return *service_;
  }

  // As kill -9: nothing is said, the next life finds what is on disk.
  void Die() {
    service_.reset();
    store_.reset();
    loop_.restart();
    loop_.poll();
    OpenStore();
  }

  template <typename Start>
  Result<JobView> Ask(Start start) {
    std::optional<Result<JobView>> answer;
    start([&](Result<JobView> view) { answer.emplace(std::move(view)); });
    EXPECT_FALSE(answer) << "answered from inside the call";
    RunUntil([&] { return answer.has_value(); });
    return answer ? std::move(*answer) : Result<JobView>(Fail(ErrorCode::kInternal, "no answer"));
  }
  Result<JobView> Submit(Submission submission) {
    return Ask([&](Answer answer) { service_->Submit(submission, std::move(answer)); });
  }
  Result<BatchView> SubmitBatch(BatchSubmission submission) {
    std::optional<Result<BatchView>> answer;
    service_->SubmitBatch(std::move(submission), [&](Result<BatchView> view) { answer.emplace(std::move(view)); });
    EXPECT_FALSE(answer) << "answered from inside the call";
    RunUntil([&] { return answer.has_value(); });
    return answer ? std::move(*answer) : Result<BatchView>(Fail(ErrorCode::kInternal, "no answer"));
  }
  static Submission Crop(const std::string& input = "clip.mp4") {
    return {.recipe = "crop", .params = R"({"size":"180x320","preset":"ultrafast"})", .input = input};
  }

  template <typename Condition>
  void RunUntil(Condition condition) {
    loop_.restart();
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (!condition() && std::chrono::steady_clock::now() < until) {
      loop_.run_one_for(100ms);
      loop_.restart();
    }
    EXPECT_TRUE(condition());
  }
  JobView End(const std::string& id) {
    RunUntil([&] { return store::IsFinal(service_->Find(id)->record.state); });
    return *service_->Find(id);
  }

  // A job as an earlier life left it.
  void Plant(JobRecord record,
             const std::string& request =
                 R"({"params":{"size":"180x320"},"input":"clip.mp4","output":"","overwrite":false})") {
    record.recipe = "crop";
    record.labels = "{}";
    record.request = request;
    bool done = false;
    store_->Commit({.kind = store::Change::Kind::kInsert, .job = record, .only_if_attempt = {}, .event = {}},
                   [&](const Result<store::Committed>& committed) {
                     EXPECT_TRUE(committed) << Describe(committed.error());
                     done = true;
                   });
    RunUntil([&] { return done; });
  }

  memory::Ledger ledger_{Bytes::Mib(500), Bytes::Mib(10)};
  std::optional<store::MediaRoots> roots_;
  std::optional<store::Artifacts> artifacts_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<Service> service_;
};

TEST_F(ServiceTest, CarriesAJobToItsEndAndKeepsTheResult) {
  Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted) << Describe(accepted.error());
  EXPECT_EQ(accepted->record.state, JobState::kQueued);
  const auto ended = End(accepted->record.id);
  EXPECT_EQ(ended.record.state, JobState::kSucceeded) << ended.record.outcome;
  EXPECT_EQ(ended.record.attempt, 1);
  EXPECT_TRUE(artifacts_->OpenFile(accepted->record.id, "crop.mp4"));
  EXPECT_EQ(ledger_.leased(), Bytes());
  EXPECT_EQ(launcher_->living(), 0U);
}

TEST_F(ServiceTest, RefusesAtOnceWhatCannotBe) {
  Open();
  const auto code = [&](Submission submission) { return Submit(std::move(submission)).error().code; };
  EXPECT_EQ(code(Crop("missing.mp4")), ErrorCode::kInputMissing);
  EXPECT_EQ(code(Crop("../clip.mp4")), ErrorCode::kForbidden);
  EXPECT_EQ(code({.recipe = "crpo", .input = "clip.mp4"}), ErrorCode::kBadParameters);
  EXPECT_EQ(code({.recipe = "crop", .params = R"({"crf":99})", .input = "clip.mp4"}), ErrorCode::kBadParameters);
  EXPECT_EQ(store_->Active(0, 100)->size(), 0U);
}

TEST_F(ServiceTest, TheSameKeyIsTheSameJobAndNoOther) {
  Open();
  auto first = Crop();
  first.idempotency_key = "k";
  const auto accepted = Submit(first);
  ASSERT_TRUE(accepted);
  EXPECT_EQ(Submit(first)->record.id, accepted->record.id);
  auto other = first;
  other.params = R"({"size":"90x160"})";
  EXPECT_EQ(Submit(other).error().code, ErrorCode::kConflict);
  EXPECT_EQ(store_->List({}, 0, 10)->jobs.size(), 1U);
}

TEST_F(ServiceTest, TheSameKeyWithAnotherPriorityOrOtherLabelsIsAnotherRequest) {
  Open({.slots = 0});
  Submission first = Crop();
  first.idempotency_key = "k";
  first.priority = 3;
  first.labels = {{"a", "1"}};
  ASSERT_TRUE(Submit(first));
  EXPECT_TRUE(Submit(first));
  Submission other = first;
  other.priority = 90;
  EXPECT_EQ(Submit(other).error().code, ErrorCode::kConflict);
  other = first;
  other.labels = {{"a", "2"}};
  EXPECT_EQ(Submit(other).error().code, ErrorCode::kConflict);
}

TEST_F(ServiceTest, WhatIsPausedDoesNotKeepTheServiceFromEnding) {
  Service& service = Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string id = accepted->record.id;
  RunUntil([&] { return service.figures().running.size() == 1; });
  ASSERT_TRUE(Ask([&](Answer answer) { service.Pause(id, std::move(answer)); }));
  bool stopped = false;
  service.Shutdown(10min, [&] { stopped = true; });
  RunUntil([&] { return stopped; });
  const auto found = store_->Find(id);
  EXPECT_EQ((*found)->state, JobState::kQueued);
  EXPECT_TRUE((*found)->paused);
}

TEST_F(ServiceTest, WhatHasEndedIsNotPausedAndItsLogSaysWhy) {
  Service& service = Open({.slots = 0});
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string id = accepted->record.id;
  ASSERT_TRUE(Ask([&](Answer answer) { service.Pause(id, std::move(answer)); }));
  const auto cancelled = Ask([&](Answer answer) { service.Cancel(id, std::move(answer)); });
  ASSERT_TRUE(cancelled);
  EXPECT_FALSE(cancelled->record.paused);
  service_.reset();
  Open();
  std::ofstream(folder_ / "media" / "words.mp4") << "these are words";
  const auto wrong = Submit(Crop("words.mp4"));
  ASSERT_TRUE(wrong);
  ASSERT_EQ(End(wrong->record.id).record.state, JobState::kFailed);
  EXPECT_NE(service_->Events(wrong->record.id, 0, 100)->back().data.find("not a media file"), std::string::npos);
}

TEST_F(ServiceTest, TheQueueHasALimitAndSaysSo) {
  Service& service = Open({.slots = 0, .most_queued = 2});
  EXPECT_TRUE(Submit(Crop()));
  EXPECT_TRUE(Submit(Crop()));
  const auto refused = Submit(Crop());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(service.figures().scheduler.queued, 2U);
}

TEST_F(ServiceTest, CancelEndsAWaitingAndARunningJobAndIsRepeatable) {
  Service& service = Open({.slots = 1});
  const auto running = Submit(Crop());
  const auto waiting = Submit(Crop());
  ASSERT_TRUE(running && waiting);
  RunUntil([&] { return launcher_->living() > 0; });
  for (const auto* job : {&*waiting, &*running}) {
    for (int i = 0; i < 2; ++i) {
      const auto cancelled = Ask([&](Answer answer) { service.Cancel(job->record.id, std::move(answer)); });
      ASSERT_TRUE(cancelled) << Describe(cancelled.error());
      EXPECT_EQ(cancelled->record.state, JobState::kCancelled);
    }
  }
  EXPECT_EQ(launcher_->living(), 0U);
  EXPECT_FALSE(fs::exists(folder_ / "data" / "artifacts" / running->record.id));
  const auto again = Ask([&](Answer answer) { service.Retry(waiting->record.id, std::move(answer)); });
  ASSERT_TRUE(again);
  EXPECT_EQ(End(waiting->record.id).record.state, JobState::kSucceeded);
}

TEST_F(ServiceTest, AJobThatRanIsTakenUpAgainByTheNextLife) {
  Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  RunUntil([&] { return launcher_->living() > 0; });
  Die();
  EXPECT_EQ(launcher_->living(), 0U);
  Open();
  const auto ended = End(accepted->record.id);
  EXPECT_EQ(ended.record.state, JobState::kSucceeded) << ended.record.outcome;
  EXPECT_EQ(ended.record.attempt, 2);
  EXPECT_EQ(ended.record.deaths, 1);
}

TEST_F(ServiceTest, AJobDuringWhichWeirDiedTwiceIsParkedWithTheEvidence) {
  Plant({.id = "aaaaaaaaaaaaaaaa", .state = JobState::kRunning, .attempt = 2, .deaths = 1});
  Open();
  const auto parked = End("aaaaaaaaaaaaaaaa");
  EXPECT_EQ(parked.record.state, JobState::kFailed);
  EXPECT_NE(parked.record.outcome.find("died 2 times"), std::string::npos) << parked.record.outcome;
  const auto again = Ask([&](Answer answer) { service_->Retry("aaaaaaaaaaaaaaaa", std::move(answer)); });
  ASSERT_TRUE(again);
  EXPECT_EQ(End("aaaaaaaaaaaaaaaa").record.state, JobState::kSucceeded);
}

TEST_F(ServiceTest, AResultThatHadAppearedIsRecognisedAndNotMadeAgain) {
  // Died between the rename and the last word about it.
  const std::string id = "bbbbbbbbbbbbbbbb";
  fs::create_directory(folder_ / "data" / "artifacts" / id);
  std::ofstream(folder_ / "data" / "artifacts" / id / "crop.mp4") << "the result";
  const auto file = artifacts_->OpenFile(id, "crop.mp4");
  ASSERT_TRUE(file);
  const auto outcome = [&](const std::string& size) {
    return R"({"artifacts":[{"name":"crop.mp4","size_bytes":)" + size + R"(,"identity":")" + file->identity +
           R"("}]})";
  };
  Plant({.id = id, .outcome = outcome("10"), .state = JobState::kPublishing, .attempt = 1});
  Open();
  const auto ended = End(id);
  EXPECT_EQ(ended.record.state, JobState::kSucceeded);
  EXPECT_EQ(ended.record.attempt, 1);
}

TEST_F(ServiceTest, WhatHadNotAppearedIsMadeAgain) {
  Plant({.id = "cccccccccccccccc",
         .outcome = R"({"artifacts":[{"name":"crop.mp4","size_bytes":10,"identity":"1:1"}]})",
         .state = JobState::kPublishing,
         .attempt = 1});
  Open();
  const auto ended = End("cccccccccccccccc");
  EXPECT_EQ(ended.record.state, JobState::kSucceeded) << ended.record.outcome;
  EXPECT_EQ(ended.record.attempt, 2);
}

TEST_F(ServiceTest, ShutdownWithoutGraceQueuesWhatRanAndBlamesNobody) {
  Service& service = Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  RunUntil([&] { return launcher_->living() > 0; });
  bool stopped = false;
  service.Shutdown(0ms, [&] { stopped = true; });
  RunUntil([&] { return stopped; });
  const auto record = *store_->Find(accepted->record.id);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, JobState::kQueued);
  EXPECT_EQ(record->deaths, 0);
  Die();
  Open();
  EXPECT_EQ(End(accepted->record.id).record.state, JobState::kSucceeded);
}

TEST_F(ServiceTest, DrainingStartsNothingNew) {
  Service& service = Open();
  service.SetDraining(true);
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  loop_.restart();
  loop_.run_for(200ms);
  EXPECT_EQ(service.Find(accepted->record.id)->live->waiting_for, WaitingFor::kDrain);
  service.SetDraining(false);
  EXPECT_EQ(End(accepted->record.id).record.state, JobState::kSucceeded);
}

TEST_F(ServiceTest, ABatchIsAcceptedWholeAndEndsWithItsJobs) {
  Service& service = Open();
  const auto accepted = SubmitBatch({.jobs = {Crop(), Crop(), Crop()}, .owner = "me", .labels = {{"night", "1"}}});
  ASSERT_TRUE(accepted) << Describe(accepted.error());
  EXPECT_EQ(accepted->record.jobs, 3);
  EXPECT_FALSE(accepted->ended);
  const std::string id = accepted->record.id;
  double before = 0;
  RunUntil([&] {
    const auto batch = service.FindBatch(id);
    EXPECT_GE(batch->ratio, before - 0.34) << "a retry may fall back by its own part, not more";
    EXPECT_LE(batch->ratio, 1);
    before = batch->ratio;
    return batch->ended;
  });
  const auto ended = service.FindBatch(id);
  EXPECT_EQ(ended->ratio, 1);
  EXPECT_EQ(ended->by_state[static_cast<std::size_t>(JobState::kSucceeded)], 3);
  store::JobFilter filter;
  filter.batch = id;
  const auto page = service.List(filter, 0, 10);
  ASSERT_EQ(page->jobs.size(), 3U);
  for (const auto& job : page->jobs) {
    EXPECT_EQ(job.record.batch, id);
    EXPECT_TRUE(artifacts_->OpenFile(job.record.id, "crop.mp4"));
  }
}

TEST_F(ServiceTest, ABatchWithOneBadJobIsNotAcceptedAtAll) {
  Service& service = Open({.slots = 1, .most_queued = 4});
  std::vector<Submission> jobs(3, Crop());
  jobs[1] = Crop("missing.mp4");
  const auto refused = SubmitBatch({.jobs = jobs});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInputMissing);
  EXPECT_NE(refused.error().detail.find("job 1 of the batch"), std::string::npos) << refused.error().detail;
  EXPECT_EQ(SubmitBatch({}).error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(SubmitBatch({.jobs = std::vector<Submission>(kMostInBatch + 1, Crop())}).error().code,
            ErrorCode::kBadParameters);
  // Coming again would not help.
  EXPECT_EQ(SubmitBatch({.jobs = std::vector<Submission>(5, Crop())}).error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(store_->Active(0, 100)->size(), 0U);
  // What was refused holds no places.
  service.SetDraining(true);
  EXPECT_TRUE(SubmitBatch({.jobs = std::vector<Submission>(4, Crop())}));
  EXPECT_EQ(Submit(Crop()).error().code, ErrorCode::kBusy);
  EXPECT_EQ(SubmitBatch({.jobs = std::vector<Submission>(2, Crop())}).error().code, ErrorCode::kBusy);
}

TEST_F(ServiceTest, TheSameKeyIsTheSameBatch) {
  Service& service = Open();
  service.SetDraining(true);
  const BatchSubmission batch{.jobs = {Crop(), Crop()}, .idempotency_key = "k", .digest = "d"};
  const auto first = SubmitBatch(batch);
  ASSERT_TRUE(first);
  EXPECT_EQ(SubmitBatch(batch)->record.id, first->record.id);
  auto other = batch;
  other.digest = "e";
  EXPECT_EQ(SubmitBatch(other).error().code, ErrorCode::kConflict);
  // Two at the same time.
  std::vector<std::string> ids;
  auto twice = batch;
  twice.idempotency_key = "l";
  for (int i = 0; i < 2; ++i) {
    service.SubmitBatch(twice, [&](const Result<BatchView>& view) {
      ASSERT_TRUE(view) << Describe(view.error());
      ids.push_back(view->record.id);
    });
  }
  RunUntil([&] { return ids.size() == 2; });
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(store_->Active(0, 100)->size(), 4U);
}

TEST_F(ServiceTest, ABatchIsCancelledWhole) {
  Service& service = Open({.slots = 1});
  const auto accepted = SubmitBatch({.jobs = std::vector<Submission>(120, Crop())});
  ASSERT_TRUE(accepted);
  RunUntil([&] { return launcher_->living() > 0; });
  std::optional<BatchView> cancelled;
  service.CancelBatch(accepted->record.id, [&](const Result<BatchView>& view) {
    ASSERT_TRUE(view) << Describe(view.error());
    cancelled = *view;
  });
  RunUntil([&] { return cancelled.has_value(); });
  EXPECT_TRUE(cancelled->ended);
  EXPECT_EQ(launcher_->living(), 0U);
  EXPECT_GE(cancelled->by_state[static_cast<std::size_t>(JobState::kCancelled)], 119);
  EXPECT_EQ(store_->Active(0, 100)->size(), 0U);
}

TEST_F(ServiceTest, WhatHappensToAWaitingJobFindsItAtRestAndLeavesItSo) {
  Service& service = Open();
  service.SetDraining(true);
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string& id = accepted->record.id;
  EXPECT_EQ(accepted->live->position, 1U);
  // A watcher of a job at rest hears of its change.
  bool heard = false;
  boost::asio::co_spawn(
      loop_,
      [&]() -> boost::asio::awaitable<void> {
        co_await service.Changed(id, service.Find(id)->version, clock_.Now() + 60s);
        heard = true;
      },
      boost::asio::detached);
  loop_.restart();
  loop_.run_for(20ms);
  EXPECT_FALSE(heard);
  const auto changed = Ask([&](Answer answer) { service.Change(id, 90, {{{"a", "b"}}}, std::move(answer)); });
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->record.priority, 90);
  RunUntil([&] { return heard; });
  const auto paused = Ask([&](Answer answer) { service.Pause(id, std::move(answer)); });
  EXPECT_EQ(paused->live->waiting_for, WaitingFor::kPause);
  EXPECT_TRUE(Ask([&](Answer answer) { service.Pause(id, std::move(answer)); })->record.paused);
  Die();
  Open();
  const auto found = service_->Find(id);
  EXPECT_TRUE(found->record.paused);
  EXPECT_EQ(found->record.labels, R"({"a":"b"})");
  EXPECT_EQ(found->live->waiting_for, WaitingFor::kPause);
  EXPECT_FALSE(Ask([&](Answer answer) { service_->Resume(id, std::move(answer)); })->record.paused);
  EXPECT_EQ(End(id).record.state, JobState::kSucceeded);
}

TEST_F(ServiceTest, AWatcherOfWhatIsNowhereLeavesTheLoopItsTurns) {
  Service& service = Open();
  std::size_t looks = 0;
  bool on = true;
  boost::asio::co_spawn(
      loop_,
      [&]() -> boost::asio::awaitable<void> {
        while (on) {
          ++looks;
          co_await service.Changed("none", 0, clock_.Now() + 60s);
        }
      },
      boost::asio::detached);
  loop_.restart();
  loop_.run_for(300ms);
  on = false;
  EXPECT_GE(looks, 2U);
  EXPECT_LE(looks, 20U);
  loop_.run_for(100ms);
}

TEST_F(ServiceTest, ARetryWhileItsRemovalIsWrittenFindsNothing) {
  Service& service = Open({.slots = 0});
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string& id = accepted->record.id;
  ASSERT_TRUE(Ask([&](Answer answer) { service.Cancel(id, std::move(answer)); }));
  std::optional<Result<JobView>> retried;
  std::optional<Result<JobView>> removed;
  service.Remove(id, [&](Result<JobView> view) { removed.emplace(std::move(view)); });
  service.Retry(id, [&](Result<JobView> view) { retried.emplace(std::move(view)); });
  RunUntil([&] { return retried && removed; });
  EXPECT_TRUE(*removed);
  EXPECT_EQ(retried->error().code, ErrorCode::kNotFound);
  EXPECT_EQ(service.figures().unsaved, 0U);
}

// Somebody else had a hand in the database: what cannot be written is not tried for ever, and nothing of it appears.
TEST_F(ServiceTest, AJobWhoseRecordIsGoneIsLetGo) {
  Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string id = accepted->record.id;
  RunUntil([&] { return service_->figures().running.size() == 1; });
  store_->Commit({.kind = store::Change::Kind::kRemove, .job = accepted->record, .only_if_attempt = {}, .event = {}},
                 [](const Result<store::Committed>& done) { EXPECT_TRUE(done); });
  RunUntil([&] {
    const auto found = service_->Find(id);
    return !found && found.error().code == ErrorCode::kNotFound;
  });
  EXPECT_EQ(service_->figures().unsaved, 0U);
  EXPECT_FALSE(artifacts_->OpenFile(id, "crop.mp4"));
  EXPECT_EQ(ledger_.leased(), Bytes());
}

TEST_F(ServiceTest, LabelsThatWereTakenOutlastARetry) {
  Service& service = Open({.slots = 0});
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string& id = accepted->record.id;
  ASSERT_TRUE(Ask([&](Answer answer) { service.Cancel(id, std::move(answer)); }));
  std::size_t answered = 0;
  service.Change(id, std::nullopt, {{{"a", "b"}}}, [&](const Result<JobView>& view) { answered += view ? 1U : 0U; });
  service.Retry(id, [&](const Result<JobView>& view) { answered += view ? 1U : 0U; });
  RunUntil([&] { return answered == 2; });
  EXPECT_EQ(service.Find(id)->record.labels, R"({"a":"b"})");
  EXPECT_EQ(service.Find(id)->record.state, JobState::kQueued);
}

TEST_F(ServiceTest, KeepsWhatTheChildrenUsedOverTimeAndTheDigestOfTheResult) {
  Service& service = Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  const std::string& id = accepted->record.id;
  EXPECT_EQ(*service.Timeline(id), R"({"attempt":0,"samples":[]})");
  const auto ended = End(id);
  ASSERT_EQ(ended.record.state, JobState::kSucceeded);
  RunUntil([&] { return !service.Timeline(id)->empty(); });
  const auto timeline = boost::json::parse(*service.Timeline(id));
  EXPECT_EQ(timeline.at("attempt"), 1);
  ASSERT_FALSE(timeline.at("samples").as_array().empty());
  std::uint64_t peak = 0;
  for (const auto& sample : timeline.at("samples").as_array()) {
    peak = std::max(peak, sample.at("resident_bytes").to_number<std::uint64_t>());
    EXPECT_GT(sample.at("lease_bytes").to_number<std::uint64_t>(), 0U);
  }
  EXPECT_GT(peak, Bytes::Mib(5).count());
  EXPECT_EQ(service.Timeline("none").error().code, ErrorCode::kNotFound);

  const auto artifact = boost::json::parse(ended.record.outcome).at("artifacts").as_array().front().as_object();
  const auto file = folder_ / "data" / "artifacts" / id / "crop.mp4";
  EXPECT_EQ(artifact.at("sha256").as_string(), WordFrom("sha256sum " + file.string()));
}

TEST_F(ServiceTest, TellsWhatItDecidedAndWhy) {
  Service& service = Open({.slots = 1, .processors = 2});
  const auto first = Submit(Crop());
  const auto second = Submit(Crop());
  ASSERT_TRUE(first && second);
  RunUntil([&] { return service.Find(second->record.id)->live->wait.what == WaitingFor::kSlot; });
  const JobView waiting = *service.Find(second->record.id);
  EXPECT_EQ(waiting.live->wait.holders, 1U);
  ASSERT_TRUE(waiting.live->waiting_since);
  EXPECT_LE(*waiting.live->waiting_since, clock_.WallNow());
  // In pages it is not looked for.
  const auto page = service.List({}, 0, 10);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->jobs.front().live->wait.what, WaitingFor::kNothing);

  const auto ended = End(first->record.id);
  ASSERT_EQ(ended.record.state, JobState::kSucceeded);
  std::vector<std::string> types;
  boost::json::object told;
  const auto events = *service.Events(first->record.id, 0, 100);
  for (const auto& event : events) {
    const auto data = boost::json::parse(event.data).as_object();
    types.emplace_back(event.type == "state" ? std::string(data.at("state").as_string()) : event.type);
    told = event.type == "decision" ? data : told;
  }
  // It came with the change to verifying, if not before.
  EXPECT_EQ(types,
            (std::vector<std::string>{"queued", "running", "decision", "verifying", "publishing", "succeeded"}));
  ASSERT_TRUE(told.contains("decision"));
  EXPECT_EQ(told.at("attempt"), 1);
  const auto outcome = boost::json::parse(ended.record.outcome).as_object();
  EXPECT_EQ(outcome.at("decision"), told.at("note"));
  EXPECT_EQ(told.at("decision").at("plan"), outcome.at("plan").at("name"));
  EXPECT_EQ(told.at("decision").at("available_bytes"), Bytes::Mib(490).count());
  ASSERT_EQ(outcome.at("runs").as_array().size(), 1U);
  EXPECT_EQ(outcome.at("runs").at(0).at("attempt"), 1);
  EXPECT_EQ(outcome.at("runs").at(0).at("plan"), outcome.at("plan").at("name"));
  EXPECT_EQ(service.figures().work_waits.count(), 1U);
  End(second->record.id);
  EXPECT_EQ(service.figures().attempts.count(), 2U);
}

TEST_F(ServiceTest, AJobThatGoesBackToTheQueueSaysWhyAndKeepsIt) {
  Open();
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  RunUntil([&] { return launcher_->living() > 0; });
  Die();
  Service& service = Open({.slots = 0});
  // At rest: on disk only.
  RunUntil([&] { return service.Find(accepted->record.id)->version == 0; });
  const auto found = *service.Find(accepted->record.id);
  EXPECT_EQ(boost::json::parse(found.record.outcome).at("decision"), "back to the queue: weir died while it ran");
}

TEST_F(ServiceTest, ARequestThatThisVersionCannotReadFailsAndSaysSo) {
  JobRecord record{.id = "dddddddddddddddd"};
  Plant(record, R"({"params":{"sise":"180x320"},"input":"clip.mp4","output":"","overwrite":false})");
  Open();
  const auto ended = End(record.id);
  EXPECT_EQ(ended.record.state, JobState::kFailed);
  EXPECT_NE(ended.record.outcome.find("sise"), std::string::npos) << ended.record.outcome;
  EXPECT_EQ(Ask([&](Answer answer) { service_->Retry(record.id, std::move(answer)); }).error().code,
            ErrorCode::kBadParameters);
}

TEST_F(ServiceTest, QuestionsWaitWhileMemoryIsShortAndSomethingWorks) {
  Service& service = Open();
  auto lease = ledger_.Acquire(Bytes::Mib(10), "test");
  ASSERT_TRUE(lease);
  service.SetHeld(true);
  std::size_t answers = 0;
  const auto ask = [&] {
    service.Forecast(Crop(), [&](const Result<Account>& account) { answers += account ? 1U : 0U; });
  };
  ask();
  ask();
  loop_.restart();
  loop_.run_for(300ms);
  EXPECT_EQ(answers, 0U);
  EXPECT_EQ(launcher_->living(), 0U);
  *lease = {};
  service.SetHeld(true);
  std::size_t most = 0;
  RunUntil([&] {
    most = std::max(most, launcher_->living());
    return answers == 2;
  });
  EXPECT_EQ(most, 1U) << "one at a time";
  service.SetHeld(false);
}

TEST_F(ServiceTest, WhoWasSuspendedGoesOnWhenNothingElseWorksAnyMore) {
  MakeClip(folder_ / "media" / "long.mp4", 20);
  Submission slow = Crop("long.mp4");
  slow.params = R"({"size":"180x320","preset":"slow"})";
  // What ends the one that works: a cancellation, or a pause that nobody lifts.
  for (const bool cancelled : {true, false}) {
    service_.reset();
    Service& service = Open({.slots = 2});
    const auto first = Submit(slow);
    const auto second = Submit(slow);
    ASSERT_TRUE(first && second);
    RunUntil([&] {
      return std::ranges::count_if(service.figures().running, [](const auto& job) { return !job.plan.empty(); }) == 2;
    });
    std::string suspended;
    RunUntil([&] {
      suspended = suspended.empty() ? service.SuspendYoungest("test") : suspended;
      return !suspended.empty();
    });
    service.SetHeld(true);
    const std::string other = suspended == first->record.id ? second->record.id : first->record.id;
    EXPECT_EQ(service.SuspendYoungest("test"), "") << "one keeps going";
    ASSERT_TRUE(Ask([&](Answer answer) {
      cancelled ? service.Cancel(other, std::move(answer)) : service.Pause(other, std::move(answer));
    }));
    EXPECT_EQ(End(suspended).record.state, JobState::kSucceeded);
    EXPECT_EQ(service.figures().suspended, 0U);
    if (!cancelled) {
      // Nor does who is paused keep those that wait from their turn.
      const auto third = Submit(Crop());
      ASSERT_TRUE(third);
      EXPECT_EQ(End(third->record.id).record.state, JobState::kSucceeded);
      ASSERT_TRUE(Ask([&](Answer answer) { service.Cancel(other, std::move(answer)); }));
    }
  }
}

TEST_F(ServiceTest, EndedJobsLeaveAfterTheirTimeWithTheirArtefacts) {
  Service& service = Open({}, {.keep_succeeded = 0s});
  const auto accepted = Submit(Crop());
  ASSERT_TRUE(accepted);
  End(accepted->record.id);
  std::this_thread::sleep_for(5ms);
  service.Sweep();
  RunUntil([&] { return !service.Find(accepted->record.id); });
  EXPECT_EQ(service.Find(accepted->record.id).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(folder_ / "data" / "artifacts" / accepted->record.id));
}

}  // namespace
}  // namespace weir::jobs
