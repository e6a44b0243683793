#include "media/request_json.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "base/text.h"

namespace weir::media {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxText = std::size_t{16} * 1024;
constexpr std::size_t kMaxDepth = 4;
constexpr std::int64_t kMicro = 1'000'000;

std::unexpected<Error> Refuse(std::string sentence) { return Fail(ErrorCode::kBadParameters, std::move(sentence)); }

// ---- Numbers and texts as JSON

std::string JsonText(std::string_view text) { return json::serialize(json::string(text.data(), text.size())); }

// The shortest decimal without exponent that reads back as the same number.
std::string Decimal(double number) {
  std::array<char, 400> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
  return {digits.data(), end.ptr};
}

// Seconds with as many of six decimals as it takes.
std::string InSecondsExactly(MediaTime time) {
  std::string text = std::to_string(time.count() / kMicro);
  std::string fraction = std::to_string(kMicro + time.count() % kMicro);
  fraction.front() = '.';
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (fraction.size() > 1) text += fraction;
  return text;
}

// What was given instead, for a sentence: short, and safe to print.
std::string KindOf(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::string:
      return "a text";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return json::serialize(value);
  }
  return "something else";
}

std::optional<double> NumberOf(const json::value& value) {
  if (const auto* whole = value.if_int64()) return static_cast<double>(*whole);
  if (const auto* whole = value.if_uint64()) return static_cast<double>(*whole);
  if (const auto* number = value.if_double(); number != nullptr && std::isfinite(*number)) return *number;
  return std::nullopt;
}

std::string_view TextOf(const json::string& text) { return {text.data(), text.size()}; }

// ---- The table

enum class Type : std::uint8_t { kAspect, kFocus, kSize, kInteger, kTime, kWord, kBoolean };

struct Parameter {
  std::string_view name;
  Type type;
  WholeRange range;  // kInteger: its values, kTime: microseconds, kSize: each side
  const std::vector<std::string>& (*words)() = nullptr;
  bool nullable = false;  // null is the default, and stands for what the description says
  std::string_view unit;
  std::string_view description;
  Status (*read)(const Parameter&, const json::value&, Request&);
  std::string (*write)(const Parameter&, const Request&);
};

WholeRange RangeOf(const Parameter& parameter, const Request& request) {
  const bool by_output = parameter.type == Type::kInteger && parameter.name == "crf" &&
                         std::holds_alternative<Transcode>(request.recipe);
  return by_output ? TranscodeCrf(request.output) : parameter.range;
}

