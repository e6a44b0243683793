#include "media/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "media/forecast.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MediaFacts Clip(Size size = {1920, 1080}, MediaTime length = seconds(10)) {
  MediaFacts facts;
  facts.container = "mov,mp4,m4a,3gp,3g2,mj2";
  facts.size = Bytes::Mib(10);
  facts.start = MediaTime(0);
  facts.duration = length;
  VideoStream video;
  video.index = 0;
  video.codec = "h264";
  video.coded = size;
  video.pixel_format = "yuv420p";
  video.nominal_rate = video.average_rate = {30, 1};
  video.start = MediaTime(0);
  video.duration = length;
  video.frames = 30 * length / seconds(1);
  video.refs = 4;
  video.has_b_frames = 2;
  facts.video = video;
  facts.video_streams = 1;
  facts.audio.push_back({.index = 1,
                         .codec = "aac",
                         .profile = "LC",
                         .sample_rate = 48000,
                         .channels = 2,
                         .layout = "stereo",
                         .language = "fra",
                         .start = MediaTime(0),
                         .duration = length});
  return facts;
}

Ladder Build(const Request& request, const MediaFacts& facts, unsigned cpus = 2, const CutFacts& cut = {}) {
  auto ladder = BuildLadder(request, facts, {.cpus = cpus}, {}, cut);
  EXPECT_TRUE(ladder.has_value()) << (ladder ? "" : ladder.error().detail);
  return ladder.value_or(Ladder{});
}
Error Refusal(const Request& request, const MediaFacts& facts, const CutFacts& cut = {}) {
  auto ladder = BuildLadder(request, facts, {.cpus = 2}, {}, cut);
  EXPECT_FALSE(ladder.has_value());
  return ladder ? Error{} : ladder.error();
}

// The word after `option`, or nothing.
std::string After(const Plan& plan, const std::string& option) {
  const auto at = std::ranges::find(plan.arguments, option);
  return at == plan.arguments.end() || at + 1 == plan.arguments.end() ? "" : *(at + 1);
}

Request CropOf(Crop crop = {}) { return {.recipe = crop, .output = Container::kMp4}; }
Request TrimOf(Trim trim, Container container = Container::kMp4) { return {.recipe = trim, .output = container}; }

TEST(CropPlan, CutsTheMiddleAndKeepsPixels) {
  const Plan plan = Build(CropOf(), Clip()).plans.at(0);
  EXPECT_EQ(After(plan, "-vf"), "crop=608:1080:656:0,setsar=1,format=yuv420p");
  EXPECT_EQ(plan.expectation.video->size, (Size{608, 1080}));
  EXPECT_EQ(plan.output_file, "out.mp4");
  EXPECT_EQ(plan.arguments.back(), "file:out.mp4");
  EXPECT_EQ(After(plan, "-i"), "file:/proc/self/fd/3");
  EXPECT_EQ(After(plan, "-progress"), "pipe:4");
  EXPECT_THAT(plan.arguments, Contains("-nostdin"));
  EXPECT_EQ(After(plan, "-c:a:0"), "copy");
  EXPECT_EQ(After(plan, "-map_metadata"), "-1");
  EXPECT_EQ(After(plan, "-metadata:s:a:0"), "language=fra");
  EXPECT_EQ(After(plan, "-movflags"), "+faststart");
}

TEST(CropPlan, LargePicturesShrinkToTheUsualSizeAndSmallOnesAreNotEnlarged) {
  EXPECT_EQ(Build(CropOf(), Clip({3840, 2160})).plans.at(0).expectation.video->size, (Size{1080, 1920}));
  EXPECT_EQ(Build(CropOf(), Clip({640, 360})).plans.at(0).expectation.video->size, (Size{202, 360}));
  const Ladder asked = Build(CropOf({.size = Size{1080, 1920}}), Clip({640, 360}));
  EXPECT_EQ(asked.plans.at(0).expectation.video->size, (Size{1080, 1920}));
  EXPECT_THAT(asked.notes, Contains(HasSubstr("enlarged to 1080x1920")));
}

