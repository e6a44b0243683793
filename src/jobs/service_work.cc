#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "jobs/decision.h"
#include "jobs/outcome_json.h"
#include "jobs/service_impl.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;
using store::JobRecord;
using store::JobState;

// Progress reaches watchers at most four times a second for each job.
constexpr std::chrono::milliseconds kProgressPeriod{250};
constexpr std::chrono::seconds kLaunchAgain{1};
constexpr std::chrono::seconds kTakeBackAgain{1};
constexpr std::size_t kLongestReason = 1000;
constexpr std::chrono::milliseconds kWorthTelling{100};

std::string NextTry(const std::string& outcome, std::chrono::milliseconds pause, const ServiceSettings& settings) {
  const auto times = [](int tries, int most) {
    return ", time " + std::to_string(tries) + " of " + std::to_string(most);
  };
  return pause.count() == 0
             ? "once more, with a leaner plan if there is one" + times(FailedTries(outcome), settings.retries)
             : "once more in " + InSeconds(pause) + times(LaterTries(outcome), settings.infrastructure_retries);
}

}  // namespace

// --- Admission

Status JobService::Impl::Ask(Need need, std::function<void(Result<Grant>)> granted) {
  if (forecasts_.Owns(need.job)) {
    forecasts_.AskFor(need, std::move(granted));
    return {};
  }
  const std::string job = need.job;
  WEIR_TRY(scheduler_.Ask(std::move(need)));
  asked_[job] = std::move(granted);
  TakeTurn();
  return {};
}

void JobService::Impl::Withdraw(const std::string& job) {
  forecasts_.Withdraw(job);
  if (asked_.erase(job) > 0) {
    scheduler_.Withdraw(job);
    TakeTurn();
  }
}

void JobService::Impl::GoOn(const std::string& id, Bytes lease) {
  scheduler_.GoOn(id);
  if (ActiveJob* job = book_.Find(id)) {
    job->lease = lease;
    job->resident = {};
    job->advanced = parts_.clock.Now();
  }
  TakeTurn();
}

// --- Turns

void JobService::Impl::TakeTurn() {
  if (!std::exchange(turn_posted_, true)) {
    boost::asio::post(parts_.loop, alive_.Guard([this] {
      turn_posted_ = false;
      Turn();
    }));
  }
}

void JobService::Impl::Turn() {
  KeepOneGoing();
  while (auto id = scheduler_.NextStart()) {
    Launch(*id);
  }
  GiveOut();
  // Only when somebody waits for it: taking back what nobody wants is risk without use.
  if (scheduler_.WantsMemory() && TakeBack("other work waits for memory").count() > 0) {
    GiveOut();
  }
  // Questions take neither what is kept for a step, nor what the machine is short of while work goes on.
  forecasts_.Serve(
      [this] { return scheduler_.KeepsMemory() || (scheduler_.held() && parts_.ledger.lease_count() > 0); });
  auto next = scheduler_.NextChange();
  if (scheduler_.WantsMemory() && MayTakeBack()) {
    const auto look = parts_.clock.Now() + kTakeBackAgain;
    next = next ? std::min(*next, look) : look;
  }
  if (next) {
    turn_.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(*next));
    turn_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
      if (!error) {
        TakeTurn();
      }
    }));
  } else {
    turn_.cancel();
  }
}

void JobService::Impl::GiveOut() {
  while (auto granted = scheduler_.NextGrant()) {
    auto asked = asked_.extract(granted->first);
    if (asked) {
      if (ActiveJob* job = book_.Find(granted->first)) {
        job->lease = granted->second ? granted->second->lease.size() : Bytes();
        job->resident = {};
        job->advanced = parts_.clock.Now();
      }
      if (granted->second && on_work_) {
        on_work_();
      }
      boost::asio::post(parts_.loop, [then = std::move(asked.mapped()),
                                      grant = std::make_shared<Result<Grant>>(std::move(granted->second))] {
        then(std::move(*grant));
      });
    }
  }
}

Place JobService::Impl::PlaceOf(const JobRecord& record) const {
  Place place{.id = record.id,
              .owner = record.owner,
              .priority = record.priority,
              .created = record.created,
              .not_before = {},
              .paused = record.paused};
  if (record.not_before) {
    const auto pause = *record.not_before - parts_.clock.WallNow();
    // A clock that was set back meanwhile keeps nobody waiting longer than was decided.
    place.not_before =
        parts_.clock.Now() + std::clamp<Duration>(pause, Duration(0), LastPause(record.outcome, settings_));
  }
  return place;
}

