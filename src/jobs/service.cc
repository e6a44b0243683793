#include "jobs/service.h"

#include <algorithm>
#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/outcome_json.h"
#include "jobs/service_impl.h"

namespace weir::jobs {
namespace {

using store::JobRecord;
using store::JobState;

constexpr std::chrono::seconds kRetentionPeriod{30};
constexpr std::size_t kRetentionBatch = 200;
// What ended later than now by more than this, ended before somebody set the date back.
constexpr std::chrono::minutes kAheadOfTime{1};
constexpr std::size_t kRecoveredAtOnce = 500;
constexpr std::chrono::milliseconds kStoppingLimit{10'000};
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr std::size_t kMostForecasts = 16;

}  // namespace

JobService::Impl::Impl(JobService& owner, Parts parts, SchedulerSettings order, ServiceSettings settings)
    : parts_(std::move(parts)),
      order_(order),
      settings_(settings),
      scheduler_(parts_.clock, parts_.ledger, order),
      dates_(parts_.clock),
      world_{.loop = parts_.loop,
             .aside = parts_.aside,
             .clock = parts_.clock,
             .launcher = parts_.launcher,
             .ledger = parts_.ledger,
             .admission = owner,
             .state = parts_.state,
             .tools = parts_.tools,
             .machine = parts_.machine,
             .limits = parts_.limits,
             .known = &known_,
             .learning = parts_.learning},
      turn_(parts_.loop),
      retention_(parts_.loop),
      launch_again_(parts_.loop),
      grace_(parts_.loop),
      look_again_(parts_.loop),
      forecasts_(world_, kMostForecasts,
                 [this] {
                   TakeTurn();
                   CheckShutdown();
                 }),
      book_(
          parts_.loop, parts_.clock, parts_.store, [this](const std::string& id) { return scheduler_.Knows(id); },
          [this](const std::string& id) { Disown(id); }) {}

JobService::Impl::~Impl() = default;

Status JobService::Impl::Recover() {
  std::int64_t after = 0;
  while (true) {
    WEIR_ASSIGN(auto records, parts_.store.Active(after, kRecoveredAtOnce));
    for (auto& record : records) {
      after = record.number;
      if (record.state == JobState::kQueued) {
        Enqueue(record);
        continue;
      }
      ActiveJob& job = book_.Add(std::move(record));
      if (job.record.state == JobState::kPublishing && HasAppeared(job)) {
        Finish(job, JobState::kSucceeded);
      } else if (++job.record.deaths >= settings_.deaths_until_parked) {
        Park(job);
      } else {
        Requeue(job, "weir died while it ran", std::nullopt);
      }
    }
    if (records.size() < kRecoveredAtOnce) {
      break;
    }
  }
  AwaitRetention();
  TakeTurn();
  return {};
}

// --- Views

// Whoever waits holds nothing, though it had a lease for the step before; nor does what is published.
Bytes JobService::Impl::LeaseOf(const ActiveJob& job) const {
  const bool holds =
      job.record.state != JobState::kPublishing && scheduler_.ReasonOf(job.record.id) == WaitingFor::kNothing;
  return holds ? job.lease : Bytes();
}

std::optional<WallTime> JobService::Impl::DateOf(std::optional<SteadyTime> instant) const {
  if (!instant) {
    return std::nullopt;
  }
  return parts_.clock.WallNow() + std::chrono::floor<std::chrono::milliseconds>(*instant - parts_.clock.Now());
}

JobView JobService::Impl::ViewOf(const ActiveJob& job) const {
  JobView view = ViewOf(job.record, true);
  view.version = job.version;
  if (view.live) {
    view.live->progress = job.progress;
    view.live->length = job.length;
    view.live->frames = job.frames;
    view.live->memory = job.progress ? job.memory : Bytes();
    view.live->plan = job.plan;
    view.live->forecast_peak = job.forecast_peak;
    view.live->lease = LeaseOf(job);
    view.live->decision = job.decision;
  }
  return view;
}

JobView JobService::Impl::ViewOf(JobRecord record, bool with_position) const {
  JobView view;
  if (!IsFinal(record.state)) {
    view.live.emplace();
    view.live->waiting_for = scheduler_.ReasonOf(record.id);
    if (with_position) {
      view.live->wait = scheduler_.WaitOf(record.id);
      view.live->waiting_since = DateOf(view.live->wait.since);
      view.live->waiting_until = DateOf(view.live->wait.until);
    }
    if (with_position && record.state == JobState::kQueued) {
      view.live->position = scheduler_.PositionOf(record.id);
    }
  }
  view.record = std::move(record);
  return view;
}

Result<JobView> JobService::Impl::Find(const std::string& id) {
  if (const ActiveJob* job = book_.Find(id); job != nullptr && !job->ending) {
    return ViewOf(*job);
  }
  WEIR_ASSIGN(auto record, parts_.store.Find(id));
  if (!record) {
    return Fail(ErrorCode::kNotFound, "there is no job " + Quoted(id) + "; it may have been removed after its time");
  }
  return ViewOf(*std::move(record), true);
}

Result<JobViewPage> JobService::Impl::List(const store::JobFilter& filter, std::int64_t before, std::size_t limit) {
  WEIR_ASSIGN(auto page, parts_.store.List(filter, before, limit));
  JobViewPage views{.jobs = {}, .next = page.next};
  views.jobs.reserve(page.jobs.size());
  for (auto& record : page.jobs) {
    const ActiveJob* job = book_.Find(record.id);
    // What is on disk decides, so that a page agrees with its filter.
    if (job != nullptr && !job->ending && job->record.state == record.state) {
      views.jobs.push_back(ViewOf(*job));
    } else {
      views.jobs.push_back(ViewOf(std::move(record), false));
    }
  }
  return views;
}

Result<std::string> JobService::Impl::TimelineOf(const std::string& id) {
  if (const ActiveJob* job = book_.Find(id); job != nullptr && (job->run || !job->timeline.empty())) {
    return job->timeline.AsJson();
  }
  WEIR_TRY(Find(id));
  WEIR_ASSIGN(auto timeline, parts_.store.Timeline(id));
  return timeline.empty() ? jobs::Timeline(1).AsJson() : timeline;
}

Error JobService::Impl::Unfit(const std::string& id, const std::string& what) const {
  const auto record = parts_.store.Find(id);
  if (!record) {
    return record.error();
  }
  if (!*record) {
    return {.code = ErrorCode::kNotFound, .detail = "there is no job " + Quoted(id)};
  }
  const std::string state = store::NameOf((*record)->state);
  return Error{.code = ErrorCode::kConflict, .detail = "job " + id + " is " + state + "; it cannot be " + what}.With(
      "state", state);
}

ServiceFigures JobService::Impl::figures() const {
  ServiceFigures figures = at_work();
  if (auto counts = parts_.store.CountByState()) {
    figures.by_state = *std::move(counts);
  }
  return figures;
}

ServiceFigures JobService::Impl::at_work() const {
  ServiceFigures figures;
  figures.scheduler = scheduler_.figures();
  figures.draining = scheduler_.draining();
  figures.work_waits = work_waits_;
  figures.attempts = attempts_;
  figures.held = scheduler_.held();
  figures.given_back = given_back_;
  figures.yielded = yielded_;
  for (const auto& [id, job] : book_.awake()) {
    figures.unsaved += job.unsaved.empty() ? 0U : 1U;
    figures.suspended += job.suspended ? 1U : 0U;
    if (job.run) {
      const Bytes lease = LeaseOf(job);
      figures.running.push_back(
          {.job = id,
           .recipe = job.record.recipe,
           .plan = job.plan,
           .lease = lease,
           .memory = lease > Bytes() ? job.resident : Bytes(),
           .since = job.began,
           .advanced = job.record.paused || job.suspended || lease == Bytes() ? parts_.clock.Now() : job.advanced,
           .wait = scheduler_.WaitOf(id)});
    }
  }
  return figures;
}

// --- Asked from outside

Status JobService::Impl::CheckEnds(const StoredRequest& stored) const {
  WEIR_ASSIGN(const auto source, OpenInput(stored.input));
  if (!stored.output.empty()) {
    WEIR_TRY(parts_.roots.OpenOutput(stored.output, stored.overwrite, source));
  }
  return {};
}

Status JobService::Impl::CheckRoom(std::size_t more) const {
  if (stopping_) {
    return Fail(Error{.code = ErrorCode::kBusy, .detail = "weir is about to end; come again when it is back"}.With(
        "retry_after_seconds", std::uint64_t{5}));
  }
  if (more > order_.most_queued) {
    return Fail(Error{.code = ErrorCode::kBadParameters,
                      .detail = std::to_string(more) + " jobs at once never fit the queue: at most " +
                                std::to_string(order_.most_queued) +
                                " may wait; send fewer at a time, or configure more (queue.most_queued)"}
                    .With("jobs", std::uint64_t{more})
                    .With("limit", std::uint64_t{order_.most_queued}));
  }
  const std::size_t waiting = scheduler_.figures().queued + inserting_;
  if (waiting + more > order_.most_queued) {
    return Fail(
        Error{.code = ErrorCode::kBusy,
              .detail = std::to_string(waiting) + " jobs are waiting and at most " +
                        std::to_string(order_.most_queued) + " may, so " +
                        (more == 1 ? "there is no room for another" : std::to_string(more) + " more do not fit") +
                        "; come again later"}
            .With("waiting", std::uint64_t{waiting})
            .With("limit", std::uint64_t{order_.most_queued})
            .With("retry_after_seconds", std::uint64_t{10}));
  }
  return {};
}

JobRecord JobService::Impl::RecordOf(const Submission& submission, const StoredRequest& stored) const {
  JobRecord record;
  record.id = NewId();
  record.recipe = submission.recipe;
  record.owner = submission.owner;
  record.request = DocumentOf(stored);
  record.labels = LabelsAsJson(submission.labels);
  record.priority = submission.priority;
  record.created = parts_.clock.WallNow();
  record.updated = record.created;
  return record;
}

store::Change JobService::Impl::InsertionOf(JobRecord record) const {
  store::EventRecord event{.time = record.created, .type = "state", .data = Book::EventData(record, {})};
  return {.kind = store::Change::Kind::kInsert,
          .job = std::move(record),
          .only_if_attempt = {},
          .event = std::move(event)};
}

void JobService::Impl::Enqueue(const JobRecord& record) {
  // Whoever is on disk has a place: the limit was looked at before.
  if (!stopping_) {
    static_cast<void>(scheduler_.Enqueue(PlaceOf(record), true));
    TakeTurn();
  }
}

void JobService::Impl::Submit(const Submission& submission, Answer answer) {
  const auto accept = [&]() -> Result<std::optional<JobView>> {
    if (submission.priority < 0 || submission.priority > 100) {
      return Fail(ErrorCode::kBadParameters,
                  "priority is a number from 0 to 100, not " + std::to_string(submission.priority));
    }
    WEIR_ASSIGN(const auto stored, RequestOf(submission));
    JobRecord record = RecordOf(submission, stored);
    if (!submission.idempotency_key.empty()) {
      record.idempotency_key = submission.idempotency_key;
      record.request_digest =
          record.recipe + " " + record.request + " " + record.labels + " " + std::to_string(record.priority);
      WEIR_ASSIGN(auto earlier, Earlier(record));
      if (earlier) {
        return earlier;
      }
    }
    WEIR_TRY(CheckEnds(stored));
    WEIR_TRY(CheckRoom(1));
    ++inserting_;
    parts_.store.Commit(
        InsertionOf(record), alive_.Guard([this, record, answer](const Result<store::Committed>& done) mutable {
          --inserting_;
          if (done) {
            record.number = done->number;
            Enqueue(record);
            book_.Touch();
            CheckShutdown();
            return answer(ViewOf(std::move(record), true));
          }
          // The same key twice at the same time: the other one was first.
          auto earlier = done.error().code == ErrorCode::kOutputExists ? Earlier(record)
                                                                       : Result<std::optional<JobView>>(std::nullopt);
          CheckShutdown();
          if (!earlier) {
            return answer(Fail(std::move(earlier).error()));
          }
          answer(*earlier ? Result<JobView>(**std::move(earlier)) : Fail(done.error()));
        }));
    return std::nullopt;
  };
  auto earlier = accept();
  if (!earlier) {
    Answers(std::move(answer), Fail(std::move(earlier).error()));
  } else if (*earlier) {
    Answers(std::move(answer), **std::move(earlier));
  }
}

Result<std::optional<JobView>> JobService::Impl::Earlier(const JobRecord& record) {
  WEIR_ASSIGN(auto earlier, parts_.store.FindByKey(record.owner, record.idempotency_key));
  if (!earlier) {
    return std::nullopt;
  }
  if (earlier->request_digest != record.request_digest) {
    return Fail(Error{.code = ErrorCode::kConflict,
                      .detail = "the idempotency key " + Quoted(record.idempotency_key) +
                                " was used for another request; take a new key for a new request"}
                    .With("job", earlier->id));
  }
  WEIR_ASSIGN(auto view, Find(earlier->id));
  return view;
}

void JobService::Impl::Forecast(const Submission& submission, std::function<void(Result<Account>)> answer) {
  jobs::Ask ask{.request = {}, .input_path = submission.input, .output_path = {}};
  ask.open_source = [this, input = submission.input]() -> Result<store::Source> { return OpenInput(input); };
  if (!submission.recipe.empty()) {
    auto stored = RequestOf(submission);
    if (!stored) {
      return Answers(std::move(answer), Fail(std::move(stored).error()));
    }
    ask.request = std::move(stored->request);
  }
  if (auto source = OpenInput(submission.input); !source) {
    return Answers(std::move(answer), Fail(std::move(source).error()));
  }
  forecasts_.Start(std::move(ask), std::move(answer));
}

bool JobService::Impl::AfterItsEnd(const std::string& id, std::function<void()> ask) {
  if (const auto writes = ended_writes_.find(id); writes != ended_writes_.end()) {
    writes->second.push_back(alive_.Guard(std::move(ask)));
    return true;
  }
  ActiveJob* job = book_.Find(id);
  // Its end may be on the disk, and seen by the caller, before it is heard of here.
  if (job == nullptr || !job->ending) {
    return false;
  }
  job->afterwards.push_back(alive_.Guard(std::move(ask)));
  return true;
}

void JobService::Impl::WriteEnded(store::Change change, std::function<void(Status)> then) {
  const std::string id = change.job.id;
  ended_writes_[id];
  parts_.store.Commit(std::move(change),
                      alive_.Guard([this, id, then = std::move(then)](const Result<store::Committed>& done) {
                        auto waiting = ended_writes_.extract(id);
                        book_.Touch();
                        for (auto& ask : waiting.mapped()) {
                          boost::asio::post(parts_.loop, std::move(ask));
                        }
                        then(done ? Status{} : Fail(done.error()));
                      }));
}

void JobService::Impl::Cancel(const std::string& id, Answer answer) {
  if (AfterItsEnd(id, [this, id, answer] { Cancel(id, answer); })) {
    return;
  }
  auto woken = book_.Wake(id);
  if (!woken) {
    return Answers(std::move(answer), Fail(std::move(woken).error()));
  }
  ActiveJob* job = *woken;
  if (job == nullptr) {
    auto view = Find(id);
    if (view && view->record.state == JobState::kCancelled) {
      return Answers(std::move(answer), std::move(view));
    }
    return Answers(std::move(answer), Fail(Unfit(id, "cancelled")));
  }
  job->cancels.push_back(std::move(answer));
  if (job->cancelled) {
    return;
  }
  job->cancelled = Error{.code = ErrorCode::kInterrupted, .detail = "cancelled"};
  if (job->run) {
    job->run->Cancel(*job->cancelled);
  } else if (job->record.state == JobState::kQueued) {
    scheduler_.Remove(id);
    TakeTurn();
    Finish(*job, JobState::kCancelled);
  }
  // Else its attempt is being written; Begin will see.
}

void JobService::Impl::Pause(const std::string& id, bool paused, Answer answer) {
  if (AfterItsEnd(id, [this, id, paused, answer] { Pause(id, paused, answer); })) {
    return;
  }
  auto woken = book_.Wake(id);
  if (!woken) {
    return Answers(std::move(answer), Fail(std::move(woken).error()));
  }
  ActiveJob* job = *woken;
  if (job == nullptr || job->cancelled) {
    return Answers(std::move(answer), Fail(Unfit(id, paused ? "paused" : "resumed")));
  }
  if (job->record.paused == paused) {
    Answers(std::move(answer), ViewOf(*job));
    return book_.Rest(id);
  }
  job->record.paused = paused;
  job->record.updated = parts_.clock.WallNow();
  Rule(*job);
  if (stopping_) {
    GoBackIfPaused(*job);
  }
  TakeTurn();
  book_.Save(*job, "state", paused ? "paused" : "resumed",
             [this, id, answer = std::move(answer)] { answer(Find(id)); });
}

void JobService::Impl::Retry(const std::string& id, Answer answer) {
  if (AfterItsEnd(id, [this, id, answer] { Retry(id, answer); })) {
    return;
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || ((*record)->state != JobState::kFailed && (*record)->state != JobState::kCancelled)) {
    return Answers(std::move(answer), Fail(Unfit(id, "tried again")));
  }
  if (book_.Find(id) != nullptr) {
    return Answers(std::move(answer), Fail(ErrorCode::kConflict, "job " + id + " is being tried again already"));
  }
  ActiveJob& job = book_.Add(**std::move(record));
  if (job.unreadable) {
    Answers(std::move(answer), Fail(*job.unreadable));
    static_cast<void>(book_.Take(id));
    return;
  }
  job.record.ended.reset();
  job.record.not_before.reset();
  job.record.outcome.clear();
  job.record.paused = false;
  job.record.deaths = 0;
  book_.Enter(job, JobState::kQueued);
  book_.Save(job, "state", "to be tried again", [this, id, answer = std::move(answer)] {
    if (const ActiveJob* queued = book_.Find(id); queued != nullptr && !queued->ending) {
      Enqueue(queued->record);
    }
    answer(Find(id));
  });
}

void JobService::Impl::Remove(const std::string& id, Answer answer) {
  if (AfterItsEnd(id, [this, id, answer] { Remove(id, answer); })) {
    return;
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || !IsFinal((*record)->state)) {
    return Answers(std::move(answer), Fail(Unfit(id, "removed; cancel it first")));
  }
  if (book_.Find(id) != nullptr) {
    return Answers(std::move(answer), Fail(ErrorCode::kConflict, "job " + id + " is being tried again"));
  }
  if (const auto removed = parts_.artifacts.Remove(id); !removed) {
    return Answers(std::move(answer), Fail(removed.error()));
  }
  JobView view{.record = **record, .live = {}, .version = 0};
  WriteEnded({.kind = store::Change::Kind::kRemove, .job = **record},
             [view = std::move(view), answer = std::move(answer)](const Status& done) {
               if (answer) {
                 answer(done ? Result<JobView>(view) : Fail(done.error()));
               }
             });
}

void JobService::Impl::Change(const std::string& id, std::optional<int> priority,
                              std::optional<std::map<std::string, std::string>> labels, Answer answer) {
  if (priority && (*priority < 0 || *priority > 100)) {
    return Answers(std::move(answer), Fail(ErrorCode::kBadParameters, "priority is a number from 0 to 100"));
  }
  if (AfterItsEnd(id, [this, id, priority, labels, answer] { Change(id, priority, labels, answer); })) {
    return;
  }
  const auto change = [&](JobRecord& record) {
    record.priority = priority.value_or(record.priority);
    if (labels) {
      record.labels = LabelsAsJson(*labels);
    }
    record.updated = parts_.clock.WallNow();
  };
  auto woken = book_.Wake(id);
  if (!woken) {
    return Answers(std::move(answer), Fail(std::move(woken).error()));
  }
  if (ActiveJob* job = *woken) {
    change(job->record);
    if (priority) {
      scheduler_.SetPriority(id, *priority);
      TakeTurn();
    }
    return book_.Save(*job, "note", "changed", [this, id, answer = std::move(answer)] { answer(Find(id)); });
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || priority) {
    return Answers(std::move(answer), Fail(Unfit(id, "given another priority")));
  }
  change(**record);
  JobView view{.record = **record, .live = {}, .version = 0};
  WriteEnded({.kind = store::Change::Kind::kUpdate, .job = **record, .only_if_attempt = (*record)->attempt},
             [view = std::move(view), answer = std::move(answer)](const Status& done) {
               answer(done ? Result<JobView>(view) : Fail(done.error()));
             });
}

void JobService::Impl::SetDraining(bool draining) {
  scheduler_.SetDraining(draining);
  book_.Touch();
  TakeTurn();
}

void JobService::Impl::Reload(SchedulerSettings order) {
  order_ = order;
  scheduler_.Reload(order);
  TakeTurn();
}

void JobService::Impl::Shutdown(std::chrono::milliseconds grace, std::function<void()> done) {
  stopping_ = true;
  on_stopped_ = std::move(done);
  scheduler_.SetDraining(true);
  for (auto& [id, job] : book_.awake()) {
    GoBackIfPaused(job);
  }
  grace_.expires_after(grace);
  grace_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    if (error) {
      return;
    }
    forecasts_.CancelAll(ToldToEnd());
    for (auto& [id, job] : book_.awake()) {
      GoBack(job);
    }
    // Whatever does not end by itself now is ended by destruction, and found by the next life.
    grace_.expires_after(kStoppingLimit);
    grace_.async_wait(alive_.Guard([this](const boost::system::error_code& late) {
      if (!late && on_stopped_) {
        std::exchange(on_stopped_, nullptr)();
      }
    }));
  }));
  AwaitShutdown();
}

