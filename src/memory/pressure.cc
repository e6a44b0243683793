#include "memory/pressure.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

constexpr std::array kEntered = {Level::kElevated, Level::kHigh, Level::kCritical};
enum Source : std::size_t { kBudget, kMachine, kStalls };

std::string Number(double number) {
  std::array<char, 32> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.4g", number);
  return {text.data(), static_cast<std::size_t>(size)};
}

double At(const PressureThresholds& thresholds, Level level) {
  switch (level) {
    case Level::kNormal:
      break;
    case Level::kElevated:
      return thresholds.elevated;
    case Level::kHigh:
      return thresholds.high;
    case Level::kCritical:
      return thresholds.critical;
  }
  return 0;
}

const PressureThresholds& ThresholdsOf(const PressureSettings& settings, std::size_t source) {
  switch (source) {
    case kMachine:
      return settings.machine;
    case kStalls:
      return settings.stalls;
    default:
      return settings.budget;
  }
}

std::unexpected<Error> Refuse(const std::string& field, const std::string& must, double value) {
  return Fail(
      Error{.code = ErrorCode::kBadParameters, .detail = field + " must be " + must + ", not " + Number(value)}.With(
          "field", field));
}

// The comparisons are written so that what is not a number fails them.
Status ValidateThresholds(const std::string& name, const PressureThresholds& thresholds, double largest) {
  Level lower = Level::kNormal;
  for (const Level level : kEntered) {
    const std::string field = name + "." + NameOf(level);
    const double value = At(thresholds, level);
    if (!(value > 0 && value <= largest)) {
      return Refuse(field, "above 0 and at most " + Number(largest), value);
    }
    if (!(value > At(thresholds, lower))) {
      return Refuse(field, "above " + name + "." + NameOf(lower) + " (" + Number(At(thresholds, lower)) + ")", value);
    }
    lower = level;
  }
  return {};
}

Status ValidateHysteresis(const std::string& field, double value, double smallest) {
  if (!(value >= 0 && value < smallest)) {
    return Refuse(field, "at least 0 and below " + Number(smallest), value);
  }
  return {};
}

// What is promised and not used yet. Nothing when use is not known: the machine's own figure has it already, and all
// of the plan on top would count it twice.
Bytes StillToCome(const PressureReading& reading) {
  return reading.measured ? reading.planned - *reading.measured : Bytes();
}

bool IsPlanned(const PressureReading& reading) {
  // A plan above the budget is what a lowered budget leaves behind: no excuse for using more than the budget.
  return reading.measured && *reading.measured <= std::min(reading.planned, reading.budget);
}

}  // namespace

const char* NameOf(Level level) {
  switch (level) {
    case Level::kNormal:
      return "normal";
    case Level::kElevated:
      return "elevated";
    case Level::kHigh:
      return "high";
    case Level::kCritical:
      return "critical";
  }
  return "";
}

Status Validate(const PressureSettings& settings) {
  WEIR_TRY(ValidateThresholds("budget", settings.budget, 1));
  WEIR_TRY(ValidateThresholds("machine", settings.machine, 1));
  WEIR_TRY(ValidateThresholds("stalls", settings.stalls, 100));
  WEIR_TRY(ValidateHysteresis("hysteresis", settings.hysteresis,
                              std::min(settings.budget.elevated, settings.machine.elevated)));
  WEIR_TRY(ValidateHysteresis("stall_hysteresis", settings.stall_hysteresis, settings.stalls.elevated));
  if (settings.hold < Duration::zero()) {
    return Refuse("hold", "at least 0 s", Seconds(settings.hold));
  }
  return {};
}

struct Watch::List {
  std::map<std::uint64_t, std::shared_ptr<const Pressure::Hear>> hears;
  std::uint64_t next_id = 1;
  bool telling = false;

  void Tell(Level old_level, Level new_level, const std::string& reason) {
    std::vector<std::uint64_t> ids;
    ids.reserve(hears.size());
    for (const auto& [id, hear] : hears) {
      ids.push_back(id);
    }
    telling = true;
    for (const std::uint64_t id : ids) {
      if (const auto found = hears.find(id); found != hears.end()) {
        const auto hear = found->second;  // its Watch may end while it runs
        (*hear)(old_level, new_level, reason);
      }
    }
    telling = false;
  }
};

Watch::Watch(Watch&& other) noexcept : list_(std::exchange(other.list_, {})), id_(std::exchange(other.id_, 0)) {}

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    End();
    list_ = std::exchange(other.list_, {});
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

Watch::~Watch() { End(); }

void Watch::End() {
  if (const auto list = std::exchange(list_, {}).lock()) {
    // Out of the map before it is destroyed: what a callback holds may be the Watch of another.
    const auto node = list->hears.extract(std::exchange(id_, 0));
  }
}

struct Pressure::Sample {
  std::optional<double> value;  // absent: below everything
  Level most = Level::kCritical;

  [[nodiscard]] bool Reaches(Level level, double threshold) const {
    return value && level <= most && *value >= threshold;
  }
};

Pressure::Pressure(PressureSettings settings) : settings_(settings), watches_(std::make_shared<Watch::List>()) {}

Pressure::~Pressure() {
  // Nobody hears any more, also when destroyed by one who is hearing. Destroyed from a list of their own, because
  // callbacks may hold each other's Watch.
  const auto hears = std::exchange(watches_->hears, {});
}