// --- From the line to the work

void JobService::Impl::Launch(const std::string& id) {
  auto woken = book_.Wake(id);
  if (!woken) {
    log::Error("job " + id + " cannot be read, again in a second: " + Describe(woken.error()));
    return LaunchAgain(id);
  }
  ActiveJob* job = *woken;
  if (job == nullptr || job->ending) {
    scheduler_.Remove(id);
    return TakeTurn();
  }
  if (job->unreadable) {
    scheduler_.Remove(id);
    TakeTurn();
    job->record.outcome = json::serialize(json::object{{"failure", FailureAsJson(*job->unreadable)}});
    return Finish(*job, JobState::kFailed, Describe(*job->unreadable));
  }
  ++job->record.attempt;
  job->record.started = parts_.clock.WallNow();
  job->record.not_before.reset();
  book_.Enter(*job, JobState::kRunning);
  job->progress.reset();
  job->began = parts_.clock.Now();
  job->advanced = job->began;
  job->timeline.Begin(job->record.attempt, job->began);
  // On disk before the first child, so that no attempt can go uncounted.
  book_.Save(*job, "state", {}, [this, id] {
    if (ActiveJob* begun = book_.Find(id)) {
      Begin(*begun);
    }
  });
}

// It keeps its slot meanwhile: others could not be read either.
void JobService::Impl::LaunchAgain(const std::string& id) {
  to_launch_again_.insert(id);
  launch_again_.expires_after(kLaunchAgain);
  launch_again_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    if (!error) {
      for (const auto& waiting : std::exchange(to_launch_again_, {})) {
        Launch(waiting);
      }
    }
  }));
}

void JobService::Impl::Begin(ActiveJob& job) {
  const std::string id = job.record.id;
  if (job.cancelled || job.leaving) {
    return Ended(id, Outcome{.status = Fail(job.cancelled.value_or(ToldToEnd())), .account = {}});
  }
  jobs::Ask ask{.job = id,
                .request = job.stored.request,
                .input_path = job.stored.input,
                .output_path = job.stored.output.empty() ? job.stored.artifact : job.stored.output,
                .overwrite = job.stored.overwrite,
                .digest = true};
  ask.failed_before = static_cast<std::size_t>(LeanerTries(job.record.outcome));
  ask.open_source = [this, input = job.stored.input]() -> Result<store::Source> { return OpenInput(input); };
  ask.open_target = [this, id, stored = job.stored](const store::Source& source) {
    return stored.output.empty() ? parts_.artifacts.OpenTarget(id, stored.artifact)
                                 : parts_.roots.OpenOutput(stored.output, stored.overwrite, source);
  };
  job.run = std::make_unique<Run>(world_, std::move(ask), HooksOf(id),
                                  alive_.Guard([this, id](Outcome outcome) { Ended(id, std::move(outcome)); }));
  Rule(job);
  job.run->Start();
}

RunHooks JobService::Impl::HooksOf(const std::string& id) {
  RunHooks hooks;
  hooks.on_phase = [this, id](Phase phase, const Account& account) {
    ActiveJob* job = book_.Find(id);
    if (job == nullptr) {
      return;
    }
    if (phase == Phase::kWorking && account.chosen) {
      const auto& plan = account.ladder.plans[*account.chosen];
      job->plan = plan.name;
      job->forecast_peak = plan.forecast.peak;
      job->lease = plan.forecast.lease;
      job->frames = plan.forecast.frames;
      job->length = plan.expectation.duration;
      TellStart(*job, account);
    } else if (phase == Phase::kVerifying) {
      book_.Enter(*job, JobState::kVerifying);
      book_.Save(*job, "state", {});
    }
  };
  hooks.on_progress = [this, id](const media::Progress& progress, const media::Plan&, Bytes memory) {
    ActiveJob* job = book_.Find(id);
    if (job == nullptr) {
      return;
    }
    job->progress = progress;
    job->advanced = parts_.clock.Now();
    job->memory = memory;
    scheduler_.Advanced(id, PartDone(*job));
    if (parts_.clock.Now() - job->told >= kProgressPeriod) {
      job->told = parts_.clock.Now();
      book_.Touch(*job);
    }
  };
  hooks.on_memory = [this, id](Bytes resident, Bytes lease) {
    if (ActiveJob* job = book_.Find(id)) {
      job->resident = resident;
      job->timeline.Add(parts_.clock.Now(), resident, lease);
      book_.WriteHeld(*job);
    }
  };
  hooks.on_note = [this, id](const std::string& note) {
    if (ActiveJob* job = book_.Find(id)) {
      book_.Save(*job, "note", note);
    }
  };
  hooks.before_publish = [this, id](const Account& account, std::function<void(Status)> go) {
    PublishWhenWritten(id, account, std::move(go));
  };
  return hooks;
}

