// Plans carried out by the real ffmpeg on odd clips, and their outputs held against the plan's own expectation by
// the same checks that a user's file passes. Every rung of a ladder has to keep the promise of the first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

#include "media/commands.h"
#include "media/expectation.h"
#include "media/failure.h"
#include "media/plan.h"
#include "media/progress.h"
#include "media/recipe.h"
#include "media/test_clips.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;

const test::Clips& Folder() {
  static const test::Clips kClips;
  return kClips;
}

const std::string kPicture = "-f lavfi -i testsrc2=s=320x180:r=30:d=1 ";
const std::string kSound = "-f lavfi -i sine=d=1:r=48000 ";
const std::string kH264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p ";

// Made once for each name.
std::string Clip(const std::string& name, const std::string& arguments) {
  const std::string path = Folder().Path(name);
  if (std::filesystem::exists(path)) return path;
  EXPECT_EQ(Folder().Make(name, arguments), path) << "ffmpeg could not make " << name;
  return path;
}
std::string Plain() { return Clip("plain.mp4", kPicture + kSound + kH264 + "-c:a aac"); }

MediaFacts Facts(const std::string& path) {
  const auto ran = Folder().Run("ffprobe", BuildProbe({}).arguments, path);
  auto facts = ParseProbe(ran.output);
  EXPECT_TRUE(facts.has_value()) << ran.errors << ran.output;
  return facts.value_or(MediaFacts());
}

CutFacts Cut(const std::string& path, const Request& request, const MediaFacts& facts) {
  if (!NeedsCutFacts(request, facts)) return {};
  const MediaTime at = std::get<Trim>(request.recipe).from;
  const MediaTime start = facts.start.value_or(MediaTime(0));
  const auto ran = Folder().Run("ffprobe", BuildKeyframeProbe(facts, at, {}).arguments, path);
  EXPECT_EQ(ran.status, 0) << ran.errors;
  return ParseKeyframes(ran.output, at, start);
}

CheckReport Verify(const Plan& plan) {
  const std::string path = Folder().Path(plan.output_file);
  MediaFacts facts;
  PacketScan scan;
  std::vector<DecodedWindow> windows;
  const MediaTime length = plan.expectation.duration.value_or(MediaTime(0));
  for (const VerifyCommand& command : BuildVerification(plan.expectation, {}, VerifyDepth::kFull, length)) {
    const auto ran = Folder().Run(command.is_ffprobe ? "ffprobe" : "ffmpeg", command.arguments, path);
    if (command.where == "scan") {
      scan.Feed(ran.output);
      scan.Finish();
      facts = ParseProbe(scan.rest()).value_or(MediaFacts());
    } else {
      ProgressParser progress;
      progress.Feed(ran.progress);
      DecodedWindow window{
          .where = command.where, .frames = progress.current().frame, .errors = DecodeErrors(ran.errors)};
      window.clean = ran.status == 0 && window.errors.empty();
      windows.push_back(std::move(window));
    }
  }
  return CheckOutput(plan.expectation, facts, scan, windows, MoovFirst(test::ReadAll(path)));
}

struct Done {
  Ladder ladder;
  MediaFacts output;  // of the last plan that ran
};

// Runs plans of the ladder and checks each output.
enum class Rungs : std::uint8_t { kFirst, kEnds, kAll };
Done Carry(const std::string& path, const Request& request, Rungs rungs = Rungs::kFirst) {
  Done done;
  const MediaFacts facts = Facts(path);
  auto ladder = BuildLadder(request, facts, {.cpus = 2}, {}, Cut(path, request, facts));
  EXPECT_TRUE(ladder.has_value()) << (ladder ? "" : ladder.error().detail);
  if (!ladder) return done;
  for (std::size_t i = 0; i < ladder->plans.size(); ++i) {
    if (rungs == Rungs::kFirst && i != 0) break;
    if (rungs == Rungs::kEnds && i != 0 && i + 1 != ladder->plans.size()) continue;
    const Plan& plan = ladder->plans[i];
    std::filesystem::remove(Folder().Path(plan.output_file));
    const auto ran = Folder().Run("ffmpeg", plan.arguments, path);
    EXPECT_EQ(ran.status, 0) << path << " " << plan.name << ": " << ran.errors;
    EXPECT_EQ(ran.errors, "") << path << " " << plan.name;
    const CheckReport report = Verify(plan);
    EXPECT_TRUE(report.ok()) << path << " " << plan.name << ": " << report.FirstDifference() << "\n  "
                             << testing::PrintToString(plan.arguments);
    ProgressParser progress;
    progress.Feed(ran.progress);
    if (plan.forecast.frames_limit > 0) {
      EXPECT_LE(progress.current().frame, plan.forecast.frames_limit) << plan.name;
    }
    EXPECT_LE(std::filesystem::file_size(Folder().Path(plan.output_file)), plan.forecast.output_limit.count());
    done.output = Facts(Folder().Path(plan.output_file));
  }
  done.ladder = *std::move(ladder);
  return done;
}

