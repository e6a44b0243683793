#include "memory/queue_end.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

// About 2 ms.
constexpr std::size_t kMostLooks = 20'000;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kLeastProcessors = 0.05;
// Relative; against rounding, and for what decides between equals.
constexpr double kHardly = 1e-9;
constexpr double kOfQuality = 1e-5;
constexpr double kOfMemory = 1e-6;
// That the lengths are as told, against each way of being wrong in one of them. With this and an error of 1.7,
// simulated queues of exact lengths end at most 4 % later than possible, and of lengths up to 1.5 times wrong 5 %
// (jobs/scheduler_throughput_test.cc).
constexpr double kWeightOfTold = 2;

struct Candidate {
  std::size_t way = 0;  // in the step's own list
  Bytes own;
  double processors = 1;
  double seconds = 0;
  double larger = 0;
  [[nodiscard]] double work() const { return processors * seconds; }
};

struct Step {
  std::vector<Candidate> candidates;
  double least_work = 0;
  double least_seconds = 0;
  double least_larger = 0;
};

bool IsBeaten(const Candidate& one, const Candidate& by) {
  return by.own <= one.own && by.seconds <= one.seconds && by.work() <= one.work() && by.larger <= one.larger;
}

// nullopt when it fits in no way.
std::optional<Step> StepOf(const LastStep& last, const Room& room) {
  Step step;
  for (std::size_t i = 0; i < last.ways.size(); ++i) {
    const Way& way = last.ways[i];
    if (way.memory > room.memory) {
      continue;
    }
    const Candidate candidate{.way = i,
                              .own = way.memory - room.shared,
                              .processors = std::clamp(way.processors, kLeastProcessors, room.processors),
                              .seconds = way.time * last.seconds,
                              .larger = std::max(way.larger, 0.0)};
    const auto beats = [&](const Candidate& kept) { return IsBeaten(candidate, kept); };
    if (std::ranges::none_of(step.candidates, beats)) {
      step.candidates.push_back(candidate);
    }
  }
  if (step.candidates.empty()) {
    return std::nullopt;
  }
  const auto least = [&](auto of) { return of(*std::ranges::min_element(step.candidates, {}, of)); };
  step.least_work = least([](const Candidate& one) { return one.work(); });
  step.least_seconds = least([](const Candidate& one) { return one.seconds; });
  step.least_larger = least([](const Candidate& one) { return one.larger; });
  return step;
}

struct State {
  std::vector<GoingStep> going;
  std::size_t begun = 0;  // of the steps
  double now = 0;
  double larger = 0;  // sum over those that have begun
  double memory = 0;  // the same, as part of the room
};

class Search {
 public:
  // `looks` are counted down; when none are left, what was found until then is the best.
  Search(const std::vector<Step>& steps, std::size_t slots, const Room& room, std::size_t& looks)
      : steps_(steps), slots_(slots), room_(room), looks_(looks) {}

  // The best score and the time of it, when the first step begins now with that candidate, or (nullptr) is kept
  // waiting until the next end. kNever when that cannot be, or the score would not be below `limit`.
  std::pair<double, double> Best(std::span<const GoingStep> going, const Candidate* first, double limit) {
    limit_ = limit;
    State state{.going = {going.begin(), going.end()}};
    if (first == nullptr) {
      if (state.going.empty()) {
        return {kNever, kNever};
      }
      AdvanceToNextEnd(state);
      Look(state);
    } else if (Fits(state, *first)) {
      Look(With(state, *first));
    }
    return {score_, seconds_};
  }

  [[nodiscard]] double BestImaginable(std::span<const GoingStep> going) const {
    const State state{.going = {going.begin(), going.end()}};
    return Score(SoonestOf(state), LeastLarger(state));
  }

 private:
  [[nodiscard]] bool Fits(const State& state, const Candidate& candidate) const {
    Bytes held = candidate.own;
    for (const GoingStep& one : state.going) {
      held += one.own;
    }
    return state.going.size() < slots_ && held <= room_.memory - room_.shared;
  }

