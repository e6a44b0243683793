// Checks against made-up findings; verification_test.cc does the same with real files.
#include "media/expectation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>

#include "media/test_packets.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A 10 s clip as it should be found: 300 pictures, 470 packets of sound.
struct Found {
  Expectation expected;
  MediaFacts facts;
  std::string packets;
  std::vector<DecodedWindow> windows;
  bool moov_first = true;

  Found() {
    expected.container = "mp4";
    expected.video = ExpectedVideo{.codec = "h264", .size = {1080, 1920}, .rate = {30, 1}};
    expected.audio = {{.codec = "aac", .sample_rate = 48000, .channels = 2}};
    expected.duration = seconds(10);
    expected.duration_tolerance = MediaTime(33'334);
    expected.min_frames = expected.max_frames = 300;
    expected.faststart = true;
    facts.container = "mov,mp4,m4a,3gp,3g2,mj2";
    facts.duration = milliseconds(10'005);
    facts.video = VideoStream{.index = 0, .codec = "h264", .coded = {1080, 1920}, .average_rate = {30, 1}};
    facts.video_streams = 1;
    facts.audio = {{.index = 1, .codec = "aac", .sample_rate = 48000, .channels = 2}};
    for (int i = 0; i < 300; ++i) Packet(0, i / 30.0, 1 / 30.0);
    for (int i = 0; i < 469; ++i) Packet(1, i * 1024 / 48000.0, 1024 / 48000.0);
    for (const char* where : {"head", "middle", "tail"})
      windows.push_back({.where = where, .frames = 15, .errors = {}, .clean = true});
  }
  void Packet(int stream, double time, double length, int size = 10) {
    packets += "stream_index=" + std::to_string(stream) + "|pts_time=" + std::to_string(time) +
               "|dts_time=" + std::to_string(time) + "|duration_time=" + std::to_string(length) +
               "|size=" + std::to_string(size) + "|flags=__\n";
  }
  [[nodiscard]] CheckReport Check() const {
    PacketScan scan;
    scan.Feed(test::DocumentOf(packets));
    scan.Finish();
    return CheckOutput(expected, facts, scan, windows, moov_first);
  }
};

// What fails after `change`.
std::vector<std::string> Failing(const std::function<void(Found&)>& change) {
  Found found;
  change(found);
  std::vector<std::string> names;
  for (const CheckLine& line : found.Check().lines) {
    if (!line.ok) names.push_back(line.what);
  }
  return names;
}

TEST(CheckOutput, PassesWhatIsAsExpected) {
  const CheckReport report = Found().Check();
  EXPECT_TRUE(report.ok()) << report.FirstDifference();
  EXPECT_EQ(report.FirstDifference(), "");
  EXPECT_THAT(report.Summary(), HasSubstr("container, streams, video codec, size"));
  EXPECT_THAT(report.Summary(), HasSubstr("all 769 packets read"));
  EXPECT_THAT(report.Summary(), testing::EndsWith("decoded head, middle and tail"));
}

TEST(CheckOutput, EveryDifferenceFailsItsOwnCheck) {
  EXPECT_THAT(Failing([](Found& f) { f.facts.container = "matroska,webm"; }), ElementsAre("container"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.container = ""; }), ElementsAre("container"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.others = {{.index = 2, .kind = "data", .codec = {}}}; }),
              ElementsAre("streams"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.others = {{.index = 2, .kind = "video", .codec = {}}}; }),
              ElementsAre("streams"));
  EXPECT_THAT(Failing([](Found& f) { f.expected.subtitles = 1; }), ElementsAre("streams"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.video->sample_aspect = {4, 3}; }), ElementsAre("sample aspect"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.video->rotation = 90; }), ElementsAre("rotation"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.video->average_rate = {25, 1}; }), ElementsAre("frame rate"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.audio[0].sample_rate = 44100; }), ElementsAre("audio"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.duration.reset(); }), ElementsAre("duration"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.duration = milliseconds(8200); }), ElementsAre("duration"));
  EXPECT_THAT(Failing([](Found& f) { f.facts.identifying_tags = {"location"}; }),
              ElementsAre("tags of place, device or person"));
  EXPECT_THAT(Failing([](Found& f) { f.moov_first = false; }), ElementsAre("index"));
  EXPECT_THAT(Failing([](Found& f) { f.Packet(0, 10.0, 0.01); }), ElementsAre("frames"));
  EXPECT_THAT(Failing([](Found& f) { f.Packet(1, 10.0, 0.01, 0); }), ElementsAre("packets"));
  EXPECT_THAT(Failing([](Found& f) { f.Packet(1, 5.0, 0.01); }), ElementsAre("packet times"));
  EXPECT_THAT(Failing([](Found& f) { f.packets += "garbage\n"; }), ElementsAre("packets"));
  EXPECT_THAT(Failing([](Found& f) { f.packets += "stream_index=0|pts"; }), ElementsAre("packets"));
  EXPECT_THAT(Failing([](Found& f) { f.Packet(1, 12.0, 0.02); }),
              ElementsAre("duration of packets", "audio duration"));
}

