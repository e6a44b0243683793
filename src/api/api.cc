#include "api/api.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <span>
#include <utility>

#include "api/fields.h"
#include "api/job_json.h"
#include "api/rendered.h"
#include "api/system_json.h"
#include "api/window.h"
#include "base/text.h"
#include "jobs/account_json.h"
#include "media/request_json.h"

namespace weir::api {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::awaitable;
using http::Method;
using http::Request;
using http::Response;

constexpr std::int64_t kLongestWait = 600;  // seconds of Prefer: wait=N
constexpr std::size_t kEventsAtOnce = 100;
constexpr std::size_t kMostPerPage = 1000;
constexpr std::size_t kPerPage = 50;
constexpr std::chrono::hours kForEver{1};

Response JsonOf(int status, const json::value& document) {
  Response response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}};
  response.body = json::serialize(document) + "\n";
  return response;
}

// The call with a callback as an awaitable: `start` gets the callback, which is called once, later, from the loop. A
// caller who goes away meanwhile ends the wait, not the call.
template <typename T, typename Start>
awaitable<T> Awaited(Start start) {
  struct Meeting {
    explicit Meeting(const asio::any_io_executor& executor)
        : arrived(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer arrived;
    std::optional<T> value;
  };
  const auto executor = co_await asio::this_coro::executor;
  const auto meeting = std::make_shared<Meeting>(executor);
  start([meeting](T value) {
    meeting->value.emplace(std::move(value));
    meeting->arrived.cancel();
  });
  while (!meeting->value) {
    boost::system::error_code cancelled;
    auto token = asio::redirect_error(asio::use_awaitable, cancelled);
    co_await meeting->arrived.async_wait(token);
  }
  co_return std::move(*meeting->value);
}

// Seconds of "Prefer: wait=N", at most kLongestWait; 0 without it.
std::int64_t WaitOf(const Request& request) {
  const auto* prefer = request.Header("prefer");
  if (prefer == nullptr) {
    return 0;
  }
  const std::size_t at = prefer->find("wait=");
  if (at == std::string::npos) {
    return 0;
  }
  const std::string digits = prefer->substr(at + 5, prefer->find_first_not_of("0123456789", at + 5) - at - 5);
  const auto seconds = ParseUnsigned(digits);
  return seconds ? static_cast<std::int64_t>(std::min<std::uint64_t>(*seconds, kLongestWait)) : 0;
}

Error NoSuchRoute(const Request& request) {
  return {.code = ErrorCode::kNotFound, .detail = "there is nothing at " + Quoted(request.target)};
}

}  // namespace

// The events of one job, or of all. Stored ones have ids and are never left out; progress has none.
class Feed final : public http::EventSource {
 public:
  Feed(jobs::JobService& service, const Clock& clock, std::string job, std::int64_t after)
      : service_(service), clock_(clock), job_(std::move(job)), after_(after) {}

  awaitable<std::optional<std::string>> Next() override {
    while (true) {
      const std::uint64_t all = service_.version();
      auto events = service_.Events(job_, after_, kEventsAtOnce);
      if (!events) {
        co_return std::nullopt;
      }
      if (!events->empty()) {
        std::string text;
        for (const auto& event : *events) {
          text += EventText(event.id, event.type, EventData(event));
          after_ = event.id;
        }
        co_return text;
      }
      if (job_.empty()) {
        const SteadyTime until = clock_.Now() + kForEver;
        co_await service_.Changed(job_, all, until);
        continue;
      }
      const auto view = service_.Find(job_);
      if (!view) {
        co_return std::nullopt;
      }
      if (store::IsFinal(view->record.state)) {
        // Its last event may have come between the two looks.
        if (std::exchange(ended_, true)) {
          co_return std::nullopt;
        }
        continue;
      }
      if (view->live && view->live->progress && view->version != told_) {
        told_ = view->version;
        if (view->live->progress->out_time != shown_) {
          shown_ = view->live->progress->out_time;
          co_return EventText(
              0, "progress",
              {{"job", job_}, {"state", store::NameOf(view->record.state)}, {"progress", ProgressAsJson(*view)}});
        }
      }
      const std::uint64_t version = view->version;
      const SteadyTime until = clock_.Now() + kForEver;
      co_await service_.Changed(job_, version, until);
    }
  }

