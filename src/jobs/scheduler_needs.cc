#include "jobs/scheduler_needs.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace weir::jobs {
namespace {

// Fewer idle ones than this start no further child.
constexpr double kLeastIdleProcessors = 0.4;
// Steps in one turn whose way was planned and did not fit; work behind them waits for their places.
constexpr std::size_t kMostPlanned = 8;
constexpr double kMostLarger = 1;
// Of a processor: what counts as rounding.
constexpr double kHardlyMore = 0.05;
// How wrong a length may be: pictures of one size differ so much in what is in them, and machines in what they are
// good at.
constexpr double kLengthError = 1.7;
// What is as good as done may still have an end to write.
constexpr double kLeastLeft = 0.02;

bool Writes(const Need& need) { return need.disk != Bytes() && need.disk_free; }

}  // namespace

SchedulerNeeds::SchedulerNeeds(memory::Ledger& ledger, const SchedulerSettings& settings)
    : ledger_(ledger), budget_(ledger.budget()), settings_(settings) {}

// A slow way on what others leave of a processor would end long after they have made room for a better one; a whole
// idle processor is worth more than waiting for them.
memory::Queue SchedulerNeeds::QueueOf(std::size_t steps) const {
  return {.steps = steps,
          .processors = static_cast<double>(settings_.processors),
          .memory = ledger_.largest_possible() - (IdleProcessors() < 1 ? Bytes() : working_.own)};
}

std::optional<std::size_t> SchedulerNeeds::WayFor(const Need& need, const Crowd& crowd) const {
  return memory::BestWay(need.ways, crowd.alike,
                         {.memory = ledger_.largest_possible() - working_.own,
                          .shared = ledger_.shared(),
                          .processors = IdleProcessors(),
                          .size_weight = settings_.size_weight,
                          .queue = QueueOf(crowd.wanting)});
}

std::optional<memory::QueueEnd> SchedulerNeeds::EndFrom(Line::const_iterator place, const Crowd& crowd) const {
  if (crowd.wanting > memory::kMostLastSteps) {
    return std::nullopt;
  }
  std::vector<memory::LastStep> steps;
  std::size_t before = 0;
  bool reached = false;
  for (auto one = line_.begin(); one != line_.end(); ++one) {
    const Need& need = one->second.need;
    reached = reached || one == place;
    if (!need.work) {
      continue;
    }
    if (!reached) {
      ++before;
    } else if (need.seconds > 0) {
      steps.push_back({.ways = need.ways, .seconds = need.seconds});
    } else {
      return std::nullopt;
    }
  }
  // Those that are still on their way to asking are taken to be like the one that asks.
  while (before + steps.size() < crowd.wanting) {
    steps.push_back(steps.front());
  }
  std::vector<memory::GoingStep> going;
  Bytes of_paused;
  for (const auto& [job, worker] : by_worker_) {
    if (paused_.contains(job)) {
      of_paused += worker.own;
    } else if (worker.seconds > 0) {
      going.push_back({.own = worker.own,
                       .processors = worker.processors,
                       .seconds = worker.seconds * std::max(1 - worker.done, kLeastLeft)});
    } else {
      return std::nullopt;
    }
  }
  const std::size_t paused = by_worker_.size() - going.size();
  return memory::PlanEnd(steps, going, settings_.slots - std::min(settings_.slots, paused),
                         {.memory = ledger_.largest_possible() - of_paused,
                          .shared = ledger_.shared(),
                          .processors = static_cast<double>(settings_.processors),
                          .size_weight = settings_.size_weight,
                          .queue = {}},
                         kLengthError);
}

std::optional<std::size_t> SchedulerNeeds::WayThatFits(const Need& need) const {
  const Bytes available = ledger_.available();
  if (IsPlanned(need)) {
    const bool in_time = IdleProcessors() < 1 && working_.processors > 0;
    return memory::BestWay(need.ways, 1,
                           {.memory = available,
                            .shared = ledger_.shared(),
                            .processors = IdleProcessors(),
                            .size_weight = settings_.size_weight,
                            .queue = in_time ? std::optional(QueueOf(1)) : std::nullopt});
  }
  const auto way = std::ranges::find_if(need.ways, [&](const auto& one) { return one.memory <= available; });
  if (way == need.ways.end()) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(way - need.ways.begin());
}