TEST(CropPlan, FocusStaysInsideAndOnEvenPixels) {
  EXPECT_THAT(After(Build(CropOf({.focus = {0, 0}}), Clip()).plans.at(0), "-vf"), HasSubstr("crop=608:1080:0:0,"));
  EXPECT_THAT(After(Build(CropOf({.focus = {1, 1}}), Clip()).plans.at(0), "-vf"), HasSubstr("crop=608:1080:1312:0,"));
  EXPECT_THAT(After(Build(CropOf({.aspect = {16, 9}, .focus = {0.5, 0.25}}), Clip({1080, 1920})).plans.at(0), "-vf"),
              HasSubstr("crop=1080:608:0:328,"));
}

TEST(CropPlan, RotationIsFfmpegsAndTheRectangleIsInUprightPixels) {
  MediaFacts phone = Clip();
  phone.video->rotation = 90;  // shown as 1080x1920
  const Plan plan = Build(CropOf({.aspect = {1, 1}}), phone).plans.at(0);
  EXPECT_THAT(After(plan, "-vf"), HasSubstr("crop=1080:1080:0:420,"));
  EXPECT_THAT(After(plan, "-vf"), Not(HasSubstr("transpose")));
}

TEST(CropPlan, AnamorphicPixelsAreCutInTheirOwnShape) {
  MediaFacts dv = Clip({720, 576});
  dv.video->sample_aspect = {16, 15};  // shown as 768x576
  const Plan plan = Build(CropOf({.aspect = {1, 1}}), dv).plans.at(0);
  EXPECT_THAT(After(plan, "-vf"), HasSubstr("crop=540:576:90:0,scale=576:576"));
}

TEST(CropPlan, SizeAndAspectHaveToAgree) {
  const Error error = Refusal(CropOf({.aspect = {9, 16}, .size = Size{1000, 1000}}), Clip());
  EXPECT_EQ(error.code, ErrorCode::kBadParameters);
  EXPECT_THAT(error.detail, HasSubstr("1.000"));
}

TEST(CropPlan, RefusesWhatItCannotDo) {
  MediaFacts sound = Clip();
  sound.video.reset();
  EXPECT_EQ(Refusal(CropOf(), sound).code, ErrorCode::kInputNoVideo);
  MediaFacts endless = Clip();
  endless.duration.reset(), endless.video->duration.reset(), endless.audio.clear();
  EXPECT_EQ(Refusal(CropOf(), endless).code, ErrorCode::kInputDamaged);
  const Error large = Refusal(CropOf(), Clip({16000, 16000}));
  EXPECT_EQ(large.code, ErrorCode::kInputTooLarge);
  EXPECT_THAT(large.detail, HasSubstr("256000000"));
  const auto numbers = [](const Error& error) {
    std::vector<std::pair<std::string, std::uint64_t>> found;
    for (const auto& member : error.members) found.emplace_back(member.key, member.number);
    return found;
  };
  EXPECT_THAT(numbers(large),
              testing::ElementsAre(testing::Pair("pixels", 256000000U), testing::Pair("limit_pixels", 50000000U)));
  const Error eternal = Refusal(CropOf(), Clip({1280, 720}, std::chrono::hours(24) + std::chrono::microseconds(1)));
  EXPECT_EQ(eternal.code, ErrorCode::kInputTooLarge);
  EXPECT_THAT(numbers(eternal), testing::ElementsAre(testing::Pair("duration_seconds", 86401U),
                                                     testing::Pair("limit_seconds", 86400U)));
}

