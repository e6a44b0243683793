// Scheduler: who runs next, and with how much. Pure: it starts nothing, measures nothing, knows no files; the clock
// is handed in. Two things are given out: slots (a job holds one from its start to its end) and, to the steps of a
// job that has a slot, memory leases with a reservation of disk. Nobody holds memory while waiting for more, so
// nothing deadlocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "memory/ledger.h"

namespace weir::jobs {

struct SchedulerSettings {
  std::size_t slots = 2;             // jobs at once
  std::size_t most_queued = 10'000;  // jobs waiting for a slot; beyond that Enqueue fails with kBusy
  // A waiting job gains one point of priority each time this passes, without end: nothing starves.
  std::chrono::seconds ageing{30};
  // A step at the head that waits for memory longer than this is not passed any more: leases that come back are kept
  // for it until it fits.
  std::chrono::seconds patience{10};
  Bytes disk_reserve = Bytes::Mib(512);  // stays free on every disk
};

struct Place {  // of a job in the order
  std::string id;
  std::string owner;
  int priority = 50;                     // 0 to 100
  WallTime created{};                    // ties: older first
  std::optional<SteadyTime> not_before;  // back-off
  bool paused = false;
};

struct Need {
  std::string job;                   // has a slot
  std::vector<Bytes> ways;           // needs of each way to do it, preferred first; the first that fits is granted
  Bytes disk;                        // that it may write
  std::string disk_name;             // which disk: any text that is the same for the same disk
  std::function<Bytes()> disk_free;  // asked at every decision
};
struct Grant {
  std::size_t way = 0;
  memory::Lease lease;
};

enum class WaitingFor : std::uint8_t { kNothing, kSlot, kMemory, kDisk, kTime, kPause, kDrain };
// "slot", "memory", "disk", "time", "pause", "drain"; "" for kNothing.
const char* NameOf(WaitingFor reason);

struct SchedulerFigures {
  std::size_t queued = 0;   // without a slot
  std::size_t running = 0;  // with one
  std::size_t needs_waiting = 0;
  std::uint64_t started = 0;  // ever
  std::uint64_t passed = 0;   // grants to a step behind one that did not fit, ever
};

// One thread. Owners share slots: among equal effective priority, the owner with the fewest running goes first.
class Scheduler {
 public:
  // `ledger` must outlive this and every lease.
  Scheduler(const Clock& clock, memory::Ledger& ledger, SchedulerSettings settings);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  // Errors: kBusy with "waiting" and "limit".
  Status Enqueue(Place place, bool beyond_limit = false);  // beyond_limit: recovery and retries are never refused
  void Remove(const std::string& id);                      // wherever it is; its slot and waiting need go with it
  void SetPriority(const std::string& id, int priority);
  void SetPaused(const std::string& id, bool paused);  // only matters while it has no slot
  void SetDraining(bool draining);                     // no slots are given while true
  [[nodiscard]] bool draining() const;

  // The next job that gets a slot now, which it then has until Remove; nullopt when none can.
  std::optional<std::string> NextStart();
  // A step of a job with a slot asks for memory. A need none of whose ways could ever fit is refused with kOverBudget
  // and the numbers; a disk need that can never fit with kDiskFull. One at a time for each job.
  Status Ask(Need need);
  void Withdraw(const std::string& id);
  // The next grant that can be made now, with the job it is for; nullopt when none. With nothing leased, the head's
  // leanest way that fits the budget is granted.
  std::optional<std::pair<std::string, Grant>> NextGrant();
  // When something may change without anybody calling (back-off, patience); nullopt: never.
  [[nodiscard]] std::optional<SteadyTime> NextChange() const;

  [[nodiscard]] WaitingFor ReasonOf(const std::string& id) const;
  // Position among those without a slot, from 1; nullopt when it has one or is unknown. For people: O(queue).
  [[nodiscard]] std::optional<std::size_t> PositionOf(const std::string& id) const;
  [[nodiscard]] SchedulerFigures figures() const;
  void Reload(SchedulerSettings settings);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::jobs
