// Relief: which remedy against memory pressure is used now, and when the next. Pure: it frees nothing itself and asks
// no clock; remedies are functions handed in, mildest first.
//
// One remedy after the other: the next is used when the one before had its time to settle and the level still asks
// for it, whatever the one before freed. After the last that the level asks for comes the first again; one that is in
// its pause, is in force, or finds nothing to do is passed over. When the level falls below that of any remedy used
// so far, the next to be used is the first. Settling times and pauses outlast all that.
//
// A remedy with an `undo` is a state ("admit nothing"): `act` sets it, and it stays in force, not used again, until
// the level is below its `from`; then `undo` clears it, at once, last in force first. The two strictly alternate.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "memory/pressure.h"

namespace weir::memory {

struct Remedy {
  std::string name;  // for the log: "trim caches"
  Level from = Level::kElevated;
  // Says what it freed, of which zero is an ordinary answer; nullopt: there was nothing to do. Then it was not used,
  // and is tried again after kRetry.
  std::function<std::optional<Bytes>()> act{};
  Duration settle = std::chrono::seconds(1);  // until its effect can be seen; zero: the next follows in the same call
  Duration pause = std::chrono::seconds(30);  // from one use to the next
  std::function<void()> undo{};               // makes it a state
  // When it says no, the remedy is passed over; empty: always. Changes only between two calls of Update.
  std::function<bool()> applies{};
};

struct Used {
  std::string name;
  Level level = Level::kNormal;
  Bytes freed;
  std::string reason;  // as Update was given it
  SteadyTime at{};
  bool undone = false;    // this was its undo, which frees nothing
  std::size_t times = 1;  // in a row at this level, if it freed nothing; the rest is of the last time
};

// One thread. `act`, `undo` and `on_used` must not call back. Destroying this undoes nothing: what remedies act upon
// may be gone by then.
class Relief {
 public:
  // Of a remedy's times: the least, so that next() never means "now" for ever, and the most, for "not again".
  static constexpr Duration kLeastPause = std::chrono::milliseconds(100);
  static constexpr Duration kLongest = std::chrono::hours(24 * 3650);
  static constexpr Duration kRetry = std::chrono::seconds(1);

  // `on_used` hears of each use and undo, after it; may be empty. The last `most_history` of them are kept, and
  // before all others the uses of what is in force.
  Relief(std::vector<Remedy> remedies, std::function<void(const Used&)> on_used, std::size_t most_history);
  Relief(const Relief&) = delete;
  Relief& operator=(const Relief&) = delete;
  ~Relief() = default;

  // At each change of the level, and at next(). `now` never goes back. Calls `act` of each remedy at most once.
  void Update(Level level, const std::string& reason, SteadyTime now);
  // When Update would try a remedy at the same level, later than the last Update; nullopt: never.
  [[nodiscard]] std::optional<SteadyTime> next() const;
  [[nodiscard]] const std::deque<Used>& history() const { return history_; }  // oldest first

 private:
  struct Entry {
    Remedy remedy;
    std::optional<SteadyTime> last_use{};
    std::optional<SteadyTime> last_in_vain{};  // since the last use
    bool in_force = false;                     // only with an undo
    bool used_this_round = false;              // since the last start over
  };
  // When it may be used at `level_`, as far as it is concerned; nullopt: not at all.
  [[nodiscard]] std::optional<SteadyTime> FreeAt(const Entry& entry) const;
  void UndoAndStartOver(const std::string& reason, SteadyTime now);
  void Tell(const Entry& entry, Bytes freed, const std::string& reason, SteadyTime now, bool undone);
  void Keep(Used used);

  std::vector<Entry> entries_;
  std::function<void(const Used&)> on_used_;
  std::size_t most_history_;
  std::deque<Used> history_;
  Level level_ = Level::kNormal;
  std::size_t position_ = 0;  // of the one to be looked at first
  SteadyTime settled_ = SteadyTime::min();
};

}  // namespace weir::memory
