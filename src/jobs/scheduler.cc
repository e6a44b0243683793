#include "jobs/scheduler.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "jobs/scheduler_line.h"
#include "jobs/scheduler_needs.h"

namespace weir::jobs {
namespace {

// A hundred points of priority stay far within what a time can hold.
constexpr std::chrono::seconds kLeastAgeing{1};
constexpr std::chrono::seconds kMostAgeing = std::chrono::days(365);
constexpr int kHighest = 100;

SchedulerSettings Sane(SchedulerSettings settings) {
  settings.ageing = std::clamp(settings.ageing, kLeastAgeing, kMostAgeing);
  settings.patience = std::clamp(settings.patience, std::chrono::seconds(0), kMostAgeing);
  return settings;
}

enum class Where : std::uint8_t { kAside, kBackingOff, kInLine, kHasSlot };

struct Job : LineJob {
  std::optional<SteadyTime> not_before;
  bool paused = false;
  Where where = Where::kAside;
};

}  // namespace

const char* NameOf(WaitingFor reason) {
  switch (reason) {
    case WaitingFor::kNothing:
      return "";
    case WaitingFor::kSlot:
      return "slot";
    case WaitingFor::kProcessor:
      return "processor";
    case WaitingFor::kMemory:
      return "memory";
    case WaitingFor::kDisk:
      return "disk";
    case WaitingFor::kTime:
      return "time";
    case WaitingFor::kPause:
      return "pause";
    case WaitingFor::kDrain:
      return "drain";
    case WaitingFor::kPressure:
      return "pressure";
  }
  return "";
}

const char* NameOf(PassedFor reason) {
  switch (reason) {
    case PassedFor::kMemory:
      return "memory";
    case PassedFor::kProcessors:
      return "processors";
    case PassedFor::kCompany:
      return "company";
    case PassedFor::kEnd:
      return "end";
    case PassedFor::kYield:
      return "yield";
    case PassedFor::kBudget:
      return "budget";
    case PassedFor::kFailed:
      return "failed";
    case PassedFor::kEarlier:
      return "earlier";
  }
  return "";
}

class Scheduler::Impl {
 public:
  Impl(const Clock& clock, memory::Ledger& ledger, const SchedulerSettings& settings)
      : clock_(clock), settings_(settings), line_(settings.ageing), needs_(ledger, settings) {}

  Status Enqueue(Place place, bool beyond_limit) {
    if (jobs_.contains(place.id)) {
      return Fail(ErrorCode::kConflict, "job " + Quoted(place.id) + " is in the queue already");
    }
    if (!beyond_limit && queued() >= settings_.most_queued) {
      return Fail(Error{.code = ErrorCode::kBusy,
                        .detail = std::to_string(queued()) + " jobs are waiting already; the limit is " +
                                  std::to_string(settings_.most_queued)}
                      .With("waiting", queued())
                      .With("limit", settings_.most_queued));
    }
    Job& job = jobs_[place.id];
    job.id = std::move(place.id);
    job.owner_name = std::move(place.owner);
    job.priority = std::clamp(place.priority, 0, kHighest);
    job.created = place.created;
    job.enqueued = clock_.Now();
    job.number = ++numbers_;
    job.not_before = place.not_before;
    job.paused = place.paused;
    Settle(job);
    return {};
  }

