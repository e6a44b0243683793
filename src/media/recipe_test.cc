#include "media/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace weir::media {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

template <typename T>
std::string Refusal(const Result<T>& result) {
  if (result) return "accepted";
  return std::string(InfoOf(result.error().code).name) + ": " + result.error().detail;
}

TEST(Aspect, IsReducedAndBounded) {
  EXPECT_EQ(ParseAspect("9:16")->num, 9);
  EXPECT_EQ(ParseAspect("1080:1920")->den, 16);
  EXPECT_EQ(ParseAspect("1:1")->value(), 1.0);
  EXPECT_EQ(ParseAspect("20:1")->num, 20);
  EXPECT_EQ(ParseAspect("10000:9999")->num, 10000);
  for (const char* text : {"", ":", "9", "9:", ":16", "9:16:2", "9/16", "-9:16", "9.5:16", "0:1", "1:0", "21:1",
                           "1:21", "10001:10000", " 9:16", "99999999999999999999:1", "9:16\n", "nan:1"}) {
    EXPECT_THAT(Refusal(ParseAspect(text)), HasSubstr("bad-parameters: the aspect ")) << text;
    EXPECT_THAT(Refusal(ParseAspect(text)), HasSubstr("1:20 to 20:1")) << text;
  }
}

TEST(FocusText, KnowsWordsAndFractions) {
  EXPECT_EQ(ParseFocus("center")->x, 0.5);
  EXPECT_EQ(ParseFocus("top")->y, 0);
  EXPECT_EQ(ParseFocus("bottom")->y, 1);
  EXPECT_EQ(ParseFocus("left")->x, 0);
  EXPECT_EQ(ParseFocus("right")->x, 1);
  EXPECT_EQ(ParseFocus("0.25,1")->x, 0.25);
  EXPECT_EQ(ParseFocus("0.25,1")->y, 1);
  EXPECT_FALSE(std::signbit(ParseFocus("-0,0")->x));
  for (const char* text : {"1.1,0", "-0.1,0", "0,2", "0,", ",0", "nan,0", "0,inf", "1e-1,0", "0,0,0"}) {
    EXPECT_THAT(Refusal(ParseFocus(text)), HasSubstr("out of range")) << text;
  }
  EXPECT_THAT(Refusal(ParseFocus("centre")), HasSubstr("did you mean center?"));
  EXPECT_THAT(Refusal(ParseFocus("somewhere")), HasSubstr("give center, top, bottom, left or right"));
}

TEST(SizeText, IsEvenAndBounded) {
  EXPECT_EQ(*ParseSize("1080x1920"), (Size{1080, 1920}));
  EXPECT_EQ(*ParseSize("16X8192"), (Size{16, 8192}));
  EXPECT_THAT(Refusal(ParseSize("1081x1920")), HasSubstr("odd number"));
  for (const char* text : {"14x100", "8194x100", "100x18446744073709551616", "0x0"}) {
    EXPECT_THAT(Refusal(ParseSize(text)), HasSubstr("16 to 8192")) << text;
  }
  for (const char* text :
       {"", "x", "1080", "1080*1920", "1080x", "-1080x1920", "1080x1920x2", "1e3x100", "1080.0x1920"}) {
    EXPECT_THAT(Refusal(ParseSize(text)), HasSubstr("bad-parameters: the size ")) << text;
  }
}

TEST(TimeText, KnowsSecondsClocksAndUnits) {
  EXPECT_EQ(*ParseTime("12.5"), microseconds(12'500'000));
  EXPECT_EQ(*ParseTime("0"), microseconds(0));
  EXPECT_EQ(*ParseTime("01:02.5"), microseconds(62'500'000));
  EXPECT_EQ(*ParseTime("1:02:03.25"), microseconds(3'723'250'000));
  EXPECT_EQ(*ParseTime("90:00"), microseconds(5'400'000'000));
  EXPECT_EQ(*ParseTime("90s"), microseconds(90'000'000));
  EXPECT_EQ(*ParseTime("500ms"), microseconds(500'000));
  EXPECT_EQ(*ParseTime("2m"), microseconds(120'000'000));
  EXPECT_EQ(*ParseTime("1.5h"), microseconds(5'400'000'000));
  EXPECT_EQ(*ParseTime("0.0333333"), microseconds(33'333));
  EXPECT_EQ(*ParseTime("1000h"), std::chrono::hours(1000));
  EXPECT_THAT(Refusal(ParseTime("-1")), HasSubstr("is negative"));
  EXPECT_THAT(Refusal(ParseTime("1001h")), HasSubstr("at most 1000 hours"));
  EXPECT_THAT(Refusal(ParseTime("1001:00:00")), HasSubstr("at most 1000 hours"));
  for (const char* text :
       {"",   " ",  "s",   "ms",  "1:60", "1:2:60", "1:60:00", "1:-2", "-1:00",  "1::2", ":",   "1:2:3:4",
        "1:", ":1", "1e3", "nan", "inf",  "0x10",   "12,5",    "5 s",  "1.5:00", "ten",  "1+1", "+5"}) {
    EXPECT_THAT(Refusal(ParseTime(text)), HasSubstr("is not a time")) << text;
  }
}

TEST(Preset, IsOneOfX264s) {
  EXPECT_EQ(*ParsePreset("veryfast"), "veryfast");
  EXPECT_EQ(PresetNames().size(), 9U);
  EXPECT_THAT(Refusal(ParsePreset("veryfst")), HasSubstr("did you mean veryfast?"));
  EXPECT_THAT(Refusal(ParsePreset("placebo")), HasSubstr("slower or veryslow"));
  EXPECT_THAT(Refusal(ParsePreset("")), HasSubstr("bad-parameters"));
}

TEST(ContainerName, FollowsTheExtension) {
  const std::vector<Container> allowed = OutputsOf(Recipe(Transcode{}));
  EXPECT_EQ(*ContainerOf("a.mp4", allowed), Container::kMp4);
  EXPECT_EQ(*ContainerOf("/b.c/x.y.WebM", allowed), Container::kWebm);
  EXPECT_EQ(*ContainerOf("p.JPEG", OutputsOf(Recipe(Thumbnail{}))), Container::kJpeg);
  EXPECT_THAT(Refusal(ContainerOf("a.mkv", allowed)), HasSubstr("output-format: the output 'a.mkv'"));
  EXPECT_THAT(Refusal(ContainerOf("a.mkv", allowed)), HasSubstr(".mp4 or .webm"));
  EXPECT_THAT(Refusal(ContainerOf("a", allowed)), HasSubstr("has no extension"));
  EXPECT_THAT(Refusal(ContainerOf("folder.mp4/a", allowed)), HasSubstr("has no extension"));
  EXPECT_THAT(Refusal(ContainerOf("x/.mp4", allowed)), HasSubstr("has no extension"));
  EXPECT_THAT(Refusal(ContainerOf("a.", allowed)), HasSubstr("has no extension"));
  EXPECT_EQ(ExtensionOf(Container::kJpeg), "jpg");
  EXPECT_EQ(ExtensionOf(Container::kTs), "ts");
}

TEST(RecipeName, CoversEveryRecipe) {
  EXPECT_STREQ(NameOf(Crop{}), "crop");
  EXPECT_STREQ(NameOf(weir::media::Trim{}), "trim");
  EXPECT_STREQ(NameOf(Transcode{}), "transcode");
  EXPECT_STREQ(NameOf(Thumbnail{}), "thumbnail");
}

}  // namespace
}  // namespace weir::media