 private:
  jobs::JobService& service_;
  const Clock& clock_;
  std::string job_;
  std::int64_t after_;
  std::uint64_t told_ = 0;
  MediaTime shown_{-1};
  bool ended_ = false;
};

class Api::Impl {
 public:
  Impl(const Clock& clock, jobs::JobService& service, const store::Artifacts& artifacts, Facts facts,
       std::function<SystemReading()> reading)
      : clock_(clock),
        service_(service),
        artifacts_(artifacts),
        facts_(std::move(facts)),
        reading_(std::move(reading)) {}

  awaitable<Response> Answer(Request request) {
    const SteadyTime began = clock_.Now();
    const std::string target = request.target;
    Response response;
    bool known_path = false;
    const Route* found = nullptr;
    for (const Route& route : Routes()) {
      if (!Matches(route, request)) {
        continue;
      }
      known_path = true;
      if (route.method == request.method || (route.method == Method::kGet && request.method == Method::kHead)) {
        found = &route;
        break;
      }
    }
    if (found == nullptr) {
      response =
          known_path
              ? http::Problem({.code = ErrorCode::kMethod, .detail = "this path does not take that method"}, target)
              : http::Problem(NoSuchRoute(request), target);
      if (known_path) {
        response.headers.emplace_back("Allow", AllowedAt(request));
      }
    } else if ((request.scopes & found->scope) == 0) {
      response = http::Problem(
          {.code = ErrorCode::kForbidden, .detail = "the token that came with this request does not allow it"},
          target);
    } else {
      auto answer = co_await (this->*found->handler)(std::move(request));
      response = answer ? *std::move(answer) : http::Problem(answer.error(), target);
    }
    if (!response.events) {
      window_.Add(clock_.Now() - began, response.status >= 500);
    }
    co_return response;
  }

 private:
  using Reply = awaitable<Result<Response>>;
  struct Route {
    Method method;
    std::vector<std::string_view> path;  // "*": any one segment
    http::Scope scope;
    Reply (Impl::*handler)(Request);
  };

  static const std::vector<Route>& Routes() {
    using enum Method;
    static const std::vector<Route> routes{
        {kGet, {"v1", "jobs", "*"}, http::kRead, &Impl::GetJob},
        {kPost, {"v1", "jobs"}, http::kSubmit, &Impl::PostJob},
        {kGet, {"v1", "jobs"}, http::kRead, &Impl::GetJobs},
        {kPatch, {"v1", "jobs", "*"}, http::kSubmit, &Impl::PatchJob},
        {kDelete, {"v1", "jobs", "*"}, http::kSubmit, &Impl::DeleteJob},
        {kGet, {"v1", "jobs", "*", "events"}, http::kRead, &Impl::GetJobEvents},
        {kGet, {"v1", "jobs", "*", "log"}, http::kRead, &Impl::GetLog},
        {kGet, {"v1", "jobs", "*", "artifacts"}, http::kRead, &Impl::GetArtifacts},
        {kGet, {"v1", "jobs", "*", "artifacts", "*"}, http::kRead, &Impl::GetArtifact},
        {kPost, {"v1", "jobs", "*", "cancel"}, http::kSubmit, &Impl::PostCancel},
        {kPost, {"v1", "jobs", "*", "pause"}, http::kSubmit, &Impl::PostPause},
        {kPost, {"v1", "jobs", "*", "resume"}, http::kSubmit, &Impl::PostResume},
        {kPost, {"v1", "jobs", "*", "retry"}, http::kSubmit, &Impl::PostRetry},
        {kGet, {"v1", "events"}, http::kRead, &Impl::GetEvents},
        {kPost, {"v1", "plan"}, http::kSubmit, &Impl::PostPlan},
        {kGet, {"v1", "recipes"}, http::kRead, &Impl::GetRecipes},
        {kGet, {"v1", "recipes", "*"}, http::kRead, &Impl::GetRecipe},
        {kPost, {"v1", "drain"}, http::kAdmin, &Impl::PostDrain},
        {kPost, {"v1", "undrain"}, http::kAdmin, &Impl::PostUndrain},
        {kGet, {"v1", "system"}, http::kRead, &Impl::GetSystem},
        {kGet, {"healthz"}, http::kRead, &Impl::GetHealthz},
        {kGet, {"readyz"}, http::kRead, &Impl::GetReadyz},
        {kGet, {"metrics"}, http::kRead, &Impl::GetMetrics},
        // Of the systems that Weir replaces.
        {kPost, {"video", "crop"}, http::kSubmit, &Impl::PostVideoCrop},
        {kGet, {"video", "info"}, http::kRead, &Impl::GetVideoInfo},
        {kGet, {"performance", "metrics"}, http::kRead, &Impl::GetPerformance},
        {kGet, {"health"}, http::kRead, &Impl::GetHealth},
        {kGet, {"health", "memory"}, http::kRead, &Impl::GetHealthMemory},
        {kGet, {"api", "diagnostics", "resources"}, http::kRead, &Impl::GetResources},
        {kPost, {"api", "diagnostics", "resources", "cleanup"}, http::kAdmin, &Impl::PostCleanup},
    };
    return routes;
  }