std::pair<SchedulerNeeds::Fit, Bytes> SchedulerNeeds::DiskFor(const Need& need) const {
  if (!Writes(need)) {
    return {Fit::kNow, Bytes()};
  }
  const auto disk = disks_.find(need.disk_name);
  const Bytes reserved = disk == disks_.end() ? Bytes() : disk->second.reserved;
  const Bytes available = need.disk_free() - reserved - settings_.disk_reserve;
  if (available >= need.disk) {
    return {Fit::kNow, available};
  }
  return {disk == disks_.end() ? Fit::kNever : Fit::kLater, available};
}

std::unexpected<Error> SchedulerNeeds::DiskRefusal(const Need& need, Bytes available) const {
  return Fail(Error{.code = ErrorCode::kDiskFull,
                    .detail = "it may write " + ToString(need.disk) + ", but only " + ToString(available) +
                              " are free beside the reserve of " + ToString(settings_.disk_reserve)}
                  .With("required_bytes", need.disk.count())
                  .With("available_bytes", available.count())
                  .With("reserve_bytes", settings_.disk_reserve.count()));
}

std::optional<Error> SchedulerNeeds::MemoryRefusal(const Need& need) const {
  const Bytes leanest = std::ranges::min(need.ways, {}, &memory::Way::memory).memory;
  if (leanest <= ledger_.largest_possible()) {
    return std::nullopt;
  }
  return Error{.code = ErrorCode::kOverBudget,
               .detail = "the leanest way needs " + ToString(leanest) + " of memory, but " +
                         ToString(ledger_.largest_possible()) + " of the budget of " + ToString(ledger_.budget()) +
                         " can be leased"}
      .With("required_bytes", leanest.count())
      .With("available_bytes", ledger_.largest_possible().count())
      .With("budget_bytes", ledger_.budget().count());
}

Status SchedulerNeeds::Ask(Need need, SteadyTime claim, SteadyTime now) {
  EndReservation(need.job);
  EndWork(need.job);
  if (need.ways.empty()) {
    return Fail(ErrorCode::kInternal, "a step without a way to do it asks for memory");
  }
  if (auto refusal = MemoryRefusal(need)) {
    return Fail(*std::move(refusal));
  }
  if (const auto [fit, available] = DiskFor(need); fit == Fit::kNever) {
    return DiskRefusal(need, available);
  }
  std::string job = need.job;
  Waiting waiting{.need = std::move(need), .refused_since = {}, .asked = now, .since = now, .wanted = {}};
  if (waiting.need.work) {
    expected_.insert(job);
    DropBloated(waiting);
  }
  const auto place = line_.emplace(Key{claim, ++asks_}, std::move(waiting)).first;
  by_job_.emplace(std::move(job), place);
  return {};
}

// Outputs more than twice as large are for those who have no other way, not for the last idle processor.
void SchedulerNeeds::DropBloated(Waiting& waiting) const {
  Need& need = waiting.need;
  if (settings_.size_weight <= 0) {
    return;
  }
  const auto bloated = [](const memory::Way& way) { return way.larger > kMostLarger; };
  const bool other = std::ranges::any_of(
      need.ways, [&](const memory::Way& way) { return !bloated(way) && way.memory <= ledger_.largest_possible(); });
  while (other && bloated(need.ways.back())) {
    waiting.bloated.push_back(need.ways.back());
    need.ways.pop_back();
  }
}

// What was too large for the budget may fit now, and the other way round.
void SchedulerNeeds::FollowBudget() {
  if (budget_ == ledger_.budget()) {
    return;
  }
  budget_ = ledger_.budget();
  for (auto& [key, waiting] : line_) {
    while (!waiting.bloated.empty()) {
      waiting.need.ways.push_back(waiting.bloated.back());
      waiting.bloated.pop_back();
    }
    if (waiting.need.work) {
      DropBloated(waiting);
    }
  }
}

void SchedulerNeeds::Reserve(const Need& need) {
  if (!Writes(need)) {
    return;
  }
  Disk& disk = disks_[need.disk_name];
  disk.reserved += need.disk;
  ++disk.steps;
  reservations_.emplace(need.job, std::pair(need.disk_name, need.disk));
}

void SchedulerNeeds::BeginWork(const Need& need, const memory::Way& way) {
  const Working takes{.own = way.memory - ledger_.shared(),
                      .processors = std::min(way.processors, static_cast<double>(settings_.processors)),
                      .seconds = need.seconds * way.time};
  by_worker_.emplace(need.job, takes);
  working_.own += takes.own;
  working_.processors += paused_.contains(need.job) ? 0 : takes.processors;
}

