#include "app/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace weir::app {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

json::value Log(const std::string& more = "") {
  return json::parse(R"({"lines":[
    {"time":"2026-01-05T10:00:00.000Z","type":"state","text":"queued"},
    {"time":"2026-01-05T10:00:03.250Z","type":"state","text":"running"},
    {"time":"2026-01-05T10:00:04.000Z","type":"decision","text":"started with 1 thread because of this"})" +
                     more + "]}");
}

TEST(Explain, AJobThatSucceededFromItsAcceptanceToItsEnd) {
  const auto job =
      json::parse(R"({"id":"0c3fq6kd2m8r5t1x","recipe":"crop","state":"succeeded","attempt":1,"checks":14,
    "decision":"started with 1 thread because of this","failure":null,"waiting":null,"plan":{"name":"1 thread"},
    "memory":{"lease_bytes":3,"measured_peak_bytes":2},
    "runs":[{"attempt":1,"plan":"1 thread","lease_bytes":209715200,"forecast_peak_bytes":199229440,
             "measured_peak_bytes":188743680,"cgroup_peak_bytes":null,"ending":"exited"}]})");
  const auto text =
      ExplanationAsText(job, Log(R"(,{"time":"2026-01-05T10:00:08.000Z","type":"state","text":"verifying"},
    {"time":"2026-01-05T10:00:08.500Z","type":"state","text":"publishing"},
    {"time":"2026-01-05T10:00:09.000Z","type":"state","text":"succeeded"})"),
                        {}, 80);
  EXPECT_EQ(
      text,
      "job 0c3fq6kd2m8r5t1x\n"
      "  recipe    crop\n"
      "  state     succeeded\n"
      "  from      2026-01-05T10:00:00.000Z\n"
      "      +0.000 s  accepted\n"
      "      +3.250 s  an attempt begins after 3.2 s in the queue\n"
      "      +4.000 s  started with 1 thread because of this\n"
      "      +8.000 s  its result is checked\n"
      "      +8.500 s  its result is put in place\n"
      "      +9.000 s  succeeded\n"
      "  ran       attempt 1, 1 thread: forecast 190.0 MiB, lease 200.0 MiB, measured 180.0 MiB (-5.3 % against the "
      "forecast, 90 % of the lease)\n"
      "  checks    14 passed\n");
}

TEST(Explain, AJobThatWasKilledAtItsLimitAndFailed) {
  const auto job = json::parse(R"({"id":"j","recipe":"crop","state":"failed","attempt":2,
    "failure":{"detail":"stopped at its memory limit"},"decision":"something newer",
    "runs":[{"attempt":1,"plan":"fast","lease_bytes":1048576,"forecast_peak_bytes":524288,"measured_peak_bytes":1048576,
             "ending":"oom_killed"},{"attempt":2,"plan":"lean","ending":"timed_out"}]})");
  const auto text =
      ExplanationAsText(job, Log(R"(,{"time":"2026-01-05T10:00:05.000Z","type":"state","text":"queued: it died: so"},
    {"time":"2026-01-05T10:00:06.500Z","type":"state","text":"running"},
    {"time":"2026-01-05T10:00:07.000Z","type":"state","text":"failed: stopped at its memory limit"})"),
                        {}, 80);
  EXPECT_THAT(
      text, AllOf(HasSubstr("+5.000 s  back in the queue: it died: so\n"),
                  HasSubstr("+6.500 s  an attempt begins after 1.5 s in the queue\n"),
                  HasSubstr("ran       attempt 1, fast: forecast 512 KiB, lease 1.0 MiB, measured 1.0 MiB (+100.0 % "
                            "against the forecast, 100 % of the lease); stopped at its limit\n"),
                  HasSubstr("ran       attempt 2, lean: ; timed_out\n"), Not(HasSubstr("failure  ")),
                  HasSubstr("decision  something newer\n")));
}

