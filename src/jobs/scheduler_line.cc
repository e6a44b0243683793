#include "jobs/scheduler_line.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace weir::jobs {
namespace {

constexpr std::size_t kMostIdleOwners = 1000;

struct Older {
  bool operator()(const LineJob* a, const LineJob* b) const {
    return std::tie(a->enqueued, a->created, a->number) < std::tie(b->enqueued, b->created, b->number);
  }
};
// Of one owner and one priority. Age alone orders them, whatever `ageing` is.
using Rank = std::set<LineJob*, Older>;

// The next job among the first ones of each rank, and what the owner's claim is worth.
class Scan {
 public:
  Scan(Duration ageing, SteadyTime served_at) : ageing_(ageing), served_at_(served_at) {}

  void See(LineJob* first) {
    bid_ = std::min(bid_, Claim(std::max(first->enqueued, served_at_), first->priority, ageing_));
    if (head_ == nullptr || Key(*first) < Key(*head_)) {
      head_ = first;
    }
  }
  [[nodiscard]] SteadyTime bid() const { return bid_; }
  [[nodiscard]] LineJob* head() const { return head_; }

 private:
  [[nodiscard]] std::tuple<SteadyTime, WallTime, std::uint64_t> Key(const LineJob& job) const {
    return {Claim(job.enqueued, job.priority, ageing_), job.created, job.number};
  }
  Duration ageing_;
  SteadyTime served_at_;
  SteadyTime bid_ = SteadyTime::max();
  LineJob* head_ = nullptr;
};

}  // namespace

struct LineOwner : LineBidder {
  std::string name;
  std::map<int, Rank> ranks;  // by priority; none is empty

  void Look(Duration ageing) {
    Scan scan(ageing, served_at);
    for (const auto& [priority, rank] : ranks) {
      scan.See(*rank.begin());
    }
    bid = scan.bid();
    head = scan.head();
  }
};

SchedulerLine::SchedulerLine(Duration ageing) : ageing_(ageing) {}
SchedulerLine::~SchedulerLine() = default;

LineBidder* SchedulerLine::Choose(const Bidders& bidders) const {
  const auto key = [](const LineBidder& b) {
    return std::tuple(b.running, b.served, b.head->created, b.head->number);
  };
  LineBidder* best = nullptr;
  for (LineBidder* const bidder : bidders) {
    if (bidder->bid - (*bidders.begin())->bid >= ageing_) {
      break;
    }
    if (best == nullptr || key(*bidder) < key(*best)) {
      best = bidder;
    }
  }
  return best;
}

LineOwner& SchedulerLine::OwnerNamed(const std::string& name) {
  std::unique_ptr<LineOwner>& owner = owners_[name];
  if (owner == nullptr) {
    owner = std::make_unique<LineOwner>();
    owner->name = name;
    owner->number = ++owner_numbers_;
  }
  return *owner;
}

void SchedulerLine::Leave(LineOwner& owner) {
  if (!owner.ranks.empty()) {
    bidders_.erase(&owner);
  } else if (owner.running == 0) {
    idle_.erase(owner.served);
  }
}

void SchedulerLine::Rejoin(LineOwner& owner) {
  if (!owner.ranks.empty()) {
    owner.Look(ageing_);
    bidders_.insert(&owner);
    return;
  }
  if (owner.running > 0) {
    return;
  }
  if (owner.served == 0) {
    owners_.erase(std::string(owner.name));
    return;
  }
  idle_.emplace(owner.served, &owner);
  if (idle_.size() > kMostIdleOwners) {
    const std::string forgotten = idle_.begin()->second->name;
    idle_.erase(idle_.begin());
    owners_.erase(forgotten);
  }
}

void SchedulerLine::Insert(LineJob& job) {
  LineOwner& owner = OwnerNamed(job.owner_name);
  Leave(owner);
  job.owner = &owner;
  owner.ranks[job.priority].insert(&job);
  ++size_;
  Rejoin(owner);
}

void SchedulerLine::Detach(LineJob& job) {
  const auto rank = job.owner->ranks.find(job.priority);
  rank->second.erase(&job);
  if (rank->second.empty()) {
    job.owner->ranks.erase(rank);
  }
  --size_;
}

void SchedulerLine::Erase(LineJob& job) {
  LineOwner& owner = *job.owner;
  Leave(owner);
  Detach(job);
  job.owner = nullptr;
  Rejoin(owner);
}

LineJob* SchedulerLine::Start(SteadyTime now) {
  const LineBidder* const chosen = Choose(bidders_);
  if (chosen == nullptr) {
    return nullptr;
  }
  LineJob& job = *chosen->head;
  LineOwner& owner = *job.owner;
  Leave(owner);
  Detach(job);
  job.since = std::max(job.enqueued, owner.served_at);
  ++owner.running;
  owner.served_at = now;
  owner.served = ++starts_;
  Rejoin(owner);
  return &job;
}

void SchedulerLine::End(LineJob& job) {
  LineOwner& owner = *job.owner;
  Leave(owner);
  --owner.running;
  job.owner = nullptr;
  Rejoin(owner);
}

void SchedulerLine::SetAgeing(Duration ageing) {
  ageing_ = ageing;
  const Bidders before = std::exchange(bidders_, {});
  for (LineBidder* const bidder : before) {
    Rejoin(*bidder->head->owner);
  }
}

std::optional<std::size_t> SchedulerLine::PositionOf(const LineJob& job, SteadyTime now) const {
  // The choice itself, played on a copy of what it looks at.
  struct Turns : LineBidder {
    std::vector<std::pair<Rank::const_iterator, Rank::const_iterator>> ranks;
    void Look(Duration ageing) {
      Scan scan(ageing, served_at);
      for (const auto& [next, end] : ranks) {
        if (next != end) {
          scan.See(*next);
        }
      }
      bid = scan.bid();
      head = scan.head();
    }
  };
  std::vector<Turns> all;
  all.reserve(bidders_.size());
  Bidders bidders;
  std::uint64_t starts = starts_;
  for (const LineBidder* const bidder : bidders_) {
    Turns& turns = all.emplace_back();
    static_cast<LineBidder&>(turns) = *bidder;
    for (const auto& [priority, rank] : bidder->head->owner->ranks) {
      turns.ranks.emplace_back(rank.begin(), rank.end());
    }
    bidders.insert(&turns);
  }
  for (std::size_t position = 1; position <= kLastTold; ++position) {
    Turns& turns = static_cast<Turns&>(*Choose(bidders));
    if (turns.head == &job) {
      return position;
    }
    bidders.erase(&turns);
    for (auto& [next, end] : turns.ranks) {
      if (next != end && *next == turns.head) {
        ++next;
      }
    }
    ++turns.running;
    turns.served_at = now;
    turns.served = ++starts;
    turns.Look(ageing_);
    if (turns.head != nullptr) {
      bidders.insert(&turns);
    }
  }
  return std::nullopt;
}

}  // namespace weir::jobs
