#include "jobs/scheduler_needs.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace weir::jobs {
namespace {

bool Writes(const Need& need) { return need.disk != Bytes() && need.disk_free; }

}  // namespace

SchedulerNeeds::SchedulerNeeds(memory::Ledger& ledger, Duration patience, Bytes disk_reserve)
    : ledger_(ledger), patience_(patience), disk_reserve_(disk_reserve) {}

std::optional<std::size_t> SchedulerNeeds::WayThatFits(const Need& need) const {
  const Bytes available = ledger_.available();
  const auto way = std::ranges::find_if(need.ways, [&](Bytes bytes) { return bytes <= available; });
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
  const Bytes available = need.disk_free() - reserved - disk_reserve_;
  if (available >= need.disk) {
    return {Fit::kNow, available};
  }
  return {disk == disks_.end() ? Fit::kNever : Fit::kLater, available};
}

std::unexpected<Error> SchedulerNeeds::DiskRefusal(const Need& need, Bytes available) const {
  return Fail(Error{.code = ErrorCode::kDiskFull,
                    .detail = "it may write " + ToString(need.disk) + ", but only " + ToString(available) +
                              " are free beside the reserve of " + ToString(disk_reserve_)}
                  .With("required_bytes", need.disk.count())
                  .With("available_bytes", available.count())
                  .With("reserve_bytes", disk_reserve_.count()));
}

Status SchedulerNeeds::Ask(Need need, SteadyTime claim, SteadyTime now) {
  EndReservation(need.job);
  if (need.ways.empty()) {
    return Fail(ErrorCode::kInternal, "a step without a way to do it asks for memory");
  }
  const Bytes leanest = *std::ranges::min_element(need.ways);
  if (leanest > ledger_.largest_possible()) {
    return Fail(Error{.code = ErrorCode::kOverBudget,
                      .detail = "the leanest way needs " + ToString(leanest) + " of memory, but " +
                                ToString(ledger_.largest_possible()) + " of the budget of " +
                                ToString(ledger_.budget()) + " can be leased"}
                    .With("required_bytes", leanest.count())
                    .With("available_bytes", ledger_.largest_possible().count())
                    .With("budget_bytes", ledger_.budget().count()));
  }
  if (const auto [fit, available] = DiskFor(need); fit == Fit::kNever) {
    return DiskRefusal(need, available);
  }
  std::string job = need.job;
  const auto place = line_.emplace(Key{claim, ++asks_}, Waiting{.need = std::move(need), .asked = now}).first;
  by_job_.emplace(std::move(job), place);
  return {};
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

void SchedulerNeeds::Withdraw(const std::string& job) {
  EndReservation(job);
  if (const auto found = by_job_.find(job); found != by_job_.end()) {
    Take(found->second);
  }
}

std::optional<std::pair<std::string, Result<Grant>>> SchedulerNeeds::Next(SteadyTime now) {
  bool memory_kept = false;  // for one that is out of patience
  bool passing = false;
  std::vector<std::string> disks_kept;
  for (auto place = line_.begin(); place != line_.end(); ++place) {
    Waiting& waiting = place->second;
    const bool patient = now - waiting.asked < patience_;
    const std::optional<std::size_t> way = memory_kept ? std::nullopt : WayThatFits(waiting.need);
    waiting.reason = WaitingFor::kMemory;
    if (memory_kept || (!way && patient)) {
      passing = true;
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
      waiting.reason = WaitingFor::kDisk;
      passing = true;
      if (!patient) {
        disks_kept.push_back(waiting.need.disk_name);
      }
      continue;
    }
    if (!way) {
      memory_kept = true;
      continue;
    }
    Result<memory::Lease> lease = ledger_.Acquire(waiting.need.ways[*way], "job " + waiting.need.job);
    Need need = Take(place);
    if (!lease) {
      return std::pair(std::move(need.job), Result<Grant>(std::unexpected(std::move(lease).error())));
    }
    Reserve(need);
    passed_ += passing ? 1 : 0;
    return std::pair(std::move(need.job), Result<Grant>(Grant{.way = *way, .lease = *std::move(lease)}));
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

void SchedulerNeeds::Reload(Duration patience, Bytes disk_reserve) {
  patience_ = patience;
  disk_reserve_ = disk_reserve;
}

WaitingFor SchedulerNeeds::ReasonOf(const std::string& job) const {
  const auto found = by_job_.find(job);
  return found == by_job_.end() ? WaitingFor::kNothing : found->second->second.reason;
}

std::optional<SteadyTime> SchedulerNeeds::NextChange(SteadyTime now) const {
  std::optional<SteadyTime> next;
  for (const auto& [key, waiting] : line_) {
    const SteadyTime over = waiting.asked + patience_;
    if (over > now && (!next || over < *next)) {
      next = over;
    }
  }
  return next;
}

}  // namespace weir::jobs
