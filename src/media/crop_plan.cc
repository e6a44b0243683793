#include <algorithm>
#include <cmath>
#include <cstdio>

#include "media/plan_parts.h"

namespace weir::media {

Result<Ladder> PlanCrop(const Source& source, const Request& request, const Crop& crop) {
  const MediaFacts& facts = source.facts;
  if (!facts.video) return Fail(ErrorCode::kInputNoVideo, "the input has no moving picture to crop");
  const VideoStream& video = *facts.video;
  WEIR_ASSIGN(const MediaTime length, LengthOf(facts, true, true));

  double aspect = crop.aspect.value();
  if (crop.size) {
    const double sized = static_cast<double>(crop.size->width) / crop.size->height;
    if (std::abs(aspect / sized - 1) > 0.02) {
      char words[160];
      std::snprintf(words, sizeof words, "the size %dx%d has the aspect %.3f and the aspect asked for is %.3f",
                    crop.size->width, crop.size->height, sized, aspect);
      return Fail(ErrorCode::kBadParameters, std::string(words) + ": give one of them, or two that agree");
    }
    aspect = sized;
  }

  const Picture picture = PictureOf(video);
  const double width = picture.shown.width;
  const double height = picture.shown.height;
  const double cut_width = std::min(width, height * aspect);
  const double cut_height = std::min(height, width / aspect);
  // Back to stored pixels; even, because 4:2:0 shares colour between two lines and two columns.
  const int w = std::min(EvenNear(cut_width / picture.across()), EvenDown(picture.stored.width));
  const int h = std::min(EvenNear(cut_height / picture.down()), EvenDown(picture.stored.height));
  if (picture.stored.width < 16 || picture.stored.height < 16 || w < 2 || h < 2) {
    return Fail(ErrorCode::kBadParameters,
                "a crop of pictures of " + Shown(picture.shown) + " would leave nothing to see");
  }
  const auto place = [](int whole, int part, double focus) {
    return std::clamp(static_cast<int>(std::floor((whole - part) * std::clamp(focus, 0.0, 1.0) / 2 + 1e-9)) * 2, 0,
                      whole - part);
  };
  const int x = place(picture.stored.width, w, crop.focus.x);
  const int y = place(picture.stored.height, h, crop.focus.y);

  const double real_width = w * picture.across();
  const double real_height = h * picture.down();
  Size out;
  if (crop.size) {
    out = *crop.size;
  } else {
    const double scale = std::min(1.0, 1080 / std::min(cut_width, cut_height));
    if (scale == 1.0 && picture.shown == picture.stored) {
      out = {w, h};  // no need to scale
    } else {
      out = {std::min(EvenNear(cut_width * scale), EvenDown(width)),
             std::min(EvenNear(cut_height * scale), EvenDown(height))};
    }
  }

  std::vector<std::string> notes = NotesOnVideo(video);
  if (crop.size && (out.width > real_width + 1 || out.height > real_height + 1)) {
    notes.push_back(
        "the crop of " +
        Shown(Size{static_cast<int>(std::lround(real_width)), static_cast<int>(std::lround(real_height))}) +
        " is enlarged to " + Shown(out) + " as asked; that adds no detail");
  }
  AudioChoice audio = ChooseAudio(facts, request.output, AudioPolicy::kCopySame);
  for (std::string& note : audio.notes) notes.push_back(std::move(note));
  for (std::string& note : NotesOnDropped(facts, true, false)) notes.push_back(std::move(note));

  VideoJob job{.input = &video, .output = out, .crf = crop.crf, .preset = crop.preset, .size_option = "--size"};
  job.filters =
      "crop=" + std::to_string(w) + ":" + std::to_string(h) + ":" + std::to_string(x) + ":" + std::to_string(y) + ",";
  if (out != Size{w, h}) {
    job.filters += "scale=" + std::to_string(out.width) + ":" + std::to_string(out.height) + ":flags=bicubic,";
  }
  job.filters += "setsar=1,format=yuv420p";
  return EncodeLadder(source, request, job, {.length = length, .whole = true}, audio, {}, std::move(notes));
}

}  // namespace weir::media
