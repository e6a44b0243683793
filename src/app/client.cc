#include "app/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <set>
#include <thread>

#include "app/client_render.h"
#include "app/speak.h"
#include "app/top.h"
#include "base/id.h"
#include "base/text.h"
#include "http/client.h"
#include "os/file.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Headers = std::vector<std::pair<std::string, std::string>>;
using http::Method;
using Kind = ClientCommand::Kind;
using std::chrono::seconds;

constexpr Bytes kLargestBatch = Bytes::Mib(64);
constexpr Bytes kLargestLine = Bytes::Mib(1);
constexpr int kPatientTries = 60;  // a second apart: a server that starts again, or that is too busy
constexpr int kMostPages = 1000;
constexpr unsigned kBar = 24;

std::string Encoded(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
  std::string out;
  for (const char c : text) {
    out += kPlain.find(c) != std::string_view::npos ? std::string(1, c)
                                                    : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string JobTarget(const std::string& id, const char* what = "") { return "/v1/jobs/" + Encoded(id) + what; }

bool WorthWaiting(ErrorCode code) {
  return code == ErrorCode::kUnreachable || code == ErrorCode::kTimedOut || code == ErrorCode::kBusy;
}

// What is here is named so that the server finds the same thing; the rest is for the server to find.
std::string LocalPath(const std::string& path) {
  std::error_code ignored;
  const auto absolute = fs::absolute(path, ignored);
  return ignored || path.empty() ? path : absolute.string();
}
bool IsHere(const std::string& path) {
  std::error_code ignored;
  return !path.empty() && fs::exists(path, ignored);
}

std::string BodyOf(const ClientCommand& command) {
  const bool local = IsHere(command.input);
  json::object body{{"recipe", command.recipe}};
  body["inputs"] = json::array{json::string(local ? LocalPath(command.input) : command.input)};
  if (!command.output.empty()) {
    // An output does not exist yet: it is where its folder is, seen from where the input was found.
    const auto folder = fs::path(command.output).parent_path();
    const bool here = IsHere(command.output) || (local && (folder.empty() || IsHere(folder.string())));
    body["outputs"] = json::array{json::string(here ? LocalPath(command.output) : command.output)};
  }
  if (!command.params.empty()) {
    boost::system::error_code error;
    auto params = json::parse(command.params, error);
    if (!error) {
      body["params"] = std::move(params);
    }
  }
  if (command.overwrite) {
    body["overwrite"] = true;
  }
  if (command.priority) {
    body["priority"] = *command.priority;
  }
  if (!command.owner.empty()) {
    body["owner"] = command.owner;
  }
  if (!command.labels.empty()) {
    json::object labels;
    for (const auto& [key, value] : command.labels) {
      labels[key] = value;
    }
    body["labels"] = std::move(labels);
  }
  return json::serialize(body);
}

// Progress of one job at a time: a bar on a terminal, lines at tenths otherwise.
class Watcher {
 public:
  Watcher(const ClientStreams& streams, bool json) : streams_(streams), json_(json) {}
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { Clear(); }

  void Event(std::string_view type, const json::value& data) {
    if (json_) {
      gone_ = !streams_.print(json::serialize(json::object{{"event", std::string(type)}, {"data", data}}) + "\n");
      return;
    }
    const std::string text = EventAsText(type, data);
    if (text.empty()) {
      return;
    }
    if (type != "progress") {
      Clear();
      last_tenth_ = -1;
      streams_.tell("  " + text + "\n");
      return;
    }
    const double ratio = NumberAt(data, {"progress", "ratio"}).value_or(-1);
    if (streams_.errors.interactive) {
      std::string line = "  " + text;
      if (ratio >= 0) {
        const auto filled = static_cast<unsigned>(std::clamp(ratio, 0.0, 1.0) * kBar);
        line = "  [" + std::string(filled, '#') + std::string(kBar - filled, '.') + "] " + text;
      }
      streams_.tell("\r" + Fitted(line, std::max(streams_.errors.columns, 2U) - 1) + "\x1b[K");
      drawn_ = true;
      return;
    }
    if (const int tenth = static_cast<int>(std::clamp(ratio, -1.0, 1.0) * 10); ratio >= 0 && tenth > last_tenth_) {
      last_tenth_ = tenth;
      streams_.tell("  " + text + "\n");
    }
  }
  void Clear() {
    if (drawn_) {
      streams_.tell("\r\x1b[K");
      drawn_ = false;
    }
  }
  [[nodiscard]] bool gone() const { return gone_; }

 private:
  const ClientStreams& streams_;
  bool json_;
  bool drawn_ = false;
  bool gone_ = false;
  int last_tenth_ = -1;
};

class Talk {
 public:
  Talk(const ClientCommand& command, const ClientStreams& streams, http::Client client)
      : command_(command), streams_(streams), client_(std::move(client)) {}

  Result<int> Run() {
    switch (command_.kind) {
      case Kind::kSubmit:
        return Submit();
      case Kind::kJobs:
        return Jobs();
      case Kind::kShow:
        return Show();
      case Kind::kWatch:
        return Watch(command_.ids.front(), true);
      case Kind::kLogs:
        return Logs();
      case Kind::kCancel:
        return ForEach(Method::kPost, "/cancel", "cancelled");
      case Kind::kPause:
        return ForEach(Method::kPost, "/pause", "paused");
      case Kind::kResume:
        return ForEach(Method::kPost, "/resume", "goes on");
      case Kind::kRetry:
        return ForEach(Method::kPost, "/retry", "queued again");
      case Kind::kRemove:
        return ForEach(Method::kDelete, "", "removed");
      case Kind::kBatch:
        return Batch();
      case Kind::kDrain:
        return Drain("/v1/drain");
      case Kind::kUndrain:
        return Drain("/v1/undrain");
      case Kind::kTop:
        return Top();
    }
    return Fail(ErrorCode::kInternal, "a command without a meaning");
  }

 private:
  // The document of a good answer; null when it had no body. Errors: also those of the server.
  Result<json::value> Ask(Method method, const std::string& target, const std::string& body = {},
                          Headers headers = {}) const {
    headers.emplace_back("Accept", "application/json");
    if (!body.empty()) {
      headers.emplace_back("Content-Type", "application/json");
    }
    WEIR_ASSIGN(const auto answer, client_.Ask(method, target, body, headers));
    if (answer.status >= 400) {
      return Fail(ErrorOf(answer));
    }
    if (answer.status < 200 || answer.status >= 300) {
      return Fail(ErrorCode::kMalformed, "the server answered with status " + std::to_string(answer.status) +
                                             ", which is none of a weir server");
    }
    if (Trim(answer.body).empty()) {
      return json::value();
    }
    return ParseAnswer(answer.body);
  }

  Result<int> Say(const std::string& text, int code = 0) const {
    if (!streams_.print(text)) {
      return Fail(ErrorCode::kSystem, "the result could not be written to standard output");
    }
    return code;
  }
  Result<int> SayJson(const json::value& document, int code = 0) const {
    return Say(json::serialize(document) + "\n", code);
  }
  void Complain(const Error& error) const { streams_.tell("weir: " + Printable(Describe(error)) + "\n"); }

  static Result<std::string> IdOf(const json::value& job) {
    const auto id = TextAt(job, {"id"});
    if (id.empty()) {
      return Fail(ErrorCode::kMalformed, "the server took the job and did not say under which id");
    }
    return id;
  }

  Result<int> Submit() const {
    Headers headers;
    if (!command_.key.empty()) {
      headers.emplace_back("Idempotency-Key", command_.key);
    }
    WEIR_ASSIGN(const auto job, Ask(Method::kPost, "/v1/jobs", BodyOf(command_), headers));
    WEIR_ASSIGN(const auto id, IdOf(job));
    if (!command_.wait) {
      return command_.json ? SayJson(job) : Say(Printable(id) + "\n");
    }
    if (!command_.json) {
      streams_.tell("job " + Printable(id) + "\n");
    }
    return Watch(id, false);
  }

  Result<int> Jobs() const {
    const auto wanted = static_cast<std::size_t>(command_.limit.value_or(50));
    std::string query = "?limit=" + std::to_string(wanted);
    for (const auto& [name, value] : {std::pair("state", &command_.state), std::pair("recipe", &command_.recipe),
                                      std::pair("owner", &command_.owner)}) {
      if (!value->empty()) {
        query += std::string("&") + name + "=" + Encoded(*value);
      }
    }
    json::array all;
    json::value next;
    std::set<std::string> seen;
    for (int page = 0; page < kMostPages && all.size() < wanted; ++page) {
      const std::string cursor = CursorOf(next);
      // A server that sends us in circles.
      if (page > 0 && (cursor.empty() || !seen.insert(cursor).second)) {
        break;
      }
      WEIR_ASSIGN(const auto answer,
                  Ask(Method::kGet, "/v1/jobs" + query + (cursor.empty() ? "" : "&cursor=" + Encoded(cursor))));
      const auto jobs = ListAt(answer, {"jobs"});
      for (const auto* job : jobs) {
        if (all.size() < wanted) {
          all.push_back(*job);
        }
      }
      const auto* further = At(answer, {"next"});
      next = further != nullptr ? *further : json::value();
      if (jobs.empty()) {
        break;
      }
    }
    if (command_.json) {
      return SayJson(json::object{{"jobs", std::move(all)}, {"next", std::move(next)}});
    }
    std::vector<const json::value*> jobs;
    for (const auto& job : all) {
      jobs.push_back(&job);
    }
    return Say(JobsAsText(jobs) + (CursorOf(next).empty() ? "" : "there are more; --limit shows them\n"));
  }

  static std::string CursorOf(const json::value& next) {
    if (const auto* text = next.if_string()) {
      return {text->data(), text->size()};
    }
    return next.is_int64() || next.is_uint64() ? json::serialize(next) : std::string();
  }

  Result<int> Show() const {
    WEIR_ASSIGN(const auto job, Ask(Method::kGet, JobTarget(command_.ids.front())));
    return command_.json ? SayJson(job) : Say(JobAsText(job));
  }

  Result<int> Logs() const {
    WEIR_ASSIGN(const auto log, Ask(Method::kGet, JobTarget(command_.ids.front(), "/log")));
    return command_.json ? SayJson(log) : Say(LogAsText(log));
  }

  // Follows a job to its end, across broken connections and restarts of the server.
  Result<json::value> Follow(const std::string& id, bool events_as_json) const {
    Watcher watcher(streams_, events_as_json);
    std::string last;
    bool heard = false;
    for (int tries = 0;; ++tries) {
      bool any = false;
      const Status watched = client_.Watch(
          JobTarget(id, "/events"), last, [&](std::string_view event, std::string_view type, std::string_view data) {
            any = true;
            if (!event.empty() && event.size() <= 100 && Printable(event) == event) {
              last = event;
            }
            const auto parsed = ParseAnswer(data);
            if (!parsed) {
              return true;
            }
            if (!command_.json || events_as_json) {
              watcher.Event(type, *parsed);
            }
            return !watcher.gone() && !(type == "state" && HasEnded(TextAt(*parsed, {"state"})));
          });
      if (watcher.gone()) {
        return Fail(ErrorCode::kSystem, "the result could not be written to standard output");
      }
      if (!watched && (!WorthWaiting(watched.error().code) || !(heard || any))) {
        return Fail(watched.error());
      }
      heard = true;
      auto job = Ask(Method::kGet, JobTarget(id));
      if (job && HasEnded(TextAt(*job, {"state"}))) {
        return job;
      }
      if (!job && !WorthWaiting(job.error().code)) {
        return job;
      }
      tries = any ? 0 : tries;
      if (tries >= kPatientTries) {
        return Fail(!job
                        ? std::move(job).error()
                        : Error{.code = ErrorCode::kUnreachable,
                                .detail = "the server tells nothing more about job " + id + ", which has not ended"});
      }
      streams_.sleep(seconds(1));
    }
  }

  Result<int> Watch(const std::string& id, bool events_as_json) const {
    WEIR_ASSIGN(const auto job, Follow(id, events_as_json && command_.json));
    const int code = ExitCodeOf(job);
    if (command_.json) {
      return SayJson(events_as_json ? json::value(json::object{{"event", "job"}, {"data", job}}) : job, code);
    }
    WEIR_TRY(Say(JobAsText(job)));
    if (code != 0) {
      streams_.tell("weir: " + Printable(FailureText(job)) + "\n");
    }
    return code;
  }

  // Goes on after a refusal; the first one decides the exit code.
  Result<int> ForEach(Method method, const char* what, const char* done) const {
    int code = 0;
    for (const auto& id : command_.ids) {
      auto answer = Ask(method, JobTarget(id, what));
      if (!answer) {
        if (command_.ids.size() == 1 || answer.error().code == ErrorCode::kUnreachable) {
          return Fail(std::move(answer).error());
        }
        Complain(answer.error());
        code = code == 0 ? InfoOf(answer.error().code).exit_code : code;
        continue;
      }
      WEIR_TRY(command_.json ? SayJson(*answer) : Say(Printable(id) + "  " + done + "\n"));
    }
    return code;
  }

  Result<std::string> BatchText() const {
    std::string text;
    if (command_.file != "-") {
      WEIR_ASSIGN(text, os::ReadSmallFile(command_.file, kLargestBatch + Bytes(1)));
    } else {
      std::array<char, 65536> chunk{};
      for (std::size_t got = 1; got > 0 && text.size() <= kLargestBatch.count();) {
        got = std::fread(chunk.data(), 1, chunk.size(), stdin);
        text.append(chunk.data(), got);
      }
      if (std::ferror(stdin) != 0) {
        return Fail(ErrorCode::kInputUnreadable, "standard input cannot be read");
      }
    }
    if (text.size() > kLargestBatch.count()) {
      return Fail(ErrorCode::kInputTooLarge,
                  Quoted(command_.file) + " is larger than the " + ToString(kLargestBatch) + " a batch may have");
    }
    return text;
  }

  // A full queue is waited for: the batch is as long as it is, and somebody works on it.
  Result<std::string> SubmitLine(const std::string& body, const std::string& key) const {
    for (int tries = 0;; ++tries) {
      auto job = Ask(Method::kPost, "/v1/jobs", body, {{"Idempotency-Key", key}});
      if (job) {
        if (command_.json) {
          WEIR_TRY(SayJson(*job));
        }
        return IdOf(*job);
      }
      if (job.error().code != ErrorCode::kBusy || tries >= kPatientTries) {
        return Fail(std::move(job).error());
      }
      std::uint64_t pause = 1;
      for (const auto& member : job.error().members) {
        pause = member.is_number && member.key == "retry_after_seconds" ? member.number : pause;
      }
      streams_.sleep(seconds(static_cast<std::int64_t>(std::clamp<std::uint64_t>(pause, 1, 30))));
    }
  }

  static Status CheckLine(std::string_view line) {
    if (line.size() > kLargestLine.count()) {
      return Fail(ErrorCode::kBadParameters, "longer than " + ToString(kLargestLine));
    }
    const auto body = ParseAnswer(line);
    if (!body || !body->is_object()) {
      return Fail(ErrorCode::kBadParameters, "not a JSON object");
    }
    return {};
  }

  Result<int> Batch() const {
    WEIR_ASSIGN(const auto text, BatchText());
    // All lines are looked at before the first is sent: half a batch is worse than none.
    const auto lines = SplitLines(text);
    const auto at = [&](std::size_t i) { return Quoted(command_.file) + ", line " + std::to_string(i + 1) + ": "; };
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (Trim(lines[i]).empty()) {
        continue;
      }
      if (const auto good = CheckLine(lines[i]); !good) {
        return Fail(good.error().code, at(i) + good.error().detail);
      }
    }
    const std::string batch = NewId();
    std::vector<std::string> ids;
    int code = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (Trim(lines[i]).empty()) {
        continue;
      }
      auto id = SubmitLine(std::string(lines[i]), batch + "-" + std::to_string(i + 1));
      if (!id) {
        Error error = std::move(id).error();
        error.detail = at(i) + error.detail;
        if (WorthWaiting(error.code) || error.code == ErrorCode::kUnauthorized ||
            error.code == ErrorCode::kForbidden || error.code == ErrorCode::kSystem) {
          return Fail(std::move(error));
        }
        Complain(error);
        code = code == 0 ? InfoOf(error.code).exit_code : code;
        continue;
      }
      if (!command_.json) {
        WEIR_TRY(Say(Printable(*id) + "\n"));
      }
      ids.push_back(*std::move(id));
    }
    if (!command_.wait) {
      return code;
    }
    for (const auto& id : ids) {
      WEIR_ASSIGN(const auto job, Follow(id, false));
      const int ended = ExitCodeOf(job);
      code = code == 0 ? ended : code;
      WEIR_TRY(command_.json ? SayJson(job) : Say(Printable(id) + "  " + Printable(TextAt(job, {"state"})) + "\n"));
      if (ended != 0 && !command_.json) {
        streams_.tell("weir: " + Printable(FailureText(job)) + "\n");
      }
    }
    return code;
  }

  Result<int> Drain(const char* target) const {
    WEIR_ASSIGN(const auto answer, Ask(Method::kPost, target));
    if (command_.json) {
      return SayJson(answer);
    }
    const auto* draining = At(answer, {"draining"});
    const bool is = draining != nullptr && draining->is_bool() && draining->get_bool();
    return Say(is ? "the server finishes what runs and starts nothing new\n" : "the server starts jobs\n");
  }

  Result<int> Top() const {
    const auto look = [this] { return Ask(Method::kGet, "/v1/system"); };
    if (command_.json) {
      WEIR_ASSIGN(const auto system, look());
      return SayJson(system);
    }
    return RunTop(look, streams_, command_.once);
  }

  const ClientCommand& command_;
  const ClientStreams& streams_;
  http::Client client_;
};

}  // namespace

ClientStreams StandardStreams() {
  return {.print = [](std::string_view text) { return Print(text); },
          .tell = [](std::string_view text) { Tell(text); },
          .output = os::StandardOutput(),
          .errors = os::StandardError(),
          .sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }};
}

Result<int> RunClient(const ClientCommand& command, const ClientStreams& streams) {
  WEIR_ASSIGN(auto client, http::Client::For(command.server, command.token));
  return Talk(command, streams, std::move(client)).Run();
}

}  // namespace weir::app
