#include "media/progress.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace weir::media {
namespace {

// As ffmpeg 5.1 writes it.
const std::string kBlock =
    "frame=81\nfps=40.27\nstream_0_0_q=29.0\nbitrate=1532.2kbits/s\ntotal_size=524336\nout_time_us=2737687\n"
    "out_time_ms=2737687\nout_time=00:00:02.737687\ndup_frames=1\ndrop_frames=2\nspeed=1.36x\nprogress=continue\n";
const std::string kFirst =
    "frame=0\nfps=0.00\nstream_0_0_q=0.0\nbitrate=N/A\ntotal_size=N/A\nout_time_us=N/A\nout_time_ms=N/A\n"
    "out_time=N/A\ndup_frames=0\ndrop_frames=0\nspeed=N/A\nprogress=continue\n";

TEST(Progress, ReadsABlock) {
  ProgressParser parser;
  EXPECT_TRUE(parser.Feed(kBlock));
  const Progress& now = parser.current();
  EXPECT_EQ(now.frame, 81);
  EXPECT_DOUBLE_EQ(now.fps, 40.27);
  EXPECT_EQ(now.out_time, MediaTime(2'737'687));
  EXPECT_EQ(now.total_size, Bytes(524336));
  EXPECT_DOUBLE_EQ(now.speed, 1.36);
  EXPECT_EQ(now.duplicated, 1);
  EXPECT_EQ(now.dropped, 2);
  EXPECT_FALSE(now.finished);
  EXPECT_EQ(parser.blocks(), 1U);
  EXPECT_EQ(parser.bad_lines(), 0U);
}

TEST(Progress, ABlockThatShowsNothingNewIsNoProgress) {
  ProgressParser parser;
  EXPECT_FALSE(parser.Feed(kFirst));
  EXPECT_EQ(parser.blocks(), 1U);
  EXPECT_EQ(parser.bad_lines(), 0U);
  EXPECT_TRUE(parser.Feed(kBlock));
  EXPECT_FALSE(parser.Feed(kBlock));
  EXPECT_TRUE(parser.Feed("total_size=524337\nprogress=continue\n"));
  EXPECT_FALSE(parser.Feed("frame=82\n"));  // the block is not whole yet
  EXPECT_TRUE(parser.Feed("progress=continue\n"));
}

TEST(Progress, TheEndIsProgressOnce) {
  ProgressParser parser;
  parser.Feed(kBlock);
  EXPECT_TRUE(parser.Feed("progress=end\n"));
  EXPECT_TRUE(parser.current().finished);
  EXPECT_FALSE(parser.Feed("progress=end\n"));
  EXPECT_FALSE(parser.Feed("progress=continue\n"));
  EXPECT_TRUE(parser.current().finished);
}

TEST(Progress, AnyPiecesGiveTheSame) {
  for (std::size_t step = 1; step < 40; ++step) {
    ProgressParser parser;
    bool advanced = false;
    for (std::size_t at = 0; at < kBlock.size(); at += step)
      advanced = parser.Feed(kBlock.substr(at, step)) || advanced;
    EXPECT_TRUE(advanced) << step;
    EXPECT_EQ(parser.current().frame, 81) << step;
    EXPECT_EQ(parser.blocks(), 1U) << step;
    EXPECT_EQ(parser.bad_lines(), 0U) << step;
  }
}

TEST(Progress, NegativeAndHugeNumbersAreClamped) {
  ProgressParser parser;
  parser.Feed("frame=-5\nout_time_us=-21333\nprogress=continue\n");
  EXPECT_EQ(parser.current().frame, 0);
  EXPECT_EQ(parser.current().out_time, MediaTime(0));
  parser.Feed(
      "frame=9223372036854775807\ntotal_size=9223372036854775807\nout_time_us=9223372036854775807\nprogress="
      "continue\n");
  EXPECT_EQ(parser.current().frame, std::int64_t{1} << 53);
  EXPECT_EQ(parser.current().out_time.count(), std::int64_t{1} << 53);
  EXPECT_EQ(parser.bad_lines(), 0U);
  parser.Feed("frame=9223372036854775808\nspeed=1.01e+03x\nprogress=continue\n");
  EXPECT_EQ(parser.bad_lines(), 1U);
}

TEST(Progress, GarbageIsCountedAndForgotten) {
  ProgressParser parser;
  EXPECT_FALSE(parser.Feed("hello\n=5\nfr ame=1\nframe=x\nprogress=maybe\nspeed=-1x\n"));
  EXPECT_EQ(parser.bad_lines(), 6U);
  EXPECT_EQ(parser.blocks(), 0U);
  EXPECT_FALSE(parser.Feed(std::string(10'000'000, 'a')));
  EXPECT_TRUE(parser.Feed("\n" + kBlock));
  EXPECT_EQ(parser.bad_lines(), 7U);
  EXPECT_EQ(parser.current().frame, 81);
}

TEST(Progress, CarriageReturnsAndBlankLinesAreHarmless) {
  ProgressParser parser;
  EXPECT_TRUE(parser.Feed("\r\n\nframe=  12\r\nspeed= 1.5x\r\nprogress=continue\r\n"));
  EXPECT_EQ(parser.current().frame, 12);
  EXPECT_DOUBLE_EQ(parser.current().speed, 1.5);
  EXPECT_EQ(parser.bad_lines(), 0U);
}

TEST(Progress, RandomBytesNeverBreakIt) {
  std::mt19937 random(7);
  ProgressParser parser;
  for (int round = 0; round < 2000; ++round) {
    std::string chunk = kBlock;
    for (int change = 0; change < 8; ++change) chunk[random() % chunk.size()] = static_cast<char>(random());
    parser.Feed(chunk);
    EXPECT_GE(parser.current().frame, 0);
    EXPECT_GE(parser.current().out_time.count(), 0);
  }
}

}  // namespace
}  // namespace weir::media
