#include "media/json_text.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace weir::media {
namespace {

namespace json = boost::json;

std::string Number(double number) { return JsonText(json::value(number)); }

TEST(JsonText, NumbersAreWrittenTheOrdinaryWay) {
  for (const auto& [number, text] :
       {std::pair{2.0, "2"}, std::pair{720.0, "720"}, std::pair{-3.0, "-3"}, std::pair{0.0, "0"},
        std::pair{-0.0, "0"}, std::pair{0.5, "0.5"}, std::pair{5.333329999999999e-2, "0.0533333"},
        std::pair{0.1 + 0.2, "0.3"}, std::pair{24000.0 / 1001, "23.976024"}, std::pair{2.0 / 3, "0.666666667"},
        std::pair{-2.0 / 3, "-0.666666667"}, std::pair{86400.123456, "86400.123456"}, std::pair{999.9999999, "1000"},
        std::pair{1e14, "100000000000000"}, std::pair{1234567890123.456, "1234567890123.46"},
        std::pair{0.000001, "0.000001"}, std::pair{1e-9, "1e-09"}, std::pair{1e300, "1e+300"}}) {
    EXPECT_EQ(Number(number), text);
  }
}

TEST(JsonText, WhatIsNoNumberIsNull) {
  for (const double number : {std::nan(""), std::numeric_limits<double>::infinity(), -HUGE_VAL}) {
    EXPECT_EQ(Number(number), "null");
  }
}

TEST(JsonText, NumbersReadBackAsTheyWereRounded) {
  std::mt19937_64 dice(7);
  std::uniform_real_distribution<double> exponent(-12, 20);
  for (int i = 0; i < 20'000; ++i) {
    const double number = std::pow(10.0, exponent(dice)) * (i % 2 == 0 ? 1 : -1);
    const std::string text = Number(number);
    const double read = json::parse(text).to_number<double>();
    EXPECT_LE(std::abs(read - number), std::abs(number) * 1e-8) << text;
    EXPECT_EQ(Number(read), text);
  }
}

TEST(JsonText, MicrosecondsOfADayAreExact) {
  std::mt19937_64 dice(8);
  std::uniform_int_distribution<std::int64_t> micros(0, std::int64_t{86'400} * 1'000'000);
  for (int i = 0; i < 20'000; ++i) {
    const std::int64_t time = micros(dice);
    const double read = json::parse(Number(static_cast<double>(time) / 1e6)).to_number<double>();
    EXPECT_EQ(std::llround(read * 1e6), time);
  }
}

TEST(JsonText, TheRestIsAsBoostWritesIt) {
  std::string bytes;
  for (int c = 0; c < 256; ++c) {
    bytes += static_cast<char>(c);
  }
  const json::object document{
      {"", nullptr},
      {bytes, bytes},
      {"flags", json::array{true, false}},
      {"whole",
       json::array{0, -1, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max()}},
      {"empty", json::array{json::object(), json::array(), ""}},
      {"deep", json::array{json::array{json::object{{"a", json::object{{"b", "c\"d\\e/\n"}}}}}}},
      {"words", "Grüße, 世界, \U0001F600"}};
  EXPECT_EQ(JsonText(document), json::serialize(document));
  EXPECT_EQ(JsonText(json::value(document)), json::serialize(document));
  EXPECT_EQ(JsonText(json::value("x")), R"("x")");
}

}  // namespace
}  // namespace weir::media
