#include "app/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "app/client_render.h"
#include "app/client_talk.h"
#include "base/clock.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;

constexpr std::size_t kChartRows = 8;
constexpr unsigned kLeastColumns = 30;
constexpr unsigned kOrdinaryColumns = 80;
constexpr unsigned kChartLabel = 24;

std::string Field(const char* name, const std::string& value) {
  return value.empty() ? std::string() : fmt::format("  {:<10}{}\n", name, value);
}

// Of what ToRfc3339 makes.
std::optional<WallTime> DateIn(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int millisecond = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d.%3dZ", &year, &month, &day, &hour, &minute, &second,
                  &millisecond) != 7) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) {
    return std::nullopt;
  }
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) + std::chrono::milliseconds(millisecond);
}

// A state by what it means for a job that is followed; `after`: since the line before.
std::string Meaning(const std::string& state, bool first, std::optional<double> after) {
  const std::string waited = after ? fmt::format(" after {:.1f} s in the queue", std::max(*after, 0.0)) : "";
  if (state == "queued") {
    return first ? "accepted" : "back in the queue";
  }
  if (state == "running") {
    return "an attempt begins" + waited;
  }
  if (state == "verifying") {
    return "its result is checked";
  }
  if (state == "publishing") {
    return "its result is put in place";
  }
  return state;
}

std::string History(const json::value& log) {
  std::string text;
  std::optional<WallTime> first;
  std::optional<WallTime> queued;
  for (const auto* line : ListAt(log, {"lines"})) {
    const auto time = DateIn(TextAt(*line, {"time"}));
    const auto type = TextAt(*line, {"type"});
    std::string what = TextAt(*line, {"text"});
    if (type == "state") {
      // "queued: why"
      const std::size_t colon = what.find(": ");
      const std::string state = what.substr(0, colon);
      std::optional<double> after;
      if (state == "running" && queued && time) {
        after = Seconds(Duration(*time - *queued));
      }
      what = Meaning(state, text.empty(), after) + (colon == std::string::npos ? "" : what.substr(colon));
      queued = state == "queued" ? time : std::nullopt;
    }
    if (!first && time) {
      first = time;
      text += Field("from", Printable(TextAt(*line, {"time"})));
    }
    const std::string since =
        time && first ? fmt::format("+{:.3f} s", Seconds(Duration(*time - *first))) : std::string("?");
    text += fmt::format("  {:>12}  {}\n", since, Printable(what));
  }
  return text;
}

double Share(Bytes part, Bytes whole) {
  return whole == Bytes() ? 0 : static_cast<double>(part.count()) / static_cast<double>(whole.count());
}

// Forecast against lease against what was measured.
std::string UseText(const json::value& run, const char* measured_as) {
  const auto forecast = BytesAt(run, {"forecast_peak_bytes"});
  const auto lease = BytesAt(run, {"lease_bytes"});
  const auto measured = BytesAt(run, {"measured_peak_bytes"});
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  if (forecast && *forecast > Bytes()) {
    add("forecast " + ToString(*forecast));
  }
  if (lease && *lease > Bytes()) {
    add("lease " + ToString(*lease));
  }
  if (measured && *measured > Bytes()) {
    add(measured_as + ToString(*measured));
    std::string against;
    if (forecast && *forecast > Bytes()) {
      against = fmt::format("{:+.1f} % against the forecast", (Share(*measured, *forecast) - 1) * 100);
    }
    if (lease && *lease > Bytes()) {
      against += fmt::format("{}{:.0f} % of the lease", against.empty() ? "" : ", ", Share(*measured, *lease) * 100);
    }
    text += against.empty() ? "" : " (" + against + ")";
  }
  return text;
}

std::string RunText(const json::value& run) {
  const auto attempt = NumberAt(run, {"attempt"});
  std::string text = attempt ? fmt::format("attempt {:.0f}, ", *attempt) : std::string();
  text += Printable(TextAt(run, {"plan"})) + ": " + UseText(run, "measured ");
  const auto ending = TextAt(run, {"ending"});
  if (ending == "oom_killed") {
    return text + "; stopped at its limit";
  }
  return ending.empty() || ending == "exited" ? text : text + "; " + Printable(ending);
}

std::string Help(const json::value& job) {
  const auto* waiting = At(job, {"waiting"});
  if (waiting == nullptr || !waiting->is_object()) {
    return {};
  }
  const auto what = TextAt(*waiting, {"for"});
  const auto id = Printable(TextAt(job, {"id"}));
  const auto until = Printable(TextAt(*waiting, {"until"}));
  const auto required = BytesAt(*waiting, {"required_bytes"});
  const auto available = BytesAt(*waiting, {"available_bytes"});
  const Bytes missing = required && available ? *required - *available : Bytes();
  if (what == "memory") {
    return (missing > Bytes() ? "a budget larger by " + ToString(missing) + " (--memory), or " : "") +
           "the end of what holds the leases" +
           (until.empty() ? "" : "; from " + until + " on it takes any way that fits");
  }
  if (what == "disk") {
    return missing > Bytes() ? ToString(missing) + " more free space on the disk of its output" : "";
  }
  if (what == "processor") {
    return "the end of a job that works; more processors would let more work at once";
  }
  if (what == "slot") {
    return "more slots (--slots), or a higher priority: \"weir change " + id + " --priority 80\"";
  }
  if (what == "time") {
    return until.empty() ? "" : "nothing needs doing: it goes on at " + until;
  }
  if (what == "pause") {
    return "\"weir resume " + id + "\"";
  }
  if (what == "pressure") {
    return "less memory in use on the machine, or the end of what works";
  }
  return what == "drain" ? "\"weir undrain\"" : "";
}