  void Remove(const std::string& id) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) {
      return;
    }
    Job& job = found->second;
    if (job.where == Where::kHasSlot) {
      needs_.Withdraw(id);
      line_.End(job);
      --running_;
    } else {
      Unsettle(job);
    }
    jobs_.erase(found);
  }

  void SetPriority(const std::string& id, int priority) {
    Job* const job = Find(id);
    if (job == nullptr) {
      return;
    }
    priority = std::clamp(priority, 0, kHighest);
    if (job->where == Where::kHasSlot) {
      job->priority = priority;
      needs_.SetClaim(id, ClaimOf(*job));
      return;
    }
    Unsettle(*job);
    job->priority = priority;
    Settle(*job);
  }

  void SetPaused(const std::string& id, bool paused) {
    Job* const job = Find(id);
    if (job == nullptr) {
      return;
    }
    if (job->where == Where::kHasSlot) {
      return needs_.SetPaused(id, paused);
    }
    Unsettle(*job);
    job->paused = paused;
    Settle(*job);
  }

  std::optional<std::string> NextStart() {
    const SteadyTime now = clock_.Now();
    while (!backing_off_.empty() && (*backing_off_.begin())->not_before <= now) {
      Job& job = **backing_off_.begin();
      Unsettle(job);
      Settle(job);
    }
    if (draining_ || running_ >= settings_.slots || (needs_.held() && going() > 0)) {
      return std::nullopt;
    }
    LineJob* const chosen = line_.Start(now);
    if (chosen == nullptr) {
      return std::nullopt;
    }
    static_cast<Job*>(chosen)->where = Where::kHasSlot;
    ++running_;
    ++started_;
    needs_.Expect(chosen->id);
    return chosen->id;
  }

  Status Ask(Need need) {
    const Job* const job = Find(need.job);
    if (job == nullptr || job->where != Where::kHasSlot) {
      return Fail(ErrorCode::kConflict, "job " + Quoted(need.job) + " asks for memory without having a slot");
    }
    if (needs_.Asks(need.job)) {
      return Fail(ErrorCode::kConflict, "job " + Quoted(need.job) + " asks for memory already");
    }
    return needs_.Ask(std::move(need), ClaimOf(*job), clock_.Now());
  }

  [[nodiscard]] std::optional<SteadyTime> NextChange() const {
    std::optional<SteadyTime> next = needs_.NextChange(clock_.Now());
    if (!backing_off_.empty()) {
      const SteadyTime over = *(*backing_off_.begin())->not_before;
      next = next ? std::min(*next, over) : over;
    }
    return next;
  }

  std::optional<std::pair<std::string, Result<Grant>>> NextGrant() {
    return needs_.Next(clock_.Now(), draining_ ? 0 : line_.size());
  }

  [[nodiscard]] bool Knows(const std::string& id) const { return jobs_.contains(id); }

  [[nodiscard]] WaitingFor ReasonOf(const std::string& id) const {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) {
      return WaitingFor::kNothing;
    }
    const Job& job = found->second;
    if (job.where == Where::kHasSlot) {
      return needs_.ReasonOf(id);
    }
    if (job.paused) {
      return WaitingFor::kPause;
    }
    if (job.not_before && *job.not_before > clock_.Now()) {
      return WaitingFor::kTime;
    }
    if (draining_) {
      return WaitingFor::kDrain;
    }
    return needs_.held() && going() > 0 ? WaitingFor::kPressure : WaitingFor::kSlot;
  }

  [[nodiscard]] Wait WaitOf(const std::string& id) const {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) {
      return {};
    }
    const Job& job = found->second;
    if (job.where == Where::kHasSlot) {
      return needs_.WaitOf(id);
    }
    Wait wait{.what = ReasonOf(id), .since = job.enqueued};
    if (wait.what == WaitingFor::kTime) {
      wait.until = job.not_before;
    } else if (wait.what != WaitingFor::kPause) {
      wait.all = static_cast<double>(settings_.slots);
      wait.idle = static_cast<double>(settings_.slots - std::min(running_, settings_.slots));
      wait.holders = wait.what == WaitingFor::kPressure ? going() : running_;
    } else {
      wait.since.reset();  // nobody noted when it was paused
    }
    return wait;
  }

  [[nodiscard]] std::optional<std::size_t> PositionOf(const std::string& id) const {
    const auto found = jobs_.find(id);
    if (found == jobs_.end() || found->second.where == Where::kHasSlot) {
      return std::nullopt;
    }
    const Job& job = found->second;
    if (job.where == Where::kInLine) {
      return line_.PositionOf(job, clock_.Now());
    }
    const auto key = [](const Job& aside) {
      return std::tuple(aside.paused, aside.not_before.value_or(SteadyTime::min()), aside.number);
    };
    const auto before = std::ranges::count_if(jobs_, [&](const auto& entry) {
      const Job& other = entry.second;
      return (other.where == Where::kAside || other.where == Where::kBackingOff) && key(other) < key(job);
    });
    return line_.size() + static_cast<std::size_t>(before) + 1;
  }

  void Reload(const SchedulerSettings& settings) {
    settings_ = settings;
    line_.SetAgeing(settings.ageing);
    needs_.Reload(settings);
    for (const auto& [id, job] : jobs_) {
      if (job.where == Where::kHasSlot) {
        needs_.SetClaim(id, ClaimOf(job));
      }
    }
  }

  [[nodiscard]] SchedulerFigures figures() const {
    return {.queued = queued(),
            .running = running_,
            .needs_waiting = needs_.size(),
            .started = started_,
            .passed = needs_.passed()};
  }

  SchedulerNeeds& needs() { return needs_; }
  [[nodiscard]] const SchedulerNeeds& needs() const { return needs_; }
  bool& draining() { return draining_; }

 private:
  struct BySchedule {
    bool operator()(const Job* a, const Job* b) const {
      return std::tie(*a->not_before, a->number) < std::tie(*b->not_before, b->number);
    }
  };

  [[nodiscard]] std::size_t queued() const { return jobs_.size() - running_; }
  // With a slot, and not paused.
  [[nodiscard]] std::size_t going() const { return running_ - std::min(running_, needs_.paused()); }
  [[nodiscard]] SteadyTime ClaimOf(const Job& job) const { return Claim(job.since, job.priority, settings_.ageing); }

  Job* Find(const std::string& id) {
    const auto found = jobs_.find(id);
    return found == jobs_.end() ? nullptr : &found->second;
  }

  // Puts a job without a slot where it belongs now.
  void Settle(Job& job) {
    if (job.paused) {
      job.where = Where::kAside;
    } else if (job.not_before && *job.not_before > clock_.Now()) {
      job.where = Where::kBackingOff;
      backing_off_.insert(&job);
    } else {
      job.where = Where::kInLine;
      line_.Insert(job);
    }
  }

  void Unsettle(Job& job) {
    if (job.where == Where::kBackingOff) {
      backing_off_.erase(&job);
    } else if (job.where == Where::kInLine) {
      line_.Erase(job);
    }
    job.where = Where::kAside;
  }

  const Clock& clock_;
  SchedulerSettings settings_;
  std::unordered_map<std::string, Job> jobs_;  // elements stay where they are
  SchedulerLine line_;
  SchedulerNeeds needs_;
  std::set<Job*, BySchedule> backing_off_;
  std::size_t running_ = 0;
  std::uint64_t numbers_ = 0;
  std::uint64_t started_ = 0;
  bool draining_ = false;
};

