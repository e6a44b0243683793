#include "api/routes.h"

#include <utility>

#include "api/batch_routes.h"
#include "api/calibration_routes.h"
#include "api/event_routes.h"
#include "api/job_routes.h"
#include "api/peer_routes.h"
#include "api/recipe_routes.h"
#include "api/result_routes.h"
#include "api/system_routes.h"

namespace weir::api {
namespace {

using enum http::Method;
using enum ErrorCode;

constexpr std::string_view kJson = "application/json";

// A row as it is written below: what there always is first, then what only some have.
struct Row : Route {
  Row Takes(std::vector<std::string_view> names) && {
    parameters = std::move(names);
    return std::move(*this);
  }
  Row Reads(std::string_view schema) && {
    body = schema;
    return std::move(*this);
  }
  Row MayRead(std::string_view schema) && {
    body_required = false;
    return std::move(*this).Reads(schema);
  }
  Row Fails(std::vector<ErrorCode> codes) && {
    errors = std::move(codes);
    return std::move(*this);
  }
  Row FailsAs(int status) && {
    other_errors.push_back(status);
    return std::move(*this);
  }
  Row Is(std::string_view schema, std::string_view said, int status = 200) && {
    return std::move(*this).Ends({.status = status, .description = said, .schema = schema, .type = kJson});
  }
  Row IsNot(std::string_view schema, std::string_view said) && {
    return std::move(*this).Ends(
        {.status = 503, .description = said, .schema = schema, .type = kJson, .headers = {"Retry-After"}});
  }
  Row Accepts(std::string_view schema) && {
    return std::move(*this)
        .Ends({.status = 202,
               .description = "Accepted and on the disk; it goes on.",
               .schema = schema,
               .type = kJson,
               .headers = {"Location"}})
        .Ends({.description = "It has ended.", .schema = schema, .type = kJson, .headers = {"Location"}});
  }
  Row Streams(std::string_view said) && {
    return std::move(*this).Ends({.description = said, .schema = "EventStream", .type = "text/event-stream"});
  }
  Row Ends(Answer answer) && {
    answers.push_back(std::move(answer));
    return std::move(*this);
  }
};

Row Of(http::Method method, http::Scope scope, std::string_view path, Handler handler, std::string_view id,
       std::string_view summary) {
  Row row;
  row.method = method;
  row.path = path;
  row.scope = scope;
  row.handler = handler;
  row.id = id;
  row.summary = summary;
  return row;
}
Row Get(std::string_view path, Handler handler, std::string_view id, std::string_view summary) {
  return Of(kGet, http::kRead, path, handler, id, summary);
}
Row Post(std::string_view path, Handler handler, std::string_view id, std::string_view summary) {
  return Of(kPost, http::kSubmit, path, handler, id, summary);
}
Row PostAsAdmin(std::string_view path, Handler handler, std::string_view id, std::string_view summary) {
  return Of(kPost, http::kAdmin, path, handler, id, summary);
}

// What a path of a caller, or what is behind it, may be refused for.
std::vector<ErrorCode> OfInput(std::vector<ErrorCode> more) {
  for (const auto code : {kInputMissing, kInputNotAFile, kInputUnreadable, kInputEmpty, kInputTooLarge}) {
    more.push_back(code);
  }
  return more;
}
std::vector<ErrorCode> OfSubmission() {
  return OfInput({kOutputExists, kOutputIsInput, kOutputFolder, kOutputUnwritable, kConflict, kDiskFull});
}
// What a look into a file may end with: a child does it.
std::vector<ErrorCode> OfProbe() {
  return OfInput({kInputNotMedia, kInputDamaged, kInputNoVideo, kOverBudget, kOutOfMemory, kTimedOut, kStalled,
                  kToolMissing, kToolUnusable, kTerminated});
}
std::vector<ErrorCode> OfAct() { return {kNotFound, kConflict, kDiskFull}; }

std::vector<Route> JobRoutes() {
  return {
      Post("/v1/jobs", PostJob, "submitJob",
           "Submits a job. With the same Idempotency-Key, the same request again answers the same job.")
          .Takes({"IdempotencyKey", "Prefer"})
          .Reads("JobRequest")
          .Accepts("Job")
          .Fails(OfSubmission()),
      Get("/v1/jobs", GetJobs, "listJobs", "Jobs, newest first, in pages.")
          .Takes({"State", "Recipe", "Owner", "Batch", "Label", "Limit", "Cursor"})
          .Is("JobPage", "A page."),
      Get("/v1/jobs/{id}", GetJob, "getJob",
          "A job; with Prefer: wait=N as it is when it has ended, or after N seconds.")
          .Takes({"Prefer"})
          .Is("Job", "The job.")
          .Fails({kNotFound}),
      Of(kPatch, http::kSubmit, "/v1/jobs/{id}", PatchJob, "changeJob",
         "Gives a job another priority, or other labels.")
          .Reads("JobChange")
          .Is("Job", "As it is now.")
          .Fails(OfAct()),
      Of(kDelete, http::kSubmit, "/v1/jobs/{id}", DeleteJob, "removeJob",
         "Removes a job that has ended, with its artefacts.")
          .Ends({.status = 204, .description = "It is gone."})
          .Fails(OfAct()),
      Post("/v1/jobs/{id}/cancel", PostCancel, "cancelJob", "Cancels a job: its child first, then the answer.")
          .Is("Job", "It has ended.")
          .Fails(OfAct()),
      Post("/v1/jobs/{id}/pause", PostPause, "pauseJob",
           "Lets a job stand still. One that is at work keeps its memory and its slot until it goes on or is "
           "cancelled.")
          .Is("Job", "It is paused; memory.lease_bytes is what it keeps.")
          .Fails(OfAct()),
      Post("/v1/jobs/{id}/resume", PostResume, "resumeJob", "Lets a paused job go on.")
          .Is("Job", "It goes on.")
          .Fails(OfAct()),
      Post("/v1/jobs/{id}/retry", PostRetry, "retryJob", "Queues a failed or cancelled job again.")
          .MayRead("RetryRequest")
          .Is("Job", "It is queued, or has begun.")
          .Fails(OfAct())
          .FailsAs(422),
      Get("/v1/jobs/{id}/events", GetJobEvents, "watchJob",
          "The events of a job as they come: first all that are stored, or those after Last-Event-ID; ends with the "
          "job.")
          .Takes({"LastEventId", "After"})
          .Streams("Events until the job has ended.")
          .Fails({kNotFound}),
      Get("/v1/events", GetEvents, "watchJobs",
          "The events of all jobs, without end: first all that are stored, or those after Last-Event-ID, or none "
          "with "
          "after=now; then what comes. Progress is not among them.")
          .Takes({"LastEventId", "After"})
          .Streams("Events until somebody closes."),
      Get("/v1/jobs/{id}/log", GetLog, "getLog", "The stored events of a job as lines.")
          .Is("Log", "The lines.")
          .Fails({kNotFound}),
      Get("/v1/jobs/{id}/memory", GetTimeline, "getMemory",
          "What the children of a job's last attempt used over time.")
          .Is("Timeline", "Without samples before the first.")
          .Fails({kNotFound}),
      Get("/v1/jobs/{id}/artifacts", GetArtifacts, "listArtifacts", "What a job has made.")
          .Is("Artifacts", "None before it has succeeded.")
          .Fails({kNotFound}),
      Get("/v1/jobs/{id}/artifacts/{name}", GetArtifact, "getArtifact", "The bytes of an artefact.")
          .Takes({"Range", "IfRange", "IfNoneMatch"})
          .Ends({.description = "All of it.", .type = kAnyMedia, .headers = {"ETag", "Accept-Ranges"}})
          .Ends({.status = 206,
                 .description = "The part that was asked for.",
                 .type = kAnyMedia,
                 .headers = {"ETag", "Accept-Ranges", "Content-Range"}})
          .Ends({.status = 304, .description = "The caller has it.", .headers = {"ETag"}})
          .Fails({kNotFound})
          .FailsAs(416),
  };
}

std::vector<Route> BatchRoutes() {
  return {
      Post(
          "/v1/batches", PostBatch, "submitBatch",
          "Submits many jobs, all of them or none. With the same Idempotency-Key, the same request again answers the "
          "same batch.")
          .Takes({"IdempotencyKey", "Prefer"})
          .Reads("BatchRequest")
          .Accepts("Batch")
          .Fails(OfSubmission()),
      Get("/v1/batches/{id}", GetBatch, "getBatch",
          "How far a batch has come; with Prefer: wait=N as it is when it has ended, or after N seconds.")
          .Takes({"Prefer"})
          .Is("Batch", "The batch.")
          .Fails({kNotFound}),
      Post("/v1/batches/{id}/cancel", PostCancelBatch, "cancelBatch", "Cancels all that has not ended.")
          .Is("Batch", "As it is now.")
          .Fails({kNotFound, kDiskFull}),
  };
}

std::vector<Route> RecipeRoutes() {
  return {
      Post("/v1/plan", PostPlan, "planJob",
           "Every way to do a job, what each needs, and which one fits; only the probe runs.")
          .Reads("JobRequest")
          .Is("Forecast", "With the plan that would be taken, or the refusal.")
          .Fails(OfProbe()),
      Get("/v1/recipes", GetRecipes, "listRecipes", "All recipes.").Is("Recipes", "Each with its parameters."),
      Get("/v1/recipes/{name}", GetRecipe, "getRecipe", "A recipe.")
          .Is("Recipe", "With its parameters.")
          .Fails({kNotFound}),
  };
}

std::vector<Route> SystemRoutes() {
  return {
      Get("/v1/system", GetSystem, "getSystem", "What the daemon is doing.").Is("System", "As of now."),
      PostAsAdmin("/v1/drain", PostDrain, "drain",
                  "What runs goes on, nothing new is started; submissions are still taken.")
          .Is("Draining", "It drains."),
      PostAsAdmin("/v1/undrain", PostUndrain, "undrain", "Starts jobs again.")
          .Is("Draining", "It does not drain any more."),
      Get("/v1/memory", GetMemory, "getMemoryState",
          "The level of memory pressure and why, what was done about it, what grows, and the tree's use over time.")
          .Is("Memory", "As of now, with the last hour and day."),
      Get("/v1/calibration", GetCalibration, "getCalibration",
          "How good forecasts of memory are, by the formula and corrected, and what is known of which children.")
          .Is("Calibration", "Over all samples that are kept."),
      PostAsAdmin("/v1/calibration/reset", PostCalibrationReset, "resetCalibration",
                  "Forgets what measured peaks taught: forecasts are the formula's again.")
          .Is("Calibration", "Empty."),
      Get("/healthz", GetHealthz, "isAlive", "Whether the daemon answers.").Is("Alive", "It does."),
      Get("/readyz", GetReadyz, "isReady", "Whether work is taken and begun.")
          .Is("Ready", "It is.")
          .IsNot("Ready", "It is not, and why."),
      Get("/metrics", GetMetrics, "getMetrics", "Figures for Prometheus.")
          .Ends({.description = "Text format 0.0.4.", .schema = "Text", .type = "text/plain"}),
      Get("/openapi.json", GetDocument, "getDocument", "This document.")
          .Takes({"IfNoneMatch"})
          .Ends({.description = "OpenAPI 3.1.", .schema = "Document", .type = kJson, .headers = {"ETag"}})
          .Ends({.status = 304, .description = "The caller has it.", .headers = {"ETag"}}),
  };
}

std::vector<Route> PeerRoutes() {
  return {
      Post("/video/crop", PostVideoCrop, "videoCrop", "Submits a crop; an output that is named is replaced.")
          .Takes({"Prefer"})
          .Reads("VideoCropRequest")
          .Accepts("VideoCrop")
          .Fails(OfSubmission()),
      Get("/video/info", GetVideoInfo, "videoInfo", "Facts about a file.")
          .Takes({"VideoPath"})
          .Is("VideoInfo", "Measured by a probe.")
          .Fails(OfProbe()),
      Get("/performance/metrics", GetPerformance, "performanceMetrics",
          "Memory, and how long the last hundred requests took.")
          .Is("Performance", "As of now."),
      Get("/health", GetHealth, "health", "Whether the daemon is usable.")
          .Is("Health", "It is.")
          .IsNot("Health", "It is not, and why."),
      Get("/health/memory", GetHealthMemory, "healthMemory", "The memory of all processes against the budget.")
          .Is("HealthMemory", "As of now."),
      Get("/api/diagnostics/resources", GetResources, "diagnoseResources",
          "Descriptors, processes, memory and threads.")
          .Is("Resources", "As of now."),
      PostAsAdmin("/api/diagnostics/resources/cleanup", PostCleanup, "cleanUp",
                  "Removes jobs whose time has come, and lets go of memory that nobody uses.")
          .Is("Cleanup", "What is left."),
  };
}

}  // namespace

const std::vector<Route>& Routes() {
  static const std::vector<Route> kRoutes = [] {
    std::vector<Route> all;
    const auto add = [&](std::string_view group, std::vector<Route> routes) {
      for (Route& route : routes) {
        route.group = group;
        route.Split();
        all.push_back(std::move(route));
      }
    };
    add("jobs", JobRoutes());
    add("batches", BatchRoutes());
    add("recipes", RecipeRoutes());
    add("system", SystemRoutes());
    add("replaced systems", PeerRoutes());
    return all;
  }();
  return kRoutes;
}

std::string AllowedAt(const std::vector<std::string>& path) {
  std::string methods;
  for (const Route& route : Routes()) {
    if (route.Matches(path)) {
      methods += methods.empty() ? "" : ", ";
      methods += NameOf(route.method);
      methods += route.method == kGet ? ", HEAD" : "";
    }
  }
  return methods;
}

}  // namespace weir::api
