// The commands that talk to a running server: over HTTP only, knowing nothing but the API. Blocking; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/program.h"

namespace weir::app {

inline constexpr const char* kDefaultServer = "http://127.0.0.1:4545";

struct ClientCommand {
  enum class Kind : std::uint8_t {
    kSubmit,
    kJobs,
    kShow,
    kWatch,
    kLogs,
    kCancel,
    kPause,
    kResume,
    kRetry,
    kRemove,
    kBatch,
    kDrain,
    kUndrain,
    kTop,
  } kind = Kind::kJobs;
  std::string server = kDefaultServer;
  std::string token;  // never shown
  bool json = false;

  std::vector<std::string> ids;  // of jobs: one for kShow, kWatch, kLogs, one or more for kCancel to kRemove

  // kSubmit; recipe and owner also narrow kJobs.
  std::string recipe, owner;
  std::string params;         // text of a JSON object
  std::string input, output;  // output may be empty
  bool overwrite = false;
  std::optional<int> priority;
  std::vector<std::pair<std::string, std::string>> labels;
  std::string key;

  bool wait = false;  // kSubmit, kBatch: until the jobs end
  std::string state;  // kJobs
  std::optional<int> limit;
  std::string file;   // kBatch; "-": standard input
  bool once = false;  // kTop
};

// Where words go to. The defaults are the standard streams; `sleep` is for the pauses between looks.
struct ClientStreams {
  std::function<bool(std::string_view)> print;
  std::function<void(std::string_view)> tell;
  os::Terminal output;
  os::Terminal errors;
  std::function<void(std::chrono::milliseconds)> sleep;
};
ClientStreams StandardStreams();

// The exit code: 0 when all was done and, where jobs were waited for, they succeeded; else that of the first
// failure's type. Errors: those of the way there (kUnreachable, kTimedOut), and the server's refusals by the name of
// their problem type (an unknown one: kInternal), each with the server's sentence.
Result<int> RunClient(const ClientCommand& command, const ClientStreams& streams);

}  // namespace weir::app
