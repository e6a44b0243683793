#include "media/recipe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/text.h"

namespace weir::media {
namespace {

// A number from text that may be beyond 63 bits.
bool Holds(const WholeRange& range, std::uint64_t number) {
  return number <= static_cast<std::uint64_t>(range.high) && range.Holds(static_cast<std::int64_t>(number));
}

std::unexpected<Error> Refuse(std::string sentence) { return Fail(ErrorCode::kBadParameters, std::move(sentence)); }

// ", did you mean X?" or nothing.
std::string Hint(std::string_view word, const std::vector<std::string>& known) {
  const std::optional<std::string> nearest = NearestName(word, known);
  return nearest ? "; did you mean " + *nearest + "?" : std::string();
}

std::string Listed(const std::vector<std::string>& words) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += words[i];
  }
  return list;
}

// A decimal of at most 17 characters: more digits say nothing here and could only be noise.
std::optional<double> ShortDecimal(std::string_view text) {
  if (text.empty() || text.size() > 17 || text.front() == '+') return std::nullopt;
  const std::optional<double> number = ParseDecimal(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

// "01:02.5", "1:02:03.25": every part but the first below 60, only the last with a fraction.
std::optional<double> ClockSeconds(std::string_view text) {
  const auto parts = std::ranges::count(text, ':') + 1;
  if (parts > 3) return std::nullopt;
  double total = 0;
  for (auto part = parts; part > 0; --part) {
    const std::size_t colon = text.find(':');
    const std::string_view field = text.substr(0, colon);
    if (part == 1) {
      const auto seconds = ShortDecimal(field);
      if (!seconds || field.front() == '-' || *seconds >= 60) return std::nullopt;
      return total * 60 + *seconds;
    }
    const auto whole = field.size() <= 9 ? ParseUnsigned(field) : std::nullopt;
    if (!whole || (part != parts && *whole >= 60)) return std::nullopt;
    total = total * 60 + static_cast<double>(*whole);
    text.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

// "12.5", "90s", "500ms", "2m", "1h".
std::optional<double> SecondsWithUnit(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  double scale = 1;
  for (const auto& [unit, factor] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    scale = factor;
    break;
  }
  const auto number = ShortDecimal(text);
  return number ? std::optional(*number * scale) : std::nullopt;
}

struct ContainerName {
  Container container;
  std::string_view extension;
};
constexpr std::array<ContainerName, 9> kContainers = {
    {{Container::kMp4, "mp4"},
     {Container::kWebm, "webm"},
     {Container::kMkv, "mkv"},
     {Container::kMov, "mov"},
     {Container::kTs, "ts"},
     {Container::kM4a, "m4a"},
     {Container::kJpeg, "jpg"},
     {Container::kPng, "png"},
     // Second spellings stand behind the first, which ExtensionOf gives.
     {Container::kJpeg, "jpeg"}}};

}  // namespace

Result<Rational> ParseAspect(std::string_view text) {
  const auto refuse = [&](const std::string& why) {
    return Refuse("the aspect " + Quoted(text) + " " + why +
                  ": give W:H, such as 9:16, 1:1, 4:5 or 16:9, with 1 to 10000 each and a ratio from 1:20 to 20:1");
  };
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return refuse("is not two whole numbers with a colon between");
  const auto width = ParseUnsigned(text.substr(0, colon));
  const auto height = ParseUnsigned(text.substr(colon + 1));
  if (!width || !height) return refuse("is not two whole numbers with a colon between");
  if (!Holds(kAspectPart, *width) || !Holds(kAspectPart, *height)) return refuse("is out of range");
  const auto w = static_cast<std::int64_t>(*width);
  const auto h = static_cast<std::int64_t>(*height);
  if (w > h * kMaxAspectRatio || h > w * kMaxAspectRatio) return refuse("is too far from square");
  const std::int64_t divisor = std::gcd(w, h);
  return Rational{w / divisor, h / divisor};
}

Result<Focus> ParseFocus(std::string_view text) {
  static const std::vector<std::string> kWords = {"center", "top", "bottom", "left", "right"};
  static constexpr std::array<Focus, 5> kPlaces = {{{0.5, 0.5}, {0.5, 0}, {0.5, 1}, {0, 0.5}, {1, 0.5}}};
  const auto word = std::ranges::find(kWords, text);
  if (word != kWords.end()) return kPlaces.at(static_cast<std::size_t>(word - kWords.begin()));
  const std::size_t comma = text.find(',');
  if (comma == std::string_view::npos) {
    return Refuse("the focus " + Quoted(text) + " is not known: give " + Listed(kWords) +
                  ", or X,Y with 0 to 1 each" + Hint(text, kWords));
  }
  const auto x = ShortDecimal(text.substr(0, comma));
  const auto y = ShortDecimal(text.substr(comma + 1));
  if (!x || !y || *x < 0 || *x > 1 || *y < 0 || *y > 1) {
    return Refuse("the focus " + Quoted(text) +
                  " is out of range: give X,Y with 0 (left, top) to 1 (right, bottom) each, such as 0.3,0.5");
  }
  // Adding zero turns -0 into 0.
  return Focus{.x = *x + 0.0, .y = *y + 0.0};
}

Result<Size> ParseSize(std::string_view text) {
  const auto refuse = [&](const std::string& why) {
    return Refuse("the size " + Quoted(text) + " " + why +
                  ": give WxH in pixels, such as 1080x1920, with even numbers from 16 to 8192");
  };
  const std::size_t cross = text.find_first_of("xX");
  if (cross == std::string_view::npos) return refuse("is not two whole numbers with an x between");
  const auto width = ParseUnsigned(text.substr(0, cross));
  const auto height = ParseUnsigned(text.substr(cross + 1));
  if (!width || !height) return refuse("is not two whole numbers with an x between");
  if (!Holds(kSide, *width) || !Holds(kSide, *height)) return refuse("is out of range");
  if (*width % 2 != 0 || *height % 2 != 0) return refuse("has an odd number, which this kind of video cannot have");
  return Size{.width = static_cast<int>(*width), .height = static_cast<int>(*height)};
}

Result<MediaTime> ParseTime(std::string_view text) {
  const std::optional<double> seconds =
      text.find(':') == std::string_view::npos ? SecondsWithUnit(text) : ClockSeconds(text);
  if (!seconds) {
    return Refuse("the time " + Quoted(text) +
                  " is not a time: give seconds (12.5), a clock time (1:02:03.25) or a unit (90s, 500ms, 2m)");
  }
  if (*seconds < 0) return Refuse("the time " + Quoted(text) + " is negative: give 0 or more");
  if (*seconds > Seconds(kLongestTime))
    return Refuse("the time " + Quoted(text) + " is out of range: give at most 1000 hours");
  return MediaTime(std::llround(*seconds * 1e6));
}

const std::vector<std::string>& PresetNames() {
  static const std::vector<std::string> kNames = {"ultrafast", "superfast", "veryfast", "faster",  "fast",
                                                  "medium",    "slow",      "slower",   "veryslow"};
  return kNames;
}

Result<std::string> ParsePreset(std::string_view text) {
  const auto& names = PresetNames();
  if (std::ranges::find(names, text) != names.end()) return std::string(text);
  return Refuse("the preset " + Quoted(text) + " is not known: give " + Listed(names) + Hint(text, names));
}

const std::vector<std::string>& TrimModeNames() {
  static const std::vector<std::string> kNames = {"auto", "copy", "exact"};
  return kNames;
}

Result<weir::media::Trim::Mode> ParseTrimMode(std::string_view text) {
  const auto& names = TrimModeNames();
  const auto name = std::ranges::find(names, text);
  if (name != names.end()) return static_cast<weir::media::Trim::Mode>(name - names.begin());
  return Refuse(Quoted(text) + " is not one of auto, copy, exact");
}

Result<Container> ContainerOf(std::string_view file_name, const std::vector<Container>& allowed) {
  const std::size_t slash = file_name.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? file_name : file_name.substr(slash + 1);
  const std::size_t dot = name.rfind('.');
  // ".mp4" is a hidden file without an extension.
  const std::string_view extension =
      dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot + 1);
  std::vector<std::string> offered;
  for (const ContainerName& known : kContainers) {
    if (std::ranges::find(allowed, known.container) == allowed.end()) continue;
    if (EqualsIgnoreCase(extension, known.extension)) return known.container;
    offered.push_back("." + std::string(known.extension));
  }
  if (extension.empty()) {
    return Fail(ErrorCode::kOutputFormat,
                "the output name " + Quoted(name) + " has no extension: end it in " + Listed(offered));
  }
  return Fail(ErrorCode::kOutputFormat,
              "the output " + Quoted(name) + " cannot be made by this recipe: end its name in " + Listed(offered));
}

std::string_view ExtensionOf(Container container) {
  const auto* const known = std::ranges::find(kContainers, container, &ContainerName::container);
  return known == kContainers.end() ? std::string_view() : known->extension;
}

const char* NameOf(const Recipe& recipe) {
  struct Namer {
    const char* operator()(const Crop&) const { return "crop"; }
    const char* operator()(const weir::media::Trim&) const { return "trim"; }
    const char* operator()(const Transcode&) const { return "transcode"; }
    const char* operator()(const Thumbnail&) const { return "thumbnail"; }
  };
  return std::visit(Namer{}, recipe);
}

std::vector<Container> OutputsOf(const Recipe& recipe) {
  struct Lister {
    std::vector<Container> operator()(const Crop&) const {
      return {Container::kMp4, Container::kMov, Container::kMkv};
    }
    std::vector<Container> operator()(const weir::media::Trim&) const {
      return {Container::kMp4, Container::kMov, Container::kMkv, Container::kWebm, Container::kTs, Container::kM4a};
    }
    std::vector<Container> operator()(const Transcode&) const { return {Container::kMp4, Container::kWebm}; }
    std::vector<Container> operator()(const Thumbnail&) const { return {Container::kJpeg, Container::kPng}; }
  };
  return std::visit(Lister{}, recipe);
}

}  // namespace weir::media
