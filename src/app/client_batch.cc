// `weir batch`: many jobs from a file of JSON lines, accepted together or not at all, and followed as one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <optional>

#include "api/fields.h"
#include "app/client_render.h"
#include "app/client_talk.h"
#include "base/id.h"
#include "base/text.h"
#include "jobs/service.h"
#include "os/file.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using http::Method;
using std::chrono::seconds;

constexpr Bytes kLargestBatch = Bytes::Mib(64);
constexpr Bytes kLargestLine = Bytes::Mib(1);
using jobs::kMostInBatch;
constexpr std::size_t kMostFailuresTold = 20;
constexpr std::chrono::minutes kAcceptTime{10};  // thousands of files are looked at, or of jobs stopped

struct Line {
  std::size_t number = 0;  // from 1
  json::object job;
};

std::string Where(const ClientCommand& command, std::size_t number) {
  return Quoted(command.file) + ", line " + std::to_string(number) + ": ";
}

Result<std::string> TextOf(const ClientCommand& command) {
  std::string text;
  if (command.file != "-") {
    WEIR_ASSIGN(text, os::ReadSmallFile(command.file, kLargestBatch + Bytes(1)));
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
                Quoted(command.file) + " is larger than the " + ToString(kLargestBatch) + " a batch may have");
  }
  return text;
}

Result<json::object> JobOf(std::string_view line) {
  if (line.size() > kLargestLine.count()) {
    return Fail(ErrorCode::kBadParameters, "longer than " + ToString(kLargestLine));
  }
  auto job = ParseAnswer(line);
  if (!job || !job->is_object()) {
    return Fail(ErrorCode::kBadParameters, "not a JSON object");
  }
  // A member that is there twice would lose its first value in being written again. What members there may be is for
  // the server to say.
  std::vector<std::string> names;
  for (const auto& member : job->get_object()) {
    names.emplace_back(member.key());
  }
  WEIR_TRY(api::Fields::Parse(line, names));
  return std::move(job->get_object());
}

Result<std::vector<Line>> LinesOf(const ClientCommand& command) {
  WEIR_ASSIGN(const auto text, TextOf(command));
  std::vector<Line> lines;
  std::size_t number = 0;
  for (const auto line : SplitLines(text)) {
    ++number;
    if (Trim(line).empty()) {
      continue;
    }
    auto job = JobOf(line);
    if (!job) {
      return Fail(job.error().code, Where(command, number) + job.error().detail);
    }
    NamePathsFromHere(*job);
    lines.push_back({.number = number, .job = *std::move(job)});
  }
  if (lines.empty()) {
    return Fail(ErrorCode::kBadParameters, Quoted(command.file) + " has no jobs in it: each line is one");
  }
  if (lines.size() > kMostInBatch) {
    return Fail(ErrorCode::kBadParameters, Quoted(command.file) + " has " + std::to_string(lines.size()) +
                                               " jobs, and a batch may have " + std::to_string(kMostInBatch));
  }
  return lines;
}

// What all lines say alike is said once, beside them: thousands of lines have to fit a body of 1 MiB.
void SayOnce(std::vector<Line>& lines, json::object& body) {
  for (const char* name : {"recipe", "params", "priority", "overwrite"}) {
    const auto* first = lines.front().job.if_contains(name);
    const bool alike = first != nullptr && std::ranges::all_of(lines, [&](const Line& line) {
                         const auto* value = line.job.if_contains(name);
                         return value != nullptr && *value == *first;
                       });
    if (!alike) {
      continue;
    }
    body[name] = *first;
    for (auto& line : lines) {
      line.job.stable_erase(name);
    }
  }
}

