#include "jobs/decision.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>

#include "jobs/account_json.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kWorthTelling{100};
constexpr std::size_t kMostPassed = 16;

// "1", "1.85".
std::string Number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", number);
  return text;
}

std::string Count(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

const char* InVain(WaitingFor what) {
  return what == WaitingFor::kDisk        ? "disk"
         : what == WaitingFor::kProcessor ? "a processor"
         : what == WaitingFor::kPressure  ? "less pressure on memory"
                                          : "memory";
}

// What there was to choose with.
std::string Room(const Reason& reason) {
  std::string text = ToString(reason.available) + " were free";
  if (reason.processors > 0) {
    text += " and " + Number(reason.idle) + " of " + Number(reason.processors) + " processors idle";
  }
  if (reason.alike > 1) {
    text += ", planned for " + std::to_string(reason.alike) + " side by side";
  }
  return text;
}

// The one that tells most: that could have been had; else what had been tried; else the first.
const PassedWay& Telling(const std::vector<PassedWay>& passed) {
  const auto had = std::ranges::find_if(passed, [](const PassedWay& way) {
    return way.why != PassedFor::kBudget && way.why != PassedFor::kFailed && way.why != PassedFor::kEarlier;
  });
  const auto failed = std::ranges::find(passed, PassedFor::kFailed, &PassedWay::why);
  return had != passed.end() ? *had : failed != passed.end() ? *failed : passed.front();
}

std::string Because(const Reason& reason, const WayName& name) {
  if (reason.passed.empty()) {
    const bool alone = reason.alike <= 1 && reason.working == 0;
    return Room(reason) + (alone ? ", with nothing else at work: the fastest way"
                           : reason.alike <= 1
                               ? ": the fastest way"
                               : ": the fastest way, also for " + std::to_string(reason.alike) + " side by side");
  }
  const PassedWay& way = Telling(reason.passed);
  const std::string other = "\"" + name(way.way) + "\"";
  switch (way.why) {
    case PassedFor::kMemory:
      return Room(reason) + "; " + other + " needs " + ToString(way.memory);
    case PassedFor::kProcessors:
      return Room(reason) + "; " + other + " keeps more of them busy";
    case PassedFor::kCompany:
      return Room(reason) + "; " + other + " is for one alone";
    case PassedFor::kEnd:
      return Room(reason) + "; with " + other + " all that is left of the queue would end later";
    case PassedFor::kYield:
      return Room(reason) + "; " + other + " does less in its time, or makes a larger file";
    case PassedFor::kBudget:
      return Room(reason) + "; " + other + " needs " + ToString(way.memory) + ", more than there can ever be";
    case PassedFor::kFailed:
      return Room(reason) + "; an earlier try with " + other + " failed, or had to make room";
    case PassedFor::kEarlier:
      return Room(reason) + "; " + other + " had been passed over before";
  }
  return {};
}

}  // namespace

Reason InLadder(Reason reason, std::size_t first, std::span<const media::Plan> plans, Bytes most,
                const std::function<bool(std::size_t way)>& failed) {
  std::vector<PassedWay> passed;
  for (std::size_t i = 0; i < first; ++i) {
    const Bytes needed = plans[i].forecast.needed;
    passed.push_back({.way = i,
                      .memory = needed,
                      .why = needed > most ? PassedFor::kBudget
                             : failed(i)   ? PassedFor::kFailed
                                           : PassedFor::kEarlier});
  }
  for (PassedWay way : reason.passed) {
    way.way += first;
    passed.push_back(way);
  }
  reason.way += first;
  reason.ways = plans.size();
  reason.passed = std::move(passed);
  return reason;
}

std::string Sentence(const Reason& reason, const WayName& name) {
  std::string text = "started with " + name(reason.way) + " (" + ToString(reason.memory) + ", way " +
                     std::to_string(reason.way + 1) + " of " + std::to_string(reason.ways) + ")";
  if (reason.waited_for != WaitingFor::kNothing && reason.waited >= kWorthTelling) {
    text += " after " + InSeconds(reason.waited) + " of waiting, at last for " + InVain(reason.waited_for) + ",";
  }
  text += " because " + Because(reason, name);
  if (reason.out_of_patience) {
    text += ", and it had waited long enough for a better way";
  }
  return text;
}