  static bool Matches(const Route& route, const Request& request) {
    if (route.path.size() != request.path.size()) {
      return false;
    }
    for (std::size_t i = 0; i < route.path.size(); ++i) {
      if (route.path[i] != "*" && route.path[i] != request.path[i]) {
        return false;
      }
    }
    return true;
  }

  static std::string AllowedAt(const Request& request) {
    std::string methods;
    for (const Route& route : Routes()) {
      if (Matches(route, request)) {
        methods += methods.empty() ? "" : ", ";
        methods += route.method == Method::kGet     ? "GET, HEAD"
                   : route.method == Method::kPost  ? "POST"
                   : route.method == Method::kPut   ? "PUT"
                   : route.method == Method::kPatch ? "PATCH"
                                                    : "DELETE";
      }
    }
    return methods;
  }

  // --- Jobs

  static Result<jobs::Submission> SubmissionOf(const Request& request) {
    WEIR_ASSIGN(const auto fields, Fields::Parse(request.body, {"recipe", "inputs", "params", "outputs", "overwrite",
                                                                "priority", "owner", "labels"}));
    jobs::Submission submission;
    WEIR_ASSIGN(const auto recipe, fields.Text("recipe", 64));
    WEIR_ASSIGN(const auto inputs, fields.Texts("inputs", 1));
    WEIR_ASSIGN(const auto outputs, fields.Texts("outputs", 1));
    WEIR_ASSIGN(const auto params, fields.Object("params"));
    WEIR_ASSIGN(const auto overwrite, fields.Boolean("overwrite"));
    WEIR_ASSIGN(const auto priority, fields.Integer("priority", 0, 100));
    WEIR_ASSIGN(const auto owner, fields.Text("owner", 128));
    WEIR_ASSIGN(auto labels, fields.Labels("labels"));
    if (!recipe) {
      return Fail(ErrorCode::kBadParameters, "\"recipe\" is missing; GET /v1/recipes lists them");
    }
    if (!inputs || inputs->empty()) {
      return Fail(ErrorCode::kBadParameters, "\"inputs\" is missing: a list of one path");
    }
    submission.recipe = *recipe;
    submission.input = inputs->front();
    submission.output = outputs && !outputs->empty() ? outputs->front() : std::string();
    submission.params = params.value_or("");
    submission.overwrite = overwrite.value_or(false);
    submission.priority = static_cast<int>(priority.value_or(50));
    submission.owner = owner.value_or(request.token_name);
    submission.labels = std::move(labels).value_or(std::map<std::string, std::string>());
    if (const auto* key = request.Header("idempotency-key")) {
      if (key->empty() || key->size() > 255) {
        return Fail(ErrorCode::kBadParameters, "Idempotency-Key is a text of 1 to 255 bytes");
      }
      submission.idempotency_key = *key;
    }
    return submission;
  }

