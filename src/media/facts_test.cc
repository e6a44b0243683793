#include "media/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

#include "media/commands.h"
#include "media/test_clips.h"

namespace weir::media {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::string Document(const std::string& streams, const std::string& format = "") {
  return R"({"streams":[)" + streams +
         R"(],"format":{"format_name":"mov,mp4,m4a,3gp,3g2,mj2","size":"124280","duration":"3.000000")" + format +
         "}}";
}
std::string Video(const std::string& more) {
  return R"({"index":0,"codec_name":"h264","codec_type":"video","width":1920,"height":1080,"pix_fmt":"yuv420p","r_frame_rate":"30/1","avg_frame_rate":"30/1")" +
         more + "}";
}
VideoStream VideoOf(const std::string& more) {
  auto facts = ParseProbe(Document(Video(more)));
  EXPECT_TRUE(facts && facts->video) << more;
  return facts ? facts->video.value_or(VideoStream()) : VideoStream();
}

// ffprobe 5.1 of a phone clip, shortened.
TEST(Probe, ReadsAPhoneClip) {
  const auto facts = ParseProbe(R"({"streams":[
    {"index":0,"codec_name":"hevc","profile":"Main 10","codec_type":"video","width":3840,"height":2160,
     "has_b_frames":2,"sample_aspect_ratio":"1:1","pix_fmt":"yuv420p10le","color_transfer":"arib-std-b67","refs":1,
     "r_frame_rate":"60/1","avg_frame_rate":"4620/181","time_base":"1/600","start_time":"0.000000","duration":"3.016667",
     "nb_frames":"77","disposition":{"attached_pic":0},"tags":{"creation_time":"2020-01-01T00:00:00.000000Z","handler_name":"Core Media Video"},
     "side_data_list":[{"side_data_type":"Display Matrix","rotation":-90}]},
    {"index":1,"codec_name":"aac","profile":"LC","codec_type":"audio","sample_rate":"44100","channels":6,"channel_layout":"5.1",
     "start_time":"-0.021333","duration":"3.000000","tags":{"language":"eng"}},
    {"index":2,"codec_type":"data","codec_tag_string":"mebx"},
    {"index":3,"codec_name":"mov_text","codec_type":"subtitle"},
    {"index":4,"codec_name":"mjpeg","codec_type":"video","width":600,"height":600,"disposition":{"attached_pic":1}}],
    "format":{"format_name":"mov,mp4,m4a,3gp,3g2,mj2","start_time":"0.000000","duration":"3.020000","size":"124280",
     "tags":{"major_brand":"qt  ","com.apple.quicktime.location.ISO6709":"+52+004/","com.apple.quicktime.make":"Apple","title":"x","location-eng":"+52/"}}})");
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->container, "mov,mp4,m4a,3gp,3g2,mj2");
  EXPECT_EQ(facts->size, Bytes(124280));
  EXPECT_EQ(facts->length(), milliseconds(3020));
  ASSERT_TRUE(facts->video.has_value());
  const VideoStream& video = *facts->video;
  EXPECT_EQ(video.rotation, 90);
  EXPECT_EQ(video.displayed(), (Size{2160, 3840}));
  EXPECT_EQ(video.bit_depth, 10);
  EXPECT_TRUE(video.chroma_420);
  EXPECT_TRUE(video.variable_rate);
  EXPECT_EQ(video.nominal_rate, (Rational{60, 1}));
  EXPECT_EQ(video.average_rate, (Rational{4620, 181}));
  EXPECT_EQ(video.color_transfer, "arib-std-b67");
  EXPECT_EQ(video.frames, 77);
  EXPECT_EQ(facts->video_streams, 1U);
  ASSERT_EQ(facts->audio.size(), 1U);
  EXPECT_EQ(facts->audio[0].channels, 6);
  EXPECT_EQ(facts->audio[0].layout, "5.1");
  EXPECT_EQ(facts->audio[0].language, "eng");
  EXPECT_EQ(*facts->audio[0].start, std::chrono::microseconds(-21333));
  ASSERT_EQ(facts->others.size(), 3U);
  EXPECT_EQ(facts->others[0].kind, "data");
  EXPECT_EQ(facts->others[1].codec, "mov_text");
  EXPECT_EQ(facts->others[2].kind, "video");
  EXPECT_THAT(facts->identifying_tags,
              UnorderedElementsAre("com.apple.quicktime.location.ISO6709", "com.apple.quicktime.make", "location-eng",
                                   "creation_time"));
}