std::string Sentence(const Wait& wait) {
  switch (wait.what) {
    case WaitingFor::kNothing:
      return {};
    case WaitingFor::kSlot:
      return Count(wait.holders, "job has", "jobs have") + " the " +
             Count(static_cast<std::size_t>(wait.all), "slot", "slots") + " that there " +
             (wait.all == 1 ? "is" : "are");
    case WaitingFor::kProcessor:
      return Number(wait.idle) + " of " + Number(wait.all) +
             " processors are idle: " + Count(wait.holders, "job keeps", "jobs keep") +
             " them busy, and one more would end no sooner";
    case WaitingFor::kMemory:
      return "it needs " + ToString(wait.required) + " of memory" +
             (wait.leanest < wait.required ? " (" + ToString(wait.leanest) + " at the least)" : "") + ", " +
             ToString(wait.available) + " are free, and " + Count(wait.holders, "lease holds", "leases hold") +
             " the rest";
    case WaitingFor::kDisk:
      return "it may write " + ToString(wait.required) + ", and " + ToString(wait.available) +
             " of the disk are free beside the reserve and what is reserved by " +
             Count(wait.holders, "other step", "other steps");
    case WaitingFor::kTime:
      return "an attempt failed, and the pause before the next one is not over";
    case WaitingFor::kPause:
      return "it is paused";
    case WaitingFor::kDrain:
      return "the server finishes what runs and starts nothing new";
    case WaitingFor::kPressure:
      return "memory is short, and nothing new begins while " + Count(wait.holders, "job works", "jobs work");
  }
  return {};
}

json::object ReasonAsJson(const Reason& reason, const WayName& name) {
  json::array passed;
  for (const PassedWay& way : reason.passed) {
    if (passed.size() >= kMostPassed) {
      break;
    }
    passed.push_back(json::object{
        {"plan", Text(name(way.way))}, {"required_bytes", way.memory.count()}, {"why", NameOf(way.why)}});
  }
  const char* waited_for = NameOf(reason.waited_for);
  return {{"plan", Text(name(reason.way))},
          {"way", reason.way + 1},
          {"ways", reason.ways},
          {"lease_bytes", reason.memory.count()},
          {"available_bytes", reason.available.count()},
          {"processors", reason.processors},
          {"idle_processors", reason.idle},
          {"leases", reason.leases},
          {"working", reason.working},
          {"alike", reason.alike},
          {"wanting", reason.wanting},
          {"waited_seconds", Seconds3(reason.waited)},
          {"waited_for", *waited_for != '\0' ? json::value(waited_for) : json::value()},
          {"out_of_patience", reason.out_of_patience},
          {"overtaken", reason.overtaken},
          {"passed", std::move(passed)}};
}

std::optional<json::object> WaitAsJson(const Wait& wait, std::optional<WallTime> since,
                                       std::optional<WallTime> until) {
  if (wait.what == WaitingFor::kNothing) {
    return std::nullopt;
  }
  json::object out{{"for", NameOf(wait.what)},
                   {"reason", Sentence(wait)},
                   {"since", since ? json::value(ToRfc3339(*since)) : json::value()}};
  if (until) {
    out["until"] = ToRfc3339(*until);
  }
  const bool memory = wait.what == WaitingFor::kMemory;
  if (memory || wait.what == WaitingFor::kDisk) {
    out["required_bytes"] = wait.required.count();
    out["available_bytes"] = wait.available.count();
    out["holders"] = wait.holders;
  }
  if (memory) {
    out["leanest_bytes"] = wait.leanest.count();
  }
  if (wait.what == WaitingFor::kProcessor) {
    out["processors"] = wait.all;
    out["idle_processors"] = wait.idle;
    out["holders"] = wait.holders;
  }
  if (wait.what == WaitingFor::kSlot || wait.what == WaitingFor::kDrain) {
    out["slots"] = static_cast<std::uint64_t>(wait.all);
    out["holders"] = wait.holders;
  }
  if (wait.what == WaitingFor::kPressure) {
    out["holders"] = wait.holders;
  }
  return out;
}

}  // namespace weir::jobs
