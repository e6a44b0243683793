#include "memory/growth.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>
#include <utility>

namespace weir::memory {
namespace {

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
constexpr Duration kReach = std::chrono::hours(60);
constexpr std::size_t kLeastPoints = 180;
constexpr std::size_t kLongestName = 64;

constexpr double kShortestHours = 3;
constexpr double kSustainedHours = 18;
constexpr double kMoreSwingPerHour = 0.02;
constexpr double kWindowStep = 1.12;
constexpr std::size_t kParts = 4;
constexpr std::size_t kLeastPointsPerPart = 3;
constexpr double kLeastShareOfSlope = 0.5;
constexpr std::size_t kMostPointsForPairs = 72;

double Hours(Duration duration) { return std::chrono::duration<double, std::ratio<3600>>(duration).count(); }

// Every PSS is far below 2^53: no rounding.
std::int64_t Count(Bytes bytes) { return static_cast<std::int64_t>(bytes.count()); }

Bytes AsBytes(double value) { return Bytes(static_cast<std::uint64_t>(std::max(0.0, value))); }

std::string Decimal(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

Growth::Growth(GrowthLimits limits, GrowthBounds bounds) : limits_(limits), bounds_(bounds) {
  bounds_.points = std::max(bounds_.points, kLeastPoints);
  interval_ = kReach / static_cast<std::int64_t>(bounds_.points);
  for (Series* const series : {&pss_, &handles_, &threads_, &heap_rest_, &outside_heap_, &other_components_}) {
    series->assign(bounds_.points, kNone);
  }
  components_.reserve(bounds_.components);
}

std::vector<GrowthChange> Growth::Update(const GrowthSample& sample) {
  std::vector<GrowthChange> changes;
  if (!origin_) {
    origin_ = sample.time;
  }
  const std::int64_t slot = (sample.time - *origin_) / interval_;
  if (slot > slot_) {
    Evaluate(changes);
    MoveTo(slot);
  }
  Put(pss_, Count(sample.pss));
  Put(handles_, static_cast<std::int64_t>(sample.handles));
  Put(threads_, static_cast<std::int64_t>(sample.threads));
  Put(outside_heap_, Count(sample.pss) - Count(sample.heap_in_use));
  PutComponents(sample);
  return changes;
}

void Growth::Put(Series& series, std::int64_t value) const {
  std::int64_t& point = series[static_cast<std::size_t>(slot_) % bounds_.points];
  point = std::min(point, value);
}

void Growth::PutComponents(const GrowthSample& sample) {
  std::int64_t rest = Count(sample.heap_in_use);
  std::int64_t others = 0;
  for (const ComponentUse& use : sample.components) {
    rest -= Count(use.used);
    const std::string_view name = std::string_view(use.name).substr(0, kLongestName);
    auto found = std::ranges::find(components_, name, &Component::name);
    if (found == components_.end()) {
      if (components_.size() >= bounds_.components) {
        others += Count(use.used);
        continue;
      }
      components_.push_back({.name = std::string(name), .series = Series(bounds_.points, kNone)});
      found = components_.end() - 1;
    }
    found->last_slot = slot_;
    Put(found->series, Count(use.used));
  }
  Put(heap_rest_, rest);
  Put(other_components_, others);
}

void Growth::MoveTo(std::int64_t slot) {
  const auto points = static_cast<std::int64_t>(bounds_.points);
  std::erase_if(components_, [&](const Component& component) { return slot - component.last_slot >= points; });
  for (std::int64_t empty = std::max(slot_ + 1, slot - points + 1); empty <= slot; ++empty) {
    const std::size_t at = static_cast<std::size_t>(empty) % bounds_.points;
    for (Series* const series : {&pss_, &handles_, &threads_, &heap_rest_, &outside_heap_, &other_components_}) {
      (*series)[at] = kNone;
    }
    for (Component& component : components_) {
      component.series[at] = kNone;
    }
  }
  slot_ = slot;
}

std::vector<Growth::Point> Growth::Points(const Series& series, double since_hours) const {
  std::vector<Point> points;
  points.reserve(bounds_.points);
  const auto most = static_cast<std::int64_t>(bounds_.points);
  for (std::int64_t slot = std::max<std::int64_t>(0, slot_ - most + 1); slot <= slot_; ++slot) {
    const double hours = Hours(slot * interval_);
    const std::int64_t value = series[static_cast<std::size_t>(slot) % bounds_.points];
    if (value != kNone && hours >= since_hours) {
      points.push_back({.hours = hours, .value = static_cast<double>(value)});
    }
  }
  return points;
}

std::vector<Growth::Point> Growth::Floor(std::vector<Point> points) {
  for (std::size_t i = points.size(); i-- > 1;) {
    points[i - 1].value = std::min(points[i - 1].value, points[i].value);
  }
  return points;
}

// Theil-Sen over points[first..], thinned evenly to at most kMostPointsForPairs.
double Growth::Slope(const std::vector<Point>& points, std::size_t first) {
  const std::size_t step = (points.size() - first + kMostPointsForPairs - 1) / kMostPointsForPairs;
  std::vector<double> slopes;
  slopes.reserve(kMostPointsForPairs * (kMostPointsForPairs - 1) / 2);
  for (std::size_t i = first; i < points.size(); i += step) {
    for (std::size_t j = i + step; j < points.size(); j += step) {
      slopes.push_back((points[j].value - points[i].value) / (points[j].hours - points[i].hours));
    }
  }
  if (slopes.empty()) {
    return 0;
  }
  const auto middle = slopes.begin() + static_cast<std::ptrdiff_t>(slopes.size() / 2);
  std::ranges::nth_element(slopes, middle);
  return *middle;
}

std::optional<Growth::Rise> Growth::JudgeFrom(const std::vector<Point>& floor, std::size_t first, const Rule& rule) {
  const double hours = floor.back().hours - floor[first].hours;
  if (hours < kShortestHours) {
    return std::nullopt;
  }
  const double part = hours / static_cast<double>(kParts);
  double least_rise = std::numeric_limits<double>::max();
  std::size_t begin = first;
  for (std::size_t k = 1; k <= kParts; ++k) {
    std::size_t end = begin;
    const double until = floor[first].hours + part * static_cast<double>(k);
    while (end + 1 < floor.size() && floor[end].hours < until) {
      if (floor[end + 1].hours - floor[end].hours > part / 2) {
        return std::nullopt;
      }
      ++end;
    }
    if (end - begin < kLeastPointsPerPart) {
      return std::nullopt;
    }
    least_rise = std::min(least_rise, floor[end].value - floor[begin].value);
    begin = end;
  }
  // Before the pairs are looked at: almost always this says no.
  if (least_rise < kLeastShareOfSlope * rule.limit * part) {
    return std::nullopt;
  }
  const double slope = Slope(floor, first);
  // A climb that is steeper in its middle, as a day of work is, has a slope that promises more than it rises.
  const double rose = std::min(slope * hours, floor.back().value - floor[first].value);
  if (slope <= rule.limit || least_rise < kLeastShareOfSlope * slope * part ||
      (hours < kSustainedHours && rose <= rule.swing * (1 + kMoreSwingPerHour * hours))) {
    return std::nullopt;
  }
  return Rise{.per_hour = slope,
              .hours = hours,
              .begin = floor[first].hours,
              .from = floor[first].value,
              .to = floor.back().value};
}

std::optional<Growth::Rises> Growth::Judge(const std::vector<Point>& floor, const Rule& rule) {
  std::optional<Rises> rises;
  const double all = floor.back().hours - floor.front().hours;
  std::size_t judged = floor.size();
  for (double window = kShortestHours; window < all * kWindowStep; window *= kWindowStep) {
    const double since = floor.back().hours - window - 1e-9;
    auto first = static_cast<std::size_t>(std::ranges::lower_bound(floor, since, {}, &Point::hours) - floor.begin());
    while (first + 1 < floor.size() && floor[first + 1].value <= floor[first].value) {
      ++first;
    }
    if (first == judged) {
      continue;
    }
    judged = first;
    if (const auto rise = JudgeFrom(floor, first, rule)) {
      rises = rises.value_or(Rises{.shortest = *rise, .longest = *rise});
      rises->longest = *rise;
    }
  }
  return rises;
}

// Whether the floor rose by less than per_hour over the last hours; false while samples of a good part of them are
// missing.
bool Growth::RisesLess(const std::vector<Point>& floor, double hours, double per_hour) {
  const auto first = std::ranges::lower_bound(floor, floor.back().hours - hours - 1e-9, {}, &Point::hours);
  return floor.back().hours - first->hours >= hours * 0.75 && floor.back().value - first->value < per_hour * hours;
}

Growth::Rule Growth::RuleOf(Growing what) const {
  switch (what) {
    case Growing::kMemory:
      return {.limit = static_cast<double>(limits_.memory_per_hour.count()),
              .swing = static_cast<double>(limits_.memory_swing.count())};
    case Growing::kHandles:
      return {.limit = limits_.handles_per_hour, .swing = limits_.count_swing};
    case Growing::kThreads:
      return {.limit = limits_.threads_per_hour, .swing = limits_.count_swing};
  }
  return {};
}

void Growth::Evaluate(std::vector<GrowthChange>& changes) {
  const std::pair<Growing, const Series*> all[] = {
      {Growing::kMemory, &pss_}, {Growing::kHandles, &handles_}, {Growing::kThreads, &threads_}};
  for (const auto& [what, series] : all) {
    State& state = states_[static_cast<std::size_t>(what)];
    const Rule rule = RuleOf(what);
    const std::vector<Point> floor = Floor(Points(*series, 0));
    if (const auto rises = Judge(floor, rule)) {
      if (!state.active && rises->longest.begin < state.ended && RisesLess(floor, state.hold_hours, rule.limit)) {
        continue;
      }
      const double hold = std::max(kShortestHours, rises->shortest.hours / 2);
      state.hold_hours = state.active ? std::min(state.hold_hours, hold) : hold;
      state.finding = Describe(what, rises->longest);
      if (!std::exchange(state.active, true)) {
        changes.push_back({.began = true, .finding = state.finding});
      }
    } else if (state.active && RisesLess(floor, state.hold_hours, rule.limit / 2)) {
      state.active = false;
      state.ended = floor.back().hours;
      changes.push_back({.began = false, .finding = std::exchange(state.finding, {})});
    }
  }
}

void Growth::Suspect(const Rise& rise, GrowthFinding& finding) const {
  double most = 0;
  const auto consider = [&](const std::string& name, const Series& series) {
    const std::vector<Point> floor = Floor(Points(series, rise.begin));
    if (floor.size() < 2) {
      return;
    }
    // One that was there for a part of the time explains no more than that part.
    const double share = std::min(1.0, (floor.back().hours - floor.front().hours) / rise.hours);
    if (const double explained = Slope(floor, 0) * share; explained > most) {
      most = explained;
      finding.suspect = name;
    }
  };
  for (const Component& component : components_) {
    consider(component.name, component.series);
  }
  const std::string named = finding.suspect;
  consider(kOtherComponents, other_components_);
  consider(kHeapOutsideComponents, heap_rest_);
  consider(kOutsideHeap, outside_heap_);
  const std::string grows = ToString(AsBytes(most)) + " per hour";
  if (finding.suspect.empty()) {
    finding.suspect = kOutsideHeap;
    finding.sentence += ", and no part of it alone does: look at how many of them grow together.";
  } else if (finding.suspect == named) {
    finding.sentence += ", and component \"" + named + "\" by " + grows +
                        ": look at what is put there and not taken out again, and at its bound.";
  } else if (finding.suspect == kOtherComponents) {
    finding.sentence += ", and the components without a series of their own by " + grows +
                        " together: look at how many there are and at the bound of each.";
  } else if (finding.suspect == kHeapOutsideComponents) {
    finding.sentence += ", and the heap outside the accounted components by " + grows +
                        ": look for what is allocated by code that does not account for its bytes.";
  } else {
    finding.sentence += ", and what is outside the heap by " + grows +
                        ": look at freed memory the allocator keeps (fragmentation), thread stacks and mapped files.";
  }
}

GrowthFinding Growth::Describe(Growing what, const Rise& rise) const {
  GrowthFinding finding;
  finding.what = what;
  finding.over = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::ratio<3600>>(rise.hours));
  const std::string hours = " per hour for " + Decimal(rise.hours, 1) + " h now, from ";
  switch (what) {
    case Growing::kMemory:
      finding.bytes_per_hour = AsBytes(rise.per_hour);
      finding.sentence = "The memory of the daemon grows by " + ToString(finding.bytes_per_hour) + hours +
                         ToString(AsBytes(rise.from)) + " to " + ToString(AsBytes(rise.to));
      Suspect(rise, finding);
      break;
    case Growing::kHandles:
    case Growing::kThreads:
      finding.count_per_hour = rise.per_hour;
      finding.sentence = (what == Growing::kHandles ? "The open handles of the daemon grow by "
                                                    : "The threads of the daemon grow by ") +
                         Decimal(rise.per_hour, 1) + hours + Decimal(rise.from, 0) + " to " + Decimal(rise.to, 0) +
                         (what == Growing::kHandles ? ": look at /proc/PID/fd for what is opened and not closed."
                                                    : ": look at /proc/PID/task for what is started and not joined.");
      break;
  }
  return finding;
}

std::vector<GrowthFinding> Growth::findings() const {
  std::vector<GrowthFinding> found;
  for (const State& state : states_) {
    if (state.active) {
      found.push_back(state.finding);
    }
  }
  return found;
}

std::optional<double> Growth::pss_mib_per_hour() const {
  const std::vector<Point> points = Points(pss_, Hours(slot_ * interval_) - kSustainedHours);
  if (points.empty() || points.back().hours - points.front().hours < kShortestHours) {
    return std::nullopt;
  }
  return Slope(points, 0) / static_cast<double>(Bytes::Mib(1).count());
}

Bytes Growth::bytes() const {
  return Bytes((6 + components_.size()) * bounds_.points * sizeof(std::int64_t) +
               components_.size() * (sizeof(Component) + kLongestName));
}

Bytes Growth::most_bytes() const {
  return Bytes((6 + bounds_.components) * bounds_.points * sizeof(std::int64_t) +
               bounds_.components * (sizeof(Component) + kLongestName));
}

}  // namespace weir::memory
