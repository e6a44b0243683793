#include "app/top.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "app/client_render.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;

constexpr unsigned kBar = 30;
constexpr std::size_t kMostChildren = 200;

std::string Amount(const json::value& system, std::initializer_list<std::string_view> path) {
  const auto bytes = BytesAt(system, path);
  return bytes ? ToString(*bytes) : "?";
}

std::string Count(const json::value& system, std::initializer_list<std::string_view> path) {
  const auto number = NumberAt(system, path);
  return number ? fmt::format("{:.0f}", *number) : "?";
}

bool IsTrue(const json::value& system, std::string_view key) {
  const auto* value = At(system, {key});
  return value != nullptr && value->is_bool() && value->get_bool();
}

// Per second since the look before; "" without one, or when the server has begun again.
std::string Rate(const json::value& system, const Between& between, std::initializer_list<std::string_view> path,
                 const char* unit) {
  if (between.before == nullptr || between.seconds <= 0) {
    return {};
  }
  const auto now = NumberAt(system, path);
  const auto then = NumberAt(*between.before, path);
  if (!now || !then || *now < *then) {
    return {};
  }
  return fmt::format(", {:.1f} {}/s", (*now - *then) / between.seconds, unit);
}

std::string KeptBy(const json::value& system) {
  const std::string enclosed = TextAt(system, {"memory", "enclosed"});
  return Printable(TextAt(system, {"memory", "backend"})) + (enclosed == "tree"       ? " for all together"
                                                             : enclosed == "children" ? " for all children together"
                                                                                      : "");
}

std::string Bar(double share) {
  const auto filled = static_cast<unsigned>(std::clamp(share, 0.0, 1.0) * kBar);
  return "[" + std::string(filled, '#') + std::string(kBar - filled, '.') + "]";
}

std::string Summary(const json::value& system) {
  std::string text = "weir " + Printable(TextAt(system, {"version"}));
  if (const auto up = NumberAt(system, {"uptime_seconds"})) {
    text += ", up " + AsTime(*up);
  }
  text += IsTrue(system, "ready") ? ", ready" : ", not ready";
  return text + (IsTrue(system, "draining") ? ", draining" : "");
}

// Below, lines are cut: there is hardly room for more of them either.
constexpr unsigned kNarrow = 60;

// What belongs under one name, in as many lines as it takes.
void Put(std::vector<std::string>& lines, const std::string& name, const std::vector<std::string>& parts,
         unsigned columns) {
  std::string line = fmt::format("{:<10}", name);
  bool fresh = true;
  for (const auto& part : parts) {
    // With the comma that may follow.
    if (!fresh && columns >= kNarrow && line.size() + 2 + part.size() + 1 > columns) {
      lines.push_back(line + ",");
      line = std::string(10, ' ');
      fresh = true;
    }
    line += (fresh ? "" : ", ") + part;
    fresh = false;
  }
  lines.push_back(std::move(line));
}

// How wide the columns of the children are. Where they do not fit, ids are shortened first, then plans: what is
// measured is never cut.
struct Widths {
  std::size_t job = 16;
  std::size_t recipe = 10;
  std::size_t plan = 20;
  bool shorten = false;
};
constexpr std::size_t kMeasured = 44;  // MEMORY, LEASE, USED and FOR, with the gaps before them
Widths WidthsFor(unsigned columns) {
  Widths widths;
  widths.shorten = columns > 0;
  const auto too_many = [&] {
    const std::size_t all = widths.job + 2 + widths.recipe + 2 + widths.plan + kMeasured;
    return columns > 0 && all > columns ? all - columns : 0;
  };
  widths.job -= std::min<std::size_t>(too_many(), 16 - 8);
  widths.recipe -= std::min<std::size_t>(too_many(), 1);  // "thumbnail"
  widths.plan -= std::min<std::size_t>(too_many(), 20 - 4);
  return widths;
}

// ".." stands for what does not fit.
std::string Shortened(const std::string& text, std::size_t width) {
  const std::string whole = Fitted(text, static_cast<unsigned>(width));
  return whole.size() == text.size() ? text : Fitted(text, static_cast<unsigned>(width - 2)) + "..";
}

std::string Row(const Widths& widths, const std::string& job, const std::string& recipe, const std::string& plan,
                const std::array<std::string, 4>& measured) {
  const auto fit = [&](const std::string& text, std::size_t width) {
    return fmt::format("{:<{}}", widths.shorten ? Shortened(text, width) : text, width);
  };
  return fmt::format("{}  {}  {}  {:>10}  {:>10}  {:>5}  {:>11}", fit(job, widths.job), fit(recipe, widths.recipe),
                     fit(plan, widths.plan), measured[0], measured[1], measured[2], measured[3]);
}

