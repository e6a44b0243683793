// The parts of the room that are functions of their arguments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "http/access.h"
#include "http/answer.h"
#include "http/events.h"
#include "http/range.h"
#include "http/target.h"

namespace weir::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using namespace std::chrono_literals;

TEST(Target, IsTakenApartAndDecoded) {
  const auto target = ParseTarget("/v1/jobs/a%20b%C3%A9/?limit=5&x&y=a+b%26c&&z=");
  ASSERT_TRUE(target) << target.error().detail;
  EXPECT_THAT(target->path, ElementsAre("v1", "jobs", "a b\u00e9"));
  EXPECT_THAT(target->query, ElementsAre(Pair("limit", "5"), Pair("x", ""), Pair("y", "a b&c"), Pair("z", "")));
  EXPECT_THAT(ParseTarget("/")->path, IsEmpty());
  EXPECT_THAT(ParseTarget("/a/")->path, ElementsAre("a"));
  EXPECT_THAT(ParseTarget("/a+b")->path, ElementsAre("a+b"));
  EXPECT_THAT(ParseTarget("/?a=b/../c")->query, ElementsAre(Pair("a", "b/../c")));
}

TEST(Target, RefusesWhatCouldMeanSomethingElse) {
  for (const std::string target :
       {"",      "*",          "a",       "http://x/",     "//",        "//a",     "/a//b",
        "/a//",  "/.",         "/..",     "/a/../b",       "/%2e%2e/b", "/a%2Fb",  "/a%2fb",
        "/a%00", "/%",         "/%2",     "/%zz",          "/a#b",      "/a b",    "/\xC3\xA9",
        "/%C3",  "/%ED%A0%80", "/%C0%AF", "/%F4%90%80%80", "/?a=%00",   "/?%FF=1", "/?a=%2"}) {
    const auto parsed = ParseTarget(target);
    ASSERT_FALSE(parsed) << target;
    EXPECT_EQ(parsed.error().code, ErrorCode::kMalformed);
  }
  EXPECT_FALSE(ParseTarget(std::string("/a\0b", 4)));
}

TEST(Target, HasBounds) {
  std::string query = "/?";
  for (std::size_t i = 0; i < kMostQueryParameters; ++i) query += "a&";
  EXPECT_EQ(ParseTarget(query)->query.size(), kMostQueryParameters);
  EXPECT_FALSE(ParseTarget(query + "a"));
  std::string path;
  for (std::size_t i = 0; i < kMostSegments; ++i) path += "/a";
  EXPECT_TRUE(ParseTarget(path));
  EXPECT_FALSE(ParseTarget(path + "/a"));
}

Sites SitesOf(const std::string& address, std::vector<std::string> hosts = {},
              std::vector<std::string> origins = {}) {
  ServerSettings settings;
  settings.hosts = std::move(hosts);
  settings.origins = std::move(origins);
  return {settings, address, 4545};
}

TEST(Sites, OnlyOurNamesAreHosts) {
  const Sites sites = SitesOf("127.0.0.1", {"Weir.example"});
  for (const char* host : {"127.0.0.1", "127.0.0.1:4545", "localhost", "LOCALHOST:80", "[::1]:4545", "weir.example",
                           "weir.example:443"}) {
    EXPECT_TRUE(sites.IsOurHost(host)) << host;
  }
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:", "127.0.0.1:x",
        "127.0.0.1:99999", "[::1", "10.0.0.1", ":4545", "localhost:80:80", "user@localhost"}) {
    EXPECT_FALSE(sites.IsOurHost(host)) << host;
  }
  EXPECT_TRUE(SitesOf("0.0.0.0").IsOurHost("10.0.0.1:4545"))
      << "a literal address is no name that somebody could bend";
  EXPECT_FALSE(SitesOf("0.0.0.0").IsOurHost("evil.example"));
}

TEST(Sites, OriginsAreComparedWhole) {
  const Sites sites = SitesOf("127.0.0.1", {"weir.example"}, {"https://app.example"});
  for (const char* origin : {"http://127.0.0.1:4545", "http://localhost:4545", "http://[::1]:4545",
                             "https://weir.example", "https://app.example"}) {
    EXPECT_TRUE(sites.IsOurOrigin(origin)) << origin;
  }
  for (const char* origin : {"null", "", "http://localhost", "http://localhost:3000", "https://evil.example",
                             "https://app.example.evil", "http://app.example", "file://"}) {
    EXPECT_FALSE(sites.IsOurOrigin(origin)) << origin;
  }
}