struct Column {
  double used = 0;
  double allowed = 0;
};

}  // namespace

std::vector<std::string> MemoryChart(const json::value& timeline, unsigned columns, std::size_t rows) {
  struct Sample {
    double seconds;
    double used;
    double allowed;
  };
  std::vector<Sample> samples;
  double period = 0;
  double top = 0;
  for (const auto* one : ListAt(timeline, {"samples"})) {
    const auto seconds = NumberAt(*one, {"seconds"});
    const auto used = BytesAt(*one, {"resident_bytes"});
    const auto allowed = BytesAt(*one, {"lease_bytes"});
    if (!seconds || !used || !allowed || *seconds < 0 || (!samples.empty() && *seconds <= samples.back().seconds)) {
      continue;
    }
    if (!samples.empty()) {
      const double step = *seconds - samples.back().seconds;
      period = period > 0 ? std::min(period, step) : step;
    }
    samples.push_back({*seconds, static_cast<double>(used->count()), static_cast<double>(allowed->count())});
    top = std::max({top, samples.back().used, samples.back().allowed});
  }
  if (samples.empty() || top <= 0 || rows == 0) {
    return {};
  }
  period = period > 0 ? period : 0.25;
  const double begin = samples.front().seconds;
  const double length = samples.back().seconds + period - begin;
  const unsigned widest = std::max(columns, kLeastColumns) - kChartLabel;
  const auto width = static_cast<std::size_t>(
      std::clamp(std::round(length / period), 1.0, static_cast<double>(std::max(widest, 1U))));
  std::vector<Column> chart(width);
  for (const Sample& sample : samples) {
    const auto place =
        static_cast<std::size_t>((sample.seconds - begin) / length * static_cast<double>(width) + 1e-6);
    Column& column = chart[std::min(place, width - 1)];
    column.used = std::max(column.used, sample.used);
    column.allowed = std::max(column.allowed, sample.allowed);
  }
  std::vector<std::string> lines;
  const auto level = [&](double bytes) {
    return static_cast<std::size_t>(std::ceil(bytes / top * static_cast<double>(rows) - 1e-9));
  };
  for (std::size_t row = rows; row > 0; --row) {
    std::string line = row == rows ? fmt::format("{:>10} |", ToString(Bytes(static_cast<std::uint64_t>(top))))
                                   : fmt::format("{:>10} |", "");
    for (const Column& column : chart) {
      line += level(column.used) >= row ? '#' : column.allowed > 0 && level(column.allowed) == row ? '-' : ' ';
    }
    lines.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
  }
  lines.push_back(fmt::format("{:>10} +{}", "0", std::string(width, '-')));
  lines.push_back(fmt::format("{:>10}  from {:.1f} to {:.1f} s; # used, - lease", "", begin, begin + length));
  return lines;
}

std::string ExplanationAsText(const json::value& job, const json::value& log, const json::value& timeline,
                              unsigned columns) {
  std::string text = "job " + Printable(TextAt(job, {"id"})) + "\n";
  text += Field("recipe", Printable(TextAt(job, {"recipe"})));
  text += Field("state", StateAsText(job));
  text += History(log);
  for (const auto* run : ListAt(job, {"runs"})) {
    text += Field("ran", RunText(*run));
  }
  const auto* plan = At(job, {"plan"});
  const auto* memory = At(job, {"memory"});
  const bool works = TextAt(job, {"state"}) == "running";
  if (works && plan != nullptr && plan->is_object() && memory != nullptr && memory->is_object()) {
    text += Field("now", Printable(TextAt(*plan, {"name"})) + ": " + UseText(*memory, "measured so far "));
  }
  const char* name = "memory";
  for (const auto& line : MemoryChart(timeline, columns, kChartRows)) {
    text += fmt::format("  {:<10}{}\n", std::exchange(name, ""), line);
  }
  if (const auto checks = NumberAt(job, {"checks"})) {
    text += Field("checks", fmt::format("{:.0f} passed", *checks));
  }
  // What the history says already is not said again.
  for (const auto& [field, said] : {std::pair("failure", Printable(TextAt(job, {"failure", "detail"}))),
                                    std::pair("decision", Printable(TextAt(job, {"decision"})))}) {
    if (text.find(said) == std::string::npos) {
      text += Field(field, said);
    }
  }
  if (const auto waits = TextAt(job, {"waiting", "reason"}); !waits.empty()) {
    const auto since = TextAt(job, {"waiting", "since"});
    text += Field(
        "waits",
        "for " +
            (TextAt(job, {"waiting", "for"}) == "time" ? "its time" : Printable(TextAt(job, {"waiting", "for"}))) +
            (since.empty() ? "" : " since " + Printable(since)) + ": " + Printable(waits));
    text += Field("helps", Help(job));
  }
  return text;
}

Result<int> RunExplain(const Talk& talk) {
  const auto& id = talk.command().ids.front();
  WEIR_ASSIGN(const auto job, talk.Ask(http::Method::kGet, JobTarget(id)));
  WEIR_ASSIGN(const auto log, talk.Ask(http::Method::kGet, JobTarget(id, "/log")));
  WEIR_ASSIGN(const auto timeline, talk.Ask(http::Method::kGet, JobTarget(id, "/memory")));
  if (talk.command().json) {
    const auto* lines = At(log, {"lines"});
    return talk.SayJson(json::object{
        {"job", job}, {"log", lines != nullptr ? *lines : json::value(json::array())}, {"memory", timeline}});
  }
  const auto& output = talk.streams().output;
  const unsigned columns = output.interactive && output.columns > 0 ? output.columns : kOrdinaryColumns;
  return talk.Say(ExplanationAsText(job, log, timeline, columns));
}

}  // namespace weir::app
