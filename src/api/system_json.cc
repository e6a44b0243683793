#include "api/system_json.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <utility>

#include "jobs/account_json.h"
#include "jobs/decision.h"

namespace weir::api {
namespace {

namespace json = boost::json;

struct NamedType {
  const char* extension;
  const char* type;
};
constexpr std::array kTypes{NamedType{"mp4", "video/mp4"},        NamedType{"webm", "video/webm"},
                            NamedType{"mkv", "video/x-matroska"}, NamedType{"mov", "video/quicktime"},
                            NamedType{"ts", "video/mp2t"},        NamedType{"m4a", "audio/mp4"},
                            NamedType{"jpg", "image/jpeg"},       NamedType{"png", "image/png"}};
constexpr const char* kUnknownType = "application/octet-stream";

double ShareOf(const SystemReading& reading) {
  return reading.budget.count() == 0
             ? 0
             : static_cast<double>(reading.tree_memory.count()) / static_cast<double>(reading.budget.count());
}

// In the words of the systems that asked: what is elevated is used as planned.
const char* PeerLevelOf(const Governance& governance) {
  return governance.level == "critical" ? "critical" : governance.level == "high" ? "warning" : "normal";
}
const char* StatusOf(const Governance& governance) {
  return governance.level == "critical" ? "critical" : governance.level == "high" ? "warning" : "healthy";
}

double NumberOf(const std::string& level) {
  return level == "critical" ? 3 : level == "high" ? 2 : level == "elevated" ? 1 : 0;
}

std::int64_t Count(const SystemView& view, store::JobState state) {
  const auto index = static_cast<std::size_t>(state);
  return index < view.figures.by_state.size() ? view.figures.by_state[index] : 0;
}

std::int64_t Processing(const SystemView& view) {
  using enum store::JobState;
  std::int64_t sum = 0;
  for (const auto state : {kFetching, kRunning, kVerifying, kPublishing}) {
    sum += Count(view, state);
  }
  return sum;
}

std::int64_t Ended(const SystemView& view) {
  using enum store::JobState;
  return Count(view, kSucceeded) + Count(view, kFailed) + Count(view, kCancelled);
}

double Milliseconds(Duration duration) { return Seconds(duration) * 1000.0; }

json::object RequestsAsJson(const SystemView& view) {
  return {{"count", view.window.count()},
          {"failed", view.window.failed()},
          {"samples", view.window.samples()},
          {"avg", Milliseconds(view.window.Mean())},
          {"p95", Milliseconds(view.window.Quantile(0.95))},
          {"p99", Milliseconds(view.window.Quantile(0.99))}};
}

double UptimeOf(const SystemView& view) { return Seconds(view.now - view.facts.started); }

void Metric(std::string& text, const char* name, const char* type, const char* help, double value,
            const std::string& label = {}) {
  if (help != nullptr) {
    text += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  char number[32];
  std::snprintf(number, sizeof number, "%.17g", value);
  text += std::string(name) + label + " " + number + "\n";
}

// What the next step of a child's job waits for; null.
json::value WaitingAsJson(const SystemView& view, const jobs::Wait& wait) {
  const auto date = [&](std::optional<SteadyTime> instant) -> std::optional<WallTime> {
    if (!instant) {
      return std::nullopt;
    }
    return view.date + std::chrono::floor<std::chrono::milliseconds>(*instant - view.now);
  };
  auto waiting = jobs::WaitAsJson(wait, date(wait.since), date(wait.until));
  return waiting ? json::value(*std::move(waiting)) : json::value();
}

std::size_t WaitingSteps(const SystemView& view, jobs::WaitingFor what) {
  return static_cast<std::size_t>(std::ranges::count_if(
      view.figures.running, [&](const jobs::RunningChild& child) { return child.wait.what == what; }));
}

void Metric(std::string& text, const char* name, const char* help, const jobs::Histogram& histogram) {
  text += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " histogram\n";
  const std::string bucket = std::string(name) + "_bucket";
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < jobs::Histogram::kBounds.size(); ++i) {
    char bound[32];
    std::snprintf(bound, sizeof bound, "{le=\"%g\"}", jobs::Histogram::kBounds.at(i));
    below += histogram.counts().at(i);
    Metric(text, bucket.c_str(), nullptr, nullptr, static_cast<double>(below), bound);
  }
  const auto count = static_cast<double>(histogram.count());
  Metric(text, bucket.c_str(), nullptr, nullptr, count, "{le=\"+Inf\"}");
  Metric(text, (std::string(name) + "_sum").c_str(), nullptr, nullptr, histogram.sum());
  Metric(text, (std::string(name) + "_count").c_str(), nullptr, nullptr, count);
}

json::array ServicesAsJson(const SystemReading& reading) {
  json::array services;
  for (const auto& service : reading.services) {
    services.push_back(json::object{{"name", service.name},
                                    {"loaded", service.loaded},
                                    {"since", service.since ? json::value(ToRfc3339(*service.since)) : json::value()},
                                    {"bytes", service.bytes ? json::value(service.bytes->count()) : json::value()}});
  }
  return services;
}

json::value GroupAsJson(const std::optional<GroupReading>& group) {
  if (!group) {
    return nullptr;
  }
  const auto known = [](std::optional<Bytes> bytes) { return bytes ? json::value(bytes->count()) : json::value(); };
  return json::object{{"used_bytes", group->now.count()},       {"limit_bytes", known(group->limit)},
                      {"peak_bytes", known(group->peak)},       {"page_cache_bytes", group->page_cache.count()},
                      {"tmpfs_bytes", group->on_tmpfs.count()}, {"oom_kills", group->oom_kills}};
}

void GroupMetrics(std::string& text, const GroupReading& group) {
  const auto metric = [&](const char* name, const char* help, std::optional<Bytes> bytes) {
    if (bytes) {
      Metric(text, name, "gauge", help, static_cast<double>(bytes->count()));
    }
  };
  metric("weir_memory_group_bytes", "Charged to the control group around everything, page cache included.",
         group.now);
  metric("weir_memory_group_limit_bytes", "Its limit: the budget, and what lies on tmpfs.", group.limit);
  metric("weir_memory_group_peak_bytes", "The most that was charged to it.", group.peak);
  metric("weir_memory_group_page_cache_bytes", "Of it: files on disk, given up before anything else.",
         group.page_cache);
  metric("weir_memory_group_tmpfs_bytes", "Of it: files on tmpfs, there until they are removed.", group.on_tmpfs);
  Metric(text, "weir_memory_oom_kills_total", "counter", "Processes in it that the kernel killed for want of memory.",
         static_cast<double>(group.oom_kills));
}

}  // namespace

json::object SystemAsJson(const SystemView& view) {
  const auto& reading = view.reading;
  json::array running;
  for (const auto& child : view.figures.running) {
    running.push_back(json::object{{"job", child.job},
                                   {"recipe", child.recipe},
                                   {"plan", jobs::Text(child.plan)},
                                   {"lease_bytes", child.lease.count()},
                                   {"memory_bytes", child.memory.count()},
                                   {"seconds", Seconds(view.now - child.since)},
                                   {"waiting", WaitingAsJson(view, child.wait)}});
  }
  json::object jobs;
  for (std::size_t i = 0; i < store::kJobStates; ++i) {
    jobs[store::NameOf(static_cast<store::JobState>(i))] = Count(view, static_cast<store::JobState>(i));
  }
  const bool ready = reading.not_ready.empty() && !view.figures.draining;
  return {{"version", view.facts.version},
          {"uptime_seconds", UptimeOf(view)},
          {"ready", ready},
          {"draining", view.figures.draining},
          {"memory", json::object{{"level", reading.governance.level},
                                  {"reason", jobs::Text(reading.governance.reason)},
                                  {"budget_bytes", reading.budget.count()},
                                  {"own_bytes", reading.own_use.count()},
                                  {"leased_bytes", reading.leased.count()},
                                  {"available_bytes", reading.available.count()},
                                  {"backend", reading.backend},
                                  {"enclosed", reading.enclosed},
                                  {"group", GroupAsJson(reading.group)},
                                  {"own_pss_bytes", reading.own_memory.count()},
                                  {"tree_bytes", reading.tree_memory.count()}}},
          {"running", std::move(running)},
          {"queue", json::object{{"waiting", view.figures.scheduler.queued},
                                 {"running", view.figures.scheduler.running},
                                 {"needs_waiting", view.figures.scheduler.needs_waiting},
                                 {"limit", reading.most_queued},
                                 {"slots", reading.slots},
                                 {"unsaved", view.figures.unsaved}}},
          {"jobs", std::move(jobs)},
          {"requests", json::object{{"total", reading.http.requests},
                                    {"in_flight", reading.http.in_flight},
                                    {"connections", reading.http.connections}}},
          {"tools", json::object{{"ffmpeg", jobs::Text(view.facts.ffmpeg)},
                                 {"ffprobe", jobs::Text(view.facts.ffprobe)},
                                 {"version", jobs::Text(view.facts.ffmpeg_version)}}},
          {"sandbox", json::object{{"missing", jobs::Strings(view.facts.missing_layers)}}},
          {"services", ServicesAsJson(reading)}};
}

std::string Metrics(const SystemView& view) {
  const auto& reading = view.reading;
  const auto bytes = [](Bytes amount) { return static_cast<double>(amount.count()); };
  std::string text;
  Metric(text, "weir_memory_budget_bytes", "gauge", "Everything that Weir and its children may use.",
         bytes(reading.budget));
  Metric(text, "weir_memory_leased_bytes", "gauge", "Held by leases of children.", bytes(reading.leased));
  Metric(text, "weir_memory_available_bytes", "gauge", "The largest lease that can be had now.",
         bytes(reading.available));
  Metric(text, "weir_memory_tree_bytes", "gauge", "Proportional set size of the daemon and its children.",
         bytes(reading.tree_memory));
  Metric(text, "weir_memory_own_bytes", "gauge", "Proportional set size of the daemon.", bytes(reading.own_memory));
  Metric(text, "weir_memory_backend_info", "gauge", "Which mechanism keeps the limits.", 1,
         "{backend=\"" + reading.backend + "\",enclosed=\"" + reading.enclosed + "\"}");
  if (reading.group) {
    GroupMetrics(text, *reading.group);
  }
  Metric(text, "weir_children", "gauge", "Live child processes.", static_cast<double>(reading.processes));
  for (std::size_t i = 0; i < store::kJobStates; ++i) {
    const auto state = static_cast<store::JobState>(i);
    Metric(text, "weir_jobs", "gauge", i == 0 ? "Stored jobs by state." : nullptr,
           static_cast<double>(Count(view, state)), std::string("{state=\"") + store::NameOf(state) + "\"}");
  }
  Metric(text, "weir_queue_waiting", "gauge", "Jobs that wait for a slot.",
         static_cast<double>(view.figures.scheduler.queued));
  Metric(text, "weir_steps_waiting", "gauge", "Steps of running jobs that wait for memory or disk.",
         static_cast<double>(view.figures.scheduler.needs_waiting));
  using enum jobs::WaitingFor;
  for (const auto what : {kMemory, kDisk, kProcessor, kPressure}) {
    Metric(text, "weir_steps_waiting_for", "gauge",
           what == kMemory ? "Steps of running jobs that wait, by what for." : nullptr,
           static_cast<double>(WaitingSteps(view, what)), std::string("{reason=\"") + jobs::NameOf(what) + "\"}");
  }
  Metric(text, "weir_steps_passed_total", "counter", "Steps that got memory before others that came before them.",
         static_cast<double>(view.figures.scheduler.passed));
  Metric(text, "weir_work_wait_seconds", "How long the work of jobs waited for memory, disk and processors.",
         view.figures.work_waits);
  Metric(text, "weir_attempt_seconds", "How long attempts took, from slot to end, however they ended.",
         view.figures.attempts);
  Metric(text, "weir_slots", "gauge", "Jobs that may run at once.", static_cast<double>(reading.slots));
  Metric(text, "weir_slots_taken", "gauge", "Jobs that run.", static_cast<double>(view.figures.scheduler.running));
  Metric(text, "weir_changes_unsaved", "gauge", "Jobs whose last change could not be written yet.",
         static_cast<double>(view.figures.unsaved));
  Metric(text, "weir_jobs_started_total", "counter", "Slots given since the start.",
         static_cast<double>(view.figures.scheduler.started));
  Metric(text, "weir_http_requests_total", "counter", "Requests since the start.",
         static_cast<double>(reading.http.requests));
  Metric(text, "weir_http_requests_in_flight", "gauge", "Requests that are being answered.",
         static_cast<double>(reading.http.in_flight));
  Metric(text, "weir_http_requests_failed_total", "counter", "Requests whose answer was an error of the server's.",
         static_cast<double>(view.window.failed()));
  for (const double quantile : {0.5, 0.95, 0.99}) {
    char label[32];
    std::snprintf(label, sizeof label, "{quantile=\"%g\"}", quantile);
    Metric(text, "weir_http_recent_request_seconds", "gauge",
           quantile < 0.6 ? "How long the last hundred requests took, with what they waited for." : nullptr,
           Seconds(view.window.Quantile(quantile)), label);
  }
  Metric(text, "weir_http_connections", "gauge", "Open connections.", static_cast<double>(reading.http.connections));
  Metric(text, "weir_http_connections_refused_total", "counter", "Connections beyond the limit.",
         static_cast<double>(reading.http.refused));
  Metric(text, "weir_http_connections_displaced_total", "counter",
         "Idle connections that were closed for another beyond the limit.",
         static_cast<double>(reading.http.displaced));
  Metric(text, "weir_ready", "gauge", "1 when work can be taken.",
         reading.not_ready.empty() && !view.figures.draining ? 1 : 0);
  const auto& governance = reading.governance;
  Metric(text, "weir_memory_level", "gauge", "How short memory is: 0 normal, 1 elevated, 2 high, 3 critical.",
         NumberOf(governance.level));
  if (governance.machine_available) {
    Metric(text, "weir_machine_memory_available_bytes", "gauge", "Of the machine, as its kernel reckons.",
           bytes(*governance.machine_available));
  }
  if (governance.stall_percent) {
    Metric(text, "weir_machine_stall_percent", "gauge", "Of the last 10 s, in which all work waited for memory.",
           *governance.stall_percent);
  }
  if (governance.growth_bytes_per_hour) {
    Metric(text, "weir_growth_bytes_per_hour", "gauge", "Of the daemon's own memory.",
           *governance.growth_bytes_per_hour);
  }
  const char* help = "1 while it does not stop growing.";
  for (const char* what : {"memory", "handles", "threads"}) {
    const bool grows = std::ranges::find(governance.growth, what, &GrowthReading::what) != governance.growth.end();
    Metric(text, "weir_growth_findings", "gauge", std::exchange(help, nullptr), grows ? 1 : 0,
           std::string("{what=\"") + what + "\"}");
  }
  help = "Uses of remedies against pressure since the start.";
  for (const auto& remedy : governance.remedies) {
    Metric(text, "weir_relief_actions_total", "counter", std::exchange(help, nullptr),
           static_cast<double>(remedy.uses), "{remedy=\"" + remedy.name + "\"}");
  }
  help = "What they freed.";
  for (const auto& remedy : governance.remedies) {
    Metric(text, "weir_relief_freed_bytes_total", "counter", std::exchange(help, nullptr), bytes(remedy.freed),
           "{remedy=\"" + remedy.name + "\"}");
  }
  Metric(text, "weir_jobs_held", "gauge", "1 while nothing new begins, for want of memory.",
         view.figures.held ? 1 : 0);
  Metric(text, "weir_jobs_suspended", "gauge", "Jobs that stand still, for want of memory.",
         static_cast<double>(view.figures.suspended));
  Metric(text, "weir_jobs_yielded_total", "counter", "Times that a job's work was ended to make room.",
         static_cast<double>(view.figures.yielded));
  Metric(text, "weir_lease_shrunk_bytes_total", "counter",
         "Given back by leases whose children turned out to need less, while others waited for memory.",
         bytes(view.figures.given_back));
  Metric(text, "weir_open_descriptors", "gauge", "Of the daemon.", static_cast<double>(reading.descriptors));
  Metric(text, "weir_threads", "gauge", "Of the daemon.", static_cast<double>(reading.threads));
  Metric(text, "weir_uptime_seconds", "gauge", "Since the start.", UptimeOf(view));
  return text;
}

std::string ForecastMetrics(const memory::CalibrationSummary& summary) {
  const auto number = [](std::size_t count) { return static_cast<double>(count); };
  std::string text;
  Metric(text, "weir_forecast_samples", "gauge", "Measured peaks that forecasts of memory are corrected by.",
         number(summary.samples));
  Metric(text, "weir_forecast_kills", "gauge", "Children at their limit that forecasts are corrected by.",
         number(summary.killed));
  Metric(text, "weir_forecast_kinds", "gauge", "Kinds of children with corrections.", number(summary.keys));
  Metric(text, "weir_forecast_above", "gauge", "Of those samples, peaks above their forecast.",
         number(summary.above_prior), "{forecast=\"prior\"}");
  Metric(text, "weir_forecast_above", "gauge", nullptr, number(summary.above_corrected), "{forecast=\"corrected\"}");
  Metric(text, "weir_forecast_kills_above", "gauge", "Limits that were reached at or above the corrected forecast.",
         number(summary.killed_above_corrected));
  if (summary.samples == 0) {
    return text;  // no error without a sample
  }
  const char* help = "Forecast of memory / measured peak - 1.";
  for (const auto& [name, band] : {std::pair("prior", summary.prior), std::pair("corrected", summary.corrected)}) {
    for (const auto& [quantile, error] :
         {std::pair("0.025", band.low), std::pair("0.5", band.median), std::pair("0.975", band.high)}) {
      Metric(text, "weir_forecast_error_ratio", "gauge", help, error,
             std::string("{forecast=\"") + name + "\",quantile=\"" + quantile + "\"}");
      help = nullptr;
    }
  }
  return text;
}

json::object PerformanceAsJson(const SystemView& view) {
  const auto& reading = view.reading;
  const double share = ShareOf(reading);
  json::object windows;
  for (const auto& window : reading.governance.windows) {
    windows[window.name] = json::object{{"samples", window.samples},
                                        {"last", window.last},
                                        {"avg", window.mean},
                                        {"p95", window.p95},
                                        {"max", window.highest}};
  }
  return {
      {"memory", json::object{{"rss", reading.own_memory.count()},
                              {"tree", reading.tree_memory.count()},
                              {"budget", reading.budget.count()},
                              {"leased", reading.leased.count()},
                              {"percentage", share * 100.0},
                              {"level", PeerLevelOf(reading.governance)}}},
      {"requests", RequestsAsJson(view)},
      {"windows", std::move(windows)},
      {"jobs", json::object{{"pending", Count(view, store::JobState::kQueued)}, {"processing", Processing(view)}}},
      {"uptime", UptimeOf(view)},
      {"timestamp", ToRfc3339(view.date)}};
}

json::object HealthAsJson(const SystemView& view) {
  const bool usable = view.reading.not_ready.empty();
  return {{"status", usable ? "ok" : "unusable"},
          {"reason", usable ? json::value() : json::value(view.reading.not_ready)},
          {"uptime", UptimeOf(view)},
          {"version", view.facts.version},
          {"tools", json::object{{"ffmpeg", view.reading.ffmpeg && !view.facts.ffmpeg.empty()},
                                 {"ffprobe", view.reading.ffprobe && !view.facts.ffprobe.empty()},
                                 {"ffmpegVersion", jobs::Text(view.facts.ffmpeg_version)}}},
          {"timestamp", ToRfc3339(view.date)}};
}

json::object HealthMemoryAsJson(const SystemView& view) {
  const auto& reading = view.reading;
  const double share = ShareOf(reading);
  json::array recommendations = RecommendationsAsJson(reading.governance);
  const auto recommend = [&](const char* priority, const std::string& action) {
    recommendations.push_back(json::object{{"priority", priority}, {"action", action}, {"setting", nullptr}});
  };
  if (view.figures.unsaved > 0) {
    recommend("high", "changes cannot be written to the data folder; see the log, and free space on its disk");
  }
  if (view.figures.draining) {
    recommend("low", "nothing new is started while draining; POST /v1/undrain ends that");
  }
  return {{"status", StatusOf(reading.governance)},
          {"memory", json::object{{"rss", reading.tree_memory.count()},
                                  {"heapUsed", reading.own_memory.count()},
                                  {"budget", reading.budget.count()},
                                  {"percentage", share * 100.0},
                                  {"level", PeerLevelOf(reading.governance)}}},
          {"cache", json::object{{"entries", 0}, {"size", 0}, {"hitRate", nullptr}}},
          {"jobs", json::object{{"count", Count(view, store::JobState::kQueued) + Processing(view) + Ended(view)},
                                {"pending", Count(view, store::JobState::kQueued)},
                                {"processing", Processing(view)},
                                {"completed", Count(view, store::JobState::kSucceeded)}}},
          {"recommendations", std::move(recommendations)},
          {"timestamp", ToRfc3339(view.date)}};
}

json::object ResourcesAsJson(const SystemView& view) {
  const auto& reading = view.reading;
  return {{"openFileHandles", reading.descriptors},
          {"activeProcesses", reading.processes},
          {"allocatedMemoryBytes", reading.own_memory.count()},
          {"workingSetBytes", reading.tree_memory.count()},
          {"threadCount", reading.threads},
          {"timestamp", ToRfc3339(view.date)},
          {"warnings", jobs::Strings(reading.governance.warnings)}};
}

json::object VideoInfoAsJson(const std::string& path, const media::MediaFacts& facts) {
  json::object out{{"path", jobs::Text(path)},
                   {"duration", Seconds(facts.length())},
                   {"size", facts.size.count()},
                   {"format", jobs::Text(facts.container)},
                   {"hasAudio", !facts.audio.empty()},
                   {"width", nullptr},
                   {"height", nullptr},
                   {"fps", nullptr},
                   {"bitrate", nullptr}};
  if (facts.video) {
    out["width"] = facts.video->displayed().width;
    out["height"] = facts.video->displayed().height;
    if (facts.video->average_rate.known()) {
      out["fps"] = facts.video->average_rate.value();
    }
  }
  if (facts.length().count() > 0) {
    out["bitrate"] = static_cast<double>(facts.size.count()) * 8.0 / Seconds(facts.length());
  }
  return out;
}

std::string TypeOfName(const std::string& name) {
  const std::string extension = name.substr(name.rfind('.') + 1);
  for (const auto& [known, type] : kTypes) {
    if (extension == known) {
      return type;
    }
  }
  return kUnknownType;
}

std::vector<std::string> MediaTypes() {
  std::vector<std::string> types{kUnknownType};
  for (const auto& [extension, type] : kTypes) {
    types.emplace_back(type);
  }
  return types;
}

}  // namespace weir::api
