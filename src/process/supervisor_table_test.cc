#include "process/supervisor_table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

namespace weir::process {
namespace {

std::vector<State> AllStates() {
  return {State::kRunning, State::kStopping, State::kKilling, State::kDraining, State::kEnded};
}
std::vector<Event> AllEvents() {
  return {Event::kStopAsked, Event::kKillAsked, Event::kDeadline,    Event::kStall,    Event::kOverLease,
          Event::kGraceOver, Event::kExitSeen,  Event::kPipesClosed, Event::kDrainOver};
}

TEST(SupervisorTable, IsWhatTheArchitecturePageShows) {
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "WEIR_SOURCE_DIR must name the source folder";
  std::ifstream file(std::string(source) + "/docs/ARCHITECTURE.md");
  std::ostringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::string begin = "<!-- supervisor-table -->\n";
  const std::string end = "<!-- /supervisor-table -->";
  const std::size_t from = text.find(begin);
  const std::size_t to = text.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  EXPECT_EQ(text.substr(from + begin.size(), to - from - begin.size()), "\n" + TableAsMarkdown() + "\n");
}

TEST(SupervisorTable, WithoutAnActionNothingChanges) {
  for (const State state : AllStates()) {
    for (const Event event : AllEvents()) {
      const Cell cell = Step(state, event);
      if (cell.action == Action::kNothing) {
        EXPECT_EQ(cell.next, state) << NameOf(state) << ", " << NameOf(event);
      }
    }
  }
}

TEST(SupervisorTable, NeverGoesBack) {
  for (const State state : AllStates()) {
    for (const Event event : AllEvents()) {
      EXPECT_GE(Step(state, event).next, state) << NameOf(state) << ", " << NameOf(event);
    }
  }
}

TEST(SupervisorTable, EveryActionLeadsToItsOneState) {
  for (const State state : AllStates()) {
    for (const Event event : AllEvents()) {
      const Cell cell = Step(state, event);
      switch (cell.action) {
        case Action::kNothing:
          break;
        case Action::kTerminate:
          EXPECT_EQ(cell.next, State::kStopping);
          break;
        case Action::kKill:
          EXPECT_EQ(cell.next, State::kKilling);
          break;
        case Action::kCollect:
          EXPECT_EQ(cell.next, State::kDraining);
          break;
        case Action::kReport:
          EXPECT_EQ(cell.next, State::kEnded);
          break;
      }
    }
  }
}

// Collect and report happen once on every path: only one step leads into each of their states.
TEST(SupervisorTable, CollectsAndReportsOnce) {
  for (const State state : AllStates()) {
    for (const Event event : AllEvents()) {
      const Cell cell = Step(state, event);
      if (cell.action == Action::kCollect) {
        EXPECT_LT(state, State::kDraining);
        EXPECT_EQ(event, Event::kExitSeen);
      }
      if (cell.action == Action::kReport) {
        EXPECT_EQ(state, State::kDraining);
      }
      if (state == State::kEnded) {
        EXPECT_EQ(cell.action, Action::kNothing);
      }
    }
  }
}

TEST(SupervisorTable, WhateverIsAskedAnExitIsAlwaysCollected) {
  for (const State state : {State::kRunning, State::kStopping, State::kKilling}) {
    EXPECT_EQ(Step(state, Event::kExitSeen).action, Action::kCollect);
  }
}

TEST(SupervisorTable, NamesDiffer) {
  std::set<std::string_view> names;
  for (const State state : AllStates()) {
    names.insert(NameOf(state));
  }
  for (const Event event : AllEvents()) {
    names.insert(NameOf(event));
  }
  EXPECT_EQ(names.size(), kStates + kEvents);
}

}  // namespace
}  // namespace weir::process
