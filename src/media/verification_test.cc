// The whole way of a check, with real files: probe, packets and windows run as Weir runs them, then CheckOutput.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "media/commands.h"
#include "media/expectation.h"
#include "media/failure.h"
#include "media/progress.h"
#include "media/test_clips.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Clips;

const Clips& Shared() {
  static const Clips kClips;
  return kClips;
}

std::string Picture(const std::string& size, const std::string& length, const std::string& rate = "30") {
  return "-f lavfi -i testsrc2=s=" + size + ":r=" + rate + ":d=" + length + " ";
}
std::string Sound(const std::string& length, const std::string& rate = "48000") {
  return "-f lavfi -i sine=d=" + length + ":r=" + rate + " ";
}
const std::string kH264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p ";

MediaFacts Probe(const std::string& path) {
  const auto ran = Shared().Run("ffprobe", ProbeArguments({}), path);
  auto facts = ParseProbe(ran.output);
  EXPECT_TRUE(facts.has_value()) << ran.errors << ran.output;
  return facts.value_or(MediaFacts());
}

CheckReport Check(const std::string& path, const Expectation& expected, VerifyDepth depth = VerifyDepth::kSample) {
  MediaFacts facts;
  PacketScan scan;
  std::vector<DecodedWindow> windows;
  for (const VerifyCommand& command :
       BuildVerification(expected, {}, depth, expected.duration.value_or(MediaTime(0)))) {
    if (command.after_scan && !WindowKnowing(scan, facts, command)) {
      continue;
    }
    const auto ran = Shared().Run(command.is_ffprobe ? "ffprobe" : "ffmpeg", command.arguments, path);
    if (command.is_ffprobe) {
      scan.Feed(ran.output);
      scan.Finish();
      facts = ParseProbe(scan.rest()).value_or(MediaFacts());
      EXPECT_EQ(ran.status, 0) << ran.errors;
      if (auto window = DecodedByScan(command, scan, facts, ran.errors)) {
        windows.push_back(*std::move(window));
      }
    } else {
      ProgressParser progress;
      progress.Feed(ran.progress);
      DecodedWindow window{.where = WindowKnowing(scan, facts, command).value_or(command.where),
                           .frames = progress.current().frame,
                           .errors = DecodeErrors(ran.errors)};
      window.clean = ran.status == 0 && window.errors.empty();
      windows.push_back(std::move(window));
    }
  }
  return CheckOutput(expected, facts, scan, windows, MoovFirst(test::ReadAll(path).substr(0, 65536)));
}