TEST(CheckOutput, NothingReadIsNothingProven) {
  EXPECT_THAT(Failing([](Found& f) { f.windows.clear(); }), ElementsAre("decoding"));
  EXPECT_THAT(Failing([](Found& f) { f.packets.clear(); }), testing::Contains("packets"));
  EXPECT_THAT(Failing([](Found& f) { f.windows[1].frames = 0; }), ElementsAre("decoding middle"));
  EXPECT_THAT(Failing([](Found& f) { f.windows[2].clean = false; }), ElementsAre("decoding tail"));
  EXPECT_THAT(Failing([](Found& f) { f.windows[0].errors = "corrupt\nmore"; }), ElementsAre("decoding head"));
  EXPECT_THAT(Failing([](Found& f) { f.windows = {{.where = "all", .frames = 200, .errors = {}, .clean = true}}; }),
              ElementsAre("decoding all"));
  EXPECT_THAT(Failing([](Found& f) { f.windows = {{.where = "all", .frames = 300, .errors = {}, .clean = true}}; }),
              IsEmpty());
  EXPECT_FALSE(CheckReport().ok());
}

TEST(CheckOutput, MissingStreamsAreNamed) {
  EXPECT_THAT(Failing([](Found& f) {
                f.facts.video.reset();
                f.facts.video_streams = 0;
              }),
              testing::IsSupersetOf({"streams", "video"}));
  EXPECT_THAT(Failing([](Found& f) { f.facts.audio.clear(); }), testing::IsSupersetOf({"streams", "audio"}));
}

TEST(CheckOutput, LongerByLessThanAPacketOfSoundIsNoDifference) {
  EXPECT_THAT(Failing([](Found& f) {
                f.expected.duration_tolerance = MediaTime(16'667);
                f.facts.duration = milliseconds(10'022);
              }),
              IsEmpty());
}

TEST(CheckOutput, FirstDifferenceIsOneSentence) {
  Found found;
  found.facts.duration = milliseconds(8200);
  EXPECT_EQ(found.Check().FirstDifference(), "duration: expected 10.000 s within 0.035 s, found 8.200 s");
}

std::string Atom(const std::string& type, std::size_t body, bool large = false) {
  std::string atom;
  const auto number = [&](std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) atom += static_cast<char>(value >> (8 * i));
  };
  number(large ? 1 : body + 8, 4);
  atom += type;
  if (large) number(body + 16, 8);
  return atom + std::string(body, 'x');
}

TEST(MoovFirstOf, ReadsTheAtomsInOrder) {
  EXPECT_TRUE(MoovFirst(Atom("ftyp", 24) + Atom("moov", 100)));
  EXPECT_TRUE(MoovFirst(Atom("ftyp", 24) + Atom("free", 8, true) + Atom("moov", 100).substr(0, 8)));
  EXPECT_FALSE(MoovFirst(Atom("ftyp", 24) + Atom("free", 0) + Atom("mdat", 100) + Atom("moov", 100)));
  EXPECT_FALSE(MoovFirst(Atom("moov", 100)));
  EXPECT_FALSE(MoovFirst(Atom("ftyp", 24)));
  EXPECT_FALSE(MoovFirst(""));
  EXPECT_FALSE(MoovFirst("moov"));
  EXPECT_FALSE(MoovFirst(Atom("ftyp", 24) + std::string("\0\0\0\0free", 8) + Atom("moov", 4)));
  EXPECT_FALSE(MoovFirst(Atom("ftyp", 24) + std::string("\0\0\0\1free\xff\xff\xff\xff\xff\xff\xff\xff", 16) +
                         Atom("moov", 4)));
  EXPECT_FALSE(MoovFirst(Atom("ftyp", 24) + std::string("\0\0\0\1free", 8)));
}

}  // namespace
}  // namespace weir::media