void JobService::Impl::TellStart(ActiveJob& job, const Account& account) {
  const auto& plans = account.ladder.plans;
  if (!account.reason || account.reason->way > *account.chosen) {
    return book_.Touch(job);
  }
  work_waits_.Add(account.reason->waited);
  const auto first = *account.chosen - account.reason->way;
  const auto failed = [&](std::size_t way) {
    return way < account.skipped ||
           std::ranges::find(account.attempts, plans[way].name, &Attempt::plan) != account.attempts.end();
  };
  const Reason reason = InLadder(*account.reason, first, plans, parts_.ledger.largest_possible(), failed);
  const WayName name = [&](std::size_t way) { return plans[way].name; };
  job.decision = Sentence(reason, name);
  if (const Duration before = account.waited - account.reason->waited; before >= kWorthTelling) {
    job.decision += "; the steps before had waited " + InSeconds(before);
  }
  book_.Tell(job, "decision", job.decision, {{"decision", ReasonAsJson(reason, name)}});
}

// What will appear is on disk before it does, and only for the attempt that holds the job.
void JobService::Impl::PublishWhenWritten(const std::string& id, const Account& account,
                                          std::function<void(Status)> go) {
  ActiveJob* job = book_.Find(id);
  if (job == nullptr) {
    return go(Fail(ErrorCode::kConflict, "the job is gone"));
  }
  job->record.outcome = WithDecision(
      json::serialize(OutcomeOf(job->record.outcome, job->stored, job->record.attempt, account)), job->decision);
  book_.Enter(*job, JobState::kPublishing);
  book_.Touch(*job);
  store::Change change{
      .kind = store::Change::Kind::kUpdate,
      .job = job->record,
      .only_if_attempt = job->record.attempt,
      .event = store::EventRecord{
          .time = parts_.clock.WallNow(), .type = "state", .data = Book::EventData(job->record, {})}};
  parts_.store.Commit(std::move(change),
                      alive_.Guard([this, id, go = std::move(go)](const Result<store::Committed>& done) {
                        if (ActiveJob* refused = book_.Find(id);
                            refused != nullptr && !done && done.error().code == ErrorCode::kConflict) {
                          refused->foreign = true;
                        }
                        go(done ? Status{} : Fail(done.error()));
                      }));
}

Result<store::Source> JobService::Impl::OpenInput(const std::string& input) const {
  WEIR_ASSIGN(auto source, parts_.roots.OpenInput(input));
  if (settings_.largest_input.count() > 0 && source.file.size > settings_.largest_input) {
    return Fail(Error{.code = ErrorCode::kInputTooLarge,
                      .detail = "the input " + Quoted(input) + " has " + ToString(source.file.size) +
                                ", and the largest allowed here is " + ToString(settings_.largest_input)}
                    .With("size_bytes", source.file.size.count())
                    .With("limit_bytes", settings_.largest_input.count()));
  }
  return source;
}

// After a death between the last commit and the next: is what stands under the result's name what was to appear
// there?
bool JobService::Impl::HasAppeared(const ActiveJob& job) const {
  const auto promised = PromisedIn(job.record.outcome);
  if (!promised || job.unreadable) {
    return false;
  }
  if (job.stored.output.empty()) {
    const auto file = parts_.artifacts.OpenFile(job.record.id, job.stored.artifact);
    return file && file->identity == promised->identity && file->size.count() == promised->size;
  }
  const auto file = parts_.roots.OpenInput(job.stored.output);
  return file && store::IdentityOf(*file) == promised->identity && file->file.size.count() == promised->size;
}

// --- From the work to the end