TEST(Probe, RotationIsClockwiseInQuarters) {
  const auto rotation = [](const std::string& degrees) {
    return VideoOf(R"(,"side_data_list":[{"side_data_type":"Other"},{"side_data_type":"Display Matrix","rotation":)" +
                   degrees + "}]")
        .rotation;
  };
  EXPECT_EQ(rotation("-90"), 90);
  EXPECT_EQ(rotation("90"), 270);
  EXPECT_EQ(rotation("180"), 180);
  EXPECT_EQ(rotation("-180"), 180);
  EXPECT_EQ(rotation("0"), 0);
  EXPECT_EQ(rotation("-88.6"), 90);
  EXPECT_EQ(rotation("-2147483648"), 0);
  EXPECT_EQ(rotation("1e300"), 0);
  EXPECT_EQ(rotation("\"nan\""), 0);
  EXPECT_EQ(VideoOf(R"(,"tags":{"rotate":"90"})").rotation, 90);
}

TEST(Probe, SampleAspectWidensBeforeTurning) {
  EXPECT_EQ(VideoOf(R"(,"sample_aspect_ratio":"4:3")").displayed(), (Size{2560, 1080}));
  EXPECT_EQ(VideoOf(R"(,"sample_aspect_ratio":"4:3","tags":{"rotate":"90"})").displayed(), (Size{1080, 2560}));
  for (const char* odd : {"0:1", "N/A", "1:0", "-1:1", "99999999999:1", "x"}) {
    EXPECT_EQ(VideoOf(std::string(R"(,"sample_aspect_ratio":")") + odd + "\"").displayed(), (Size{1920, 1080}))
        << odd;
  }
  EXPECT_EQ(VideoOf(R"(,"sample_aspect_ratio":"2147483647:1")").displayed().width, 1'000'000);
  EXPECT_EQ(VideoOf(R"(,"sample_aspect_ratio":"1:2147483647")").displayed().width, 1);
}

TEST(Probe, RatesThatAreTicksAreNotRates) {
  const auto rates = [](const std::string& written, const std::string& average, const std::string& order = "") {
    const auto facts = ParseProbe(R"({"streams":[{"codec_type":"video","r_frame_rate":")" + written +
                                  R"(","avg_frame_rate":")" + average + R"(","field_order":")" + order + R"("}]})");
    return *facts->video;
  };
  EXPECT_FALSE(rates("30000/1001", "30000/1001").variable_rate);
  EXPECT_FALSE(rates("30/1", "2997/100").variable_rate);
  EXPECT_TRUE(rates("120/1", "2997/100").variable_rate);
  EXPECT_EQ(rates("90000/1", "2997/100").nominal_rate, (Rational{2997, 100}));
  EXPECT_TRUE(rates("90000/1", "2997/100").variable_rate);
  EXPECT_FALSE(rates("1000/1", "0/0").nominal_rate.known());
  EXPECT_EQ(rates("0/0", "25/1").nominal_rate, (Rational{25, 1}));
  EXPECT_FALSE(rates("0/0", "25/1").variable_rate);
  EXPECT_FALSE(rates("50/1", "25/1", "tt").variable_rate);
  EXPECT_EQ(rates("50/1", "25/1", "tt").nominal_rate, (Rational{25, 1}));
  EXPECT_TRUE(rates("50/1", "25/1", "progressive").variable_rate);
  EXPECT_FALSE(rates("-30/1", "30/-1").average_rate.known());
}