void SchedulerNeeds::Advanced(const std::string& job, double part) {
  if (const auto worker = by_worker_.find(job); worker != by_worker_.end()) {
    worker->second.done = std::clamp(part, worker->second.done, 1.0);
  }
}

void SchedulerNeeds::SetPaused(const std::string& job, bool paused) {
  if (paused ? !paused_.insert(job).second : paused_.erase(job) == 0) {
    return;
  }
  if (const auto worker = by_worker_.find(job); worker != by_worker_.end()) {
    working_.processors += paused ? -worker->second.processors : worker->second.processors;
  }
}

void SchedulerNeeds::EndWork(const std::string& job) {
  if (const auto ended = by_worker_.extract(job)) {
    working_.own -= ended.mapped().own;
    working_.processors -= paused_.contains(job) ? 0 : ended.mapped().processors;
    if (by_worker_.empty()) {
      working_.processors = 0;  // and not what rounding left
    }
  }
}

void SchedulerNeeds::Shrunk(const std::string& job, Bytes by) {
  if (const auto worker = by_worker_.find(job); worker != by_worker_.end()) {
    by = std::min(by, worker->second.own);
    worker->second.own -= by;
    working_.own -= by;
  }
}

bool SchedulerNeeds::WantsMemory() const {
  return std::ranges::any_of(line_, [](const auto& entry) { return entry.second.reason == WaitingFor::kMemory; });
}

void SchedulerNeeds::EndReservation(const std::string& job) {
  const auto found = reservations_.find(job);
  if (found == reservations_.end()) {
    return;
  }
  const auto disk = disks_.find(found->second.first);
  disk->second.reserved -= found->second.second;
  if (--disk->second.steps == 0) {
    disks_.erase(disk);
  }
  reservations_.erase(found);
}

Need SchedulerNeeds::Take(Line::iterator waiting) {
  Need need = std::move(waiting->second.need);
  by_job_.erase(need.job);
  line_.erase(waiting);
  return need;
}

void SchedulerNeeds::GoOn(const std::string& job) {
  EndReservation(job);
  EndWork(job);
}

void SchedulerNeeds::Withdraw(const std::string& job) {
  expected_.erase(job);
  paused_.erase(job);
  EndReservation(job);
  EndWork(job);
  if (const auto found = by_job_.find(job); found != by_job_.end()) {
    Take(found->second);
  }
}

SchedulerNeeds::Choice SchedulerNeeds::ChoiceFor(Line::const_iterator place, const Crowd& crowd,
                                                 SteadyTime now) const {
  const Waiting& waiting = place->second;
  const Need& need = waiting.need;
  if (held_ && need.work &&
      std::ranges::any_of(by_worker_, [&](const auto& worker) { return !paused_.contains(worker.first); })) {
    return {.way = {}, .reason = WaitingFor::kPressure};
  }
  if (!IsPlanned(need)) {
    const auto way = WayThatFits(need);
    return {.way = way, .reason = WaitingFor::kMemory};
  }
  const auto end = EndFrom(place, crowd);
  if (end && !end->way) {
    const bool fits = WayThatFits(need).has_value();
    return {.way = {}, .reason = fits ? WaitingFor::kProcessor : WaitingFor::kMemory, .of_end = true};
  }
  if (!end && IdleProcessors() < kLeastIdleProcessors && working_.processors > 0) {
    return {.way = {}, .reason = WaitingFor::kProcessor};
  }
  const auto best = end ? end->way : WayFor(need, crowd);
  if (best && need.ways[*best].memory <= ledger_.available()) {
    return {.way = best, .reason = WaitingFor::kMemory, .wanted = best, .of_end = end.has_value()};
  }
  const bool waited = waiting.refused_since && now - *waiting.refused_since >= settings_.patience;
  if (waited || ledger_.lease_count() == 0) {
    return {.way = WayThatFits(need), .reason = WaitingFor::kMemory, .wanted = best, .out_of_patience = waited};
  }
  return {.way = {}, .reason = WaitingFor::kMemory, .wanted = best};
}

