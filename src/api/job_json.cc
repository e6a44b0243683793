#include "api/job_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "api/system_json.h"
#include "jobs/account_json.h"
#include "jobs/decision.h"
#include "media/json_text.h"

namespace weir::api {

namespace json = boost::json;

namespace {

// Until its outcome is written, a job that works is known by what goes on now.
void ShowWork(const jobs::Live& live, json::object& out) {
  out["plan"] = nullptr;
  out["memory"] = nullptr;
  if (!live.plan.empty()) {
    out["plan"] = json::object{{"name", jobs::Text(live.plan)}, {"forecast_frames", live.frames}};
  }
  if (!live.plan.empty() || live.lease > Bytes()) {
    out["memory"] = json::object{{"lease_bytes", live.lease.count()}, {"measured_peak_bytes", live.memory.count()}};
    if (live.forecast_peak > Bytes()) {
      out["memory"].as_object()["forecast_peak_bytes"] = live.forecast_peak.count();
    }
  }
}

}  // namespace

json::object Document(const std::string& text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  return !error && value.is_object() ? std::move(value.as_object()) : json::object();
}

json::value ProgressAsJson(const jobs::JobView& view) {
  if (!view.live || !view.live->progress) {
    return nullptr;
  }
  const auto& live = *view.live;
  const auto& progress = *live.progress;
  json::object out{{"frame", progress.frame}, {"fps", progress.fps}, {"ratio", nullptr}, {"eta_seconds", nullptr}};
  out["speed"] = progress.speed > 0 ? json::value(progress.speed) : json::value();
  double ratio = -1;
  if (live.length && live.length->count() > 0) {
    ratio = Seconds(progress.out_time) / Seconds(*live.length);
  } else if (live.frames > 0) {
    ratio = static_cast<double>(progress.frame) / static_cast<double>(live.frames);
  }
  if (ratio >= 0) {
    out["ratio"] = std::clamp(ratio, 0.0, 1.0);
  }
  if (live.length && progress.speed > 0) {
    out["eta_seconds"] = std::max(0.0, Seconds(*live.length - progress.out_time) / progress.speed);
  }
  return out;
}

json::object JobAsJson(const jobs::JobView& view) {
  const auto& record = view.record;
  const auto date = [](const std::optional<WallTime>& time) {
    return time ? json::value(ToRfc3339(*time)) : json::value();
  };
  auto request = Document(record.request);
  auto outcome = Document(record.outcome);
  const auto take = [](json::object& from, const char* key) {
    auto* value = from.if_contains(key);
    return value != nullptr ? std::move(*value) : json::value();
  };
  json::object out{{"id", record.id},
                   {"batch", record.batch.empty() ? json::value() : json::value(record.batch)},
                   {"recipe", record.recipe},
                   {"state", store::NameOf(record.state)},
                   {"paused", record.paused},
                   {"attempt", record.attempt},
                   {"priority", record.priority},
                   {"owner", record.owner.empty() ? json::value() : json::value(record.owner)},
                   {"labels", Document(record.labels)},
                   {"created", ToRfc3339(record.created)},
                   {"updated", ToRfc3339(record.updated)},
                   {"started", date(record.started)},
                   {"ended", date(record.ended)},
                   {"not_before", date(record.not_before)}};
  out["inputs"] = json::array{take(request, "input")};
  auto output = take(request, "output");
  out["outputs"] = output.is_string() && !output.as_string().empty() ? json::array{std::move(output)} : json::array{};
  out["params"] = take(request, "params");
  out["progress"] = ProgressAsJson(view);
  const char* reason = view.live ? jobs::NameOf(view.live->waiting_for) : "";
  out["waiting_for"] = *reason != '\0' ? json::value(reason) : json::value();
  out["position"] = view.live && view.live->position ? json::value(*view.live->position) : json::value();
  out["waiting"] = nullptr;
  if (view.live) {
    const auto& live = *view.live;
    if (auto waiting = jobs::WaitAsJson(live.wait, live.waiting_since, live.waiting_until)) {
      out["waiting"] = *std::move(waiting);
    }
  }
  out["decision"] = take(outcome, "decision");
  if (view.live && !view.live->decision.empty()) {
    out["decision"] = jobs::Text(view.live->decision);
  }
  for (const char* key : {"runs", "plan", "memory", "source", "output", "checks", "notes", "time", "failure"}) {
    out[key] = take(outcome, key);
  }
  if (view.live && (record.state == store::JobState::kRunning || record.state == store::JobState::kVerifying)) {
    ShowWork(*view.live, out);
  }
  json::array artifacts;
  // Before the end they are what may appear, not what has.
  if (auto found = take(outcome, "artifacts"); record.state == store::JobState::kSucceeded && found.is_array()) {
    for (auto& item : found.as_array()) {
      if (!item.is_object()) {
        continue;
      }
      auto artifact = std::move(item.as_object());
      artifact.erase("identity");
      if (const auto* name = artifact.if_contains("name"); name != nullptr && name->is_string()) {
        const std::string file(name->as_string());
        artifact["type"] = TypeOfName(file);
        if (!artifact.contains("path")) {
          artifact["url"] = "/v1/jobs/" + record.id + "/artifacts/" + file;
        }
      }
      artifacts.push_back(std::move(artifact));
    }
  }
  out["artifacts"] = std::move(artifacts);
  return out;
}

json::object BatchAsJson(const jobs::BatchView& view) {
  const auto& record = view.record;
  json::object states;
  std::int64_t present = 0;
  for (std::size_t i = 0; i < store::kJobStates; ++i) {
    const std::int64_t count = i < view.by_state.size() ? view.by_state[i] : 0;
    states[store::NameOf(static_cast<store::JobState>(i))] = count;
    present += count;
  }
  return {{"id", record.id},
          {"owner", record.owner.empty() ? json::value() : json::value(record.owner)},
          {"labels", Document(record.labels)},
          {"created", ToRfc3339(record.created)},
          {"jobs", record.jobs},
          {"states", std::move(states)},
          {"removed", std::max<std::int64_t>(record.jobs - present, 0)},
          {"ratio", view.ratio},
          {"ended", view.ended},
          {"jobs_url", "/v1/jobs?batch=" + record.id}};
}

std::string DigestOf(const store::JobRecord& record, std::string_view artifact) {
  const auto outcome = Document(record.outcome);
  const auto* artifacts = outcome.if_contains("artifacts");
  if (artifacts == nullptr || !artifacts->is_array()) {
    return {};
  }
  for (const auto& item : artifacts->as_array()) {
    const auto* object = item.if_object();
    const auto* name = object != nullptr ? object->if_contains("name") : nullptr;
    const auto* digest = object != nullptr ? object->if_contains("sha256") : nullptr;
    if (name != nullptr && digest != nullptr && name->is_string() && digest->is_string() &&
        name->as_string() == artifact) {
      return std::string(digest->as_string());
    }
  }
  return {};
}

json::object EventData(const store::EventRecord& event) {
  json::object data{{"job", event.job}, {"time", ToRfc3339(event.time)}};
  for (auto& member : Document(event.data)) {
    data[member.key()] = std::move(member.value());
  }
  return data;
}

std::string EventText(std::int64_t id, std::string_view type, const json::object& data) {
  std::string text;
  if (id > 0) {
    text += "id: " + std::to_string(id) + "\n";
  }
  text += "event: ";
  text += type;
  text += "\ndata: " + media::JsonText(data) + "\n\n";
  return text;
}

}  // namespace weir::api
