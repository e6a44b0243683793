#include "api/result_routes.h"

#include <boost/json.hpp>
#include <utility>

#include "api/job_json.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using http::Request;
using http::Response;

constexpr std::size_t kMostLines = 1000;

}  // namespace

Reply GetLog(Context& context, Request request) {
  if (auto view = context.service.Find(request.path[2]); !view) {
    co_return Fail(std::move(view).error());
  }
  json::array lines;
  auto events = context.service.Events(request.path[2], 0, kMostLines);
  if (!events) {
    co_return Fail(std::move(events).error());
  }
  for (const auto& event : *events) {
    const auto data = Document(event.data);
    std::string text;
    if (const auto* state = data.if_contains("state");
        event.type == "state" && state != nullptr && state->is_string()) {
      text = state->as_string();
    }
    if (const auto* note = data.if_contains("note"); note != nullptr && note->is_string()) {
      text += (text.empty() ? "" : ": ") + std::string(note->as_string());
    }
    lines.push_back(json::object{{"time", ToRfc3339(event.time)}, {"type", event.type}, {"text", text}});
  }
  co_return JsonOf(200, json::object{{"lines", std::move(lines)}});
}

Reply GetTimeline(Context& context, Request request) {
  auto timeline = context.service.Timeline(request.path[2]);
  if (!timeline) {
    co_return Fail(std::move(timeline).error());
  }
  Response response;
  response.headers = {{"Content-Type", "application/json"}};
  response.body = *std::move(timeline) + "\n";
  co_return response;
}

Reply GetArtifacts(Context& context, Request request) {
  auto view = context.service.Find(request.path[2]);
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  co_return JsonOf(200, json::object{{"artifacts", JobAsJson(*view).at("artifacts")}});
}

Reply GetArtifact(Context& context, Request request) {
  auto view = context.service.Find(request.path[2]);
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  if (view->record.state != store::JobState::kSucceeded) {
    co_return Fail(ErrorCode::kNotFound,
                   "job " + view->record.id + " is " + store::NameOf(view->record.state) + "; it has no artefacts");
  }
  auto file = context.artifacts.OpenFile(view->record.id, request.path[4]);
  if (!file) {
    co_return Fail(std::move(file).error());
  }
  std::string tag = DigestOf(view->record, request.path[4]);
  if (tag.empty()) {
    tag = view->record.id + "-" + std::to_string(view->record.attempt);
  }
  Response response;
  response.headers = {{"Content-Type", TypeOfName(request.path[4])}};
  response.file = http::FileBody{.fd = std::move(file->fd), .size = file->size, .etag = "\"" + tag + "\""};
  co_return response;
}

}  // namespace weir::api