Reason SchedulerNeeds::WhyOf(const Waiting& waiting, const Choice& choice, const Crowd& crowd, SteadyTime now) const {
  const Need& need = waiting.need;
  const bool planned = IsPlanned(need);
  Reason why{.way = *choice.way,
             .ways = need.ways.size(),
             .memory = need.ways[*choice.way].memory,
             .available = ledger_.available(),
             .leases = ledger_.lease_count(),
             .working = by_worker_.size(),
             .waited = now - waiting.asked,
             .waited_for = waiting.refused ? waiting.reason : WaitingFor::kNothing,
             .out_of_patience = choice.out_of_patience && choice.way != choice.wanted,
             .passed = {}};
  if (planned) {
    why.processors = static_cast<double>(settings_.processors);
    why.idle = IdleProcessors();
    why.alike = choice.of_end ? 1 : crowd.alike;
    why.wanting = crowd.wanting;
  }
  if (planned && choice.way == choice.wanted) {
    why.available = std::min(why.available, ledger_.largest_possible() - working_.own);
  } else {
    why.alike = 1;  // what fits now was looked for, for this one
  }
  std::optional<bool> alone_too;
  for (std::size_t i = 0; i < why.way; ++i) {
    const memory::Way& way = need.ways[i];
    PassedWay passed{.way = i, .memory = way.memory, .why = PassedFor::kYield};
    if (way.memory > why.available) {
      passed.why = PassedFor::kMemory;
    } else if (choice.of_end && (why.wanting > 1 || why.working > 0)) {
      passed.why = PassedFor::kEnd;
    } else if (std::min(way.processors, why.processors) > why.idle + kHardlyMore) {
      passed.why = PassedFor::kProcessors;
    } else if (why.alike > 1) {
      if (!alone_too) {
        const auto alone = memory::BestWay(need.ways, 1,
                                           {.memory = why.available,
                                            .shared = ledger_.shared(),
                                            .processors = why.idle,
                                            .size_weight = settings_.size_weight});
        alone_too = !alone || *alone >= why.way;
      }
      passed.why = *alone_too ? PassedFor::kYield : PassedFor::kCompany;
    }
    why.passed.push_back(passed);
  }
  return why;
}

void SchedulerNeeds::WaitFor(Waiting& waiting, WaitingFor reason, SteadyTime now) {
  waiting.refused = true;
  if (waiting.reason != reason) {
    waiting.reason = reason;
    waiting.since = now;
  }
}

std::optional<std::pair<std::string, Result<Grant>>> SchedulerNeeds::Next(SteadyTime now, std::size_t in_line) {
  FollowBudget();
  memory_kept_ = false;
  std::size_t passed_over = 0;
  std::vector<std::string> disks_kept;
  // That will want to work, and may, beside those that do.
  const Crowd crowd{.alike = std::min(expected_.size() + in_line,
                                      settings_.slots > by_worker_.size() ? settings_.slots - by_worker_.size() : 1),
                    .wanting = expected_.size() + in_line};
  std::size_t refused = 0;
  bool end_waits = false;  // the next in order, for the sake of all
  for (auto place = line_.begin(); place != line_.end(); ++place) {
    Waiting& waiting = place->second;
    if (waiting.need.squeezable) {
      waiting.need.ways.back().memory = std::min(waiting.need.ways.back().memory, ledger_.largest_possible());
    }
    if (auto refusal = MemoryRefusal(waiting.need)) {
      std::string job = Take(place).job;
      return std::pair(std::move(job), Result<Grant>(Fail(*std::move(refusal))));
    }
    const bool no_turn = memory_kept_ || (IsPlanned(waiting.need) && (end_waits || refused >= kMostPlanned));
    const Choice choice = no_turn
                              ? Choice{.way = {}, .reason = end_waits ? WaitingFor::kProcessor : WaitingFor::kMemory}
                              : ChoiceFor(place, crowd, now);
    const auto& [way, reason, wanted, out_of_patience, of_end] = choice;
    end_waits = end_waits || (of_end && !way);
    if (!way && reason == WaitingFor::kMemory && !of_end) {
      ++refused;
      waiting.refused_since = waiting.refused_since.value_or(now);
    }
    const bool patient = !waiting.refused_since || now - *waiting.refused_since < settings_.patience;
    if (no_turn || reason == WaitingFor::kProcessor || reason == WaitingFor::kPressure || (!way && patient)) {
      WaitFor(waiting, reason, now);
      waiting.wanted = wanted;
      ++passed_over;
      continue;
    }
    const auto [fit, available] = DiskFor(waiting.need);
    if (fit == Fit::kNever) {
      auto refusal = DiskRefusal(waiting.need, available);
      std::string job = Take(place).job;
      return std::pair(std::move(job), Result<Grant>(std::move(refusal)));
    }
    if (fit == Fit::kLater ||
        (Writes(waiting.need) && std::ranges::find(disks_kept, waiting.need.disk_name) != disks_kept.end())) {
      WaitFor(waiting, WaitingFor::kDisk, now);
      waiting.refused_since = waiting.refused_since.value_or(now);
      ++passed_over;
      if (!patient) {
        disks_kept.push_back(waiting.need.disk_name);
      }
      continue;
    }
    if (!way) {
      WaitFor(waiting, WaitingFor::kMemory, now);
      waiting.wanted = wanted;
      ++passed_over;
      memory_kept_ = true;
      continue;
    }
    Reason why = WhyOf(waiting, choice, crowd, now);
    why.overtaken = passed_over;
    const memory::Way& chosen = waiting.need.ways[*way];
    Result<memory::Lease> lease = ledger_.Acquire(chosen.memory, "job " + waiting.need.job);
    if (lease && waiting.need.work) {
      BeginWork(waiting.need, chosen);
      expected_.erase(waiting.need.job);
    }
    Need need = Take(place);
    if (!lease) {
      return std::pair(std::move(need.job), Result<Grant>(std::unexpected(std::move(lease).error())));
    }
    Reserve(need);
    passed_ += passed_over > 0 ? 1 : 0;
    return std::pair(std::move(need.job),
                     Result<Grant>(Grant{.way = why.way, .lease = *std::move(lease), .reason = std::move(why)}));
  }
  return std::nullopt;
}

