#include "app/client.h"

#include <boost/json.hpp>
#include <thread>

#include "app/client_render.h"
#include "app/client_talk.h"
#include "app/speak.h"
#include "app/top.h"
#include "base/text.h"
#include "http/client.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using http::Method;
using Kind = ClientCommand::Kind;
using std::chrono::seconds;

std::string BodyOf(const ClientCommand& command) {
  json::object body{{"recipe", command.recipe}};
  body["inputs"] = json::array{json::string(command.input)};
  if (!command.output.empty()) {
    body["outputs"] = json::array{json::string(command.output)};
  }
  NamePathsFromHere(body);
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
    body["labels"] = LabelsOf(command);
  }
  return json::serialize(body);
}

// What is heard of one job: its events as lines, its progress as something that advances.
class Watcher {
 public:
  Watcher(const ClientStreams& streams, bool json) : streams_(streams), json_(json), line_(streams) {}
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() = default;

  void Event(std::string_view type, const json::value& data) {
    if (json_) {
      gone_ = !streams_.print(json::serialize(json::object{{"event", std::string(type)}, {"data", data}}) + "\n");
      return;
    }
    const std::string text = EventAsText(type, data);
    if (text.empty()) {
      return;
    }
    if (type == "progress") {
      line_.Show(NumberAt(data, {"progress", "ratio"}).value_or(-1), text);
    } else {
      line_.Say(text);
    }
  }
  [[nodiscard]] bool gone() const { return gone_; }

 private:
  const ClientStreams& streams_;
  bool json_;
  bool gone_ = false;
  ProgressLine line_;
};

// The commands about jobs and the server.
class Commands {
 public:
  explicit Commands(const Talk& talk) : talk_(talk), command_(talk.command()), streams_(talk.streams()) {}

  Result<int> Run() {
    switch (command_.kind) {
      case Kind::kSubmit:
        return Submit();
      case Kind::kPlan:
        return Plan();
      case Kind::kJobs:
        return Jobs();
      case Kind::kShow:
        return Show();
      case Kind::kWatch:
        return Watch(command_.ids.front(), true);
      case Kind::kLogs:
        return Logs();
      case Kind::kExplain:
        return RunExplain(talk_);
      case Kind::kCancel:
        return ForEach(Method::kPost, "/cancel", "cancelled");
      case Kind::kPause:
        return ForEach(Method::kPost, "/pause", "paused");
      case Kind::kResume:
        return ForEach(Method::kPost, "/resume", "goes on");
      case Kind::kRetry:
        return ForEach(Method::kPost, "/retry", "queued again", RetryBody());
      case Kind::kChange:
        return Change();
      case Kind::kRemove:
        return ForEach(Method::kDelete, "", "removed");
      case Kind::kFetch:
        return RunFetch(talk_);
      case Kind::kBatch:
        return RunBatch(talk_);
      case Kind::kBatchShow:
        return RunBatchShow(talk_);
      case Kind::kBatchCancel:
        return RunBatchCancel(talk_);
      case Kind::kDrain:
        return Drain("/v1/drain");
      case Kind::kUndrain:
        return Drain("/v1/undrain");
      case Kind::kTop:
        return Top();
      case Kind::kCalibration:
        return Calibration();
    }
    return Fail(ErrorCode::kInternal, "a command without a meaning");
  }

 private:
  Result<int> Submit() const {
    Headers headers;
    if (!command_.key.empty()) {
      headers.emplace_back("Idempotency-Key", command_.key);
    }
    WEIR_ASSIGN(const auto job, talk_.Ask(Method::kPost, "/v1/jobs", BodyOf(command_), headers));
    WEIR_ASSIGN(const auto id, IdOf(job, "job"));
    if (!command_.wait) {
      return command_.json ? talk_.SayJson(job) : talk_.Say(Printable(id) + "\n");
    }
    if (!command_.json) {
      streams_.tell("job " + Printable(id) + "\n");
    }
    return Watch(id, false);
  }

