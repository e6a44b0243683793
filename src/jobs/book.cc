#include "jobs/book.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <utility>

#include "base/log.h"
#include "jobs/account_json.h"

namespace weir::jobs {
namespace {

constexpr std::chrono::seconds kWriteAgain{1};
constexpr std::chrono::milliseconds kMoment{20};
// A short job ends before, and its events come with its changes of state.
constexpr std::chrono::seconds kHeldAtMost{2};

}  // namespace

double PartDone(const ActiveJob& job) {
  if (!job.progress) {
    return 0;
  }
  if (job.length && job.length->count() > 0) {
    return std::clamp(Seconds(job.progress->out_time) / Seconds(*job.length), 0.0, 1.0);
  }
  return job.frames > 0
             ? std::clamp(static_cast<double>(job.progress->frame) / static_cast<double>(job.frames), 0.0, 1.0)
             : 0;
}

Book::Book(boost::asio::io_context& loop, const Clock& clock, store::JobStore& store,
           std::function<bool(const std::string&)> at_rest, std::function<void(const std::string&)> on_foreign)
    : loop_(loop),
      clock_(clock),
      store_(store),
      at_rest_(std::move(at_rest)),
      on_foreign_(std::move(on_foreign)),
      again_(loop) {}

ActiveJob* Book::Find(const std::string& id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

Result<ActiveJob*> Book::Wake(const std::string& id) {
  if (ActiveJob* job = Find(id)) {
    return job;
  }
  WEIR_ASSIGN(auto record, store_.Find(id));
  if (!record || store::IsFinal(record->state)) {
    return nullptr;
  }
  return &Add(*std::move(record));
}

ActiveJob& Book::Add(store::JobRecord record) {
  const std::string id = record.id;
  ActiveJob& job = jobs_[id];
  if (auto stored = RequestFromDocument(record.recipe, record.request)) {
    job.stored = *std::move(stored);
  } else {
    job.unreadable = std::move(stored).error();
  }
  job.record = std::move(record);
  job.version = ++version_;
  return job;
}

void Book::Rest(const std::string& id) {
  const ActiveJob* job = Find(id);
  if (job != nullptr && job->record.state == store::JobState::kQueued && !job->run && job->writing == 0 &&
      job->unsaved.empty() && !job->cancelled && job->cancels.empty() && job->afterwards.empty()) {
    jobs_.erase(id);
    WakeWatchers();
  }
}

ActiveJob Book::Take(const std::string& id) {
  auto node = jobs_.extract(id);
  Touch();
  return node ? std::move(node.mapped()) : ActiveJob();
}

void Book::Enter(ActiveJob& job, store::JobState state) const {
  job.record.state = state;
  job.record.updated = clock_.WallNow();
  if (store::IsFinal(state)) {
    job.record.ended = job.record.updated;
  }
}

std::string Book::EventData(const store::JobRecord& record, const std::string& note,
                            const boost::json::object& more) {
  boost::json::object data{
      {"state", store::NameOf(record.state)}, {"attempt", record.attempt}, {"paused", record.paused}};
  if (!note.empty()) {
    data["note"] = Text(note);
  }
  for (const auto& member : more) {
    data[member.key()] = member.value();
  }
  return boost::json::serialize(data);
}

void Book::Save(ActiveJob& job, const std::string& type, const std::string& note, std::function<void()> then,
                bool with_timeline) {
  store::EventRecord event{
      .id = 0, .job = {}, .time = clock_.WallNow(), .type = type, .data = EventData(job.record, note)};
  Touch(job);
  auto earlier = std::exchange(job.held, {});
  if (!job.unsaved.empty()) {
    job.unsaved.push_back({.event = std::move(event), .earlier = std::move(earlier), .then = std::move(then)});
    return;
  }
  Write(job, event, earlier, std::move(then), with_timeline);
}

void Book::Tell(ActiveJob& job, const std::string& type, const std::string& note, const boost::json::object& more) {
  if (job.held.empty()) {
    job.held_since = clock_.Now();
  }
  job.held.push_back(
      {.id = 0, .job = {}, .time = clock_.WallNow(), .type = type, .data = EventData(job.record, note, more)});
  Touch(job);
}

void Book::WriteHeld(ActiveJob& job) {
  if (!job.held.empty() && job.unsaved.empty() && clock_.Now() - job.held_since >= kHeldAtMost) {
    Write(job, {}, std::exchange(job.held, {}), {}, false);
  }
}

void Book::Write(ActiveJob& job, const std::optional<store::EventRecord>& event,
                 const std::vector<store::EventRecord>& earlier, std::function<void()> then, bool with_timeline) {
  store::Change change{.kind = store::Change::Kind::kUpdate,
                       .job = job.record,
                       .only_if_attempt = {},
                       .event = event,
                       .earlier = earlier,
                       .timeline = {}};
  if (with_timeline && !job.timeline.empty()) {
    change.timeline = job.timeline.AsJson();
  }
  ++job.writing;
  store_.Commit(std::move(change), alive_.Guard([this, id = job.record.id, event, earlier,
                                                 then = std::move(then)](const Result<store::Committed>& done) {
    ActiveJob* written = Find(id);
    if (written != nullptr) {
      --written->writing;
    }
    if (done) {
      Touch();
      if (written != nullptr && std::exchange(written->said_unwritten, false)) {
        log::Info("job " + id + " is written");
      }
      if (then) {
        then();
      }
      return Rest(id);
    }
    if (done.error().code == ErrorCode::kConflict) {
      log::Error("job " + id + " is let go: " + Describe(done.error()));
      on_foreign_(id);
      ActiveJob* leaving = Find(id);
      if (then && leaving != nullptr) {
        leaving->afterwards.push_back(alive_.Guard(then));
      } else if (then) {
        then();
      }
      return;
    }
    if (written == nullptr || !std::exchange(written->said_unwritten, true)) {
      log::Error("job " + id + " could not be written, again each second: " + Describe(done.error()));
    }
    if (written != nullptr) {
      written->unsaved.push_back({.event = event, .earlier = earlier, .then = then});
      WriteUnsaved();
    } else if (then) {
      then();
    }
  }));
}

void Book::WriteUnsaved() {
  if (std::exchange(writing_again_, true)) {
    return;
  }
  again_.expires_after(kWriteAgain);
  again_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    writing_again_ = false;
    if (error) {
      return;
    }
    for (auto& [id, job] : jobs_) {
      for (auto& unsaved : std::exchange(job.unsaved, {})) {
        Write(job, unsaved.event, unsaved.earlier, std::move(unsaved.then), true);
      }
    }
  }));
}

