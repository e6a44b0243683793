#include <algorithm>
#include <utility>

#include "media/commands.h"
#include "media/expectation.h"
#include "media/failure.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;

constexpr MediaTime kWindow = std::chrono::milliseconds(500);
constexpr MediaTime kLastPicture = std::chrono::milliseconds(20);
// Below this three windows would read nearly everything, three times over the cost of starting a decoder.
constexpr MediaTime kDecodeWhole = std::chrono::seconds(2);
// Processor time of decoding H.264, with ffmpeg 5.1: 1.4 ms for a million pixels and 0.1 s for a megabyte (608x1080
// from 0.1 to 2 MB/s). Two more processes take 0.1 s, and windows read half of a short clip besides.
constexpr double kPerMegapixel = 0.0014;
constexpr double kPerMegabyte = 0.1;
constexpr double kLittle = 0.15;

double PicturesOf(const Expectation& expected, const MediaFacts& source, MediaTime length) {
  double rate = expected.video ? expected.video->rate.value() : 0;
  if (rate <= 0 && source.video) {
    rate = source.video->average_rate.value();
  }
  return std::max(rate, 0.0) * std::chrono::duration<double>(length).count();
}

bool TakesLittle(const Expectation& expected, const MediaFacts& source, Size size, MediaTime length, Bytes bytes) {
  if (!expected.video) {
    return false;
  }
  const double pictures = PicturesOf(expected, source, length);
  if (pictures <= 0 || size.megapixels() <= 0) {
    return false;
  }
  return kPerMegapixel * size.megapixels() * pictures + kPerMegabyte * static_cast<double>(bytes.count()) / 1e6 <
         kLittle;
}

// Up to here the scan decodes key pictures, and all sound: 0.02 to 0.03 s for 10 s of 1080x1920, where a decoder at
// the head takes 0.17 s, most of them to start. Beyond, windows are less work.
constexpr MediaTime kDecodeKeys = std::chrono::minutes(1);

// The longest distance of key pictures that x264 makes unless it is told to. With hardly more pictures than these the
// tail would be most of the clip. 5 s of 1080x1920 take 0.34 s; the tail and a scan beside it 0.71 s.
constexpr double kOneGroup = 250;

milliseconds Deadline(MediaTime length, int times_real_time_per_mille) {
  return milliseconds(60'000) + std::chrono::duration_cast<milliseconds>(length) * times_real_time_per_mille / 1000;
}

}  // namespace

