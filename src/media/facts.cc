#include "media/facts.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/text.h"

namespace weir::media {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDocument = std::size_t{1} << 20U;
constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxWord = 64;
constexpr std::size_t kMaxTags = 32;
// Above every real picture and still far from overflow when multiplied; such a size is refused later, by name.
constexpr std::int64_t kMaxSide = 1'000'000;
// Longer than any media: a time beyond it is noise in the file and counts as unknown.
constexpr double kMaxSeconds = 1e8;

const json::value* Find(const json::object& object, std::string_view key) { return object.if_contains(key); }

const json::object* FindObject(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* FindArray(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  return value == nullptr ? nullptr : value->if_array();
}

std::string_view Text(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

// ffmpeg's own names are plain words. Anything else in their place is cut to printable ASCII, because these words
// are printed and compared everywhere.
std::string Word(std::string_view text, std::size_t limit = kMaxWord) {
  std::string word;
  for (const char c : text.substr(0, limit)) word += c >= ' ' && c <= '~' ? c : '?';
  return word;
}

// Numbers come as JSON numbers or as strings, and as "N/A" when unknown.
std::optional<double> Number(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  if (value == nullptr) return std::nullopt;
  std::optional<double> number;
  if (const auto* integer = value->if_int64()) {
    number = static_cast<double>(*integer);
  } else if (const auto* natural = value->if_uint64()) {
    number = static_cast<double>(*natural);
  } else if (const auto* real = value->if_double()) {
    number = *real;
  } else if (const auto* text = value->if_string()) {
    number = ParseDecimal(std::string_view(text->data(), text->size()));
  }
  if (number && !std::isfinite(*number)) return std::nullopt;
  return number;
}

// A whole number clamped into [low, high]; nullopt when there is none.
std::optional<std::int64_t> Whole(const json::object& object, std::string_view key, std::int64_t low,
                                  std::int64_t high) {
  const std::optional<double> number = Number(object, key);
  if (!number) return std::nullopt;
  if (*number <= static_cast<double>(low)) return low;
  if (*number >= static_cast<double>(high)) return high;
  return static_cast<std::int64_t>(*number);
}

int Int(const json::object& object, std::string_view key, int low, int high, int otherwise) {
  return static_cast<int>(Whole(object, key, low, high).value_or(otherwise));
}

std::optional<MediaTime> Time(const json::object& object, std::string_view key) {
  const std::optional<double> seconds = Number(object, key);
  if (!seconds || std::abs(*seconds) > kMaxSeconds) return std::nullopt;
  return MediaTime(std::llround(*seconds * 1e6));
}

std::optional<MediaTime> Length(const json::object& object, std::string_view key) {
  const std::optional<MediaTime> time = Time(object, key);
  return time && *time > MediaTime(0) ? time : std::nullopt;
}

// Matroska keeps the length of a stream only as a tag, "00:00:02.007000000".
std::optional<MediaTime> TaggedLength(const json::object& stream) {
  const json::object* tags = FindObject(stream, "tags");
  if (tags == nullptr) return std::nullopt;
  std::string_view text = Text(*tags, "DURATION");
  if (text.empty()) text = Text(*tags, "DURATION-eng");
  const std::size_t first = text.find(':');
  const std::size_t second = first == std::string_view::npos ? first : text.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto hours = ParseUnsigned(text.substr(0, first));
  const auto minutes = ParseUnsigned(text.substr(first + 1, second - first - 1));
  const auto seconds = ParseDecimal(text.substr(second + 1));
  if (!hours || !minutes || !seconds || *hours > 20'000 || *minutes > 59 || *seconds < 0 || *seconds >= 61) {
    return std::nullopt;
  }
  const double total = static_cast<double>(*hours * 3600 + *minutes * 60) + *seconds;
  return total > 0 ? std::optional(MediaTime(std::llround(total * 1e6))) : std::nullopt;
}

// Clockwise degrees to the nearest quarter turn. ffprobe prints the display matrix counter-clockwise.
int QuarterTurns(double clockwise) {
  if (!std::isfinite(clockwise) || std::abs(clockwise) > 1e6) return 0;
  const long quarters = std::lround(clockwise / 90.0) % 4;
  return static_cast<int>((quarters + 4) % 4) * 90;
}

int Rotation(const json::object& stream) {
  if (const json::array* list = FindArray(stream, "side_data_list")) {
    for (const json::value& entry : *list) {
      const json::object* side_data = entry.if_object();
      if (side_data == nullptr || Text(*side_data, "side_data_type") != "Display Matrix") continue;
      if (const auto rotation = Number(*side_data, "rotation")) return QuarterTurns(-*rotation);
    }
  }
  // Before version 5 the same was said by a tag, clockwise.
  if (const json::object* tags = FindObject(stream, "tags")) {
    if (const auto rotation = Number(*tags, "rotate")) return QuarterTurns(*rotation);
  }
  return 0;
}

int BitDepth(const json::object& stream, std::string_view pixel_format) {
  for (const int depth : {9, 10, 12, 14, 16}) {
    const std::string digits = std::to_string(depth);
    for (const char* prefix : {"p", "gray", "x2rgb", "x2bgr"}) {
      // "yuv420p10le", "gray12be", "x2rgb10le"; not "nv16" or "rgb565".
      const std::size_t at = pixel_format.rfind(prefix + digits);
      if (at == std::string_view::npos) continue;
      const std::string_view rest = pixel_format.substr(at + std::string_view(prefix).size() + digits.size());
      if (rest == "le" || rest == "be" || rest.empty()) return depth;
    }
  }
  if (pixel_format.starts_with("p010") || pixel_format.starts_with("p210")) return 10;
  if (pixel_format.starts_with("p016") || pixel_format.starts_with("p216")) return 16;
  if (pixel_format.starts_with("rgb48") || pixel_format.starts_with("rgba64")) return 16;
  if (!pixel_format.empty()) return 8;
  return Int(stream, "bits_per_raw_sample", 1, 32, 8);
}

bool IsChroma420(std::string_view pixel_format) {
  if (pixel_format.empty()) return true;
  return pixel_format.starts_with("yuv420") || pixel_format.starts_with("yuvj420") ||
         pixel_format.starts_with("yuva420") || pixel_format.starts_with("nv12") ||
         pixel_format.starts_with("nv21") || pixel_format.starts_with("p01");
}

bool IsInterlaced(std::string_view field_order) {
  return field_order == "tt" || field_order == "bb" || field_order == "tb" || field_order == "bt";
}

// r_frame_rate is the lowest rate in which all times can be written. It is the tick of the container, not a rate,
// when times are irregular (phones: 90000/1, browsers: 1000/1), and the rate of fields when interlaced.
void SetRates(const json::object& stream, VideoStream& video) {
  const Rational written = ParseRational(Text(stream, "r_frame_rate"));
  video.average_rate = ParseRational(Text(stream, "avg_frame_rate"));
  const Rational& average = video.average_rate;
  if (!written.known() || written.value() >= 1000) {
    video.nominal_rate = average;
    video.variable_rate = written.known();
    return;
  }
  video.nominal_rate = written;
  if (!average.known()) return;
  const double ratio = written.value() / average.value();
  if (IsInterlaced(video.field_order) && std::abs(ratio - 2.0) <= 0.01) {
    video.nominal_rate = average;
    return;
  }
  video.variable_rate = std::abs(ratio - 1.0) > 0.005;
}

VideoStream ReadVideo(const json::object& stream) {
  VideoStream video;
  video.index = Int(stream, "index", 0, 1'000'000, 0);
  video.codec = Word(Text(stream, "codec_name"));
  video.profile = Word(Text(stream, "profile"));
  video.coded.width = Int(stream, "width", 0, kMaxSide, 0);
  video.coded.height = Int(stream, "height", 0, kMaxSide, 0);
  const Rational aspect = ParseRational(Text(stream, "sample_aspect_ratio"));
  if (aspect.known()) video.sample_aspect = aspect;
  video.rotation = Rotation(stream);
  video.pixel_format = Word(Text(stream, "pix_fmt"));
  video.bit_depth = BitDepth(stream, video.pixel_format);
  video.chroma_420 = IsChroma420(video.pixel_format);
  video.color_transfer = Word(Text(stream, "color_transfer"));
  video.field_order = Word(Text(stream, "field_order"));
  SetRates(stream, video);
  const Rational time_base = ParseRational(Text(stream, "time_base"));
  if (time_base.known()) video.time_base = time_base;
  video.start = Time(stream, "start_time");
  video.duration = Length(stream, "duration");
  if (!video.duration) video.duration = TaggedLength(stream);
  const auto frames = Whole(stream, "nb_frames", 0, std::int64_t{1} << 50U);
  if (frames && *frames > 0) video.frames = frames;
  video.refs = Int(stream, "refs", 0, 64, 1);
  video.has_b_frames = Int(stream, "has_b_frames", 0, 64, 0);
  return video;
}

std::string Language(const json::object& stream) {
  const json::object* tags = FindObject(stream, "tags");
  if (tags == nullptr) return {};
  const std::string_view language = Text(*tags, "language");
  const bool letters =
      language.size() == 3 && std::ranges::all_of(language, [](char c) { return c >= 'a' && c <= 'z'; });
  return letters && language != "und" ? std::string(language) : std::string();
}

AudioStream ReadAudio(const json::object& stream) {
  AudioStream audio;
  audio.index = Int(stream, "index", 0, 1'000'000, 0);
  audio.codec = Word(Text(stream, "codec_name"));
  audio.profile = Word(Text(stream, "profile"));
  audio.sample_rate = Int(stream, "sample_rate", 0, 10'000'000, 0);
  audio.channels = Int(stream, "channels", 0, 1024, 0);
  audio.layout = Word(Text(stream, "channel_layout"));
  if (audio.layout == "unknown") audio.layout.clear();
  audio.language = Language(stream);
  audio.start = Time(stream, "start_time");
  audio.duration = Length(stream, "duration");
  if (!audio.duration) audio.duration = TaggedLength(stream);
  return audio;
}

bool IsAttachedPicture(const json::object& stream) {
  const json::object* disposition = FindObject(stream, "disposition");
  return disposition != nullptr && Int(*disposition, "attached_pic", 0, 1, 0) == 1;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

// Tags that tell where, with what, when or by whom a file was made. Titles, languages, brands and the name of the
// encoding library stay out: they belong to the content or to every file.
bool IsIdentifying(std::string_view name, std::string_view value) {
  static constexpr std::array kNames = {"artist",
                                        "author",
                                        "album_artist",
                                        "composer",
                                        "performer",
                                        "director",
                                        "producer",
                                        "copyright",
                                        "owner",
                                        "publisher",
                                        "make",
                                        "model",
                                        "manufacturer",
                                        "software",
                                        "firmware",
                                        "date",
                                        "creation_time",
                                        "creationdate",
                                        "creation_date",
                                        "date_recorded",
                                        "date_digitized",
                                        "datetime",
                                        "datetimeoriginal",
                                        "encoded_by",
                                        "comment",
                                        "description",
                                        "synopsis",
                                        "serial",
                                        "serial_number",
                                        "serialnumber",
                                        "xmp",
                                        "exif",
                                        "xyz",
                                        "uuid",
                                        "media_uuid",
                                        "file_package_umid",
                                        "material_package_umid",
                                        "operational_pattern_ul",
                                        "company_name",
                                        "product_name",
                                        "modification_date",
                                        "originator",
                                        "originator_reference"};
  static constexpr std::array kPrefixes = {"location",    "gps",         "com.apple.quicktime",
                                           "com.android", "com.samsung", "samsung",
                                           "com.sony",    "sony",        "camera",
                                           "lens",        "device",      "geo"};
  static constexpr std::array kMakers = {"gopro", "dji", "insta360", "garmin", "samsung"};
  const std::string lower = Lower(name);
  std::string_view stem = lower;
  // mov writes a second copy with the language behind it: "location-eng".
  if (stem.size() > 4 && stem[stem.size() - 4] == '-') stem.remove_suffix(4);
  // Not of a device: what Android writes into every file.
  if (stem == "com.android.capture.fps") return false;
  if (stem == "handler_name") {
    const std::string handler = Lower(value.substr(0, kMaxWord));
    return std::ranges::any_of(kMakers,
                               [&](std::string_view maker) { return handler.find(maker) != std::string::npos; });
  }
  return std::ranges::find(kNames, stem) != kNames.end() ||
         std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return stem.starts_with(prefix); });
}

void CollectTags(const json::object& owner, std::vector<std::string>& names) {
  const json::object* tags = FindObject(owner, "tags");
  if (tags == nullptr) return;
  for (const auto& tag : *tags) {
    const std::string_view key(tag.key().data(), tag.key().size());
    const json::string* text = tag.value().if_string();
    const std::string_view value =
        text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
    if (names.size() >= kMaxTags || !IsIdentifying(key, value)) continue;
    std::string name = Word(key);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
}

void ReadStream(const json::object& stream, MediaFacts& facts) {
  const std::string_view kind = Text(stream, "codec_type");
  if (kind == "video" && !IsAttachedPicture(stream)) {
    ++facts.video_streams;
    if (!facts.video) {
      facts.video = ReadVideo(stream);
      return;
    }
  } else if (kind == "audio") {
    facts.audio.push_back(ReadAudio(stream));
    return;
  }
  facts.others.push_back({.index = Int(stream, "index", 0, 1'000'000, 0),
                          .kind = kind.empty() ? "unknown" : Word(kind),
                          .codec = Word(Text(stream, "codec_name"))});
}

void ReadFormat(const json::object& format, MediaFacts& facts) {
  facts.container = Word(Text(format, "format_name"), 2 * kMaxWord);
  if (const auto size = Whole(format, "size", 0, std::int64_t{1} << 60U))
    facts.size = Bytes(static_cast<std::uint64_t>(*size));
  facts.start = Time(format, "start_time");
  facts.duration = Length(format, "duration");
  CollectTags(format, facts.identifying_tags);
}

}  // namespace

Rational ParseRational(std::string_view text) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
  const std::size_t bar = text.find_first_of("/:");
  if (bar == std::string_view::npos) return {0, 0};
  const auto num = ParseSigned(text.substr(0, bar));
  const auto den = ParseSigned(text.substr(bar + 1));
  if (!num || !den || *num < -kLimit || *num > kLimit || *den <= 0 || *den > kLimit) return {0, 0};
  return {*num, *den};
}

Size VideoStream::displayed() const {
  Size size = coded;
  if (sample_aspect.known()) {
    const double width = std::clamp(std::round(coded.width * sample_aspect.value()), coded.width > 0 ? 1.0 : 0.0,
                                    static_cast<double>(kMaxSide));
    size.width = static_cast<int>(width);
  }
  if (rotation == 90 || rotation == 270) std::swap(size.width, size.height);
  return size;
}

MediaTime MediaFacts::length() const {
  MediaTime longest{0};
  const auto consider = [&](const std::optional<MediaTime>& time) {
    longest = std::max(longest, time.value_or(MediaTime(0)));
  };
  consider(duration);
  if (video) consider(video->duration);
  for (const AudioStream& stream : audio) consider(stream.duration);
  return longest;
}

Result<MediaFacts> ParseProbe(std::string_view text) {
  const auto refuse = [](const char* why) {
    return Fail(ErrorCode::kInputNotMedia, std::string("the input is not a media file that can be read: ") + why);
  };
  if (text.size() > kMaxDocument) return refuse("its description is longer than 1 MiB");
  json::parse_options options;
  options.max_depth = kMaxDepth;
  // Tag values are copied from the file and need not be UTF-8.
  options.allow_invalid_utf8 = true;
  // The parser may throw for memory only; a child that floods us is cut at kMaxDocument before this.
  json::error_code failed;
  const json::value document = json::parse(json::string_view(text.data(), text.size()), failed, {}, options);
  if (failed) return refuse("its description is not complete");
  const json::object* root = document.if_object();
  const json::array* streams = root == nullptr ? nullptr : FindArray(*root, "streams");
  if (streams == nullptr || streams->empty()) return refuse("no picture and no sound was found in it");

  MediaFacts facts;
  if (const json::object* format = FindObject(*root, "format")) ReadFormat(*format, facts);
  std::size_t read = 0;
  for (const json::value& entry : *streams) {
    const json::object* stream = entry.if_object();
    if (stream == nullptr) continue;
    ++read;
    ReadStream(*stream, facts);
    CollectTags(*stream, facts.identifying_tags);
  }
  if (read == 0) return refuse("no picture and no sound was found in it");
  return facts;
}

}  // namespace weir::media