TEST(FrameRate, ConstantRatesBecomeTheGridAndVariableOnesAreKept) {
  MediaFacts film = Clip();
  film.video->nominal_rate = film.video->average_rate = {24000, 1001};
  EXPECT_EQ(After(Build(CropOf(), film).plans.at(0), "-enc_time_base:v"), "1001:24000");
  film.video->variable_rate = true;
  const Ladder ladder = Build(CropOf(), film);
  EXPECT_EQ(After(ladder.plans.at(0), "-enc_time_base:v"), "1:90000");
  EXPECT_FALSE(ladder.plans.at(0).expectation.video->rate.known());
  EXPECT_THAT(ladder.notes, Contains("variable frame rate kept"));
}

TEST(Audio, IsEncodedForWebmAndWhereTheCodecIsForeign) {
  MediaFacts surround = Clip();
  surround.audio.at(0).codec = "ac3", surround.audio.at(0).channels = 6, surround.audio.at(0).layout = "5.1(side)";
  const Plan mp4 = Build(CropOf(), surround).plans.at(0);
  EXPECT_EQ(After(mp4, "-c:a:0"), "aac");
  EXPECT_EQ(After(mp4, "-b:a:0"), "384000");
  EXPECT_EQ(After(mp4, "-filter:a:0"), "aformat=channel_layouts=5.1");
  surround.audio.at(0).sample_rate = 37800;
  EXPECT_EQ(After(Build(CropOf(), surround).plans.at(0), "-ar:a:0"), "48000");
  const Plan webm = Build({.recipe = Transcode{}, .output = Container::kWebm}, surround).plans.at(0);
  EXPECT_EQ(After(webm, "-c:a:0"), "libopus");
  EXPECT_EQ(webm.expectation.audio.at(0).channels, 6);
  EXPECT_EQ(webm.expectation.audio.at(0).sample_rate, 48000);
}

TEST(Transcode, FitsWithoutEnlarging) {
  const auto size = [](Size fit, Size source) {
    return Build({.recipe = Transcode{.fit = fit}, .output = Container::kMp4}, Clip(source))
        .plans.at(0)
        .expectation.video->size;
  };
  EXPECT_EQ(size({1280, 1280}, {1920, 1080}), (Size{1280, 720}));
  EXPECT_EQ(size({1280, 1280}, {1080, 1920}), (Size{720, 1280}));
  EXPECT_EQ(size({4000, 4000}, {1920, 1080}), (Size{1920, 1080}));
  EXPECT_EQ(size({200, 200}, {321, 181}), (Size{200, 112}));
}

TEST(Trim, CopiesOnlyFromKeyPictures) {
  const Trim cut{.from = seconds(2), .to = seconds(5)};
  EXPECT_TRUE(NeedsCutFacts(TrimOf(cut), Clip()));
  EXPECT_FALSE(NeedsCutFacts(TrimOf({.to = seconds(5)}), Clip()));
  EXPECT_FALSE(NeedsCutFacts(TrimOf({.from = seconds(2), .mode = Trim::Mode::kExact}), Clip()));
  EXPECT_FALSE(NeedsCutFacts(TrimOf(cut, Container::kWebm), Clip()));

  const Ladder copy =
      Build(TrimOf(cut), Clip(), 2, {.keyframe_at_or_before = milliseconds(1990), .keyframe_after = {}});
  EXPECT_EQ(copy.plans.size(), 1U);
  EXPECT_TRUE(copy.plans.at(0).stream_copy);
  EXPECT_EQ(After(copy.plans.at(0), "-ss"), "1.989000");
  EXPECT_EQ(copy.plans.at(0).expectation.duration, milliseconds(3010));

  const Ladder later =
      Build(TrimOf(cut), Clip(), 2, {.keyframe_at_or_before = seconds(1), .keyframe_after = milliseconds(2005)});
  EXPECT_TRUE(later.plans.at(0).stream_copy);

  const Ladder encode = Build(TrimOf(cut), Clip(), 2, {.keyframe_at_or_before = seconds(1), .keyframe_after = {}});
  EXPECT_FALSE(encode.plans.at(0).stream_copy);
  EXPECT_EQ(After(encode.plans.at(0), "-ss"), "2.000000");
  EXPECT_EQ(After(encode.plans.at(0), "-t"), "3.000000");
  EXPECT_EQ(After(encode.plans.at(0), "-c:a:0"), "aac");
  EXPECT_THAT(encode.notes.at(0), HasSubstr("encoded anew: the nearest key picture before is at 1.000 s"));

  const Ladder forced = Build(TrimOf({.from = seconds(2), .to = seconds(5), .mode = Trim::Mode::kCopy}), Clip(), 2,
                              {.keyframe_at_or_before = seconds(1), .keyframe_after = {}});
  EXPECT_TRUE(forced.plans.at(0).stream_copy);
  EXPECT_THAT(forced.notes, Contains(HasSubstr("at 1.000 s, 1.000 s before the 2.000 s asked for")));
}

