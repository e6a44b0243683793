#include "api/api.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "api/context.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "base/text.h"

namespace weir::api {
namespace {

using boost::asio::awaitable;
using http::Request;
using http::Response;

constexpr std::chrono::minutes kDocumentIdle{5};
constexpr const char* kRetryAfter = "10";  // seconds, of answers that do not know better

const Route* RouteOf(const Request& request) {
  const auto& routes = Routes();
  const auto found = std::ranges::find_if(
      routes, [&](const Route& route) { return route.IsFor(request.method) && route.Matches(request.path); });
  return found == routes.end() ? nullptr : &*found;
}

// A misspelt parameter would silently be another question, and of two of one name only one could be honoured.
// Callers of the replaced systems may add what they like.
Status CheckQuery(const Route& route, const Request& request) {
  if (request.query.empty()) {
    return {};
  }
  const bool is_ours = route.segments.front() == "v1";
  const auto known = QueryNamesOf(route);
  for (auto item = request.query.begin(); item != request.query.end(); ++item) {
    const std::string& name = item->first;
    if (std::ranges::find(known, name) == known.end()) {
      if (!is_ours) {
        continue;
      }
      const auto nearest = NearestName(name, known);
      return Fail(Error{.code = ErrorCode::kBadParameters,
                        .detail = Quoted(name) + " is not known in the query here" +
                                  (nearest ? "; did you mean \"" + *nearest + "\"?" : "")}
                      .With("field", Printable(name)));
    }
    if (std::any_of(request.query.begin(), item, [&](const auto& before) { return before.first == name; })) {
      return Fail(
          Error{.code = ErrorCode::kBadParameters, .detail = "\"" + name + "\" is given twice in the query"}.With(
              "field", name));
    }
  }
  return {};
}

// What a body is said to be. Every body is JSON; what curl -d and a browser's fetch() say of any text is taken for
// it.
Status CheckBody(const Route& route, const Request& request) {
  const std::string* header = request.Header("content-type");
  if (route.body.empty() || request.body.empty() || header == nullptr) {
    return {};
  }
  const std::string_view type = Trim(std::string_view(*header).substr(0, header->find(';')));
  constexpr std::array<std::string_view, 3> kTaken{"application/json", "application/x-www-form-urlencoded",
                                                   "text/plain"};
  constexpr std::string_view kFamily = "application/";
  constexpr std::string_view kSuffix = "+json";
  const bool is_variant = type.size() > kFamily.size() + kSuffix.size() &&
                          EqualsIgnoreCase(type.substr(0, kFamily.size()), kFamily) &&
                          EqualsIgnoreCase(type.substr(type.size() - kSuffix.size()), kSuffix);
  if (type.empty() || is_variant ||
      std::ranges::any_of(kTaken, [&](std::string_view taken) { return EqualsIgnoreCase(type, taken); })) {
    return {};
  }
  return Fail(ErrorCode::kMediaType,
              "a body of type " + Quoted(type) + " is not read here; send JSON as application/json");
}

Response NoRoute(const Request& request) {
  const std::string allowed = AllowedAt(request.path);
  if (allowed.empty()) {
    return http::Problem({.code = ErrorCode::kNotFound, .detail = "there is nothing at " + Quoted(request.target)},
                         request.target);
  }
  auto response =
      http::Problem({.code = ErrorCode::kMethod, .detail = "this path does not take that method"}, request.target);
  response.headers.emplace_back("Allow", allowed);
  return response;
}

}  // namespace

class Api::Impl {
 public:
  Impl(const Clock& clock, jobs::JobService& service, const store::Artifacts& artifacts, Facts facts,
       std::function<SystemReading()> reading, std::function<Bytes()> clean_up,
       std::function<GovernanceHistory()> history)
      : context_{.clock = clock,
                 .service = service,
                 .artifacts = artifacts,
                 .facts = std::move(facts),
                 .reading = std::move(reading),
                 .clean_up = std::move(clean_up),
                 .history = std::move(history),
                 .document = LazyText(clock, kDocumentIdle, [this] { return DocumentOf(context_.facts.version); })} {}

  awaitable<Response> Answer(Request request) {
    const SteadyTime began = context_.clock.Now();
    const std::string target = request.target;
    const Route* route = RouteOf(request);
    Response response;
    if (route == nullptr) {
      response = NoRoute(request);
    } else if ((request.scopes & route->scope) == 0) {
      response = http::Problem(
          {.code = ErrorCode::kForbidden, .detail = "the token that came with this request does not allow it"},
          target);
    } else if (const auto known = CheckQuery(*route, request); !known) {
      response = http::Problem(known.error(), target);
    } else if (const auto readable = CheckBody(*route, request); !readable) {
      response = http::Problem(readable.error(), target);
    } else {
      auto answer = co_await route->handler(context_, std::move(request));
      response = answer ? *std::move(answer) : http::Problem(answer.error(), target);
    }
    if (response.status == 429 || response.status == 503) {
      SayWhenToComeAgain(response);
    }
    if (!response.events) {
      context_.window.Add(context_.clock.Now() - began, response.status >= 500);
    }
    co_return response;
  }

  [[nodiscard]] DocumentState document() const { return context_.document.state(); }
  [[nodiscard]] Bytes bytes() const {
    const auto state = document();
    return context_.rendered.bytes() + context_.unchanged.bytes() + (state.loaded ? state.size : Bytes());
  }
  void LetGo() {
    context_.document.LetGo();
    context_.rendered.LetGo();
    context_.unchanged.LetGo();
  }

 private:
  static void SayWhenToComeAgain(Response& response) {
    const bool said =
        std::ranges::any_of(response.headers, [](const auto& header) { return header.first == "Retry-After"; });
    if (!said) {
      response.headers.emplace_back("Retry-After", kRetryAfter);
    }
  }

  Context context_;
};

Api::Api(const Clock& clock, jobs::JobService& service, const store::Artifacts& artifacts, Facts facts,
         std::function<SystemReading()> reading, std::function<Bytes()> clean_up,
         std::function<GovernanceHistory()> history)
    : impl_(std::make_unique<Impl>(clock, service, artifacts, std::move(facts), std::move(reading),
                                   std::move(clean_up), std::move(history))) {}
Api::~Api() = default;
awaitable<Response> Api::Answer(Request request) { return impl_->Answer(std::move(request)); }
DocumentState Api::document() const { return impl_->document(); }
Bytes Api::bytes() const { return impl_->bytes(); }
void Api::LetGo() { impl_->LetGo(); }

}  // namespace weir::api