std::string Listed(const std::vector<std::string>& words) {
  std::string list;
  for (const auto& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

// "a whole number from 0 to 51".
std::string Wanted(const Parameter& parameter, const WholeRange& range) {
  std::string text;
  switch (parameter.type) {
    case Type::kAspect:
      text = "a text such as 9:16";
      break;
    case Type::kFocus:
      text = "a text such as center or 0.5,0.2, or an object with x and y from 0 to 1 each";
      break;
    case Type::kSize:
      text = "a text such as 1080x1920";
      break;
    case Type::kInteger:
      text = "a whole number from " + std::to_string(range.low) + " to " + std::to_string(range.high);
      break;
    case Type::kTime:
      text = "a number of seconds from " + InSecondsExactly(MediaTime(range.low)) + " to " +
             InSecondsExactly(MediaTime(range.high)) + ", or a text such as 1:02.5 or 90s";
      break;
    case Type::kWord:
      text = "one of " + Listed(parameter.words());
      break;
    case Type::kBoolean:
      text = "true or false";
      break;
  }
  return text + (parameter.nullable ? ", or null" : "");
}

std::unexpected<Error> NotThat(const Parameter& parameter, const WholeRange& range, const std::string& given) {
  return Refuse(std::string(parameter.name) + " is " + Wanted(parameter, range) + ", not " + given);
}

template <typename T>
Status Take(const Parameter& parameter, Result<T> parsed, T& field) {
  if (!parsed) {
    Error error = std::move(parsed).error();
    error.detail = std::string(parameter.name) + ": " + error.detail;
    return Fail(std::move(error));
  }
  field = *std::move(parsed);
  return {};
}

// One overload for each type of field. `range` is that of the parameter for this request.

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, Rational& field) {
  if (const auto* text = value.if_string()) return Take(parameter, ParseAspect(TextOf(*text)), field);
  return NotThat(parameter, range, KindOf(value));
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, Focus& field) {
  if (const auto* text = value.if_string()) return Take(parameter, ParseFocus(TextOf(*text)), field);
  const auto* point = value.if_object();
  if (point == nullptr) return NotThat(parameter, range, KindOf(value));
  const auto* x = point->if_contains("x");
  const auto* y = point->if_contains("y");
  if (x == nullptr || y == nullptr || point->size() != 2) return NotThat(parameter, range, "an object with others");
  for (const auto& [axis, given, coordinate] : {std::tuple("x", x, &field.x), std::tuple("y", y, &field.y)}) {
    const auto number = NumberOf(*given);
    if (!number || *number < 0 || *number > 1) {
      return Refuse(std::string(parameter.name) + "." + axis + " is a number from 0 to 1, not " + KindOf(*given));
    }
    // More decimals say nothing about a picture, and the text of these is exact. Adding zero turns -0 into 0.
    *coordinate = std::round(*number * 1e9) / 1e9 + 0.0;
  }
  return {};
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, Size& field) {
  if (const auto* text = value.if_string()) return Take(parameter, ParseSize(TextOf(*text)), field);
  return NotThat(parameter, range, KindOf(value));
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, int& field) {
  const auto number = NumberOf(value);
  // Compared as doubles: what is far out of range need not fit any integer.
  if (!number || *number != std::floor(*number) || *number < static_cast<double>(range.low) ||
      *number > static_cast<double>(range.high)) {
    return NotThat(parameter, range, KindOf(value));
  }
  field = static_cast<int>(*number);
  return {};
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, MediaTime& field) {
  if (const auto* text = value.if_string()) {
    MediaTime time{};
    WEIR_TRY(Take(parameter, ParseTime(TextOf(*text)), time));
    if (!range.Holds(time.count())) return NotThat(parameter, range, Quoted(TextOf(*text)));
    field = time;
    return {};
  }
  const auto seconds = NumberOf(value);
  if (!seconds || *seconds < 0 || *seconds > Seconds(kLongestTime)) return NotThat(parameter, range, KindOf(value));
  const MediaTime time(std::llround(*seconds * kMicro));
  if (!range.Holds(time.count())) return NotThat(parameter, range, KindOf(value));
  field = time;
  return {};
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, Trim::Mode& field) {
  if (const auto* text = value.if_string()) return Take(parameter, ParseTrimMode(TextOf(*text)), field);
  return NotThat(parameter, range, KindOf(value));
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, std::string& field) {
  if (const auto* text = value.if_string()) return Take(parameter, ParsePreset(TextOf(*text)), field);
  return NotThat(parameter, range, KindOf(value));
}

Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, bool& field) {
  const auto* flag = value.if_bool();
  if (flag == nullptr) return NotThat(parameter, range, KindOf(value));
  field = *flag;
  return {};
}

template <typename T>
Status Read(const Parameter& parameter, const WholeRange& range, const json::value& value, std::optional<T>& field) {
  T inner{};
  WEIR_TRY(Read(parameter, range, value, inner));
  field = std::move(inner);
  return {};
}

std::string Write(const Rational& aspect) {
  const std::int64_t divisor = std::gcd(aspect.num, aspect.den);
  const std::int64_t width = divisor == 0 ? 0 : aspect.num / divisor;
  const std::int64_t height = divisor == 0 ? 0 : aspect.den / divisor;
  // Only the aspect of a given size can be out of range, and null stands for that.
  if (!kAspectPart.Holds(width) || !kAspectPart.Holds(height) || width > height * kMaxAspectRatio ||
      height > width * kMaxAspectRatio) {
    return "null";
  }
  return JsonText(std::to_string(width) + ":" + std::to_string(height));
}
std::string Write(const Focus& focus) {
  const auto shown = [](double place) {
    std::string text = Decimal(place);
    // Longer ones do not come from any text that ParseFocus takes.
    return text.size() <= 17 ? text : Decimal(std::round(place * 1e9) / 1e9);
  };
  return JsonText(shown(focus.x) + "," + shown(focus.y));
}
std::string Write(const Size& size) {
  return JsonText(std::to_string(size.width) + "x" + std::to_string(size.height));
}
// Below zero: the codec's default.
std::string Write(int number) { return number < 0 ? "null" : std::to_string(number); }
std::string Write(MediaTime time) { return InSecondsExactly(time); }
std::string Write(Trim::Mode mode) { return JsonText(TrimModeNames().at(static_cast<std::size_t>(mode))); }
std::string Write(const std::string& word) { return JsonText(word); }
std::string Write(bool flag) { return flag ? "true" : "false"; }
template <typename T>
std::string Write(const std::optional<T>& field) {
  return field ? Write(*field) : "null";
}