  Result<int> Plan() const {
    WEIR_ASSIGN(const auto plan, talk_.Ask(Method::kPost, "/v1/plan", BodyOf(command_)));
    const auto* refusal = At(plan, {"refusal"});
    if (refusal == nullptr || !refusal->is_object()) {
      return command_.json ? talk_.SayJson(plan) : talk_.Say(LadderAsText(plan));
    }
    const int code = InfoOf(CodeOfType(TextAt(*refusal, {"type"})).value_or(ErrorCode::kInternal)).exit_code;
    if (command_.json) {
      return talk_.SayJson(plan, code);
    }
    WEIR_TRY(talk_.Say(LadderAsText(plan)));
    const auto sentence = TextAt(*refusal, {"detail"});
    talk_.Complain(sentence.empty() ? TextAt(*refusal, {"title"}) : sentence);
    return code;
  }

  Result<int> Jobs() const {
    std::string query;
    for (const auto& [name, value] : {std::pair("state", &command_.state), std::pair("recipe", &command_.recipe),
                                      std::pair("owner", &command_.owner), std::pair("batch", &command_.batch)}) {
      if (!value->empty()) {
        query += std::string("&") + name + "=" + Encoded(*value);
      }
    }
    for (const auto& [key, value] : command_.labels) {
      query += "&label=" + Encoded(key + "=" + value);
    }
    WEIR_ASSIGN(auto listed, talk_.ListJobs(query, static_cast<std::size_t>(command_.limit.value_or(50))));
    if (command_.json) {
      return talk_.SayJson(json::object{{"jobs", std::move(listed.jobs)}, {"next", std::move(listed.next)}});
    }
    std::vector<const json::value*> jobs;
    for (const auto& job : listed.jobs) {
      jobs.push_back(&job);
    }
    return talk_.Say(JobsAsText(jobs) +
                     (CursorOf(listed.next).empty() ? "" : "there are more; --limit shows them\n"));
  }

  Result<int> Show() const {
    WEIR_ASSIGN(const auto job, talk_.Ask(Method::kGet, JobTarget(command_.ids.front())));
    return command_.json ? talk_.SayJson(job) : talk_.Say(JobAsText(job));
  }

  Result<int> Logs() const {
    const auto& id = command_.ids.front();
    WEIR_ASSIGN(const auto log, talk_.Ask(Method::kGet, JobTarget(id, "/log")));
    if (command_.json) {
      return talk_.SayJson(log);
    }
    // The log ends in "failed"; why is told by the job.
    const auto job = talk_.Ask(Method::kGet, JobTarget(id));
    return talk_.Say(LogAsText(log, job ? *job : json::value()));
  }