TEST(Probe, PixelFormatsTellDepthAndChroma) {
  struct Row {
    const char* format;
    int depth;
    bool chroma_420;
  };
  for (const Row& row :
       {Row{"yuv420p", 8, true}, Row{"yuvj420p", 8, true}, Row{"yuv420p10le", 10, true},
        Row{"yuv422p10le", 10, false}, Row{"yuv444p12le", 12, false}, Row{"p010le", 10, true}, Row{"nv12", 8, true},
        Row{"nv16", 8, false}, Row{"gbrp", 8, false}, Row{"gbrp16le", 16, false}, Row{"rgb24", 8, false},
        Row{"rgb48be", 16, false}, Row{"gray10le", 10, false}, Row{"rgb565le", 8, false}, Row{"yuva420p", 8, true}}) {
    const auto facts =
        ParseProbe(std::string(R"({"streams":[{"codec_type":"video","pix_fmt":")") + row.format + "\"}]}");
    EXPECT_EQ(facts->video->bit_depth, row.depth) << row.format;
    EXPECT_EQ(facts->video->chroma_420, row.chroma_420) << row.format;
  }
}

TEST(Probe, AbsurdNumbersAreUnknownOrClamped) {
  const auto facts = ParseProbe(
      R"({"streams":[{"index":-99999999999999999999,"codec_type":"video","width":1e300,"height":-5,"refs":1e99,
    "duration":"1e400","start_time":"N/A","nb_frames":"-3","bits_per_raw_sample":99999999999,"time_base":"1/0"},
    {"codec_type":"audio","sample_rate":"-44100","channels":4294967296,"duration":"-1"}],
    "format":{"duration":"nan","size":"18446744073709551616","start_time":"9999999999999999"}})");
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->video->coded, (Size{1'000'000, 0}));
  EXPECT_EQ(facts->video->index, 0);
  EXPECT_FALSE(facts->video->duration.has_value());
  EXPECT_FALSE(facts->video->frames.has_value());
  EXPECT_EQ(facts->audio[0].sample_rate, 0);
  EXPECT_EQ(facts->audio[0].channels, 1024);
  EXPECT_EQ(facts->length(), MediaTime(0));
  EXPECT_FALSE(facts->start.has_value());
}

TEST(Probe, MatroskaTellsStreamLengthsInTags) {
  EXPECT_EQ(*VideoOf(R"(,"tags":{"DURATION":"00:01:02.007000000"})").duration, milliseconds(62007));
  for (const char* odd : {"", "1:2", "aa:bb:cc", "00:99:00", "-1:00:01", "99999999999999:00:00"}) {
    EXPECT_FALSE(VideoOf(std::string(R"(,"tags":{"DURATION":")") + odd + "\"}").duration.has_value()) << odd;
  }
}

