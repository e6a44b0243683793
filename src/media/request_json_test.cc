#include "media/request_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <set>

namespace weir::media {
namespace {

namespace json = boost::json;
using std::chrono::microseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string Refusal(const Result<Request>& result) {
  if (result) return "accepted";
  return std::string(InfoOf(result.error().code).name) + ": " + result.error().detail;
}
std::string Refusal(std::string_view recipe, std::string_view params, std::string_view output = "") {
  return Refusal(RequestFromJson(recipe, params, output));
}

// The recipe as read, or its defaults with a failed test.
template <typename T>
T Read(std::string_view recipe, std::string_view params, std::string_view output = "") {
  const auto request = RequestFromJson(recipe, params, output);
  EXPECT_TRUE(request) << params << ": " << Refusal(request);
  return request ? std::get<T>(request->recipe) : T{};
}

// Reads what was written, and writes the same again.
void ExpectRoundTrip(const Request& request) {
  const std::string text = ParamsToJson(request);
  const auto again = RequestFromJson(NameOf(request.recipe), text, "x." + std::string(ExtensionOf(request.output)));
  ASSERT_TRUE(again) << text << ": " << Refusal(again);
  EXPECT_TRUE(*again == request) << text;
  EXPECT_EQ(ParamsToJson(*again), text);
}

TEST(RequestJson, NothingGivenIsTheDefaultOfTheCommandLine) {
  EXPECT_TRUE(Read<Crop>("crop", "") == Crop{});
  EXPECT_TRUE(Read<weir::media::Trim>("trim", "{}") == weir::media::Trim{});
  EXPECT_TRUE(Read<Transcode>("transcode", " {\n} ") == Transcode{});
  EXPECT_TRUE(Read<Thumbnail>("thumbnail", "{}") == Thumbnail{});
  EXPECT_FALSE(RequestFromJson("crop", "", "")->keep_metadata);
}

TEST(RequestJson, OutputNamesDecideTheContainer) {
  EXPECT_EQ(RequestFromJson("crop", "", "")->output, Container::kMp4);
  EXPECT_EQ(RequestFromJson("trim", "", "")->output, Container::kMp4);
  EXPECT_EQ(RequestFromJson("transcode", "", "")->output, Container::kMp4);
  EXPECT_EQ(RequestFromJson("thumbnail", "", "")->output, Container::kJpeg);
  EXPECT_EQ(RequestFromJson("crop", "", "a/b.MOV")->output, Container::kMov);
  EXPECT_EQ(RequestFromJson("thumbnail", "", "p.png")->output, Container::kPng);
  EXPECT_THAT(Refusal("crop", "", "a.webm"), HasSubstr("output-format: the output 'a.webm' cannot be made"));
  EXPECT_THAT(Refusal("crop", "", "a"), HasSubstr("has no extension"));
}

TEST(RequestJson, ReadsEveryParameterOfCrop) {
  const auto crop =
      Read<Crop>("crop", R"({"preset":"slow","crf":0,"size":"1080x1920","focus":"0.5,0.2","aspect":"4:5"})");
  EXPECT_EQ(crop.aspect, (Rational{4, 5}));
  EXPECT_TRUE(crop.focus == (Focus{0.5, 0.2}));
  EXPECT_EQ(crop.size, (Size{1080, 1920}));
  EXPECT_EQ(crop.crf, 0);
  EXPECT_EQ(crop.preset, "slow");
  EXPECT_TRUE(Read<Crop>("crop", R"({"focus":{"y":0.2,"x":1}})").focus == (Focus{1, 0.2}));
  EXPECT_TRUE(Read<Crop>("crop", R"({"focus":"left"})").focus == (Focus{0, 0.5}));
  EXPECT_FALSE(std::signbit(Read<Crop>("crop", R"({"focus":{"x":-0.0,"y":0}})").focus.x));
  EXPECT_TRUE(RequestFromJson("crop", R"({"keep_metadata":true})", "")->keep_metadata);
}

TEST(RequestJson, TheSizeGivesTheAspectUnlessOneIsGiven) {
  EXPECT_EQ(Read<Crop>("crop", R"({"size":"1000x1000"})").aspect, (Rational{1, 1}));
  EXPECT_EQ(Read<Crop>("crop", R"({"size":"1000x1000","aspect":null})").aspect, (Rational{1, 1}));
  EXPECT_EQ(Read<Crop>("crop", R"({"size":"1000x1000","aspect":"9:16"})").aspect, (Rational{9, 16}));
  EXPECT_EQ(Read<Crop>("crop", R"({"aspect":null,"size":null})").aspect, (Rational{9, 16}));
  // Beyond any aspect that can be written, as on the command line.
  EXPECT_EQ(Read<Crop>("crop", R"({"size":"8192x16"})").aspect, (Rational{512, 1}));
}

TEST(RequestJson, ReadsTimesAsNumbersAndTexts) {
  using Trim = weir::media::Trim;
  EXPECT_EQ(Read<Trim>("trim", R"({"from":10,"to":25.5})").to, microseconds(25'500'000));
  EXPECT_EQ(Read<Trim>("trim", R"({"from":"1:02.5"})").from, microseconds(62'500'000));
  EXPECT_EQ(Read<Trim>("trim", R"({"from":1e1})").from, microseconds(10'000'000));
  EXPECT_EQ(Read<Trim>("trim", R"({"from":3599999.999999})").from, microseconds(3'599'999'999'999));
  EXPECT_EQ(Read<Trim>("trim", R"({"mode":"copy"})").mode, Trim::Mode::kCopy);
  EXPECT_EQ(Read<Trim>("trim", R"({"mode":"exact"})").mode, Trim::Mode::kExact);
  EXPECT_EQ(Read<Thumbnail>("thumbnail", R"({"at":"500ms","width":640})").at, microseconds(500'000));
  EXPECT_EQ(Read<Thumbnail>("thumbnail", R"({"width":640.0})").width, 640);
  EXPECT_THAT(Refusal("trim", R"({"from":5,"to":5})"),
              HasSubstr("bad-parameters: to (5 s) is not after from (5 s); the part would be empty"));
  EXPECT_THAT(Refusal("trim", R"({"from":"5s","to":4.25})"), HasSubstr("to (4.25 s) is not after"));
}

TEST(RequestJson, QualityOfTranscodeDependsOnTheCodec) {
  EXPECT_EQ(Read<Transcode>("transcode", R"({"crf":63})", "a.webm").crf, 63);
  EXPECT_EQ(Read<Transcode>("transcode", R"({"crf":null})", "a.webm").crf, -1);
  EXPECT_THAT(Refusal("transcode", R"({"crf":64})", "a.webm"), HasSubstr("from 0 to 63"));
  EXPECT_THAT(Refusal("transcode", R"({"crf":52})", "a.mp4"), HasSubstr("from 0 to 51"));
  EXPECT_EQ(Read<Transcode>("transcode", R"({"fit":"1280x720"})").fit, (Size{1280, 720}));
}

TEST(RequestJson, UnknownNamesComeWithTheNearest) {
  EXPECT_THAT(Refusal("corp", ""), HasSubstr("bad-parameters: unknown recipe 'corp'; did you mean crop?"));
  EXPECT_THAT(Refusal("", ""), HasSubstr("there are crop, trim, transcode, thumbnail"));
  EXPECT_THAT(Refusal("crop", R"({"sise":"16x16"})"),
              HasSubstr("bad-parameters: crop has no parameter 'sise'; did you mean size?"));
  EXPECT_THAT(Refusal("thumbnail", R"({"bitrate":1})"), HasSubstr("there are at, width, keep_metadata"));
  EXPECT_THAT(Refusal("thumbnail", R"({"crf":1})"), HasSubstr("has no parameter 'crf'"));
  EXPECT_THAT(Refusal("crop", R"({"Crf":1})"), HasSubstr("no parameter 'Crf'; did you mean crf?"));
  EXPECT_THAT(Refusal("crop", R"({"crf\u0000":1})"), HasSubstr(R"(no parameter 'crf\x00')"));
  EXPECT_THAT(Refusal("crop", R"({"preset":"medum"})"), HasSubstr("did you mean medium?"));
  EXPECT_THAT(Refusal("trim", R"({"mode":"fast"})"), HasSubstr("mode: 'fast' is not one of auto, copy, exact"));
}

TEST(RequestJson, WrongTypesAreNamedWithTheRightOne) {
  EXPECT_THAT(Refusal("crop", R"({"crf":"23"})"),
              HasSubstr("bad-parameters: crf is a whole number from 0 to 51, not a text"));
  EXPECT_THAT(Refusal("crop", R"({"crf":23.5})"), HasSubstr("crf is a whole number from 0 to 51, not 2.35E1"));
  EXPECT_THAT(Refusal("crop", R"({"crf":null})"), HasSubstr("not null"));
  EXPECT_THAT(Refusal("crop", R"({"crf":18446744073709551615})"), HasSubstr("not 18446744073709551615"));
  EXPECT_THAT(Refusal("crop", R"({"crf":-9223372036854775808})"), HasSubstr("from 0 to 51"));
  EXPECT_THAT(Refusal("crop", R"({"crf":1e308})"), HasSubstr("from 0 to 51"));
  EXPECT_THAT(Refusal("crop", R"({"crf":1e999})"), StartsWith("bad-parameters: "));
  EXPECT_THAT(Refusal("crop", R"({"crf":[23]})"), HasSubstr("not a list"));
  EXPECT_THAT(Refusal("crop", R"({"size":{"w":1}})"),
              HasSubstr("size is a text such as 1080x1920, or null, not an object"));
  EXPECT_THAT(Refusal("crop", R"({"size":1080})"), HasSubstr("not 1080"));
  EXPECT_THAT(Refusal("crop", R"({"aspect":true})"), HasSubstr("aspect is a text such as 9:16, or null, not true"));
  EXPECT_THAT(Refusal("crop", R"({"focus":0.5})"), HasSubstr("or an object with x and y"));
  EXPECT_THAT(Refusal("crop", R"({"focus":{"x":0.5}})"), HasSubstr("not an object with other"));
  EXPECT_THAT(Refusal("crop", R"({"focus":{"x":0.5,"y":0,"z":0}})"), HasSubstr("not an object with other"));
  EXPECT_THAT(Refusal("crop", R"({"focus":{"x":0.5,"y":1.01}})"), HasSubstr("focus.y is a number from 0 to 1"));
  EXPECT_THAT(Refusal("crop", R"({"focus":{"x":"0.5","y":1}})"),
              HasSubstr("focus.x is a number from 0 to 1, not a text"));
  EXPECT_THAT(Refusal("crop", R"({"keep_metadata":1})"), HasSubstr("keep_metadata is true or false, not 1"));
  EXPECT_THAT(Refusal("crop", R"({"keep_metadata":"yes"})"), HasSubstr("not a text"));
  EXPECT_THAT(Refusal("trim", R"({"from":null})"),
              HasSubstr("from is a number of seconds from 0 to 3600000, or a text"));
  EXPECT_THAT(Refusal("trim", R"({"from":true})"), HasSubstr("not true"));
  EXPECT_THAT(Refusal("trim", R"({"from":-1})"), HasSubstr("not -1"));
  EXPECT_THAT(Refusal("trim", R"({"from":"-1"})"), HasSubstr("from: the time '-1' is negative"));
  EXPECT_THAT(Refusal("trim", R"({"to":"0"})"), HasSubstr("to is a number of seconds from 0.000001"));
  EXPECT_THAT(Refusal("trim", R"({"mode":1})"), HasSubstr("mode is one of auto, copy, exact, not 1"));
}

TEST(RequestJson, TextThatIsNoObjectIsRefused) {
  for (const char* text : {"null", "[]", "1", "\"{}\"", "true"}) {
    EXPECT_THAT(Refusal("crop", text), HasSubstr("must be a JSON object")) << text;
  }
  for (const char* text : {"{", "{}{}", "{} x", "{\"crf\":1,}", "{'crf':1}", "{crf:1}", "// x\n{}", "{\"crf\":01}",
                           " ", "{\"crf\":NaN}", "{\"preset\":\"a\nb\"}", "\xEF\xBB\xBF{}"}) {
    EXPECT_THAT(Refusal("crop", text), HasSubstr("are not JSON in UTF-8: ")) << text;
  }
  EXPECT_THAT(Refusal("crop", "{\"preset\":\"\xC3\x28\"}"), HasSubstr("are not JSON in UTF-8: "));
  EXPECT_THAT(Refusal("crop", "{\"\xFF\":1}"), HasSubstr("are not JSON in UTF-8: "));
  EXPECT_THAT(Refusal("crop", "{\"preset\":\"\xED\xA0\x80\"}"), HasSubstr("are not JSON in UTF-8: "));
  EXPECT_THAT(Refusal("crop", R"({"preset":"\ud800"})"), HasSubstr("are not JSON in UTF-8: "));
  EXPECT_THAT(Refusal("crop", std::string_view("{}\0", 3)), HasSubstr("are not JSON in UTF-8: "));
}

TEST(RequestJson, SizeAndDepthAreBounded) {
  const std::string spaces(std::size_t{16} * 1024 - 2, ' ');
  EXPECT_EQ(Refusal("crop", "{" + spaces + "}"), "accepted");
  EXPECT_THAT(Refusal("crop", "{ " + spaces + "}"), HasSubstr("longer than 16 KiB"));
  EXPECT_THAT(Refusal("crop", R"({"crf":)" + std::string(5000, '[')), HasSubstr("nested deeper than 4 levels"));
  EXPECT_THAT(Refusal("crop", R"({"crf":[[[]]]})"), HasSubstr("not a list"));
  // Whatever is given, the sentence about it is short.
  EXPECT_LT(Refusal("crop", R"({"preset":")" + std::string(16'000, 'x') + "\"}").size(), 600U);
  EXPECT_LT(Refusal("crop", "{\"" + std::string(16'000, 'x') + "\":1}").size(), 600U);
}

TEST(RequestJson, NamesGivenTwiceAreRefused) {
  EXPECT_THAT(Refusal("crop", R"({"crf":1,"crf":1})"),
              HasSubstr("bad-parameters: the parameter 'crf' is given twice"));
  EXPECT_THAT(Refusal("crop", R"({"crf":1,"preset":"fast","\u0063rf":2})"), HasSubstr("'crf' is given twice"));
  EXPECT_THAT(Refusal("crop", R"({"focus":{"x":0,"y":0,"x":1}})"), HasSubstr("'x' is given twice"));
}

TEST(ParamsToJsonText, IsCanonical) {
  EXPECT_EQ(ParamsToJson(*RequestFromJson("crop", "", "")),
            R"({"aspect":"9:16","focus":"0.5,0.5","size":null,"crf":23,"preset":"veryfast","keep_metadata":false})");
  EXPECT_EQ(ParamsToJson(*RequestFromJson("trim", R"({"to":"25.50","from":"0:10"})", "")),
            R"({"from":10,"to":25.5,"mode":"auto","crf":20,"preset":"veryfast","keep_metadata":false})");
  EXPECT_EQ(ParamsToJson(*RequestFromJson("transcode", "", "")),
            R"({"fit":null,"crf":null,"preset":"veryfast","keep_metadata":false})");
  EXPECT_EQ(ParamsToJson(*RequestFromJson("thumbnail", R"({"at":0.000001})", "")),
            R"({"at":0.000001,"width":null,"keep_metadata":false})");
  // One meaning, one text.
  const auto text = [](const char* params) { return ParamsToJson(*RequestFromJson("crop", params, "")); };
  EXPECT_EQ(text(R"({"size":"1080x1920"})"), text(R"({"aspect":"18:32","size":"1080X1920"})"));
  EXPECT_EQ(text(R"({"focus":"top"})"), text(R"({"focus":{"x":0.5,"y":0}})"));
  EXPECT_EQ(text(R"({"focus":"0.10,0.3"})"), text(R"({"focus":{"x":0.1,"y":3e-1}})"));
}

TEST(ParamsToJsonText, ReadsBackAsTheSameRequest) {
  const std::vector<std::tuple<const char*, const char*, const char*>> cases = {
      {"crop", "{}", ""},
      {"crop", R"({"size":"8192x16"})", "a.mkv"},
      {"crop", R"({"size":"16x8192","focus":"0.123456789012345,0.000000000000001"})", "a.mov"},
      {"crop", R"({"aspect":"10000:9999","focus":{"x":0.3333333333333333,"y":1e-300},"crf":51,"keep_metadata":true})",
       ""},
      {"trim", R"({"from":0.1,"to":3600000,"mode":"exact","preset":"veryslow"})", "a.m4a"},
      {"trim", R"({"from":3599999.999998,"to":3599999.999999})", "a.ts"},
      {"transcode", R"({"fit":"16x8192","crf":63})", "a.webm"},
      {"transcode", R"({"crf":0})", "a.mp4"},
      {"thumbnail", R"({"at":1234567.654321,"width":8192})", "a.png"}};
  for (const auto& [recipe, params, output] : cases) {
    const auto request = RequestFromJson(recipe, params, output);
    ASSERT_TRUE(request) << params << ": " << Refusal(request);
    ExpectRoundTrip(*request);
  }
  // Also one that no text gives: its focus is rounded once.
  const Request made{.recipe = Crop{.focus = {1.0 / 3, 2.0 / 3}}};
  const auto once = RequestFromJson("crop", ParamsToJson(made), "");
  ASSERT_TRUE(once) << Refusal(once);
  EXPECT_NEAR(std::get<Crop>(once->recipe).focus.x, 1.0 / 3, 1e-9);
  ExpectRoundTrip(*once);
}

// ---- The description, held against the reader.

struct Values {
  std::vector<std::string> good, bad;  // JSON texts
};

std::string Written(const json::value& value) {
  // Numbers of descriptions are whole, or times of at most six decimals.
  if (!value.is_double()) return json::serialize(value);
  return std::to_string(value.as_double());
}

std::string Besides(const json::value& value, double by) { return std::to_string(value.to_number<double>() + by); }

std::string Sides(const json::value& side, int by) {
  const std::string text = std::to_string(side.as_int64() + by);
  return "\"" + text + "x" + text + "\"";
}

// Bounds and what lies just beyond them, by the type.
Values ValuesOf(const json::object& parameter, const json::value* range) {
  const auto& type = parameter.at("type").as_string();
  if (type == "word") {
    Values values{.good = {}, .bad = {R"("")", R"("nearly")", "1"}};
    for (const auto& word : parameter.at("values").as_array()) values.good.push_back(json::serialize(word));
    return values;
  }
  if (type == "boolean") return {.good = {"true", "false"}, .bad = {"0", "1", "\"true\"", "null"}};
  const auto& low = range->at("low");
  const auto& high = range->at("high");
  if (type == "aspect")
    return {.good = {Written(low), Written(high)}, .bad = {R"("1:21")", R"("21:1")", R"("10001:10000")"}};
  if (type == "focus") {
    return {.good = {R"("0,0")", R"("1,1")", R"({"x":0,"y":1})"},
            .bad = {R"("-0.000001,0")", R"("0,1.000001")", R"({"x":1.000001,"y":0})", R"({"x":0,"y":-0.000001})"}};
  }
  if (type == "size")
    return {.good = {Sides(low, 0), Sides(high, 0)}, .bad = {Sides(low, -2), Sides(high, 2), Sides(low, 1)}};
  if (type == "time")
    return {.good = {Written(low), Written(high)}, .bad = {Besides(low, -1e-6), Besides(high, 1e-6)}};
  EXPECT_EQ(type, "integer");
  return {.good = {Written(low), Written(high)}, .bad = {Besides(low, -1), Besides(high, 1)}};
}

TEST(DescribeRecipeText, AgreesWithTheReader) {
  ASSERT_THAT(RecipeNames(), ElementsAre("crop", "trim", "transcode", "thumbnail"));
  EXPECT_EQ(DescribeRecipe("corp"), "");
  for (const std::string& recipe : RecipeNames()) {
    const std::string text = DescribeRecipe(recipe);
    json::error_code failed;
    const json::value document = json::parse(text, failed);
    ASSERT_FALSE(failed) << text;
    EXPECT_EQ(document.at("name").as_string(), recipe);
    EXPECT_FALSE(document.at("summary").as_string().empty());
    std::string all;
    std::set<std::string> names;
    for (const auto& entry : document.at("params").as_array()) {
      const json::object& parameter = entry.as_object();
      const std::string name(parameter.at("name").as_string().c_str());
      EXPECT_FALSE(parameter.at("description").as_string().empty()) << name;
      EXPECT_TRUE(names.insert(name).second) << name;
      const auto refusal = [&](const std::string& value, const std::string& output) {
        return Refusal(recipe, "{\"" + name + "\":" + value + "}", output);
      };
      const std::string standard = Written(parameter.at("default"));
      all += (all.empty() ? "{\"" : ",\"") + name + "\":" + standard;
      EXPECT_EQ(refusal(standard, ""), "accepted") << name;

      const json::value* range = parameter.if_contains("range");
      for (const auto& output : document.at("outputs").as_array()) {
        const std::string extension(output.as_string().c_str());
        const json::value* here = range;
        if (const auto* by_output = parameter.if_contains("range_by_output")) {
          if (const auto* other = by_output->as_object().if_contains(extension)) here = other;
        }
        const Values values = ValuesOf(parameter, here);
        for (const auto& value : values.good) {
          EXPECT_EQ(refusal(value, "x." + extension), "accepted") << recipe << " " << name << " " << value;
        }
        for (const auto& value : values.bad) {
          EXPECT_THAT(refusal(value, "x." + extension), StartsWith("bad-parameters: " + name))
              << recipe << " " << value;
        }
      }
    }
    // The defaults together are what nothing at all means.
    const auto of_defaults = RequestFromJson(recipe, all + "}", "");
    ASSERT_TRUE(of_defaults) << Refusal(of_defaults);
    EXPECT_TRUE(*of_defaults == *RequestFromJson(recipe, "", ""));
    // Every parameter that is written is described, and the other way round.
    std::set<std::string> written;
    const json::value canonical = json::parse(ParamsToJson(*of_defaults));
    for (const auto& entry : canonical.as_object()) written.emplace(entry.key());
    EXPECT_EQ(written, names);

    const auto& example = document.at("example");
    EXPECT_EQ(example.at("recipe").as_string(), recipe);
    EXPECT_FALSE(example.at("inputs").as_array().empty());
    EXPECT_EQ(Refusal(recipe, json::serialize(example.at("params")), example.at("outputs").at(0).as_string().c_str()),
              "accepted");
  }
}

TEST(DescribeRecipeText, SaysWhereRangesDependOnTheOutput) {
  EXPECT_THAT(
      DescribeRecipe("transcode"),
      HasSubstr(R"("range":{"low":0,"high":51},"range_by_output":{"webm":{"low":0,"high":63}},"default":null)"));
  EXPECT_THAT(DescribeRecipe("crop"), testing::Not(HasSubstr("range_by_output")));
}

}  // namespace
}  // namespace weir::media