TEST(Access, TokensAreFoundByTheirDigest) {
  const std::vector<Token> tokens{{.name = "ci", .sha256 = ToHex(Sha256("secret-1")), .scopes = kRead},
                                  {.name = "me", .sha256 = ToHex(Sha256("secret-2")), .scopes = kAllScopes}};
  const auto who = [&](std::string name, std::string value) {
    Request request;
    request.headers.emplace_back(std::move(name), std::move(value));
    const auto caller = Identify(request, tokens);
    return caller ? caller->token_name + std::to_string(caller->scopes) : std::string("nobody");
  };
  EXPECT_EQ(who("authorization", "Bearer secret-1"), "ci1");
  EXPECT_EQ(who("authorization", "bearer  secret-2"), "me7");
  EXPECT_EQ(who("x-api-key", "secret-2"), "me7");
  EXPECT_EQ(who("authorization", "Bearer secret-3"), "nobody");
  EXPECT_EQ(who("authorization", "Bearer "), "nobody");
  EXPECT_EQ(who("authorization", "Basic secret-1"), "nobody");
  EXPECT_EQ(who("authorization", "Bearer " + ToHex(Sha256("secret-1"))), "nobody") << "the digest is no secret";
  EXPECT_EQ(who("x-api-key", ""), "nobody");
}

TEST(Access, OnlyLoopbackIsOpenToAll) {
  EXPECT_TRUE(MayListen("127.0.0.1", false));
  EXPECT_TRUE(MayListen("127.9.9.9", false));
  EXPECT_TRUE(MayListen("::1", false));
  EXPECT_EQ(MayListen("0.0.0.0", false).error().code, ErrorCode::kForbidden);
  EXPECT_EQ(MayListen("::", false).error().code, ErrorCode::kForbidden);
  EXPECT_EQ(MayListen("192.168.1.1", false).error().code, ErrorCode::kForbidden);
  EXPECT_TRUE(MayListen("0.0.0.0", true));
  EXPECT_EQ(MayListen("localhost", true).error().code, ErrorCode::kBadParameters);
}

TEST(RateLimit, HasABurstAndFillsUpAgain) {
  ManualClock clock;
  RateLimit rate(3);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(rate.Take("a", clock.Now()));
  EXPECT_EQ(rate.Take("a", clock.Now()), 1U);
  EXPECT_FALSE(rate.Take("b", clock.Now())) << "another caller has its own";
  clock.Advance(334ms);
  EXPECT_FALSE(rate.Take("a", clock.Now()));
  EXPECT_TRUE(rate.Take("a", clock.Now()));
  clock.Advance(1h);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(rate.Take("a", clock.Now()));
  EXPECT_TRUE(rate.Take("a", clock.Now())) << "never more than the burst";
}

TEST(RateLimit, KeepsAFewCallersAndForgetsTheOldest) {
  const SteadyTime now{};
  RateLimit rate(1, 10);
  EXPECT_FALSE(rate.Take("first", now));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(rate.Take("caller " + std::to_string(i), now));
    EXPECT_TRUE(rate.Take("first", now)) << "whoever keeps calling is not forgotten";
    EXPECT_LE(rate.callers(), 10U);
  }
  EXPECT_EQ(CallerKey("2001:db8::1", "t"), CallerKey("2001:db8::ffff", "t"));
  EXPECT_NE(CallerKey("2001:db8:0:1::1", "t"), CallerKey("2001:db8::1", "t"));
  EXPECT_NE(CallerKey("10.0.0.1", "t"), CallerKey("10.0.0.2", "t"));
  EXPECT_NE(CallerKey("10.0.0.1", "t"), CallerKey("10.0.0.1", "u"));
}

std::string PartOf(std::vector<std::pair<std::string, std::string>> headers, std::uint64_t size = 1000,
                   Method method = Method::kGet) {
  Request request;
  request.method = method;
  request.headers = std::move(headers);
  const FilePart part = ChoosePart(request, Bytes(size), "\"tag\"");
  return std::to_string(part.status) + " " + std::to_string(part.first) + "+" + std::to_string(part.count);
}

TEST(Range, PartsAreChosenByTheStandard) {
  EXPECT_EQ(PartOf({}), "200 0+1000");
  EXPECT_EQ(PartOf({{"range", "bytes=0-0"}}), "206 0+1");
  EXPECT_EQ(PartOf({{"range", "bytes=990-"}}), "206 990+10");
  EXPECT_EQ(PartOf({{"range", "bytes=990-5000"}}), "206 990+10");
  EXPECT_EQ(PartOf({{"range", "bytes=-10"}}), "206 990+10");
  EXPECT_EQ(PartOf({{"range", "bytes=-5000"}}), "206 0+1000");
  EXPECT_EQ(PartOf({{"range", "bytes=1000-"}}), "416 0+0");
  EXPECT_EQ(PartOf({{"range", "bytes=-0"}}), "416 0+0");
  EXPECT_EQ(PartOf({{"range", "bytes=0-"}}, 0), "416 0+0");
  for (const char* odd : {"bytes=5-1", "bytes=-", "bytes=a-b", "bytes=1-2,5-6", "lines=1-2", "bytes", "",
                          "bytes=99999999999999999999-"}) {
    EXPECT_EQ(PartOf({{"range", odd}}), "200 0+1000") << odd;
  }
  EXPECT_EQ(PartOf({{"range", "bytes=0-0"}}, 1000, Method::kHead), "200 0+1000");
}

