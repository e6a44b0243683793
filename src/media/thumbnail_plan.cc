#include <algorithm>
#include <cmath>

#include "media/plan_parts.h"

namespace weir::media {
namespace {

constexpr double kSeconds = 0.3;  // Ladder::seconds: the start of ffmpeg, for the most part

}  // namespace

Result<Ladder> PlanThumbnail(const Source& source, const Request& request, const Thumbnail& thumbnail) {
  const MediaFacts& facts = source.facts;
  if (!facts.video) return Fail(ErrorCode::kInputNoVideo, "the input has no picture to show");
  const VideoStream& video = *facts.video;
  // A still picture as input has no length: its only picture is at 0.
  const MediaTime length = LengthOf(facts, true, false).value_or(MediaTime(0));
  if (thumbnail.at && *thumbnail.at > MediaTime(0) && *thumbnail.at >= length) {
    return Fail(ErrorCode::kBadParameters,
                "the picture at " + Shown(*thumbnail.at) + " does not exist: the video ends at " + Shown(length));
  }
  MediaTime at = thumbnail.at.value_or(length / 10);
  std::vector<std::string> notes;
  // ffmpeg shows the first picture that starts at or after `at`; past the start of the last one there is none.
  const MediaTime frame = FrameTime(video);
  const bool exact_end = video.duration && !video.variable_rate;
  const MediaTime last =
      std::max(MediaTime(0), length - (exact_end ? frame + frame / 2 : std::chrono::milliseconds(500) + 2 * frame));
  if (at > last) {
    at = last;
    if (thumbnail.at)
      notes.push_back("the last picture before " + Shown(*thumbnail.at) + " is taken, from " + Shown(at) + " on");
  }

  const Picture picture = PictureOf(video);
  const bool png = request.output == Container::kPng;
  Size out = picture.shown;
  if (thumbnail.width && *thumbnail.width < out.width) {
    out = {
        *thumbnail.width,
        std::max(1, static_cast<int>(std::lround(static_cast<double>(out.height) * *thumbnail.width / out.width)))};
  } else if (thumbnail.width && *thumbnail.width > out.width) {
    notes.push_back("the picture is " + std::to_string(out.width) + " wide; it is not enlarged");
  }
  if (video.bit_depth > 8 && !png && !video.color_transfer.empty() &&
      (video.color_transfer == "smpte2084" || video.color_transfer == "arib-std-b67")) {
    notes.emplace_back(
        "HDR colours are not tone-mapped, so the picture looks different from the video on an HDR screen");
  }

  const Muxer muxer = MuxerOf(request.output);
  Plan plan;
  plan.name = "one picture";
  plan.method = png ? "png" : "mjpeg";
  plan.costs = "none";
  const Seek seek = SeekTo(facts, at);
  plan.arguments = InputArguments(source, 1, seek.before);
  if (seek.after) Append(plan.arguments, {"-ss", SecondsText(*seek.after)});
  std::string filters;
  if (out != picture.stored) {
    filters = "scale=" + std::to_string(out.width) + ":" + std::to_string(out.height) + ":flags=bicubic,";
  }
  filters += std::string("setsar=1,format=") + (png ? "rgb24" : "yuvj420p");
  const std::vector<std::string> rest{"-map",      "0:" + std::to_string(video.index),
                                      "-vf",       filters,
                                      "-frames:v", "1",
                                      "-an",       "-sn",
                                      "-dn",       "-map_metadata",
                                      "-1",        "-threads",
                                      "1"};
  plan.arguments.insert(plan.arguments.end(), rest.begin(), rest.end());
  const std::vector<std::string> codec =
      png ? std::vector<std::string>{"-c:v", "png"} : std::vector<std::string>{"-c:v", "mjpeg", "-q:v", "2"};
  plan.arguments.insert(plan.arguments.end(), codec.begin(), codec.end());
  plan.arguments.insert(plan.arguments.end(),
                        {"-fflags", "+bitexact", "-update", "1", "-f", muxer.format, "-y", "file:" + muxer.file});
  plan.output_file = muxer.file;

  plan.forecast.frames = 1;
  plan.forecast.frames_limit = 2;
  plan.forecast.output_limit = Bytes(static_cast<std::uint64_t>(4.0 * out.width * out.height)) + Bytes::Mib(1);
  plan.forecast.output_reserve = plan.forecast.output_limit;
  Need need = NeedOfProcess();
  need += NeedOfDecoder(video, 1);
  need += NeedOfStill(out, png);
  need += NeedOfIndex(PacketsOf(facts, facts.length()), 0);
  Settle(need, plan.forecast);

  plan.expectation.container = muxer.word;
  plan.expectation.video = ExpectedVideo{.codec = png ? "png" : "mjpeg", .size = out};
  plan.expectation.min_frames = 1;
  plan.expectation.max_frames = 1;
  plan.expectation.still_image = true;
  plan.deadline = DeadlineFor(frame);
  return Ladder{.plans = {std::move(plan)}, .notes = std::move(notes), .smaller = {}, .seconds = kSeconds};
}

}  // namespace weir::media