// The two functions of a row, from the member that it is about.
template <typename Owner, auto kMember>
struct Field {
  static Status Read(const Parameter& parameter, const json::value& value, Request& request) {
    // The member has its default already.
    if (parameter.nullable && value.is_null()) return {};
    return media::Read(parameter, RangeOf(parameter, request), value, std::get<Owner>(request.recipe).*kMember);
  }
  static std::string Write(const Parameter& /*parameter*/, const Request& request) {
    return media::Write(std::get<Owner>(request.recipe).*kMember);
  }
};

Status ReadKeepMetadata(const Parameter& parameter, const json::value& value, Request& request) {
  return Read(parameter, parameter.range, value, request.keep_metadata);
}
std::string WriteKeepMetadata(const Parameter& /*parameter*/, const Request& request) {
  return Write(request.keep_metadata);
}

template <typename Owner, auto kMember>
Parameter Row(std::string_view name, Type type, std::string_view description) {
  return {.name = name,
          .type = type,
          .range = {},
          .words = nullptr,
          .nullable = false,
          .unit = {},
          .description = description,
          .read = Field<Owner, kMember>::Read,
          .write = Field<Owner, kMember>::Write};
}

Parameter Nullable(Parameter parameter) {
  parameter.nullable = true;
  return parameter;
}

Parameter Within(Parameter parameter, WholeRange range, std::string_view unit) {
  parameter.range = range;
  parameter.unit = unit;
  return parameter;
}

Parameter OneOf(Parameter parameter, const std::vector<std::string>& (*words)()) {
  parameter.words = words;
  return parameter;
}

template <typename Owner>
Parameter Preset() {
  return OneOf(Row<Owner, &Owner::preset>("preset", Type::kWord, "x264's speed: slower ones make smaller files"),
               PresetNames);
}

Parameter KeepMetadata() {
  Parameter row;
  row.name = "keep_metadata";
  row.type = Type::kBoolean;
  row.description = "keep tags that tell place, device or person";
  row.read = ReadKeepMetadata;
  row.write = WriteKeepMetadata;
  return row;
}

constexpr WholeRange kTimes{0, kLongestTime.count()};
// An end at zero would leave nothing.
constexpr WholeRange kEnds{1, kLongestTime.count()};

struct RecipeRow {
  std::string name;
  std::string_view summary;
  Recipe blank;  // before any parameter is read
  std::vector<Parameter> parameters;
  std::string_view example_input, example_params, example_output;
};