Expectation Mp4(Size size, MediaTime duration, std::int64_t frames) {
  Expectation expected;
  expected.container = "mp4";
  expected.video = ExpectedVideo{.codec = "h264", .size = size, .rate = {30, 1}, .pixel_format = "yuv420p"};
  expected.audio = {{.codec = "aac", .sample_rate = 48000, .channels = 1}};
  expected.duration = duration;
  expected.duration_tolerance = MediaTime(33'334);
  expected.min_frames = frames;
  expected.max_frames = frames;
  expected.faststart = true;
  return expected;
}

TEST(Verification, AcceptsAGoodClipAndSaysWhatWasRead) {
  const std::string clip = Shared().Make(
      "good.mp4", Picture("320x240", "5") + Sound("5") + kH264 + "-c:a aac -map_metadata -1 -movflags +faststart");
  ASSERT_FALSE(clip.empty());
  const CheckReport report = Check(clip, Mp4({320, 240}, seconds(5), 150));
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
  EXPECT_THAT(report.Summary(), testing::HasSubstr("packets read"));
  EXPECT_THAT(report.Summary(), testing::HasSubstr("decoded reference pictures"));
}

std::string Decoded(const char* name, const std::string& encoder, seconds length) {
  const std::string text = std::to_string(length.count());
  const std::string clip = Shared().Make(name, Picture("160x120", text, "10") + Sound(text) + kH264 + encoder +
                                                   " -c:a aac -map_metadata -1 -movflags +faststart");
  Expectation expected = Mp4({160, 120}, length, 10 * length.count());
  expected.video->rate = {10, 1};
  expected.duration_tolerance = milliseconds(100);
  const CheckReport report = Check(clip, expected);
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
  const std::string summary = report.Summary();
  return summary.substr(summary.find("decoded"));
}

TEST(Verification, WindowsThatShowNothingNewAreLeftOut) {
  constexpr seconds kLong(72);
  EXPECT_EQ(Decoded("every_second.mp4", "-g 10", kLong), "decoded head, middle and tail");
  EXPECT_EQ(Decoded("two.mp4", "-g 500 -sc_threshold 0", kLong), "decoded head and tail");
  EXPECT_EQ(Decoded("one_key.mp4", "-g 1000 -sc_threshold 0", kLong), "decoded all");
  EXPECT_EQ(Decoded("late.mp4", "-g 300 -sc_threshold 0", kLong), "decoded head, middle and tail");
}

TEST(Verification, AllKeyPicturesOfAShortClipAreDecodedByItsScan) {
  constexpr seconds kShort(36);
  EXPECT_EQ(Decoded("short_every_second.mp4", "-g 10", kShort),
            "decoded key pictures and reference pictures of the tail");
  EXPECT_EQ(Decoded("short_two.mp4", "-g 250 -sc_threshold 0", kShort),
            "decoded key pictures and reference pictures of the tail");
  EXPECT_EQ(Decoded("short_one_key.mp4", "-g 1000 -sc_threshold 0", kShort),
            "decoded key pictures and reference pictures of the tail");
}

TEST(Verification, WhatHasHardlyMoreThanOneKeyPictureIsDecodedByItsScan) {
  EXPECT_EQ(Decoded("one_group.mp4", "-g 250 -sc_threshold 0", seconds(25)), "decoded reference pictures");
  EXPECT_EQ(Decoded("little_more.mp4", "-g 250 -sc_threshold 0", seconds(26)),
            "decoded key pictures and reference pictures of the tail");
}

TEST(Verification, FindsADamagedReferenceOfOneGroup) {
  const std::string clip =
      Shared().Make("one_group_damaged.mp4", Picture("320x240", "8") + Sound("8") + kH264 +
                                                 "-sc_threshold 0 -c:a aac -map_metadata -1 -movflags +faststart");
  const Expectation expected = Mp4({320, 240}, seconds(8), 240);
  ASSERT_TRUE(Check(clip, expected).ok());
  const auto ran = Shared().Run(
      "ffprobe", FfprobeOf({}, {"-of", "csv=p=0", "-select_streams", "v", "-show_entries", "packet=size,pos"}), clip);
  // The largest after the first is one that others lean on.
  std::size_t largest = 0;
  std::size_t at = 0;
  std::istringstream lines(ran.output);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    if (const std::size_t size = std::stoul(line); size > largest) {
      largest = size;
      at = std::stoul(line.substr(line.find(',') + 1));
    }
  }
  ASSERT_GT(largest, 600U) << ran.output;
  std::string bytes = test::ReadAll(clip);
  for (std::size_t i = at + 100; i < at + 500; ++i) bytes[i] = static_cast<char>(bytes[i] ^ 0x5a);
  std::ofstream(clip, std::ios::binary) << bytes;
  EXPECT_THAT(Check(clip, expected).FirstDifference(), testing::StartsWith("decoding reference pictures"));
}

TEST(Verification, FindsADamagedKeyPictureAnywhere) {
  const std::string clip =
      Shared().Make("key_damaged.mp4", Picture("320x240", "20") + Sound("20") + kH264 +
                                           "-g 60 -sc_threshold 0 -c:a aac -map_metadata -1 -movflags +faststart");
  Expectation expected = Mp4({320, 240}, seconds(20), 600);
  ASSERT_TRUE(Check(clip, expected).ok());
  const auto ran = Shared().Run(
      "ffprobe", FfprobeOf({}, {"-of", "csv=p=0", "-select_streams", "v", "-show_entries", "packet=pos,flags"}),
      clip);
  std::vector<std::size_t> keys;
  std::istringstream lines(ran.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.find('K') != std::string::npos) keys.push_back(std::stoul(line));
  }
  ASSERT_EQ(keys.size(), 10U) << ran.output;
  std::string bytes = test::ReadAll(clip);
  for (std::size_t i = keys[3] + 200; i < keys[3] + 600; ++i) bytes[i] = static_cast<char>(bytes[i] ^ 0x5a);
  std::ofstream(clip, std::ios::binary) << bytes;
  EXPECT_THAT(Check(clip, expected).FirstDifference(), testing::StartsWith("decoding key pictures"));
}

