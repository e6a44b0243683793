#include "api/job_routes.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/fields.h"
#include "api/job_json.h"
#include "api/schema.h"
#include "api/submission.h"
#include "base/text.h"
#include "http/answer.h"
#include "media/recipe.h"
#include "media/request_json.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using http::Request;
using http::Response;

constexpr std::size_t kMostPerPage = 1000;
constexpr std::size_t kPerPage = 50;
constexpr std::uint64_t kLargestCursor = 9'000'000'000'000'000'000U;

Response JsonText(std::shared_ptr<const std::string> text) {
  Response response;
  response.headers = {{"Content-Type", "application/json"}};
  response.shared_body = std::move(text);
  return response;
}

// The job when it has ended, or as it is after `seconds`.
awaitable<Result<jobs::JobView>> WaitForEnd(Context& context, std::string id, std::int64_t seconds) {
  const SteadyTime until = context.clock.Now() + std::chrono::seconds(seconds);
  while (true) {
    auto view = context.service.Find(id);
    if (!view || store::IsFinal(view->record.state) || context.clock.Now() >= until) {
      co_return view;
    }
    co_await context.service.Changed(id, view->version, until);
  }
}

struct Page {
  store::JobFilter filter;
  std::int64_t before = 0;
  std::size_t limit = kPerPage;
};

// A word of the query that has to be one of a few.
std::unexpected<Error> NoSuch(const char* what, const std::string& name, const std::string& value,
                              const std::vector<std::string>& known) {
  const auto nearest = NearestName(value, known);
  std::string all;
  for (const auto& word : known) {
    all += (all.empty() ? "" : ", ") + word;
  }
  return Fail(Error{.code = ErrorCode::kBadParameters,
                    .detail = Quoted(value) + " is not " + what + "; " +
                              (nearest ? "did you mean \"" + *nearest + "\"?" : "there are: " + all)}
                  .With("field", name));
}

Result<Page> PageOf(const Request& request) {
  Page page;
  for (const auto& [name, value] : request.query) {
    if (name == "state") {
      page.filter.state = store::JobStateOf(value);
      if (!page.filter.state) {
        return NoSuch("a state of a job", name, value, StateNames());
      }
    } else if (name == "recipe") {
      if (std::ranges::find(media::RecipeNames(), value) == media::RecipeNames().end()) {
        return NoSuch("a recipe", name, value, media::RecipeNames());
      }
      page.filter.recipe = value;
    } else if (name == "owner") {
      page.filter.owner = value;
    } else if (name == "batch") {
      page.filter.batch = value;
    } else if (name == "label") {
      const std::size_t equals = value.find('=');
      if (equals == std::string::npos || equals == 0) {
        return Fail(ErrorCode::kBadParameters, "label is written as name=value");
      }
      page.filter.label_key = value.substr(0, equals);
      page.filter.label_value = value.substr(equals + 1);
    } else if (name == "cursor") {
      const auto number = ParseUnsigned(value);
      if (!number || *number == 0 || *number > kLargestCursor) {
        return Fail(ErrorCode::kBadParameters, "this cursor was not given by a page before; start without one");
      }
      page.before = static_cast<std::int64_t>(*number);
    } else {  // limit
      const auto number = ParseUnsigned(value);
      if (!number || *number < 1 || *number > kMostPerPage) {
        return Fail(ErrorCode::kBadParameters, "limit is a number from 1 to " + std::to_string(kMostPerPage));
      }
      page.limit = static_cast<std::size_t>(*number);
    }
  }
  return page;
}

// The names in the body of a retry.
Result<std::vector<std::string>> OutputsIn(const std::string& body) {
  WEIR_ASSIGN(const auto fields, Fields::Parse(body, {"outputs"}));
  WEIR_ASSIGN(auto outputs, fields.Texts("outputs", kMostPerPage));
  return std::move(outputs).value_or(std::vector<std::string>());
}

// What the one output of a job is called, whether it is there or not.
std::string OutputNameOf(const store::JobRecord& record) {
  const auto request = Document(record.request);
  const auto* output = request.if_contains("output");
  if (output != nullptr && output->is_string() && !output->as_string().empty()) {
    const std::string path(output->as_string());
    return path.substr(path.rfind('/') + 1);
  }
  const auto* params = request.if_contains("params");
  const auto read = media::RequestFromJson(record.recipe, params != nullptr ? json::serialize(*params) : "", "");
  return read ? record.recipe + "." + std::string(media::ExtensionOf(read->output)) : record.recipe;
}

Reply Act(Context& context, Request request, void (jobs::JobService::*act)(const std::string&, jobs::Answer)) {
  auto view = co_await Awaited<Result<jobs::JobView>>(
      [&](auto done) { (context.service.*act)(request.path[2], std::move(done)); });
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  co_return JsonOf(200, JobAsJson(*view));
}

}  // namespace

