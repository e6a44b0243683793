// The scheduler under a long and mixed load: time is turned by hand, jobs are numbers, nothing runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "jobs/scheduler.h"

namespace weir::jobs {
namespace {

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kJobs = 10'000;
#else
constexpr std::size_t kJobs = 100'000;
#endif
constexpr std::size_t kOwners = 20;
constexpr std::size_t kSlots = 8;
constexpr std::size_t kMostQueued = 1'700;
constexpr std::size_t kMostSteps = 3;
constexpr seconds kAgeing{30};
constexpr seconds kLongestStep{90};
const Bytes kBudget = Bytes::Mib(1000);
const Bytes kOwnUse = Bytes::Mib(40);
const std::array<Bytes, 2> kDiskSize{Bytes::Gib(20), Bytes::Gib(8)};

struct Owner {
  std::multiset<SteadyTime> ready;   // since when, for each of its jobs that could start
  std::multiset<SteadyTime> claims;  // of the same jobs, by their own age
  SteadyTime last_start = SteadyTime::min();
  SteadyTime::duration longest_gap{};
};

enum class Stage : std::uint8_t { kToCome, kReady, kBackOff, kPaused, kAsking, kLeased, kEnded };

struct SimJob {
  std::size_t owner = 0;
  int priority = 50;
  std::size_t steps = 1;
  bool large = false;
  bool hopeless = false;  // its first step fits no budget or no disk
  Stage stage = Stage::kToCome;
  std::size_t done = 0;
  int retries = 0;
  unsigned life = 0;  // events of earlier ones are void
  SteadyTime not_before{};
  SteadyTime enqueued{};
  SteadyTime claim{};
  SteadyTime ready_since{};
  SteadyTime started{};
  SteadyTime asked{};
  std::size_t disk = 0;
  Bytes will_write;  // when granted
  Bytes writes;      // reserved now
  memory::Lease lease;
};

enum class What : std::uint8_t { kArrive, kStepEnd, kCancel, kPause, kResume, kPriority, kDiskNoise, kWake };

class Simulation {
 public:
  explicit Simulation(unsigned seed) : random_(seed) {
    SchedulerSettings settings;
    settings.slots = kSlots;
    settings.most_queued = kMostQueued;
    scheduler_ = std::make_unique<Scheduler>(clock_, ledger_, settings);
    MakeJobs();
  }

  void Run() {
    while (ended_ < jobs_.size()) {
      if (!Check(!events_.empty(), "nothing happens any more, but jobs have not ended") ||
          !Check(handled_ < 200 * jobs_.size(), "time passes, but jobs do not end")) {
        return;
      }
      const Event event = events_.top();
      events_.pop();
      clock_.Advance(event.at - clock_.Now());
      Handle(event);
      Pump();
      ++handled_;
      if (failed_) {
        return;
      }
    }
    for (Owner& owner : owners_) {
      Check(owner.ready.empty(), "a job is still ready");
    }
    Check(ledger_.leased() == Bytes() && scheduler_->figures().running == 0 && scheduler_->figures().queued == 0 &&
              scheduler_->figures().needs_waiting == 0,
          "something is left");
    Bounds();
    Print();
  }

 private:
  struct Event {
    SteadyTime at;
    std::uint64_t number;
    What what;
    std::size_t job;
    unsigned life;
    bool operator>(const Event& other) const { return std::tie(at, number) > std::tie(other.at, other.number); }
  };

  std::uint64_t Below(std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random_);
  }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }
  Duration Between(seconds low, seconds high) {
    return low + std::chrono::milliseconds(Below(static_cast<std::uint64_t>((high - low).count()) * 1000 + 1));
  }

  bool Check(bool good, const char* what) {
    if (!good && !failed_) {
      failed_ = true;
      ADD_FAILURE() << what << " after " << handled_ << " events, " << ended_ << " jobs ended";
    }
    return good;
  }

  void At(SteadyTime at, What what, std::size_t job = 0, unsigned life = 0) {
    events_.push({.at = at, .number = ++numbers_, .what = what, .job = job, .life = life});
  }