void SchedulerNeeds::SetClaim(const std::string& job, SteadyTime claim) {
  const auto found = by_job_.find(job);
  if (found == by_job_.end()) {
    return;
  }
  auto node = line_.extract(found->second);
  node.key().claim = claim;
  found->second = line_.insert(std::move(node)).position;
}

void SchedulerNeeds::Reload(const SchedulerSettings& settings) { settings_ = settings; }

WaitingFor SchedulerNeeds::ReasonOf(const std::string& job) const {
  const auto found = by_job_.find(job);
  return found == by_job_.end() ? WaitingFor::kNothing : found->second->second.reason;
}

Wait SchedulerNeeds::WaitOf(const std::string& job) const {
  const auto found = by_job_.find(job);
  if (found == by_job_.end()) {
    return {};
  }
  const Waiting& waiting = found->second->second;
  Wait wait{.what = waiting.reason, .since = waiting.since};
  switch (waiting.reason) {
    case WaitingFor::kMemory:
      wait.leanest = std::ranges::min(waiting.need.ways, {}, &memory::Way::memory).memory;
      wait.required = waiting.wanted ? waiting.need.ways[*waiting.wanted].memory : wait.leanest;
      wait.available = ledger_.available();
      wait.holders = ledger_.lease_count();
      break;
    case WaitingFor::kDisk: {
      const auto disk = disks_.find(waiting.need.disk_name);
      wait.required = waiting.need.disk;
      wait.available = DiskFor(waiting.need).second;
      wait.holders = disk == disks_.end() ? 0 : disk->second.steps;
      break;
    }
    case WaitingFor::kProcessor:
      wait.all = static_cast<double>(settings_.processors);
      wait.idle = IdleProcessors();
      wait.holders = by_worker_.size();
      break;
    case WaitingFor::kPressure:
      wait.holders = by_worker_.size();
      break;
    case WaitingFor::kNothing:
    case WaitingFor::kSlot:
    case WaitingFor::kTime:
    case WaitingFor::kPause:
    case WaitingFor::kDrain:
      break;
  }
  if (waiting.refused_since && (wait.what == WaitingFor::kMemory || wait.what == WaitingFor::kDisk)) {
    wait.until = *waiting.refused_since + settings_.patience;
  }
  return wait;
}

std::optional<SteadyTime> SchedulerNeeds::NextChange(SteadyTime now) const {
  std::optional<SteadyTime> next;
  for (const auto& [key, waiting] : line_) {
    if (!waiting.refused_since) {
      continue;
    }
    const SteadyTime over = *waiting.refused_since + settings_.patience;
    if (over > now && (!next || over < *next)) {
      next = over;
    }
  }
  return next;
}

}  // namespace weir::jobs