// A batch is one owner's; lines may name that owner, all of them alike.
Result<std::string> OwnerOf(const ClientCommand& command, std::vector<Line>& lines) {
  const auto told = [](const Line& line) {
    const auto* owner = line.job.if_contains("owner");
    return owner != nullptr ? *owner : json::value();
  };
  for (auto& line : lines) {
    if (told(line).is_null() && !command.owner.empty()) {
      line.job["owner"] = command.owner;
    }
  }
  const json::value first = told(lines.front());
  for (const auto& line : lines) {
    const auto owner = told(line);
    if (!owner.is_null() && !owner.is_string()) {
      return Fail(ErrorCode::kBadParameters, Where(command, line.number) + "\"owner\" is a text");
    }
    const bool other = !owner.is_null() && !command.owner.empty() && owner.get_string() != command.owner;
    if (owner != first || other) {
      return Fail(ErrorCode::kBadParameters,
                  Where(command, line.number) + "all jobs of a batch have the same owner, and this one has another" +
                      (other ? " than --owner" : " than line " + std::to_string(lines.front().number)));
    }
  }
  for (auto& line : lines) {
    line.job.stable_erase("owner");
  }
  return first.is_string() ? std::string(first.get_string()) : command.owner;
}

Result<std::string> BodyOf(const ClientCommand& command, std::vector<Line>& lines) {
  json::object body;
  if (command.priority) {
    body["priority"] = *command.priority;
  }
  if (command.overwrite) {
    body["overwrite"] = true;
  }
  if (!command.labels.empty()) {
    body["labels"] = LabelsOf(command);
  }
  WEIR_ASSIGN(const auto owner, OwnerOf(command, lines));
  if (!owner.empty()) {
    body["owner"] = owner;
  }
  SayOnce(lines, body);
  json::array jobs;
  jobs.reserve(lines.size());
  for (auto& line : lines) {
    jobs.emplace_back(std::move(line.job));
  }
  body["jobs"] = std::move(jobs);
  return json::serialize(body);
}

std::optional<std::uint64_t> MemberOf(const Error& error, std::string_view key) {
  const auto found = std::ranges::find(error.members, key, &ErrorMember::key);
  return found != error.members.end() && found->is_number ? std::optional(found->number) : std::nullopt;
}

// The server counts jobs from 0; whoever wrote the file counts its lines.
Error InTermsOfTheFile(const ClientCommand& command, const std::vector<Line>& lines, std::size_t size, Error error) {
  if (const auto index = MemberOf(error, "job"); index && *index < lines.size()) {
    const std::string prefix = "job " + std::to_string(*index) + " of the batch: ";
    const std::size_t line = lines[*index].number;
    error.detail =
        Where(command, line) + (error.detail.starts_with(prefix) ? error.detail.substr(prefix.size()) : error.detail);
    error = std::move(error).With("line", std::uint64_t{line});
  } else if (error.code == ErrorCode::kTooLarge) {
    error.detail += "; this batch has " + ToString(Bytes(size)) +
                    ": make several of it, or raise server.largest_body of the server";
  }
  return error;
}

Result<json::value> Submit(const Talk& talk) {
  const auto& command = talk.command();
  WEIR_ASSIGN(auto lines, LinesOf(command));
  WEIR_ASSIGN(const auto body, BodyOf(command, lines));
  const std::string key = command.key.empty() ? NewId() : command.key;
  const Headers headers{{"Idempotency-Key", key}};
  for (int tries = 0;; ++tries) {
    auto batch = talk.Ask(Method::kPost, "/v1/batches", body, headers, kAcceptTime);
    if (batch) {
      return batch;
    }
    // A queue that is full is waited for, as somebody works on it.
    if (batch.error().code != ErrorCode::kBusy || tries >= kPatientTries) {
      Error error = InTermsOfTheFile(command, lines, body.size(), std::move(batch).error());
      if (WorthWaiting(error.code)) {
        error.detail += "; whether the batch was taken is not known, and with --key " + key +
                        " it is taken once however often it is sent";
      }
      return Fail(std::move(error));
    }
    if (tries == 0) {
      talk.Complain("not accepted yet, trying again: " + Describe(batch.error()));
    }
    talk.streams().sleep(PauseAfter(batch.error()));
  }
}

bool IsOver(const json::value& batch) {
  const auto* ended = At(batch, {"ended"});
  return ended != nullptr && ended->is_bool() && ended->get_bool();
}

