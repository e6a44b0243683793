#include "app/services.h"

#include <algorithm>

namespace weir::app {

Services::Services(const Clock& clock, std::function<Bytes()> heap) : clock_(clock), heap_(std::move(heap)) {}

Services::~Services() {
  while (!built_.empty()) {
    Unload(built_.back());
  }
}

std::size_t Services::Add(Entry entry) {
  entries_.push_back(std::move(entry));
  checked_ = false;
  return entries_.size() - 1;
}

Status Services::Check() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    entry.needed.clear();
    const auto same = std::ranges::find(entries_, entry.name, &Entry::name);
    if (same != entries_.begin() + static_cast<std::ptrdiff_t>(i)) {
      return Fail(ErrorCode::kInternal, "two services are called " + entry.name);
    }
    for (const auto& need : entry.needs) {
      const auto found = std::ranges::find(entries_, need, &Entry::name);
      if (found == entries_.end()) {
        return Fail(ErrorCode::kInternal, entry.name + " needs " + need + ", which there is not");
      }
      entry.needed.push_back(static_cast<std::size_t>(found - entries_.begin()));
    }
  }
  std::vector<bool> done(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::vector<std::size_t> above;
    WEIR_TRY(Order(i, above, done));
  }
  checked_ = true;
  return {};
}

// `above`: the chain of those that need this one, the first one first.
Status Services::Order(std::size_t index, std::vector<std::size_t>& above, std::vector<bool>& done) const {
  const auto seen = std::ranges::find(above, index);
  if (seen != above.end()) {
    std::string chain;
    for (auto link = seen; link != above.end(); ++link) {
      chain += entries_[*link].name + " needs ";
    }
    return Fail(ErrorCode::kInternal, "the services need each other in a circle: " + chain + entries_[index].name);
  }
  if (done[index]) {
    return {};
  }
  above.push_back(index);
  for (const std::size_t need : entries_[index].needed) {
    WEIR_TRY(Order(need, above, done));
  }
  above.pop_back();
  done[index] = true;
  return {};
}

Status Services::Load(std::size_t index) {
  if (!checked_) {
    return Fail(ErrorCode::kInternal, "a service is used before all were checked");
  }
  const std::size_t before = built_.size();
  // Also when a factory throws.
  struct TakeBack {
    Services& services;
    std::size_t size;
    ~TakeBack() {
      while (services.built_.size() > size) {
        services.Unload(services.built_.back());
      }
    }
    TakeBack(Services& all, std::size_t before) : services(all), size(before) {}
    TakeBack(const TakeBack&) = delete;
    TakeBack& operator=(const TakeBack&) = delete;
  };
  TakeBack take_back(*this, before);
  WEIR_TRY(Build(index));
  take_back.size = built_.size();
  entries_[index].used = clock_.Now();
  return {};
}

Status Services::Build(std::size_t index) {
  Entry& entry = entries_[index];
  if (entry.loaded) {
    return {};
  }
  if (entry.building) {
    return Fail(ErrorCode::kInternal, entry.name + " is used while it is being built");
  }
  struct Building {
    bool& flag;
    explicit Building(bool& the_flag) : flag(the_flag) { flag = true; }
    ~Building() { flag = false; }
    Building(const Building&) = delete;
    Building& operator=(const Building&) = delete;
  };
  const Building building(entry.building);
  for (const std::size_t need : entry.needed) {
    WEIR_TRY(Build(need));
  }
  const Bytes before = heap_ ? heap_() : Bytes();
  WEIR_ASSIGN(auto made, entry.make());
  if (!made) {
    return Fail(ErrorCode::kInternal, entry.name + " was not made");
  }
  if (heap_) {
    const Bytes after = heap_();
    entry.taken = after > before ? after - before : Bytes();
  }
  entry.loaded = std::move(made);
  entry.since = clock_.WallNow();
  entry.used = clock_.Now();
  built_.push_back(index);
  return {};
}

void Services::Unload(std::size_t index) {
  std::erase(built_, index);
  Entry& entry = entries_[index];
  // What it needs counts as used until now.
  for (const std::size_t need : entry.needed) {
    entries_[need].used = clock_.Now();
  }
  // Gone from here before it goes, so that nobody meets it half destroyed.
  const std::shared_ptr<void> last = std::move(entry.loaded);
  entry.loaded.reset();
  entry.taken.reset();
}

std::shared_ptr<void> Services::Hold(std::size_t index) {
  ++entries_[index].held;
  // Its own address means nothing; its end is what counts.
  return {static_cast<void*>(this), [this, index](void*) {
            --entries_[index].held;
            entries_[index].used = clock_.Now();
          }};
}

bool Services::IsNeeded(std::size_t index) const {
  return std::ranges::any_of(built_, [&](std::size_t other) {
    return std::ranges::find(entries_[other].needed, index) != entries_[other].needed.end();
  });
}

std::optional<SteadyTime> Services::LetGo() {
  const SteadyTime now = clock_.Now();
  std::optional<SteadyTime> next;
  // From the last one built, so that a need may go right after the last one that needed it.
  const std::vector<std::size_t> built = built_;
  for (auto index = built.rbegin(); index != built.rend(); ++index) {
    const Entry& entry = entries_[*index];
    if (!entry.idle || entry.held > 0 || IsNeeded(*index)) {
      continue;
    }
    const SteadyTime due = entry.used + *entry.idle;
    if (due <= now) {
      Unload(*index);
    } else {
      next = next ? std::min(*next, due) : due;
    }
  }
  return next;
}

std::vector<ServiceReading> Services::Readings() const {
  std::vector<ServiceReading> readings;
  for (const Entry& entry : entries_) {
    ServiceReading reading{.name = entry.name, .loaded = entry.loaded != nullptr, .since = {}, .bytes = {}};
    if (entry.loaded) {
      reading.since = entry.since;
      reading.bytes = entry.bytes ? std::optional(entry.bytes(entry.loaded.get())) : entry.taken;
    }
    readings.push_back(std::move(reading));
  }
  return readings;
}

}  // namespace weir::app
