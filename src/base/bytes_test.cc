#include "base/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(BytesTest, SubtractionStopsAtZero) {
  EXPECT_EQ(Bytes(5) - Bytes(7), Bytes());
  EXPECT_EQ(Bytes(7) - Bytes(5), Bytes(2));
  EXPECT_EQ(Bytes::FromMib(-3), Bytes());
  EXPECT_EQ(Bytes::FromMib(1.5), Bytes::Kib(1536));
}

TEST(BytesTest, PrintsForPeople) {
  EXPECT_EQ(ToString(Bytes()), "0 B");
  EXPECT_EQ(ToString(Bytes(900)), "900 B");
  EXPECT_EQ(ToString(Bytes(1023)), "1023 B");
  EXPECT_EQ(ToString(Bytes::Kib(64)), "64 KiB");
  EXPECT_EQ(ToString(Bytes::FromMib(236.4)), "236.4 MiB");
  EXPECT_EQ(ToString(Bytes::Mib(1536)), "1.5 GiB");
  EXPECT_EQ(ToString(Bytes::Gib(3 * 1024)), "3.0 TiB");
}

TEST(BytesTest, NeverPrints1024OfAUnitThatHasALargerOne) {
  EXPECT_EQ(ToString(Bytes::Kib(1024) - Bytes(1)), "1.0 MiB");
  EXPECT_EQ(ToString(Bytes::Gib(1) - Bytes(1)), "1.0 GiB");
  EXPECT_EQ(ToString(Bytes::Gib(1024) - Bytes(1)), "1.0 TiB");
}

TEST(BytesTest, ReadsAmounts) {
  const auto read = [](std::string_view text) { return ParseBytes(text).value_or(Bytes(~std::uint64_t{0})); };
  EXPECT_EQ(read("0"), Bytes());
  EXPECT_EQ(read("65536"), Bytes(65536));
  EXPECT_EQ(read("64k"), Bytes::Kib(64));
  EXPECT_EQ(read("64K"), Bytes::Kib(64));
  EXPECT_EQ(read("256M"), Bytes::Mib(256));
  EXPECT_EQ(read("300MiB"), Bytes::Mib(300));
  EXPECT_EQ(read("1.5G"), Bytes::Mib(1536));
  EXPECT_EQ(read("1.5GiB"), Bytes::Mib(1536));
  EXPECT_EQ(read("2T"), Bytes::Gib(2048));
  EXPECT_EQ(read("9007199254740992"), Bytes(std::uint64_t{1} << 53U));
  EXPECT_EQ(read("8192T"), Bytes(std::uint64_t{1} << 53U));
}

class ParseBytesRefusalTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ParseBytesRefusalTest, Refuses) {
  const auto result = ParseBytes(GetParam());
  ASSERT_FALSE(result) << result->count();
  EXPECT_EQ(result.error().code, ErrorCode::kBadParameters);
  EXPECT_THAT(result.error().detail, ::testing::HasSubstr("not an amount of bytes"));
}

INSTANTIATE_TEST_SUITE_P(Texts, ParseBytesRefusalTest,
                         ::testing::Values("", " ", "M", "MiB", "-1", "-1M", "+1M", "1 M", " 1M", "1M ", "1.5", "1.",
                                           ".5G", "1..5G", "1.5.1G", "1e9", "0x10", "nan", "inf", "256MB", "256mib2",
                                           "256MIB", "1Mi", "1X", "1,5G", "9007199254740993", "8193T", "8192.5T",
                                           "18446744073709551616", "99999999999999999999999999T",
                                           "18014398509481984K"));

}  // namespace
}  // namespace weir