void Book::Touch(ActiveJob& job) {
  job.version = ++version_;
  WakeWatchers();
}

void Book::Touch() {
  ++version_;
  WakeWatchers();
}

void Book::WakeWatchers() {
  for (auto* timer : std::exchange(watchers_, {})) {
    timer->cancel();
  }
}

boost::asio::awaitable<void> Book::Changed(std::string id, std::uint64_t version, SteadyTime until) {
  const auto unchanged = [&] {
    if (id.empty()) {
      return version_ == version;
    }
    if (const ActiveJob* job = Find(id)) {
      return job->ending ? version == 0 : job->version == version;
    }
    return version == 0 && at_rest_(id);
  };
  const std::weak_ptr<int> alive = alive_.token();
  // Whoever comes with what is old already, or about a job between two places, still waits a moment: a caller that
  // looks again and again must not keep the loop from what it waits for.
  const bool in_between = !unchanged();
  if (in_between) {
    until = std::min<SteadyTime>(until, clock_.Now() + kMoment);
  }
  for (bool first = in_between; (first || (unchanged() && !in_between)) && clock_.Now() < until; first = false) {
    boost::asio::steady_timer timer(loop_);
    timer.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(until));
    // Taken out again however this ends, also when the coroutine is destroyed while it waits.
    struct Watch {
      std::weak_ptr<int> alive;
      std::set<boost::asio::steady_timer*>& watchers;
      boost::asio::steady_timer* timer;
      Watch(std::weak_ptr<int> token, std::set<boost::asio::steady_timer*>& all, boost::asio::steady_timer* one)
          : alive(std::move(token)), watchers(all), timer(one) {
        watchers.insert(timer);
      }
      Watch(const Watch&) = delete;
      Watch& operator=(const Watch&) = delete;
      ~Watch() {
        if (!alive.expired()) {
          watchers.erase(timer);
        }
      }
    };
    const Watch watch(alive, watchers_, &timer);
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    if (alive.expired()) {
      co_return;
    }
  }
}

}  // namespace weir::jobs