void JobService::Impl::Ended(const std::string& id, Outcome outcome) {
  ActiveJob* job = book_.Find(id);
  if (job == nullptr) {
    return;
  }
  // The run is in the middle of its last callback.
  boost::asio::post(parts_.loop, [run = std::shared_ptr<Run>(std::move(job->run))] {});
  scheduler_.Remove(id);
  job->lease = {};
  attempts_.Add(parts_.clock.Now() - job->began);
  job->suspended = false;
  TakeTurn();
  if (job->foreign) {
    return Leave(id);
  }
  auto document =
      OutcomeOf(WithDecision(job->record.outcome, job->decision), job->stored, job->record.attempt, outcome.account);
  if (outcome.status) {
    job->record.outcome = json::serialize(document);
    return Finish(*job, JobState::kSucceeded);
  }
  document.erase("artifacts");
  if (job->cancelled) {
    job->record.outcome = json::serialize(document);
    return Finish(*job, JobState::kCancelled);
  }
  if (job->leaving) {
    return Requeue(*job, "weir was told to end", std::nullopt);
  }
  if (!job->yields.empty()) {
    CountYield(document);
    job->record.outcome = json::serialize(document);
    return Requeue(*job, std::exchange(job->yields, {}), std::nullopt);
  }
  const Error& error = outcome.status.error();
  const auto pause = CountFailure(document, CauseOf(error.code), settings_);
  document["failure"] = FailureAsJson(error);
  job->record.outcome = json::serialize(document);
  if (pause) {
    Requeue(*job, Describe(error) + "; " + NextTry(job->record.outcome, *pause, settings_), pause);
  } else {
    Finish(*job, JobState::kFailed, Describe(error));
  }
}

void JobService::Impl::Requeue(ActiveJob& job, const std::string& why,
                               std::optional<std::chrono::milliseconds> backoff) {
  book_.Enter(job, JobState::kQueued);
  job.progress.reset();
  job.decision = "back to the queue: " + why;
  job.record.outcome = WithDecision(job.record.outcome, job.decision);
  if (backoff && backoff->count() > 0) {
    job.record.not_before = parts_.clock.WallNow() + *backoff;
  }
  const std::string id = job.record.id;
  book_.Save(
      job, "state", why,
      [this, id] {
        if (const ActiveJob* queued = book_.Find(id); queued != nullptr && !queued->ending) {
          Enqueue(queued->record);
        }
        CheckShutdown();
      },
      true);
}

void JobService::Impl::Park(ActiveJob& job) {
  const Error parked =
      Error{.code = ErrorCode::kCrashed,
            .detail = "weir or the machine died " + std::to_string(job.record.deaths) +
                      " times while this job ran, the last time in state " + store::NameOf(job.record.state) +
                      "; it is parked: look at its events, then retry it"}
          .With("deaths", static_cast<std::uint64_t>(job.record.deaths))
          .With("attempts", static_cast<std::uint64_t>(job.record.attempt));
  auto outcome = ParsedObject(job.record.outcome);
  outcome["failure"] = FailureAsJson(parked);
  job.record.outcome = json::serialize(outcome);
  Finish(job, JobState::kFailed, parked.detail);
}

void JobService::Impl::Finish(ActiveJob& job, JobState state, const std::string& why) {
  job.record.paused = false;
  book_.Enter(job, state);
  job.ending = true;
  const std::string id = job.record.id;
  if (state != JobState::kSucceeded) {
    if (const auto removed = parts_.artifacts.Remove(id); !removed) {
      log::Warning(Describe(removed.error()));
    }
  }
  book_.Save(job, "state", why.substr(0, kLongestReason), [this, id] { Leave(id); }, true);
}

// Whoever waited for the end hears of it.
void JobService::Impl::Leave(const std::string& id) {
  ActiveJob ended = book_.Take(id);
  for (auto& ask : ended.afterwards) {
    boost::asio::post(parts_.loop, std::move(ask));
  }
  // Overtaken by the end: whoever asked for it hears of that.
  for (auto& left : ended.unsaved) {
    if (left.then) {
      boost::asio::post(parts_.loop, alive_.Guard(std::move(left.then)));
    }
  }
  const bool cancelled = ended.record.state == JobState::kCancelled && !ended.foreign;
  for (auto& answer : ended.cancels) {
    cancelled ? Answers(std::move(answer), ViewOf(ended.record, false))
              : Answers(std::move(answer), Fail(Unfit(id, "cancelled any more")));
  }
  CheckShutdown();
}

// Its work, if any, is stopped and nothing of it is published; what the disk says of the job is left as it is.
void JobService::Impl::Disown(const std::string& id) {
  ActiveJob* job = book_.Find(id);
  if (job == nullptr) {
    return;
  }
  const bool known = std::exchange(job->foreign, true);
  if (job->run) {
    if (!known) {
      job->run->Cancel({.code = ErrorCode::kConflict, .detail = "its record was changed by somebody else"});
    }
    return;
  }
  scheduler_.Remove(id);
  TakeTurn();
  Leave(id);
}

}  // namespace weir::jobs
