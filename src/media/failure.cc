#include "media/failure.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/text.h"
#include "media/commands.h"

namespace weir::media {
namespace {

constexpr std::size_t kLongestLine = 200;

using Sentences = std::span<const std::string_view>;

bool Has(std::string_view text, std::string_view sentence) { return text.find(sentence) != std::string_view::npos; }

bool Has(std::string_view text, Sentences sentences) {
  return std::ranges::any_of(sentences, [&](std::string_view sentence) { return Has(text, sentence); });
}

// "[png @ 0x55bb] [IMGUTILS @ 0x7ffc] Picture size ..." -> "Picture size ...". Also without our own input's name, and
// without the advice to look into ffmpeg's documentation for an option that is ours to set.
std::string_view Bare(std::string_view line) {
  line = weir::Trim(line);
  while (line.starts_with('[')) {
    const std::size_t end = line.find("] ");
    if (end == std::string_view::npos || line.substr(0, end).find(" @ ") == std::string_view::npos) break;
    line = weir::Trim(line.substr(end + 2));
  }
  const std::string input = std::string(kInputUrl) + ": ";
  if (line.starts_with(input)) line.remove_prefix(input.size());
  return line.substr(0, line.find(", see the documentation if you wish to increase it"));
}

std::string Shown(std::string_view line) { return Printable(Bare(line).substr(0, kLongestLine)); }

// The first line with one of the sentences, else the most telling one.
std::string Saying(std::string_view text, Sentences sentences) {
  for (const std::string_view line : SplitLines(text)) {
    if (Has(line, sentences)) return Shown(line);
  }
  return TellingLine(text);
}

Error Make(ErrorCode code, std::string detail, const std::string& because) {
  if (!because.empty()) detail += " (" + because + ")";
  return Error{.code = code, .detail = std::move(detail)};
}

constexpr auto kDiskFull = std::to_array<std::string_view>({"No space left on device", "Disk quota exceeded"});
constexpr auto kFileTooLarge = std::to_array<std::string_view>({"File too large"});
constexpr auto kPictureSize = std::to_array<std::string_view>({"Picture size "});
constexpr auto kOutOfMemory = std::to_array<std::string_view>(
    {"Cannot allocate memory", "malloc of size", "Memory allocation error", "std::bad_alloc",
     "failed to map segment from shared object", "Out of memory", "out of memory", "Failed to allocate",
     // A thread whose stack did not fit.
     "Resource temporarily unavailable"});
constexpr auto kNotAllowed = std::to_array<std::string_view>({"not on whitelist"});
constexpr auto kTooManyPixels = std::to_array<std::string_view>({"exceeds specified max pixel count"});
constexpr auto kTooManyStreams = std::to_array<std::string_view>({"exceeds max_streams"});
constexpr auto kDamaged = std::to_array<std::string_view>(
    {"moov atom not found", "partial file", "File ended prematurely", "error reading header",
     "EBML header parsing failed", "chunk too big", "corrupt input packet", "corrupt decoded frame",
     "Invalid NAL unit size", "Error splitting the input into NAL units", "overread ", "truncated", "Truncat",
     "missing picture in access unit", "No JPEG data found", "Could not find codec parameters",
     "contradictionary STSC and STCO"});
// ffmpeg 5 and, from 6 on, the same with other words.
constexpr auto kDecoding = std::to_array<std::string_view>(
    {"Error while decoding stream", "Error submitting packet to decoder", "Decoding error", "Error during demuxing",
     "Error retrieving a packet from demuxer"});
constexpr auto kInvalidData = std::to_array<std::string_view>({"Invalid data found when processing input"});
constexpr auto kTool = std::to_array<std::string_view>({"Unknown encoder",
                                                        "Unknown decoder",
                                                        "No such filter:",
                                                        "Filter not found",
                                                        "Unrecognized option",
                                                        "Option not found",
                                                        "Unknown input format",
                                                        "is not a suitable output format",
                                                        "Unable to find a suitable output format",
                                                        "Encoder not found",
                                                        "Automatic encoder selection failed",
                                                        "Error setting option",
                                                        "Error applying encoder options",
                                                        "Undefined constant or missing",
                                                        "error while loading shared libraries",
                                                        "symbol lookup error",
                                                        "invalid preset",
                                                        "Unable to parse option value",
                                                        "Error selecting an encoder",
                                                        "Missing argument for option",
                                                        "Unknown bitstream filter"});

// The whole number behind the first of `words`.
std::optional<std::uint64_t> NumberBehind(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + words.size());
  return ParseUnsigned(rest.substr(0, rest.find_first_not_of("0123456789")));
}

// "Picture size 16000x16000 exceeds specified max pixel count 50000000, ...".
Error TooManyPixels(std::string_view text, const std::string& input_name) {
  constexpr std::string_view kSize = "Picture size ";
  const std::size_t says = text.find(kTooManyPixels.front());
  const std::size_t begin = text.rfind(kSize, says);
  const std::string_view told = text.substr(begin == std::string_view::npos ? says : begin);
  const auto width = NumberBehind(told, kSize);
  const auto height = width ? NumberBehind(told, std::string(kSize) + std::to_string(*width) + "x") : std::nullopt;
  const auto limit = NumberBehind(told, "max pixel count ");
  Error error{.code = ErrorCode::kInputTooLarge, .detail = "the input " + input_name};
  if (!height || !limit || *width > UINT32_MAX || *height > UINT32_MAX) {
    error.detail += " has a picture with more pixels than --max-pixels allows";
    return error;
  }
  const std::uint64_t pixels = *width * *height;
  error.detail += " has pictures of " + std::to_string(*width) + "x" + std::to_string(*height) + ", " +
                  std::to_string(pixels) + " pixels; the limit is " + std::to_string(*limit) + " (--max-pixels)";
  return std::move(error).With("pixels", pixels).With("limit_pixels", *limit);
}

// "Number of streams exceeds max_streams parameter (64), ...". How many there are is not told.
Error TooManyStreams(std::string_view text, const std::string& input_name) {
  Error error{.code = ErrorCode::kInputTooLarge, .detail = "the input " + input_name + " has more streams than "};
  const auto limit = NumberBehind(text, "exceeds max_streams parameter (");
  error.detail += limit ? "the limit of " + std::to_string(*limit) : "are allowed";
  return limit ? std::move(error).With("limit_streams", *limit) : error;
}

// Dimensions that no decoder takes; 0x0 is a header that was cut off.
bool HasAbsurdSize(std::string_view text) {
  const std::size_t at = text.find("Picture size ");
  if (at == std::string_view::npos) return false;
  const std::string_view rest = text.substr(at, text.find('\n', at) - at);
  return rest.find("is invalid") != std::string_view::npos && rest.find(" 0x") == std::string_view::npos &&
         rest.find("x0 ") == std::string_view::npos;
}

}  // namespace

