// SchedulerNeeds: the steps that wait for memory and disk, and which of them is granted. The rule is told in
// scheduler.h. Internal to the scheduler.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "jobs/scheduler.h"
#include "memory/queue_end.h"

namespace weir::jobs {

class SchedulerNeeds {
 public:
  // `ledger` outlives this.
  SchedulerNeeds(memory::Ledger& ledger, const SchedulerSettings& settings);

  // A job that has got a slot will ask for its work some time.
  void Expect(const std::string& job) { expected_.insert(job); }
  // Of a job with a slot: what it has stays, but its processors are free for others.
  void SetPaused(const std::string& job, bool paused);
  // See Scheduler.
  void SetHeld(bool held) { held_ = held; }
  [[nodiscard]] bool held() const { return held_; }
  [[nodiscard]] double IdleProcessors() const {
    return std::max(0.0, static_cast<double>(settings_.processors) - working_.processors);
  }
  void Advanced(const std::string& job, double part);
  void Shrunk(const std::string& job, Bytes by);
  [[nodiscard]] bool WantsMemory() const;
  [[nodiscard]] bool KeepsMemory() const { return memory_kept_; }
  // The job does not ask already. Errors: kOverBudget, kDiskFull, kInternal when there is no way.
  Status Ask(Need need, SteadyTime claim, SteadyTime now);
  void GoOn(const std::string& job);
  void Withdraw(const std::string& job);  // also ends its reservation
  // `in_line`: jobs that will come after those that have slots.
  std::optional<std::pair<std::string, Result<Grant>>> Next(SteadyTime now, std::size_t in_line);
  void SetClaim(const std::string& job, SteadyTime claim);
  void Reload(const SchedulerSettings& settings);

  [[nodiscard]] bool Asks(const std::string& job) const { return by_job_.contains(job); }
  [[nodiscard]] WaitingFor ReasonOf(const std::string& job) const;
  [[nodiscard]] Wait WaitOf(const std::string& job) const;
  // When the next one runs out of patience.
  [[nodiscard]] std::optional<SteadyTime> NextChange(SteadyTime now) const;
  [[nodiscard]] std::size_t size() const { return line_.size(); }
  [[nodiscard]] std::size_t paused() const { return paused_.size(); }
  [[nodiscard]] std::uint64_t passed() const { return passed_; }

 private:
  struct Key {
    SteadyTime claim;
    std::uint64_t number;  // order of asking
    auto operator<=>(const Key&) const = default;
  };
  struct Waiting {
    Need need;
    std::vector<memory::Way> bloated{};       // ways of it behind the others, which are not for now
    std::optional<SteadyTime> refused_since;  // for want of memory or disk
    SteadyTime asked{};
    WaitingFor reason = WaitingFor::kMemory;
    SteadyTime since{};                 // for that
    bool refused = false;               // it has had a turn, in vain
    std::optional<std::size_t> wanted;  // the way that it waits for, where that was planned
  };
  struct Disk {
    Bytes reserved;
    std::size_t steps = 0;
  };
  struct Working {
    Bytes own;  // beyond what all share
    double processors = 0;
    double seconds = 0;  // that it takes on idle processors; 0: not known
    double done = 0;     // part of it
  };
  using Line = std::map<Key, Waiting>;
  enum class Fit : std::uint8_t { kNow, kLater, kNever };
  struct Choice {
    std::optional<std::size_t> way;
    WaitingFor reason = WaitingFor::kMemory;
    std::optional<std::size_t> wanted{};  // planned, whether it fits or not
    bool out_of_patience = false;
    bool of_end = false;  // the end of the queue was planned
  };
  // Jobs that want to work: as many as may do so beside those that do, and in all.
  struct Crowd {
    std::size_t alike = 1;
    std::size_t wanting = 1;
  };

  // Beside the steps that work, for the first of a crowd like it; and of the ways that fit what is free now.
  [[nodiscard]] std::optional<std::size_t> WayFor(const Need& need, const Crowd& crowd) const;
  [[nodiscard]] std::optional<std::size_t> WayThatFits(const Need& need) const;
  // For the work at `place` and what comes behind it, where that is the end of the queue and all of it is known.
  [[nodiscard]] std::optional<memory::QueueEnd> EndFrom(Line::const_iterator place, const Crowd& crowd) const;
  [[nodiscard]] memory::Queue QueueOf(std::size_t steps) const;
  [[nodiscard]] bool IsPlanned(const Need& need) const { return settings_.processors > 0 && need.work; }
  // Its way now, or what it waits for.
  [[nodiscard]] Choice ChoiceFor(Line::const_iterator place, const Crowd& crowd, SteadyTime now) const;
  [[nodiscard]] Reason WhyOf(const Waiting& waiting, const Choice& choice, const Crowd& crowd, SteadyTime now) const;
  static void WaitFor(Waiting& waiting, WaitingFor reason, SteadyTime now);
  // With what is free on the disk of `need` beyond reservations and reserve.
  [[nodiscard]] std::pair<Fit, Bytes> DiskFor(const Need& need) const;
  [[nodiscard]] std::unexpected<Error> DiskRefusal(const Need& need, Bytes available) const;
  [[nodiscard]] std::optional<Error> MemoryRefusal(const Need& need) const;
  void DropBloated(Waiting& waiting) const;
  void FollowBudget();
  void Reserve(const Need& need);
  void EndReservation(const std::string& job);
  void BeginWork(const Need& need, const memory::Way& way);
  void EndWork(const std::string& job);
  Need Take(Line::iterator waiting);

  memory::Ledger& ledger_;
  Bytes budget_;  // of the ledger, as those that wait were judged by
  SchedulerSettings settings_;
  Line line_;
  std::unordered_map<std::string, Line::iterator> by_job_;
  std::unordered_map<std::string, std::pair<std::string, Bytes>> reservations_;  // by job: disk, how much
  std::unordered_map<std::string, Disk> disks_;                                  // with reservations only
  std::unordered_set<std::string> expected_;  // have a slot, and do not work yet, or not now
  std::unordered_set<std::string> paused_;
  // Work that was granted, and the sum of it, without the processors of paused ones. What short steps hold comes back
  // soon, and is not planned with.
  std::unordered_map<std::string, Working> by_worker_;
  Working working_;
  bool held_ = false;
  bool memory_kept_ = false;  // for one that is out of patience
  std::uint64_t asks_ = 0;
  std::uint64_t passed_ = 0;
};

}  // namespace weir::jobs
