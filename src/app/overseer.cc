#include "app/overseer.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "os/machine.h"
#include "os/ownership.h"
#include "os/proc.h"

namespace weir::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Reading the memory of a child takes about a millisecond.
constexpr Duration kAtWork = seconds(2);
constexpr Duration kOld = seconds(1);
constexpr Duration kAtRest = seconds(30);
constexpr Duration kLeast = milliseconds(100);
// Until what was just begun has its child.
constexpr Duration kBegun = milliseconds(10);
// Short steps begin several times a second, and a look at every one would be a tenth of what a short job costs.
constexpr Duration kBetweenBegun = milliseconds(500);
constexpr Duration kStatusPeriod = minutes(1);
// Whatever the level.
constexpr Duration kSweepPeriod = minutes(5);

std::string PerHourWord(memory::Growing what) {
  switch (what) {
    case memory::Growing::kMemory:
      return "memory";
    case memory::Growing::kHandles:
      return "handles";
    case memory::Growing::kThreads:
      return "threads";
  }
  return "memory";
}

}  // namespace

Overseer::Overseer(Parts parts, const GovernorSettings& settings, const jobs::SchedulerSettings& order)
    : parts_(std::move(parts)),
      order_(order),
      governor_(settings, Hands()),
      told_(parts_.clock.Now()),
      swept_(parts_.clock.Now()),
      timer_(parts_.loop) {
  if (auto trigger = os::StallTrigger::Open()) {
    stalls_.emplace(parts_.loop, *std::move(trigger), [this] { Look(); });
  } else {
    log::Debug("the kernel will not say when the machine stalls: " + Describe(trigger.error()));
  }
  parts_.jobs.OnWork([this] { LookWithin(kBetweenBegun); });
  LookNow();
}

Overseer::~Overseer() { parts_.jobs.OnWork({}); }

GovernorHands Overseer::Hands() {
  return {.trim = [this] { return parts_.trim(); },
          .sweep = [this] { return parts_.sweep(); },
          .hold = [this](bool held) { parts_.jobs.SetHeld(held); },
          .lower_leases = [this] { return parts_.jobs.GiveBack(); },
          .suspend_youngest = [this](const std::string& why) { return !parts_.jobs.SuspendYoungest(why).empty(); },
          .resume_suspended = [this] { parts_.jobs.ResumeSuspended(); },
          .end_youngest = [this](const std::string& why) { return parts_.jobs.EndYoungest(why); }};
}

void Overseer::Reload(const GovernorSettings& settings, const jobs::SchedulerSettings& order) {
  order_ = order;
  governor_.Reload(settings);
  Look();
}

GovernorReading Overseer::Read() const {
  GovernorReading reading;
  const SteadyTime now = parts_.clock.Now();
  const Bytes own = os::OwnPss();
  // Shares of common pages change between two looks, and the tree is never less than its root.
  const Bytes tree = std::max(own, os::TreePss(os::CurrentProcess()));
  if (tree.count() > 0) {
    reading.pressure.measured = tree;
  }
  reading.pressure.planned = parts_.ledger.leased() + parts_.ledger.own_use();
  reading.pressure.budget = parts_.ledger.budget();
  const auto machine = os::ReadMachineMemory();
  reading.pressure.machine_available = machine.available;
  reading.pressure.machine_total = machine.total;
  if (const auto stall = os::ReadStall()) {
    reading.pressure.stall_percent = stall->full_percent;
  }
  reading.swap_free = machine.swap_free;
  // Groups of children have none.
  reading.children_swap = parts_.launcher.walls().cgroups.backend() == os::MemoryBackend::kRlimit;

  const auto counts = os::OwnCountsNow();
  reading.own = {
      .pss = own, .heap_in_use = os::HeapInUse(), .handles = counts.descriptors, .threads = counts.threads};
  reading.own.components = parts_.components();

  const auto figures = parts_.jobs.at_work();
  auto& tracker = reading.tracker;
  tracker.handles = counts.descriptors;
  tracker.children = parts_.launcher.living();
  for (const auto& child : figures.running) {
    tracker.running.push_back({.job = child.job,
                               .recipe = child.recipe,
                               .age = now - child.since,
                               .quiet = now - child.advanced,
                               .waiting = child.lease.count() == 0 ? jobs::NameOf(child.wait.what) : ""});
    tracker.steps_waiting_for_memory += child.wait.what == jobs::WaitingFor::kMemory ? 1U : 0U;
  }
  tracker.own_memory = own;
  tracker.own_use = parts_.ledger.own_use();
  tracker.waiting = figures.scheduler.queued;
  tracker.most_queued = order_.most_queued;
  tracker.slots = order_.slots;
  tracker.slots_taken = figures.scheduler.running;
  tracker.available = parts_.ledger.available();
  tracker.leased = parts_.ledger.leased();
  tracker.budget = parts_.ledger.budget();
  tracker.idle_processors = parts_.jobs.IdleProcessors();
  return reading;
}

void Overseer::Look() { LookWithin(kLeast); }

void Overseer::LookWithin(Duration since_last) {
  const SteadyTime now = parts_.clock.Now();
  const SteadyTime at = std::max(now + kBegun, looked_.value_or(now - since_last) + since_last);
  if (!soon_ || at < *soon_) {
    soon_ = at;
    Await();
  }
}

void Overseer::LookNow() {
  const SteadyTime now = parts_.clock.Now();
  looked_ = now;
  soon_.reset();
  governor_.Update(Read(), now);
  TellStatus(now);
  Sweep(now);
  Await();
}