Scheduler::Scheduler(const Clock& clock, memory::Ledger& ledger, SchedulerSettings settings)
    : impl_(std::make_unique<Impl>(clock, ledger, Sane(settings))) {}
Scheduler::~Scheduler() = default;

Status Scheduler::Enqueue(Place place, bool beyond_limit) { return impl_->Enqueue(std::move(place), beyond_limit); }
void Scheduler::Remove(const std::string& id) { impl_->Remove(id); }
void Scheduler::SetPriority(const std::string& id, int priority) { impl_->SetPriority(id, priority); }
void Scheduler::SetPaused(const std::string& id, bool paused) { impl_->SetPaused(id, paused); }
void Scheduler::SetDraining(bool draining) { impl_->draining() = draining; }
bool Scheduler::draining() const { return impl_->draining(); }
void Scheduler::SetHeld(bool held) { impl_->needs().SetHeld(held); }
bool Scheduler::held() const { return impl_->needs().held(); }
double Scheduler::IdleProcessors() const { return impl_->needs().IdleProcessors(); }
void Scheduler::Advanced(const std::string& id, double part) { impl_->needs().Advanced(id, part); }
void Scheduler::Shrunk(const std::string& id, Bytes by) { impl_->needs().Shrunk(id, by); }
bool Scheduler::WantsMemory() const { return impl_->needs().WantsMemory(); }
bool Scheduler::KeepsMemory() const { return impl_->needs().KeepsMemory(); }
std::optional<std::string> Scheduler::NextStart() { return impl_->NextStart(); }
Status Scheduler::Ask(Need need) { return impl_->Ask(std::move(need)); }
void Scheduler::GoOn(const std::string& id) { impl_->needs().GoOn(id); }
void Scheduler::Withdraw(const std::string& id) { impl_->needs().Withdraw(id); }
std::optional<std::pair<std::string, Result<Grant>>> Scheduler::NextGrant() { return impl_->NextGrant(); }
std::optional<SteadyTime> Scheduler::NextChange() const { return impl_->NextChange(); }
WaitingFor Scheduler::ReasonOf(const std::string& id) const { return impl_->ReasonOf(id); }
Wait Scheduler::WaitOf(const std::string& id) const { return impl_->WaitOf(id); }
std::optional<std::size_t> Scheduler::PositionOf(const std::string& id) const { return impl_->PositionOf(id); }
bool Scheduler::Knows(const std::string& id) const { return impl_->Knows(id); }
SchedulerFigures Scheduler::figures() const { return impl_->figures(); }
void Scheduler::Reload(SchedulerSettings settings) { impl_->Reload(Sane(settings)); }

}  // namespace weir::jobs
