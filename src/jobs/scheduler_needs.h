// SchedulerNeeds: the steps that wait for memory and disk, and which of them is granted. The rule is told in
// scheduler.h. Internal to the scheduler.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "jobs/scheduler.h"

namespace weir::jobs {

class SchedulerNeeds {
 public:
  // `ledger` outlives this.
  SchedulerNeeds(memory::Ledger& ledger, Duration patience, Bytes disk_reserve);

  // The job does not ask already. Errors: kOverBudget, kDiskFull, kInternal when there is no way.
  Status Ask(Need need, SteadyTime claim, SteadyTime now);
  void Withdraw(const std::string& job);  // also ends its reservation
  std::optional<std::pair<std::string, Result<Grant>>> Next(SteadyTime now);
  void SetClaim(const std::string& job, SteadyTime claim);
  void Reload(Duration patience, Bytes disk_reserve);

  [[nodiscard]] bool Asks(const std::string& job) const { return by_job_.contains(job); }
  [[nodiscard]] WaitingFor ReasonOf(const std::string& job) const;
  // When the next one runs out of patience.
  [[nodiscard]] std::optional<SteadyTime> NextChange(SteadyTime now) const;
  [[nodiscard]] std::size_t size() const { return line_.size(); }
  [[nodiscard]] std::uint64_t passed() const { return passed_; }

 private:
  struct Key {
    SteadyTime claim;
    std::uint64_t number;  // order of asking
    auto operator<=>(const Key&) const = default;
  };
  struct Waiting {
    Need need;
    SteadyTime asked;
    WaitingFor reason = WaitingFor::kMemory;
  };
  struct Disk {
    Bytes reserved;
    std::size_t steps = 0;
  };
  using Line = std::map<Key, Waiting>;
  enum class Fit : std::uint8_t { kNow, kLater, kNever };

  [[nodiscard]] std::optional<std::size_t> WayThatFits(const Need& need) const;
  // With what is free on the disk of `need` beyond reservations and reserve.
  [[nodiscard]] std::pair<Fit, Bytes> DiskFor(const Need& need) const;
  [[nodiscard]] std::unexpected<Error> DiskRefusal(const Need& need, Bytes available) const;
  void Reserve(const Need& need);
  void EndReservation(const std::string& job);
  Need Take(Line::iterator waiting);

  memory::Ledger& ledger_;
  Duration patience_;
  Bytes disk_reserve_;
  Line line_;
  std::unordered_map<std::string, Line::iterator> by_job_;
  std::unordered_map<std::string, std::pair<std::string, Bytes>> reservations_;  // by job: disk, how much
  std::unordered_map<std::string, Disk> disks_;                                  // with reservations only
  std::uint64_t asks_ = 0;
  std::uint64_t passed_ = 0;
};

}  // namespace weir::jobs