// Time would do nothing for it, and nobody can resume it any more. Publishing does not stand still.
void JobService::Impl::GoBackIfPaused(ActiveJob& job) {
  if (job.record.paused && job.record.state != JobState::kPublishing) {
    GoBack(job);
  }
}

// What works goes back to the queue, and stays there for the next life.
void JobService::Impl::GoBack(ActiveJob& job) {
  if (job.ending || job.leaving || job.record.state == JobState::kQueued) {
    return;
  }
  job.leaving = true;
  // Without a run, its attempt is being written; Begin will see.
  if (job.run) {
    job.run->Cancel(ToldToEnd());
  }
}

// Not everything that ends says so here.
void JobService::Impl::AwaitShutdown() {
  CheckShutdown();
  if (on_stopped_) {
    look_again_.expires_after(kLookAgain);
    look_again_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
      if (!error) {
        AwaitShutdown();
      }
    }));
  }
}

void JobService::Impl::CheckShutdown() {
  if (!on_stopped_) {
    return;
  }
  const bool busy = !forecasts_.empty() || inserting_ > 0 || !ended_writes_.empty() ||
                    std::ranges::any_of(book_.awake(), [](const auto& entry) {
                      const ActiveJob& job = entry.second;
                      return job.run || job.ending || !job.unsaved.empty() || job.record.state != JobState::kQueued;
                    });
  if (!busy) {
    grace_.cancel();
    boost::asio::post(parts_.loop, std::exchange(on_stopped_, nullptr));
  }
}