TEST(Verification, FindsDamageWhereAWindowWasLeftOut) {
  const std::string clip =
      Shared().Make("one_key_damaged.mp4", Picture("320x240", "12") + Sound("12") + kH264 +
                                               "-g 1000 -sc_threshold 0 -c:a aac -movflags +faststart");
  std::string bytes = test::ReadAll(clip);
  const std::size_t at = bytes.find("mdat") + bytes.size() / 3;
  for (std::size_t i = at; i < at + 400; ++i) bytes[i] = static_cast<char>(bytes[i] ^ 0x5a);
  std::ofstream(clip, std::ios::binary) << bytes;
  EXPECT_THAT(Check(clip, Mp4({320, 240}, seconds(12), 360)).FirstDifference(),
              testing::StartsWith("decoding reference pictures of the tail"));
}

TEST(Verification, FullDepthDecodesEveryFrame) {
  const std::string clip =
      Shared().Make("full.mp4", Picture("320x240", "5") + Sound("5") + kH264 + "-c:a aac -movflags +faststart");
  const CheckReport report = Check(clip, Mp4({320, 240}, seconds(5), 150), VerifyDepth::kFull);
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
  const auto line = std::ranges::find(report.lines, std::string("decoding all"), &CheckLine::what);
  ASSERT_NE(line, report.lines.end());
  EXPECT_THAT(line->found, testing::HasSubstr("150 frames"));
}

TEST(Verification, NamesWhatIsDifferent) {
  const std::string clip = Shared().Make(
      "other.mp4", Picture("320x240", "5") + Sound("5") + kH264 +
                       "-c:a aac -metadata location=+52+004/ -metadata creation_time=2020-01-01T00:00:00Z");
  ASSERT_FALSE(clip.empty());
  Expectation expected = Mp4({320, 240}, seconds(5), 150);
  const auto differs = [&](const Expectation& other) {
    std::vector<std::string> names;
    for (const CheckLine& line : Check(clip, other).lines) {
      if (!line.ok) names.push_back(line.what);
    }
    return names;
  };
  EXPECT_THAT(differs(expected), testing::ElementsAre("index", "tags of place, device or person"));
  expected.faststart = false;
  expected.no_identifying_tags = false;
  EXPECT_THAT(differs(expected), testing::IsEmpty());

  Expectation other = expected;
  other.container = "webm";
  EXPECT_THAT(differs(other), testing::ElementsAre("container"));
  other = expected;
  other.video->codec = "vp9";
  other.video->size = {320, 242};
  other.video->rate = {25, 1};
  other.video->pixel_format = "yuv420p10le";
  EXPECT_THAT(differs(other), testing::ElementsAre("video codec", "size", "frame rate", "pixel format"));
  other = expected;
  other.audio[0].channels = 2;
  EXPECT_THAT(differs(other), testing::ElementsAre("audio"));
  other = expected;
  other.audio.clear();
  EXPECT_THAT(differs(other), testing::ElementsAre("streams"));
  other = expected;
  other.duration = milliseconds(5200);
  EXPECT_THAT(differs(other), testing::ElementsAre("duration", "duration of packets"));
  other = expected;
  other.min_frames = 151;
  other.max_frames = 0;
  EXPECT_THAT(differs(other), testing::ElementsAre("frames"));
  other = expected;
  other.max_frames = 149;
  other.min_frames = 0;
  EXPECT_THAT(differs(other), testing::ElementsAre("frames"));
  other = expected;
  other.audio[0].duration = seconds(3);
  EXPECT_THAT(differs(other), testing::ElementsAre("audio duration"));
}

TEST(Verification, SeesSoundThatWasLostHalfWay) {
  const std::string clip = Shared().Make("half.mp4", Picture("320x240", "5") + Sound("2.5") + kH264 + "-c:a aac");
  Expectation expected = Mp4({320, 240}, seconds(5), 150);
  expected.faststart = false;
  EXPECT_TRUE(Check(clip, expected).ok()) << Check(clip, expected).FirstDifference();
  expected.audio[0].duration = seconds(5);
  EXPECT_THAT(Check(clip, expected).FirstDifference(), testing::StartsWith("audio duration: expected 5.000 s"));
}

