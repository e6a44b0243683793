// What a failed child meant: its exit status and the tail of its standard error as one row of the error table.
// Pure. Only sentences that ffmpeg (5 to 8) and the C library really print are recognised; the rest is kChildFailed.
//
// Exit status 0 is no proof: ffmpeg 5 exits with 0 when the trailer could not be written to a full disk, and ffprobe
// when a picture was refused for its size. Ask SaysDiskFull and InputProblemOf there too.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace weir::media {

enum class Stage : unsigned char { kProbe, kWork, kVerify };

// True when the text says that an allocation, a thread's stack or a library mapping was refused (RLIMIT_DATA).
// -max_alloc is refused in the same words; at Stage::kProbe ClassifyFailure takes it for the input's fault.
bool SaysOutOfMemory(std::string_view stderr_text);
// True when the text says that the disk or the quota is full.
bool SaysDiskFull(std::string_view stderr_text);

// What the text says about the input, whatever the exit status: kInputTooLarge (-max_pixels, -max_streams, absurd
// dimensions), kInputNotMedia (format or protocol not on the allow list), kInputDamaged (truncated, moov missing,
// broken data), kInputUnreadable (I/O error). nullopt when it says nothing of the kind.
std::optional<Error> InputProblemOf(std::string_view stderr_text, const std::string& input_name);

// kDiskFull, kRunaway (past RLIMIT_FSIZE), kOutOfMemory, everything of InputProblemOf, kInputNotMedia (invalid data
// at open), kInputTooLarge (out of memory while probing), kToolUnusable (unknown encoder, option or filter, missing
// library), else kChildFailed. At Stage::kVerify the file is our own: kOutOfMemory or kVerification.
// `input_name` is already safe to print.
Error ClassifyFailure(Stage stage, int exit_status, std::string_view stderr_text, const std::string& input_name);

// The lines of a decoder's stderr that tell of damage; empty when there are none. Drops what healthy files cause at
// open GOPs and seeks ("mmco: unref short failure", "co located POCs unavailable"). One line for each, safe to print.
std::string DecodeErrors(std::string_view stderr_text);

// The line that tells most, without ffmpeg's "[h264 @ 0x55...]" in front and safe to print; at most 200 bytes.
std::string TellingLine(std::string_view stderr_text);

}  // namespace weir::media