// --- Retention

void JobService::Impl::AwaitRetention() {
  retention_.expires_after(kRetentionPeriod);
  retention_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    if (!error) {
      Retain();
      AwaitRetention();
    }
  }));
}

void JobService::Impl::Retain() {
  const auto now = parts_.clock.WallNow();
  for (const auto& [state, keep] : {std::pair{JobState::kSucceeded, settings_.keep_succeeded},
                                    std::pair{JobState::kFailed, settings_.keep_failed},
                                    std::pair{JobState::kCancelled, settings_.keep_cancelled}}) {
    const auto ended = parts_.store.EndedBefore(state, dates_.Ago(keep), kRetentionBatch);
    // The date was set back since: their time counts from now.
    const auto ahead = parts_.store.EndedAfter(state, now + kAheadOfTime, kRetentionBatch);
    if (!ended || !ahead) {
      log::Warning("ended jobs cannot be looked through: " + Describe(ended ? ahead.error() : ended.error()));
      return;
    }
    const auto is_busy = [this](const std::string& id) {
      return ended_writes_.contains(id) || book_.Find(id) != nullptr;
    };
    for (const auto& record : *ended) {
      if (!is_busy(record.id)) {
        Remove(record.id, nullptr);
      }
    }
    for (JobRecord record : *ahead) {
      if (!is_busy(record.id)) {
        record.ended = now;
        record.updated = now;
        const int attempt = record.attempt;
        WriteEnded({.kind = store::Change::Kind::kUpdate, .job = std::move(record), .only_if_attempt = attempt},
                   [](const Status& /*done*/) {});
      }
    }
  }
}

