#include "api/peer_routes.h"

#include <boost/json.hpp>
#include <utility>

#include "api/fields.h"
#include "api/job_json.h"
#include "api/job_routes.h"
#include "api/submission.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using http::Request;

json::object Enveloped(json::value data) { return {{"success", true}, {"data", std::move(data)}}; }

// Where the result is, once it is: the place that the caller named, or the artefact's address.
json::value PathOf(const json::object& job) {
  const auto& artifacts = job.at("artifacts").as_array();
  if (artifacts.empty()) {
    return nullptr;
  }
  const auto& artifact = artifacts.front().as_object();
  return artifact.contains("path") ? artifact.at("path") : artifact.at("url");
}

}  // namespace

Reply PostVideoCrop(Context& context, Request request) {
  const auto fields =
      Fields::Parse(request.body, {"inputPath", "outputPath", "aspectRatio", "focusPoint", "smartCrop"});
  if (!fields) {
    co_return Fail(fields.error());
  }
  auto submission = CropOf(*fields);
  if (!submission) {
    co_return Fail(std::move(submission).error());
  }
  submission->owner = request.token_name;
  auto view = co_await Submit(context, *std::move(submission), WaitOf(request));
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  auto data = JobAsJson(*view);
  data["jobId"] = view->record.id;
  data["focusPoint"] = fields->Text("focusPoint").value().value_or("center");
  data["smartCrop"] = false;
  data["path"] = PathOf(data);
  auto response = JsonOf(StatusOf(*view), Enveloped(std::move(data)));
  response.headers.emplace_back("Location", "/v1/jobs/" + view->record.id);
  co_return response;
}

Reply GetVideoInfo(Context& context, Request request) {
  const auto* path = request.Query("path");
  if (path == nullptr) {
    co_return Fail(ErrorCode::kBadParameters, "the query needs path=...");
  }
  auto account = co_await Awaited<Result<jobs::Account>>(
      [&](auto done) { context.service.Forecast({.input = *path}, std::move(done)); });
  if (!account) {
    co_return Fail(std::move(account).error());
  }
  co_return JsonOf(200, Enveloped(VideoInfoAsJson(*path, account->source)));
}

Reply GetPerformance(Context& context, Request /*request*/) {
  co_return JsonOf(200, Enveloped(PerformanceAsJson(context.View())));
}

Reply GetHealth(Context& context, Request /*request*/) {
  const auto view = context.View();
  co_return JsonOf(view.reading.not_ready.empty() ? 200 : 503, HealthAsJson(view));
}

Reply GetHealthMemory(Context& context, Request /*request*/) {
  co_return JsonOf(200, HealthMemoryAsJson(context.View()));
}

Reply GetResources(Context& context, Request /*request*/) { co_return JsonOf(200, ResourcesAsJson(context.View())); }

Reply PostCleanup(Context& context, Request /*request*/) {
  const Bytes freed = context.clean_up();
  const auto view = context.View();
  co_return JsonOf(200, json::object{{"status", "done"},
                                     {"freedBytes", freed.count()},
                                     {"metricsAfter", ResourcesAsJson(view)},
                                     {"timestamp", ToRfc3339(view.date)}});
}

}  // namespace weir::api
