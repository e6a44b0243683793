// SchedulerLine: the jobs that could run now and have no slot, and which of them is next. Only the order: it counts
// slots that are taken for the sake of fairness and limits nothing. The rule is told in scheduler.h. Internal to the
// scheduler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/clock.h"

namespace weir::jobs {

struct LineOwner;

// Owned by the scheduler, which must not move it.
struct LineJob {
  std::string id;
  std::string owner_name;
  int priority = 0;  // 0 to 100; not to be changed while in the line
  WallTime created{};
  SteadyTime enqueued{};
  std::uint64_t number = 0;    // order of arrival
  LineOwner* owner = nullptr;  // while in the line or with a slot
  // From when its waiting counted when it got its slot.
  SteadyTime since{};
};

// A claim as an instant, so that it stays the same while time passes: the earlier, the better. It is when a job of
// priority 0 would have had to come to be worth as much.
inline SteadyTime Claim(SteadyTime since, int priority, Duration ageing) { return since - priority * ageing; }

// Each place further back takes another turn of the choice, and every answer about a waiting job has its place.
inline constexpr std::size_t kLastTold = 1000;

// Who takes part in the choice: an owner with what counts for it.
struct LineBidder {
  SteadyTime bid{};
  std::size_t running = 0;
  SteadyTime served_at = SteadyTime::min();
  std::uint64_t served = 0;  // number of its last start among all starts; 0: never
  std::uint64_t number = 0;
  LineJob* head = nullptr;  // its next job
};

class SchedulerLine {
 public:
  explicit SchedulerLine(Duration ageing);
  SchedulerLine(const SchedulerLine&) = delete;
  SchedulerLine& operator=(const SchedulerLine&) = delete;
  ~SchedulerLine();

  void Insert(LineJob& job);
  void Erase(LineJob& job);
  // Takes the next job out of the line and counts it as running for its owner until End; nullptr: the line is empty.
  LineJob* Start(SteadyTime now);
  void End(LineJob& job);
  void SetAgeing(Duration ageing);
  // From 1, nullopt beyond kLastTold; `job` is in the line. O(kLastTold + owners).
  [[nodiscard]] std::optional<std::size_t> PositionOf(const LineJob& job, SteadyTime now) const;
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t owners() const { return owners_.size(); }

 private:
  struct ByBid {
    bool operator()(const LineBidder* a, const LineBidder* b) const {
      return a->bid != b->bid ? a->bid < b->bid : a->number < b->number;
    }
  };
  using Bidders = std::set<LineBidder*, ByBid>;

  LineBidder* Choose(const Bidders& bidders) const;
  void Leave(LineOwner& owner);   // its bid is about to change
  void Rejoin(LineOwner& owner);  // it has changed
  LineOwner& OwnerNamed(const std::string& name);
  void Detach(LineJob& job);

  Duration ageing_;
  std::unordered_map<std::string, std::unique_ptr<LineOwner>> owners_;
  Bidders bidders_;  // owners with a job in the line
  // Owners with nothing here, by last start; remembered for a while so that coming back makes nobody new.
  std::map<std::uint64_t, LineOwner*> idle_;
  std::size_t size_ = 0;
  std::uint64_t starts_ = 0;
  std::uint64_t owner_numbers_ = 0;
};

}  // namespace weir::jobs
