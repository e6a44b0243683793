// Scheduler: who runs next, and with how much. Pure: it starts nothing, measures nothing, knows no files; the clock
// is handed in. Two things are given out: slots (a job holds one from its start to its end) and, to the steps of a
// job that has a slot, memory leases with a reservation of disk. Nobody holds memory while waiting for more, so
// nothing deadlocks.
//
// Slots. A job is worth its priority, plus a point for each `ageing` that it has waited. Between jobs of one owner
// that is all: worth, then created, then order of arrival. Between owners, waiting counts from the owner's last start
// where that is later than the job's arrival: ten thousand old jobs of one owner are together one claim, not ten
// thousand, and a single job of another owner waits about one turn. An owner's claim is the best of its jobs'; claims
// less than one point behind the best are equal to it, and among those the owner with the fewest slots is next, then
// the one served longest ago. Backed-off and paused jobs stand aside, are in nobody's way, and age meanwhile.
//   Nothing starves: an owner with a job that may run is passed by every other owner at most once after it has
//   waited 101 times `ageing`; and within it, a job by those only that came at most 100 times `ageing` after it.
//
// Memory. Steps are served in the order of the claims with which their jobs got their slots, then first come. While a
// step does not fit, those behind it may pass; once it has waited for `patience` nobody does, and what comes back is
// kept for it. When nothing is leased the first always fits. Leases of steps that work may shrink.
//
// Which way. A short step gets its first way that fits. Of a step that is the job's work, that one is taken that ends
// the queue soonest: as many like it as may work beside each other (jobs that ask, that are about to or are in line,
// as far as there are slots) are imagined beside the steps that work now, in what these leave of memory and
// processors (memory::BestWay). While that way does not fit, it is waited for, but not beyond `patience`: then the
// best of those that fit. No work begins while the processors are busy with others: it would end no sooner and take
// their memory. Without a number of processors, the first way that fits is taken.
//   When no more than memory::kMostLastSteps jobs want to work, and it is known about how long each takes and how far
// those at work are, the whole end of the queue is planned (memory::PlanEnd): a way may then be taken that the last
// job left alone would not have, work may begin on busy processors, or wait though it would fit.
//
// Disk. What granted steps may write stays reserved on its disk until Remove, Withdraw, GoOn or the job's next Ask
// (also when part of it is written already: careful, never short). Steps that wait for disk keep no memory from
// others, and steps that wait for memory keep no disk; one that has waited for disk beyond `patience` is not passed
// by others on that disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "memory/ledger.h"
#include "memory/throughput.h"

