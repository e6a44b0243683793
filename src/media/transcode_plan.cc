#include <algorithm>
#include <cmath>

#include "media/plan_parts.h"

namespace weir::media {

Result<Ladder> PlanTranscode(const Source& source, const Request& request, const Transcode& transcode) {
  const MediaFacts& facts = source.facts;
  if (!facts.video) return Fail(ErrorCode::kInputNoVideo, "the input has no moving picture to transcode");
  const VideoStream& video = *facts.video;
  WEIR_ASSIGN(const MediaTime length, LengthOf(facts, true, true));
  const bool vp9 = request.output == Container::kWebm;
  if (transcode.crf > (vp9 ? 63 : 51)) {
    return Fail(ErrorCode::kBadParameters, "the quality --crf " + std::to_string(transcode.crf) + " is outside 0.." +
                                               (vp9 ? "63 (VP9)" : "51 (H.264)"));
  }

  const Picture picture = PictureOf(video);
  double scale = 1;
  if (transcode.fit) {
    scale = std::min({1.0, static_cast<double>(transcode.fit->width) / picture.shown.width,
                      static_cast<double>(transcode.fit->height) / picture.shown.height});
  }
  Size out{EvenNear(picture.shown.width * scale), EvenNear(picture.shown.height * scale)};
  if (transcode.fit) {
    out = {std::min(out.width, EvenDown(transcode.fit->width)),
           std::min(out.height, EvenDown(transcode.fit->height))};
  }
  // Odd pictures lose a line rather than gain one.
  out = {std::min(out.width, EvenDown(picture.shown.width)), std::min(out.height, EvenDown(picture.shown.height))};

  std::vector<std::string> notes = NotesOnVideo(video);
  AudioChoice audio = ChooseAudio(facts, request.output, AudioPolicy::kCopySame);
  for (std::string& note : audio.notes) notes.push_back(std::move(note));
  for (std::string& note : NotesOnDropped(facts, true, false)) notes.push_back(std::move(note));

  VideoJob job{.input = &video,
               .output = out,
               .codec = vp9 ? "vp9" : "h264",
               .preset = transcode.preset,
               .size_option = "--fit"};
  job.crf = transcode.crf >= 0 ? transcode.crf : vp9 ? 33 : 23;
  if (out != picture.stored) {
    job.filters = "scale=" + std::to_string(out.width) + ":" + std::to_string(out.height) + ":flags=bicubic,";
  }
  job.filters += "setsar=1,format=yuv420p";
  return EncodeLadder(source, request, job, {.length = length, .whole = true}, audio, {}, std::move(notes));
}

}  // namespace weir::media
