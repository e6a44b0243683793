#include "base/error.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstring>

#include "base/result.h"
#include "base/text.h"

namespace weir {
namespace {

// A chain longer than this is a defect; printing stops so that one line stays one line.
constexpr int kMaxCauses = 16;

}  // namespace

const std::vector<ErrorInfo>& ErrorTable() {
  using enum ErrorCode;
  static const std::vector<ErrorInfo> table{
      {kInternal, "internal", "Internal error", 1, 500},
      {kBadParameters, "bad-parameters", "Bad parameters", 2, 400},
      {kInputMissing, "input-missing", "Input not found", 3, 422},
      {kInputNotAFile, "input-not-a-file", "Input is not a file", 4, 422},
      {kInputUnreadable, "input-unreadable", "Input cannot be read", 5, 422},
      {kInputEmpty, "input-empty", "Input is empty", 6, 422},
      {kInputNotMedia, "input-not-media", "Input is not a known media file", 7, 422},
      {kInputDamaged, "input-damaged", "Input is damaged", 8, 422},
      {kInputNoVideo, "input-no-video", "Input has no picture", 9, 422},
      {kInputTooLarge, "input-too-large", "Input is too large", 10, 413},
      {kOutputExists, "output-exists", "Output already exists", 16, 409},
      {kOutputIsInput, "output-is-input", "Output is the input itself", 17, 409},
      {kOutputFolder, "output-folder", "Output folder not found", 18, 422},
      {kOutputUnwritable, "output-unwritable", "Output cannot be written", 19, 422},
      {kOutputFormat, "output-format", "Output format not supported", 20, 400},
      {kDiskFull, "disk-full", "Not enough disk space", 11, 507},
      {kOverBudget, "over-budget", "Does not fit the memory budget", 12, 422},
      {kOutOfMemory, "out-of-memory", "Stopped at its memory limit", 13, 503},
      {kTimedOut, "timed-out", "Took too long", 14, 504},
      {kStalled, "stalled", "Made no progress", 15, 504},
      {kToolMissing, "tool-missing", "Tool not found", 21, 503},
      {kToolUnusable, "tool-unusable", "Tool cannot be used", 22, 503},
      {kChildFailed, "child-failed", "Media tool failed", 23, 500},
      {kCrashed, "crashed", "Media tool crashed", 24, 500},
      {kRunaway, "runaway", "Produced more than forecast", 25, 422},
      {kVerification, "verification", "Output failed its checks", 26, 500},
      {kSandbox, "sandbox", "Sandbox is incomplete", 27, 503},
      {kSystem, "system", "The operating system refused", 28, 500},
      {kNotFound, "not-found", "Not found", 29, 404},
      {kConflict, "conflict", "Not possible in this state", 30, 409},
      {kBusy, "busy", "Too busy now", 31, 429},
      {kUnauthorized, "unauthorized", "Who are you", 32, 401},
      {kForbidden, "forbidden", "Not allowed", 33, 403},
      {kMalformed, "malformed", "Request cannot be read", 34, 400},
      {kMethod, "method-not-allowed", "Method not allowed", 35, 405},
      {kTooLarge, "request-too-large", "Request is too large", 36, 413},
      {kMediaType, "media-type", "Type of body not accepted", 37, 415},
      {kUnreachable, "unreachable", "No answer from the server", 38, 502},
      {kDamaged, "damaged", "Stored data is damaged", 39, 500},
      {kTooNew, "too-new", "Stored data is of a later version", 40, 500},
      {kInterrupted, "interrupted", "Interrupted", 130, 503},
      {kTerminated, "terminated", "Terminated", 143, 503},
  };
  return table;
}

const ErrorInfo& InfoOf(ErrorCode code) {
  const std::vector<ErrorInfo>& table = ErrorTable();
  const auto row = static_cast<std::size_t>(code);
  return row < table.size() ? table[row] : table.front();
}

std::string Describe(const Error& error) {
  const auto sentence = [](const Error& e) {
    return e.detail.empty() ? std::string(InfoOf(e.code).title) : Printable(e.detail);
  };
  std::string text = sentence(error);
  int depth = 0;
  for (const Error* cause = error.cause.get(); cause != nullptr; cause = cause->cause.get()) {
    if (++depth > kMaxCauses) {
      text += ": ...";
      break;
    }
    text += ": " + sentence(*cause);
  }
  return text;
}

Error SystemError(std::string what, int errno_value, ErrorCode code) {
  const char* name = strerrorname_np(errno_value);
  const char* description = strerrordesc_np(errno_value);
  const std::string fallback = fmt::format("errno {}", errno_value);
  return Error{.code = code,
               .detail = fmt::format("{}: {} ({})", what, description == nullptr ? "unknown error" : description,
                                     name == nullptr ? fallback : std::string(name))};
}

}  // namespace weir