namespace weir::jobs {

struct SchedulerSettings {
  std::size_t slots = 2;             // jobs at once; 0 starts nothing
  std::size_t most_queued = 10'000;  // jobs waiting for a slot; beyond that Enqueue fails with kBusy
  // A waiting job gains one point of priority each time this passes, without end. One second to a year.
  std::chrono::seconds ageing{30};
  // A step that has waited this long is not passed any more.
  std::chrono::seconds patience{10};
  Bytes disk_reserve = Bytes::Mib(512);  // stays free on every disk
  // To be kept busy by the work of jobs; 0: whatever has memory runs.
  std::size_t processors = 0;
  double size_weight = 2;  // memory::Room
};

struct Place {  // of a job in the order
  std::string id;
  std::string owner;
  int priority = 50;                     // 0 to 100; what lies outside counts as the nearer end
  WallTime created{};                    // ties: older first
  std::optional<SteadyTime> not_before;  // back-off
  bool paused = false;
};

struct Need {
  std::string job;                   // has a slot, and holds no lease any more
  bool work = false;                 // what the slot is for; other steps (a probe, a check) are short
  std::vector<memory::Way> ways;     // to do it, preferred first, leanest last; never empty
  double seconds = 0;                // of work: that a `time` of 1 takes; only against others; 0: not known
  bool squeezable = false;           // a budget that becomes too low while it waits gives it all that there is
  Bytes disk;                        // that it may write
  std::string disk_name;             // which disk: any text that is the same for the same disk
  std::function<Bytes()> disk_free;  // asked at decisions; without it, or with no `disk`, nothing is reserved
};

enum class WaitingFor : std::uint8_t {
  kNothing,
  kSlot,
  kProcessor,
  kMemory,
  kDisk,
  kTime,
  kPause,
  kDrain,
  kPressure
};
// "slot", "processor", "memory", "disk", "time", "pause", "drain", "pressure"; "" for kNothing.
const char* NameOf(WaitingFor reason);

// What a way that comes before the one that was taken was passed over for.
enum class PassedFor : std::uint8_t {
  kMemory,      // it needs more than there was for it
  kProcessors,  // it keeps more of them busy than were idle
  kCompany,     // alone, a way before the one taken would have been; with the jobs planned for, the queue ends later
  kEnd,         // of the last jobs of the queue, all are done later with it
  kYield,       // it does no more, for its time and the size of its output
  kBudget,      // it could never be leased
  kFailed,      // an earlier try with it failed, or had to make room
  kEarlier,     // an earlier choice in the same attempt went past it
};
// "memory", "processors", "company", "end", "yield", "budget", "failed", "earlier".
const char* NameOf(PassedFor reason);

struct PassedWay {
  std::size_t way = 0;
  Bytes memory;
  PassedFor why = PassedFor::kMemory;
};

// Why a step got the way that it got: all as it was at that moment, before its own lease.
struct Reason {
  std::size_t way = 0;
  std::size_t ways = 1;     // that there were to choose from
  Bytes memory;             // of the way
  Bytes available;          // for it: what no lease holds and no step at work may still use
  double processors = 0;    // of all; 0: they were not looked at
  double idle = 0;          // of those
  std::size_t leases = 0;   // of others
  std::size_t working = 0;  // steps that do the work of other jobs
  std::size_t alike = 1;    // that were planned for side by side, with this one; not looked at: 1
  std::size_t wanting = 1;  // jobs that will want to work some time, with this one
  Duration waited{};        // since it asked
  WaitingFor waited_for = WaitingFor::kNothing;  // last
  bool out_of_patience = false;                  // the way that was best did not fit for too long
  std::size_t overtaken = 0;                     // steps that came before it, and wait on
  std::vector<PassedWay> passed;                 // in the order of the ways
};

struct Grant {
  std::size_t way = 0;
  memory::Lease lease;
  Reason reason{};
};

// What a job waits for, as it is when asked. What does not belong to `what` is zero.
struct Wait {
  WaitingFor what = WaitingFor::kNothing;
  std::optional<SteadyTime> since;  // for this; for a slot: since it came
  Bytes required;                   // kMemory: by the way that is waited for; kDisk
  Bytes leanest;                    // kMemory: by the way that needs least
  Bytes available;                  // kMemory, kDisk: beside reservations and reserve
  double all = 0;                   // kSlot: slots, kProcessor: processors
  double idle = 0;                  // of those
  // Who has it. kSlot, kDrain: jobs with slots. kPressure: either those that are not paused or steps at work,
  // whichever the job is of. kMemory: leases. kDisk: steps with reservations. kProcessor: steps at work.
  std::size_t holders = 0;
  // kTime: the end of the pause. kMemory, kDisk: until then others may pass, and the way that is waited for is the
  // best one; from then on any that fits.
  std::optional<SteadyTime> until;
};

struct SchedulerFigures {
  std::size_t queued = 0;   // without a slot
  std::size_t running = 0;  // with one
  std::size_t needs_waiting = 0;
  std::uint64_t started = 0;  // ever
  std::uint64_t passed = 0;   // grants to a step behind one that did not fit, ever
};

// One thread; `disk_free` must not call back. Ids that are not known are ignored where nothing is returned.
class Scheduler {
 public:
  // Both outlive this; `ledger` every lease as well.
  Scheduler(const Clock& clock, memory::Ledger& ledger, SchedulerSettings settings);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  // Recovery enqueues in the order of creation. Errors: kBusy with "waiting" and "limit"; kConflict for an id that is
  // here already.
  Status Enqueue(Place place, bool beyond_limit = false);  // beyond_limit: recovery and retries are never refused
  void Remove(const std::string& id);                      // wherever it is; its slot and waiting need go with it
  void SetPriority(const std::string& id, int priority);   // keeps what it has waited
  // Without a slot it stands aside. With one it keeps it, and whatever it has; its processors are free for others.
  void SetPaused(const std::string& id, bool paused);
  void SetDraining(bool draining);  // no slots are given while true
  [[nodiscard]] bool draining() const;
  // While held, no slot is given as long as a job that is not paused has one, and no work begins beside other work
  // that is not paused:
  // what goes on may end, and then one at a time goes on.
  void SetHeld(bool held);
  [[nodiscard]] bool held() const;

