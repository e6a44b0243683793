// Pressure: how short memory is, as one of four levels with a sentence that says why. Pure: it measures nothing, asks
// no clock and remedies nothing; readings and the time are handed in, news go to whoever watches.
//
// Three sources are judged, each alone, and the worst decides:
//   budget   what the process tree uses of its budget. Memory that was leased and is used inside its lease is planned
//            use, not trouble: while the tree stays within what was planned (and within the budget) this source never
//            says more than elevated, however full the budget is.
//   machine  what the machine would use if every promise were used: what it uses now, and what of the plan is still
//            to come.
//   stalls   how much of the last 10 s all work stood still waiting for memory (Linux: PSI, memory, full avg10).
// A level is entered at once, and left when the source has been below its threshold by more than the hysteresis for
// all of `hold`. A source that is absent from the start never counts; one that goes absent counts as below
// everything, so that a reading which fails once changes nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace weir::memory {

enum class Level : std::uint8_t { kNormal, kElevated, kHigh, kCritical };
const char* NameOf(Level level);  // "normal", "elevated", "high", "critical"

struct PressureThresholds {
  double elevated;
  double high;
  double critical;
};

struct PressureSettings {
  PressureThresholds budget{.elevated = 0.70, .high = 0.85, .critical = 0.95};   // of the budget
  PressureThresholds machine{.elevated = 0.90, .high = 0.95, .critical = 0.98};  // of the machine's memory
  PressureThresholds stalls{.elevated = 2, .high = 10, .critical = 25};          // per cent of the time
  double hysteresis = 0.05;                                                      // of the first two
  double stall_hysteresis = 1;                                                   // points of per cent, of the third
  Duration hold = std::chrono::seconds(5);
};

// Thresholds rise strictly, in (0,1] or for stalls (0,100]; a hysteresis is at least 0 and below every threshold that
// it is of (or elevated would never be left); `hold` is not negative. Errors: kBadParameters, with "field".
Status Validate(const PressureSettings& settings);

struct PressureReading {
  std::optional<Bytes> measured{};  // proportional set size (PSS) of the whole tree; absent when it cannot be read
  Bytes planned{};                  // all leases, and what the daemon itself is allowed
  Bytes budget{};
  std::optional<Bytes> machine_available{};  // both, or the machine is not counted
  std::optional<Bytes> machine_total{};
  std::optional<double> stall_percent{};
};

class Pressure;

// Somebody is told of changes until this is destroyed. Move-only. May be destroyed at any time: during a callback
// (its own too), before or after the Pressure that it came from.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

 private:
  friend class Pressure;
  struct List;
  Watch(std::weak_ptr<List> list, std::uint64_t id) : list_(std::move(list)), id_(id) {}
  void End();
  std::weak_ptr<List> list_;
  std::uint64_t id_ = 0;
};

// One thread.
class Pressure {
 public:
  using Hear = std::function<void(Level old_level, Level new_level, const std::string& reason)>;

  explicit Pressure(PressureSettings settings = {});  // as Validate wants them
  Pressure(const Pressure&) = delete;
  Pressure& operator=(const Pressure&) = delete;
  ~Pressure();

  // The level after this reading; when it is another one, those who watch have heard. `now` never goes back. Not to
  // be called by those who are hearing.
  Level Update(const PressureReading& reading, SteadyTime now);

  [[nodiscard]] Level level() const { return level_; }
  // One sentence about the source that decided, with its numbers as of the last Update, at every level: "the process
  // tree uses 460.0 MiB of 500.0 MiB, 60.0 MiB more than planned".
  [[nodiscard]] const std::string& reason() const { return reason_; }
  // Whether the machine as a whole decided (its available memory or stalls), and not our own use of the budget.
  [[nodiscard]] bool is_of_machine() const { return decided_ != 0; }
  // When this level began; the first Update when there was no other, the epoch before that.
  [[nodiscard]] SteadyTime since() const { return since_; }

  // Those who watch hear in the order in which they came; who comes during a change does not hear that one. `hear`
  // lives until its Watch ends, or through the call in which that happens.
  [[nodiscard]] Watch OnChange(Hear hear);

  // Thresholds from the next Update on; levels that were entered stay until left by the new ones.
  void Reload(PressureSettings settings) { settings_ = settings; }

 private:
  static constexpr std::size_t kSources = 3;
  struct Latch {
    bool entered = false;
    std::optional<SteadyTime> below_since;
  };
  using Latches = std::array<Latch, 3>;  // of elevated, high, critical: whoever is entered, so are those before it
  struct Sample;                         // what one source says in one reading

  static std::array<Sample, kSources> SamplesOf(const PressureReading& reading);
  [[nodiscard]] std::string Describe(std::size_t source, const Sample& sample, const PressureReading& reading) const;
  // "; high ends below 400.0 MiB", when only the hysteresis holds the level; else nothing.
  [[nodiscard]] std::string Held(std::size_t source, const Sample& sample, const PressureReading& reading) const;

  PressureSettings settings_;
  std::array<Latches, kSources> latches_{};
  Level level_ = Level::kNormal;
  std::string reason_ = "nothing was measured yet";
  std::size_t decided_ = 0;  // source
  SteadyTime since_{};
  bool updated_ = false;
  std::shared_ptr<Watch::List> watches_;
};

}  // namespace weir::memory
