// Runs against the real ffmpeg and a real folder; the world is small, the walls are those of this machine.
#include "jobs/run.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <set>

#include "jobs/test_place.h"

namespace weir::jobs {
namespace {

namespace fs = std::filesystem;

// testing::Test has a member of the same name.
using JobRun = Run;

class RunTest : public TestPlace {
 protected:
  RunTest() : clip_(folder_ / "clip.mp4") { MakeClip(clip_, 2); }

  World& MakeWorld(Bytes budget) {
    ledger_ = std::make_unique<memory::Ledger>(budget, Bytes::Mib(10));
    admission_ = std::make_unique<ImmediateAdmission>(loop_, *ledger_);
    world_.emplace(World{.loop = loop_,
                         .aside = aside_,
                         .clock = clock_,
                         .launcher = *launcher_,
                         .ledger = *ledger_,
                         .admission = *admission_,
                         .state = *state_,
                         .tools = TestTools(),
                         .machine = {.cpus = 2},
                         .limits = {}});
    return *world_;
  }

  Ask CropTo(const std::string& name) const {
    media::Crop crop;
    crop.size = media::Size{.width = 180, .height = 320};
    return {.request = media::Request{.recipe = crop}, .input_path = clip_, .output_path = folder_ / name};
  }

  // Everything in the test's folder but the clip and the state.
  std::set<std::string> Left() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      if (name != "clip.mp4" && name != "state") {
        names.insert(name);
      }
    }
    for (const auto& entry : fs::directory_iterator(folder_ / "state" / "runs")) {
      names.insert("record " + entry.path().filename().string());
    }
    return names;
  }

  // Takes the place of ffmpeg.
  void Play(World& world, const std::string& script) {
    const fs::path program = folder_ / "state" / "ffmpeg";
    std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(program, fs::perms::owner_all);
    auto walls = launcher_->walls();
    walls.readable.push_back({.path = program, .fd = -1, .allow = os::FileRule::Allow::kReadExecute});
    launcher_.emplace(loop_, std::move(walls), spawner_);
    world.tools.ffmpeg = program;
  }

  std::optional<Outcome> Finish(JobRun& run, std::optional<Outcome>& outcome) {
    loop_.restart();
    run.Start();
    while (!outcome && loop_.run_one() > 0) {
    }
    return std::move(outcome);
  }

  fs::path clip_;
  std::unique_ptr<memory::Ledger> ledger_;
  std::unique_ptr<ImmediateAdmission> admission_;
  std::optional<World> world_;
};

// Resident, of this process: a child begins as a copy of it, which its high-water mark counts. Instrumented builds
// are larger than any lease.
Bytes OwnSize() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return Bytes(resident * 4096);
}