std::string Child(const json::value& child, const Widths& widths) {
  const auto lease = BytesAt(child, {"lease_bytes"});
  const auto memory = BytesAt(child, {"memory_bytes"});
  const double share = lease && memory && lease->count() > 0
                           ? static_cast<double>(memory->count()) / static_cast<double>(lease->count())
                           : 0;
  const auto seconds = NumberAt(child, {"seconds"});
  return Row(widths, Printable(TextAt(child, {"job"})), Printable(TextAt(child, {"recipe"})),
             Printable(TextAt(child, {"plan"})),
             {memory ? ToString(*memory) : "?", lease ? ToString(*lease) : "?",
              fmt::format("{:.0f} %", std::min(share, 9.99) * 100), seconds ? AsTime(*seconds) : "?"});
}

// What steps of running jobs wait for: how many for each, with the sentence of the first.
std::vector<std::string> Waits(const std::vector<const json::value*>& running) {
  std::vector<std::string> parts;
  for (const char* what : {"memory", "disk", "processor", "pressure"}) {
    std::size_t count = 0;
    std::string first;
    for (const auto* child : running) {
      if (TextAt(*child, {"waiting", "for"}) == what) {
        first = ++count == 1 ? TextAt(*child, {"waiting", "reason"}) : first;
      }
    }
    if (count > 0) {
      parts.push_back(fmt::format("{} for {}: {}", count, what, Printable(first)));
    }
  }
  return parts;
}

// What was done last about memory; "" when nothing was.
std::string LastRemedy(const json::value& system) {
  const auto uses = ListAt(system, {"pressure", "uses"});
  if (uses.empty()) {
    return {};
  }
  const auto& last = *uses.back();
  // Of "2026-11-30T15:30:22.123Z".
  const std::string time = TextAt(last, {"time"});
  const std::string at = time.size() >= 19 ? " at " + Printable(time.substr(11, 8)) + " UTC" : "";
  const auto freed = BytesAt(last, {"freed_bytes"});
  return "last remedy" + at + ": " + (IsTrue(last, "undone") ? "no more: " : "") + Printable(TextAt(last, {"name"})) +
         (freed && freed->count() > 0 ? ", which freed " + ToString(*freed) : "");
}

constexpr std::size_t kMostWarningsShown = 3;

void PutPressure(std::vector<std::string>& lines, const json::value& system, unsigned columns) {
  std::vector<std::string> parts;
  if (const auto level = TextAt(system, {"memory", "level"}); !level.empty()) {
    const auto reason = TextAt(system, {"memory", "reason"});
    parts.push_back(Printable(level) + (reason.empty() ? "" : ": " + Printable(reason)));
  }
  if (const auto* pressure = At(system, {"pressure"}); pressure != nullptr && IsTrue(*pressure, "held")) {
    parts.emplace_back("nothing new begins");
  }
  if (auto last = LastRemedy(system); !last.empty()) {
    parts.push_back(std::move(last));
  }
  if (!parts.empty()) {
    Put(lines, "pressure", parts, columns);
  }
  const auto warnings = ListAt(system, {"pressure", "warnings"});
  for (std::size_t i = 0; i < std::min(warnings.size(), kMostWarningsShown); ++i) {
    Put(lines, i == 0 ? "warnings" : "", {Printable(TextAt(*warnings[i], {}))}, columns);
  }
  if (warnings.size() > kMostWarningsShown) {
    Put(lines, "", {std::to_string(warnings.size()) + " in all"}, columns);
  }
}

}  // namespace