// --- The outside

JobService::JobService(Parts parts, SchedulerSettings order, ServiceSettings settings)
    : impl_(std::make_unique<Impl>(*this, std::move(parts), order, settings)) {}

Result<std::unique_ptr<JobService>> JobService::Open(Parts parts, SchedulerSettings order, ServiceSettings settings) {
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the constructor is private
  std::unique_ptr<JobService> service(new JobService(std::move(parts), order, settings));
  WEIR_TRY(service->impl_->Recover());
  return service;
}

JobService::~JobService() = default;

void JobService::Submit(const Submission& submission, Answer answer) { impl_->Submit(submission, std::move(answer)); }
void JobService::SubmitBatch(BatchSubmission submission, BatchAnswer answer) {
  impl_->SubmitBatch(std::move(submission), std::move(answer));
}
Result<BatchView> JobService::FindBatch(const std::string& id) { return impl_->FindBatch(id); }
void JobService::CancelBatch(const std::string& id, BatchAnswer answer) { impl_->CancelBatch(id, std::move(answer)); }
void JobService::Forecast(const Submission& submission, std::function<void(Result<Account>)> answer) {
  impl_->Forecast(submission, std::move(answer));
}
Result<JobView> JobService::Find(const std::string& id) { return impl_->Find(id); }
Result<JobViewPage> JobService::List(const store::JobFilter& filter, std::int64_t before, std::size_t limit) {
  return impl_->List(filter, before, limit);
}
Result<std::int64_t> JobService::LastEventId() { return impl_->LastEventId(); }
Result<std::vector<store::EventRecord>> JobService::Events(const std::string& job, std::int64_t after,
                                                           std::size_t limit) {
  return impl_->Events(job, after, limit);
}
Result<std::string> JobService::Timeline(const std::string& id) { return impl_->TimelineOf(id); }
void JobService::Cancel(const std::string& id, Answer answer) { impl_->Cancel(id, std::move(answer)); }
void JobService::Pause(const std::string& id, Answer answer) { impl_->Pause(id, true, std::move(answer)); }
void JobService::Resume(const std::string& id, Answer answer) { impl_->Pause(id, false, std::move(answer)); }
void JobService::Retry(const std::string& id, Answer answer) { impl_->Retry(id, std::move(answer)); }
void JobService::Remove(const std::string& id, Answer answer) { impl_->Remove(id, std::move(answer)); }
void JobService::Change(const std::string& id, std::optional<int> priority,
                        std::optional<std::map<std::string, std::string>> labels, Answer answer) {
  impl_->Change(id, priority, std::move(labels), std::move(answer));
}
boost::asio::awaitable<void> JobService::Changed(std::string id, std::uint64_t version, SteadyTime until) {
  return impl_->Changed(std::move(id), version, until);
}
std::uint64_t JobService::version() const { return impl_->version(); }
void JobService::Sweep() { impl_->Retain(); }
void JobService::Reload(SchedulerSettings order) { impl_->Reload(order); }
void JobService::SetDraining(bool draining) { impl_->SetDraining(draining); }
void JobService::Shutdown(std::chrono::milliseconds grace, std::function<void()> done) {
  impl_->Shutdown(grace, std::move(done));
}
ServiceFigures JobService::figures() const { return impl_->figures(); }
ServiceFigures JobService::at_work() const { return impl_->at_work(); }
Learning* JobService::learning() const { return impl_->learning(); }
Status JobService::Ask(Need need, std::function<void(Result<Grant>)> granted) {
  return impl_->Ask(std::move(need), std::move(granted));
}
void JobService::Withdraw(const std::string& job) { impl_->Withdraw(job); }
void JobService::GoOn(const std::string& job, Bytes lease) { impl_->GoOn(job, lease); }

}  // namespace weir::jobs
