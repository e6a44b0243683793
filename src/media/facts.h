// What is known about a media file: the answer of one probe, in types. Pure; ffprobe runs elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace weir::media {

// A fraction as ffprobe prints it; denominator 0 means unknown.
struct Rational {
  std::int64_t num = 0;
  std::int64_t den = 1;
  [[nodiscard]] double value() const { return den == 0 ? 0 : static_cast<double>(num) / static_cast<double>(den); }
  [[nodiscard]] bool known() const { return num > 0 && den > 0; }
  // Equal as fractions; an unknown one equals only another unknown one. Parts are within 32 bits (ParseRational).
  bool operator==(const Rational& other) const {
    if (den == 0 || other.den == 0) return den == other.den;
    return num * other.den == other.num * den;
  }
};

struct Size {
  int width = 0;  // pixels
  int height = 0;
  bool operator==(const Size&) const = default;
  [[nodiscard]] double megapixels() const { return static_cast<double>(width) * height / 1e6; }
};

struct VideoStream {
  int index = 0;
  std::string codec;  // ffmpeg's name: "h264", "vp9"
  std::string profile;
  Size coded;                    // as stored, before rotation and without sample aspect
  Rational sample_aspect{1, 1};  // 1:1 when the file does not say
  int rotation = 0;              // degrees clockwise to apply: 0, 90, 180, 270
  std::string pixel_format;      // "yuv420p10le"
  int bit_depth = 8;
  bool chroma_420 = true;
  std::string color_transfer;  // "smpte2084", "arib-std-b67" are HDR
  std::string field_order;     // "progressive", "tt", ... or empty
  Rational nominal_rate;       // r_frame_rate
  Rational average_rate;       // avg_frame_rate
  bool variable_rate = false;  // the two differ by more than 0.5 %, or the container has irregular times
  Rational time_base{1, 90000};
  std::optional<MediaTime> start;
  std::optional<MediaTime> duration;
  std::optional<std::int64_t> frames;  // as the container counts them
  int refs = 1;                        // reference frames
  int has_b_frames = 0;
  // Rotated, and with square pixels: what a player shows. Height kept, width scaled by the sample aspect.
  [[nodiscard]] Size displayed() const;
};

struct AudioStream {
  int index = 0;
  std::string codec;
  std::string profile;
  int sample_rate = 0;
  int channels = 0;
  std::string layout;    // "5.1", "stereo", empty when unknown
  std::string language;  // three letters or empty
  std::optional<MediaTime> start;
  std::optional<MediaTime> duration;
};

struct OtherStream {
  int index = 0;
  std::string kind;  // "subtitle", "data", "attachment", "video" (cover art)
  std::string codec;
};

struct MediaFacts {
  std::string container;  // ffprobe's format_name, such as "mov,mp4,m4a,3gp,3g2,mj2"
  Bytes size;
  std::optional<MediaTime> start;
  std::optional<MediaTime> duration;
  std::optional<VideoStream> video;  // the first that is a moving picture (not cover art)
  std::size_t video_streams = 0;
  std::vector<AudioStream> audio;
  std::vector<OtherStream> others;            // subtitles, data, attachments, cover art, further video
  std::vector<std::string> identifying_tags;  // names of tags that tell place, device or person, where present

  // Longest of container and streams; zero when nothing is known.
  [[nodiscard]] MediaTime length() const;
};

// "30000/1001", "4:3": both parts as numbers within 32 bits; 0/0 (unknown) for anything else.
Rational ParseRational(std::string_view text);

// From the JSON of BuildProbe's command. Tolerates missing and odd fields; never trusts a number blindly.
// Errors: kInputNotMedia when it is not such a document or names no stream.
Result<MediaFacts> ParseProbe(std::string_view json);

}  // namespace weir::media
