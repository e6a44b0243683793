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

// The address as it is talked to: without a scheme, http is meant. Errors: kBadParameters for https and others.
Result<std::string> ServerAddress(const std::string& server);

struct ClientCommand {
  enum class Kind : std::uint8_t {
    kSubmit,
    kPlan,  // as kSubmit, but only the forecast
    kJobs,
    kShow,
    kWatch,
    kLogs,
    kExplain,
    kCancel,
    kPause,
    kResume,
    kRetry,
    kChange,
    kRemove,
    kFetch,
    kBatch,
    kBatchShow,
    kBatchCancel,
    kDrain,
    kUndrain,
    kTop,
    kCalibration,
  } kind = Kind::kJobs;
  std::string server = kDefaultServer;
  std::string token;  // never shown
  bool json = false;

  // Of jobs: one for kShow, kWatch, kLogs, kExplain, kFetch, one or more for kCancel to kRemove. Of a batch:
  // kBatchShow, kBatchCancel.
  std::vector<std::string> ids;

  // kSubmit, kPlan; recipe, owner and one label also narrow kJobs. kBatch: what holds for jobs that do not say it.
  std::string recipe, owner;
  std::string params;         // text of a JSON object
  std::string input, output;  // output may be empty
  bool overwrite = false;     // also kFetch
  std::optional<int> priority;
  std::vector<std::pair<std::string, std::string>> labels;  // kChange: those that it is to have, others stay
  std::vector<std::string> unlabel;                         // kChange: those that it loses
  std::string key;

  bool wait = false;         // kSubmit, kBatch, kBatchShow: until the jobs end
  std::string state, batch;  // kJobs
  std::optional<int> limit;
  std::string file;                  // kBatch ("-": standard input); kFetch: where to, "" for the result's own name
  std::string name;                  // kFetch: of the result; "" when there is one only
  std::vector<std::string> outputs;  // kRetry: names of those that are missing
  bool once = false;                 // kTop
  bool reset = false;                // kCalibration: forget all of it
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