TEST(Trim, TimesOutsideAreRefusedWithNumbers) {
  EXPECT_THAT(Refusal(TrimOf({.from = seconds(10)}), Clip()).detail, HasSubstr("10.000 s"));
  EXPECT_THAT(Refusal(TrimOf({.to = seconds(11)}), Clip()).detail, HasSubstr("11.000 s"));
  EXPECT_EQ(Refusal(TrimOf({.from = seconds(5), .to = seconds(5)}), Clip()).code, ErrorCode::kBadParameters);
  EXPECT_EQ(Refusal(TrimOf({.to = seconds(1), .mode = Trim::Mode::kCopy}, Container::kWebm), Clip()).code,
            ErrorCode::kBadParameters);
}

TEST(Trim, EachContainerGetsWhatItHolds) {
  MediaFacts facts = Clip();
  facts.audio.at(0).codec = "pcm_s16le";
  const Ladder mixed = Build(TrimOf({.to = seconds(5)}), facts);
  EXPECT_EQ(After(mixed.plans.at(0), "-c:v"), "copy");
  EXPECT_EQ(After(mixed.plans.at(0), "-c:a:0"), "aac");
  EXPECT_TRUE(mixed.plans.at(0).stream_copy);
  facts.others.push_back({.index = 2, .kind = "subtitle", .codec = "subrip"});
  facts.others.push_back({.index = 3, .kind = "data", .codec = "bin_data"});
  const Ladder words = Build(TrimOf({.to = seconds(5)}), facts);
  EXPECT_EQ(After(words.plans.at(0), "-c:s:0"), "mov_text");
  EXPECT_EQ(words.plans.at(0).expectation.subtitles, 1U);
  EXPECT_THAT(words.notes, Contains("1 data stream is dropped"));
  EXPECT_THAT(Build(TrimOf({.to = seconds(5)}, Container::kTs), facts).notes,
              Contains(HasSubstr("ts files cannot hold such subtitles")));
  EXPECT_FALSE(Build(TrimOf({.to = seconds(5)}, Container::kM4a), facts).plans.at(0).expectation.video);
}

TEST(Trim, ContainersWithoutIndexAreDecodedFromAhead) {
  MediaFacts ts = Clip({640, 360}, seconds(60));
  ts.container = "mpegts";
  const Plan plan = Build(TrimOf({.from = seconds(30), .mode = Trim::Mode::kExact}), ts).plans.at(0);
  const auto input = std::ranges::find(plan.arguments, "-i");
  EXPECT_EQ(std::count(plan.arguments.begin(), input, "18.000000"), 1);
  EXPECT_EQ(std::count(input, plan.arguments.end(), "12.000000"), 1);
}

TEST(Keyframes, NearestOnBothSides) {
  const CutFacts facts = ParseKeyframes("0.000000,K__\n1.033000,K__\n1.066000,___\n2.033000,K__\nnonsense\nN/A,K__\n",
                                        milliseconds(1500), milliseconds(33));
  EXPECT_EQ(facts.keyframe_at_or_before, milliseconds(1000));
  EXPECT_EQ(facts.keyframe_after, milliseconds(2000));
  EXPECT_FALSE(ParseKeyframes("", seconds(1)).keyframe_at_or_before);
}

