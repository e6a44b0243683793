#include "app/client_talk.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>

#include "app/client_render.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int kMostPages = 1000;
constexpr unsigned kBar = 24;

bool IsHere(const std::string& path) {
  std::error_code ignored;
  return !path.empty() && fs::exists(path, ignored);
}

json::string FromHere(const std::string& path) {
  std::error_code ignored;
  const auto absolute = fs::absolute(path, ignored);
  return json::string(ignored ? path : absolute.string());
}

// The texts of a list that is a member of `body`.
std::vector<json::string*> TextsIn(json::object& body, std::string_view name) {
  std::vector<json::string*> texts;
  auto* member = body.if_contains(name);
  if (auto* list = member != nullptr ? member->if_array() : nullptr) {
    for (auto& item : *list) {
      if (auto* text = item.if_string()) {
        texts.push_back(text);
      }
    }
  }
  return texts;
}

}  // namespace

std::string Encoded(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
  std::string out;
  for (const char c : text) {
    out += kPlain.find(c) != std::string_view::npos ? std::string(1, c)
                                                    : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string JobTarget(const std::string& id, const char* what) { return "/v1/jobs/" + Encoded(id) + what; }
std::string BatchTarget(const std::string& id, const char* what) { return "/v1/batches/" + Encoded(id) + what; }

bool WorthWaiting(ErrorCode code) {
  return code == ErrorCode::kUnreachable || code == ErrorCode::kTimedOut || code == ErrorCode::kBusy;
}

std::chrono::seconds PauseAfter(const Error& error) {
  std::uint64_t pause = 1;
  for (const auto& member : error.members) {
    pause = member.is_number && member.key == "retry_after_seconds" ? member.number : pause;
  }
  return std::chrono::seconds(static_cast<std::int64_t>(std::clamp<std::uint64_t>(pause, 1, 30)));
}

void NamePathsFromHere(json::object& body) {
  bool input_is_here = false;
  for (auto* text : TextsIn(body, "inputs")) {
    if (const std::string path(*text); IsHere(path)) {
      input_is_here = true;
      *text = FromHere(path);
    }
  }
  for (auto* text : TextsIn(body, "outputs")) {
    // An output does not exist yet: it is where its folder is, seen from where the input was found.
    const std::string path(*text);
    const auto folder = fs::path(path).parent_path();
    if (!path.empty() && (IsHere(path) || (input_is_here && (folder.empty() || IsHere(folder.string()))))) {
      *text = FromHere(path);
    }
  }
}

json::object LabelsOf(const ClientCommand& command) {
  json::object labels;
  for (const auto& [key, value] : command.labels) {
    labels[key] = value;
  }
  return labels;
}

void ProgressLine::Show(double ratio, const std::string& text) {
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

void ProgressLine::Say(const std::string& text) {
  Clear();
  last_tenth_ = -1;
  streams_.tell("  " + text + "\n");
}

void ProgressLine::Clear() {
  if (drawn_) {
    streams_.tell("\r\x1b[K");
    drawn_ = false;
  }
}

Result<http::Answer> Talk::AskRaw(http::Method method, const std::string& target, const std::string& body,
                                  const Headers& headers, std::chrono::milliseconds patience) const {
  WEIR_ASSIGN(auto answer, client_.Ask(method, target, body, headers, patience));
  if (answer.status >= 400) {
    return Fail(ErrorOf(answer));
  }
  if (answer.status < 200 || answer.status >= 300) {
    return Fail(ErrorCode::kMalformed, "the server answered with status " + std::to_string(answer.status) +
                                           ", which is none of a weir server");
  }
  return answer;
}

Result<json::value> Talk::Ask(http::Method method, const std::string& target, const std::string& body,
                              Headers headers, std::chrono::milliseconds patience) const {
  headers.emplace_back("Accept", "application/json");
  if (!body.empty()) {
    headers.emplace_back("Content-Type", "application/json");
  }
  WEIR_ASSIGN(const auto answer, AskRaw(method, target, body, headers, patience));
  if (Trim(answer.body).empty()) {
    return json::value();
  }
  return ParseAnswer(answer.body);
}

Result<Talk::Listed> Talk::ListJobs(const std::string& query, std::size_t wanted) const {
  const std::string target = "/v1/jobs?limit=" + std::to_string(std::clamp<std::size_t>(wanted, 1, 1000)) + query;
  Listed listed;
  std::set<std::string> seen;
  for (int page = 0; page < kMostPages && listed.jobs.size() < wanted; ++page) {
    const std::string cursor = CursorOf(listed.next);
    // A server that sends us in circles.
    if (page > 0 && (cursor.empty() || !seen.insert(cursor).second)) {
      break;
    }
    WEIR_ASSIGN(const auto answer,
                Ask(http::Method::kGet, target + (cursor.empty() ? "" : "&cursor=" + Encoded(cursor))));
    for (const auto* job : ListAt(answer, {"jobs"})) {
      if (listed.jobs.size() < wanted) {
        listed.jobs.push_back(*job);
      }
    }
    const auto* further = At(answer, {"next"});
    listed.next = further != nullptr ? *further : json::value();
  }
  return listed;
}

Result<int> Talk::Say(const std::string& text, int code) const {
  if (!streams_.print(text)) {
    return Fail(ErrorCode::kSystem, "the result could not be written to standard output");
  }
  return code;
}

Result<int> Talk::SayJson(const json::value& document, int code) const {
  return Say(json::serialize(document) + "\n", code);
}

void Talk::Complain(const std::string& sentence) const { streams_.tell("weir: " + Printable(sentence) + "\n"); }
void Talk::Complain(const Error& error) const { Complain(Describe(error)); }

Result<std::string> IdOf(const json::value& document, const char* what) {
  auto id = TextAt(document, {"id"});
  if (id.empty()) {
    return Fail(ErrorCode::kMalformed,
                std::string("the server took the ") + what + " and did not say under which id");
  }
  return id;
}

std::string CursorOf(const json::value& next) {
  if (const auto* text = next.if_string()) {
    return {text->data(), text->size()};
  }
  return next.is_int64() || next.is_uint64() ? json::serialize(next) : std::string();
}

}  // namespace weir::app
