// `weir fetch`: a result that the server keeps becomes a file here, whole and checked, or not at all.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "app/client_render.h"
#include "app/client_talk.h"
#include "base/id.h"
#include "base/sha256.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process_start.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using http::Method;

// Each part is an answer of its own: what is in memory is bounded, and a broken connection costs one part.
constexpr std::uint64_t kPart = Bytes::Mib(4).count();
constexpr std::chrono::minutes kPartTime{5};

struct Artifact {
  std::string name;
  std::uint64_t size = 0;
  std::string sha256;
};

struct Place {
  std::string folder;
  std::string name;
  [[nodiscard]] std::string path() const { return folder == "." ? name : (fs::path(folder) / name).string(); }
};

Result<Artifact> Choose(const json::value& job, const std::string& id, const std::string& wanted) {
  const auto state = TextAt(job, {"state"});
  if (state != "succeeded") {
    return Fail(ErrorCode::kConflict, "job " + id + " is " + state + "; only what succeeded has results" +
                                          (HasEnded(state) ? "" : "; \"weir watch " + id + "\" waits for it"));
  }
  const auto artifacts = ListAt(job, {"artifacts"});
  std::string names;
  const json::value* chosen = nullptr;
  for (const auto* artifact : artifacts) {
    const auto name = TextAt(*artifact, {"name"});
    names += (names.empty() ? "" : ", ") + Quoted(name);
    if (name == wanted || (wanted.empty() && artifacts.size() == 1)) {
      chosen = artifact;
    }
  }
  if (chosen == nullptr) {
    return Fail(wanted.empty() && !artifacts.empty() ? ErrorCode::kBadParameters : ErrorCode::kNotFound,
                artifacts.empty() ? "job " + id + " has no results"
                : wanted.empty()  ? "job " + id + " has several results, name one of them: " + names
                                  : "job " + id + " has no result " + Quoted(wanted) + "; there are: " + names);
  }
  if (const auto path = TextAt(*chosen, {"path"}); !path.empty() && TextAt(*chosen, {"url"}).empty()) {
    return Fail(ErrorCode::kNotFound,
                "the result of job " + id + " was put at " + Quoted(path) +
                    " on the server's machine, as asked; it keeps those only that were given no "
                    "place");
  }
  const auto size = BytesAt(*chosen, {"size_bytes"});
  Artifact artifact{
      .name = TextAt(*chosen, {"name"}), .size = size ? size->count() : 0, .sha256 = TextAt(*chosen, {"sha256"})};
  if (artifact.name.empty() || !size || artifact.sha256.size() != 64) {
    return Fail(ErrorCode::kMalformed, "the server does not tell name, size and digest of the result of job " + id);
  }
  return artifact;
}

// Where it goes: the name of a file, or of a folder, or "" for here under its own name.
Result<Place> PlaceFor(const std::string& wanted, const std::string& name) {
  std::error_code ignored;
  const bool into = !wanted.empty() && (fs::is_directory(wanted, ignored) || wanted.ends_with('/'));
  if (!wanted.empty() && !into) {
    auto [folder, file] = os::SplitPath(wanted);
    return Place{.folder = std::move(folder), .name = std::move(file)};
  }
  // It comes from elsewhere, and decides nothing about folders here.
  if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos || name == "." || name == "..") {
    return Fail(ErrorCode::kMalformed, Quoted(name) + " is not the name of a file; give one with --output");
  }
  return Place{.folder = into ? wanted : ".", .name = name};
}

// A file that is not whole yet. It goes with this, also when somebody ends the command by a signal.
class Unfinished {
 public:
  static Result<std::unique_ptr<Unfinished>> Make(const std::string& folder) {
    WEIR_ASSIGN(auto fd, os::OpenFolder(folder, os::Access::kWrite));
    std::unique_ptr<Unfinished> made(new Unfinished(folder, std::move(fd)));  // NOLINT(*-owning-memory): private
    made->AwaitSignals();
    // For the permissions that new files have here; whether it could be made is seen in opening it.
    static_cast<void>(std::ofstream(made->path_, std::ios::out | std::ios::noreplace));
    WEIR_ASSIGN(made->file_, os::OpenFileAt(made->folder_.get(), made->name_, os::Access::kWrite));
    return made;
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    boost::asio::post(loop_, [this] { signals_.cancel(); });
    if (waiting_.joinable()) {
      waiting_.join();
    }
    Remove();
  }

  Status Write(std::string_view part) { return os::WriteAll(file_.get(), part, path_); }

  Status Finish(const std::string& name, bool overwrite) {
    WEIR_TRY(os::Sync(file_.get()));
    WEIR_TRY(os::Rename(folder_.get(), name_, folder_.get(), name, overwrite ? os::Replace::kYes : os::Replace::kNo));
    return os::Sync(folder_.get());
  }