void Overseer::LookIfOld() {
  if (!looked_ || parts_.clock.Now() - *looked_ >= kOld) {
    LookNow();
  }
}

void Overseer::Await() {
  const SteadyTime now = parts_.clock.Now();
  const bool busy = parts_.launcher.living() > 0 || governor_.pressure().level() > memory::Level::kNormal;
  SteadyTime next = looked_.value_or(now) + (busy ? kAtWork : kAtRest);
  if (const auto due = governor_.next(); due && *due < next) {
    next = std::max(*due, looked_.value_or(now) + kLeast);
  }
  if (soon_) {
    next = std::min(next, *soon_);
  }
  timer_.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(next));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      LookNow();
    }
  });
}

void Overseer::Sweep(SteadyTime now) {
  if (now - swept_ >= kSweepPeriod) {
    swept_ = now;
    static_cast<void>(parts_.sweep());
  }
}

// While there is something to tell of.
void Overseer::TellStatus(SteadyTime now) {
  if (now - told_ < kStatusPeriod) {
    return;
  }
  told_ = now;
  const auto& last = governor_.last();
  std::string status = std::string("memory ") + memory::NameOf(governor_.pressure().level()) + ", " +
                       ToString(last.pressure.measured.value_or(Bytes())) + " used and " +
                       ToString(last.pressure.planned) + " planned of " + ToString(last.pressure.budget) + "; " +
                       std::to_string(last.tracker.children) + " children, " +
                       std::to_string(last.tracker.slots_taken) + " jobs at work, " +
                       std::to_string(last.tracker.waiting) + " waiting";
  const bool at_rest = last.tracker.slots_taken == 0 && last.tracker.waiting == 0;
  if (!at_rest || !last_status_.empty()) {
    log::Info(status);
  }
  last_status_ = at_rest ? std::string() : std::move(status);
}

api::Governance Overseer::governance() const {
  const SteadyTime now = parts_.clock.Now();
  const WallTime date = parts_.clock.WallNow();
  const auto dated = [&](SteadyTime at) { return date - std::chrono::duration_cast<WallTime::duration>(now - at); };
  const auto& last = governor_.last();
  api::Governance governance;
  governance.level = memory::NameOf(governor_.pressure().level());
  governance.reason = governor_.pressure().reason();
  if (looked_) {
    governance.since = dated(governor_.pressure().since());
  }
  governance.machine_total = last.pressure.machine_total;
  governance.machine_available = last.pressure.machine_available;
  governance.swap_free = last.swap_free;
  governance.stall_percent = last.pressure.stall_percent;
  if (const auto slope = governor_.growth().pss_mib_per_hour()) {
    governance.growth_bytes_per_hour = *slope * static_cast<double>(Bytes::Mib(1).count());
  }
  for (const auto& finding : governor_.growth().findings()) {
    governance.growth.push_back({.what = PerHourWord(finding.what),
                                 .per_hour = finding.what == memory::Growing::kMemory
                                                 ? static_cast<double>(finding.bytes_per_hour.count())
                                                 : finding.count_per_hour,
                                 .over = finding.over,
                                 .suspect = finding.suspect,
                                 .sentence = finding.sentence});
  }
  for (const auto& count : governor_.counts()) {
    governance.remedies.push_back({.name = count.name, .uses = count.uses, .freed = count.freed});
  }
  for (const auto& warning : governor_.tracker().warnings()) {
    governance.warnings.push_back(warning.text);
  }
  for (const auto& one : governor_.Recommendations()) {
    governance.recommendations.push_back(
        {.priority = NameOf(one.urgency), .setting = one.setting, .action = one.action});
  }
  const auto& recent = governor_.recent();
  for (const auto& [name, window] : {std::pair("tree_bytes", &recent.tree),
                                     {"own_bytes", &recent.own},
                                     {"leased_bytes", &recent.leased},
                                     {"children", &recent.children},
                                     {"waiting", &recent.waiting}}) {
    const auto sum = window->Sum();
    governance.windows.push_back({.name = name,
                                  .samples = sum.samples,
                                  .last = sum.last,
                                  .mean = sum.mean,
                                  .p95 = sum.p95,
                                  .highest = sum.highest});
  }
  return governance;
}

api::GovernanceHistory Overseer::history() const {
  const SteadyTime now = parts_.clock.Now();
  const WallTime date = parts_.clock.WallNow();
  const auto ago = [&](Duration age) { return date - std::chrono::duration_cast<WallTime::duration>(age); };
  api::GovernanceHistory history;
  for (const auto& used : governor_.relief().history()) {
    history.uses.push_back({.at = ago(now - used.at),
                            .name = used.name,
                            .level = memory::NameOf(used.level),
                            .reason = used.reason,
                            .freed = used.freed,
                            .undone = used.undone,
                            .times = used.times});
  }
  for (std::size_t i = 0; i < memory::History::kPeriods.size(); ++i) {
    api::TreeSeries series{.period = memory::History::kPeriods[i], .points = {}};
    for (const auto& sample : governor_.history().Samples(i, now)) {
      series.points.push_back({.at = ago(sample.age),
                               .tree = sample.highest.tree,
                               .leased = sample.highest.leased,
                               .budget = sample.highest.budget,
                               .level = memory::NameOf(sample.highest.level)});
    }
    history.series.push_back(std::move(series));
  }
  return history;
}

}  // namespace weir::app
