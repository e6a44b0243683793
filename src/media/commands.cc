#include "media/commands.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::media {

// Containers of cameras, phones, recorders and browsers, and single pictures. Playlists and scripts (hls, dash,
// concat, sdp, image2 patterns) stay out: they open other files. Raw streams and old game formats stay out: nobody
// uploads them, and each is one more parser for hostile bytes. The *_pipe names are how a picture without a file
// name extension is recognised, which is how descriptor 3 looks.
const char* const kFormatAllowList =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,ogg,wav,mp3,aac,flac,png_pipe,jpeg_pipe,webp_pipe";
const char* const kProtocolAllowList = "file";

namespace {

constexpr double kMargin = 1.15;
constexpr double kIndexMibPerMinute = 0.25;

double IndexMib(MediaTime length) { return std::max(0.0, Seconds(length)) / 60.0 * kIndexMibPerMinute; }

}  // namespace

std::string SecondsText(MediaTime time) {
  const std::int64_t count = std::max<std::int64_t>(0, time.count());
  const std::string fraction = std::to_string(count % 1'000'000);
  return std::to_string(count / 1'000'000) + "." + std::string(6 - fraction.size(), '0') + fraction;
}

void Append(Arguments& arguments, std::vector<std::string> more) {
  arguments.insert(arguments.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

Arguments FfmpegStart(const InputLimits& limits) {
  return {
      "-hide_banner", "-nostdin", "-nostats", "-v", "error", "-max_alloc", std::to_string(limits.max_alloc.count()),
      "-progress",    "pipe:4"};
}

void AppendInput(Arguments& arguments, const InputLimits& limits, std::vector<std::string> before) {
  Append(arguments, {"-protocol_whitelist", kProtocolAllowList, "-format_whitelist", kFormatAllowList, "-max_streams",
                     std::to_string(limits.max_streams), "-max_pixels", std::to_string(limits.max_pixels)});
  Append(arguments, std::move(before));
  Append(arguments, {"-i", kInputUrl});
}

Arguments FfprobeOf(const InputLimits& limits, std::vector<std::string> entries, std::vector<std::string> before) {
  Arguments arguments = {"-hide_banner", "-v", "error", "-max_alloc", std::to_string(limits.max_alloc.count())};
  Append(arguments, std::move(entries));
  AppendInput(arguments, limits, std::move(before));
  return arguments;
}

Arguments ProbeArguments(const InputLimits& limits) {
  return FfprobeOf(limits, {"-of", "json", "-show_format", "-show_streams"});
}

// One process for both: starting one takes as much processor time as reading the packets of ten minutes (0.05 s).
// A line for each packet, however many fields.
Arguments OnlyReferences() { return {"-skip_frame:v", "noref", "-skip_loop_filter:v", "all"}; }

Arguments FileScanArguments(const InputLimits& limits, ScanDecodes decodes) {
  std::string entries = "packet=stream_index,pts_time,dts_time,duration_time,size,flags";
  Arguments before;
  if (decodes != ScanDecodes::kNothing) {
    entries += ":frame=stream_index";
    before = decodes == ScanDecodes::kKeys ? Arguments{"-skip_frame:v", "nokey"} : OnlyReferences();
    Append(before, {"-threads", "1"});
  }
  return FfprobeOf(limits, {"-of", "json=compact=1", "-show_format", "-show_streams", "-show_entries", entries},
                   std::move(before));
}

Bytes ProbeLease(Size largest, int bit_depth, MediaTime length) {
  const double per_megapixel = bit_depth > 8 ? 6.2 : 3.1;
  return Bytes::FromMib((56 + per_megapixel * largest.megapixels() + IndexMib(length)) * kMargin);
}

Bytes DecodeLease(std::string_view codec, Size size, int bit_depth, int refs, MediaTime length) {
  double per_megapixel = 15;
  if (codec == "h264") per_megapixel = 12.5;
  if (codec == "vp9" || codec == "vp8") per_megapixel = 6.5;
  if (codec == "mjpeg" || codec == "png" || codec == "webp") per_megapixel = 3.5;
  // Samples of two bytes; HEVC with 10 bits also measured above twice its 8-bit figure.
  if (bit_depth > 8) per_megapixel *= 2;
  const double further = 1.7 * std::max(0, refs - 4);
  return Bytes::FromMib((56 + (per_megapixel + further) * size.megapixels() + IndexMib(length)) * kMargin);
}

}  // namespace weir::media