bool SaysOutOfMemory(std::string_view stderr_text) { return Has(stderr_text, kOutOfMemory); }
bool SaysDiskFull(std::string_view stderr_text) { return Has(stderr_text, kDiskFull); }

std::optional<Error> InputProblemOf(std::string_view stderr_text, const std::string& input_name) {
  const auto make = [&](ErrorCode code, const std::string& what, const std::string& because) {
    return Make(code, "the input " + input_name + " " + what, because);
  };
  if (Has(stderr_text, kTooManyPixels)) {
    return TooManyPixels(stderr_text, input_name);
  }
  if (Has(stderr_text, kTooManyStreams)) {
    return TooManyStreams(stderr_text, input_name);
  }
  if (HasAbsurdSize(stderr_text)) {
    return make(ErrorCode::kInputTooLarge, "has a picture of absurd size", Saying(stderr_text, kPictureSize));
  }
  if (Has(stderr_text, kNotAllowed)) {
    // The allow list itself is long and says nothing to a user.
    return make(ErrorCode::kInputNotMedia,
                "is a playlist, a script or another format that is not accepted: give a video, sound or picture file",
                {});
  }
  if (Has(stderr_text, kDamaged)) {
    return make(ErrorCode::kInputDamaged, "is damaged or cut short", Saying(stderr_text, kDamaged));
  }
  if (Has(stderr_text, std::string(kInputUrl) + ": Input/output error")) {
    return make(ErrorCode::kInputUnreadable, "cannot be read", "Input/output error");
  }
  return std::nullopt;
}

