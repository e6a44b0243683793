#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "media/expectation.h"
#include "media/test_packets.h"

namespace weir::media {
namespace {

using std::chrono::microseconds;
using test::DocumentOf;
using test::kAfterPackets;
using test::kBeforePackets;
using test::PacketsInJson;

// As ffprobe 5.1 prints an mp4 with B-frames and AAC priming, which is side data.
const std::string kMp4 = DocumentOf(
    "stream_index=0|pts_time=0.000000|dts_time=-0.066667|duration_time=0.033333|size=7584|flags=K_\n"
    "stream_index=0|pts_time=0.100000|dts_time=-0.033333|duration_time=0.033333|size=1407|flags=__\n"
    "stream_index=1|pts_time=-0.021333|dts_time=-0.021333|duration_time=0.021333|size=264|flags=KD|\n"
    "stream_index=0|pts_time=0.033333|dts_time=0.000000|duration_time=0.033333|size=1556|flags=__\n"
    "stream_index=1|pts_time=0.000000|dts_time=0.000000|duration_time=0.021333|size=10|flags=K_\n");

TEST(PacketScan, GathersTimesAndSizes) {
  PacketScan scan;
  scan.Feed(kMp4);
  scan.Finish();
  ASSERT_EQ(scan.streams().size(), 2U);
  const PacketScan::Stream& video = scan.streams()[0];
  EXPECT_EQ(video.index, 0);
  EXPECT_EQ(video.packets, 3);
  EXPECT_EQ(video.bytes, 10547U);
  EXPECT_EQ(*video.first_pts, microseconds(0));
  EXPECT_EQ(*video.end_pts, microseconds(133'333));
  EXPECT_EQ(video.largest_gap, microseconds(33'334));
  EXPECT_EQ(video.keys, 1);
  EXPECT_FALSE(video.second_key);
  EXPECT_EQ(*video.last_key, microseconds(0));
  EXPECT_EQ(video.times_backwards + video.times_repeated + video.times_missing + video.empty_packets, 0);
  const PacketScan::Stream& audio = scan.streams()[1];
  EXPECT_EQ(audio.discarded, 1);
  EXPECT_EQ(audio.keys, 2) << "one that is not shown can be decoded from";
  EXPECT_EQ(*audio.second_key, microseconds(0));
  EXPECT_EQ(*audio.first_pts, microseconds(0));
  EXPECT_EQ(scan.unreadable_lines(), 0);
}

TEST(PacketScan, AnyPiecesGiveTheSame) {
  for (std::size_t step = 1; step < 100; step += 3) {
    PacketScan scan;
    for (std::size_t at = 0; at < kMp4.size(); at += step) scan.Feed(kMp4.substr(at, step));
    scan.Finish();
    ASSERT_EQ(scan.streams().size(), 2U) << step;
    EXPECT_EQ(scan.streams()[0].packets, 3) << step;
    EXPECT_EQ(scan.unreadable_lines(), 0) << step;
  }
}

TEST(PacketScan, FlagsWhatIsWrong) {
  PacketScan scan;
  scan.Feed(
      DocumentOf("stream_index=0|pts_time=0.1|dts_time=0.1|duration_time=0.1|size=10|flags=K__\n"
                 "stream_index=0|pts_time=0.05|dts_time=0.05|duration_time=0.1|size=10|flags=__C\n"
                 "stream_index=0|pts_time=0.05|dts_time=0.05|duration_time=N/A|size=0|flags=___\n"
                 "stream_index=0|pts_time=N/A|dts_time=N/A|duration_time=N/A|size=5|flags=___\n"
                 "stream_index=0|pts_time=0.9|dts_time=N/A|duration_time=-3|size=5|flags=___\n"));
  const PacketScan::Stream& stream = scan.streams()[0];
  EXPECT_EQ(stream.packets, 5);
  EXPECT_EQ(stream.times_backwards, 1);
  EXPECT_EQ(stream.times_repeated, 1);
  EXPECT_EQ(stream.times_missing, 1);
  EXPECT_EQ(stream.empty_packets, 1);
  EXPECT_EQ(stream.corrupt, 1);
  EXPECT_EQ(*stream.end_pts, microseconds(900'000));
}

TEST(PacketScan, OrderOfTheFieldsDoesNotMatter) {
  PacketScan scan;
  scan.Feed(DocumentOf("flags=K__|size=12|duration_time=1|new_field=x|dts_time=0|pts_time=2|stream_index=5\n"));
  ASSERT_EQ(scan.streams().size(), 1U);
  EXPECT_EQ(scan.streams()[0].index, 5);
  EXPECT_EQ(*scan.streams()[0].end_pts, microseconds(3'000'000));
}

TEST(PacketScan, GarbageIsCounted) {
  PacketScan scan;
  scan.Feed(kBeforePackets +
            PacketsInJson("nonsense\nstream_index=-1|size=1\nstream_index=0\nstream_index=0|size=-5\n"
                          "stream_index=99999999999999999999|size=1\n"));
  EXPECT_EQ(scan.unreadable_lines(), 5);
  EXPECT_TRUE(scan.streams().empty());
  scan.Feed(std::string(5'000'000, 'x'));
  scan.Feed("\n" + PacketsInJson("stream_index=0|size=1|pts_time=1e400|dts_time=nan\n"));
  EXPECT_EQ(scan.unreadable_lines(), 6);
  EXPECT_EQ(scan.streams()[0].times_missing, 1);
}

TEST(PacketScan, ALastLineThatWasCutOffCounts) {
  PacketScan scan;
  scan.Feed(kMp4.substr(0, kMp4.find("\"pts_time\"")));
  scan.Finish();
  EXPECT_EQ(scan.unreadable_lines(), 1);
}

TEST(PacketScan, AListThatWasCutOffCounts) {
  PacketScan scan;
  scan.Feed(kMp4.substr(0, kMp4.find(kAfterPackets)));
  scan.Finish();
  EXPECT_EQ(scan.streams()[0].packets, 3);
  EXPECT_EQ(scan.unreadable_lines(), 1);
}

TEST(PacketScan, TheRestIsWhatAProbeAloneTells) {
  PacketScan scan;
  scan.Feed(kMp4);
  scan.Finish();
  EXPECT_EQ(scan.rest(), kBeforePackets + kAfterPackets);
  scan.Feed(std::string(3'000'000, '\n'));
  EXPECT_LE(scan.rest().size(), 1U << 20U);
}

TEST(PacketScan, KeepsAtMost64Streams) {
  PacketScan scan;
  scan.Feed(kBeforePackets);
  for (int i = 0; i < 1000; ++i) {
    scan.Feed(PacketsInJson("stream_index=" + std::to_string(i) + "|size=1|pts_time=0|dts_time=0\n"));
  }
  EXPECT_EQ(scan.streams().size(), 64U);
  EXPECT_EQ(scan.unreadable_lines(), 936);
}

}  // namespace
}  // namespace weir::media
