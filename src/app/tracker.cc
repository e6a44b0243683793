#include "app/tracker.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace weir::app {
namespace {

Duration Of(const std::map<std::string, Duration>& recipes, const std::string& recipe, Duration others) {
  const auto own = recipes.find(recipe);
  return own == recipes.end() ? others : own->second;
}

std::string Minutes(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::minutes>(duration).count()) + " min";
}

// A queue that is this full is about to refuse.
bool IsAlmostFull(const TrackerReading& reading) {
  return reading.most_queued > 0 && reading.waiting * 5 >= reading.most_queued * 4;
}

}  // namespace

const char* NameOf(Urgency urgency) {
  switch (urgency) {
    case Urgency::kLow:
      return "low";
    case Urgency::kMedium:
      return "medium";
    case Urgency::kHigh:
      return "high";
  }
  return "low";
}

std::vector<Warning> WarningsOf(const TrackerSettings& settings, const TrackerReading& reading) {
  std::vector<Warning> warnings;
  const auto warn = [&](std::string key, std::string text) {
    if (warnings.size() < kMostWarnings) {
      warnings.push_back({.key = std::move(key), .text = std::move(text)});
    }
  };
  if (reading.handles > settings.most_handles) {
    warn("handles", std::to_string(reading.handles) + " open file handles, more than " +
                        std::to_string(settings.most_handles) + " (watch.most_handles)");
  }
  if (reading.children > settings.most_children) {
    warn("children", std::to_string(reading.children) + " active processes, more than " +
                         std::to_string(settings.most_children) + " (watch.most_children)");
  }
  if (reading.level >= memory::Level::kHigh) {
    warn("memory", "memory is " + std::string(memory::NameOf(reading.level)) + ": " + reading.level_reason);
  }
  auto oldest_first = reading.running;
  std::ranges::sort(oldest_first, std::ranges::greater(), &TrackedChild::age);
  for (const auto& child : oldest_first) {
    if (child.quiet >= Of(settings.stuck_of, child.recipe, settings.stuck)) {
      warn("stuck " + child.job,
           "job " + child.job + " has made no progress for " + Minutes(child.quiet) +
               "; jobs.stall_seconds sets when an encoder is stopped for that; probes and checks "
               "have limits of their own");
    }
    if (child.age >= Of(settings.over_age_of, child.recipe, settings.over_age)) {
      warn("age " + child.job, "job " + child.job + " (" + child.recipe + ") has had its slot for " +
                                   Minutes(child.age) +
                                   (child.waiting.empty() ? ", waiting included; jobs.timeout_seconds limits its work"
                                                          : ", and waits for " + child.waiting));
    }
  }
  return warnings;
}

std::vector<Recommendation> RecommendationsOf(const TrackerSettings& settings, const TrackerReading& reading) {
  std::vector<Recommendation> all;
  const auto recommend = [&](Urgency urgency, std::string setting, std::string action) {
    all.push_back({.urgency = urgency, .setting = std::move(setting), .action = std::move(action)});
  };
  const bool pressed = reading.level >= memory::Level::kHigh;
  if (pressed && reading.machine_is_short) {
    recommend(Urgency::kHigh, "memory.budget",
              "the machine is short of memory because of others: lower memory.budget (" + ToString(reading.budget) +
                  " now), or give the machine more");
  } else if (pressed) {
    recommend(Urgency::kHigh, "memory.budget",
              "the tree uses more than was planned for it: raise memory.budget (" + ToString(reading.budget) +
                  " now), or lower queue.slots");
  }
  if (reading.own_memory > reading.own_use && reading.own_use.count() > 0) {
    recommend(Urgency::kHigh, "server.connections",
              "weir itself takes " + ToString(reading.own_memory) + " of the " + ToString(reading.own_use) +
                  " set aside for it: lower server.connections, server.largest_body or queue.most_queued");
  }
  if (IsAlmostFull(reading)) {
    recommend(Urgency::kMedium, "queue.most_queued",
              std::to_string(reading.waiting) + " of at most " + std::to_string(reading.most_queued) +
                  " jobs wait: raise queue.most_queued, or submit less at a time");
  }
  // A whole processor and somebody to use it.
  const bool idle = reading.idle_processors >= 1;
  if (!pressed && idle && reading.steps_waiting_for_memory > 0) {
    recommend(Urgency::kMedium, "memory.budget",
              "work waits for memory while processors are idle: raise memory.budget (" + ToString(reading.budget) +
                  " now), of which " + ToString(reading.available) + " are free");
  }
  if (!pressed && idle && reading.steps_waiting_for_memory == 0 && reading.waiting > 0 &&
      reading.slots_taken >= reading.slots) {
    recommend(Urgency::kMedium, "queue.slots",
              "jobs wait for a slot while memory and processors are idle: raise queue.slots (" +
                  std::to_string(reading.slots) + " now)");
  }
  if (reading.children > settings.most_children) {
    recommend(Urgency::kLow, "queue.slots",
              "many processes are active: lower queue.slots (" + std::to_string(reading.slots) +
                  " now), or raise watch.most_children if that is meant");
  }
  if (reading.handles > settings.most_handles) {
    recommend(Urgency::kMedium, "server.connections",
              "many file handles are open: lower server.connections, or raise watch.most_handles if that is meant");
  }
  std::ranges::stable_sort(all, std::ranges::greater(), &Recommendation::urgency);
  return all;
}

std::vector<WarningChange> Tracker::Update(std::vector<Warning> now) {
  std::vector<WarningChange> changes;
  const auto holds = [](const std::vector<Warning>& warnings, const std::string& key) {
    return std::ranges::find(warnings, key, &Warning::key) != warnings.end();
  };
  for (const auto& warning : now) {
    if (!holds(warnings_, warning.key)) {
      changes.push_back({.began = true, .warning = warning});
    }
  }
  for (const auto& warning : warnings_) {
    if (!holds(now, warning.key)) {
      changes.push_back({.began = false, .warning = warning});
    }
  }
  warnings_ = std::move(now);
  return changes;
}

}  // namespace weir::app
