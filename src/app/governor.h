// Governor: what is done about memory while the daemon serves. It joins the levels of pressure, their remedies, the
// growth of the daemon itself and the tracker of what is unusual. Decides and remembers; it measures nothing, owns no
// timer, and acts only through the hands that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/tracker.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "memory/growth.h"
#include "memory/history.h"
#include "memory/pressure.h"
#include "memory/recent.h"
#include "memory/relief.h"

namespace weir::app {

struct GovernorSettings {
  memory::PressureSettings pressure;
  TrackerSettings tracker;
};

// The remedies, in the order of their use. All are called from inside Update and must not call back.
struct GovernorHands {
  std::function<Bytes()> trim;   // caches in memory, and the allocator; what became free
  std::function<Bytes()> sweep;  // what is provably unused; what became free
  std::function<void(bool)> hold;
  std::function<Bytes()> lower_leases;                           // zero: none could be lowered
  std::function<bool(const std::string& why)> suspend_youngest;  // false: there is none
  std::function<void()> resume_suspended;
  std::function<Bytes(const std::string& why)> end_youngest;  // zero: there is none
};

struct GovernorReading {
  memory::PressureReading pressure;
  std::optional<Bytes> swap_free;
  bool children_swap = false;  // pages of children may go there
  memory::GrowthSample own;    // its time is filled in
  TrackerReading tracker;      // its level is filled in
};

// The last looks at what work changes.
struct RecentLooks {
  memory::Recent tree;  // bytes, as the next two
  memory::Recent own;
  memory::Recent leased;
  memory::Recent children;
  memory::Recent waiting;  // jobs
};

struct RemedyCount {
  std::string name;
  std::uint64_t uses = 0;
  Bytes freed;
};

// One thread.
class Governor {
 public:
  static constexpr Duration kGrowthPeriod = std::chrono::minutes(1);
  static constexpr std::size_t kMostHistory = 50;

  Governor(const GovernorSettings& settings, GovernorHands hands);
  Governor(const Governor&) = delete;
  Governor& operator=(const Governor&) = delete;
  ~Governor() = default;

  // `now` never goes back.
  void Update(GovernorReading reading, SteadyTime now);
  // When a remedy may be due; nullopt: not before the next reading.
  [[nodiscard]] std::optional<SteadyTime> next() const { return relief_.next(); }
  void Reload(const GovernorSettings& settings);

  [[nodiscard]] const memory::Pressure& pressure() const { return pressure_; }
  [[nodiscard]] const memory::Relief& relief() const { return relief_; }
  [[nodiscard]] const memory::Growth& growth() const { return growth_; }
  [[nodiscard]] const memory::History& history() const { return history_; }
  [[nodiscard]] const Tracker& tracker() const { return tracker_; }
  [[nodiscard]] const RecentLooks& recent() const { return recent_; }
  // In the order of the remedies; those that were never used too.
  [[nodiscard]] const std::vector<RemedyCount>& counts() const { return counts_; }
  [[nodiscard]] std::vector<Recommendation> Recommendations() const {
    return RecommendationsOf(settings_.tracker, last_.tracker);
  }
  [[nodiscard]] const GovernorReading& last() const { return last_; }

 private:
  std::vector<memory::Remedy> Remedies();
  void Count(const memory::Used& used);
  void LookAtGrowth(SteadyTime now);
  void LookAround();

  GovernorSettings settings_;
  GovernorHands hands_;
  memory::Pressure pressure_;
  memory::Growth growth_;
  memory::History history_;
  RecentLooks recent_;
  Tracker tracker_;
  std::vector<RemedyCount> counts_;
  GovernorReading last_;
  std::optional<SteadyTime> growth_looked_;
  memory::Watch watch_;
  memory::Relief relief_;
};

}  // namespace weir::app