const std::vector<RecipeRow>& Table() {
  static const std::vector<RecipeRow> kTable = {
      {.name = "crop",
       .summary = "cut a clip to another shape, such as vertical 9:16, and keep its sound",
       // No aspect yet: it may come from the size.
       .blank = Crop{.aspect = {0, 0}, .focus = {}, .size = {}, .crf = Crop{}.crf, .preset = Crop{}.preset},
       .parameters =
           {Nullable(
                Row<Crop, &Crop::aspect>("aspect", Type::kAspect, "shape as W:H; null: that of size, else 9:16")),
            Row<Crop, &Crop::focus>("focus", Type::kFocus,
                                    "what to keep: center, top, bottom, left, right, or x,y with 0 (left, top) to 1 "
                                    "(right, bottom) each, also as an object"),
            Nullable(Within(Row<Crop, &Crop::size>("size", Type::kSize,
                                                   "exact size WxH, even numbers; null: the pixels that are there, "
                                                   "at most 1080 on the short side"),
                            kSide, "pixels")),
            Within(Row<Crop, &Crop::crf>("crf", Type::kInteger, "quality: lower is better and larger"), kX264Crf, ""),
            Preset<Crop>(), KeepMetadata()},
       .example_input = "clip.mp4",
       .example_params = R"({"aspect":"9:16","focus":"0.5,0.2","size":"1080x1920"})",
       .example_output = "vertical.mp4"},
      {.name = "trim",
       .summary = "cut out a part, without encoding when the cut allows it",
       .blank = Trim{},
       .parameters =
           {Within(Row<Trim, &Trim::from>("from", Type::kTime, "start: seconds, or a text such as 1:02.5"), kTimes,
                   "seconds"),
            Nullable(Within(Row<Trim, &Trim::to>("to", Type::kTime, "end, after from; null: the end of the clip"),
                            kEnds, "seconds")),
            OneOf(Row<Trim, &Trim::mode>("mode", Type::kWord,
                                         "auto: copy when the cut allows it, else encode; copy: never encode, begin "
                                         "at a keyframe; exact: always encode"),
                  TrimModeNames),
            Within(Row<Trim, &Trim::crf>("crf", Type::kInteger, "quality when encoding: lower is better and larger"),
                   kX264Crf, ""),
            Preset<Trim>(), KeepMetadata()},
       .example_input = "clip.mp4",
       .example_params = R"({"from":10,"to":25.5})",
       .example_output = "part.mp4"},
      {.name = "transcode",
       .summary = "make H.264/AAC .mp4 or VP9/Opus .webm, inside a size, never enlarged",
       .blank = Transcode{},
       .parameters =
           {Nullable(Within(Row<Transcode, &Transcode::fit>("fit", Type::kSize,
                                                            "make it fit inside WxH, even numbers, never enlarged; "
                                                            "null: the size that it has"),
                            kSide, "pixels")),
            Nullable(Within(Row<Transcode, &Transcode::crf>("crf", Type::kInteger,
                                                            "quality: lower is better and larger; null: 23 for mp4, "
                                                            "33 for webm"),
                            TranscodeCrf(Container::kMp4), "")),
            Preset<Transcode>(), KeepMetadata()},
       .example_input = "clip.mov",
       .example_params = R"({"fit":"1280x720"})",
       .example_output = "clip.webm"},
      {.name = "thumbnail",
       .summary = "take one picture as .jpg or .png",
       .blank = Thumbnail{},
       .parameters = {Nullable(
                          Within(Row<Thumbnail, &Thumbnail::at>("at", Type::kTime,
                                                                "where: seconds, or a text such as 1:02.5; null: "
                                                                "a tenth of the length"),
                                 kTimes, "seconds")),
                      Nullable(Within(Row<Thumbnail, &Thumbnail::width>("width", Type::kInteger,
                                                                        "width, the height follows, never enlarged; "
                                                                        "null: that of the picture"),
                                      kSide, "pixels")),
                      KeepMetadata()},
       .example_input = "clip.mp4",
       .example_params = R"({"at":3.5,"width":640})",
       .example_output = "poster.jpg"}};
  return kTable;
}

const RecipeRow* RowOf(std::string_view recipe) {
  const auto row = std::ranges::find(Table(), recipe, &RecipeRow::name);
  return row == Table().end() ? nullptr : &*row;
}

// ---- Reading

// Hears every name of a document, and whether one comes twice in its object: a parsed object would keep the last.
class NameWatcher {
 public:
  static constexpr std::size_t max_object_size = kMaxText;
  static constexpr std::size_t max_array_size = kMaxText;
  static constexpr std::size_t max_key_size = kMaxText;
  static constexpr std::size_t max_string_size = kMaxText;

  [[nodiscard]] const std::optional<std::string>& twice() const { return twice_; }

