// Tracker: which of the daemon's own figures and of its children are beyond what is usual, and which setting would
// help. Pure: it measures nothing, ends nothing and knows no clock; the figures are handed in, what began and ended
// is handed back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "memory/pressure.h"

namespace weir::app {

struct TrackerSettings {
  std::size_t most_handles = 1000;
  std::size_t most_children = 10;
  Duration stuck = std::chrono::minutes(10);      // without progress
  Duration over_age = std::chrono::minutes(60);   // of one attempt, waiting included
  std::map<std::string, Duration> stuck_of{};     // by recipe, instead of `stuck`
  std::map<std::string, Duration> over_age_of{};  // and instead of `over_age`
};

struct TrackedChild {
  std::string job;
  std::string recipe;
  Duration age{};       // of the attempt: since it got its slot, with all that it waited and stood still
  Duration quiet{};     // since its last progress; waiting and standing still not counted
  std::string waiting;  // what its next step waits for: "memory"; "" when it does not
};

struct TrackerReading {
  std::size_t handles = 0;
  std::size_t children = 0;
  std::vector<TrackedChild> running;
  memory::Level level = memory::Level::kNormal;
  std::string level_reason;
  bool machine_is_short = false;  // the machine decided the level, not our budget
  Bytes own_memory;               // PSS of the daemon
  Bytes own_use;                  // set aside for it
  // Of the queue, now.
  std::size_t waiting = 0;  // for a slot
  std::size_t most_queued = 0;
  std::size_t slots = 0;
  std::size_t slots_taken = 0;
  std::size_t steps_waiting_for_memory = 0;
  Bytes available;  // of the budget
  Bytes leased;
  Bytes budget;
  double idle_processors = 0;
};

enum class Urgency : std::uint8_t { kLow, kMedium, kHigh };
const char* NameOf(Urgency urgency);  // "low", "medium", "high"

struct Warning {
  std::string key;  // the same as long as it is about the same thing: "handles", "stuck 4tz..."
  std::string text;
};
struct Recommendation {
  Urgency urgency = Urgency::kLow;
  std::string setting;  // "queue.slots"; "" when none is to be changed
  std::string action;   // a sentence, which names the setting
};

// All that hold now, at most kMostWarnings: about children only the oldest.
inline constexpr std::size_t kMostWarnings = 50;
std::vector<Warning> WarningsOf(const TrackerSettings& settings, const TrackerReading& reading);
// What to change, most urgent first; empty on a healthy day.
std::vector<Recommendation> RecommendationsOf(const TrackerSettings& settings, const TrackerReading& reading);

struct WarningChange {
  bool began = false;  // else it ended
  Warning warning;
};

// One thread.
class Tracker {
 public:
  // What began or ended with this look.
  [[nodiscard]] std::vector<WarningChange> Update(std::vector<Warning> now);
  [[nodiscard]] const std::vector<Warning>& warnings() const { return warnings_; }

 private:
  std::vector<Warning> warnings_;
};

}  // namespace weir::app