Request CropTo(Container container = Container::kMp4) { return {.recipe = Crop{}, .output = container}; }
Request TrimTo(Trim trim, Container container = Container::kMp4) { return {.recipe = trim, .output = container}; }

TEST(PlanClips, EveryRungOfACropKeepsThePromise) {
  const Done done = Carry(Plain(), CropTo(), Rungs::kAll);
  EXPECT_GE(done.ladder.plans.size(), 5U);
  EXPECT_EQ(done.output.video->coded, (Size{102, 180}));
}

TEST(PlanClips, RotationIsAppliedOnce) {
  Plain();
  const auto turned = Clip("turned.mp4", "-i plain.mp4 -c copy -metadata:s:v rotate=90");
  const Done done = Carry(turned, CropTo());
  EXPECT_EQ(done.output.video->coded, (Size{180, 320}));
  EXPECT_EQ(done.output.video->rotation, 0);
}

TEST(PlanClips, AnamorphicPicturesBecomeSquare) {
  const auto wide = Clip("wide.mp4", kPicture + kSound + "-vf setsar=4/3 " + kH264 + "-c:a aac");
  Request square = CropTo();
  std::get<Crop>(square.recipe).aspect = {1, 1};
  EXPECT_EQ(Carry(wide, square).output.video->coded, (Size{180, 180}));
  const Done whole = Carry(wide, {.recipe = Transcode{}, .output = Container::kMp4});
  EXPECT_EQ(whole.output.video->coded, (Size{426, 180}));
  Clip("wideturned.mp4", "-i wide.mp4 -c copy -metadata:s:v rotate=270");
  const Done both = Carry(Folder().Path("wideturned.mp4"), {.recipe = Thumbnail{}, .output = Container::kJpeg});
  EXPECT_EQ(both.output.video->coded, (Size{180, 427}));
}

TEST(PlanClips, OddSizesLoseALine) {
  const auto odd = Clip("odd.mp4", "-f lavfi -i testsrc2=s=321x181:r=25:d=1 " + kSound + "-c:v mpeg4 -c:a aac");
  EXPECT_EQ(Carry(odd, {.recipe = Transcode{}, .output = Container::kMp4}).output.video->coded, (Size{320, 180}));
  Carry(odd, CropTo());
}

TEST(PlanClips, VariableRateKeepsEveryFrame) {
  const auto phone =
      Clip("phone.mp4", kPicture + kSound +
                            "-vf \"select='not(mod(n,7))+lt(mod(n,5),3)',setpts=PTS+0.004*random(0)/TB\" "
                            "-fps_mode vfr -enc_time_base 1:90000 " +
                            kH264 + "-c:a aac");
  const Done done = Carry(phone, CropTo());
  EXPECT_THAT(done.ladder.notes, Contains("variable frame rate kept"));
  EXPECT_EQ(done.output.video->frames, Facts(phone).video->frames);
  EXPECT_TRUE(done.output.video->variable_rate);
}

TEST(PlanClips, FilmRatesStayExact) {
  const auto film = Clip("film.mkv", "-f lavfi -i testsrc2=s=320x180:r=24000/1001:d=2 -f lavfi -i sine=d=2:r=48000 " +
                                         kH264 + "-c:a aac");
  const Done done = Carry(film, CropTo());
  EXPECT_EQ(done.output.video->average_rate, (Rational{24000, 1001}));
  EXPECT_EQ(done.output.video->frames, 48);
  const auto ntsc = Clip("ntsc.mkv", "-f lavfi -i testsrc2=s=320x180:r=30000/1001:d=2 -f lavfi -i sine=d=2:r=48000 " +
                                         kH264 + "-c:a aac");
  EXPECT_EQ(Carry(ntsc, CropTo()).output.video->frames, 60);
}

