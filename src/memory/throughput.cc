#include "memory/throughput.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>

namespace weir::memory {
namespace {

constexpr std::size_t kMostStates = 500;
// A larger crowd is looked at in proportion.
constexpr std::size_t kMostAlike = 16;
// Against rounding, and so that what makes no difference is decided by order and memory.
constexpr double kOrderBonus = 1e-6;
constexpr double kLeastProcessors = 0.05;
constexpr std::uint8_t kWaits = 0xff;
// Of the time in which the queue ends: what one step of it may take. Steps differ in length, so all of it would be
// too much: the last one would be alone for half of its time.
constexpr double kPartOfQueue = 0.5;

struct State {
  Bytes own;  // memory beyond what is shared
  double processors = 0;
  double yield = 0;
  std::vector<std::uint8_t> ways;  // of the steps so far
};

double Score(const State& state, double processors) {
  return state.processors <= processors ? state.yield : state.yield * processors / state.processors;
}

// Drops what another state is better than in every respect.
void Prune(std::vector<State>& states) {
  std::ranges::sort(states, [](const State& a, const State& b) {
    return std::tuple(a.own, -a.yield, a.processors) < std::tuple(b.own, -b.yield, b.processors);
  });
  std::vector<State> kept;
  for (State& state : states) {
    const bool beaten = std::ranges::any_of(kept, [&](const State& other) {
      return other.yield >= state.yield && other.processors <= state.processors + 1e-9;
    });
    if (!beaten) {
      kept.push_back(std::move(state));
    }
  }
  if (kept.size() > kMostStates) {
    std::ranges::nth_element(kept, kept.begin() + static_cast<std::ptrdiff_t>(kMostStates), {},
                             [](const State& state) { return -state.yield; });
    kept.resize(kMostStates);
  }
  states = std::move(kept);
}

double ProcessorsOf(const Way& way, double all) { return std::clamp(way.processors, kLeastProcessors, all); }

std::vector<std::optional<std::size_t>> AssignIn(const std::vector<std::span<const Way>>& steps, Bytes memory,
                                                 Bytes shared, double processors, double size_weight) {
  std::vector<State> states(1);
  for (std::size_t step = 0; step < steps.size(); ++step) {
    std::vector<State> next;
    const auto& ways = steps[step];
    for (const State& state : states) {
      State waits = state;
      waits.ways.push_back(kWaits);
      next.push_back(std::move(waits));
      if (state.processors >= processors - kLeastProcessors) {
        continue;
      }
      for (std::size_t way = 0; way < std::min<std::size_t>(ways.size(), kWaits); ++way) {
        const Bytes own = state.own + (ways[way].memory - shared);
        if (ways[way].memory > memory || own > memory - shared) {
          continue;
        }
        State takes = state;
        takes.own = own;
        takes.processors += ProcessorsOf(ways[way], processors);
        takes.yield += ProcessorsOf(ways[way], processors) * YieldOf(ways[way], ways.front(), size_weight) +
                       kOrderBonus * static_cast<double>(steps.size() - step);
        takes.ways.push_back(static_cast<std::uint8_t>(way));
        next.push_back(std::move(takes));
      }
    }
    Prune(next);
    states = std::move(next);
  }
  const auto best = std::ranges::max_element(states, [&](const State& a, const State& b) {
    return std::tuple(Score(a, processors), b.own) < std::tuple(Score(b, processors), a.own);
  });
  std::vector<std::optional<std::size_t>> assigned;
  for (const std::uint8_t way : best->ways) {
    assigned.push_back(way == kWaits ? std::nullopt : std::optional<std::size_t>(way));
  }
  return assigned;
}

// Ways that the rest of the queue keeps the machine busy for, or that take no longer than what a lone step would get.
std::vector<std::size_t> InTime(std::span<const Way> ways, const Queue& queue) {
  const auto lone =
      std::ranges::find_if(ways, [&](const Way& way) { return !way.in_company && way.memory <= queue.memory; });
  const double as_lone = lone == ways.end() ? std::numeric_limits<double>::infinity() : lone->time;
  const double whole = static_cast<double>(queue.steps) * ways.front().work() / queue.processors;
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    if (ways[i].time <= std::max(as_lone, kPartOfQueue * whole) * (1 + 1e-9)) {
      found.push_back(i);
    }
  }
  return found;
}

}  // namespace

double YieldOf(const Way& way, const Way& first, double size_weight) {
  const double work = std::max(way.work(), 1e-6);
  return first.work() / work / (1 + size_weight * std::max(way.larger, 0.0));
}

std::vector<std::optional<std::size_t>> Assign(const std::vector<std::span<const Way>>& steps, const Room& room) {
  return AssignIn(steps, room.memory, room.shared, room.processors, room.size_weight);
}

std::optional<std::size_t> BestWay(std::span<const Way> ways, std::size_t jobs, const Room& room) {
  if (room.queue) {
    const auto in_time = InTime(ways, *room.queue);
    std::vector<Way> quick;
    for (const std::size_t i : in_time) {
      quick.push_back(ways[i]);
    }
    Room without = room;
    without.queue.reset();
    const auto best = quick.empty() ? std::nullopt : BestWay(quick, jobs, without);
    return best ? std::optional(in_time[*best]) : std::nullopt;
  }
  // More than one for each processor never helps.
  const auto useful = static_cast<std::size_t>(std::ceil(std::max(room.processors, 0.0)));
  const std::size_t alike = std::clamp<std::size_t>(jobs, 1, std::max<std::size_t>(useful, 1));
  const std::size_t looked_at = std::min(alike, kMostAlike);
  const double part = static_cast<double>(looked_at) / static_cast<double>(alike);
  const Bytes memory = looked_at == alike ? room.memory : room.shared + (room.memory - room.shared) * part;
  const double processors = room.processors * part;
  const auto assigned = AssignIn(std::vector(looked_at, ways), memory, room.shared, processors, room.size_weight);
  if (assigned.front()) {
    return assigned.front();
  }
  return AssignIn({ways}, room.memory, room.shared, room.processors, room.size_weight).front();
}

}  // namespace weir::memory