  // NOLINTBEGIN(readability-identifier-naming): names that the parser calls.
  static bool on_document_begin(json::error_code& /*error*/) { return true; }
  static bool on_document_end(json::error_code& /*error*/) { return true; }
  static bool on_array_begin(json::error_code& /*error*/) { return true; }
  static bool on_array_end(std::size_t /*count*/, json::error_code& /*error*/) { return true; }
  bool on_object_begin(json::error_code& /*error*/) {
    names_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t /*count*/, json::error_code& /*error*/) {
    names_.pop_back();
    return true;
  }
  static bool on_string_part(json::string_view /*part*/, std::size_t /*size*/, json::error_code& /*error*/) {
    return true;
  }
  static bool on_string(json::string_view /*part*/, std::size_t /*size*/, json::error_code& /*error*/) {
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t /*size*/, json::error_code& /*error*/) {
    name_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t /*size*/, json::error_code& /*error*/) {
    name_.append(part.data(), part.size());
    if (!twice_ && !names_.back().insert(name_).second) twice_ = name_;
    name_.clear();
    return true;
  }
  static bool on_number_part(json::string_view /*part*/, json::error_code& /*error*/) { return true; }
  static bool on_int64(std::int64_t /*number*/, json::string_view /*part*/, json::error_code& /*error*/) {
    return true;
  }
  static bool on_uint64(std::uint64_t /*number*/, json::string_view /*part*/, json::error_code& /*error*/) {
    return true;
  }
  static bool on_double(double /*number*/, json::string_view /*part*/, json::error_code& /*error*/) { return true; }
  static bool on_bool(bool /*flag*/, json::error_code& /*error*/) { return true; }
  static bool on_null(json::error_code& /*error*/) { return true; }
  static bool on_comment_part(json::string_view /*part*/, json::error_code& /*error*/) { return true; }
  static bool on_comment(json::string_view /*part*/, json::error_code& /*error*/) { return true; }
  // NOLINTEND(readability-identifier-naming)

 private:
  std::vector<std::set<std::string>> names_;
  std::string name_;
  std::optional<std::string> twice_;
};

Result<json::object> ParseObject(std::string_view text) {
  if (text.empty()) return json::object();
  if (text.size() > kMaxText) return Refuse("the parameters are longer than 16 KiB");
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::basic_parser<NameWatcher> watcher(options);
  json::error_code failed;
  const std::size_t read = watcher.write_some(false, text.data(), text.size(), failed);
  if (failed == json::error::too_deep) {
    return Refuse("the parameters are nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  // The parser throws for memory only, and the text is short.
  json::value document;
  if (!failed) document = json::parse(json::string_view(text.data(), text.size()), failed, {}, options);
  if (failed) {
    return Refuse("the parameters are not JSON in UTF-8: " + failed.message() + " near byte " + std::to_string(read));
  }
  json::object* object = document.if_object();
  if (object == nullptr) return Refuse("the parameters are " + KindOf(document) + ", and must be a JSON object");
  if (watcher.handler().twice())
    return Refuse("the parameter " + Quoted(*watcher.handler().twice()) + " is given twice");
  return std::move(*object);
}

std::string Hint(std::string_view word, const std::vector<std::string>& known) {
  const auto nearest = NearestName(word, known);
  return nearest ? "; did you mean " + *nearest + "?" : "; there are " + Listed(known);
}

// What lies between parameters.
Status Finish(Request& request) {
  if (auto* crop = std::get_if<Crop>(&request.recipe); crop != nullptr && !crop->aspect.known()) {
    crop->aspect = crop->size ? Rational{.num = crop->size->width, .den = crop->size->height} : Crop{}.aspect;
  }
  if (const auto* trim = std::get_if<Trim>(&request.recipe); trim != nullptr && trim->to && *trim->to <= trim->from) {
    return Refuse("to (" + InSecondsExactly(*trim->to) + " s) is not after from (" + InSecondsExactly(trim->from) +
                  " s); the part would be empty");
  }
  return {};
}

// ---- Describing

std::string_view NameOf(Type type) {
  static constexpr std::array<std::string_view, 7> kNames = {"aspect", "focus", "size",   "integer",
                                                             "time",   "word",  "boolean"};
  return kNames.at(static_cast<std::size_t>(type));
}

std::string JsonList(const std::vector<std::string>& words) {
  std::string list;
  for (const auto& word : words) list += (list.empty() ? "[" : ",") + JsonText(word);
  return list + "]";
}

std::string JsonRange(const std::string& low, const std::string& high) {
  return R"({"low":)" + low + R"(,"high":)" + high + "}";
}
std::string JsonRange(const WholeRange& range) {
  return JsonRange(std::to_string(range.low), std::to_string(range.high));
}

std::string JsonValues(const Parameter& parameter, const RecipeRow& recipe) {
  switch (parameter.type) {
    case Type::kAspect: {
      const std::string most = std::to_string(kMaxAspectRatio);
      return R"("range":)" + JsonRange(JsonText("1:" + most), JsonText(most + ":1"));
    }
    case Type::kFocus:
      return R"("range":)" + JsonRange({.low = 0, .high = 1});
    case Type::kTime:
      return R"("range":)" + JsonRange(InSecondsExactly(MediaTime(parameter.range.low)),
                                       InSecondsExactly(MediaTime(parameter.range.high)));
    case Type::kSize:
    case Type::kInteger: {
      std::string text = R"("range":)" + JsonRange(parameter.range);
      std::string others;
      for (const Container output : OutputsOf(recipe.blank)) {
        const WholeRange range = RangeOf(parameter, {.recipe = recipe.blank, .output = output});
        if (range == parameter.range) continue;
        others += (others.empty() ? "" : ",") + JsonText(ExtensionOf(output)) + ":" + JsonRange(range);
      }
      if (!others.empty()) text += R"(,"range_by_output":{)" + others + "}";
      return text;
    }
    case Type::kWord:
      return R"("values":)" + JsonList(parameter.words());
    case Type::kBoolean:
      return R"("values":[true,false])";
  }
  return {};
}

}  // namespace

const std::vector<std::string>& RecipeNames() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const RecipeRow& row : Table()) names.push_back(row.name);
    return names;
  }();
  return kNames;
}

