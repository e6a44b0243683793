#include "app/governor.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace weir::app {
namespace {

using memory::Level;

// Standing still frees nothing by itself: the kernel must be able to put its pages somewhere.
constexpr Bytes kWorthOfSwap = Bytes::Mib(64);

std::optional<Bytes> UnlessNothing(Bytes freed) { return freed.count() > 0 ? std::optional(freed) : std::nullopt; }

}  // namespace

Governor::Governor(const GovernorSettings& settings, GovernorHands hands)
    : settings_(settings),
      hands_(std::move(hands)),
      pressure_(settings.pressure),
      watch_(pressure_.OnChange([](Level before, Level after, const std::string& reason) {
        const std::string line =
            std::string("memory: ") + memory::NameOf(before) + " to " + memory::NameOf(after) + ": " + reason;
        if (after >= Level::kHigh) {
          log::Warning(line);
        } else if (before >= Level::kHigh) {
          log::Info(line);
        } else {
          log::Debug(line);
        }
      })),
      relief_(Remedies(), [this](const memory::Used& used) { Count(used); }, kMostHistory) {}

std::vector<memory::Remedy> Governor::Remedies() {
  using std::chrono::minutes;
  using std::chrono::seconds;
  std::vector<memory::Remedy> remedies;
  remedies.push_back({.name = "trim caches",
                      .from = Level::kElevated,
                      .act = [this] { return hands_.trim(); },
                      .pause = minutes(1)});
  remedies.push_back(
      {.name = "sweep", .from = Level::kElevated, .act = [this] { return hands_.sweep(); }, .pause = minutes(5)});
  remedies.push_back({.name = "begin nothing",
                      .from = Level::kHigh,
                      .act =
                          [this] {
                            hands_.hold(true);
                            return Bytes();
                          },
                      .undo = [this] { hands_.hold(false); }});
  remedies.push_back({.name = "lower leases",
                      .from = Level::kHigh,
                      .act = [this] { return UnlessNothing(hands_.lower_leases()); },
                      .settle = seconds(2),
                      .pause = seconds(5)});
  remedies.push_back(
      {.name = "suspend the youngest",
       .from = Level::kCritical,
       .act = [this] { return hands_.suspend_youngest(pressure_.reason()) ? std::optional(Bytes()) : std::nullopt; },
       .settle = seconds(3),
       .undo = [this] { hands_.resume_suspended(); },
       .applies = [this] { return last_.children_swap && last_.swap_free && *last_.swap_free >= kWorthOfSwap; }});
  remedies.push_back({.name = "end the youngest",
                      .from = Level::kCritical,
                      .act = [this] { return UnlessNothing(hands_.end_youngest(pressure_.reason())); },
                      .settle = seconds(3),
                      .pause = seconds(10)});
  for (const auto& remedy : remedies) {
    counts_.push_back({.name = remedy.name});
  }
  return remedies;
}

void Governor::Count(const memory::Used& used) {
  const auto count = std::ranges::find(counts_, used.name, &RemedyCount::name);
  if (!used.undone) {
    ++count->uses;
    count->freed += used.freed;
  }
  const std::string line = std::string("memory ") + memory::NameOf(used.level) + ": " +
                           (used.undone ? "no more: " : "") + used.name +
                           (used.freed.count() > 0 ? ", which freed " + ToString(used.freed) : std::string());
  // What is mild and finds nothing is used again and again while work fills the budget as planned.
  if ((used.level >= Level::kHigh && used.times == 1) || used.undone) {
    log::Info(line + ": " + used.reason);
  } else {
    log::Debug(line + ": " + used.reason);
  }
}

void Governor::Update(GovernorReading reading, SteadyTime now) {
  last_ = std::move(reading);
  const Level level = pressure_.Update(last_.pressure, now);
  relief_.Update(level, pressure_.reason(), now);
  if (last_.pressure.measured) {
    history_.Add({.tree = *last_.pressure.measured,
                  .leased = last_.pressure.planned,
                  .budget = last_.pressure.budget,
                  .level = level},
                 now);
    recent_.tree.Add(static_cast<double>(last_.pressure.measured->count()));
  }
  if (last_.own.pss.count() > 0) {
    recent_.own.Add(static_cast<double>(last_.own.pss.count()));
  }
  recent_.leased.Add(static_cast<double>(last_.tracker.leased.count()));
  recent_.children.Add(static_cast<double>(last_.tracker.children));
  recent_.waiting.Add(static_cast<double>(last_.tracker.waiting));
  LookAtGrowth(now);
  LookAround();
}

void Governor::LookAtGrowth(SteadyTime now) {
  if (growth_looked_ && now - *growth_looked_ < kGrowthPeriod) {
    return;
  }
  growth_looked_ = now;
  // A moment of which not everything could be read would look like a fall.
  if (last_.own.pss.count() == 0 || last_.own.handles == 0 || last_.own.threads == 0) {
    return;
  }
  last_.own.time = now;
  for (const auto& change : growth_.Update(last_.own)) {
    change.began ? log::Warning(change.finding.sentence) : log::Info("no more: " + change.finding.sentence);
  }
}

void Governor::LookAround() {
  last_.tracker.level = pressure_.level();
  last_.tracker.level_reason = pressure_.reason();
  last_.tracker.machine_is_short = pressure_.is_of_machine();
  for (const auto& change : tracker_.Update(WarningsOf(settings_.tracker, last_.tracker))) {
    if (change.warning.key == "memory") {
      continue;  // told as a level
    }
    change.began ? log::Warning(change.warning.text) : log::Info("no more: " + change.warning.text);
  }
}

void Governor::Reload(const GovernorSettings& settings) {
  settings_ = settings;
  pressure_.Reload(settings.pressure);
}

}  // namespace weir::app