Error ClassifyFailure(Stage stage, int exit_status, std::string_view stderr_text, const std::string& input_name) {
  const std::string tool = stage == Stage::kProbe ? "ffprobe" : "ffmpeg";
  const std::string status = "exit status " + std::to_string(exit_status);
  if (stage == Stage::kVerify) {
    if (SaysOutOfMemory(stderr_text)) {
      return Make(ErrorCode::kOutOfMemory, "checking the output was stopped at its memory limit",
                  Saying(stderr_text, kOutOfMemory));
    }
    const std::string because = TellingLine(stderr_text);
    return Make(ErrorCode::kVerification, "the output cannot be read back without errors",
                because.empty() ? status : because);
  }
  if (SaysDiskFull(stderr_text)) {
    return Make(ErrorCode::kDiskFull,
                "the disk became full while the output was written; nothing was kept: make room and try again",
                Saying(stderr_text, kDiskFull));
  }
  if (Has(stderr_text, kFileTooLarge)) {
    return Make(ErrorCode::kRunaway, "the output grew past the size that was forecast for it",
                Saying(stderr_text, kFileTooLarge));
  }
  if (SaysOutOfMemory(stderr_text)) {
    if (stage == Stage::kProbe) {
      return Make(ErrorCode::kInputTooLarge,
                  "the input " + input_name + " needs more memory to look at than is allowed",
                  Saying(stderr_text, kOutOfMemory));
    }
    return Make(ErrorCode::kOutOfMemory, tool + " was refused memory at its limit",
                Saying(stderr_text, kOutOfMemory));
  }
  // Before the input's own problems: a wrong filter makes ffmpeg complain about the data too.
  if (Has(stderr_text, kTool)) {
    return Make(ErrorCode::kToolUnusable, tool + " cannot do what is asked of it", Saying(stderr_text, kTool));
  }
  if (auto problem = InputProblemOf(stderr_text, input_name)) return *std::move(problem);
  if (stage == Stage::kProbe && Has(stderr_text, kInvalidData)) {
    return Make(
        ErrorCode::kInputNotMedia,
        "the input " + input_name + " is not a media file that can be read: give a video, sound or picture file", {});
  }
  if (Has(stderr_text, kDecoding) || Has(stderr_text, kInvalidData)) {
    return Make(ErrorCode::kInputDamaged, "the input " + input_name + " is damaged: it cannot be decoded to its end",
                Saying(stderr_text, kDecoding));
  }
  if (exit_status == 126 || exit_status == 127) {
    return Make(ErrorCode::kToolUnusable, tool + " cannot be run", TellingLine(stderr_text));
  }
  return Make(ErrorCode::kChildFailed, tool + " ended with " + status, TellingLine(stderr_text));
}

std::string DecodeErrors(std::string_view stderr_text) {
  static constexpr auto kHarmless =
      std::to_array<std::string_view>({"mmco: unref short failure", "co located POCs unavailable"});
  std::string errors;
  bool dropped = false;
  for (const std::string_view line : SplitLines(stderr_text)) {
    const std::string_view bare = Bare(line);
    if (bare.empty()) continue;
    // "Last message repeated 3 times" shares the fate of its message.
    if (!bare.starts_with("Last message repeated")) dropped = Has(bare, kHarmless);
    if (dropped) continue;
    if (!errors.empty()) errors += '\n';
    errors += Shown(line);
  }
  return errors;
}

std::string TellingLine(std::string_view stderr_text) {
  static constexpr auto kSaysNothing = std::to_array<std::string_view>(
      {"Conversion failed!", "Last message repeated", "To ignore this, add a trailing", "Error opening input files",
       "Error opening output files"});
  for (const std::string_view line : SplitLines(stderr_text)) {
    if (!Bare(line).empty() && !Has(line, kSaysNothing)) return Shown(line);
  }
  return {};
}

}  // namespace weir::media
