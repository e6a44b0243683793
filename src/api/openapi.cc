#include "api/openapi.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "api/routes.h"
#include "api/schema.h"
#include "http/answer.h"
#include "media/json_text.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using enum ErrorCode;

constexpr const char* kDescription =
    "Every GET also answers HEAD. Times are RFC 3339 in UTC, sizes whole bytes (_bytes), durations seconds "
    "(_seconds). Errors are RFC 9457 problems; the last part of their type is a name of the table of exit codes.";

constexpr const char* kBodies =
    "JSON, sent as application/json, as application/*+json, or without a type. What is sent as "
    "application/x-www-form-urlencoded (as curl -d does) or as text/plain (as fetch does) is read as JSON too; any "
    "other type is refused.";

// What any call may end with before its route is asked: bytes, size, time, who calls, how often.
constexpr std::array kAnywhere{400, 401, 403, 408, 413, 417, 429, 431, 500, 501};
// And what a request ends with that reaches no route.
constexpr std::array kNowhere{400, 401, 403, 404, 405, 408, 413, 417, 429, 431, 500, 501};

// Statuses other than the error table's that an error can have.
struct Elsewhere {
  int status;
  ErrorCode code;
};
constexpr std::array kElsewhere{Elsewhere{408, kTimedOut},  Elsewhere{416, kBadParameters},
                                Elsewhere{417, kMalformed}, Elsewhere{422, kBadParameters},
                                Elsewhere{431, kTooLarge},  Elsewhere{501, kMethod},
                                Elsewhere{501, kMalformed}};

json::object RefTo(std::string_view kind, std::string_view name) {
  return {{"$ref", "#/components/" + std::string(kind) + "/" + std::string(name)}};
}
std::string ProblemName(int status) { return "Problem" + std::to_string(status); }

// ---- Parameters and headers

json::object Parameters() {
  json::object out;
  const auto add = [&](std::string_view parameter, json::object schema, const char* description) -> json::object& {
    const auto& place = PlaceOf(parameter);
    return out
        .emplace(parameter, json::object{{"name", place.name},
                                         {"in", place.in_query ? "query" : "header"},
                                         {"schema", std::move(schema)},
                                         {"description", description}})
        .first->value()
        .as_object();
  };
  add("IdempotencyKey", Text(1, 255),
      "Under one key of one owner there is one job, or one batch; another request is refused.");
  add("Prefer", Text(), "wait=N: answers when the job has ended, at most N seconds later, at most 600.");
  add("LastEventId", Matching("^[0-9]+$"),
      "Begins behind the event with this id; without it, with the first event that is stored.");
  add("After", Matching("^([0-9]+|now)$"),
      "As Last-Event-ID, which counts when both are given. now: nothing that was before, only what comes next.");
  add("Range", Text(), "bytes=0-99: one range is honoured.");
  add("IfRange", Text(), "An ETag; with another one the answer is the whole.");
  add("IfNoneMatch", Text(), "ETags; with the right one the answer is 304.");
  add("State", Ref("State"), "Only those in this state.");
  add("Recipe", Ref("RecipeName"), "Only those of this recipe.");
  add("Owner", Text(), "Only those of this owner.");
  add("Batch", Text(), "Only those that came with this batch.");
  add("Label", Matching("^[^=]+="), "name=value: only those with this label.");
  auto limit = Whole(1, 1000);
  limit["default"] = 50;
  add("Limit", std::move(limit), "How many at most.");
  add("Cursor", Matching("^[1-9][0-9]*$"), "The next of the page before.");
  add("VideoPath", Text(1), "A file below the media roots.")["required"] = true;
  return out;
}

json::object Headers() {
  const auto header = [](json::object schema, const char* description) {
    return json::object{{"required", true}, {"schema", std::move(schema)}, {"description", description}};
  };
  json::object out;
  out["Location"] = header(Matching("^/v1/"), "Where it is.");
  out["Retry-After"] = header(Whole(1), "Seconds after which to come again.");
  out["ETag"] = header(Matching("^\"[^\"]+\"$"), "Strong.");
  out["Accept-Ranges"] = header(Always("bytes"), "");
  out["Content-Range"] = header(Matching("^bytes ([0-9]+-[0-9]+|\\*)/[0-9]+$"), "");
  out["Allow"] = header(Text(3), "The methods that the path takes.");
  out["WWW-Authenticate"] = header(Text(6), "");
  return out;
}