TEST(Verification, FindsDamageInsideTheWindows) {
  const std::string clip =
      Shared().Make("damaged.mp4", Picture("320x240", "5") + Sound("5") + kH264 + "-c:a aac -movflags +faststart");
  std::string bytes = test::ReadAll(clip);
  const std::size_t media = bytes.find("mdat");
  ASSERT_NE(media, std::string::npos);
  for (std::size_t at = media + 3000; at < media + 3400; ++at) bytes[at] = static_cast<char>(bytes[at] ^ 0x5a);
  std::ofstream(clip, std::ios::binary) << bytes;
  const CheckReport report = Check(clip, Mp4({320, 240}, seconds(5), 150));
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.FirstDifference(), testing::StartsWith("decoding "));
}

TEST(Verification, FindsAFileThatWasCutShort) {
  const std::string clip =
      Shared().Make("cut.mp4", Picture("320x240", "5") + Sound("5") + kH264 + "-c:a aac -movflags +faststart");
  std::filesystem::resize_file(clip, std::filesystem::file_size(clip) * 6 / 10);
  const CheckReport report = Check(clip, Mp4({320, 240}, seconds(5), 150));
  EXPECT_FALSE(report.ok());
}

struct Kind {
  const char* name;
  std::string arguments;
  const char* container;
  const char* video;
  const char* audio;
  double length;
};

class Healthy : public testing::TestWithParam<Kind> {};

