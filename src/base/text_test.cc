#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ParseTest, UnsignedIsStrict) {
  EXPECT_EQ(ParseUnsigned("0"), 0U);
  EXPECT_EQ(ParseUnsigned("18446744073709551615"), ~std::uint64_t{0});
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616", "1a"}) {
    EXPECT_FALSE(ParseUnsigned(text)) << text;
  }
}

TEST(ParseTest, SignedIsStrict) {
  EXPECT_EQ(ParseSigned("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(ParseSigned("+7"), 7);
  for (const char* text : {"", "-", "+", "+-1", "--1", "9223372036854775808", "1-"}) {
    EXPECT_FALSE(ParseSigned(text)) << text;
  }
}

TEST(ParseTest, DecimalIsStrict) {
  EXPECT_EQ(ParseDecimal("1.5"), 1.5);
  EXPECT_EQ(ParseDecimal("-0.25"), -0.25);
  EXPECT_EQ(ParseDecimal("+3"), 3.0);
  for (const char* text :
       {"", ".", "1.", ".5", "1e3", "inf", "nan", "-inf", "1.5x", " 1", "1 ", "--1", "1.2.3", "0x1p3"}) {
    EXPECT_FALSE(ParseDecimal(text)) << text;
  }
  EXPECT_FALSE(ParseDecimal(std::string(400, '9')));
}

TEST(QuotedTest, LeavesOrdinaryNamesAlone) {
  EXPECT_EQ(Quoted("holiday film.mp4"), "'holiday film.mp4'");
  EXPECT_EQ(Quoted("Überraschung 日本 🎬.mkv"), "'Überraschung 日本 🎬.mkv'");
  EXPECT_EQ(Quoted(""), "''");
}

TEST(QuotedTest, EscapesWhatCouldDoHarm) {
  EXPECT_EQ(Quoted("a\nb"), R"('a\nb')");
  EXPECT_EQ(Quoted("a\r\tb"), R"('a\r\tb')");
  EXPECT_EQ(Quoted("\x1b[2J"), R"('\x1b[2J')");
  EXPECT_EQ(Quoted("it's"), R"('it\'s')");
  EXPECT_EQ(Quoted("say \"x\""), R"('say \"x\"')");
  EXPECT_EQ(Quoted("a\\nb"), R"('a\\nb')");
  EXPECT_EQ(Quoted(std::string_view("a\0b", 3)), R"('a\x00b')");
  EXPECT_EQ(Quoted("\x7f"), R"('\x7f')");
  EXPECT_EQ(Quoted("\xc2\x9b"
                   "2J"),
            R"('\u009b2J')");                                      // CSI as one C1 character
  EXPECT_EQ(Quoted("4pm.\xe2\x80\xaegpj"), R"('4pm.\u202egpj')");  // right-to-left override
}

TEST(QuotedTest, EscapesInvalidUtf8ByteByByte) {
  EXPECT_EQ(Quoted("a\xff\xfe"), R"('a\xff\xfe')");
  EXPECT_EQ(Quoted("\xc0\xaf"), R"('\xc0\xaf')");                  // overlong
  EXPECT_EQ(Quoted("\xed\xa0\x80"), R"('\xed\xa0\x80')");          // surrogate
  EXPECT_EQ(Quoted("\xf4\x90\x80\x80"), R"('\xf4\x90\x80\x80')");  // above U+10FFFF
  EXPECT_EQ(Quoted("x\xe2\x82"), R"('x\xe2\x82')");                // cut short
  EXPECT_EQ(Quoted("\xe2"
                   "abc"),
            R"('\xe2abc')");
}

TEST(QuotedTest, CutsLongNamesBetweenCharacters) {
  EXPECT_EQ(Quoted(std::string(200, 'a')), "'" + std::string(200, 'a') + "'");
  EXPECT_EQ(Quoted(std::string(201, 'a')), "'" + std::string(200, 'a') + "...'");
  EXPECT_EQ(Quoted(std::string(199, 'a') + "€€"), "'" + std::string(199, 'a') + "...'");
}

TEST(PrintableTest, KeepsQuotedNamesAsTheyAre) {
  const std::string sentence = "cannot read " + Quoted("a\nb'c\\\x1b\xff");
  EXPECT_EQ(Printable(sentence), sentence);
}

TEST(PrintableTest, NewlinesOnRequest) {
  EXPECT_EQ(Printable("a\nb"), "a\\nb");
  EXPECT_EQ(Printable("a\nb\x1b", true), "a\nb\\x1b");
}

TEST(PrintableTest, RandomBytesNeverYieldControlsAndEscapingTwiceChangesNothing) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& c : bytes) {
      c = static_cast<char>(random() & 0xFFU);
    }
    const std::string shown = Printable(bytes);
    for (const char c : shown) {
      ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    }
    ASSERT_EQ(Printable(shown), shown);
    ASSERT_LE(Quoted(bytes).size(), 4U * 200 + 5);
  }
}

TEST(NearestNameTest, FindsTypingErrorsOnly) {
  const std::vector<std::string> names{"--memory", "--force", "--fit", "transcode", "trim"};
  EXPECT_EQ(NearestName("--memroy", names), "--memory");
  EXPECT_EQ(NearestName("trancode", names), "transcode");
  EXPECT_EQ(NearestName("trmi", names), "trim");
  EXPECT_EQ(NearestName("trim", names), "trim");
  EXPECT_EQ(NearestName("weather", names), std::nullopt);
  EXPECT_EQ(NearestName("x", names), std::nullopt);
  EXPECT_EQ(NearestName("", names), std::nullopt);
  EXPECT_EQ(NearestName(std::string(100000, 'a'), names), std::nullopt);
}

TEST(SplitLinesTest, TakesBothLineEndingsAndNoLastEmptyLine) {
  EXPECT_THAT(SplitLines("a\nb\r\n\nc"), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(SplitLines("a\n"), ElementsAre("a"));
  EXPECT_THAT(SplitLines("\n"), ElementsAre(""));
  EXPECT_THAT(SplitLines(""), IsEmpty());
}

TEST(TrimTest, BothEnds) {
  EXPECT_EQ(Trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(Trim(" \n "), "");
  EXPECT_EQ(Trim(""), "");
}

TEST(EqualsIgnoreCaseTest, AsciiOnly) {
  EXPECT_TRUE(EqualsIgnoreCase(".MP4", ".mp4"));
  EXPECT_FALSE(EqualsIgnoreCase(".mp4", ".mp"));
  EXPECT_FALSE(EqualsIgnoreCase("[", "{"));
}

}  // namespace
}  // namespace weir