  void Look(const State& state) {
    looks_ -= std::min<std::size_t>(looks_, 1);
    if (looks_ == 0 && std::min(score_, limit_) < kNever) {
      return;
    }
    if (state.begun == steps_.size()) {
      return Judge(state);
    }
    if (Score(SoonestOf(state), LeastLarger(state)) >= std::min(score_, limit_) * (1 - kHardly)) {
      return;
    }
    for (const Candidate& candidate : steps_[state.begun].candidates) {
      if (Fits(state, candidate)) {
        Look(With(state, candidate));
      }
    }
    if (!state.going.empty()) {
      State later = state;
      AdvanceToNextEnd(later);
      Look(later);
    }
  }

  [[nodiscard]] State With(const State& state, const Candidate& candidate) const {
    State next = state;
    next.going.push_back({.own = candidate.own, .processors = candidate.processors, .seconds = candidate.seconds});
    next.larger += candidate.larger;
    next.memory += static_cast<double>(candidate.own.count()) / static_cast<double>(room_.memory.count());
    ++next.begun;
    return next;
  }

  void AdvanceToNextEnd(State& state) const {
    double wanted = 0;
    double next = std::numeric_limits<double>::infinity();
    for (const GoingStep& one : state.going) {
      wanted += one.processors;
      next = std::min(next, one.seconds);
    }
    const double speed = wanted <= room_.processors ? 1 : room_.processors / wanted;
    for (GoingStep& one : state.going) {
      one.seconds -= next;
    }
    std::erase_if(state.going, [&](const GoingStep& one) { return one.seconds <= next * kHardly; });
    state.now += next / speed;
  }

  void Judge(State state) {
    while (!state.going.empty()) {
      AdvanceToNextEnd(state);
    }
    const double all = static_cast<double>(steps_.size());
    const double score =
        Score(state.now, state.larger / all) * (1 + kOfQuality * state.larger / all + kOfMemory * state.memory / all);
    if (score < std::min(score_, limit_) * (1 - kHardly)) {
      score_ = score;
      seconds_ = state.now;
    }
  }

  [[nodiscard]] double Score(double seconds, double larger) const {
    return seconds * (1 + std::max(room_.size_weight, 0.0) * larger);
  }

  // No order of what is still to come ends before.
  [[nodiscard]] double SoonestOf(const State& state) const {
    double work = 0;
    double longest = 0;
    for (const GoingStep& one : state.going) {
      work += one.processors * one.seconds;
      longest = std::max(longest, one.seconds);
    }
    for (std::size_t i = state.begun; i < steps_.size(); ++i) {
      work += steps_[i].least_work;
      longest = std::max(longest, steps_[i].least_seconds);
    }
    return state.now + std::max(longest, work / room_.processors);
  }

  [[nodiscard]] double LeastLarger(const State& state) const {
    double larger = state.larger;
    for (std::size_t i = state.begun; i < steps_.size(); ++i) {
      larger += steps_[i].least_larger;
    }
    return larger / static_cast<double>(steps_.size());
  }

  const std::vector<Step>& steps_;
  std::size_t slots_;
  const Room& room_;
  std::size_t& looks_;
  double limit_ = kNever;
  double score_ = kNever;
  double seconds_ = kNever;
};

// The same with one of the lengths wrong: of the steps, then of those that go on.
struct Scenario {
  std::vector<Step> steps;
  std::vector<GoingStep> going;
  double weight = 1;
};

std::vector<Scenario> ScenariosOf(const std::vector<Step>& steps, std::span<const GoingStep> going, double error) {
  const std::vector<GoingStep> as_told(going.begin(), going.end());
  std::vector<Scenario> scenarios{{.steps = steps, .going = as_told, .weight = kWeightOfTold}};
  if (error <= 1) {
    return scenarios;
  }
  for (const double factor : {error, 1 / error}) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      scenarios.push_back({.steps = steps, .going = as_told});
      Step& wrong = scenarios.back().steps[i];
      for (Candidate& candidate : wrong.candidates) {
        candidate.seconds *= factor;
      }
      wrong.least_work *= factor;
      wrong.least_seconds *= factor;
    }
    for (std::size_t i = 0; i < going.size(); ++i) {
      scenarios.push_back({.steps = steps, .going = as_told});
      scenarios.back().going[i].seconds *= factor;
    }
  }
  return scenarios;
}