TEST(Probe, RefusesWhatIsNoDescription) {
  for (const std::string& text :
       {std::string(), std::string("{\n\n}\n"), std::string("{}"), std::string("[]"), std::string("{\"streams\":[]}"),
        std::string("{\"streams\":[1,null]}"), std::string("{\"streams\":5}"), Document(Video("")).substr(0, 100),
        Document(Video("")) + "x", std::string(2 << 20, ' '), std::string(100'000, '['), std::string("\0", 1)}) {
    const auto facts = ParseProbe(text);
    ASSERT_FALSE(facts.has_value()) << text.substr(0, 40);
    EXPECT_EQ(facts.error().code, ErrorCode::kInputNotMedia);
  }
}

TEST(Probe, WordsFromTheFileAreSafeToPrint) {
  const auto facts = ParseProbe(Document(R"({"codec_type":"\u001b[31m\n","codec_name":"\u0007x"})",
                                         R"(,"tags":{"location\u001b\n":"x","make":1,"model":null})"));
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->others[0].kind, "?[31m?");
  EXPECT_EQ(facts->others[0].codec, "?x");
  EXPECT_THAT(facts->identifying_tags, ElementsAre("location??", "make", "model"));
}

TEST(Probe, TagsThatTellNobodyAreKeptQuiet) {
  const auto tags = [](const std::string& list) {
    return ParseProbe(Document(Video(""), R"(,"tags":{)" + list + "}"))->identifying_tags;
  };
  EXPECT_THAT(
      tags(R"("encoder":"Lavf59","major_brand":"isom","title":"x","language":"eng","handler_name":"VideoHandler",
                      "com.android.capture.fps":"30","DURATION":"1","genre":"x")"),
      IsEmpty());
  EXPECT_THAT(tags(R"("handler_name":"GoPro AVC")"), ElementsAre("handler_name"));
  EXPECT_THAT(tags(R"("ARTIST":"x","GPSLatitude":"1","com.android.model":"x","date":"2020","Make":"x")"),
              ElementsAre("ARTIST", "GPSLatitude", "com.android.model", "date", "Make"));
}

TEST(Probe, RandomDamageNeverBreaksIt) {
  const std::string good = Document(Video(
      R"(,"side_data_list":[{"side_data_type":"Display Matrix","rotation":-90}],"tags":{"DURATION":"00:00:02.0"})"));
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    for (int change = 0; change < 3; ++change) text[random() % text.size()] = static_cast<char>(random());
    const auto facts = ParseProbe(text);
    if (facts && facts->video) {
      EXPECT_GE(facts->video->displayed().width, 0);
    }
  }
}

// What the installed ffprobe really says.
TEST(Probe, ReadsRealFiles) {
  const test::Clips clips;
  const auto probe = [&](const std::string& path) {
    EXPECT_FALSE(path.empty());
    const auto ran = clips.Run("ffprobe", ProbeArguments({}), path);
    return ParseProbe(ran.output).value_or(MediaFacts());
  };
  const std::string picture = "-f lavfi -i testsrc2=s=322x240:r=30:d=1 ";
  const MediaFacts plain =
      probe(clips.Make("a.mp4", picture + "-f lavfi -i sine=d=1 -pix_fmt yuv420p -c:v libx264 -c:a aac "
                                          "-metadata location=+52.0+004.0/ -metadata title=x"));
  EXPECT_EQ(plain.video->coded, (Size{322, 240}));
  EXPECT_EQ(plain.video->frames, 30);
  EXPECT_FALSE(plain.video->variable_rate);
  EXPECT_EQ(plain.video->codec, "h264");
  EXPECT_EQ(plain.audio.at(0).channels, 1);
  EXPECT_THAT(plain.identifying_tags, testing::Contains("location"));
  const MediaFacts turned = probe(clips.Make("r.mp4", "-i a.mp4 -c copy -metadata:s:v rotate=90"));
  EXPECT_EQ(turned.video->displayed(), (Size{240, 322}));
  const MediaFacts anamorphic = probe(clips.Make("s.mp4", picture + "-vf setsar=4/3 -pix_fmt yuv420p -c:v libx264"));
  EXPECT_EQ(anamorphic.video->displayed(), (Size{429, 240}));
  const MediaFacts webm =
      probe(clips.Make("w.webm", "-i a.mp4 -c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus"));
  EXPECT_EQ(webm.container, "matroska,webm");
  EXPECT_TRUE(webm.video->duration.has_value());
  EXPECT_EQ(webm.audio.at(0).codec, "opus");
  const MediaFacts still = probe(clips.Make("p.png", "-i a.mp4 -frames:v 1"));
  EXPECT_EQ(still.container, "png_pipe");
  EXPECT_EQ(still.video->bit_depth, 8);
  const MediaFacts cover =
      probe(clips.Make("c.m4a", "-i a.mp4 -i p.png -map 0:a -map 1 -c:a aac -c:v png -disposition:v attached_pic"));
  EXPECT_FALSE(cover.video.has_value());
  ASSERT_EQ(cover.others.size(), 1U);
  EXPECT_EQ(cover.others[0].kind, "video");
}

}  // namespace
}  // namespace weir::media
