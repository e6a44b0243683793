#include "media/plan_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace weir::media {
namespace {

constexpr std::array<int, 13> kAacRates{96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                        22050, 16000, 12000, 11025, 8000,  7350};

bool In(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

bool IsPcm(std::string_view codec) { return codec.starts_with("pcm_"); }

// A layout that the encoder writes without private channel tables, so that every player knows which is left.
const char* PlainLayout(int channels, bool opus) {
  switch (channels) {
    case 3:
      return "3.0";
    case 4:
      return opus ? "quad" : "4.0";
    case 5:
      return "5.0";
    case 6:
      return "5.1";
    case 7:
      return opus ? "6.1" : nullptr;
    case 8:
      return "7.1";
    default:
      return nullptr;
  }
}

MediaTime EndOf(const std::optional<MediaTime>& start, const std::optional<MediaTime>& container_start,
                MediaTime duration) {
  const MediaTime late = start && container_start ? *start - *container_start : MediaTime(0);
  return std::max(MediaTime(0), late) + duration;
}

}  // namespace

int EvenDown(double value) { return std::max(2, static_cast<int>(std::floor(value / 2 + 1e-9)) * 2); }
int EvenNear(double value) { return std::max(2, static_cast<int>(std::ceil(value / 2 - 0.5 - 1e-9)) * 2); }

Picture PictureOf(const VideoStream& video) {
  Picture picture{.stored = video.coded, .shown = video.displayed()};
  if (video.rotation == 90 || video.rotation == 270) std::swap(picture.stored.width, picture.stored.height);
  return picture;
}

Result<MediaTime> LengthOf(const MediaFacts& facts, bool with_video, bool with_audio) {
  MediaTime longest{0};
  bool all_known = true;
  if (with_video && facts.video) {
    if (facts.video->duration) {
      longest = std::max(longest, EndOf(facts.video->start, facts.start, *facts.video->duration));
    } else {
      all_known = false;
    }
  }
  if (with_audio) {
    for (const AudioStream& stream : facts.audio) {
      if (stream.duration) {
        longest = std::max(longest, EndOf(stream.start, facts.start, *stream.duration));
      } else {
        all_known = false;
      }
    }
  }
  if (!all_known || longest == MediaTime(0)) longest = std::max(longest, facts.duration.value_or(MediaTime(0)));
  if (longest == MediaTime(0) && facts.container.find("_pipe") != std::string::npos) {
    return Fail(ErrorCode::kInputNoVideo, "the input is a single picture, and this recipe needs a moving one");
  }
  if (longest == MediaTime(0)) {
    return Fail(ErrorCode::kInputDamaged, "the input does not tell how long it is, and this recipe needs to know");
  }
  return longest;
}

bool HoldsAudio(Container container, std::string_view codec) {
  switch (container) {
    case Container::kMp4:
      return In(codec, {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"});
    case Container::kMov:
      return In(codec, {"aac", "mp3", "ac3", "eac3", "alac"}) || IsPcm(codec);
    case Container::kM4a:
      return In(codec, {"aac", "alac"});
    case Container::kTs:
      return In(codec, {"aac", "mp3", "mp2", "ac3", "eac3"});
    case Container::kWebm:
      return In(codec, {"opus", "vorbis"});
    case Container::kMkv:
      return In(codec, {"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "vorbis", "flac", "dts", "truehd",
                        "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8"});
    case Container::kJpeg:
    case Container::kPng:
      return false;
  }
  return false;
}

bool HoldsVideo(Container container, std::string_view codec) {
  switch (container) {
    case Container::kMp4:
      return In(codec, {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video"});
    case Container::kMov:
      return In(codec, {"h264", "hevc", "mpeg4", "mpeg2video", "prores", "mjpeg"});
    case Container::kTs:
      return In(codec, {"h264", "hevc", "mpeg2video"});
    case Container::kWebm:
      return In(codec, {"vp8", "vp9", "av1"});
    case Container::kMkv:
      return In(codec, {"h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "prores",
                        "theora", "ffv1"});
    case Container::kM4a:
    case Container::kJpeg:
    case Container::kPng:
      return false;
  }
  return false;
}

Muxer MuxerOf(Container container) {
  switch (container) {
    case Container::kMp4:
      return {.format = "mp4", .word = "mp4", .file = "out.mp4", .faststart = true};
    case Container::kMov:
      return {.format = "mov", .word = "mov", .file = "out.mov", .faststart = true};
    case Container::kM4a:
      return {.format = "ipod", .word = "m4a", .file = "out.m4a", .faststart = true};
    case Container::kTs:
      return {.format = "mpegts", .word = "mpegts", .file = "out.ts"};
    case Container::kWebm:
      return {.format = "webm", .word = "webm", .file = "out.webm"};
    case Container::kMkv:
      return {.format = "matroska", .word = "matroska", .file = "out.mkv"};
    case Container::kJpeg:
      return {.format = "image2", .word = "jpeg_pipe", .file = "out.jpg"};
    case Container::kPng:
      return {.format = "image2", .word = "png_pipe", .file = "out.png"};
  }
  return {};
}

AudioChoice ChooseAudio(const MediaFacts& facts, Container container, AudioPolicy policy) {
  AudioChoice choice;
  const bool opus = container == Container::kWebm;
  const std::string codec = opus ? "opus" : "aac";
  std::size_t index = 0;
  for (const AudioStream& stream : facts.audio) {
    const std::string at = ":" + std::to_string(index++);
    const bool copy = policy == AudioPolicy::kCopyHeld   ? HoldsAudio(container, stream.codec)
                      : policy == AudioPolicy::kCopySame ? stream.codec == codec
                                                         : false;
    auto& out = choice.arguments;
    if (copy) {
      out.insert(out.end(), {"-c:a" + at, "copy"});
      choice.expected.push_back(
          {.codec = stream.codec, .sample_rate = stream.sample_rate, .channels = stream.channels});
      choice.bits_per_second += 2e6 + 40.0 * stream.sample_rate * stream.channels;
      continue;
    }
    choice.all_copied = false;
    ++choice.encoders;
    int rate = opus ? 48000 : stream.sample_rate;
    if (!opus && std::ranges::find(kAacRates, rate) == kAacRates.end()) rate = 48000;
    const int channels = stream.channels > 8 ? 2 : stream.channels;
    if (stream.channels > 8) {
      choice.notes.push_back("sound with " + std::to_string(stream.channels) + " channels is mixed down to stereo");
    }
    const int bits = std::max(96'000, 64'000 * channels);
    out.insert(out.end(), {"-c:a" + at, opus ? "libopus" : "aac", "-b:a" + at, std::to_string(bits), "-ar:a" + at,
                           std::to_string(rate)});
    if (stream.channels > 8) out.insert(out.end(), {"-ac:a" + at, "2"});
    if (const char* layout = PlainLayout(channels, opus)) {
      out.insert(out.end(), {"-filter:a" + at, std::string("aformat=channel_layouts=") + layout});
    }
    if (rate != stream.sample_rate && !opus && stream.sample_rate > 0) {
      choice.notes.push_back("sound is resampled from " + std::to_string(stream.sample_rate) +
                             " to 48000 Hz for AAC");
    }
    choice.expected.push_back({.codec = codec, .sample_rate = rate, .channels = channels});
    choice.bits_per_second += 2.0 * bits;
  }
  return choice;
}

double FramesPerSecond(const VideoStream& video) {
  const Rational rate = TidyRate(video);
  if (rate.known()) return std::clamp(rate.value(), 0.01, 1000.0);
  if (video.frames && video.duration && *video.duration > MediaTime(0)) {
    return std::clamp(static_cast<double>(*video.frames) / Seconds(*video.duration), 0.01, 1000.0);
  }
  return 60.0;
}

Rational TidyRate(const VideoStream& video) {
  if (video.variable_rate) return video.average_rate.known() ? video.average_rate : video.nominal_rate;
  return video.nominal_rate.known() ? video.nominal_rate : video.average_rate;
}

MediaTime FrameTime(const VideoStream& video) {
  return MediaTime(static_cast<std::int64_t>(std::llround(1e6 / FramesPerSecond(video))));
}

std::vector<std::string> RateArguments(const VideoStream& video) {
  // "vfr" neither repeats a picture to fill a gap nor moves one; with the rate as time base, times that a
  // container rounded (Matroska: to milliseconds) fall back onto the grid.
  const Rational rate = TidyRate(video);
  const bool grid = !video.variable_rate && rate.known() && rate.num <= 1'000'000 && rate.den <= 1'000'000;
  // For video only: sound counts in samples.
  return {"-fps_mode:v", "vfr", "-enc_time_base:v",
          grid ? std::to_string(rate.den) + ":" + std::to_string(rate.num) : "1:90000"};
}

Seek SeekTo(const MediaFacts& facts, std::optional<MediaTime> time) {
  constexpr MediaTime kRunUp = std::chrono::seconds(12);  // key pictures are rarely further apart
  if (!time || *time <= MediaTime(0)) return {};
  if (!In(facts.container, {"mpegts", "mpeg", "flv"})) return {.before = time, .after = {}};
  if (*time <= kRunUp) return {.before = {}, .after = time};
  return {.before = *time - kRunUp, .after = kRunUp};
}

std::vector<std::string> InputArguments(const Source& source, unsigned decoder_threads,
                                        std::optional<MediaTime> seek) {
  std::vector<std::string> out = FfmpegStart(source.limits);
  std::vector<std::string> before{"-threads", std::to_string(decoder_threads)};
  if (seek) before.insert(before.end(), {"-ss", SecondsText(*seek)});
  AppendInput(out, source.limits, std::move(before));
  out.insert(out.end(), {"-stats_period", "0.5", "-filter_threads", "1"});
  return out;
}

std::vector<std::string> MetadataArguments(const Request& request, const MediaFacts& facts) {
  if (request.keep_metadata) {
    // Chapters become a text track of their own there, which no player of these files needs.
    const bool as_track =
        request.output == Container::kMp4 || request.output == Container::kMov || request.output == Container::kM4a;
    return as_track ? std::vector<std::string>{"-map_chapters", "-1"} : std::vector<std::string>{};
  }
  std::vector<std::string> out{"-map_metadata", "-1", "-map_chapters", "-1"};
  std::size_t index = 0;
  for (const AudioStream& stream : facts.audio) {
    if (stream.language.size() == 3) {
      out.insert(out.end(), {"-metadata:s:a:" + std::to_string(index), "language=" + stream.language});
    }
    ++index;
  }
  return out;
}

std::vector<std::string> MuxerArguments(const Muxer& muxer, const Request& request) {
  std::vector<std::string> out;
  if (muxer.faststart) {
    out = {"-movflags", request.keep_metadata ? "+faststart+use_metadata_tags" : "+faststart"};
    if (muxer.format != "ipod") out.insert(out.end(), {"-write_tmcd", "0"});  // no data stream that nobody asked for
  }
  out.insert(out.end(), {"-fflags", "+bitexact", "-f", muxer.format, "-y", "file:" + muxer.file});
  return out;
}

std::vector<std::string> NotesOnVideo(const VideoStream& video) {
  std::vector<std::string> notes;
  if (video.variable_rate) notes.emplace_back("variable frame rate kept");
  const bool hdr = In(video.color_transfer, {"smpte2084", "arib-std-b67"});
  if (video.bit_depth > 8) {
    notes.push_back(std::to_string(video.bit_depth) + "-bit video is converted to 8-bit 4:2:0" +
                    (hdr ? "; its HDR colours are not tone-mapped, so it looks different on ordinary screens" : ""));
  } else if (!video.chroma_420) {
    notes.push_back("video in " + video.pixel_format + " is converted to 8-bit 4:2:0");
  }
  if (In(video.field_order, {"tt", "bb", "tb", "bt"})) {
    notes.emplace_back("the input is interlaced; its lines are kept as they are");
  }
  return notes;
}

std::vector<std::string> NotesOnDropped(const MediaFacts& facts, bool with_video, bool with_subtitles) {
  std::vector<std::string> notes;
  const auto say = [&notes](std::size_t count, const std::string& what) {
    if (count == 1) notes.push_back("1 " + what + " stream is dropped");
    if (count > 1) notes.push_back(std::to_string(count) + " " + what + " streams are dropped");
  };
  const auto count = [&facts](std::string_view kind) {
    return static_cast<std::size_t>(
        std::ranges::count_if(facts.others, [kind](const OtherStream& other) { return other.kind == kind; }));
  };
  if (!with_video && facts.video) say(1, "video");
  say(count("video"), "further video or cover");
  if (!with_subtitles) say(count("subtitle"), "subtitle");
  say(count("data"), "data");
  say(count("attachment"), "attachment");
  return notes;
}

std::chrono::milliseconds DeadlineFor(MediaTime length) {
  return std::chrono::minutes(10) + 60 * std::chrono::duration_cast<std::chrono::milliseconds>(length);
}

std::string Shown(MediaTime time) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.3f s", Seconds(time));
  return text.data();
}

std::string Shown(Size size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

void KeepStrictlyLeaner(std::vector<Plan>& plans) {
  std::vector<Plan> kept;
  for (Plan& plan : plans) {
    const auto as_lean = [&](const Plan& other) { return other.forecast.lease <= plan.forecast.lease; };
    // What is of no use to a lone job keeps out no plan that is.
    if (std::ranges::any_of(
            kept, [&](const Plan& other) { return as_lean(other) && (plan.in_company || !other.in_company); })) {
      continue;
    }
    // Those that it is not leaner than are for company: they come behind it, so that leases fall down the ladder.
    kept.insert(std::ranges::find_if(kept, as_lean), std::move(plan));
  }
  plans = std::move(kept);
}

std::int64_t PacketsOf(const MediaFacts& facts, MediaTime length) {
  double per_second = facts.video ? FramesPerSecond(*facts.video) : 0;
  for (const AudioStream& stream : facts.audio) per_second += std::max(8000, stream.sample_rate) / 1024.0;
  return static_cast<std::int64_t>(per_second * Seconds(length));
}

}  // namespace weir::media