awaitable<Result<jobs::JobView>> Submit(Context& context, jobs::Submission submission, std::int64_t wait) {
  auto accepted = co_await Awaited<Result<jobs::JobView>>(
      [&](auto done) { context.service.Submit(submission, std::move(done)); });
  if (accepted && wait > 0) {
    accepted = co_await WaitForEnd(context, accepted->record.id, wait);
  }
  co_return accepted;
}

int StatusOf(const jobs::JobView& view) { return store::IsFinal(view.record.state) ? 200 : 202; }

Reply PostJob(Context& context, Request request) {
  auto submission = SubmissionOf(request);
  request.DropBody();
  if (!submission) {
    co_return Fail(std::move(submission).error());
  }
  auto view = co_await Submit(context, *std::move(submission), WaitOf(request));
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  auto response = JsonOf(StatusOf(*view), JobAsJson(*view));
  response.headers.emplace_back("Location", "/v1/jobs/" + view->record.id);
  co_return response;
}

Reply GetJob(Context& context, Request request) {
  const std::int64_t wait = WaitOf(request);
  if (auto text = context.unchanged.Find(request.target, context.service.version())) {
    co_return JsonText(std::move(text));
  }
  auto view = context.service.Find(request.path[2]);
  if (view && wait > 0) {
    view = co_await WaitForEnd(context, request.path[2], wait);
  }
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  auto text = context.rendered.Of(*view);
  if (store::IsFinal(view->record.state)) {
    context.unchanged.Keep(request.target, context.service.version(), text);
  }
  co_return JsonText(std::move(text));
}

Reply GetJobs(Context& context, Request request) {
  if (auto text = context.unchanged.Find(request.target, context.service.version())) {
    co_return JsonText(std::move(text));
  }
  const auto page = PageOf(request);
  if (!page) {
    co_return Fail(page.error());
  }
  auto views = context.service.List(page->filter, page->before, page->limit);
  if (!views) {
    co_return Fail(std::move(views).error());
  }
  std::vector<std::shared_ptr<const std::string>> jobs;
  jobs.reserve(views->jobs.size());
  std::size_t size = 64;
  bool final = true;
  for (auto& view : views->jobs) {
    if (view.live) {
      // The service tells them only of some: finding each place takes a walk along the whole line.
      view.live->position.reset();
      view.live->wait = {};
    }
    jobs.push_back(context.rendered.Of(view));
    size += jobs.back()->size() + 1;
    final = final && store::IsFinal(view.record.state);
  }
  std::string text;
  text.reserve(size);
  text = R"({"jobs":[)";
  for (const auto& job : jobs) {
    text += job == jobs.front() ? "" : ",";
    text += *job;
  }
  text += R"(],"next":)";
  text += views->next == 0 ? "null" : "\"" + std::to_string(views->next) + "\"";
  text += "}\n";
  auto whole = std::make_shared<const std::string>(std::move(text));
  if (final) {
    context.unchanged.Keep(request.target, context.service.version(), whole);
  }
  co_return JsonText(std::move(whole));
}

Reply PatchJob(Context& context, Request request) {
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
      [&](auto done) { context.service.Change(request.path[2], wanted, *std::move(labels), std::move(done)); });
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  co_return JsonOf(200, JobAsJson(*view));
}

Reply DeleteJob(Context& context, Request request) {
  auto view = co_await Awaited<Result<jobs::JobView>>(
      [&](auto done) { context.service.Remove(request.path[2], std::move(done)); });
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  Response response;
  response.status = 204;
  co_return response;
}

Reply PostCancel(Context& context, Request request) {
  return Act(context, std::move(request), &jobs::JobService::Cancel);
}
Reply PostPause(Context& context, Request request) {
  return Act(context, std::move(request), &jobs::JobService::Pause);
}
Reply PostResume(Context& context, Request request) {
  return Act(context, std::move(request), &jobs::JobService::Resume);
}
Reply PostRetry(Context& context, Request request) {
  if (!request.body.empty()) {
    const auto outputs = OutputsIn(request.body);
    auto view = context.service.Find(request.path[2]);
    if (!outputs || !view) {
      co_return Fail(outputs ? std::move(view).error() : outputs.error());
    }
    const std::string name = OutputNameOf(view->record);
    for (const auto& output : *outputs) {
      if (output != name) {
        const Error error = Error{.code = ErrorCode::kBadParameters,
                                  .detail = "job " + view->record.id + " has no output " + Quoted(output) +
                                            "; it makes " + Quoted(name)}
                                .With("output", Printable(output));
        co_return http::ProblemAs(422, error, request.target);
      }
    }
  }
  auto answer = co_await Act(context, std::move(request), &jobs::JobService::Retry);
  co_return answer;
}

}  // namespace weir::api