Watch Pressure::OnChange(Hear hear) {
  const std::uint64_t id = watches_->next_id++;
  watches_->hears.emplace(id, std::make_shared<const Hear>(std::move(hear)));
  return {watches_, id};
}

std::array<Pressure::Sample, Pressure::kSources> Pressure::SamplesOf(const PressureReading& reading) {
  std::array<Sample, kSources> samples;
  if (reading.measured) {
    const double budget = static_cast<double>(reading.budget.count());
    samples[kBudget].value = budget > 0 ? static_cast<double>(reading.measured->count()) / budget : 1.0;
    samples[kBudget].most = IsPlanned(reading) ? Level::kElevated : Level::kCritical;
  }
  if (reading.machine_available && reading.machine_total && *reading.machine_total > Bytes()) {
    const Bytes used = *reading.machine_total - *reading.machine_available;
    samples[kMachine].value =
        (static_cast<double>(used.count()) + static_cast<double>(StillToCome(reading).count())) /
        static_cast<double>(reading.machine_total->count());
  }
  if (reading.stall_percent && std::isfinite(*reading.stall_percent)) {
    samples[kStalls].value = *reading.stall_percent;
  }
  return samples;
}

Level Pressure::Update(const PressureReading& reading, SteadyTime now) {
  assert(!watches_->telling && "whoever hears of a change must not make the next");
  const auto samples = SamplesOf(reading);
  std::size_t worst = kBudget;
  // At equal levels one that is there now explains more than one that only was not left yet, and one that is known
  // more than one that is not.
  std::array<int, 3> worst_rank = {-1, 0, 0};
  for (std::size_t source = 0; source < kSources; ++source) {
    const PressureThresholds& thresholds = ThresholdsOf(settings_, source);
    const double hysteresis = source == kStalls ? settings_.stall_hysteresis : settings_.hysteresis;
    Level entered = Level::kNormal;
    Level there = Level::kNormal;
    for (std::size_t i = 0; i < kEntered.size(); ++i) {
      Latch& latch = latches_[source][i];
      const Level level = kEntered[i];
      const double threshold = At(thresholds, level);
      if (samples[source].Reaches(level, threshold)) {
        latch = {.entered = true, .below_since = std::nullopt};
        there = level;
      } else if (samples[source].Reaches(level, threshold - hysteresis)) {
        latch.below_since.reset();
      } else if (latch.entered) {
        latch.below_since = latch.below_since.value_or(now);
        if (now - *latch.below_since >= settings_.hold) {
          latch = {};
        }
      }
      if (latch.entered) {
        entered = level;
      }
    }
    const std::array<int, 3> rank = {static_cast<int>(entered), static_cast<int>(there),
                                     samples[source].value ? 1 : 0};
    if (rank > worst_rank) {
      worst_rank = rank;
      worst = source;
    }
  }

  const Level old_level = std::exchange(level_, static_cast<Level>(worst_rank[0]));
  const Level new_level = level_;
  decided_ = worst;
  reason_ = Describe(worst, samples[worst], reading) + Held(worst, samples[worst], reading);
  if (new_level != old_level || !updated_) {
    updated_ = true;
    since_ = now;
  }
  if (new_level != old_level) {
    // Copies, because whoever hears may destroy this.
    const auto watches = watches_;
    const std::string reason = reason_;
    watches->Tell(old_level, new_level, reason);
  }
  return new_level;
}

std::string Pressure::Describe(std::size_t source, const Sample& sample, const PressureReading& reading) const {
  if (!sample.value) {
    switch (source) {
      case kMachine:
        return "what the machine has available is not known any more";
      case kStalls:
        return "stalls are not known any more";
      default:
        return level_ != Level::kNormal ? "what the process tree uses is not known any more"
                                        : "nothing can be measured";
    }
  }
  switch (source) {
    case kMachine: {
      const Bytes promised = StillToCome(reading);
      return "the machine has " + ToString(*reading.machine_available) + " of " + ToString(*reading.machine_total) +
             " available" + (promised > Bytes() ? " and " + ToString(promised) + " is promised" : "");
    }
    case kStalls:
      return "all work stood still waiting for memory " + Number(*sample.value) + "% of the last 10 s";
    default: {
      const Bytes measured = *reading.measured;
      return "the process tree uses " + ToString(measured) + " of " + ToString(reading.budget) +
             (measured > reading.planned ? ", " + ToString(measured - reading.planned) + " more than planned"
                                         : ", within the " + ToString(reading.planned) + " planned");
    }
  }
}

std::string Pressure::Held(std::size_t source, const Sample& sample, const PressureReading& reading) const {
  const double threshold = At(ThresholdsOf(settings_, source), level_);
  if (level_ == Level::kNormal || sample.Reaches(level_, threshold)) {
    return {};
  }
  const std::string ends = std::string("; ") + NameOf(level_) + " ends ";
  if (latches_[source][static_cast<std::size_t>(level_) - 1].below_since) {
    return ends + "when it has stayed so for " + InSeconds(settings_.hold);
  }
  switch (source) {
    case kMachine:
      return ends + "when " + ToString(*reading.machine_total * (1 - threshold + settings_.hysteresis)) +
             " are available and not promised";
    case kStalls:
      return ends + "below " + Number(threshold - settings_.stall_hysteresis) + "%";
    default:
      return ends + "below " + ToString(reading.budget * (threshold - settings_.hysteresis));
  }
}

}  // namespace weir::memory