TEST(ThumbnailPlan, StaysInsideTheVideo) {
  const auto at = [](std::optional<MediaTime> time) {
    return After(Build({.recipe = Thumbnail{.at = time}, .output = Container::kJpeg}, Clip()).plans.at(0), "-ss");
  };
  EXPECT_EQ(at({}), "1.000000");
  EXPECT_EQ(at(seconds(0)), "");
  EXPECT_EQ(at(milliseconds(9999)), "9.950001");
  EXPECT_EQ(Refusal({.recipe = Thumbnail{.at = seconds(10)}, .output = Container::kJpeg}, Clip()).code,
            ErrorCode::kBadParameters);
  const Plan small = Build({.recipe = Thumbnail{.width = 320}, .output = Container::kPng}, Clip()).plans.at(0);
  EXPECT_EQ(small.expectation.video->size, (Size{320, 180}));
  EXPECT_EQ(small.expectation.video->codec, "png");
  const Ladder wide = Build({.recipe = Thumbnail{.width = 4000}, .output = Container::kPng}, Clip());
  EXPECT_EQ(wide.plans.at(0).expectation.video->size, (Size{1920, 1080}));
  EXPECT_THAT(wide.notes, Contains(HasSubstr("not enlarged")));
}

TEST(LadderOfPlans, EachRungIsLeanerAndTheSameResult) {
  for (const char* preset : {"ultrafast", "superfast", "veryfast", "medium", "slower", "veryslow"}) {
    for (const unsigned cpus : {1U, 2U, 4U, 64U}) {
      const Ladder ladder = Build(CropOf({.size = Size{1080, 1920}, .preset = preset}), Clip(), cpus);
      ASSERT_FALSE(ladder.plans.empty());
      for (std::size_t i = 1; i < ladder.plans.size(); ++i) {
        const Plan& plan = ladder.plans[i];
        const Bytes before = ladder.plans[i - 1].forecast.lease;
        EXPECT_TRUE(plan.forecast.lease < before || (plan.in_company && plan.forecast.lease == before))
            << preset << " " << plan.name;
        EXPECT_NE(plan.name, ladder.plans[i - 1].name);
        EXPECT_EQ(plan.expectation.video->size, ladder.plans[0].expectation.video->size);
        EXPECT_FALSE(plan.costs.empty());
        EXPECT_GT(plan.time_ratio, 0);
      }
      for (const Plan& plan : ladder.plans) {
        EXPECT_GT(plan.forecast.lease, plan.forecast.peak);
        EXPECT_GT(plan.forecast.peak, plan.forecast.anonymous);
        EXPECT_GT(plan.forecast.data_limit, plan.forecast.anonymous);
        EXPECT_EQ(plan.forecast.frames, 300);
        EXPECT_EQ(plan.forecast.frames_limit, 365);
      }
    }
  }
}

// A way that is of use beside others only must not leave a gap between those of a lone job.
TEST(LadderOfPlans, WaysForCompanyKeepNoOtherOut) {
  for (const unsigned cpus : {2U, 4U, 8U}) {
    for (const char* preset : {"veryfast", "medium", "slower"}) {
      const Ladder ladder = Build(CropOf({.size = Size{608, 1080}, .preset = preset}), Clip(), cpus);
      const auto named = [&](std::string_view word) {
        return std::ranges::count_if(ladder.plans, [&](const Plan& plan) {
          return plan.name.contains("slice threads") && plan.name.contains(word) && !plan.in_company;
        });
      };
      EXPECT_GE(named("lookahead 4"), 1) << cpus << " " << preset;
    }
  }
}

TEST(LadderOfPlans, OneProcessorHasNoThreads) {
  for (const Plan& plan : Build(CropOf(), Clip(), 1).plans) {
    EXPECT_THAT(plan.name, Not(HasSubstr("threads")));
    EXPECT_THAT(After(plan, "-x264-params"), Not(HasSubstr("sliced")));
  }
}

