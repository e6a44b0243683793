#include "media/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::media {
namespace {

using testing::HasSubstr;
using testing::Not;

// What the tools print on standard error, as captured from ffmpeg 5.1 unless a later version is named.
struct Row {
  Stage stage;
  int status;
  const char* text;
  ErrorCode code;
};

class Classified : public testing::TestWithParam<Row> {};

TEST_P(Classified, AsTheRightRow) {
  const Row& row = GetParam();
  const Error error = ClassifyFailure(row.stage, row.status, row.text, "\"in.mp4\"");
  EXPECT_EQ(InfoOf(error.code).name, InfoOf(row.code).name) << row.text;
  EXPECT_THAT(error.detail, Not(testing::IsEmpty()));
  EXPECT_THAT(error.detail, Not(HasSubstr("\n")));
  EXPECT_THAT(error.detail, Not(HasSubstr("@ 0x")));
  EXPECT_THAT(error.detail, Not(HasSubstr("/proc/self")));
}

INSTANTIATE_TEST_SUITE_P(
    Probe, Classified,
    testing::Values(
        Row{Stage::kProbe, 1, "file:/proc/self/fd/3: Invalid data found when processing input\n",
            ErrorCode::kInputNotMedia},
        Row{Stage::kProbe, 1,
            "[hls @ 0x563914f84380] Format not on whitelist 'mov,mp4'\nfile:/proc/self/fd/3: Invalid argument\n",
            ErrorCode::kInputNotMedia},
        Row{Stage::kProbe, 1,
            "[concat @ 0x55760a651380] Format not on whitelist 'mov,mp4'\nfile:/proc/self/fd/3: Invalid argument\n",
            ErrorCode::kInputNotMedia},
        Row{Stage::kProbe, 1, "[http @ 0x55] Protocol 'http' not on whitelist 'file'!\n", ErrorCode::kInputNotMedia},
        Row{Stage::kProbe, 0,
            "[png @ 0x55bb1b33d3c0] [IMGUTILS @ 0x7ffc4b493120] Picture size 16000x16000 exceeds specified max pixel "
            "count 50000000, see the documentation if you wish to increase it\n",
            ErrorCode::kInputTooLarge},
        Row{Stage::kProbe, 1,
            "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55] moov atom not found\nfile:/proc/self/fd/3: Invalid data found when "
            "processing input\n",
            ErrorCode::kInputDamaged},
        Row{Stage::kProbe, 1,
            "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55] stream 0, contradictionary STSC and STCO\n[mov,mp4,m4a,3gp,3g2,mj2 @ "
            "0x55] error reading header\n"
            "file:/proc/self/fd/3: Invalid data found when processing input\n",
            ErrorCode::kInputDamaged},
        Row{Stage::kProbe, 0, "[matroska,webm @ 0x55c6b2d5e340] File ended prematurely\n", ErrorCode::kInputDamaged},
        Row{Stage::kProbe, 1, "file:/proc/self/fd/3: Cannot allocate memory\n", ErrorCode::kInputTooLarge},
        Row{Stage::kProbe, 1,
            "[mov @ 0x1] Number of streams exceeds max_streams parameter (64), see the documentation if you wish to "
            "increase it\n",
            ErrorCode::kInputTooLarge},
        Row{Stage::kProbe, 1, "[IMGUTILS @ 0x7f] Picture size 70000x70000 is invalid\n", ErrorCode::kInputTooLarge},
        Row{Stage::kProbe, 1, "[in#0 @ 0x5] Error opening input: Invalid data found when processing input\n",
            ErrorCode::kInputNotMedia},
        Row{Stage::kProbe, 1, "file:/proc/self/fd/3: Input/output error\n", ErrorCode::kInputUnreadable},
        Row{Stage::kProbe, 127, "sh: ffprobe: cannot execute\n", ErrorCode::kToolUnusable},
        Row{Stage::kProbe, 3, "", ErrorCode::kChildFailed}));

INSTANTIATE_TEST_SUITE_P(
    Work, Classified,
    testing::Values(
        Row{Stage::kWork, 1,
            "av_interleaved_write_frame(): No space left on device\n    Last message repeated 6 times\n"
            "Error writing trailer of file:out.mp4: No space left on device\n",
            ErrorCode::kDiskFull},
        Row{Stage::kWork, 0, "Error writing trailer of file:out.mkv: No space left on device\n",
            ErrorCode::kDiskFull},
        Row{Stage::kWork, 1, "[out#0/mp4 @ 0x5] Error writing trailer: No space left on device\n",
            ErrorCode::kDiskFull},  // 7
        Row{Stage::kWork, 0, "Error closing file file:out.mp4: Disk quota exceeded\n", ErrorCode::kDiskFull},
        Row{Stage::kWork, 0, "Error writing trailer of file:out.mp4: File too large\n", ErrorCode::kRunaway},
        Row{Stage::kWork, 1,
            "x264 [error]: malloc of size 7281984 failed\nError submitting video frame to the encoder\n",
            ErrorCode::kOutOfMemory},
        Row{Stage::kWork, 1, "[libvpx-vp9 @ 0x56] Failed to initialize encoder: Memory allocation error\n",
            ErrorCode::kOutOfMemory},
        Row{Stage::kWork, 69,
            "[png @ 0x5] get_buffer() failed\nError while decoding stream #0:0: Cannot allocate memory\n",
            ErrorCode::kOutOfMemory},
        Row{Stage::kWork, 1, "Error while opening decoder for input stream #0:0 : Resource temporarily unavailable\n",
            ErrorCode::kOutOfMemory},
        Row{Stage::kWork, 127,
            "ffmpeg: error while loading shared libraries: libgsm.so.1: failed to map segment from shared object\n",
            ErrorCode::kOutOfMemory},
        Row{Stage::kWork, 127,
            "ffmpeg: error while loading shared libraries: libx264.so.164: cannot open shared object file: No such "
            "file\n",
            ErrorCode::kToolUnusable},
        Row{Stage::kWork, 1, "Unknown encoder 'libfoo'\n", ErrorCode::kToolUnusable},
        Row{Stage::kWork, 1,
            "[vost#0:0 @ 0x55] Unknown encoder 'libfoo'\n[vost#0:0 @ 0x55] Error selecting an encoder\n",
            ErrorCode::kToolUnusable},  // 7
        Row{Stage::kWork, 1,
            "[AVFilterGraph @ 0x5633a375f900] No such filter: 'foo'\nError reinitializing filters!\n",
            ErrorCode::kToolUnusable},
        Row{Stage::kWork, 1, "Unrecognized option 'foo'.\nError splitting the argument list: Option not found\n",
            ErrorCode::kToolUnusable},
        Row{Stage::kWork, 1, "x264 [error]: invalid preset 'zzz'\n", ErrorCode::kToolUnusable},
        Row{Stage::kWork, 1,
            "[h264 @ 0x56] Invalid NAL unit size (26042 > 9979).\nError while decoding stream #0:0: Invalid data "
            "found when processing input\n",
            ErrorCode::kInputDamaged},
        Row{Stage::kWork, 1, "file:/proc/self/fd/3: corrupt input packet in stream 0\n", ErrorCode::kInputDamaged},
        Row{Stage::kWork, 1, "[mov,mp4 @ 0x5] stream 1, offset 0x1291f: partial file\n", ErrorCode::kInputDamaged},
        Row{Stage::kWork, 1, "[vist#0:0/h264 @ 0x5] Decoding error: Invalid data found when processing input\n",
            ErrorCode::kInputDamaged},  // 7
        Row{Stage::kWork, 1,
            "Stream map '0:v:3' matches no streams.\nTo ignore this, add a trailing '?' to the map.\n",
            ErrorCode::kChildFailed},
        Row{Stage::kWork, 1, "Conversion failed!\n", ErrorCode::kChildFailed}));

INSTANTIATE_TEST_SUITE_P(Verify, Classified,
                         testing::Values(Row{Stage::kVerify, 1, "[mov @ 0x55] moov atom not found\n",
                                             ErrorCode::kVerification},
                                         Row{Stage::kVerify, 1, "", ErrorCode::kVerification},
                                         Row{Stage::kVerify, 1, "file:/proc/self/fd/3: Cannot allocate memory\n",
                                             ErrorCode::kOutOfMemory}));

TEST(Failure, NamesTheInputAndTheReason) {
  const Error error = ClassifyFailure(Stage::kProbe, 1, "[mov,mp4 @ 0x55] moov atom not found\n", "\"a.mp4\"");
  EXPECT_EQ(error.detail, "the input \"a.mp4\" is damaged or cut short (moov atom not found)");
}

TEST(Failure, LimitsComeWithTheirNumbers) {
  const auto members = [](const Error& error) {
    std::vector<std::pair<std::string, std::uint64_t>> found;
    for (const auto& member : error.members) {
      if (member.is_number) found.emplace_back(member.key, member.number);
    }
    return found;
  };
  const Error pixels =
      ClassifyFailure(Stage::kProbe, 1,
                      "[png @ 0x55bb1b33d3c0] [IMGUTILS @ 0x7ffc4b493120] Picture size 16000x9000 "
                      "exceeds specified max pixel count 50000000, see the documentation if you wish "
                      "to increase it\n    Last message repeated 1 times\n",
                      "'a.png'");
  EXPECT_EQ(pixels.detail,
            "the input 'a.png' has pictures of 16000x9000, 144000000 pixels; the limit is 50000000 (--max-pixels)");
  EXPECT_THAT(members(pixels),
              testing::ElementsAre(testing::Pair("pixels", 144000000U), testing::Pair("limit_pixels", 50000000U)));
  const Error streams = ClassifyFailure(Stage::kProbe, 1,
                                        "[mov @ 0x1] Number of streams exceeds max_streams parameter (64), see the "
                                        "documentation if you wish to increase it\n",
                                        "'a.mov'");
  EXPECT_EQ(streams.detail, "the input 'a.mov' has more streams than the limit of 64");
  EXPECT_THAT(members(streams), testing::ElementsAre(testing::Pair("limit_streams", 64U)));
  // Numbers that cannot be read are left out.
  for (const char* text : {"exceeds specified max pixel count", "Picture size x exceeds specified max pixel count 5",
                           "Picture size 99999999999x9 exceeds specified max pixel count 5"}) {
    const Error other = ClassifyFailure(Stage::kProbe, 1, text, "'a'");
    EXPECT_EQ(other.detail, "the input 'a' has a picture with more pixels than --max-pixels allows") << text;
    EXPECT_TRUE(other.members.empty());
  }
}

TEST(Failure, AdviceOfTheToolsIsNotOurs) {
  EXPECT_EQ(TellingLine("[x @ 0x1] this exceeds that, see the documentation if you wish to increase it\n"),
            "this exceeds that");
}

TEST(Failure, OrdinaryFailuresAreNotMemoryNorDisk) {
  EXPECT_FALSE(SaysOutOfMemory("Unknown encoder 'libfoo'\n"));
  EXPECT_FALSE(SaysOutOfMemory(""));
  EXPECT_FALSE(SaysDiskFull("out.mp4: Permission denied\n"));
  EXPECT_FALSE(InputProblemOf("Unknown encoder 'libfoo'\n", "x").has_value());
  EXPECT_FALSE(InputProblemOf("", "x").has_value());
  EXPECT_FALSE(InputProblemOf("[IMGUTILS @ 0x7f] Picture size 0x0 is invalid\n", "x").has_value());
}

TEST(Failure, TextOfTheChildCannotBreakALine) {
  const std::string hostile = "bad \x1b[31m\x07 thing \xff\n";
  const Error error = ClassifyFailure(Stage::kWork, 1, hostile, "x");
  for (const char c : error.detail) EXPECT_TRUE(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  EXPECT_LT(ClassifyFailure(Stage::kWork, 1, std::string(100'000, 'a'), "x").detail.size(), 400U);
}

TEST(DecodeErrorLines, DropWhatHealthyFilesCause) {
  EXPECT_EQ(DecodeErrors(""), "");
  EXPECT_EQ(DecodeErrors("[h264 @ 0x563a9694f640] mmco: unref short failure\n    Last message repeated 2 times\n"
                         "[h264 @ 0x5] co located POCs unavailable\n"),
            "");
  EXPECT_EQ(
      DecodeErrors(
          "[h264 @ 0x5] mmco: unref short failure\n[h264 @ 0x5] error while decoding MB 41 99, bytestream 1902\n"
          "    Last message repeated 1 times\n"),
      "error while decoding MB 41 99, bytestream 1902\nLast message repeated 1 times");
}

TEST(TellingLineOf, SkipsWhatSaysNothing) {
  EXPECT_EQ(TellingLine("\nConversion failed!\n[libx264 @ 0x5] Error setting preset\n"), "Error setting preset");
  EXPECT_EQ(TellingLine("[notice] kept\n"), "[notice] kept");
  EXPECT_EQ(TellingLine(""), "");
}

}  // namespace
}  // namespace weir::media