// A false alarm throws a good file away.
TEST_P(Healthy, RaisesNoAlarm) {
  const Kind& kind = GetParam();
  const std::string clip = Shared().Make(kind.name, kind.arguments);
  ASSERT_FALSE(clip.empty()) << test::ReadAll(Shared().Path("make.log"));
  Expectation expected;
  expected.container = kind.container;
  const double rate = std::string(kind.name).find("slow") == 0 ? 1 : 30;
  if (*kind.video != '\0') {
    expected.video = ExpectedVideo{.codec = kind.video, .size = {320, 240}};
    const auto frames = static_cast<std::int64_t>(std::llround(kind.length * rate));
    expected.min_frames = frames - 1;
    expected.max_frames = frames + 1;
    if (kind.length > 0.1) expected.video->rate = {static_cast<std::int64_t>(rate), 1};
  }
  if (*kind.audio != '\0') expected.audio = {{.codec = kind.audio}};
  if (kind.length > 0) {
    expected.duration = MediaTime(static_cast<std::int64_t>(kind.length * 1e6));
    expected.duration_tolerance = MediaTime(static_cast<std::int64_t>(1e6 / rate));
  } else {
    expected.still_image = true;
    expected.min_frames = 1;
    expected.max_frames = 1;
  }
  for (const VerifyDepth depth : {VerifyDepth::kSample, VerifyDepth::kFull}) {
    const CheckReport report = Check(clip, expected, depth);
    EXPECT_TRUE(report.ok()) << report.FirstDifference();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Healthy,
    testing::Values(
        Kind{"b.mp4", Picture("320x240", "4") + Sound("4") + "-c:v libx264 -preset fast -pix_fmt yuv420p -c:a aac",
             "mp4", "h264", "aac", 4},
        Kind{"five.mp4",
             Picture("320x240", "4") +
                 "-f lavfi -i anoisesrc=d=4:r=44100 -af 'pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0' " + kH264 +
                 "-c:a aac",
             "mp4", "h264", "aac", 4},
        Kind{"short.mp4", Picture("320x240", "0.4") + Sound("0.4") + kH264 + "-c:a aac", "mp4", "h264", "aac", 0.4},
        Kind{"one.mp4", Picture("320x240", "1") + "-frames:v 1 " + kH264, "mp4", "h264", "", 1.0 / 30},
        Kind{"silent.mov", Picture("320x240", "4") + kH264, "mov", "h264", "", 4},
        Kind{"slow.mp4", Picture("320x240", "20", "1") + kH264, "mp4", "h264", "", 20},
        Kind{"b.mkv", Picture("320x240", "4") + Sound("4") + "-c:v libx264 -preset fast -pix_fmt yuv420p -c:a aac",
             "matroska", "h264", "aac", 4},
        Kind{"b.ts", Picture("320x240", "4") + Sound("4") + "-c:v libx264 -preset fast -pix_fmt yuv420p -c:a aac",
             "mpegts", "h264", "aac", 4},
        Kind{"b.webm",
             Picture("320x240", "4") + Sound("4") + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus",
             "webm", "vp9", "opus", 4},
        Kind{"v8.webm",
             Picture("320x240", "4") + Sound("4") + "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis",
             "webm", "vp8", "vorbis", 4},
        Kind{"hevc.mp4",
             Picture("320x240", "4") + Sound("4") +
                 "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac",
             "mp4", "hevc", "aac", 4},
        Kind{"b.m4a", Sound("4") + "-c:a aac", "m4a", "", "aac", 4},
        Kind{"b.jpg", Picture("320x240", "1") + "-frames:v 1", "jpeg_pipe", "mjpeg", "", 0},
        Kind{"b.png", Picture("320x240", "1") + "-frames:v 1", "png_pipe", "png", "", 0}),
    [](const auto& kind) {
      std::string name = kind.param.name;
      std::ranges::replace(name, '.', '_');
      return name;
    });

TEST(Verification, CopiesFromOpenGopsAreNotDamage) {
  const Clips& clips = Shared();
  ASSERT_FALSE(
      clips
          .Make("open.ts", Picture("320x240", "6") + Sound("6") +
                               "-c:v libx264 -pix_fmt yuv420p -x264-params open-gop=1:keyint=20:scenecut=0 -c:a aac")
          .empty());
  ASSERT_FALSE(clips.Make("open.mp4", "-i open.ts -c copy").empty());
  const std::string cut = clips.Make("opencut.mp4", "-ss 2.1 -i open.mp4 -c copy");
  ASSERT_FALSE(cut.empty());
  const MediaFacts facts = Probe(cut);
  Expectation expected;
  expected.container = "mp4";
  expected.video = ExpectedVideo{.codec = "h264", .check_size = false};
  expected.audio = {{.codec = "aac"}};
  expected.duration = facts.duration;
  expected.duration_tolerance = seconds(1);
  const CheckReport report = Check(cut, expected);
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
}

TEST(Verification, SoundMayOutlastThePicture) {
  const std::string clip = Shared().Make("outlast.mp4", Picture("320x240", "3") + Sound("8") + kH264 + "-c:a aac");
  Expectation expected = Mp4({320, 240}, seconds(8), 90);
  expected.faststart = false;
  const CheckReport report = Check(clip, expected);
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
}

TEST(Verification, MpegTsIsDecodedWholeBecauseItCannotBeSeekedExactly) {
  Expectation expected;
  expected.container = "mpegts";
  const auto commands = BuildVerification(expected, {}, VerifyDepth::kSample, seconds(60));
  ASSERT_EQ(commands.size(), 2U);
  EXPECT_EQ(commands[0].where, "all");
}

TEST(Verification, WhatTakesLittleIsDecodedWhole) {
  const auto is_whole = [](Size size, MediaTime length, std::optional<Bytes> bytes) {
    const auto commands = BuildVerification(Mp4(size, length, 0), {}, VerifyDepth::kSample, length, bytes);
    return std::ranges::count(commands, std::string("all"), &VerifyCommand::where) == 1;
  };
  EXPECT_TRUE(is_whole({640, 360}, seconds(8), Bytes::Kib(400)));
  EXPECT_FALSE(is_whole({640, 360}, seconds(8), Bytes::Mib(5)));
  EXPECT_FALSE(is_whole({608, 1080}, seconds(10), Bytes::Kib(400)));
  EXPECT_FALSE(is_whole({640, 360}, seconds(8), std::nullopt)) << "nothing is known of its size";
  EXPECT_FALSE(is_whole({640, 360}, std::chrono::hours(1), Bytes::Kib(400)));
  EXPECT_TRUE(is_whole({1920, 1080}, seconds(1), std::nullopt));
}

TEST(Verification, LeasesHoldWhatWasMeasured) {
  Expectation expected;
  expected.container = "mp4";
  expected.video = ExpectedVideo{.codec = "h264", .size = {1080, 1920}};
  for (const VerifyCommand& command : BuildVerification(expected, {}, VerifyDepth::kSample, seconds(10))) {
    // Measured: ffprobe 59 MiB, with key pictures 67, decoding 84 MiB.
    EXPECT_GT(command.lease, Bytes::Mib(command.where == "scan" ? 60 : 86)) << command.where;
    EXPECT_LT(command.lease, Bytes::Mib(command.where == "scan" ? 80 : 110)) << command.where;
    EXPECT_GE(command.deadline, seconds(35));
  }
}

}  // namespace
}  // namespace weir::media