  // The job when it has ended, or as it is after `seconds`.
  awaitable<Result<jobs::JobView>> WaitForEnd(std::string id, std::int64_t seconds) {
    const SteadyTime until = clock_.Now() + std::chrono::seconds(seconds);
    while (true) {
      auto view = service_.Find(id);
      if (!view || store::IsFinal(view->record.state) || clock_.Now() >= until) {
        co_return view;
      }
      co_await service_.Changed(id, view->version, until);
    }
  }

  awaitable<Result<jobs::JobView>> Submit(jobs::Submission submission, std::int64_t wait) {
    auto accepted =
        co_await Awaited<Result<jobs::JobView>>([&](auto done) { service_.Submit(submission, std::move(done)); });
    if (accepted && wait > 0) {
      accepted = co_await WaitForEnd(accepted->record.id, wait);
    }
    co_return accepted;
  }

  static int StatusOf(const jobs::JobView& view) { return store::IsFinal(view.record.state) ? 200 : 202; }

  Reply PostJob(Request request) {
    auto submission = SubmissionOf(request);
    if (!submission) {
      co_return Fail(std::move(submission).error());
    }
    auto view = co_await Submit(*std::move(submission), WaitOf(request));
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    auto response = JsonOf(StatusOf(*view), JobAsJson(*view));
    response.headers.emplace_back("Location", "/v1/jobs/" + view->record.id);
    co_return response;
  }

  Reply GetJob(Request request) {
    const std::int64_t wait = WaitOf(request);
    auto view = service_.Find(request.path[2]);
    if (view && wait > 0) {
      view = co_await WaitForEnd(request.path[2], wait);
    }
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    Response response;
    response.headers = {{"Content-Type", "application/json"}};
    response.shared_body = rendered_.Of(*view);
    co_return response;
  }

  Reply GetJobs(Request request) {
    store::JobFilter filter;
    std::int64_t before = 0;
    std::size_t limit = kPerPage;
    for (const auto& [name, value] : request.query) {
      if (name == "state") {
        filter.state = store::JobStateOf(value);
        if (!filter.state) {
          co_return Fail(ErrorCode::kBadParameters, Quoted(value) + " is not a state of a job");
        }
      } else if (name == "recipe") {
        filter.recipe = value;
      } else if (name == "owner") {
        filter.owner = value;
      } else if (name == "label") {
        const std::size_t equals = value.find('=');
        if (equals == std::string::npos || equals == 0) {
          co_return Fail(ErrorCode::kBadParameters, "label is written as name=value");
        }
        filter.label_key = value.substr(0, equals);
        filter.label_value = value.substr(equals + 1);
      } else if (name == "cursor") {
        const auto number = ParseUnsigned(value);
        if (!number || *number == 0 || *number > 9'000'000'000'000'000'000U) {
          co_return Fail(ErrorCode::kBadParameters, "this cursor was not given by a page before; start without one");
        }
        before = static_cast<std::int64_t>(*number);
      } else if (name == "limit") {
        const auto number = ParseUnsigned(value);
        if (!number || *number < 1 || *number > kMostPerPage) {
          co_return Fail(ErrorCode::kBadParameters, "limit is a number from 1 to " + std::to_string(kMostPerPage));
        }
        limit = static_cast<std::size_t>(*number);
      } else {
        const auto nearest = NearestName(name, {"state", "recipe", "owner", "label", "cursor", "limit"});
        co_return Fail(ErrorCode::kBadParameters,
                       Quoted(name) + " is not known here" + (nearest ? "; did you mean \"" + *nearest + "\"?" : ""));
      }
    }
    auto views = service_.List(filter, before, limit);
    if (!views) {
      co_return Fail(std::move(views).error());
    }
    std::vector<std::shared_ptr<const std::string>> jobs;
    jobs.reserve(views->size());
    std::size_t size = 64;
    for (const auto& view : *views) {
      jobs.push_back(rendered_.Of(view));
      size += jobs.back()->size() + 1;
    }
    Response response;
    response.headers = {{"Content-Type", "application/json"}};
    response.body.reserve(size);
    response.body = R"({"jobs":[)";
    for (const auto& job : jobs) {
      response.body += job == jobs.front() ? "" : ",";
      response.body += *job;
    }
    response.body += R"(],"next":)";
    response.body += views->size() == limit ? "\"" + std::to_string(views->back().record.number) + "\"" : "null";
    response.body += "}\n";
    co_return response;
  }