std::string SystemAsText(const json::value& system, const Between& between, unsigned columns, unsigned rows) {
  std::vector<std::string> lines;
  lines.push_back(Summary(system));
  const auto budget = BytesAt(system, {"memory", "budget_bytes"});
  const auto leased = BytesAt(system, {"memory", "leased_bytes"});
  if (budget && leased && budget->count() > 0) {
    lines.push_back("memory    " + Bar(static_cast<double>(leased->count()) / static_cast<double>(budget->count())) +
                    " " + ToString(*leased) + " leased of " + ToString(*budget));
  } else {
    lines.push_back("memory    " + Amount(system, {"memory", "leased_bytes"}) + " leased of " +
                    Amount(system, {"memory", "budget_bytes"}));
  }
  Put(lines, "",
      {"tree " + Amount(system, {"memory", "tree_bytes"}) + " of " + Amount(system, {"memory", "budget_bytes"}),
       Amount(system, {"memory", "available_bytes"}) + " available",
       Amount(system, {"memory", "own_bytes"}) + " for weir itself (measured " +
           Amount(system, {"memory", "own_pss_bytes"}) + ")",
       "limit kept by " + KeptBy(system)},
      columns);
  PutPressure(lines, system, columns);
  Put(lines, "queue",
      {Count(system, {"queue", "waiting"}) + " of " + Count(system, {"queue", "limit"}) + " wait",
       Count(system, {"queue", "running"}) + " of " + Count(system, {"queue", "slots"}) + " slots taken",
       Count(system, {"queue", "needs_waiting"}) + " wait for memory or disk"},
      columns);
  Put(lines, "jobs",
      {Count(system, {"jobs", "succeeded"}) + " succeeded" + Rate(system, between, {"jobs", "succeeded"}, "jobs"),
       Count(system, {"jobs", "failed"}) + " failed", Count(system, {"jobs", "cancelled"}) + " cancelled"},
      columns);
  Put(lines, "requests",
      {Count(system, {"requests", "total"}) + Rate(system, between, {"requests", "total"}, "requests"),
       Count(system, {"requests", "in_flight"}) + " in flight",
       Count(system, {"requests", "connections"}) + " connections"},
      columns);
  const auto running = ListAt(system, {"running"});
  if (const auto waits = Waits(running); !waits.empty()) {
    Put(lines, "waits", waits, columns);
  }
  lines.emplace_back();
  const Widths widths = WidthsFor(columns);
  if (running.empty()) {
    lines.emplace_back("no child runs");
  } else {
    lines.push_back(Row(widths, "JOB", "RECIPE", "PLAN", {"MEMORY", "LEASE", "USED", "FOR"}));
  }
  for (const auto* child : running) {
    if (lines.size() >= kMostChildren || (rows > 0 && lines.size() + 1 >= rows)) {
      lines.push_back("... " + std::to_string(running.size()) + " in all");
      break;
    }
    lines.push_back(Child(*child, widths));
  }
  if (rows > 0 && lines.size() > rows) {
    lines.resize(rows);
  }
  std::string text;
  for (auto& line : lines) {
    text += (columns > 0 ? Fitted(std::move(line), columns) : std::move(line)) + "\n";
  }
  return text;
}

Result<int> RunTop(const std::function<Result<json::value>()>& look, const ClientStreams& streams, bool once) {
  using Steady = std::chrono::steady_clock;
  const bool live = streams.output.interactive && !once;
  const auto gone = [] { return Fail(ErrorCode::kSystem, "the result could not be written to standard output"); };
  WEIR_ASSIGN(json::value system, look());
  if (!live) {
    return streams.print(SystemAsText(system, {}, 0, 0)) ? Result<int>(0) : gone();
  }
  std::optional<json::value> before;
  Steady::time_point seen = Steady::now();
  double seconds = 0;
  std::string trouble;
  bool first = true;
  while (true) {
    const Between between{.before = before ? &*before : nullptr, .seconds = seconds};
    // One row stays free for the cursor, and one for trouble.
    const unsigned rows = streams.output.rows > 4 ? streams.output.rows - 2 : streams.output.rows;
    // Clearing to the end of a line that is full would take its last character.
    const unsigned columns = std::max(streams.output.columns, 2U) - 1;
    std::string frame = first ? "\x1b[2J\x1b[H" : "\x1b[H";
    first = false;
    const std::string text = SystemAsText(system, between, columns, rows) + trouble;
    for (const auto line : SplitLines(text)) {
      frame += std::string(line) + "\x1b[K\r\n";
    }
    if (!streams.print(frame + "\x1b[J")) {
      return gone();
    }
    streams.sleep(std::chrono::seconds(1));
    auto fresh = look();
    if (fresh) {
      const auto now = Steady::now();
      seconds = std::chrono::duration<double>(now - seen).count();
      seen = now;
      before = std::move(system);
      system = *std::move(fresh);
      trouble.clear();
      continue;
    }
    using enum ErrorCode;
    const auto code = fresh.error().code;
    if (code != kUnreachable && code != kTimedOut && code != kBusy) {
      return Fail(std::move(fresh).error());
    }
    before.reset();
    trouble = Fitted(Describe(fresh.error()), columns);
  }
}

}  // namespace weir::app