// Between beginning the first step in one of its ways and keeping it waiting: whichever is best in the mean.
class Decision {
 public:
  Decision(std::vector<Scenario> scenarios, std::size_t slots, const Room& room)
      : scenarios_(std::move(scenarios)), slots_(slots), room_(room) {
    for (const Scenario& scenario : scenarios_) {
      imaginable_ += scenario.weight * SearchIn(scenario).BestImaginable(scenario.going);
    }
  }

  std::optional<QueueEnd> Take() {
    const Scenario& told = scenarios_.front();
    const std::size_t actions = told.steps.front().candidates.size() + 1;
    // What is best with the lengths as told is weighed first: most others need not be looked at to the end then.
    std::size_t promising = 0;
    double seconds = kNever;
    for (std::size_t action = 0; action < actions; ++action) {
      const auto [score, time] = SearchIn(told).Best(told.going, FirstOf(told, action), told_);
      if (score < told_) {
        told_ = score, promising = action, seconds = time;
      }
    }
    if (told_ == kNever) {
      return std::nullopt;
    }
    std::size_t best = promising;
    double least = Weigh(promising, kNever);
    for (std::size_t action = 0; action < actions; ++action) {
      if (const double sum = action == promising ? kNever : Weigh(action, least); sum < least * (1 - kHardly)) {
        least = sum;
        best = action;
      }
    }
    if (best != promising) {
      seconds = SearchIn(told).Best(told.going, FirstOf(told, best), kNever).second;
    }
    const Candidate* const first = FirstOf(told, best);
    return QueueEnd{.way = first != nullptr ? std::optional(first->way) : std::nullopt, .seconds = seconds};
  }

 private:
  [[nodiscard]] Search SearchIn(const Scenario& scenario) { return {scenario.steps, slots_, room_, looks_}; }

  [[nodiscard]] static const Candidate* FirstOf(const Scenario& scenario, std::size_t action) {
    const auto& candidates = scenario.steps.front().candidates;
    return action < candidates.size() ? &candidates[action] : nullptr;
  }

  // The sum of its scores, or kNever when that would not be below `limit`.
  double Weigh(std::size_t action, double limit) {
    double sum = 0;
    double rest = imaginable_;  // the least that the others can add
    for (const Scenario& scenario : scenarios_) {
      rest -= scenario.weight * SearchIn(scenario).BestImaginable(scenario.going);
      const double left = (limit - sum - rest) / scenario.weight;
      const double score = SearchIn(scenario).Best(scenario.going, FirstOf(scenario, action), left).first;
      if (score == kNever) {
        return kNever;
      }
      sum += scenario.weight * score;
    }
    return sum;
  }

  std::vector<Scenario> scenarios_;
  std::size_t slots_;
  const Room& room_;
  std::size_t looks_ = kMostLooks;
  double imaginable_ = 0;
  double told_ = kNever;
};

}  // namespace

std::optional<QueueEnd> PlanEnd(std::span<const LastStep> steps, std::span<const GoingStep> going, std::size_t slots,
                                const Room& room, double error) {
  if (steps.empty() || steps.size() > kMostLastSteps || slots == 0 || room.processors <= 0) {
    return std::nullopt;
  }
  std::vector<Step> all;
  for (const LastStep& last : steps) {
    auto step = StepOf(last, room);
    if (!step) {
      return std::nullopt;
    }
    all.push_back(*std::move(step));
  }
  return Decision(ScenariosOf(all, going, error), slots, room).Take();
}

}  // namespace weir::memory