  // Follows a job to its end, across broken connections and restarts of the server.
  Result<json::value> Follow(const std::string& id, bool events_as_json) const {
    Watcher watcher(streams_, events_as_json);
    std::string last;
    bool heard = false;
    for (int tries = 0;; ++tries) {
      bool any = false;
      const Status watched = talk_.client().Watch(
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
      auto job = talk_.Ask(Method::kGet, JobTarget(id));
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
      return talk_.SayJson(events_as_json ? json::value(json::object{{"event", "job"}, {"data", job}}) : job, code);
    }
    WEIR_TRY(talk_.Say(JobAsText(job)));
    if (code != 0) {
      talk_.Complain(FailureText(job));
    }
    return code;
  }

  // `act` with every job. Goes on after a refusal; the first one decides the exit code.
  Result<int> ForAll(const std::function<Result<json::value>(const std::string& id)>& act, const char* done) const {
    int code = 0;
    for (const auto& id : command_.ids) {
      auto answer = act(id);
      if (!answer) {
        if (command_.ids.size() == 1 || answer.error().code == ErrorCode::kUnreachable) {
          return Fail(std::move(answer).error());
        }
        talk_.Complain(answer.error());
        code = code == 0 ? InfoOf(answer.error().code).exit_code : code;
        continue;
      }
      WEIR_TRY(command_.json ? talk_.SayJson(*answer) : talk_.Say(Printable(id) + "  " + done + "\n"));
    }
    return code;
  }

  Result<int> ForEach(Method method, const char* what, const char* done, const std::string& body = {}) const {
    return ForAll([&](const std::string& id) { return talk_.Ask(method, JobTarget(id, what), body); }, done);
  }

  [[nodiscard]] std::string RetryBody() const {
    if (command_.outputs.empty()) {
      return {};
    }
    json::array names;
    for (const auto& name : command_.outputs) {
      names.emplace_back(name);
    }
    return json::serialize(json::object{{"outputs", std::move(names)}});
  }

  Result<int> Change() const {
    const auto act = [&](const std::string& id) -> Result<json::value> {
      json::object body;
      if (command_.priority) {
        body["priority"] = *command_.priority;
      }
      if (!command_.labels.empty() || !command_.unlabel.empty()) {
        // The server takes them as a whole.
        WEIR_ASSIGN(const auto job, talk_.Ask(Method::kGet, JobTarget(id)));
        const auto* before = At(job, {"labels"});
        json::object labels = before != nullptr && before->is_object() ? before->get_object() : json::object();
        for (const auto& key : command_.unlabel) {
          labels.stable_erase(key);
        }
        for (const auto& [key, value] : command_.labels) {
          labels[key] = value;
        }
        body["labels"] = std::move(labels);
      }
      return talk_.Ask(Method::kPatch, JobTarget(id), json::serialize(body));
    };
    return ForAll(act, "changed");
  }

  Result<int> Drain(const char* target) const {
    WEIR_ASSIGN(const auto answer, talk_.Ask(Method::kPost, target));
    if (command_.json) {
      return talk_.SayJson(answer);
    }
    const auto* draining = At(answer, {"draining"});
    const bool is = draining != nullptr && draining->is_bool() && draining->get_bool();
    return talk_.Say(is ? "the server finishes what runs and starts nothing new\n" : "the server starts jobs\n");
  }

  Result<int> Calibration() const {
    WEIR_ASSIGN(const auto answer, command_.reset ? talk_.Ask(Method::kPost, "/v1/calibration/reset")
                                                  : talk_.Ask(Method::kGet, "/v1/calibration"));
    return command_.json ? talk_.SayJson(answer) : talk_.Say(CalibrationAsText(answer));
  }

  Result<int> Top() const {
    if (command_.json) {
      WEIR_ASSIGN(const auto system, talk_.Ask(Method::kGet, "/v1/system"));
      return talk_.SayJson(system);
    }
    const auto look = [this]() -> Result<boost::json::value> {
      WEIR_ASSIGN(auto system, talk_.Ask(Method::kGet, "/v1/system"));
      // A server before this one has none; whatever else is wrong shows with the next look.
      if (auto memory = talk_.Ask(Method::kGet, "/v1/memory"); memory && system.is_object()) {
        system.get_object()["pressure"] = *std::move(memory);
      }
      return system;
    };
    return RunTop(look, streams_, command_.once);
  }

  const Talk& talk_;
  const ClientCommand& command_;
  const ClientStreams& streams_;
};

}  // namespace

Result<std::string> ServerAddress(const std::string& server) {
  const std::size_t end = server.find("://");
  if (end == std::string::npos) {
    return "http://" + server;
  }
  const std::string_view scheme = std::string_view(server).substr(0, end);
  if (EqualsIgnoreCase(scheme, "http")) {
    return "http" + server.substr(end);
  }
  if (EqualsIgnoreCase(scheme, "https")) {
    return Fail(ErrorCode::kBadParameters,
                Quoted(server) +
                    ": https is not supported by this client; make a tunnel, as with \"ssh -N -L "
                    "4545:127.0.0.1:4545 HOST\", and give --server http://127.0.0.1:4545");
  }
  return Fail(ErrorCode::kBadParameters,
              Quoted(server) + " is not a server; give one such as " + std::string(kDefaultServer));
}

ClientStreams StandardStreams() {
  return {.print = [](std::string_view text) { return Print(text); },
          .tell = [](std::string_view text) { Tell(text); },
          .output = os::StandardOutput(),
          .errors = os::StandardError(),
          .sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }};
}

Result<int> RunClient(const ClientCommand& command, const ClientStreams& streams) {
  WEIR_ASSIGN(const auto address, ServerAddress(command.server));
  WEIR_ASSIGN(auto client, http::Client::For(address, command.token));
  const Talk talk(command, streams, std::move(client));
  return Commands(talk).Run();
}

}  // namespace weir::app