// One process for each window, rather than one with three inputs: that one holds three decoders (143 MB against
// 86 MB for 1080x1920) and cannot use a second core, and its error does not tell the window. CPU time for a 10 s
// 1080x1920 clip of 7 MB on a busy machine: scan 0.06 s, head 0.14 s, middle 0.14 s, tail 0.25 s;
// decoding all takes 1.15 s. The tail costs what lies between the last keyframe and the end. Where a clip has few
// keyframes, windows begin at the same one: those that show nothing new are left out (WindowKnowing).
std::vector<VerifyCommand> BuildVerification(const Expectation& expected, const MediaFacts& source, VerifyDepth depth,
                                             MediaTime output_length, std::optional<Bytes> output_size) {
  const InputLimits limits = {.max_pixels = std::int64_t{1} << 28U};  // our own output: the plan has bounded it
  const MediaTime length = std::max(output_length, MediaTime(0));
  const bool source_known = source.video.has_value();

  // A copy keeps the pictures of its source; what is encoded is 8-bit.
  Size size;
  std::string codec;
  bool encoded = false;
  int bit_depth = 8;
  int refs = 4;
  if (expected.video) {
    const bool copied = !expected.video->check_size && source_known;
    encoded = expected.video->check_size;
    size = copied ? source.video->coded : expected.video->size;
    codec = expected.video->codec.empty() && source_known ? source.video->codec : expected.video->codec;
    if (copied) {
      bit_depth = source.video->bit_depth;
      // 1 is also what ffprobe says when it does not know.
      refs = source.video->refs > 1 ? source.video->refs : 8;
    }
  }

  const Bytes probe_lease = ProbeLease(size, bit_depth, length);
  const Bytes decode_lease = DecodeLease(codec, size, bit_depth, refs, length);
  // MPEG-TS has no index: a seek lands between keyframes, and a decoder rightly complains there.
  const bool seekable = expected.container != "mpegts";
  const bool whole = depth == VerifyDepth::kFull || expected.still_image || length < kDecodeWhole || !seekable ||
                     (output_size && TakesLittle(expected, source, size, length, *output_size));
  // Of the others' decoders not all can leave pictures out.
  const bool keys = !whole && encoded && codec == "h264" && length <= kDecodeKeys;
  const double pictures = PicturesOf(expected, source, length);
  const bool references = keys && pictures > 0 && pictures <= kOneGroup;

  std::vector<VerifyCommand> commands;
  commands.push_back({.where = references ? kReferences
                               : keys     ? kKeyPictures
                                          : "scan",
                      .is_ffprobe = true,
                      .arguments = FileScanArguments(limits, references ? ScanDecodes::kLeanedOn
                                                             : keys     ? ScanDecodes::kKeys
                                                                        : ScanDecodes::kNothing),
                      .lease = keys ? decode_lease : probe_lease,
                      .deadline = Deadline(length, 500)});

  if (references) {
    commands.back().deadline = Deadline(length, 10'000);
    return commands;
  }

  const auto decode = [&](const char* where, std::vector<std::string> seek, int times_real_time_per_mille) {
    VerifyCommand command;
    command.where = where;
    command.arguments = FfmpegStart(limits);
    // -xerror found every damage that -err_detect explode found, without its false alarms on open GOPs.
    Append(command.arguments, {"-xerror"});
    Append(seek, {"-threads", "1"});
    AppendInput(command.arguments, limits, std::move(seek));
    Append(command.arguments, {"-map", "0:v:0?", "-map", "0:a?", "-fps_mode:v", "passthrough", "-enc_time_base:v",
                               "-1", "-f", "null", "-"});
    command.lease = decode_lease;
    command.deadline = Deadline(length, times_real_time_per_mille);
    commands.push_back(std::move(command));
  };

  if (whole) {
    decode("all", {}, 10'000);
    std::ranges::reverse(commands);
    return commands;
  }
  // Middle and tail begin at the keyframe before them (-noaccurate_seek): the same decoding for the tail, less for
  // the middle, and there is a picture to decode even where the sound outlasts the picture.
  // The last keyframe that there is: an earlier one costs a whole group of pictures more.
  const Arguments last{"-noaccurate_seek", "-ss", SecondsText(length - kLastPicture)};
  if (keys) {
    Arguments seek = OnlyReferences();
    Append(seek, last);
    decode(kTailReferences, std::move(seek), 500);
    return commands;
  }
  decode("tail", last, 500);
  decode("head", {"-t", SecondsText(kWindow)}, 500);
  commands.back().after_scan = true;
  const MediaTime middle = length / 2 - kWindow / 2;
  decode("middle", {"-noaccurate_seek", "-ss", SecondsText(middle), "-t", SecondsText(kWindow)}, 500);
  commands.back().after_scan = true;
  commands.back().at = middle;
  return commands;
}

const PacketScan::Stream* PictureOf(const PacketScan& scan, const MediaFacts& found) {
  if (!found.video) return nullptr;
  const auto stream = std::ranges::find(scan.streams(), found.video->index, &PacketScan::Stream::index);
  return stream != scan.streams().end() ? &*stream : nullptr;
}

std::optional<std::string> WindowKnowing(const PacketScan& scan, const MediaFacts& found,
                                         const VerifyCommand& window) {
  const auto* stream = PictureOf(scan, found);
  if (stream == nullptr || stream->keys == 0) {
    return window.where;
  }
  if (stream->keys == 1) {
    // Every window begins at the first picture, and the tail goes on to the last.
    return window.where == "tail" ? std::optional<std::string>("all")
           : window.after_scan    ? std::nullopt
                                  : std::optional(window.where);
  }
  if (!window.at) {
    return window.where;
  }
  // Which of two key pictures a seek takes is up to the demuxer where they are close to its target.
  const bool from_first = stream->second_key && *stream->second_key > *window.at + kWindow;
  const bool from_last = stream->last_key && *stream->last_key <= *window.at - kWindow;
  return from_first || from_last ? std::nullopt : std::optional(window.where);
}

std::optional<DecodedWindow> DecodedByScan(const VerifyCommand& command, const PacketScan& scan,
                                           const MediaFacts& found, std::string_view complaints) {
  if (command.where != kReferences && command.where != kKeyPictures) return std::nullopt;
  DecodedWindow window{.where = command.where, .errors = DecodeErrors(complaints)};
  const auto* stream = PictureOf(scan, found);
  window.frames = stream != nullptr ? stream->decoded : 0;
  window.clean = window.errors.empty();
  return window;
}

}  // namespace weir::media