TEST_F(RunTest, MakesACheckedOutputAndGivesEverythingBack) {
  const Bytes own_size = OwnSize() * 1.1;
  std::optional<Outcome> outcome;
  JobRun run(MakeWorld(Bytes::Mib(400)), CropTo("out.mp4"), {}, [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended);
  ASSERT_TRUE(ended->status) << Describe(ended->status.error());
  EXPECT_TRUE(ended->account.checks.ok());
  EXPECT_EQ(ended->account.attempts.size(), 1U);
  EXPECT_GT(ended->account.attempts[0].measured_peak, Bytes::Mib(30));
  EXPECT_LE(ended->account.attempts[0].measured_peak, std::max(ended->account.attempts[0].forecast.lease, own_size));
  EXPECT_EQ(Left(), std::set<std::string>({"out.mp4"}));
  EXPECT_EQ(ledger_->leased(), Bytes());
  EXPECT_EQ(launcher_->living(), 0U);
}

TEST_F(RunTest, ACheckedOutputTeachesThePeakThatTheKernelKnows) {
  Learning learning({.tool = "test"});
  MakeClip(clip_, 1);  // over before many samples are taken
  for (const std::size_t runs : {1U, 2U}) {
    World& world = MakeWorld(Bytes::Mib(400));
    world.learning = &learning;
    std::optional<Outcome> outcome;
    JobRun run(world, CropTo("out" + std::to_string(runs) + ".mp4"), {},
               [&](Outcome ended) { outcome = std::move(ended); });
    const auto ended = Finish(run, outcome);
    ASSERT_TRUE(ended && ended->status) << Describe(ended->status.error());
    EXPECT_EQ(learning.summary().samples, runs);
    EXPECT_EQ(ended->account.ladder.plans.at(*ended->account.chosen).experience.samples, runs - 1);
    EXPECT_GT(ended->account.attempts.back().measured_peak, Bytes::Mib(44)) << "ffmpeg's libraries alone";
  }
}

TEST_F(RunTest, TheDigestIsOfWhatAppeared) {
  std::optional<Outcome> outcome;
  Ask ask = CropTo("out.mp4");
  ask.digest = true;
  std::string before;
  RunHooks hooks;
  std::size_t samples = 0;
  hooks.on_memory = [&](Bytes resident, Bytes lease) {
    ++samples;
    EXPECT_GT(resident, Bytes());
    EXPECT_GT(lease, Bytes());
  };
  hooks.before_publish = [&](const Account& account, const std::function<void(Status)>& go) {
    before = account.output_sha256;
    go({});
  };
  JobRun run(MakeWorld(Bytes::Mib(400)), ask, hooks, [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended && ended->status) << Describe(ended->status.error());
  EXPECT_EQ(ended->account.output_sha256, WordFrom("sha256sum " + (folder_ / "out.mp4").string()));
  EXPECT_EQ(before, ended->account.output_sha256) << "known before it appears";
  EXPECT_GT(samples, 0U);
}

TEST_F(RunTest, CancelledInAnyPhaseItLeavesNothing) {
  using enum Phase;
  for (const Phase when : {kProbing, kPlanned, kWorking, kVerifying, kPublishing}) {
    std::optional<Outcome> outcome;
    JobRun* running = nullptr;
    RunHooks hooks;
    hooks.on_phase = [&](Phase phase, const Account&) {
      if (phase == when) {
        running->Cancel({.code = ErrorCode::kInterrupted, .detail = "test"});
      }
    };
    const std::string name = "out" + std::to_string(static_cast<int>(when)) + ".mp4";
    JobRun run(MakeWorld(Bytes::Mib(400)), CropTo(name), std::move(hooks),
               [&](Outcome ended) { outcome = std::move(ended); });
    running = &run;
    const auto ended = Finish(run, outcome);
    ASSERT_TRUE(ended);
    ASSERT_FALSE(ended->status);
    EXPECT_EQ(ended->status.error().code, ErrorCode::kInterrupted);
    EXPECT_EQ(Left(), std::set<std::string>()) << "phase " << static_cast<int>(when);
    EXPECT_EQ(ledger_->leased(), Bytes());
    EXPECT_EQ(launcher_->living(), 0U);
  }
}

TEST_F(RunTest, CancelledWhileTheDiskKeepsItWaitingItEndsAtOnceAndLeavesNothing) {
  std::promise<void> disk;
  boost::asio::post(aside_, [ready = disk.get_future().share()] { ready.wait(); });
  std::optional<Outcome> outcome;
  bool publishing = false;
  RunHooks hooks;
  hooks.on_phase = [&](Phase phase, const Account&) { publishing = phase == Phase::kPublishing; };
  JobRun run(MakeWorld(Bytes::Mib(400)), CropTo("out.mp4"), std::move(hooks),
             [&](Outcome ended) { outcome = std::move(ended); });
  run.Start();
  while (!publishing && loop_.run_one() > 0) {
  }
  run.Cancel({.code = ErrorCode::kInterrupted, .detail = "test"});
  while (!outcome && loop_.run_one() > 0) {
  }
  disk.set_value();
  aside_.join();
  loop_.poll();
  ASSERT_TRUE(outcome);
  ASSERT_FALSE(outcome->status);
  EXPECT_EQ(outcome->status.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(Left(), std::set<std::string>());
}

TEST_F(RunTest, DestroyedWhileItWorksItLeavesNothingAndCallsNobody) {
  bool called = false;
  bool working = false;
  RunHooks hooks;
  hooks.on_phase = [&](Phase phase, const Account&) { working = phase == Phase::kWorking; };
  auto run = std::make_unique<JobRun>(MakeWorld(Bytes::Mib(400)), CropTo("out.mp4"), std::move(hooks),
                                      [&](Outcome) { called = true; });
  run->Start();
  while (!working && loop_.run_one() > 0) {
  }
  ASSERT_TRUE(working);
  run.reset();
  EXPECT_EQ(launcher_->living(), 0U);
  EXPECT_EQ(ledger_->leased(), Bytes());
  EXPECT_EQ(Left(), std::set<std::string>());
  loop_.poll();
  EXPECT_FALSE(called);
}

TEST_F(RunTest, RefusesBeforeAnyWorkWhatFitsNoPlan) {
  std::optional<Outcome> outcome;
  bool worked = false;
  RunHooks hooks;
  hooks.on_phase = [&](Phase phase, const Account&) { worked = worked || phase == Phase::kWorking; };
  auto ask = CropTo("out.mp4");
  std::get<media::Crop>(ask.request->recipe).size = media::Size{.width = 2160, .height = 3840};
  JobRun run(MakeWorld(Bytes::Mib(120)), ask, std::move(hooks), [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended);
  ASSERT_FALSE(ended->status);
  EXPECT_EQ(ended->status.error().code, ErrorCode::kOverBudget);
  EXPECT_FALSE(worked);
  EXPECT_EQ(Left(), std::set<std::string>());
}

TEST_F(RunTest, AKilledChildWhoseRoomABudgetOfNowHasNoMoreLeavesWhatThereIsToTheNext) {
  World& world = MakeWorld(Bytes::Mib(400));
  Play(world, "echo 'Cannot allocate memory' >&2; exit 1");
  std::optional<Outcome> outcome;
  RunHooks hooks;
  hooks.on_phase = [&](Phase phase, const Account& account) {
    if (phase == Phase::kWorking && account.attempts.empty()) {
      const Bytes leanest = account.ladder.plans.back().forecast.needed;
      EXPECT_LT(leanest, ledger_->leased());
      ledger_->SetBudget(leanest + ledger_->own_use());
    } else if (phase == Phase::kWorking) {
      world.tools = TestTools();
    }
  };
  JobRun run(world, CropTo("out.mp4"), std::move(hooks), [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended);
  ASSERT_TRUE(ended->status) << Describe(ended->status.error());
  ASSERT_EQ(ended->account.attempts.size(), 2U);
  EXPECT_EQ(ended->account.attempts[0].ending, "oom_killed");
  EXPECT_LT(ended->account.attempts[1].forecast.lease, ended->account.attempts[0].forecast.lease);
}

TEST_F(RunTest, WhatIsDoneIsCheckedWithTheLeaseOfTheWorkWhateverTheBudgetIsNow) {
  std::optional<Outcome> outcome;
  RunHooks hooks;
  hooks.on_phase = [&](Phase phase, const Account&) {
    if (phase == Phase::kVerifying) {
      ledger_->SetBudget(Bytes::Mib(20));
    }
  };
  JobRun run(MakeWorld(Bytes::Mib(400)), CropTo("out.mp4"), std::move(hooks),
             [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended);
  ASSERT_TRUE(ended->status) << Describe(ended->status.error());
  EXPECT_TRUE(ended->account.checks.ok());
  EXPECT_EQ(ledger_->leased(), Bytes());
  EXPECT_EQ(Left(), std::set<std::string>({"out.mp4"}));
}

TEST_F(RunTest, AForecastStartsNothingButTheProbe) {
  std::optional<Outcome> outcome;
  auto ask = CropTo("");
  ask.output_path.clear();
  JobRun run(MakeWorld(Bytes::Mib(400)), ask, {}, [&](Outcome ended) { outcome = std::move(ended); });
  const auto ended = Finish(run, outcome);
  ASSERT_TRUE(ended && ended->status);
  EXPECT_TRUE(ended->account.chosen);
  EXPECT_TRUE(ended->account.attempts.empty());
  EXPECT_EQ(Left(), std::set<std::string>());
}

}  // namespace
}  // namespace weir::jobs
