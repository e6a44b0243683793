#include "process/supervisor_table.h"

namespace weir::process {

namespace {

using Row = std::array<Cell, kEvents>;

constexpr Cell Stay(State state) { return {Action::kNothing, state}; }

constexpr Cell kTerm{Action::kTerminate, State::kStopping};
constexpr Cell kBlow{Action::kKill, State::kKilling};
constexpr Cell kGather{Action::kCollect, State::kDraining};
constexpr Cell kTell{Action::kReport, State::kEnded};
constexpr Cell kRun = Stay(State::kRunning);
constexpr Cell kStop = Stay(State::kStopping);
constexpr Cell kDie = Stay(State::kKilling);
constexpr Cell kDry = Stay(State::kDraining);
constexpr Cell kOver = Stay(State::kEnded);

// A kill asked of a dying child strikes again: what it forked meanwhile is reached too. A kill asked while
// draining is too late to matter: everything is dead already, and what it wrote would be lost.
constexpr std::array<Row, kStates> kTable = {{
    // stop    kill   deadline stall   lease  grace  exit     pipes   drain
    Row{kTerm, kBlow, kTerm, kTerm, kBlow, kRun, kGather, kRun, kRun},     // running
    Row{kStop, kBlow, kStop, kStop, kBlow, kBlow, kGather, kStop, kStop},  // stopping
    Row{kDie, kBlow, kDie, kDie, kDie, kDie, kGather, kDie, kDie},         // killing
    Row{kDry, kDry, kDry, kDry, kDry, kDry, kDry, kTell, kTell},           // draining
    Row{kOver, kOver, kOver, kOver, kOver, kOver, kOver, kOver, kOver},    // ended
}};

}  // namespace

Cell Step(State state, Event event) {
  return kTable.at(static_cast<std::size_t>(state)).at(static_cast<std::size_t>(event));
}

std::string_view NameOf(State state) {
  switch (state) {
    case State::kRunning:
      return "running";
    case State::kStopping:
      return "stopping";
    case State::kKilling:
      return "killing";
    case State::kDraining:
      return "draining";
    case State::kEnded:
      return "ended";
  }
  return "?";
}

std::string_view NameOf(Event event) {
  switch (event) {
    case Event::kStopAsked:
      return "stop asked";
    case Event::kKillAsked:
      return "kill asked";
    case Event::kDeadline:
      return "deadline";
    case Event::kStall:
      return "stall";
    case Event::kOverLease:
      return "over lease";
    case Event::kGraceOver:
      return "grace over";
    case Event::kExitSeen:
      return "exit seen";
    case Event::kPipesClosed:
      return "pipes closed";
    case Event::kDrainOver:
      return "drain over";
  }
  return "?";
}

std::string_view NameOf(Action action) {
  switch (action) {
    case Action::kNothing:
      return "nothing";
    case Action::kTerminate:
      return "terminate";
    case Action::kKill:
      return "kill";
    case Action::kCollect:
      return "collect";
    case Action::kReport:
      return "report";
  }
  return "?";
}

std::string TableAsMarkdown() {
  std::string text = "| Event |";
  std::string rule = "|---|";
  for (std::size_t s = 0; s < kStates; ++s) {
    text.append(" ").append(NameOf(static_cast<State>(s))).append(" |");
    rule += "---|";
  }
  text.append("\n").append(rule).append("\n");
  for (std::size_t e = 0; e < kEvents; ++e) {
    const auto event = static_cast<Event>(e);
    text.append("| ").append(NameOf(event)).append(" |");
    for (std::size_t s = 0; s < kStates; ++s) {
      const auto state = static_cast<State>(s);
      const Cell cell = Step(state, event);
      if (cell.action == Action::kNothing) {
        text += " - |";
      } else {
        text.append(" ").append(NameOf(cell.action)).append(" -> ").append(NameOf(cell.next)).append(" |");
      }
    }
    text += "\n";
  }
  return text;
}

}  // namespace weir::process
