// The one error table: every way in which Weir says no, each with a stable name, a title, an exit code
// of the command line and an HTTP status. Not a place for sentences about one case: those are in
// Error::detail, which says what happened, to what, and what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

// Order is free; names in the table (ErrorInfo::name) are the stable part.
enum class ErrorCode : std::uint8_t {
  kInternal,          // a defect of ours
  kBadParameters,     // an option or parameter outside its range, or an unknown one
  kInputMissing,      // no such file
  kInputNotAFile,     // a folder, device, pipe or socket
  kInputUnreadable,   // permission, or an I/O error while reading
  kInputEmpty,        // zero bytes
  kInputNotMedia,     // not one of the allowed containers (text, playlists, scripts, unknown)
  kInputDamaged,      // recognised, but truncated or not decodable
  kInputNoVideo,      // the recipe needs a picture and there is none
  kInputTooLarge,     // more pixels, streams or bytes than the limits allow
  kOutputExists,      // and --force was not given
  kOutputIsInput,     // the same file, also through links
  kOutputFolder,      // target folder missing or not a folder
  kOutputUnwritable,  // target folder or file cannot be written
  kOutputFormat,      // the name's extension is not one that the recipe can make
  kDiskFull,          // while writing, or forecast not to fit
  kOverBudget,        // no plan fits the memory budget: refused before anything started
  kOutOfMemory,       // stopped at its lease, also with the leanest plan
  kTimedOut,          // past its deadline
  kStalled,           // no progress within the stall limit
  kToolMissing,       // ffmpeg or ffprobe not found
  kToolUnusable,      // too old, lies, or cannot run here
  kChildFailed,       // ffmpeg ended with an error of its own
  kCrashed,           // ffmpeg died of a signal
  kRunaway,           // produced more frames or bytes than forecast
  kVerification,      // the output is not what the plan said it must be
  kSandbox,           // --require-sandbox, and a layer is missing
  kSystem,            // the operating system refused something that should work
  kNotFound,          // no such job, route or artefact
  kConflict,          // the state forbids it, or somebody else was first
  kBusy,              // too much waiting already, or draining: come again later
  kUnauthorized,      // no token, or an unknown one
  kForbidden,         // a token without that scope, a foreign origin, a path outside the roots
  kMalformed,         // a request that cannot be read: bytes, JSON, encoding
  kMethod,            // a known path, but not with that method
  kTooLarge,          // a request beyond its limits
  kMediaType,         // a body of a type that is not accepted
  kUnreachable,       // no server answered
  kDamaged,           // our own data is broken
  kTooNew,            // our own data was written by a later version
  kInterrupted,       // Ctrl-C
  kTerminated,        // SIGTERM
};

struct ErrorInfo {
  ErrorCode code;
  std::string_view name;   // stable slug: problem type, JSON "cause"
  std::string_view title;  // a few words
  int exit_code;           // of the command line; unique per row, see README
  int http_status;
};

// Every row, in the order of the enum; the source of the README's table of exit codes.
const std::vector<ErrorInfo>& ErrorTable();
const ErrorInfo& InfoOf(ErrorCode code);

// A typed number or word that goes with an error, for scripts ("required_bytes": 300000000).
struct ErrorMember {
  std::string key;
  std::string text;  // used when !is_number
  std::uint64_t number = 0;
  bool is_number = false;
};

// What went wrong. A value: copy, move and return it. Causes chain, newest first.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string detail;
  std::vector<ErrorMember> members{};
  std::shared_ptr<const Error> cause{};

  // These return values, so that `error = std::move(error).With(...)` is no self-move.
  Error With(std::string key, std::uint64_t number) && {
    members.push_back({.key = std::move(key), .text = {}, .number = number, .is_number = true});
    return std::move(*this);
  }
  Error With(std::string key, std::string text) && {
    members.push_back({.key = std::move(key), .text = std::move(text), .number = 0, .is_number = false});
    return std::move(*this);
  }
  Error From(Error inner) && {
    cause = std::make_shared<const Error>(std::move(inner));
    return std::move(*this);
  }
};

// "detail: cause: cause", one line, safe to print (control characters already escaped by the writers).
std::string Describe(const Error& error);

}  // namespace weir