json::object HeadersOf(const std::vector<std::string_view>& names) {
  json::object out;
  for (const auto name : names) {
    out[name] = RefTo("headers", name);
  }
  return out;
}

// ---- Answers

json::object ProblemSchema() {
  json::array types;
  for (const auto& name : ErrorNames()) {
    types.push_back(json::string("https://weir.invalid/problems/" + name));
  }
  Members members{{"type", {{"type", "string"}, {"format", "uri"}, {"enum", std::move(types)}}},
                  {"title", Text(1)},
                  {"status", Whole(400, 599)},
                  {"detail", Text(1)},
                  {"instance", Described(Text(), "The target of the request.")}};
  auto more = ErrorMembers();
  members.insert(members.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return Object(members);
}

// The types that problems of a status can have.
json::array TypesOf(int status) {
  json::array types;
  const auto add = [&](std::string_view name) {
    types.push_back(json::string("https://weir.invalid/problems/" + std::string(name)));
  };
  for (const auto& row : ErrorTable()) {
    if (row.http_status == status) {
      add(row.name);
    }
  }
  for (const auto& other : kElsewhere) {
    if (other.status == status && InfoOf(other.code).http_status != status) {
      add(InfoOf(other.code).name);
    }
  }
  return types;
}

json::object ProblemAnswer(int status) {
  const json::object narrowed{
      {"allOf",
       json::array{Ref("Problem"),
                   json::object{{"properties", json::object{{"status", Always(status)},
                                                            {"type", json::object{{"enum", TypesOf(status)}}}}}}}}};
  std::vector<std::string_view> headers;
  if (status == 401) {
    headers.emplace_back("WWW-Authenticate");
  } else if (status == 405) {
    headers.emplace_back("Allow");
  } else if (status == 416) {
    headers.emplace_back("Content-Range");
  } else if (status == 429 || status == 503) {
    headers.emplace_back("Retry-After");
  }
  json::object out{{"description", json::string(http::ReasonOf(status))},
                   {"content", json::object{{"application/problem+json", json::object{{"schema", narrowed}}}}}};
  if (!headers.empty()) {
    out["headers"] = HeadersOf(headers);
  }
  return out;
}

json::object Content(const Answer& answer) {
  json::object out;
  if (answer.type == kAnyMedia) {
    for (const auto& type : MediaTypes()) {
      out[type] = json::object();
    }
    return out;
  }
  json::object body{{"schema", Ref(answer.schema)}};
  if (answer.schema == "EventStream") {
    body["x-events"] = json::object{{"state", Ref("StateEvent")},
                                    {"note", Ref("NoteEvent")},
                                    {"decision", Ref("DecisionEvent")},
                                    {"progress", Ref("ProgressEvent")}};
  }
  out[answer.type] = std::move(body);
  return out;
}

json::object AnswerOf(const Answer& answer) {
  json::object out{{"description", json::string(answer.description)}};
  if (!answer.headers.empty()) {
    out["headers"] = HeadersOf(answer.headers);
  }
  if (!answer.type.empty()) {
    out["content"] = Content(answer);
  }
  return out;
}

std::set<int> ProblemsOf(const Route& route) {
  std::set<int> statuses(kAnywhere.begin(), kAnywhere.end());
  for (const auto code : route.errors) {
    statuses.insert(InfoOf(code).http_status);
  }
  statuses.insert(route.other_errors.begin(), route.other_errors.end());
  if (!route.body.empty()) {
    statuses.insert(InfoOf(kMediaType).http_status);
  }
  return statuses;
}

// ---- Routes

json::array Security(http::Scope scope) {
  const char* name = scope == http::kRead ? "read" : scope == http::kSubmit ? "submit" : "admin";
  // Without tokens everybody who reaches the daemon may do everything: the empty requirement.
  return {json::object{{"bearer", json::array{name}}}, json::object{{"key", json::array{name}}}, json::object()};
}

json::object OperationOf(const Route& route) {
  json::array parameters;
  for (const auto segment : route.segments) {
    if (segment.starts_with('{')) {
      const auto name = segment.substr(1, segment.size() - 2);
      parameters.push_back(
          json::object{{"name", json::string(name)}, {"in", "path"}, {"required", true}, {"schema", Text(1)}});
    }
  }
  for (const auto name : route.parameters) {
    parameters.push_back(RefTo("parameters", name));
  }
  std::map<std::string, json::object> answers;
  for (const auto& answer : route.answers) {
    answers[std::to_string(answer.status)] = AnswerOf(answer);
  }
  for (const int status : ProblemsOf(route)) {
    answers.emplace(std::to_string(status), RefTo("responses", ProblemName(status)));
  }
  json::object responses;
  for (auto& [status, answer] : answers) {
    responses[status] = std::move(answer);
  }
  json::object out{{"operationId", json::string(route.id)},
                   {"tags", json::array{json::string(route.group)}},
                   {"summary", json::string(route.summary)},
                   {"security", Security(route.scope)}};
  if (!parameters.empty()) {
    out["parameters"] = std::move(parameters);
  }
  if (!route.body.empty()) {
    out["requestBody"] =
        json::object{{"description", kBodies},
                     {"required", route.body_required},
                     {"content", json::object{{"application/json", json::object{{"schema", Ref(route.body)}}}}}};
  }
  out["responses"] = std::move(responses);
  return out;
}

json::object Paths() {
  json::object paths;
  for (const auto& route : Routes()) {
    auto& item = paths[route.path];
    if (!item.is_object()) {
      item.emplace_object();
    }
    std::string method(NameOf(route.method));
    std::ranges::transform(method, method.begin(), [](char c) { return static_cast<char>(c - 'A' + 'a'); });
    item.as_object()[method] = OperationOf(route);
  }
  return paths;
}

json::object Components() {
  json::object schemas;
  schemas["Problem"] = ProblemSchema();
  schemas["Problem"].as_object()["examples"] = json::array{json::parse(
      R"({"type":"https://weir.invalid/problems/busy","title":"Too busy now","status":429,"detail":)"
      R"("10000 jobs are waiting, which is the limit; come again later","instance":"/v1/jobs","waiting":10000,)"
      R"("limit":10000,"retry_after_seconds":10})")};
  AddJobSchemas(schemas);
  AddBatchSchemas(schemas);
  AddRecipeSchemas(schemas);
  AddSystemSchemas(schemas);
  AddPeerSchemas(schemas);
  std::set<int> statuses(kNowhere.begin(), kNowhere.end());
  for (const auto& route : Routes()) {
    statuses.merge(ProblemsOf(route));
  }
  json::object responses;
  for (const int status : statuses) {
    responses[ProblemName(status)] = ProblemAnswer(status);
  }
  return {{"schemas", std::move(schemas)},
          {"parameters", Parameters()},
          {"headers", Headers()},
          {"responses", std::move(responses)},
          {"securitySchemes",
           json::object{{"bearer", json::object{{"type", "http"}, {"scheme", "bearer"}}},
                        {"key", json::object{{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}}}}}};
}

}  // namespace

std::string DocumentOf(std::string_view version) {
  json::object nowhere;
  for (const int status : kNowhere) {
    nowhere[std::to_string(status)] = RefTo("responses", ProblemName(status));
  }
  const json::object document{{"openapi", "3.1.0"},
                              {"jsonSchemaDialect", "https://json-schema.org/draft/2020-12/schema"},
                              {"info", json::object{{"title", "Weir"},
                                                    {"summary", "Video work inside a memory budget"},
                                                    {"description", kDescription},
                                                    {"version", json::string(version)}}},
                              {"servers", json::array{json::object{{"url", "/"}}}},
                              {"paths", Paths()},
                              // Answers to requests that reach no route.
                              {"x-no-route", json::object{{"responses", std::move(nowhere)}}},
                              {"components", Components()}};
  return media::JsonText(document) + "\n";
}

}  // namespace weir::api