TEST(PlanClips, SilentAndSurroundAndManyTracks) {
  Carry(Clip("silent.mp4", kPicture + kH264), CropTo());
  const std::string wave = "0.1*sin(440*t)";
  const auto surround =
      Clip("surround.mkv", kPicture + "-f lavfi -i \"aevalsrc=" + wave + "|" + wave + "|" + wave + "|" + wave + "|" +
                               wave + "|" + wave + ":c=5.1(side):s=48000:d=1\" " + kH264 + "-c:a ac3");
  EXPECT_EQ(Carry(surround, CropTo()).output.audio.at(0).channels, 6);
  const Done webm = Carry(surround, {.recipe = Transcode{}, .output = Container::kWebm});
  EXPECT_EQ(webm.output.audio.at(0).layout, "5.1");
  const auto many =
      Clip("many.mov", kPicture + kSound + "-f lavfi -i sine=r=22050:d=1 -f lavfi -i sine=r=37800:d=1 " +
                           "-map 0 -map 1 -map 2 -map 3 " + kH264 + "-c:a pcm_s16le");
  const Done tracks = Carry(many, CropTo());
  EXPECT_EQ(tracks.output.audio.size(), 3U);
  EXPECT_EQ(tracks.output.audio.at(1).sample_rate, 22050);
  EXPECT_EQ(tracks.output.audio.at(2).sample_rate, 48000);
}

