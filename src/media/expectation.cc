#include "media/expectation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/text.h"

namespace weir::media {
namespace {

// Matroska and WebM keep times in whole milliseconds; both ends of a length may be rounded.
constexpr MediaTime kRounding{2'000};
// Samples in one packet of the codecs that are made or copied: AAC 1024, MP3 1152, HE-AAC 2048 (at half the rate).
constexpr std::int64_t kAudioFrame = 1152;
// Pictures for each that others lean on: x264 has at most 16 in a row that nothing does.
constexpr std::int64_t kMostPerReference = 20;

template <typename... Values>
std::string Format(const char* format, Values... values) {
  std::array<char, 128> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, values...);
  return length <= 0 ? std::string()
                     : std::string(buffer.data(), std::min(static_cast<std::size_t>(length), buffer.size() - 1));
}

std::string Shown(MediaTime time) { return Format("%.3f s", Seconds(time)); }
std::string Shown(const std::optional<MediaTime>& time) { return time ? Shown(*time) : std::string("unknown"); }
std::string Shown(Size size) { return Format("%dx%d", size.width, size.height); }
std::string Shown(const Rational& ratio) {
  return Format("%lld:%lld", static_cast<long long>(ratio.num), static_cast<long long>(ratio.den));
}
std::string Shown(std::string_view word) { return word.empty() ? std::string("unknown") : std::string(word); }
std::string Rate(double rate) { return rate > 0 ? Format("%.3f frames/s", rate) : std::string("unknown"); }

std::string Counted(std::int64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

bool HasWord(std::string_view list, std::string_view word) {
  while (true) {
    const std::size_t comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

MediaTime AudioFrame(int sample_rate) { return MediaTime(kAudioFrame * 1'000'000 / std::max(sample_rate, 8000)); }

class Checker {
 public:
  Checker(const Expectation& expected, const MediaFacts& found, const PacketScan& scan)
      : expected_(expected), found_(found), scan_(scan) {}

  void Container() {
    // Without a file name extension ffmpeg calls a picture by its pipe.
    const bool picture = expected_.container == "image2" && found_.container.ends_with("_pipe");
    Add("container", expected_.container, Shown(found_.container),
        picture || HasWord(found_.container, expected_.container));
  }

  void Streams() {
    const auto others = [&](std::string_view kind) {
      return static_cast<std::size_t>(std::ranges::count(found_.others, kind, &OtherStream::kind));
    };
    const std::size_t subtitles = others("subtitle");
    const std::size_t further = found_.others.size() - subtitles - others("video");
    // Further moving pictures and cover art are both among the others.
    const std::size_t pictures = (found_.video ? 1U : 0U) + others("video");
    const auto text = [](std::size_t video, std::size_t audio, std::size_t titles, std::size_t rest) {
      std::string sentence = std::to_string(video) + " video, " + std::to_string(audio) + " audio";
      if (titles > 0) sentence += ", " + std::to_string(titles) + " subtitle";
      if (rest > 0) sentence += ", " + std::to_string(rest) + " other";
      return sentence;
    };
    const std::string want = text(expected_.video ? 1 : 0, expected_.audio.size(), expected_.subtitles, 0);
    const std::string got = text(pictures, found_.audio.size(), subtitles, further);
    Add("streams", want, got, want == got);
  }

  void Video() {
    if (!expected_.video) return;
    if (!found_.video) {
      Add("video", "present", "absent", false);
      return;
    }
    const ExpectedVideo& want = *expected_.video;
    const VideoStream& got = *found_.video;
    if (!want.codec.empty()) Add("video codec", want.codec, Shown(got.codec), want.codec == got.codec);
    if (want.check_size) Add("size", Shown(want.size), Shown(got.coded), want.size == got.coded);
    if (want.square_pixels)
      Add("sample aspect", "1:1", Shown(got.sample_aspect), got.sample_aspect == Rational{1, 1});
    if (want.no_rotation) Add("rotation", "0 degrees", Format("%d degrees", got.rotation), got.rotation == 0);
    if (want.rate.known()) FrameRate(want, got);
    if (!want.pixel_format.empty())
      Add("pixel format", want.pixel_format, Shown(got.pixel_format), want.pixel_format == got.pixel_format);
  }

  void Audio() {
    for (std::size_t i = 0; i < expected_.audio.size(); ++i) {
      const ExpectedAudio& want = expected_.audio[i];
      const std::string name = expected_.audio.size() == 1 ? "audio" : "audio " + std::to_string(i + 1);
      if (i >= found_.audio.size()) {
        Add(name, "present", "absent", false);
        continue;
      }
      const AudioStream& got = found_.audio[i];
      std::string wanted = want.codec.empty() ? "any codec" : want.codec;
      std::string seen = Shown(got.codec);
      if (want.sample_rate > 0) {
        wanted += Format(", %d Hz", want.sample_rate);
        seen += Format(", %d Hz", got.sample_rate);
      }
      if (want.channels > 0) {
        wanted += ", " + Counted(want.channels, "channel", "channels");
        seen += ", " + Counted(got.channels, "channel", "channels");
      }
      Add(name, wanted, seen,
          (want.codec.empty() || want.codec == got.codec) &&
              (want.sample_rate == 0 || want.sample_rate == got.sample_rate) &&
              (want.channels == 0 || want.channels == got.channels));
    }
  }

  void Durations() {
    if (!expected_.duration || expected_.still_image) return;
    const MediaTime whole = *expected_.duration;
    const MediaTime tolerance = Tolerance();
    const std::string want = Shown(whole) + " within " + Shown(tolerance);
    const std::optional<MediaTime> said = found_.duration;
    // A subtitle may stay up longer than picture and sound last, and then the container says so.
    const bool outlasted = expected_.subtitles > 0 && said && *said > whole;
    Add("duration", want, Shown(said), outlasted || (said && Within(*said, whole, tolerance)));

    // What the packets say, stream by stream, counted from the first thing shown.
    const std::optional<MediaTime> start = FirstShown();
    if (!start) return;
    MediaTime latest{0};
    for (const PacketScan::Stream& stream : scan_.streams()) {
      if (IsTimed(stream.index) && stream.end_pts) latest = std::max(latest, *stream.end_pts - *start);
    }
    Add("duration of packets", want, Shown(latest), Within(latest, whole, tolerance));
    if (expected_.video && found_.video)
      StreamDuration("video", found_.video->index, expected_.video->duration, *start, tolerance);
    for (std::size_t i = 0; i < std::min(expected_.audio.size(), found_.audio.size()); ++i) {
      const std::string name = expected_.audio.size() == 1 ? "audio" : "audio " + std::to_string(i + 1);
      StreamDuration(name, found_.audio[i].index, expected_.audio[i].duration, *start,
                     tolerance + expected_.audio[i].duration_slack);
    }
  }

  void Packets() {
    std::int64_t packets = 0;
    std::int64_t bad = 0;
    std::int64_t backwards = 0;
    std::size_t silent = 0;
    for (const PacketScan::Stream& stream : scan_.streams()) {
      packets += stream.packets;
      bad += stream.corrupt;
      // A subtitle is ended by an empty one.
      if (IsTimed(stream.index)) bad += stream.empty_packets;
      if (!expected_.still_image) backwards += stream.times_backwards + stream.times_missing;
      const bool video = found_.video && found_.video->index == stream.index;
      if (video && !expected_.still_image && !HasWord(found_.container, "matroska"))
        backwards += stream.times_repeated;
    }
    if (found_.video && expected_.video && Scanned(found_.video->index) == nullptr) ++silent;
    for (const AudioStream& stream : found_.audio) silent += Scanned(stream.index) == nullptr ? 1U : 0U;
    std::string seen = Counted(packets, "packet", "packets");
    if (bad > 0) seen += ", " + std::to_string(bad) + " empty or corrupt";
    if (silent > 0) seen += ", none in " + Counted(static_cast<std::int64_t>(silent), "stream", "streams");
    if (scan_.unreadable_lines() > 0) seen += ", " + std::to_string(scan_.unreadable_lines()) + " not readable";
    Add("packets", "in every stream, none empty or corrupt", seen,
        packets > 0 && bad == 0 && silent == 0 && scan_.unreadable_lines() == 0);
    if (!expected_.still_image) {
      Add("packet times", "rising", backwards == 0 ? "rising" : std::to_string(backwards) + " not rising or missing",
          backwards == 0);
    }
  }

  void Frames() {
    if (!expected_.video || !found_.video || (expected_.min_frames <= 0 && expected_.max_frames <= 0)) return;
    const PacketScan::Stream* stream = Scanned(found_.video->index);
    const std::int64_t frames = stream == nullptr ? 0 : stream->packets - stream->discarded;
    // VP8 keeps pictures that are never shown in packets of their own.
    const bool bounded = expected_.max_frames > 0 && found_.video->codec != "vp8";
    std::string want = "at least " + std::to_string(expected_.min_frames);
    if (bounded) {
      want = expected_.min_frames == expected_.max_frames
                 ? std::to_string(expected_.max_frames)
                 : std::to_string(expected_.min_frames) + " to " + std::to_string(expected_.max_frames);
    }
    Add("frames", want, std::to_string(frames),
        frames >= expected_.min_frames && (!bounded || frames <= expected_.max_frames));
  }

  // Of the picture, as the packets are marked.
  [[nodiscard]] std::int64_t KeyPictures() const {
    const auto* stream = PictureOf(scan_, found_);
    return stream != nullptr ? stream->keys : 0;
  }

  void Windows(const std::vector<DecodedWindow>& windows) {
    if (windows.empty()) Add("decoding", "at least a part", "nothing", false);
    for (const DecodedWindow& window : windows) {
      std::int64_t least = expected_.video ? 1 : 0;
      // Two pictures may be waiting for references that a cut has left behind.
      if (expected_.video && window.where == "all") least = std::max(least, expected_.min_frames - 2);
      if (window.where == kKeyPictures || window.where == kReferences) least = std::max(least, KeyPictures());
      if (window.where == kReferences) least = std::max(least, expected_.min_frames / kMostPerReference);
      std::string want = least > 0 ? "at least " + Counted(least, "frame", "frames") + ", no error" : "no error";
      std::string seen = expected_.video ? Counted(window.frames, "frame", "frames") + ", " : std::string();
      if (!window.errors.empty()) {
        seen += Printable(window.errors.substr(0, window.errors.find('\n')).substr(0, 160));
      } else {
        seen += window.clean ? "no error" : "the decoder failed";
      }
      Add("decoding " + window.where, std::move(want), std::move(seen),
          window.clean && window.errors.empty() && window.frames >= least);
    }
  }

  void Front(bool moov_first) {
    if (!expected_.faststart) return;
    Add("index", "in front of the media (faststart)", moov_first ? "in front" : "behind the media or missing",
        moov_first);
  }

  void Tags() {
    if (!expected_.no_identifying_tags) return;
    std::string seen;
    for (const std::string& tag : found_.identifying_tags) seen += (seen.empty() ? "" : ", ") + Printable(tag);
    Add("tags of place, device or person", "none", seen.empty() ? "none" : seen, seen.empty());
  }

  CheckReport Take() { return std::move(report_); }

 private:
  static bool Within(MediaTime found, MediaTime expected, MediaTime tolerance) {
    return found <= expected + tolerance && found >= expected - tolerance;
  }

  void Add(std::string what, std::string want, std::string seen, bool ok) {
    report_.lines.push_back(
        {.what = std::move(what), .expected = std::move(want), .found = std::move(seen), .ok = ok});
  }

  // Sound ends on whole packets, so a file may be longer than its picture by less than one of them.
  [[nodiscard]] MediaTime Tolerance() const {
    MediaTime tolerance = expected_.duration_tolerance;
    for (const AudioStream& stream : found_.audio) tolerance = std::max(tolerance, AudioFrame(stream.sample_rate));
    return tolerance + kRounding;
  }

  [[nodiscard]] bool IsTimed(int index) const {
    return (found_.video && found_.video->index == index) ||
           std::ranges::find(found_.audio, index, &AudioStream::index) != found_.audio.end();
  }

  [[nodiscard]] const PacketScan::Stream* Scanned(int index) const {
    const auto stream = std::ranges::find(scan_.streams(), index, &PacketScan::Stream::index);
    return stream == scan_.streams().end() || stream->packets == 0 ? nullptr : &*stream;
  }

  [[nodiscard]] std::optional<MediaTime> FirstShown() const {
    std::optional<MediaTime> first;
    for (const PacketScan::Stream& stream : scan_.streams()) {
      if (IsTimed(stream.index) && stream.first_pts)
        first = std::min(first.value_or(*stream.first_pts), *stream.first_pts);
    }
    return first;
  }

  void FrameRate(const ExpectedVideo& want, const VideoStream& got) {
    double rate = got.average_rate.value();
    const PacketScan::Stream* stream = Scanned(got.index);
    const std::int64_t frames = stream == nullptr ? 0 : stream->packets - stream->discarded;
    if (!got.average_rate.known() && stream != nullptr && stream->first_pts &&
        *stream->end_pts > *stream->first_pts) {
      rate = static_cast<double>(frames) / Seconds(*stream->end_pts - *stream->first_pts);
    }
    // The mean over few frames is off by one frame's share.
    const double tolerance = std::max(want.rate_tolerance, frames > 0 ? 1.01 / static_cast<double>(frames) : 0.0);
    const double expected = want.rate.value();
    Add("frame rate", Rate(expected) + Format(" within %.1f %%", tolerance * 100), Rate(rate),
        rate > 0 && std::abs(rate / expected - 1) <= tolerance);
  }

  void StreamDuration(const std::string& name, int index, const std::optional<MediaTime>& own, MediaTime start,
                      MediaTime tolerance) {
    const PacketScan::Stream* stream = Scanned(index);
    if (stream == nullptr || !stream->end_pts) return;  // said by Packets
    const MediaTime end = *stream->end_pts - start;
    if (own) {
      Add(name + " duration", Shown(*own) + " within " + Shown(tolerance), Shown(end), Within(end, *own, tolerance));
    } else {
      const MediaTime most = *expected_.duration + tolerance;
      Add(name + " duration", "at most " + Shown(most), Shown(end), end <= most);
    }
  }

  const Expectation& expected_;
  const MediaFacts& found_;
  const PacketScan& scan_;
  CheckReport report_;
};

std::uint64_t BigEndian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = (value << 8U) | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

bool CheckReport::ok() const {
  return !lines.empty() && std::ranges::all_of(lines, [](const CheckLine& line) { return line.ok; });
}

std::string CheckReport::FirstDifference() const {
  const auto line = std::ranges::find(lines, false, &CheckLine::ok);
  if (line == lines.end()) return {};
  return line->what + ": expected " + line->expected + ", found " + line->found;
}

std::string CheckReport::Summary() const {
  static constexpr std::string_view kDecoding = "decoding ";
  std::string summary;
  std::vector<std::string> windows;
  for (const CheckLine& line : lines) {
    if (!line.ok) continue;
    if (line.what.starts_with(kDecoding)) {
      windows.push_back(line.what.substr(kDecoding.size()));
      continue;
    }
    if (!summary.empty()) summary += ", ";
    summary += line.what == "packets" ? "all " + line.found + " read" : line.what;
  }
  // They end in any order; head, middle, tail is also the order of the alphabet.
  std::ranges::sort(windows);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (i == 0) summary += summary.empty() ? "decoded " : ", decoded ";
    if (i > 0) summary += i + 1 == windows.size() ? " and " : ", ";
    summary += windows[i];
  }
  return summary;
}

CheckReport CheckOutput(const Expectation& expected, const MediaFacts& found, const PacketScan& scan,
                        const std::vector<DecodedWindow>& windows, bool moov_first) {
  Checker checker(expected, found, scan);
  checker.Container();
  checker.Streams();
  checker.Video();
  checker.Audio();
  checker.Durations();
  checker.Frames();
  checker.Packets();
  checker.Windows(windows);
  checker.Front(moov_first);
  checker.Tags();
  return checker.Take();
}

bool MoovFirst(std::string_view front) {
  bool first = true;
  while (front.size() >= 8) {
    std::uint64_t size = BigEndian(front.substr(0, 4));
    const std::string_view type = front.substr(4, 4);
    if (first && type != "ftyp") return false;
    first = false;
    if (type == "moov") return true;
    if (type == "mdat") return false;
    std::uint64_t header = 8;
    if (size == 1) {
      if (front.size() < 16) return false;
      size = BigEndian(front.substr(8, 8));
      header = 16;
    }
    // 0 means "to the end of the file": nothing can follow.
    if (size < header || size >= front.size()) return false;
    front.remove_prefix(static_cast<std::size_t>(size));
  }
  return false;
}

}  // namespace weir::media