  Reply Act(Request request, void (jobs::JobService::*act)(const std::string&, jobs::Answer)) {
    auto view = co_await Awaited<Result<jobs::JobView>>(
        [&](auto done) { (service_.*act)(request.path[2], std::move(done)); });
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    co_return JsonOf(200, JobAsJson(*view));
  }
  Reply PostCancel(Request request) { return Act(std::move(request), &jobs::JobService::Cancel); }
  Reply PostPause(Request request) { return Act(std::move(request), &jobs::JobService::Pause); }
  Reply PostResume(Request request) { return Act(std::move(request), &jobs::JobService::Resume); }
  Reply PostRetry(Request request) { return Act(std::move(request), &jobs::JobService::Retry); }

  Reply DeleteJob(Request request) {
    auto view = co_await Awaited<Result<jobs::JobView>>(
        [&](auto done) { service_.Remove(request.path[2], std::move(done)); });
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    Response response;
    response.status = 204;
    co_return response;
  }

  Reply PatchJob(Request request) {
    const auto fields = Fields::Parse(request.body, {"priority", "labels"});
    if (!fields) {
      co_return Fail(fields.error());
    }
    const auto priority = fields->Integer("priority", 0, 100);
    auto labels = fields->Labels("labels");
    if (!priority || !labels) {
      co_return Fail(priority ? labels.error() : priority.error());
    }
    std::optional<int> wanted;
    if (*priority) {
      wanted = static_cast<int>(**priority);
    }
    auto view = co_await Awaited<Result<jobs::JobView>>(
        [&](auto done) { service_.Change(request.path[2], wanted, *std::move(labels), std::move(done)); });
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    co_return JsonOf(200, JobAsJson(*view));
  }

  Result<Response> FeedOf(const Request& request, const std::string& job) {
    std::int64_t after = 0;
    const auto* last = request.Header("last-event-id");
    if (last == nullptr) {
      last = request.Query("after");
    }
    if (last != nullptr) {
      const auto id = ParseUnsigned(*last);
      if (!id || *id > 9'000'000'000'000'000'000U) {
        return Fail(ErrorCode::kBadParameters, "Last-Event-ID is the id of an event that was sent before");
      }
      after = static_cast<std::int64_t>(*id);
    }
    Response response;
    response.events = std::make_unique<Feed>(service_, clock_, job, after);
    return response;
  }

  Reply GetJobEvents(Request request) {
    if (auto view = service_.Find(request.path[2]); !view) {
      co_return Fail(std::move(view).error());
    }
    co_return FeedOf(request, request.path[2]);
  }
  Reply GetEvents(Request request) { co_return FeedOf(request, {}); }