// To the end of all of its jobs, across broken connections and restarts of the server.
Result<json::value> Follow(const Talk& talk, const std::string& id, bool heard) {
  ProgressLine line(talk.streams());
  for (int tries = 0;; ++tries) {
    const auto asked = std::chrono::steady_clock::now();
    auto batch = talk.Ask(Method::kGet, BatchTarget(id), {}, {{"Prefer", "wait=1"}});
    if (batch && IsOver(*batch)) {
      return batch;
    }
    if (batch) {
      if (!talk.command().json) {
        line.Show(NumberAt(*batch, {"ratio"}).value_or(-1), BatchProgressAsText(*batch));
      }
      heard = true;
      tries = 0;
    } else if (!heard || !WorthWaiting(batch.error().code) || tries >= kPatientTries) {
      return batch;
    }
    // A server that did not wait is not asked at once.
    if (!batch || std::chrono::steady_clock::now() - asked < std::chrono::milliseconds(500)) {
      talk.streams().sleep(seconds(1));
    }
  }
}

// The exit code of the first failure, in the order of the file; the failures are told.
Result<int> CodeOf(const Talk& talk, const std::string& id, const json::value& batch) {
  const auto count = [&](std::string_view state) { return NumberAt(batch, {"states", state}).value_or(0); };
  if (count("failed") > 0) {
    WEIR_ASSIGN(auto listed, talk.ListJobs("&batch=" + Encoded(id) + "&state=failed", kMostInBatch));
    std::ranges::reverse(listed.jobs);
    int code = 0;
    std::size_t told = 0;
    for (const auto& job : listed.jobs) {
      code = code == 0 ? ExitCodeOf(job) : code;
      if (!talk.command().json && told++ < kMostFailuresTold) {
        talk.Complain(FailureText(job));
      }
    }
    if (told > kMostFailuresTold) {
      talk.Complain(std::to_string(told - kMostFailuresTold) + " more failed: \"weir jobs --batch " + id +
                    " --state failed\" lists them");
    }
    return code != 0 ? code : InfoOf(ErrorCode::kInternal).exit_code;
  }
  return count("cancelled") > 0 ? InfoOf(ErrorCode::kInterrupted).exit_code : 0;
}

// `heard`: the server was there a moment ago.
Result<int> FollowAndTell(const Talk& talk, const std::string& id, bool heard) {
  auto followed = Follow(talk, id, heard);
  if (!followed) {
    Error error = std::move(followed).error();
    error.detail += "; the batch is " + Printable(id);
    return Fail(std::move(error));
  }
  const auto batch = *std::move(followed);
  WEIR_TRY(talk.command().json ? talk.SayJson(batch) : talk.Say(BatchAsText(batch)));
  return CodeOf(talk, id, batch);
}

}  // namespace

Result<int> RunBatch(const Talk& talk) {
  const auto& command = talk.command();
  WEIR_ASSIGN(const auto batch, Submit(talk));
  WEIR_ASSIGN(const auto id, IdOf(batch, "batch"));
  if (!command.wait) {
    return command.json ? talk.SayJson(batch) : talk.Say(Printable(id) + "\n");
  }
  if (!command.json) {
    talk.streams().tell("batch " + Printable(id) + "\n");
  }
  return FollowAndTell(talk, id, true);
}

Result<int> RunBatchShow(const Talk& talk) {
  const auto& id = talk.command().ids.front();
  if (talk.command().wait) {
    return FollowAndTell(talk, id, false);
  }
  WEIR_ASSIGN(const auto batch, talk.Ask(Method::kGet, BatchTarget(id)));
  return talk.command().json ? talk.SayJson(batch) : talk.Say(BatchAsText(batch));
}

Result<int> RunBatchCancel(const Talk& talk) {
  const auto& id = talk.command().ids.front();
  // Answered when the last child has ended and all is on disk.
  WEIR_ASSIGN(const auto batch, talk.Ask(Method::kPost, BatchTarget(id, "/cancel"), {}, {}, kAcceptTime));
  return talk.command().json ? talk.SayJson(batch) : talk.Say(Printable(id) + "  cancelled\n");
}

}  // namespace weir::app
