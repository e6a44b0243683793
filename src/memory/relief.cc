#include "memory/relief.h"

#include <algorithm>
#include <utility>

namespace weir::memory {

Relief::Relief(std::vector<Remedy> remedies, std::function<void(const Used&)> on_used, std::size_t most_history)
    : on_used_(std::move(on_used)), most_history_(most_history) {
  entries_.reserve(remedies.size());
  for (Remedy& remedy : remedies) {
    remedy.settle = std::clamp(remedy.settle, Duration::zero(), kLongest);
    remedy.pause = std::clamp(remedy.pause, kLeastPause, kLongest);
    entries_.push_back({.remedy = std::move(remedy)});
  }
}

void Relief::Update(Level level, const std::string& reason, SteadyTime now) {
  level_ = level;
  UndoAndStartOver(reason, now);
  const std::size_t start = position_;
  for (std::size_t step = 0; step < entries_.size() && now >= settled_; ++step) {
    const std::size_t index = (start + step) % entries_.size();
    Entry& entry = entries_[index];
    if (const auto free_at = FreeAt(entry); !free_at || *free_at > now) {
      continue;
    }
    const std::optional<Bytes> freed = entry.remedy.act ? entry.remedy.act() : Bytes();
    if (!freed) {
      entry.last_in_vain = now;
      continue;
    }
    entry.last_use = now;
    entry.last_in_vain.reset();
    entry.in_force = entry.remedy.undo != nullptr;
    entry.used_this_round = true;
    position_ = (index + 1) % entries_.size();
    settled_ = now + entry.remedy.settle;
    Tell(entry, *freed, reason, now, false);
  }
}

std::optional<SteadyTime> Relief::next() const {
  std::optional<SteadyTime> earliest;
  for (const Entry& entry : entries_) {
    if (const auto free_at = FreeAt(entry); free_at && (!earliest || *free_at < *earliest)) {
      earliest = free_at;
    }
  }
  return earliest ? std::optional(std::max(*earliest, settled_)) : std::nullopt;
}

std::optional<SteadyTime> Relief::FreeAt(const Entry& entry) const {
  if (level_ < entry.remedy.from || entry.in_force || (entry.remedy.applies && !entry.remedy.applies())) {
    return std::nullopt;
  }
  const SteadyTime rested = entry.last_use ? *entry.last_use + entry.remedy.pause : SteadyTime::min();
  return entry.last_in_vain ? std::max(rested, *entry.last_in_vain + kRetry) : rested;
}

void Relief::UndoAndStartOver(const std::string& reason, SteadyTime now) {
  bool start_over = false;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (level_ >= entry->remedy.from) {
      continue;
    }
    start_over = start_over || entry->used_this_round;
    if (std::exchange(entry->in_force, false)) {
      entry->remedy.undo();
      Tell(*entry, Bytes(), reason, now, true);
    }
  }
  if (start_over) {
    position_ = 0;
    for (Entry& entry : entries_) {
      entry.used_this_round = false;
    }
  }
}

void Relief::Tell(const Entry& entry, Bytes freed, const std::string& reason, SteadyTime now, bool undone) {
  Used used{
      .name = entry.remedy.name, .level = level_, .freed = freed, .reason = reason, .at = now, .undone = undone};
  if (!history_.empty()) {
    const Used& last = history_.back();
    const bool again = last.name == used.name && last.level == used.level && !last.undone && !undone &&
                       !entry.in_force && last.freed.count() == 0 && freed.count() == 0;
    used.times = again ? last.times + 1 : 1;
  }
  if (on_used_) {
    on_used_(used);
  }
  Keep(std::move(used));
}

void Relief::Keep(Used used) {
  if (used.times > 1) {
    history_.back() = std::move(used);
    return;
  }
  history_.push_back(std::move(used));
  if (history_.size() <= most_history_) {
    return;
  }
  const auto holds = [this](const Used& use) {
    return !use.undone && std::ranges::any_of(entries_, [&](const Entry& entry) {
      return entry.in_force && entry.remedy.name == use.name && entry.last_use == use.at;
    });
  };
  const auto past = std::ranges::find_if_not(history_, holds);
  history_.erase(past == history_.end() ? history_.begin() : past);
}

}  // namespace weir::memory