TEST(Explain, WhatAWaitingJobWaitsForAndWhatWouldHelp) {
  const auto with = [](const std::string& waiting) {
    return ExplanationAsText(json::parse(R"({"id":"j","state":"running","waiting":)" + waiting + "}"), Log(), {}, 80);
  };
  EXPECT_THAT(
      with(R"({"for":"memory","reason":"it needs 300.0 MiB","since":"2026-01-05T10:00:05.000Z",
                "until":"2026-01-05T10:00:15.000Z","required_bytes":314572800,"available_bytes":209715200,"holders":2})"),
      EndsWith("  waits     for memory since 2026-01-05T10:00:05.000Z: it needs 300.0 MiB\n"
               "  helps     a budget larger by 100.0 MiB (--memory), or the end of what holds the leases; from "
               "2026-01-05T10:00:15.000Z on it takes any way that fits\n"));
  EXPECT_THAT(with(R"({"for":"disk","reason":"r","since":null,"required_bytes":3145728,"available_bytes":1048576})"),
              EndsWith("  waits     for disk: r\n  helps     2.0 MiB more free space on the disk of its output\n"));
  EXPECT_THAT(with(R"({"for":"slot","reason":"r","since":null})"), HasSubstr("weir change j --priority 80"));
  EXPECT_THAT(with(R"({"for":"processor","reason":"r","since":null})"),
              HasSubstr("helps     the end of a job that works"));
  EXPECT_THAT(with(R"({"for":"time","reason":"r","since":null,"until":"2026-01-05T10:00:15.000Z"})"),
              HasSubstr("goes on at 2026-01-05T10:00:15.000Z"));
  EXPECT_THAT(with(R"({"for":"pause","reason":"it is paused","since":null})"), HasSubstr("weir resume j"));
  EXPECT_THAT(with(R"({"for":"drain","reason":"r","since":null})"), HasSubstr("weir undrain"));
  EXPECT_THAT(with(R"({"for":"pressure","reason":"r","since":null})"), HasSubstr("less memory in use"));
  // Of a later server.
  EXPECT_THAT(with(R"({"for":"weather","reason":"it rains","since":null})"),
              EndsWith("  waits     for weather: it rains\n"));
}

TEST(Explain, WhatWorksShowsHowFarItIs) {
  const auto job = json::parse(R"({"id":"j","state":"running","plan":{"name":"1 thread"},
    "memory":{"forecast_peak_bytes":2097152,"lease_bytes":4194304,"measured_peak_bytes":1048576}})");
  EXPECT_THAT(
      ExplanationAsText(job, Log(), {}, 80),
      HasSubstr("  now       1 thread: forecast 2.0 MiB, lease 4.0 MiB, measured so far 1.0 MiB (-50.0 % against "
                "the forecast, 25 % of the lease)\n"));
}

TEST(Explain, NonsenseIsLeftOutAndNothingReachesTheTerminalRaw) {
  for (const char* nonsense :
       {"null", "[]", "{}", "7", R"({"lines":7,"samples":{},"runs":[1,null],"waiting":[]})",
        R"({"lines":[{"time":"soon","type":"state","text":"queued"},7],"samples":[{"seconds":-1}]})"}) {
    const auto value = json::parse(nonsense);
    EXPECT_THAT(ExplanationAsText(value, value, value, 80), StartsWith("job "));
  }
  const auto text =
      ExplanationAsText(json::parse(R"({"id":"\u001b[2J","decision":"\u001b","failure":{"detail":"\u0007"}})"),
                        json::parse(R"({"lines":[{"time":"\u001b","type":"note","text":"\u001b[31m"}]})"), {}, 80);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\x07"))));
}

json::value Timeline(const std::vector<std::pair<double, int>>& used, int lease) {
  json::array samples;
  for (const auto& [seconds, mib] : used) {
    samples.push_back(
        json::object{{"seconds", seconds}, {"resident_bytes", mib << 20}, {"lease_bytes", lease << 20}});
  }
  return json::object{{"attempt", 1}, {"samples", samples}};
}

TEST(MemoryChart, UsedAgainstAllowed) {
  EXPECT_THAT(MemoryChart(Timeline({{0, 25}, {0.25, 50}, {0.5, 100}, {1, 75}}, 100), 80, 4),
              ElementsAre(" 100.0 MiB |--# -",  //
                          "           |  # #",  //
                          "           | ## #",  //
                          "           |### #",  // nothing ran from 0.75 on
                          "         0 +-----", "            from 0.0 to 1.2 s; # used, - lease"));
}

TEST(MemoryChart, ManySamplesBecomeFewColumnsAndKeepTheirPeak) {
  std::vector<std::pair<double, int>> used;
  for (int i = 0; i < 1000; ++i) {
    used.emplace_back(i * 0.5, i == 700 ? 80 : 10);
  }
  const auto lines = MemoryChart(Timeline(used, 80), 64, 8);
  ASSERT_THAT(lines, SizeIs(10));
  for (const auto& line : lines) {
    EXPECT_LE(line.size(), 64U);
  }
  EXPECT_THAT(lines.front(), HasSubstr("#"));
  EXPECT_EQ(std::count(lines.front().begin(), lines.front().end(), '#'), 1);
  EXPECT_THAT(MemoryChart(Timeline({{3, 7}}, 7), 0, 2), SizeIs(4));
}

TEST(MemoryChart, WithoutSamplesThereIsNone) {
  EXPECT_THAT(MemoryChart(Timeline({}, 1), 80, 8), IsEmpty());
  EXPECT_THAT(MemoryChart(Timeline({{0, 0}}, 0), 80, 8), IsEmpty());
  EXPECT_THAT(MemoryChart({}, 80, 8), IsEmpty());
  EXPECT_THAT(MemoryChart(Timeline({{0, 1}, {1, 1}}, 1), 80, 0), IsEmpty());
}

}  // namespace
}  // namespace weir::app