TEST(LadderOfPlans, FullHdInAQuarterOfAGigabyte) {
  const Ladder ladder = Build(CropOf({.size = Size{1080, 1920}}), Clip());
  const auto chosen = ChoosePlan(ladder, Bytes::Mib(246));
  ASSERT_TRUE(chosen.has_value());
  EXPECT_EQ(ladder.plans.at(*chosen).name, "2 slice threads, lookahead 4");
  EXPECT_EQ(*ChoosePlan(ladder, Bytes::Gib(4)), 0U);
  EXPECT_EQ(*ChoosePlan(ladder, Bytes::Gib(4), 2), 2U);
}

TEST(LadderOfPlans, RefusalSaysWhatWouldFit) {
  const Ladder ladder = Build(CropOf({.size = Size{1080, 1920}}), Clip());
  const auto refused = ChoosePlan(ladder, Bytes::Mib(100));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverBudget);
  EXPECT_THAT(refused.error().detail, HasSubstr("100.0 MiB is available"));
  EXPECT_THAT(refused.error().detail, HasSubstr("--size "));
  ASSERT_FALSE(refused.error().members.empty());
  EXPECT_EQ(refused.error().members.at(0).number, ladder.plans.back().forecast.lease.count());
  // And the size it names does fit.
  const std::string option = refused.error().detail.substr(refused.error().detail.find("--size ") + 7);
  const auto size = ParseSize(option.substr(0, option.find(' ')));
  ASSERT_TRUE(size.has_value()) << option;
  const Ladder smaller = Build(CropOf({.aspect = {size->width, size->height}, .size = *size}), Clip());
  EXPECT_TRUE(ChoosePlan(smaller, Bytes::Mib(100)).has_value());
}

TEST(LadderOfPlans, FramesAndBytesAreBounded) {
  const Plan plan = Build(CropOf({.size = Size{1080, 1920}}), Clip()).plans.at(0);
  EXPECT_EQ(plan.expectation.min_frames, 298);
  EXPECT_EQ(plan.expectation.max_frames, 302);
  EXPECT_GT(plan.forecast.output_limit, Bytes(static_cast<std::uint64_t>(1.5 * 300 * 1080 * 1920)));
  EXPECT_EQ(plan.deadline, std::chrono::minutes(20));
}

// Measured with Debian's ffmpeg 5.1.9 (bench/forecast): resident peak in MiB. The forecast may be 5 % below or 20 %
// above, the lease never below.
struct Measured {
  Size input;
  Size output;
  const char* preset;
  const char* name;
  double peak;
};
class ForecastError : public testing::TestWithParam<Measured> {};

TEST_P(ForecastError, StaysInItsBand) {
  const Measured& row = GetParam();
  const Ladder ladder = Build(CropOf({.size = row.output, .preset = row.preset}), Clip(row.input, seconds(3)));
  const auto plan = std::ranges::find(ladder.plans, row.name, &Plan::name);
  ASSERT_NE(plan, ladder.plans.end());
  const double error = plan->forecast.peak.mib() / row.peak - 1;
  EXPECT_GT(error, -0.05) << plan->forecast.peak.mib();
  EXPECT_LT(error, 0.20) << plan->forecast.peak.mib();
  EXPECT_GT(plan->forecast.lease.mib(), row.peak);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ForecastError,
    testing::Values(Measured{{1920, 1080}, {1080, 1920}, "veryfast", "3 frame threads", 318},
                    Measured{{1920, 1080}, {1080, 1920}, "veryfast", "2 slice threads", 248},
                    Measured{{1920, 1080}, {1080, 1920}, "veryfast", "2 slice threads, lookahead 4", 208},
                    Measured{{1920, 1080}, {1080, 1920}, "veryfast", "lean, 1 thread", 131},
                    Measured{{1920, 1080}, {1080, 1920}, "veryfast", "lean ultrafast, 1 thread", 115},
                    Measured{{1280, 720}, {360, 640}, "slow", "3 frame threads", 150}));

}  // namespace
}  // namespace weir::media
