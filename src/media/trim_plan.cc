#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "media/plan_parts.h"

namespace weir::media {
namespace {

// Ladder::seconds, of a copy: the start of ffmpeg, and a disk of ordinary speed.
constexpr double kStartSeconds = 0.1;
constexpr double kBytesPerSecond = 250e6;

bool IsText(std::string_view codec) {
  return codec == "subrip" || codec == "srt" || codec == "ass" || codec == "ssa" || codec == "webvtt" ||
         codec == "mov_text" || codec == "text";
}

// The encoder for a subtitle stream in `container`: "copy", a codec, or nothing when it cannot be held.
std::string SubtitleCodec(Container container, std::string_view codec) {
  switch (container) {
    case Container::kMp4:
    case Container::kMov:
      if (codec == "mov_text") return "copy";
      return IsText(codec) ? "mov_text" : "";
    case Container::kWebm:
      if (codec == "webvtt") return "copy";
      return IsText(codec) ? "webvtt" : "";
    case Container::kMkv:
      if (codec == "mov_text" || codec == "text") return "srt";
      if (IsText(codec) || codec == "hdmv_pgs_subtitle" || codec == "dvd_subtitle" || codec == "dvb_subtitle")
        return "copy";
      return "";
    case Container::kTs:
      return codec == "dvb_subtitle" ? "copy" : "";
    case Container::kM4a:
    case Container::kJpeg:
    case Container::kPng:
      return "";
  }
  return "";
}

// `end`: where the output ends; a copied subtitle is cut there (a converted one cannot be: ffmpeg 5 loses it).
SubtitleChoice ChooseSubtitles(const MediaFacts& facts, Container container, MediaTime end,
                               std::vector<std::string>& notes) {
  SubtitleChoice choice;
  std::size_t dropped = 0;
  for (const OtherStream& other : facts.others) {
    if (other.kind != "subtitle") continue;
    const std::string codec = SubtitleCodec(container, other.codec);
    if (codec.empty()) {
      ++dropped;
      continue;
    }
    choice.maps.insert(choice.maps.end(), {"-map", "0:" + std::to_string(other.index)});
    const std::string at = "s:" + std::to_string(choice.count++);
    choice.arguments.insert(choice.arguments.end(), {"-c:" + at, codec});
    if (codec == "copy") {
      choice.arguments.insert(choice.arguments.end(),
                              {"-bsf:" + at, "setts=duration=min(DURATION\\,(" + SecondsText(end) + "-PTS*TB)/TB)"});
    }
    if (codec != "copy") notes.push_back("subtitles are converted from " + other.codec + " to " + codec);
  }
  if (dropped > 0) {
    notes.push_back(std::to_string(dropped) + (dropped == 1 ? " subtitle stream is" : " subtitle streams are") +
                    " dropped: " + std::string(ExtensionOf(container)) + " files cannot hold such subtitles");
  }
  return choice;
}

MediaTime Between(const MediaTime& a, const MediaTime& b) { return a > b ? a - b : b - a; }

}  // namespace

bool NeedsCutFacts(const Request& request, const MediaFacts& facts) {
  const Trim* trim = std::get_if<Trim>(&request.recipe);
  return trim != nullptr && trim->from > MediaTime(0) && trim->mode != Trim::Mode::kExact &&
         facts.video.has_value() && HoldsVideo(request.output, facts.video->codec);
}

Result<Ladder> PlanTrim(const Source& source, const Request& request, const Trim& trim, const CutFacts& cut) {
  const MediaFacts& facts = source.facts;
  const bool has_video = facts.video.has_value() && request.output != Container::kM4a;
  if (!has_video && facts.audio.empty()) {
    return Fail(ErrorCode::kInputNoVideo, facts.video ? "the input has no sound, and m4a holds nothing else"
                                                      : "the input has neither picture nor sound to trim");
  }
  WEIR_ASSIGN(const MediaTime length, LengthOf(facts, has_video, true));
  if (trim.from >= length) {
    return Fail(ErrorCode::kBadParameters,
                "--from " + Shown(trim.from) + " is not before the end of the input at " + Shown(length));
  }
  const MediaTime slack = has_video ? FrameTime(*facts.video) : std::chrono::milliseconds(50);
  if (trim.to && *trim.to > length + slack) {
    return Fail(ErrorCode::kBadParameters,
                "--to " + Shown(*trim.to) + " is past the end of the input at " + Shown(length));
  }
  const MediaTime to = std::min(trim.to.value_or(length), length);
  if (to <= trim.from) {
    return Fail(ErrorCode::kBadParameters, "--to " + Shown(to) + " is not after --from " + Shown(trim.from));
  }

  std::vector<std::string> notes;
  const bool whole = trim.from == MediaTime(0) && to == length;
  const SubtitleChoice subtitles = ChooseSubtitles(facts, request.output, to - trim.from, notes);
  for (std::string& note : NotesOnDropped(facts, has_video, true)) notes.push_back(std::move(note));

  // May the pictures be copied, and from where?
  MediaTime start = trim.from;
  bool copy = true;
  std::string why;
  if (has_video) {
    const VideoStream& video = *facts.video;
    const MediaTime half = FrameTime(video) / 2;
    if (trim.mode == Trim::Mode::kExact) {
      copy = false, why = "exact mode was asked for";
    } else if (!HoldsVideo(request.output, video.codec)) {
      copy = false;
      why = std::string(ExtensionOf(request.output)) + " files cannot hold " + video.codec + " video";
    } else if (trim.from > MediaTime(0)) {
      const auto& before = cut.keyframe_at_or_before;
      const auto& after = cut.keyframe_after;
      if (before && Between(*before, trim.from) <= half) {
        start = *before;
      } else if (after && Between(*after, trim.from) <= half) {
        start = *after;
      } else if (trim.mode == Trim::Mode::kCopy) {
        if (!before) {
          return Fail(ErrorCode::kBadParameters,
                      "--mode copy cannot cut here: no key picture was found at or before " + Shown(trim.from) +
                          "; use --mode exact");
        }
        start = *before;
        notes.push_back("the cut starts at the key picture at " + Shown(start) + ", " + Shown(trim.from - start) +
                        " before the " + Shown(trim.from) + " asked for");
      } else {
        copy = false;
        why = before ? "the nearest key picture before is at " + Shown(*before)
                     : "no key picture was found at or before " + Shown(trim.from);
      }
    }
    if (!copy && trim.mode == Trim::Mode::kCopy) {
      return Fail(ErrorCode::kBadParameters, "--mode copy is not possible: " + why);
    }
  }

  if (!copy) {
    notes.insert(notes.begin(), "encoded anew: " + why);
    const VideoStream& video = *facts.video;
    for (std::string& note : NotesOnVideo(video)) notes.push_back(std::move(note));
    const bool vp9 = request.output == Container::kWebm;
    const Picture picture = PictureOf(video);
    const Size out{EvenDown(picture.shown.width), EvenDown(picture.shown.height)};
    VideoJob job{.input = &video, .output = out, .codec = vp9 ? "vp9" : "h264", .preset = trim.preset};
    job.crf = vp9 ? std::min(63, trim.crf + 10) : trim.crf;
    if (out != picture.stored) {
      job.filters = "scale=" + std::to_string(out.width) + ":" + std::to_string(out.height) + ":flags=bicubic,";
    }
    job.filters += "setsar=1,format=yuv420p";
    AudioChoice audio = ChooseAudio(facts, request.output, whole ? AudioPolicy::kCopySame : AudioPolicy::kEncode);
    for (std::string& note : audio.notes) notes.push_back(std::move(note));
    return EncodeLadder(source, request, job, {.from = trim.from, .length = to - trim.from, .whole = whole}, audio,
                        subtitles, std::move(notes));
  }

  // Copies. Sound that the container cannot hold is encoded beside the copied pictures.
  AudioChoice audio = ChooseAudio(facts, request.output, AudioPolicy::kCopyHeld);
  for (std::string& note : audio.notes) notes.push_back(std::move(note));
  notes.insert(notes.begin(), audio.encoders == 0 ? "copied without encoding"
                              : has_video         ? "pictures are copied; sound is encoded, which the container needs"
                                                  : "sound is encoded, which the container needs");
  const Muxer muxer = MuxerOf(request.output);
  const MediaTime span = to - start;

  Plan plan;
  plan.name = audio.encoders == 0 ? "copy" : has_video ? "copy pictures, encode sound" : "encode sound";
  plan.method = muxer.word;
  plan.costs = "none";
  plan.stream_copy = has_video || audio.encoders == 0;
  // Starts a millisecond early, and nothing from before that is let through: timestamps are rounded on the way here,
  // and some demuxers land on an earlier key picture.
  std::optional<MediaTime> seek;
  if (start > MediaTime(0)) {
    seek = std::max(MediaTime(0), has_video ? start - std::chrono::milliseconds(1) : start);
  }
  plan.arguments = InputArguments(source, 1, seek);
  auto& out = plan.arguments;
  const auto append = [&out](const std::vector<std::string>& more) {
    out.insert(out.end(), more.begin(), more.end());
  };
  if (has_video) append({"-map", "0:" + std::to_string(facts.video->index)});
  for (const AudioStream& stream : facts.audio) append({"-map", "0:" + std::to_string(stream.index)});
  append(subtitles.maps);
  if (has_video) {
    append({"-c:v", "copy"});
    const bool apple = request.output == Container::kMp4 || request.output == Container::kMov;
    if (apple && facts.video->codec == "hevc") append({"-tag:v", "hvc1"});
  }
  append(audio.arguments);
  append(subtitles.arguments);
  append(MetadataArguments(request, facts));
  append({"-dn"});
  if (!has_video) append({"-vn"});
  if (subtitles.count == 0) append({"-sn"});
  if (seek) append({"-copypriorss", "0"});
  if (to < length) append({"-t", SecondsText(to - seek.value_or(MediaTime(0)))});
  append(MuxerArguments(muxer, request));
  plan.output_file = muxer.file;

  const std::int64_t read = PacketsOf(facts, length);
  const std::int64_t written = PacketsOf(facts, span);
  if (has_video) {
    plan.forecast.frames = std::llround(Seconds(span) * FramesPerSecond(*facts.video));
    plan.forecast.frames_limit = 2 * plan.forecast.frames + 200;
  }
  plan.forecast.output_limit = facts.size * 1.1 +
                               Bytes(static_cast<std::uint64_t>(Seconds(span) * audio.bits_per_second / 8)) +
                               Bytes::Mib(16);
  const double share = length.count() > 0 ? std::min(1.0, Seconds(span) / Seconds(length)) : 1.0;
  plan.forecast.output_reserve = std::min(plan.forecast.output_limit, facts.size * (share * 1.2) + Bytes::Mib(16));
  Need need = NeedOfProcess();
  need += NeedOfCopy(has_video ? &*facts.video : nullptr);
  need += NeedOfAudio(audio.encoders);
  need += NeedOfIndex(read, written);
  Settle(need, plan.forecast);

  Expectation& expected = plan.expectation;
  expected.container = muxer.word;
  MediaTime tolerance = std::chrono::milliseconds(30);
  if (has_video) {
    const VideoStream& video = *facts.video;
    expected.video =
        ExpectedVideo{.codec = video.codec, .check_size = false, .square_pixels = false, .no_rotation = false};
    // Pictures are copied in decoding order, so those that others lean on come along from past the end.
    tolerance += (video.has_b_frames > 0 ? video.has_b_frames + 8 : 2) * FrameTime(video);
    const double frames = Seconds(span) * FramesPerSecond(video);
    expected.min_frames =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(frames * (video.variable_rate ? 0 : 0.8)) - 4);
    if (!video.variable_rate) expected.max_frames = static_cast<std::int64_t>(frames * 1.05) + video.has_b_frames + 6;
  }
  for (const AudioStream& stream : facts.audio) {
    tolerance =
        std::max(tolerance, tolerance / 2 + MediaTime(3 * 1'024'000'000LL / std::max(stream.sample_rate, 7350)));
  }
  expected.audio = audio.expected;
  expected.subtitles = subtitles.count;
  expected.duration = span;
  expected.duration_tolerance = tolerance;
  expected.faststart = muxer.faststart;
  expected.no_identifying_tags = !request.keep_metadata;
  plan.deadline = DeadlineFor(span);
  const double seconds = kStartSeconds + static_cast<double>(facts.size.count()) * share / kBytesPerSecond;
  return Ladder{.plans = {std::move(plan)}, .notes = std::move(notes), .smaller = {}, .seconds = seconds};
}

}  // namespace weir::media
