// The supervisor as a table: for each state of a child and each event, what is done and which state follows.
// Pure data and a pure look-up; child.cc carries the actions out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::process {

enum class State : std::uint8_t {
  kRunning,   // alive, nothing asked of it
  kStopping,  // SIGTERM sent, the grace runs
  kKilling,   // SIGKILL sent to the group and the cgroup
  kDraining,  // its end was seen; what its pipes still hold is being read
  kEnded,     // reported, exactly once
};
inline constexpr std::size_t kStates = 5;

enum class Event : std::uint8_t {
  kStopAsked,    // cancel, shutdown
  kKillAsked,    // second Ctrl-C, destruction
  kDeadline,     // its time is over
  kStall,        // no progress within the limit
  kOverLease,    // the watcher saw more memory than the lease (back end without a kernel limit)
  kGraceOver,    // SIGTERM was not enough
  kExitSeen,     // the pidfd said so
  kPipesClosed,  // all of its pipes are at their end
  kDrainOver,    // a descendant kept a pipe open too long
};
inline constexpr std::size_t kEvents = 9;

enum class Action : std::uint8_t {
  kNothing,
  kTerminate,  // SIGTERM to the group (SIGCONT after it, for a stopped child), start the grace
  kKill,       // SIGKILL to child, group and cgroup
  kCollect,    // reap, end what is left of the group and cgroup, start the drain
  kReport,     // tell the owner, release everything
};

struct Cell {
  Action action;
  State next;
};

// Total: every pair has a cell.
Cell Step(State state, Event event);

std::string_view NameOf(State state);
std::string_view NameOf(Event event);
std::string_view NameOf(Action action);
// The whole table as Markdown; docs/ARCHITECTURE.md holds this text and a test compares them.
std::string TableAsMarkdown();

}  // namespace weir::process
