#include "app/top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

json::value System(int requests = 100, int children = 1) {
  auto system = json::parse(R"({"version":"1.2.3","uptime_seconds":7300,"ready":true,"draining":true,
    "memory":{"budget_bytes":1073741824,"own_bytes":10485760,"leased_bytes":536870912,"available_bytes":526385152,
              "backend":"cgroup","own_pss_bytes":7340032},
    "running":[],"queue":{"waiting":12,"running":2,"needs_waiting":1,"limit":10000,"slots":4},
    "jobs":{"succeeded":40,"failed":1,"cancelled":0},"requests":{"in_flight":1,"connections":5}})");
  system.at("requests").as_object()["total"] = requests;
  for (int i = 0; i < children; ++i) {
    system.at("running").as_array().push_back(json::parse(
        R"({"job":"job)" + std::to_string(i) +
        R"(","recipe":"crop","plan":"fast","lease_bytes":209715200,"memory_bytes":104857600,"seconds":65})"));
  }
  return system;
}

TEST(Top, EverythingThatCountsIsShown) {
  const auto text = SystemAsText(System(), {}, 0, 0);
  EXPECT_THAT(text, AllOf(HasSubstr("weir 1.2.3, up 2 h 1 min, ready, draining"),
                          HasSubstr("[###############...............] 512.0 MiB leased of 1.0 GiB"),
                          HasSubstr("7.0 MiB"), HasSubstr("cgroup"), HasSubstr("12 of 10000 wait"),
                          HasSubstr("2 of 4 slots taken"), HasSubstr("40 succeeded")));
  EXPECT_THAT(text, AllOf(HasSubstr("job0"), HasSubstr("100.0 MiB"), HasSubstr("200.0 MiB"), HasSubstr("50 %"),
                          HasSubstr("65 s")));
  EXPECT_THAT(SystemAsText(System(1, 0), {}, 0, 0), HasSubstr("no child runs"));
}

TEST(Top, WhatIsWaitedForIsSaidOnceForEachReason) {
  auto system = System(1, 4);
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), Not(HasSubstr("waits")));
  auto& running = system.at("running").as_array();
  running[0].as_object()["waiting"] = nullptr;
  running[1].as_object()["waiting"] = json::object{{"for", "memory"}, {"reason", "it needs 3.0 MiB\x1b"}};
  running[2].as_object()["waiting"] = json::object{{"for", "processor"}, {"reason", "0 of 2 are idle"}};
  running[3].as_object()["waiting"] = json::object{{"for", "memory"}, {"reason", "it needs 9.0 MiB"}};
  const auto text = SystemAsText(system, {}, 0, 0);
  EXPECT_THAT(text, AllOf(HasSubstr("\nwaits     2 for memory: it needs 3.0 MiB"),
                          HasSubstr(", 1 for processor: 0 of 2 are idle\n"), Not(HasSubstr("9.0 MiB")),
                          Not(HasSubstr("\x1b"))));
}

TEST(Top, TheLevelOfPressureIsShownWhereThereIsOne) {
  auto system = System();
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), Not(HasSubstr("pressure")));
  auto& memory = system.at("memory").as_object();
  memory["level"] = "elevated";
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), HasSubstr("\npressure  elevated\n"));
  memory["reason"] = "the tree uses 72 % of the budget";
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), HasSubstr("\npressure  elevated: the tree uses 72 % of the budget\n"));
  memory["level"] = 3;
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), Not(HasSubstr("pressure")));
}

TEST(Top, TheTreeIsShownBesideTheBudget) {
  auto system = System();
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), HasSubstr("tree ? of 1.0 GiB"));
  system.at("memory").as_object()["tree_bytes"] = 314572800;
  EXPECT_THAT(SystemAsText(system, {}, 0, 0),
              HasSubstr("\n          tree 300.0 MiB of 1.0 GiB, 502.0 MiB available"));
}

TEST(Top, WhatIsDoneAboutMemoryIsShown) {
  auto system = System();
  auto& memory = system.at("memory").as_object();
  memory["level"] = "high";
  memory["reason"] = "the machine has little";
  system.as_object()["pressure"] = json::parse(R"({"held":false,"uses":[],"warnings":[]})");
  EXPECT_THAT(SystemAsText(system, {}, 0, 0),
              AllOf(HasSubstr("\npressure  high: the machine has little\n"), Not(HasSubstr("warnings"))));
  system.as_object()["pressure"] = json::parse(R"({"held":true,
    "uses":[{"time":"2026-11-30T15:30:21.000Z","name":"sweep","freed_bytes":0,"undone":false},
            {"time":"2026-11-30T15:30:22.123Z","name":"trim caches\u001b","freed_bytes":3145728,"undone":false}],
    "warnings":["job a is stuck","job b is stuck","job c is stuck","job d is stuck"]})");
  const auto text = SystemAsText(system, {}, 0, 0);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("high: the machine has little, nothing new begins, last remedy at 15:30:22 UTC: trim "
                      "caches"),
            HasSubstr(", which freed 3.0 MiB\n"), HasSubstr("\nwarnings  job a is stuck\n          job b is stuck\n"),
            Not(HasSubstr("\x1b")), HasSubstr("\n          4 in all\n"), Not(HasSubstr("job d"))));
  system.at("pressure").at("uses").as_array()[1].as_object()["undone"] = true;
  EXPECT_THAT(SystemAsText(system, {}, 0, 0), HasSubstr("UTC: no more: trim caches"));
}