  void MakeJobs() {
    jobs_.resize(kJobs);
    // Bursts: some owners flood, others come with one job at a time.
    SteadyTime at{};
    for (std::size_t i = 0; i < kJobs;) {
      const std::size_t owner = Below(kOwners);
      const std::size_t burst = OneIn(20) ? 1 + Below(600) : 1 + Below(5);
      at += std::chrono::milliseconds(Below(2 * burst * 15'800));
      for (std::size_t n = 0; n < burst && i < kJobs; ++n, ++i) {
        SimJob& job = jobs_[i];
        job.owner = owner;
        job.priority = static_cast<int>(OneIn(2) ? 50 : Below(101));
        job.steps = 1 + Below(kMostSteps);
        job.large = OneIn(100);
        job.hopeless = OneIn(1000);
        At(at, What::kArrive, i);
        if (OneIn(8)) {
          At(at + Between(seconds(0), hours(1)), What::kCancel, i);
        }
        if (OneIn(10)) {
          const SteadyTime pause = at + Between(seconds(0), minutes(20));
          At(pause, What::kPause, i);
          At(pause + Between(seconds(0), hours(2)), What::kResume, i);
        }
        if (OneIn(10)) {
          At(at + Between(seconds(0), hours(1)), What::kPriority, i);
        }
      }
    }
    for (SteadyTime noise{}; noise < at; noise += minutes(10)) {
      At(noise, What::kDiskNoise);
    }
  }

  static std::string IdOf(std::size_t job) { return std::to_string(job); }

  void SetStage(SimJob& job, Stage stage) {
    Owner& owner = owners_[job.owner];
    if (job.stage == Stage::kReady) {
      owner.ready.erase(owner.ready.find(job.ready_since));
      owner.claims.erase(owner.claims.find(job.claim));
      --ready_;
    }
    job.stage = stage;
    if (stage == Stage::kReady) {
      job.ready_since = clock_.Now();
      owner.ready.insert(job.ready_since);
      job.claim = job.enqueued - kAgeing * job.priority;
      owner.claims.insert(job.claim);
      ++ready_;
    }
    if (stage == Stage::kEnded) {
      ++ended_;
    }
  }

  void EndStep(SimJob& job) {
    job.lease = memory::Lease();
    reserved_[job.disk] -= job.writes;
    job.writes = Bytes();
  }

  void Leave(std::size_t i) {  // wherever it is
    SimJob& job = jobs_[i];
    if (job.stage == Stage::kAsking || job.stage == Stage::kLeased) {
      --running_;
      longest_turn_ = std::max(longest_turn_, clock_.Now() - job.started);
      EndStep(job);
    }
    scheduler_->Remove(IdOf(i));
    ++job.life;
  }

  void Enqueue(std::size_t i, bool again) {
    SimJob& job = jobs_[i];
    Place place{.id = IdOf(i), .owner = std::to_string(job.owner), .priority = job.priority};
    place.created = clock_.WallNow();
    if (again) {
      job.not_before = clock_.Now() + Between(seconds(1), minutes(10));
      place.not_before = job.not_before;
    }
    if (!scheduler_->Enqueue(std::move(place), again)) {
      ++busy_;
      Check(!again && scheduler_->figures().queued >= kMostQueued, "refused without reason");
      At(clock_.Now() + Between(hours(1), hours(4)), What::kArrive, i);
      return;
    }
    job.enqueued = clock_.Now();
    SetStage(job, again ? Stage::kBackOff : Stage::kReady);
    if (again) {
      backing_off_.emplace(job.not_before, i);
    }
    most_queued_ = std::max(most_queued_, scheduler_->figures().queued);
  }

  void Fail(std::size_t i) {
    SimJob& job = jobs_[i];
    Leave(i);
    if (job.hopeless || job.retries == 2) {
      ++failures_;
      SetStage(job, Stage::kEnded);
      return;
    }
    ++job.retries;
    ++retries_;
    job.done = 0;
    Enqueue(i, true);
  }

  void Cancel(std::size_t i) {
    SimJob& job = jobs_[i];
    if (job.stage == Stage::kEnded || job.stage == Stage::kToCome) {
      return;
    }
    ++cancelled_[static_cast<std::size_t>(job.stage)];
    Leave(i);
    SetStage(job, Stage::kEnded);
  }

  void Ask(std::size_t i) {
    SimJob& job = jobs_[i];
    EndStep(job);
    ++job.life;
    SetStage(job, Stage::kAsking);
    job.asked = clock_.Now();
    Need need{.job = IdOf(i)};
    const Bytes first = Bytes::Mib(20 + Below(380));
    need.ways = {{.memory = first}, {.memory = first * 0.6}, {.memory = first * 0.35}};
    need.ways.resize(1 + Below(3));
    if (job.large) {
      need.ways = {{.memory = (kBudget - kOwnUse) * 0.9}};
    }
    job.disk = Below(2);
    need.disk = OneIn(3) ? Bytes() : Bytes::Mib(1 + Below(OneIn(10) ? 7000 : 1500));
    if (job.hopeless) {
      if (OneIn(2)) {
        need.disk = Bytes::Gib(30);
      } else {
        need.ways = {{.memory = kBudget}};
      }
    }
    need.disk_name = std::to_string(job.disk);
    need.disk_free = [this, disk = job.disk] { return kDiskSize[disk] - noise_[disk]; };
    job.will_write = need.disk;
    if (const Status asked = scheduler_->Ask(std::move(need)); !asked) {
      ++refused_;
      Check(asked.error().code == ErrorCode::kDiskFull ||
                (job.hopeless && asked.error().code == ErrorCode::kOverBudget),
            "refused for another reason");
      Fail(i);
    }
  }

  void Handle(const Event& event) {
    SimJob& job = jobs_[event.job];
    switch (event.what) {
      case What::kArrive:
        Enqueue(event.job, false);
        break;
      case What::kStepEnd:
        if (event.life != job.life) {
          break;
        }
        if (OneIn(30)) {
          Fail(event.job);
        } else if (++job.done < job.steps) {
          Ask(event.job);
        } else {
          Leave(event.job);
          SetStage(job, Stage::kEnded);
          ++finished_;
        }
        break;
      case What::kCancel:
        Cancel(event.job);
        break;
      case What::kPause:
        if (job.stage == Stage::kReady || job.stage == Stage::kBackOff) {
          scheduler_->SetPaused(IdOf(event.job), true);
          SetStage(job, Stage::kPaused);
          ++pauses_;
        }
        break;
      case What::kResume:
        if (job.stage == Stage::kPaused) {
          scheduler_->SetPaused(IdOf(event.job), false);
          const bool early = job.not_before > clock_.Now();
          SetStage(job, early ? Stage::kBackOff : Stage::kReady);
          if (early) {
            backing_off_.emplace(job.not_before, event.job);
          }
        }
        break;
      case What::kPriority:
        job.priority = static_cast<int>(Below(101));
        scheduler_->SetPriority(IdOf(event.job), job.priority);
        if (job.stage == Stage::kReady) {
          Owner& owner = owners_[job.owner];
          owner.claims.erase(owner.claims.find(job.claim));
          job.claim = job.enqueued - kAgeing * job.priority;
          owner.claims.insert(job.claim);
        }
        break;
      case What::kDiskNoise:
        noise_ = {Bytes::Mib(Below(9000)), Bytes::Mib(Below(6000))};
        break;
      case What::kWake:
        wake_.reset();
        break;
    }
  }

  void Started(std::size_t i) {
    SimJob& job = jobs_[i];
    Owner& owner = owners_[job.owner];
    if (!Check(job.stage == Stage::kReady, "a job started that was not ready")) {
      return;
    }
    Check(job.claim == *owner.claims.begin(), "a job that its owner had a better one for");
    const SteadyTime since = std::max(owner.last_start, *owner.ready.begin());
    owner.longest_gap = std::max(owner.longest_gap, clock_.Now() - since);
    owner.last_start = clock_.Now();
    job.started = clock_.Now();
    Check(++running_ <= kSlots, "more slots than there are");
    SetStage(job, Stage::kAsking);
    Ask(i);
    if (OneIn(500)) {
      Cancel(i);
    }
  }

  void Granted(std::size_t i, Grant grant) {
    SimJob& job = jobs_[i];
    Check(job.stage == Stage::kAsking, "a grant to a job that did not ask");
    const Duration waited = clock_.Now() - job.asked;
    Duration& longest = job.large ? longest_large_wait_ : longest_wait_;
    longest = std::max(longest, waited);
    job.lease = std::move(grant.lease);
    job.writes = job.will_write;
    reserved_[job.disk] += job.writes;
    Check(job.writes == Bytes() || reserved_[job.disk] + Bytes::Mib(512) + noise_[job.disk] <= kDiskSize[job.disk],
          "more disk promised than there is");
    SetStage(job, Stage::kLeased);
    ++grants_;
    leaner_ += grant.way > 0 ? 1 : 0;
    At(clock_.Now() +
           Between(seconds(2), seconds(60)) * (2 + static_cast<int>(std::min<std::size_t>(grant.way, 1))) / 2,
       What::kStepEnd, i, job.life);
    if (OneIn(500)) {
      Cancel(i);
    }
  }

  void Pump() {
    while (!backing_off_.empty() && backing_off_.begin()->first <= clock_.Now()) {
      const auto [at, i] = *backing_off_.begin();
      backing_off_.erase(backing_off_.begin());
      if (jobs_[i].stage == Stage::kBackOff && jobs_[i].not_before == at) {
        SetStage(jobs_[i], Stage::kReady);
      }
    }
    for (bool moved = true; moved && !failed_;) {
      moved = false;
      while (const auto id = scheduler_->NextStart()) {
        moved = true;
        Started(std::stoul(*id));
      }
      while (auto next = scheduler_->NextGrant()) {
        moved = true;
        const std::size_t i = std::stoul(next->first);
        if (next->second) {
          Granted(i, *std::move(next->second));
        } else {
          ++refused_late_;
          Fail(i);
        }
        Check(ledger_.leased() <= kBudget - kOwnUse, "above the budget");
      }
    }
    const SchedulerFigures figures = scheduler_->figures();
    Check(figures.running == running_, "running miscounted");
    Check(running_ == kSlots || ready_ == 0, "a slot is free and a job could have it");
    Check(ledger_.lease_count() > 0 || figures.needs_waiting == 0, "nothing is leased and a step waits");
    if (const auto next = scheduler_->NextChange(); next && (!wake_ || *next < *wake_)) {
      Check(*next > clock_.Now(), "a change that is due already");
      wake_ = next;
      At(*next, What::kWake);
    }
  }

  // What scheduler.h promises, with the lengths of turns that were seen. An owner: by then it is 101 points up, and
  // every other one goes before it at most once. A step: by then no better claim comes any more, and all that are
  // there are served one after another, for disk and again for memory.
  void Bounds() {
    const Duration turns = longest_turn_ * static_cast<int>((kOwners - 1 + kSlots - 1) / kSlots + 1);
    for (const Owner& owner : owners_) {
      longest_gap_ = std::max(longest_gap_, owner.longest_gap);
    }
    EXPECT_LE(longest_gap_, kAgeing * 101 + turns);
    const Duration steps =
        kAgeing * 101 + seconds(10) + kLongestStep * static_cast<int>(2 * (kOwners + kSlots) * kMostSteps);
    EXPECT_LE(longest_wait_, steps);
    EXPECT_LE(longest_large_wait_, steps);
  }

  void Print() const {
    const auto in = [](Duration d) { return static_cast<long>(duration_cast<seconds>(d).count()); };
    std::printf(
        "  %zu jobs, %zu events, %ld h: finished %zu, failed %zu, cancelled in line %zu, backing off %zu, paused "
        "%zu, asking %zu, running %zu\n",
        jobs_.size(), handled_, in(clock_.Now() - SteadyTime()) / 3600, finished_, failures_,
        CancelledIn(Stage::kReady), CancelledIn(Stage::kBackOff), CancelledIn(Stage::kPaused),
        CancelledIn(Stage::kAsking), CancelledIn(Stage::kLeased));
    std::printf(
        "  retries %zu, pauses %zu, busy %zu, refused %zu and late %zu, longest queue %zu, grants %zu (leaner "
        "%zu, passing %zu)\n",
        retries_, pauses_, busy_, refused_, refused_late_, most_queued_, grants_, leaner_,
        static_cast<std::size_t>(scheduler_->figures().passed));
    std::printf("  longest: turn %ld s, owner without a start %ld s, step waiting %ld s, large step waiting %ld s\n",
                in(longest_turn_), in(longest_gap_), in(longest_wait_), in(longest_large_wait_));
  }
  [[nodiscard]] std::size_t CancelledIn(Stage stage) const { return cancelled_[static_cast<std::size_t>(stage)]; }

  std::mt19937_64 random_;
  ManualClock clock_;
  memory::Ledger ledger_{kBudget, kOwnUse};
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<SimJob> jobs_;
  std::array<Owner, kOwners> owners_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::multiset<std::pair<SteadyTime, std::size_t>> backing_off_;
  std::array<Bytes, 2> noise_;
  std::array<Bytes, 2> reserved_;
  std::optional<SteadyTime> wake_;
  std::uint64_t numbers_ = 0;
  std::size_t handled_ = 0, ended_ = 0, finished_ = 0, failures_ = 0, retries_ = 0, pauses_ = 0, busy_ = 0;
  std::size_t refused_ = 0, refused_late_ = 0, grants_ = 0, leaner_ = 0, most_queued_ = 0, ready_ = 0, running_ = 0;
  std::array<std::size_t, 7> cancelled_{};
  Duration longest_turn_{}, longest_gap_{}, longest_wait_{}, longest_large_wait_{};
  bool failed_ = false;
};

class SchedulerSimulationTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(SchedulerSimulationTest, EveryJobEndsWithinBounds) { Simulation(GetParam()).Run(); }

// All owners have the same mix of work from the beginning, in more or less random order.
TEST_P(SchedulerSimulationTest, EqualOwnersGetEqualService) {
  for (const bool same_priority : {true, false}) {
    constexpr int kEach = 1000;
    std::mt19937_64 random(GetParam());
    const auto below = [&](int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); };
    ManualClock clock;
    memory::Ledger ledger(Bytes(1), Bytes());
    SchedulerSettings settings;
    settings.slots = kSlots;
    settings.most_queued = kOwners * kEach;
    Scheduler scheduler(clock, ledger, settings);
    std::array<int, kOwners> left{};
    for (std::size_t owner = 0; owner < kOwners; ++owner) {
      for (int i = 0; i < kEach; ++i, ++left[owner]) {
        ASSERT_TRUE(scheduler.Enqueue({.id = std::to_string(owner) + "." + std::to_string(i),
                                       .owner = std::to_string(owner),
                                       .priority = same_priority ? 50 : below(101)}));
      }
    }
    std::array<Duration, kOwners> service{};
    std::multimap<SteadyTime, std::string> ends;
    while (std::ranges::min(left) > 0) {
      while (const auto id = scheduler.NextStart()) {
        const std::size_t owner = std::stoul(*id);
        const Duration turn = std::chrono::milliseconds(5'000 + below(100'000));
        --left[owner];
        service[owner] += turn;
        ends.emplace(clock.Now() + turn, *id);
      }
      clock.Advance(ends.begin()->first - clock.Now());
      scheduler.Remove(ends.begin()->second);
      ends.erase(ends.begin());
    }
    const auto [least, most] = std::ranges::minmax(service);
    std::printf("  %s: least %.0f s, most %.0f s\n", same_priority ? "one priority" : "random priorities",
                Seconds(least), Seconds(most));
    EXPECT_LE(Seconds(most), 1.1 * Seconds(least));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerSimulationTest, ::testing::Values(1U, 2U, 3U));

}  // namespace
}  // namespace weir::jobs
