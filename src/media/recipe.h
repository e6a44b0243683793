// What a user can ask for: recipes with typed parameters from closed ranges. Pure. Text comes in from the
// command line and HTTP alike and is refused here with the range and, for words, the nearest one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "media/facts.h"

namespace weir::media {

// Both ends belong to it.
struct WholeRange {
  std::int64_t low = 0;
  std::int64_t high = 0;
  [[nodiscard]] constexpr bool Holds(std::int64_t number) const { return low <= number && number <= high; }
  constexpr bool operator==(const WholeRange&) const = default;
};
inline constexpr WholeRange kAspectPart{1, 10'000};
inline constexpr std::int64_t kMaxAspectRatio = 20;  // and its inverse
inline constexpr WholeRange kSide{16, 8192};         // pixels of a picture's side, width of a thumbnail
inline constexpr WholeRange kX264Crf{0, 51};
inline constexpr WholeRange kVp9Crf{0, 63};
inline constexpr MediaTime kLongestTime = std::chrono::hours(1000);

// Where a crop looks: a fraction of the free play, 0 left or top, 1 right or bottom.
struct Focus {
  double x = 0.5;
  double y = 0.5;
  bool operator==(const Focus&) const = default;
};

// "9:16", "1:1", "4:5", "16:9" or W:H with 1..10000 each and a ratio within 1:20 and 20:1.
Result<Rational> ParseAspect(std::string_view text);
// "center", "top", "bottom", "left", "right", or "X,Y" with 0..1 each.
Result<Focus> ParseFocus(std::string_view text);
// "1080x1920": 16..8192 each; odd numbers are refused (4:2:0 video has even sizes).
Result<Size> ParseSize(std::string_view text);
// "12.5", "01:02.5", "1:02:03.25", "90s", "500ms", "2m": not negative, at most 1000 hours.
Result<MediaTime> ParseTime(std::string_view text);
// "ultrafast" ... "veryslow", x264's names ("placebo" is not offered).
Result<std::string> ParsePreset(std::string_view text);
const std::vector<std::string>& PresetNames();

enum class Container : std::uint8_t { kMp4, kWebm, kMkv, kMov, kTs, kM4a, kJpeg, kPng };
// By the extension of an output name. Errors: kOutputFormat, naming those of `allowed`.
Result<Container> ContainerOf(std::string_view file_name, const std::vector<Container>& allowed);
std::string_view ExtensionOf(Container container);  // "mp4"

struct Crop {
  Rational aspect{9, 16};
  Focus focus;
  std::optional<Size> size;  // exactly this; without it the crop's own pixels, at most 1080 on the short side
  int crf = 23;              // 0..51
  std::string preset = "veryfast";
  bool operator==(const Crop&) const = default;
};

struct Trim {
  MediaTime from{0};
  std::optional<MediaTime> to;  // nullopt: to the end
  enum class Mode : std::uint8_t { kAuto, kCopy, kExact } mode = Mode::kAuto;
  int crf = 20;  // when encoding
  std::string preset = "veryfast";
  bool operator==(const Trim&) const = default;
};
// "auto", "copy", "exact", in the order of the enum.
const std::vector<std::string>& TrimModeNames();
// Errors: kBadParameters, naming them.
Result<Trim::Mode> ParseTrimMode(std::string_view text);

struct Transcode {
  std::optional<Size> fit;          // inside this box, never enlarged
  int crf = -1;                     // -1: the codec's default (x264 23, vp9 33); x264 0..51, vp9 0..63
  std::string preset = "veryfast";  // x264 only
  bool operator==(const Transcode&) const = default;
};
constexpr WholeRange TranscodeCrf(Container output) { return output == Container::kWebm ? kVp9Crf : kX264Crf; }

struct Thumbnail {
  std::optional<MediaTime> at;  // nullopt: at a tenth of the length
  std::optional<int> width;     // 16..8192, height follows, never enlarged; nullopt: the picture's own
  bool operator==(const Thumbnail&) const = default;
};

using Recipe = std::variant<Crop, Trim, Transcode, Thumbnail>;
const char* NameOf(const Recipe& recipe);  // "crop", "trim", "transcode", "thumbnail"
// Containers that each recipe can make.
std::vector<Container> OutputsOf(const Recipe& recipe);

struct Request {
  Recipe recipe;
  Container output = Container::kMp4;
  bool keep_metadata = false;  // default: tags that identify a place, device or person are dropped
  bool operator==(const Request&) const = default;
};

}  // namespace weir::media
