// The service over a real database, a real folder and the real ffmpeg: what restarts find, and what callers are told.
#include "jobs/service.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "os/cgroup.h"
#include "os/sandbox.h"

namespace weir::jobs {
namespace {

namespace fs = std::filesystem;
using store::JobRecord;
using store::JobState;
using namespace std::chrono_literals;

// testing::Test has a member of the same name.
using Service = JobService;

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    std::string pattern = (fs::temp_directory_path() / "weir-service-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const char* name : {"media", "data"}) {
      fs::create_directory(folder_ / name);
    }
    ::setenv("WEIR_STATE_DIR", (folder_ / "state").c_str(), 1);
    const std::string command =
        "ffmpeg -hide_banner -nostdin -v error -f lavfi -i testsrc2=s=320x240:r=25:d=1 -f lavfi -i sine=d=1 "
        "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -y " +
        (folder_ / "media" / "clip.mp4").string();
    EXPECT_EQ(std::system(command.c_str()), 0);
    state_.emplace(*store::StateFolder::Open());
    process::Walls walls;
    walls.support = os::DetectSandbox();
    walls.cgroups = os::CgroupRoot::Detect();
    walls.seccomp = *os::BuildSeccomp();
    for (const char* path : {"/usr", "/lib", "/lib64"}) {
      walls.readable.push_back({.path = path, .fd = -1, .allow = os::FileRule::Allow::kReadExecute});
    }
    launcher_.emplace(loop_, std::move(walls), spawner_);
    roots_.emplace(*store::MediaRoots::Open({(folder_ / "media").string()}));
    artifacts_.emplace(*store::Artifacts::Open((folder_ / "data").string()));
    OpenStore();
  }
  ~ServiceTest() override {
    service_.reset();
    store_.reset();
    ::unsetenv("WEIR_STATE_DIR");
    fs::remove_all(folder_);
  }

  void OpenStore() {
    store_ = std::move(*store::JobStore::Open(
        (folder_ / "data").string(),
        [this](std::function<void()> call) { boost::asio::post(loop_, std::move(call)); }, {}));
  }

  Service& Open(SchedulerSettings order = {}, ServiceSettings settings = {}) {
    auto opened =
        Service::Open({.loop = loop_,
                       .clock = clock_,
                       .ledger = ledger_,
                       .launcher = *launcher_,
                       .state = *state_,
                       .aside = aside_,
                       .store = *store_,
                       .roots = *roots_,
                       .artifacts = *artifacts_,
                       .tools = {.ffmpeg = "/usr/bin/ffmpeg", .ffprobe = "/usr/bin/ffprobe", .version = "test"},
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
  void Plant(JobRecord record) {
    record.recipe = "crop";
    record.labels = "{}";
    record.request = R"({"params":{"size":"180x320"},"input":"clip.mp4","output":"","overwrite":false})";
    bool done = false;
    store_->Commit({.kind = store::Change::Kind::kInsert, .job = record, .only_if_attempt = {}, .event = {}},
                   [&](const Result<store::Committed>& committed) {
                     EXPECT_TRUE(committed) << Describe(committed.error());
                     done = true;
                   });
    RunUntil([&] { return done; });
  }

  fs::path folder_;
  boost::asio::io_context loop_{1};
  boost::asio::thread_pool aside_{1};
  SystemClock clock_;
  process::RealSpawner spawner_;
  memory::Ledger ledger_{Bytes::Mib(500), Bytes::Mib(10)};
  std::optional<store::StateFolder> state_;
  std::optional<process::Launcher> launcher_;
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
  EXPECT_EQ(store_->Active()->size(), 0U);
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
  EXPECT_EQ(store_->List({}, 0, 10)->size(), 1U);
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