TEST(Top, RatesAreDifferencesBetweenTwoLooks) {
  const auto before = System(100);
  EXPECT_THAT(SystemAsText(System(150), {.before = &before, .seconds = 2}, 0, 0), HasSubstr("25.0 requests/s"));
  EXPECT_THAT(SystemAsText(System(50), {.before = &before, .seconds = 2}, 0, 0), Not(HasSubstr("requests/s")));
  EXPECT_THAT(SystemAsText(System(150), {.before = &before, .seconds = 0}, 0, 0), Not(HasSubstr("requests/s")));
}

TEST(Top, ItFitsTheTerminal) {
  const auto text = SystemAsText(System(1, 50), {}, 40, 12);
  const auto lines = SplitLines(text);
  EXPECT_THAT(lines, SizeIs(12));
  for (const auto line : lines) {
    EXPECT_LE(line.size(), 40U);
  }
  EXPECT_THAT(text, HasSubstr("... 50 in all"));
}

TEST(Top, NothingMeasuredIsCutAtEightyColumns) {
  auto system = System(1000, 2);
  auto& memory = system.at("memory").as_object();
  memory["backend"] = "rlimit-data";
  memory["available_bytes"] = 1'072'693'248;
  for (auto& child : system.at("running").as_array()) {
    auto& members = child.as_object();
    members["job"] = "abcdefghjkmn2345";
    members["recipe"] = "thumbnail";
    members["plan"] = "thrifty, 2 slice threads, lookahead 4";
    members["memory_bytes"] = 1'072'693'248;
    members["lease_bytes"] = 1'073'000'000;
    members["seconds"] = 86'000;
  }
  const auto before = System(100, 0);
  for (const unsigned columns : {79U, 80U, 81U, 95U, 100U, 200U}) {
    const auto text = SystemAsText(system, {.before = &before, .seconds = 1}, columns, 0);
    for (const auto line : SplitLines(text)) {
      EXPECT_LE(line.size(), columns) << line;
    }
    EXPECT_THAT(text, AllOf(HasSubstr("limit kept by rlimit-data\n"), HasSubstr("   USED          FOR\n"),
                            HasSubstr("  100 %  23 h 53 min\n"), HasSubstr("1023.0 MiB  1023.3 MiB  "),
                            HasSubstr("connections\n"), HasSubstr("thumbnail")));
  }
  const auto narrow = SystemAsText(system, {}, 80, 0);
  EXPECT_THAT(narrow,
              AllOf(HasSubstr("\nabcdef..  thumbnail  thrifty, 2 sl..  "), Not(HasSubstr("abcdefghjkmn2345"))));
  const auto wide = SystemAsText(system, {}, 0, 0);
  EXPECT_THAT(wide, HasSubstr("\nabcdefghjkmn2345  thumbnail   thrifty, 2 slice threads, lookahead 4  1023.0 MiB"));
  EXPECT_THAT(wide, HasSubstr("), limit kept by rlimit-data\n"));
}

struct Stage {
  ClientStreams Streams(bool interactive, std::size_t frames) {
    ClientStreams streams;
    streams.print = [this, frames](std::string_view text) {
      printed.emplace_back(text);
      return printed.size() < frames;
    };
    streams.tell = [](std::string_view) {};
    streams.output = {.interactive = interactive, .columns = 100, .rows = 30};
    streams.sleep = [this](std::chrono::milliseconds time) { slept += time; };
    return streams;
  }
  std::vector<std::string> printed;
  std::chrono::milliseconds slept{0};
};

TEST(Top, WithoutATerminalItLooksOnce) {
  for (const auto& [interactive, once] : {std::pair(false, false), std::pair(true, true)}) {
    Stage stage;
    const auto code = RunTop([] { return Result<json::value>(System()); }, stage.Streams(interactive, 9), once);
    ASSERT_TRUE(code);
    EXPECT_THAT(stage.printed, SizeIs(1));
    EXPECT_THAT(stage.printed[0], Not(HasSubstr("\x1b")));
  }
}

TEST(Top, OnATerminalItLooksEverySecondAndWaitsForAServerThatIsAway) {
  Stage stage;
  int looks = 0;
  const auto look = [&]() -> Result<json::value> {
    if (++looks == 2) {
      return Fail(ErrorCode::kUnreachable, "nobody is there");
    }
    return System(looks);
  };
  const auto code = RunTop(look, stage.Streams(true, 3), false);
  EXPECT_EQ(code.error().code, ErrorCode::kSystem) << "the terminal is gone";
  ASSERT_THAT(stage.printed, SizeIs(3));
  EXPECT_TRUE(stage.printed[0].starts_with("\x1b[2J\x1b[H"));
  EXPECT_THAT(stage.printed[1], HasSubstr("nobody is there"));
  for (const auto& frame : stage.printed) {
    EXPECT_THAT(frame, AllOf(HasSubstr("weir 1.2.3, up 2 h 1 min, ready, draining\x1b[K\r\n"), EndsWith("\x1b[J")));
  }
  EXPECT_THAT(stage.printed[2], Not(HasSubstr("nobody is there")));
  EXPECT_EQ(stage.slept, std::chrono::seconds(2));
}

TEST(Top, WhatWaitingCannotChangeEndsIt) {
  Stage stage;
  int looks = 0;
  const auto look = [&]() -> Result<json::value> {
    return ++looks == 2 ? Result<json::value>(Fail(ErrorCode::kUnauthorized, "who are you")) : System();
  };
  EXPECT_EQ(RunTop(look, stage.Streams(true, 9), false).error().code, ErrorCode::kUnauthorized);
  EXPECT_EQ(
      RunTop([] { return Result<json::value>(Fail(ErrorCode::kUnreachable, "x")); }, stage.Streams(true, 9), false)
          .error()
          .code,
      ErrorCode::kUnreachable);
}

}  // namespace
}  // namespace weir::app
