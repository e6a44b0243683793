// Any bytes in place of ffprobe's answer: facts within their ranges, or an error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "media/facts.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto facts = weir::media::ParseProbe({reinterpret_cast<const char*>(data), size});
  if (!facts) {
    Require(facts.error().code == weir::ErrorCode::kInputNotMedia);
    return 0;
  }
  Require(facts->length().count() >= 0);
  Require(facts->identifying_tags.size() <= 32);
  for (const auto& tag : facts->identifying_tags) {
    for (const char c : tag) Require(c >= ' ' && c <= '~');
  }
  if (facts->video) {
    const auto& video = *facts->video;
    const auto shown = video.displayed();
    Require(shown.width >= 0 && shown.height >= 0 && shown.width <= 1'000'000 && shown.height <= 1'000'000);
    Require(video.rotation == 0 || video.rotation == 90 || video.rotation == 180 || video.rotation == 270);
    Require(video.bit_depth >= 1 && video.bit_depth <= 32);
    Require(video.average_rate == video.average_rate && video.nominal_rate.value() >= 0);
    Require(facts->video_streams > 0);
  }
  for (const auto& audio : facts->audio) Require(audio.channels >= 0 && audio.sample_rate >= 0);
  return 0;
}