TEST(Range, ConditionsCompareTags) {
  EXPECT_EQ(PartOf({{"range", "bytes=0-0"}, {"if-range", "\"tag\""}}), "206 0+1");
  EXPECT_EQ(PartOf({{"range", "bytes=0-0"}, {"if-range", "\"old\""}}), "200 0+1000");
  EXPECT_EQ(PartOf({{"range", "bytes=0-0"}, {"if-range", "W/\"tag\""}}), "200 0+1000");
  EXPECT_EQ(PartOf({{"if-none-match", "\"tag\""}}), "304 0+0");
  EXPECT_EQ(PartOf({{"if-none-match", "\"a\", W/\"tag\" ,\"b\""}, {"range", "bytes=0-0"}}), "304 0+0");
  EXPECT_EQ(PartOf({{"if-none-match", "*"}}), "304 0+0");
  EXPECT_EQ(PartOf({{"if-none-match", "\"other\""}}), "200 0+1000");
}

TEST(Problem, SaysWhatTheErrorTableSays) {
  const Response response = Problem(Error{.code = ErrorCode::kOverBudget, .detail = "needs \"more\"\n\x01\xFF"}
                                        .With("required_bytes", std::uint64_t{300000000})
                                        .With("name", std::string("a\"b\xFF"))
                                        .From({.code = ErrorCode::kSystem, .detail = "why"}),
                                    "/v1/jobs");
  EXPECT_EQ(response.status, 422);
  EXPECT_THAT(response.headers, testing::Contains(Pair("Content-Type", "application/problem+json")));
  EXPECT_EQ(response.body,
            "{\"type\":\"https://weir.invalid/problems/over-budget\",\"title\":\"Does not fit the memory "
            "budget\",\"status\":422,"
            "\"detail\":\"needs \\\"more\\\"\\\\n\\\\x01\\\\xff: "
            "why\",\"instance\":\"/v1/jobs\",\"required_bytes\":300000000,"
            "\"name\":\"a\\\"b\xEF\xBF\xBD\"}\n");
  EXPECT_THAT(Problem({.code = ErrorCode::kUnauthorized}, "/").headers,
              testing::Contains(Pair("WWW-Authenticate", HasSubstr("Bearer"))));
  const Response busy =
      Problem(Error{.code = ErrorCode::kBusy, .detail = "full"}.With("retry_after_seconds", 7), "/");
  EXPECT_THAT(busy.headers, testing::Contains(Pair("Retry-After", "7")));
}

TEST(Json, IsAlwaysUtf8) {
  EXPECT_EQ(ToJson("a\tb\x7F\u00e9\U0001F600"), "\"a\\u0009b\\u007f\u00e9\U0001F600\"");
  EXPECT_EQ(ToJson("\xC3"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(ToJson("\xF0\x9F\x98"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(Answer, HeadersCannotBreakTheBlock) {
  Response response;
  response.headers = {{"X-Good", "a"},
                      {"X-Bad", "a\r\nX-Injected: b"},
                      {"Content-Length", "77"},
                      {"Bad Name", "x"},
                      {"connection", "close"}};
  std::string head;
  AppendHead(head, response, {.date = "D", .length = 3});
  EXPECT_EQ(head, "HTTP/1.1 200 OK\r\nDate: D\r\nX-Good: a\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(ToHttpDate(WallTime(784111777s)), "Sun, 06 Nov 1994 08:49:37 GMT");
}

std::vector<std::string> EventsOf(std::string_view text, std::size_t step) {
  std::vector<std::string> seen;
  EventParser parser;
  for (std::size_t at = 0; at < text.size(); at += step) {
    EXPECT_TRUE(
        parser.Feed(text.substr(at, step), [&](std::string_view id, std::string_view type, std::string_view data) {
          seen.push_back(std::string(id) + "|" + std::string(type) + "|" + std::string(data));
          return true;
        }));
  }
  return seen;
}

TEST(EventParser, PiecesGiveWhatTheWholeGives) {
  constexpr std::string_view kText =
      "\xEF\xBB\xBF: comment\n\nid: 1\nevent: job\ndata: a\ndata:b\n\ndata\r\n\r\nevent: lost\n\nid: 2\rdata: "
      "c\r\rid:\ndata: d\nx: y\n\ndata: cut";
  for (const std::size_t step : {1U, 2U, 3U, 7U, 1000U}) {
    EXPECT_THAT(EventsOf(kText, step), ElementsAre("1|job|a\nb", "1|message|", "2|message|c", "|message|d")) << step;
  }
}

TEST(EventParser, StopsWhenToldAndHasABound) {
  EventParser parser(Bytes(100));
  int seen = 0;
  const auto once = [&](auto, auto, auto) { return ++seen < 1; };
  EXPECT_EQ(*parser.Feed("data: a\n\ndata: b\n\n", once), false);
  EXPECT_EQ(seen, 1);
  EventParser flooded(Bytes(100));
  Result<bool> fed = true;
  for (int i = 0; i < 50 && fed; ++i) fed = flooded.Feed("data: xxxxxxxx\n", once);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace weir::http