  // The next job that gets a slot now, which it then has until Remove; nullopt when none can.
  // O(log queue + owners that wait + 101).
  std::optional<std::string> NextStart();
  // A step of a job with a slot asks for memory. Ends the disk reservation of the job's step before. One at a time
  // for each job. Errors: kOverBudget when no way could ever fit, with "required_bytes" (of the leanest),
  // "available_bytes" (with nothing leased) and "budget_bytes"; kDiskFull when nothing else is reserved on the disk
  // and it still does not fit, with "required_bytes", "available_bytes" and "reserve_bytes"; kConflict without a slot
  // or when asking already.
  Status Ask(Need need);
  // The job's step is over, and the next one goes on with the lease that it has: its work and its disk reservation
  // end as by Ask.
  void GoOn(const std::string& id);
  // Takes back what a job asks for, and ends its disk reservation; a lease that it has is its own.
  void Withdraw(const std::string& id);
  // Of those that the work of jobs is to keep busy; zero when their number is not known.
  [[nodiscard]] double IdleProcessors() const;
  // So much of the job's work is done, 0 to 1.
  void Advanced(const std::string& id, double part);
  // The job's lease was made smaller by so much.
  void Shrunk(const std::string& id, Bytes by);
  // As of the last NextGrant: whether a step waits for memory that others hold.
  [[nodiscard]] bool WantsMemory() const;
  // As of the last NextGrant: whether what comes back is kept for a step that is out of patience.
  [[nodiscard]] bool KeepsMemory() const;
  // The next decision that can be made now, with the job it is for; nullopt when none. An error is kDiskFull as by
  // Ask, of a need that waited for the reservations of others, which are gone now without making it fit, or
  // kOverBudget as by Ask, of one that fits the ledger's budget no more. Either way the job does not ask any more.
  // O(steps that wait), and memory::BestWay for a few.
  std::optional<std::pair<std::string, Result<Grant>>> NextGrant();
  // When something may change without anybody calling (back-off, patience); nullopt: never. Never before now, except
  // for back-offs that are over while NextStart has not been called.
  [[nodiscard]] std::optional<SteadyTime> NextChange() const;

  // Of a job with a slot: as of the last NextGrant. kNothing for those that have what they need, and for unknown
  // ones.
  [[nodiscard]] WaitingFor ReasonOf(const std::string& id) const;
  // As of ReasonOf, with the numbers of now. Asks `disk_free` where disk is waited for. O(ways).
  [[nodiscard]] Wait WaitOf(const std::string& id) const;
  // Position among those without a slot, from 1, if all slots came free now; those aside come last. nullopt when it
  // has one, is unknown, or stands in the line beyond the thousandth place.
  [[nodiscard]] std::optional<std::size_t> PositionOf(const std::string& id) const;
  [[nodiscard]] bool Knows(const std::string& id) const;  // with or without a slot
  [[nodiscard]] SchedulerFigures figures() const;
  // Fewer slots than are taken: nobody loses one, none is given until enough came back.
  void Reload(SchedulerSettings settings);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::jobs