Result<Request> RequestFromJson(std::string_view recipe, std::string_view params, std::string_view output_name) {
  const RecipeRow* row = RowOf(recipe);
  if (row == nullptr) return Refuse("unknown recipe " + Quoted(recipe) + Hint(recipe, RecipeNames()));
  Request request{.recipe = row->blank};
  const auto allowed = OutputsOf(request.recipe);
  request.output = allowed.front();
  if (!output_name.empty()) {
    WEIR_ASSIGN(request.output, ContainerOf(output_name, allowed));
  }

  WEIR_ASSIGN(const json::object object, ParseObject(params));
  std::vector<std::string> names;
  for (const Parameter& parameter : row->parameters) names.emplace_back(parameter.name);
  for (const auto& entry : object) {
    const std::string_view key(entry.key().data(), entry.key().size());
    if (std::ranges::find(names, key) == names.end()) {
      return Refuse(row->name + " has no parameter " + Quoted(key) + Hint(key, names));
    }
  }
  for (const Parameter& parameter : row->parameters) {
    const json::value* value = object.if_contains(json::string_view(parameter.name.data(), parameter.name.size()));
    if (value != nullptr) WEIR_TRY(parameter.read(parameter, *value, request));
  }
  WEIR_TRY(Finish(request));
  return request;
}

std::string ParamsToJson(const Request& request) {
  std::string text;
  for (const Parameter& parameter : RowOf(media::NameOf(request.recipe))->parameters) {
    text += (text.empty() ? "{" : ",") + JsonText(parameter.name) + ":" + parameter.write(parameter, request);
  }
  return text + "}";
}

std::string DescribeRecipe(std::string_view name) {
  const RecipeRow* row = RowOf(name);
  if (row == nullptr) return {};
  const auto outputs = OutputsOf(row->blank);
  const Request blank{.recipe = row->blank, .output = outputs.front()};
  std::string params;
  for (const Parameter& parameter : row->parameters) {
    params += (params.empty() ? "" : ",") + (R"({"name":)" + JsonText(parameter.name)) + R"(,"type":)" +
              JsonText(NameOf(parameter.type)) + "," + JsonValues(parameter, *row) + R"(,"default":)" +
              parameter.write(parameter, blank);
    if (!parameter.unit.empty()) params += R"(,"unit":)" + JsonText(parameter.unit);
    params += R"(,"description":)" + JsonText(parameter.description) + "}";
  }
  std::vector<std::string> extensions;
  for (const Container output : outputs) extensions.emplace_back(ExtensionOf(output));
  return R"({"name":)" + JsonText(row->name) + R"(,"summary":)" + JsonText(row->summary) + R"(,"params":[)" + params +
         R"(],"outputs":)" + JsonList(extensions) + R"(,"example":{"recipe":)" + JsonText(row->name) +
         R"(,"inputs":[)" + JsonText(row->example_input) + R"(],"params":)" + std::string(row->example_params) +
         R"(,"outputs":[)" + JsonText(row->example_output) + "]}}";
}

}  // namespace weir::media