  Reply GetLog(Request request) {
    if (auto view = service_.Find(request.path[2]); !view) {
      co_return Fail(std::move(view).error());
    }
    json::array lines;
    auto events = service_.Events(request.path[2], 0, kMostPerPage);
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

  Reply GetArtifacts(Request request) {
    auto view = service_.Find(request.path[2]);
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    co_return JsonOf(200, json::object{{"artifacts", JobAsJson(*view).at("artifacts")}});
  }

  Reply GetArtifact(Request request) {
    auto view = service_.Find(request.path[2]);
    if (!view) {
      co_return Fail(std::move(view).error());
    }
    if (view->record.state != store::JobState::kSucceeded) {
      co_return Fail(ErrorCode::kNotFound,
                     "job " + view->record.id + " is " + store::NameOf(view->record.state) + "; it has no artefacts");
    }
    auto file = artifacts_.OpenFile(view->record.id, request.path[4]);
    if (!file) {
      co_return Fail(std::move(file).error());
    }
    Response response;
    response.headers = {{"Content-Type", TypeOfName(request.path[4])}};
    response.file =
        http::FileBody{.fd = std::move(file->fd),
                       .size = file->size,
                       .etag = "\"" + view->record.id + "-" + std::to_string(view->record.attempt) + "\""};
    co_return response;
  }

  Reply PostPlan(Request request) {
    auto submission = SubmissionOf(request);
    if (!submission) {
      co_return Fail(std::move(submission).error());
    }
    auto account =
        co_await Awaited<Result<jobs::Account>>([&](auto done) { service_.Forecast(*submission, std::move(done)); });
    if (!account) {
      co_return Fail(std::move(account).error());
    }
    json::array ladder;
    for (const auto& plan : account->ladder.plans) {
      ladder.push_back(jobs::PlanAsJson(plan));
    }
    json::object out{{"ladder", std::move(ladder)},
                     {"notes", jobs::Strings(account->ladder.notes)},
                     {"input", jobs::FactsAsJson(account->source)},
                     {"budget_bytes", reading_().budget.count()}};
    out["chosen"] =
        account->chosen ? json::value(jobs::Text(account->ladder.plans[*account->chosen].name)) : json::value();
    out["refusal"] = account->refusal ? json::value(jobs::ErrorAsJson(*account->refusal)) : json::value();
    co_return JsonOf(200, out);
  }

  Reply GetRecipes(Request /*request*/) {
    json::array recipes;
    for (const auto& name : media::RecipeNames()) {
      recipes.push_back(Document(media::DescribeRecipe(name)));
    }
    co_return JsonOf(200, json::object{{"recipes", std::move(recipes)}});
  }

  Reply GetRecipe(Request request) {
    const std::string text = media::DescribeRecipe(request.path[2]);
    if (text.empty()) {
      const auto nearest = NearestName(request.path[2], media::RecipeNames());
      co_return Fail(ErrorCode::kNotFound, "there is no recipe " + Quoted(request.path[2]) +
                                               (nearest ? "; did you mean \"" + *nearest + "\"?" : ""));
    }
    co_return JsonOf(200, Document(text));
  }

  Response Drain(bool draining) {
    service_.SetDraining(draining);
    return JsonOf(200, json::object{{"draining", draining}});
  }
  Reply PostDrain(Request /*request*/) { co_return Drain(true); }
  Reply PostUndrain(Request /*request*/) { co_return Drain(false); }

  // --- The system

  SystemView View() {
    return {.reading = reading_(),
            .facts = facts_,
            .figures = service_.figures(),
            .window = window_,
            .now = clock_.Now(),
            .date = clock_.WallNow()};
  }

  Reply GetSystem(Request /*request*/) { co_return JsonOf(200, SystemAsJson(View())); }
  Reply GetHealthz(Request /*request*/) { co_return JsonOf(200, json::object{{"status", "alive"}}); }
  Reply GetReadyz(Request /*request*/) {
    const auto view = View();
    const std::string why = view.figures.draining ? "draining" : view.reading.not_ready;
    auto response =
        JsonOf(why.empty() ? 200 : 503, json::object{{"ready", why.empty()},
                                                     {"reason", why.empty() ? json::value() : json::value(why)},
                                                     {"backend", view.reading.backend}});
    if (!why.empty()) {
      response.headers.emplace_back("Retry-After", "10");
    }
    co_return response;
  }
  Reply GetMetrics(Request /*request*/) {
    Response response;
    response.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}};
    response.body = Metrics(View());
    co_return response;
  }

  // --- Of the systems that Weir replaces

  static json::object Enveloped(json::value data) { return {{"success", true}, {"data", std::move(data)}}; }

  Reply PostVideoCrop(Request request) {
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
    auto view = co_await Submit(*std::move(submission), WaitOf(request));
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

  // Where the result is, once it is: the place that the caller named, or the artefact's address.
  static json::value PathOf(const json::object& job) {
    const auto& artifacts = job.at("artifacts").as_array();
    if (artifacts.empty()) {
      return nullptr;
    }
    const auto& artifact = artifacts.front().as_object();
    return artifact.contains("path") ? artifact.at("path") : artifact.at("url");
  }

  static Result<jobs::Submission> CropOf(const Fields& fields) {
    WEIR_ASSIGN(const auto input, fields.Text("inputPath"));
    WEIR_ASSIGN(const auto output, fields.Text("outputPath"));
    WEIR_ASSIGN(const auto aspect, fields.Text("aspectRatio", 16));
    WEIR_ASSIGN(const auto focus, fields.Text("focusPoint", 32));
    WEIR_ASSIGN(const auto smart, fields.Boolean("smartCrop"));
    if (!input) {
      return Fail(ErrorCode::kBadParameters, "\"inputPath\" is missing");
    }
    if (smart.value_or(false)) {
      return Fail(
          ErrorCode::kBadParameters,
          "\"smartCrop\" cannot be done here: nothing in this installation finds subjects; give a focusPoint");
    }
    json::object params{{"aspect", aspect.value_or("9:16")}, {"focus", focus.value_or("center")}};
    // The system that this route comes from replaced whatever stood at the output.
    return jobs::Submission{.recipe = "crop",
                            .params = json::serialize(params),
                            .input = *input,
                            .output = output.value_or(""),
                            .overwrite = output.has_value()};
  }

  Reply GetVideoInfo(Request request) {
    const auto* path = request.Query("path");
    if (path == nullptr) {
      co_return Fail(ErrorCode::kBadParameters, "the query needs path=...");
    }
    auto account = co_await Awaited<Result<jobs::Account>>(
        [&](auto done) { service_.Forecast({.input = *path}, std::move(done)); });
    if (!account) {
      co_return Fail(std::move(account).error());
    }
    co_return JsonOf(200, Enveloped(VideoInfoAsJson(*path, account->source)));
  }

  Reply GetPerformance(Request /*request*/) { co_return JsonOf(200, Enveloped(PerformanceAsJson(View()))); }
  Reply GetHealth(Request /*request*/) {
    const auto view = View();
    co_return JsonOf(view.reading.not_ready.empty() ? 200 : 503, HealthAsJson(view));
  }
  Reply GetHealthMemory(Request /*request*/) { co_return JsonOf(200, HealthMemoryAsJson(View())); }
  Reply GetResources(Request /*request*/) { co_return JsonOf(200, ResourcesAsJson(View())); }
  Reply PostCleanup(Request /*request*/) {
    const auto before = reading_();
    service_.Sweep();
    const auto view = View();
    const auto freed = before.own_memory - view.reading.own_memory;
    co_return JsonOf(200, json::object{{"status", "done"},
                                       {"freedBytes", freed.count()},
                                       {"metricsAfter", ResourcesAsJson(view)},
                                       {"timestamp", ToRfc3339(view.date)}});
  }

  const Clock& clock_;
  jobs::JobService& service_;
  const store::Artifacts& artifacts_;
  Facts facts_;
  std::function<SystemReading()> reading_;
  Window window_;
  Rendered rendered_{Bytes::Mib(1)};
};

Api::Api(const Clock& clock, jobs::JobService& service, const store::Artifacts& artifacts, Facts facts,
         std::function<SystemReading()> reading)
    : impl_(std::make_unique<Impl>(clock, service, artifacts, std::move(facts), std::move(reading))) {}
Api::~Api() = default;
awaitable<Response> Api::Answer(Request request) { return impl_->Answer(std::move(request)); }

}  // namespace weir::api