TEST(PlanClips, TenBitAndOtherCodecs) {
  const auto ten = Clip("ten.mp4", kPicture + kSound + "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le " +
                                       "-color_trc smpte2084 -c:a aac");
  const Done done = Carry(ten, CropTo());
  EXPECT_EQ(done.output.video->pixel_format, "yuv420p");
  EXPECT_THAT(done.ladder.notes, Contains(HasSubstr("not tone-mapped")));
  const auto vp9 =
      Clip("vp9.webm", kPicture + kSound + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus");
  Carry(vp9, CropTo());
  Carry(vp9, {.recipe = Transcode{}, .output = Container::kWebm}, Rungs::kEnds);
  Carry(vp9, TrimTo({.to = milliseconds(600)}, Container::kWebm));
  const auto motion = Clip("motion.mov", kPicture + "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p");
  Carry(motion, CropTo(Container::kMkv));
}

TEST(PlanClips, LateAndLongSound) {
  const auto late = Clip("late.mp4", kPicture + "-itsoffset 0.3 " + kSound + kH264 + "-c:a aac");
  Carry(late, CropTo());
  const auto long_sound =
      Clip("longsound.mp4", kPicture + "-f lavfi -i sine=r=44100:d=1.7 " + kH264 + "-c:a libmp3lame");
  Carry(long_sound, CropTo());
  auto refused = BuildLadder({.recipe = Thumbnail{.at = milliseconds(1200)}, .output = Container::kJpeg},
                             Facts(long_sound), {}, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, HasSubstr("1.000 s"));
}

TEST(PlanClips, SubtitlesDataAndPlaces) {
  {
    std::ofstream(Folder().Path("words.srt")) << "1\n00:00:00,100 --> 00:00:00,900\nhello\n";
  }
  Clip("withdata.mov", kPicture + kSound + kH264 + "-c:a aac -timecode 01:00:00:00");
  const auto full = Clip("full.mp4", "-i withdata.mov -i words.srt -map 0:v -map 0:a -map 1 -c copy -c:s mov_text " +
                                         std::string("-metadata:s:a language=fra -metadata location=+48.8-002.3/"));
  ASSERT_FALSE(Facts(full).identifying_tags.empty());
  const Done crop = Carry(full, CropTo());
  EXPECT_THAT(crop.ladder.notes, Contains("1 subtitle stream is dropped"));
  EXPECT_THAT(crop.ladder.notes, Contains("1 data stream is dropped"));
  EXPECT_EQ(crop.output.audio.at(0).language, "fra");
  EXPECT_TRUE(crop.output.identifying_tags.empty());
  for (const Container container : {Container::kMp4, Container::kMkv, Container::kMov}) {
    const Done cut = Carry(full, TrimTo({.to = milliseconds(500)}, container));
    EXPECT_TRUE(cut.ladder.plans.at(0).stream_copy);
    EXPECT_EQ(std::ranges::count(cut.output.others, "subtitle", &OtherStream::kind), 1);
    EXPECT_TRUE(cut.output.identifying_tags.empty());
  }
  Request keep = TrimTo({.to = milliseconds(500)});
  keep.keep_metadata = true;
  EXPECT_FALSE(Carry(full, keep).output.identifying_tags.empty());
}

TEST(PlanClips, CutsAtKeyPicturesAreCopies) {
  const auto keyed = Clip("keyed.mp4",
                          "-f lavfi -i testsrc2=s=320x180:r=30:d=4 -f lavfi -i sine=d=4:r=48000 "
                          "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 30 -c:a aac");
  Clip("keyed.mkv", "-i keyed.mp4 -c copy");
  Clip("keyed.ts", "-i keyed.mp4 -c copy");
  for (const std::string name : {"keyed.mp4", "keyed.mkv", "keyed.ts"}) {
    const std::string path = Folder().Path(name);
    const MediaFacts facts = Facts(path);
    // Where the key picture at 1 s in the picture's own time is in the file's: containers shift them.
    const MediaTime shift = facts.video->start.value_or(MediaTime(0)) - facts.start.value_or(MediaTime(0));
    for (const Container container : {Container::kMp4, Container::kMkv, Container::kTs}) {
      if (name != "keyed.mp4" && container != Container::kMp4) continue;
      const Done done = Carry(path, TrimTo({.from = seconds(1) + shift, .to = seconds(3)}, container));
      ASSERT_FALSE(done.ladder.plans.empty());
      EXPECT_TRUE(done.ladder.plans.at(0).stream_copy) << name << testing::PrintToString(done.ladder.notes);
    }
    if (name == "keyed.mkv") continue;
    const Done exact = Carry(path, TrimTo({.from = milliseconds(1500), .to = milliseconds(2500)}));
    ASSERT_FALSE(exact.ladder.plans.empty());
    EXPECT_FALSE(exact.ladder.plans.at(0).stream_copy);
    EXPECT_THAT(exact.ladder.notes, Contains(HasSubstr("encoded anew: the nearest key picture")));
    Trim forced{.from = milliseconds(1500), .to = milliseconds(2500), .mode = Trim::Mode::kCopy};
    EXPECT_THAT(Carry(path, TrimTo(forced)).ladder.notes, Contains(HasSubstr("before the 1.500 s asked for")));
  }
}

TEST(PlanClips, ACutOfOursIsAnInputLikeAnyOther) {
  const auto whole = Clip("uncut.mp4",
                          "-f lavfi -i testsrc2=s=320x180:r=30:d=4 -f lavfi -i sine=d=4:r=48000 "
                          "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 30 -c:a aac");
  for (const Container container : {Container::kMp4, Container::kMkv}) {
    const Done cut = Carry(whole, TrimTo({.from = seconds(1), .to = seconds(3)}, container));
    ASSERT_TRUE(cut.ladder.plans.at(0).stream_copy);
    const std::string kept = Folder().Path("kept");
    std::filesystem::rename(Folder().Path(cut.ladder.plans.at(0).output_file), kept);
    Carry(kept, CropTo());
  }
}

TEST(PlanClips, SoundAlone) {
  const auto sound = Clip("sound.m4a", kSound + "-c:a aac");
  auto crop = BuildLadder(CropTo(), Facts(sound), {}, {});
  ASSERT_FALSE(crop);
  EXPECT_EQ(crop.error().code, ErrorCode::kInputNoVideo);
  Carry(sound, TrimTo({.from = milliseconds(200), .to = milliseconds(800)}, Container::kM4a));
  Carry(Plain(), TrimTo({.from = milliseconds(200), .to = milliseconds(800)}, Container::kM4a));
}

TEST(PlanClips, ThumbnailsAtEveryPlace) {
  for (const Container container : {Container::kJpeg, Container::kPng}) {
    for (const std::optional<MediaTime> at : {std::optional<MediaTime>(), std::optional<MediaTime>(MediaTime(0)),
                                              std::optional<MediaTime>(milliseconds(999))}) {
      const Done done = Carry(Plain(), {.recipe = Thumbnail{.at = at, .width = 101}, .output = container});
      EXPECT_EQ(done.output.video->coded, (Size{101, 57}));
    }
  }
  const auto still = Clip("still.png", "-f lavfi -i testsrc2=s=320x180:r=1:d=1 -frames:v 1");
  Carry(still, {.recipe = Thumbnail{}, .output = Container::kJpeg});
}

}  // namespace
}  // namespace weir::media