 private:
  Unfinished(const std::string& folder, os::UniqueFd fd)
      : folder_(std::move(fd)),
        name_(".fetch-" + NewId()),
        path_((fs::path(folder) / name_).string()),
        signals_(loop_) {}

  void Remove() const {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

  void AwaitSignals() {
    for (const int signal : os::NotIgnored({SIGINT, SIGTERM, SIGHUP})) {
      signals_.add(signal);
    }
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (!error) {
        Remove();
        std::_Exit(InfoOf(signal == SIGINT ? ErrorCode::kInterrupted : ErrorCode::kTerminated).exit_code);
      }
    });
    waiting_ = std::thread([this] { loop_.run(); });
  }

  os::UniqueFd folder_;
  std::string name_;
  std::string path_;
  os::UniqueFd file_;
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_;
  std::thread waiting_;
};

// The bytes from `first` on, `count` of them. Goes on where the connection broke.
Result<std::string> PartOf(const Talk& talk, const std::string& target, std::uint64_t first, std::uint64_t count) {
  const Headers headers{{"Range", fmt::format("bytes={}-{}", first, first + count - 1)}};
  for (int tries = 0;; ++tries) {
    auto answer = talk.AskRaw(Method::kGet, target, {}, headers, kPartTime);
    if (answer) {
      if (answer->body.size() != count) {
        return Fail(ErrorCode::kMalformed, "the server sent " + std::to_string(answer->body.size()) +
                                               " bytes where " + std::to_string(count) + " were asked for");
      }
      return std::move(answer->body);
    }
    if (!WorthWaiting(answer.error().code) || tries >= kPatientTries) {
      return Fail(std::move(answer).error());
    }
    talk.streams().sleep(PauseAfter(answer.error()));
  }
}

Status Download(const Talk& talk, const std::string& target, const Artifact& artifact, Unfinished& file) {
  ProgressLine line(talk.streams());
  Sha256Hasher hasher;
  for (std::uint64_t first = 0; first < artifact.size;) {
    const std::uint64_t count = std::min(kPart, artifact.size - first);
    WEIR_ASSIGN(const auto part, PartOf(talk, target, first, count));
    hasher.Add(part);
    WEIR_TRY(file.Write(part));
    first += count;
    if (!talk.command().json && artifact.size > kPart) {
      const double ratio = static_cast<double>(first) / static_cast<double>(artifact.size);
      line.Show(ratio, fmt::format("{:3.0f} %  {} of {}", ratio * 100, ToString(Bytes(first)),
                                   ToString(Bytes(artifact.size))));
    }
  }
  if (const auto digest = ToHex(hasher.Digest()); digest != artifact.sha256) {
    return Fail(Error{.code = ErrorCode::kVerification,
                      .detail = "what arrived is not what the job made: its digest is " + digest + ", and not " +
                                Printable(artifact.sha256) + "; nothing was kept"});
  }
  return {};
}

}  // namespace

Result<int> RunFetch(const Talk& talk) {
  const auto& command = talk.command();
  const auto& id = command.ids.front();
  WEIR_ASSIGN(const auto job, talk.Ask(Method::kGet, JobTarget(id)));
  WEIR_ASSIGN(const auto artifact, Choose(job, id, command.name));
  WEIR_ASSIGN(const auto place, PlaceFor(command.file, artifact.name));
  const std::string path = place.path();
  if (place.name.empty()) {
    return Fail(ErrorCode::kBadParameters, Quoted(command.file) + " is not the name of a file");
  }
  // Before anything is sent; whoever is first meanwhile wins all the same.
  std::error_code ignored;
  const auto there = fs::symlink_status(path, ignored);
  if (fs::is_directory(there)) {
    return Fail(ErrorCode::kOutputUnwritable, Quoted(path) + " is a folder");
  }
  if (fs::exists(there) && !command.overwrite) {
    return Fail(ErrorCode::kOutputExists, Quoted(path) + " already exists; --force replaces it");
  }
  {
    WEIR_ASSIGN(const auto file, Unfinished::Make(place.folder));
    WEIR_TRY(Download(talk, JobTarget(id, "/artifacts/") + Encoded(artifact.name), artifact, *file));
    WEIR_TRY(file->Finish(place.name, command.overwrite));
  }
  if (command.json) {
    return talk.SayJson(json::object{{"file", json::string(Printable(path))},
                                     {"name", artifact.name},
                                     {"size_bytes", artifact.size},
                                     {"sha256", artifact.sha256}});
  }
  return talk.Say(Printable(path) + "\n");
}

}  // namespace weir::app
