#include "jobs/service.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <deque>
#include <set>
#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/account_json.h"
#include "jobs/alive.h"
#include "jobs/retry.h"
#include "media/request_json.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;
using store::JobRecord;
using store::JobState;

constexpr std::chrono::seconds kSaveAgain{1};
constexpr std::chrono::seconds kRetentionPeriod{30};
constexpr std::size_t kRetentionBatch = 200;
// Progress reaches watchers at most four times a second for each job.
constexpr std::chrono::milliseconds kProgressPeriod{250};
constexpr std::chrono::milliseconds kStoppingLimit{10'000};
constexpr std::size_t kMostForecasts = 16;

json::object Parsed(const std::string& document) {
  boost::system::error_code error;
  auto value = json::parse(document, error);
  return !error && value.is_object() ? std::move(value.as_object()) : json::object();
}

std::string LabelsAsJson(const std::map<std::string, std::string>& labels) {
  json::object out;
  for (const auto& [key, value] : labels) {
    out[key] = value;
  }
  return json::serialize(out);
}

// What is stored of a request: everything that is needed to carry it out again.
struct Stored {
  media::Request request;
  std::string input;
  std::string output;  // "" for an artefact
  std::string artifact;
  bool overwrite = false;
};

std::string RequestDocument(const Submission& submission, const media::Request& request) {
  return json::serialize(json::object{{"params", Parsed(media::ParamsToJson(request))},
                                      {"input", Text(submission.input)},
                                      {"output", Text(submission.output)},
                                      {"overwrite", submission.overwrite}});
}

std::string ArtifactName(const std::string& recipe, const media::Request& request) {
  return recipe + "." + std::string(media::ExtensionOf(request.output));
}

std::string OutputName(const std::string& output) { return output.substr(output.rfind('/') + 1); }

json::object FailureAsJson(const Error& error) {
  auto failure = ErrorAsJson(error);
  failure["cause"] = NameOf(CauseOf(error.code));
  return failure;
}

Result<Stored> Read(const std::string& recipe, const std::string& document) {
  auto fields = Parsed(document);
  const auto text = [&](const char* key) {
    const auto* value = fields.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  Stored stored;
  stored.input = text("input");
  stored.output = text("output");
  const auto* overwrite = fields.if_contains("overwrite");
  stored.overwrite = overwrite != nullptr && overwrite->is_bool() && overwrite->as_bool();
  const auto* params = fields.if_contains("params");
  WEIR_ASSIGN(stored.request, media::RequestFromJson(recipe, params != nullptr ? json::serialize(*params) : "",
                                                     OutputName(stored.output)));
  stored.artifact = ArtifactName(recipe, stored.request);
  return stored;
}

}  // namespace

class JobService::Impl {
 public:
  Impl(JobService& owner, Parts parts, SchedulerSettings order, ServiceSettings settings)
      : parts_(std::move(parts)),
        order_(order),
        settings_(settings),
        scheduler_(parts_.clock, parts_.ledger, order),
        world_{.loop = parts_.loop,
               .aside = parts_.aside,
               .clock = parts_.clock,
               .launcher = parts_.launcher,
               .ledger = parts_.ledger,
               .admission = owner,
               .state = parts_.state,
               .tools = parts_.tools,
               .machine = parts_.machine,
               .limits = parts_.limits},
        turn_(parts_.loop),
        retention_(parts_.loop),
        save_again_(parts_.loop),
        grace_(parts_.loop) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    forecasts_.clear();
    for (auto& [id, job] : active_) {
      job.run.reset();
    }
  }

  Status Recover();

  // --- Asked from outside

  void Submit(const Submission& submission, Answer answer);
  void Forecast(const Submission& submission, std::function<void(Result<Account>)> answer);
  Result<JobView> Find(const std::string& id);
  Result<std::vector<JobView>> List(const store::JobFilter& filter, std::int64_t before, std::size_t limit);
  Result<std::vector<store::EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit) {
    return parts_.store.Events(job, after, limit);
  }
  void Cancel(const std::string& id, Answer answer);
  void Pause(const std::string& id, bool paused, Answer answer);
  void Retry(const std::string& id, Answer answer);
  void Remove(const std::string& id, Answer answer);
  void Change(const std::string& id, std::optional<int> priority,
              std::optional<std::map<std::string, std::string>> labels, Answer answer);
  boost::asio::awaitable<void> Changed(std::string id, std::uint64_t version, SteadyTime until);
  [[nodiscard]] std::uint64_t version() const { return version_; }
  void Retain();
  void SetDraining(bool draining);
  void Reload(SchedulerSettings order) {
    order_ = order;
    scheduler_.Reload(order);
    TakeTurn();
  }
  void Shutdown(std::chrono::milliseconds grace, std::function<void()> done);
  [[nodiscard]] ServiceFigures figures() const;

  // --- Admission

  Status Ask(Need need, std::function<void(Result<Grant>)> granted) {
    const std::string job = need.job;
    if (forecasts_.contains(job)) {
      forecast_asks_.push_back({.job = job, .size = need.ways.front(), .granted = std::move(granted)});
      TakeTurn();
      return {};
    }
    WEIR_TRY(scheduler_.Ask(std::move(need)));
    asked_[job] = std::move(granted);
    TakeTurn();
    return {};
  }
  void Withdraw(const std::string& job) {
    std::erase_if(forecast_asks_, [&](const ForecastAsk& ask) { return ask.job == job; });
    if (asked_.erase(job) > 0) {
      scheduler_.Withdraw(job);
      TakeTurn();
    }
  }

 private:
  // One that is not final.
  struct Active {
    JobRecord record;
    Stored stored;
    std::unique_ptr<Run> run;
    std::optional<media::Progress> progress;
    std::optional<MediaTime> length;
    std::int64_t frames = 0;
    std::string plan;
    Bytes lease;
    Bytes memory;
    SteadyTime began{};
    SteadyTime told{};  // when watchers last heard of progress
    std::uint64_t version = 0;
    bool ending = false;   // the last change is on its way to the disk
    bool leaving = false;  // shutdown: back to the queue
    struct Unsaved {
      store::EventRecord event;
      std::function<void()> then;
    };
    std::vector<Unsaved> unsaved;                   // changes that could not be written yet, in their order
    std::vector<Answer> cancels;                    // who asked for it
    std::vector<std::function<void()>> afterwards;  // asked while `ending`, of the ended job
    std::optional<Error> cancelled;
  };
  using Jobs = std::map<std::string, Active, std::less<>>;

  JobView ViewOf(const Active& job) const;
  void Answers(Answer answer, Result<JobView> result) const {
    if (answer) {
      boost::asio::post(parts_.loop, [answer = std::move(answer), result = std::move(result)] { answer(result); });
    }
  }
  Active* Known(const std::string& id) {
    const auto found = active_.find(id);
    return found == active_.end() ? nullptr : &found->second;
  }
  // A job that is not active: 404, or the sentence of why its state forbids it.
  Error Unfit(const std::string& id, const std::string& what) const;

  void Enter(Active& job, JobState state) {
    job.record.state = state;
    job.record.updated = parts_.clock.WallNow();
    if (IsFinal(state)) {
      job.record.ended = job.record.updated;
    }
  }
  std::string EventData(const Active& job, const std::string& note) const;
  // Writes the job as it is now with an event. `then` hears when it is on disk; what cannot be written now is written
  // again, in its order, until it can.
  void Save(Active& job, const std::string& type, const std::string& note, std::function<void()> then = {});
  void Write(const Active& job, const store::EventRecord& event, std::function<void()> then);
  void SaveUnsaved();
  void Touch(Active& job) {
    job.version = ++version_;
    Wake();
  }
  void Wake() {
    for (auto* timer : std::exchange(watchers_, {})) {
      timer->cancel();
    }
  }

  void TakeTurn();
  void Turn();
  Place PlaceOf(const Active& job) const;
  void Launch(const std::string& id);
  void Begin(Active& job);
  void Ended(const std::string& id, Outcome outcome);
  void Finish(Active& job, JobState state);
  void Requeue(Active& job, const std::string& why, std::optional<std::chrono::milliseconds> backoff);
  json::object OutcomeOf(const Active& job, const Account& account) const;
  bool HasAppeared(const Active& job) const;
  static int LeanerTries(const Active& job);
  Result<store::Source> OpenInput(const std::string& input) const;
  // The job that has the same key and digest; kConflict when the digest is another.
  Result<std::optional<JobView>> Earlier(const JobRecord& record);
  void AwaitRetention();
  void CheckShutdown();

  Parts parts_;
  SchedulerSettings order_;
  ServiceSettings settings_;
  Scheduler scheduler_;
  World world_;
  Jobs active_;
  std::map<std::string, std::function<void(Result<Grant>)>> asked_;
  // They hold no slots, so that a question is not answered after an hour's work; a probe's lease is small.
  struct ForecastAsk {
    std::string job;
    Bytes size;
    std::function<void(Result<Grant>)> granted;
  };
  std::deque<ForecastAsk> forecast_asks_;
  std::map<std::string, std::unique_ptr<Run>> forecasts_;
  std::uint64_t version_ = 1;
  std::set<boost::asio::steady_timer*> watchers_;
  std::size_t inserting_ = 0;
  bool turn_posted_ = false;
  bool stopping_ = false;
  std::function<void()> on_stopped_;
  boost::asio::steady_timer turn_;
  boost::asio::steady_timer retention_;
  boost::asio::steady_timer save_again_;
  bool saving_again_ = false;
  boost::asio::steady_timer grace_;
  Alive alive_;
};

// --- Recovery

Status JobService::Impl::Recover() {
  WEIR_ASSIGN(auto records, parts_.store.Active());
  for (auto& record : records) {
    const std::string id = record.id;
    auto stored = Read(record.recipe, record.request);
    Active& job = active_[id];
    job.record = std::move(record);
    if (!stored) {
      // Of a version that knew other words.
      job.record.outcome = json::serialize(json::object{{"failure", FailureAsJson(stored.error())}});
      Finish(job, JobState::kFailed);
      continue;
    }
    job.stored = *std::move(stored);
    if (job.record.state == JobState::kQueued) {
      static_cast<void>(scheduler_.Enqueue(PlaceOf(job), true));
      continue;
    }
    if (job.record.state == JobState::kPublishing && HasAppeared(job)) {
      Finish(job, JobState::kSucceeded);
      continue;
    }
    ++job.record.deaths;
    if (job.record.deaths >= settings_.deaths_until_parked) {
      const Error parked =
          Error{.code = ErrorCode::kCrashed,
                .detail = "weir or the machine died " + std::to_string(job.record.deaths) +
                          " times while this job ran, the last time in state " + store::NameOf(job.record.state) +
                          "; it is parked: look at its events, then retry it"}
              .With("deaths", static_cast<std::uint64_t>(job.record.deaths))
              .With("attempts", static_cast<std::uint64_t>(job.record.attempt));
      auto outcome = Parsed(job.record.outcome);
      outcome["failure"] = FailureAsJson(parked);
      job.record.outcome = json::serialize(outcome);
      Finish(job, JobState::kFailed);
      continue;
    }
    Requeue(job, "weir died while it ran", std::nullopt);
  }
  AwaitRetention();
  TakeTurn();
  return {};
}

// --- Views

JobView JobService::Impl::ViewOf(const Active& job) const {
  JobView view{.record = job.record, .live = Live{}, .version = job.version};
  view.live->waiting_for = scheduler_.ReasonOf(job.record.id);
  if (job.record.state == JobState::kQueued) {
    view.live->position = scheduler_.PositionOf(job.record.id);
  }
  view.live->progress = job.progress;
  view.live->length = job.length;
  view.live->frames = job.frames;
  view.live->memory = job.memory;
  return view;
}

Result<JobView> JobService::Impl::Find(const std::string& id) {
  if (const Active* job = Known(id); job != nullptr && !job->ending) {
    return ViewOf(*job);
  }
  WEIR_ASSIGN(auto record, parts_.store.Find(id));
  if (!record) {
    return Fail(ErrorCode::kNotFound, "there is no job " + Quoted(id) + "; it may have been removed after its time");
  }
  return JobView{.record = *std::move(record), .live = {}, .version = 0};
}

Result<std::vector<JobView>> JobService::Impl::List(const store::JobFilter& filter, std::int64_t before,
                                                    std::size_t limit) {
  WEIR_ASSIGN(auto records, parts_.store.List(filter, before, limit));
  std::vector<JobView> views;
  views.reserve(records.size());
  for (auto& record : records) {
    const Active* job = Known(record.id);
    // What is on disk decides, so that a page agrees with its filter.
    if (job != nullptr && !job->ending && job->record.state == record.state) {
      views.push_back(ViewOf(*job));
    } else {
      views.push_back({.record = std::move(record), .live = {}, .version = 0});
    }
  }
  return views;
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

boost::asio::awaitable<void> JobService::Impl::Changed(std::string id, std::uint64_t version, SteadyTime until) {
  const auto unchanged = [&] {
    if (id.empty()) {
      return version_ == version;
    }
    const Active* job = Known(id);
    return job != nullptr && !job->ending && job->version == version;
  };
  const std::weak_ptr<int> alive = alive_.token();
  while (unchanged() && parts_.clock.Now() < until) {
    boost::asio::steady_timer timer(parts_.loop);
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

ServiceFigures JobService::Impl::figures() const {
  ServiceFigures figures;
  figures.scheduler = scheduler_.figures();
  figures.draining = scheduler_.draining();
  for (const auto& [id, job] : active_) {
    figures.unsaved += job.unsaved.empty() ? 0U : 1U;
    if (job.run) {
      figures.running.push_back({.job = id,
                                 .recipe = job.record.recipe,
                                 .plan = job.plan,
                                 .lease = job.lease,
                                 .memory = job.memory,
                                 .since = job.began});
    }
  }
  if (auto counts = parts_.store.CountByState()) {
    figures.by_state = *std::move(counts);
  }
  return figures;
}

// --- Writing

std::string JobService::Impl::EventData(const Active& job, const std::string& note) const {
  json::object data{
      {"state", store::NameOf(job.record.state)}, {"attempt", job.record.attempt}, {"paused", job.record.paused}};
  if (!note.empty()) {
    data["note"] = Text(note);
  }
  return json::serialize(data);
}

void JobService::Impl::Save(Active& job, const std::string& type, const std::string& note,
                            std::function<void()> then) {
  store::EventRecord event{.time = parts_.clock.WallNow(), .type = type, .data = EventData(job, note)};
  Touch(job);
  if (!job.unsaved.empty()) {
    job.unsaved.push_back({.event = std::move(event), .then = std::move(then)});
    return;
  }
  Write(job, event, std::move(then));
}

void JobService::Impl::Write(const Active& job, const store::EventRecord& event, std::function<void()> then) {
  store::Change change{
      .kind = store::Change::Kind::kUpdate, .job = job.record, .only_if_attempt = {}, .event = event};
  parts_.store.Commit(std::move(change), alive_.Guard([this, id = job.record.id, event,
                                                       then = std::move(then)](const Result<store::Committed>& done) {
    if (done) {
      ++version_;
      Wake();
      if (then) {
        then();
      }
      return;
    }
    log::Error("job " + id + " could not be written, again in a second: " + Describe(done.error()));
    if (Active* saved = Known(id)) {
      saved->unsaved.push_back({.event = event, .then = then});
      SaveUnsaved();
    }
  }));
}

void JobService::Impl::SaveUnsaved() {
  if (std::exchange(saving_again_, true)) {
    return;
  }
  save_again_.expires_after(kSaveAgain);
  save_again_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    saving_again_ = false;
    if (error) {
      return;
    }
    for (auto& [id, job] : active_) {
      for (auto& unsaved : std::exchange(job.unsaved, {})) {
        Write(job, unsaved.event, std::move(unsaved.then));
      }
    }
  }));
}

// --- Turns

// Everything that may change who runs ends here, once for any number of changes in a row.
void JobService::Impl::TakeTurn() {
  if (!std::exchange(turn_posted_, true)) {
    boost::asio::post(parts_.loop, alive_.Guard([this] {
      turn_posted_ = false;
      Turn();
    }));
  }
}

void JobService::Impl::Turn() {
  while (auto id = scheduler_.NextStart()) {
    Launch(*id);
  }
  while (auto granted = scheduler_.NextGrant()) {
    auto asked = asked_.extract(granted->first);
    if (asked) {
      if (Active* job = Known(granted->first)) {
        job->lease = granted->second ? granted->second->lease.size() : Bytes();
      }
      boost::asio::post(parts_.loop, [then = std::move(asked.mapped()),
                                      grant = std::make_shared<Result<Grant>>(std::move(granted->second))] {
        then(std::move(*grant));
      });
    }
  }
  while (!forecast_asks_.empty()) {
    auto lease = parts_.ledger.Acquire(forecast_asks_.front().size, "forecast");
    if (!lease) {
      break;
    }
    boost::asio::post(parts_.loop, [then = std::move(forecast_asks_.front().granted),
                                    grant = std::make_shared<Grant>(Grant{.way = 0, .lease = *std::move(lease)})] {
      then(std::move(*grant));
    });
    forecast_asks_.pop_front();
  }
  if (const auto next = scheduler_.NextChange()) {
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

Place JobService::Impl::PlaceOf(const Active& job) const {
  Place place{.id = job.record.id,
              .owner = job.record.owner,
              .priority = job.record.priority,
              .created = job.record.created,
              .paused = job.record.paused};
  if (job.record.not_before) {
    const auto pause = *job.record.not_before - parts_.clock.WallNow();
    // A clock that was set back meanwhile keeps nobody waiting longer than any back-off.
    place.not_before = parts_.clock.Now() + std::clamp<Duration>(pause, Duration(0), std::chrono::minutes(5));
  }
  return place;
}

// --- The work

void JobService::Impl::Launch(const std::string& id) {
  Active* job = Known(id);
  if (job == nullptr) {
    scheduler_.Remove(id);
    return;
  }
  ++job->record.attempt;
  job->record.started = parts_.clock.WallNow();
  job->record.not_before.reset();
  Enter(*job, JobState::kRunning);
  job->progress.reset();
  job->began = parts_.clock.Now();
  // On disk before the first child, so that no attempt can go uncounted.
  Save(*job, "state", {}, [this, id] {
    if (Active* begun = Known(id)) {
      Begin(*begun);
    }
  });
}

void JobService::Impl::Begin(Active& job) {
  const std::string id = job.record.id;
  if (job.cancelled || job.leaving) {
    return Ended(id, Outcome{.status = Fail(job.cancelled.value_or(
                                 Error{.code = ErrorCode::kTerminated, .detail = "weir was told to end"})),
                             .account = {}});
  }
  jobs::Ask ask{.job = id,
                .request = job.stored.request,
                .input_path = job.stored.input,
                .output_path = job.stored.output.empty() ? job.stored.artifact : job.stored.output,
                .overwrite = job.stored.overwrite};
  ask.plans_to_skip = static_cast<std::size_t>(LeanerTries(job));
  ask.open_source = [this, input = job.stored.input]() -> Result<store::Source> { return OpenInput(input); };
  ask.open_target = [this, id, stored = job.stored](const store::Source& source) {
    return stored.output.empty() ? parts_.artifacts.OpenTarget(id, stored.artifact)
                                 : parts_.roots.OpenOutput(stored.output, stored.overwrite, source);
  };

  RunHooks hooks;
  hooks.on_phase = [this, id](Phase phase, const Account& account) {
    Active* running = Known(id);
    if (running == nullptr) {
      return;
    }
    if (phase == Phase::kWorking && account.chosen) {
      const auto& plan = account.ladder.plans[*account.chosen];
      running->plan = plan.name;
      running->frames = plan.forecast.frames;
      running->length = plan.expectation.duration;
      Touch(*running);
    } else if (phase == Phase::kVerifying) {
      Enter(*running, JobState::kVerifying);
      Save(*running, "state", {});
    }
  };
  hooks.on_progress = [this, id](const media::Progress& progress, const media::Plan&, Bytes memory) {
    Active* running = Known(id);
    if (running == nullptr) {
      return;
    }
    running->progress = progress;
    running->memory = memory;
    if (parts_.clock.Now() - running->told >= kProgressPeriod) {
      running->told = parts_.clock.Now();
      Touch(*running);
    }
  };
  hooks.on_note = [this, id](const std::string& note) {
    if (Active* running = Known(id)) {
      Save(*running, "note", note);
    }
  };
  hooks.before_publish = [this, id](const Account& account, std::function<void(Status)> go) {
    Active* running = Known(id);
    if (running == nullptr) {
      return go(Fail(ErrorCode::kConflict, "the job is gone"));
    }
    running->record.outcome = json::serialize(OutcomeOf(*running, account));
    Enter(*running, JobState::kPublishing);
    Touch(*running);
    store::Change change{.kind = store::Change::Kind::kUpdate,
                         .job = running->record,
                         .only_if_attempt = running->record.attempt,
                         .event = store::EventRecord{
                             .time = parts_.clock.WallNow(), .type = "state", .data = EventData(*running, {})}};
    parts_.store.Commit(std::move(change), alive_.Guard([go = std::move(go)](const Result<store::Committed>& done) {
      go(done ? Status{} : Fail(done.error()));
    }));
  };
  job.run = std::make_unique<Run>(world_, std::move(ask), std::move(hooks),
                                  alive_.Guard([this, id](Outcome outcome) { Ended(id, std::move(outcome)); }));
  if (job.record.paused) {
    job.run->Pause();
  }
  job.run->Start();
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

json::object JobService::Impl::OutcomeOf(const Active& job, const Account& account) const {
  json::object out;
  if (const auto earlier = Parsed(job.record.outcome); earlier.contains("retries")) {
    out["retries"] = earlier.at("retries");
  }
  if (account.chosen) {
    // Stored for a hundred thousand jobs: what can be made again from the request stays out.
    auto plan = PlanAsJson(account.ladder.plans[*account.chosen]);
    plan.erase("arguments");
    out["plan"] = std::move(plan);
    out["notes"] = Strings(account.ladder.notes);
    out["source"] = FactsAsJson(account.source);
  }
  if (!account.attempts.empty()) {
    const auto& last = account.attempts.back();
    out["memory"] = json::object{{"forecast_peak_bytes", last.forecast.peak.count()},
                                 {"lease_bytes", last.forecast.lease.count()},
                                 {"measured_peak_bytes", last.measured_peak.count()}};
    out["runs"] = AttemptsAsJson(account);
  }
  if (account.checks.ok() && !account.output_identity.empty()) {
    json::object artifact{
        {"name", Text(job.stored.output.empty() ? job.stored.artifact : OutputName(job.stored.output))},
        {"size_bytes", account.output_size.count()},
        {"identity", account.output_identity}};
    if (!job.stored.output.empty()) {
      artifact["path"] = Text(job.stored.output);
    }
    out["artifacts"] = json::array{std::move(artifact)};
    out["output"] = FactsAsJson(account.output);
    out["checks"] = account.checks.lines.size();
    out["time"] = TimesAsJson(account);
  }
  return out;
}

// After a death between the last commit and the next: is what stands under the result's name what was to appear
// there?
bool JobService::Impl::HasAppeared(const Active& job) const {
  const auto outcome = Parsed(job.record.outcome);
  const auto* artifacts = outcome.if_contains("artifacts");
  if (artifacts == nullptr || !artifacts->is_array() || artifacts->as_array().empty()) {
    return false;
  }
  const auto& artifact = artifacts->as_array().front().as_object();
  const std::string identity(artifact.at("identity").as_string());
  const auto size = artifact.at("size_bytes").to_number<std::uint64_t>();
  if (job.stored.output.empty()) {
    const auto file = parts_.artifacts.OpenFile(job.record.id, job.stored.artifact);
    return file && file->identity == identity && file->size.count() == size;
  }
  const auto file = parts_.roots.OpenInput(job.stored.output);
  return file && store::IdentityOf(*file) == identity && file->file.size.count() == size;
}

int JobService::Impl::LeanerTries(const Active& job) {
  const auto outcome = Parsed(job.record.outcome);
  const auto* retries = outcome.if_contains("retries");
  const auto* leaner =
      retries != nullptr && retries->is_object() ? retries->as_object().if_contains("leaner") : nullptr;
  return leaner != nullptr && leaner->is_int64() ? static_cast<int>(leaner->as_int64()) : 0;
}

void JobService::Impl::Ended(const std::string& id, Outcome outcome) {
  Active* job = Known(id);
  if (job == nullptr) {
    return;
  }
  // The run is in the middle of its last callback.
  boost::asio::post(parts_.loop, [run = std::shared_ptr<Run>(std::move(job->run))] {});
  scheduler_.Remove(id);
  job->lease = {};
  TakeTurn();
  if (outcome.status) {
    job->record.outcome = json::serialize(OutcomeOf(*job, outcome.account));
    return Finish(*job, JobState::kSucceeded);
  }
  auto document = OutcomeOf(*job, outcome.account);
  document.erase("artifacts");
  const Error& error = outcome.status.error();
  if (job->cancelled) {
    job->record.outcome = json::serialize(document);
    return Finish(*job, JobState::kCancelled);
  }
  if (job->leaving) {
    return Requeue(*job, "weir was told to end", std::nullopt);
  }
  const Cause cause = CauseOf(error.code);
  json::object retries;
  if (auto* earlier = document.if_contains("retries"); earlier != nullptr && earlier->is_object()) {
    retries = earlier->as_object();
  }
  const auto tried = [&](const char* kind) {
    auto& count = retries[kind];
    const std::int64_t before = count.is_int64() ? count.as_int64() : 0;
    count = before + 1;
    return static_cast<int>(before);
  };
  std::optional<std::chrono::milliseconds> again;
  if (AgainAfter(cause) == Again::kLeaner && tried("leaner") < settings_.retries) {
    again = std::chrono::milliseconds(0);
  } else if (AgainAfter(cause) == Again::kLater) {
    const int before = tried("later");
    if (before < settings_.infrastructure_retries) {
      again = BackoffFor(before, settings_.first_backoff);
    }
  }
  document["retries"] = std::move(retries);
  document["failure"] = FailureAsJson(error);
  job->record.outcome = json::serialize(document);
  if (again) {
    return Requeue(*job, Describe(error), again);
  }
  Finish(*job, JobState::kFailed);
}

void JobService::Impl::Requeue(Active& job, const std::string& why,
                               std::optional<std::chrono::milliseconds> backoff) {
  Enter(job, JobState::kQueued);
  job.progress.reset();
  if (backoff && backoff->count() > 0) {
    job.record.not_before = parts_.clock.WallNow() + *backoff;
  }
  const std::string id = job.record.id;
  Save(job, "state", why, [this, id] {
    if (Active* queued = Known(id); queued != nullptr && !stopping_ && !queued->ending) {
      static_cast<void>(scheduler_.Enqueue(PlaceOf(*queued), true));
      TakeTurn();
    }
    CheckShutdown();
  });
}

void JobService::Impl::Finish(Active& job, JobState state) {
  Enter(job, state);
  job.ending = true;
  const std::string id = job.record.id;
  if (state != JobState::kSucceeded) {
    if (const auto removed = parts_.artifacts.Remove(id); !removed) {
      log::Warning(Describe(removed.error()));
    }
  }
  Save(job, "state", {}, [this, id] {
    auto ended = active_.extract(id);
    ++version_;
    Wake();
    if (ended) {
      const auto& record = ended.mapped().record;
      for (auto& ask : ended.mapped().afterwards) {
        boost::asio::post(parts_.loop, std::move(ask));
      }
      for (auto& answer : ended.mapped().cancels) {
        if (record.state == JobState::kCancelled) {
          Answers(std::move(answer), JobView{.record = record, .live = {}, .version = 0});
        } else {
          Answers(std::move(answer), Fail(Unfit(id, "cancelled any more")));
        }
      }
    }
    CheckShutdown();
  });
}

// --- Asked from outside

void JobService::Impl::Submit(const Submission& submission, Answer answer) {
  const auto refuse = [&](Error error) { Answers(std::move(answer), Fail(std::move(error))); };
  if (stopping_) {
    return refuse(Error{.code = ErrorCode::kBusy, .detail = "weir is about to end; come again when it is back"}.With(
        "retry_after_seconds", std::uint64_t{5}));
  }
  if (submission.priority < 0 || submission.priority > 100) {
    return refuse({.code = ErrorCode::kBadParameters,
                   .detail = "priority is a number from 0 to 100, not " + std::to_string(submission.priority)});
  }
  auto request = media::RequestFromJson(submission.recipe, submission.params, OutputName(submission.output));
  if (!request) {
    return refuse(std::move(request).error());
  }
  JobRecord record;
  record.id = NewId();
  record.recipe = submission.recipe;
  record.owner = submission.owner;
  record.request = RequestDocument(submission, *request);
  record.labels = LabelsAsJson(submission.labels);
  record.priority = submission.priority;
  record.created = parts_.clock.WallNow();
  record.updated = record.created;
  record.idempotency_key = submission.idempotency_key;
  record.request_digest = record.recipe + " " + record.request;

  if (!record.idempotency_key.empty()) {
    auto earlier = Earlier(record);
    if (!earlier) {
      return refuse(std::move(earlier).error());
    }
    if (*earlier) {
      return Answers(std::move(answer), **std::move(earlier));
    }
  }
  if (auto source = OpenInput(submission.input); !source) {
    return refuse(std::move(source).error());
  } else if (!submission.output.empty()) {
    if (auto target = parts_.roots.OpenOutput(submission.output, submission.overwrite, *source); !target) {
      return refuse(std::move(target).error());
    }
  }
  const std::size_t waiting = scheduler_.figures().queued + inserting_;
  if (waiting >= order_.most_queued) {
    return refuse(Error{.code = ErrorCode::kBusy,
                        .detail = std::to_string(waiting) + " jobs are waiting, which is the limit; come again later"}
                      .With("waiting", std::uint64_t{waiting})
                      .With("limit", std::uint64_t{order_.most_queued})
                      .With("retry_after_seconds", std::uint64_t{10}));
  }
  ++inserting_;
  Active job;
  job.record = record;
  job.stored = {.request = *std::move(request),
                .input = submission.input,
                .output = submission.output,
                .artifact = {},
                .overwrite = submission.overwrite};
  job.stored.artifact = ArtifactName(record.recipe, job.stored.request);
  store::Change change{.kind = store::Change::Kind::kInsert, .job = record, .only_if_attempt = {}, .event = {}};
  change.event = store::EventRecord{.time = record.created, .type = "state", .data = EventData(job, {})};
  parts_.store.Commit(std::move(change),
                      alive_.Guard([this, job = std::make_shared<Active>(std::move(job)),
                                    answer = std::move(answer)](const Result<store::Committed>& done) mutable {
                        --inserting_;
                        if (!done) {
                          // The same key twice at the same time: the other one was first.
                          if (done.error().code == ErrorCode::kOutputExists) {
                            auto earlier = Earlier(job->record);
                            if (earlier && *earlier) {
                              return answer(**std::move(earlier));
                            }
                            return answer(Fail(earlier ? done.error() : std::move(earlier).error()));
                          }
                          return answer(Fail(done.error()));
                        }
                        job->record.number = done->number;
                        const std::string id = job->record.id;
                        Active& accepted = active_.emplace(id, std::move(*job)).first->second;
                        Touch(accepted);
                        if (!stopping_) {
                          static_cast<void>(scheduler_.Enqueue(PlaceOf(accepted), true));
                          TakeTurn();
                        }
                        answer(ViewOf(accepted));
                      }));
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
  const auto refuse = [&](Error error) {
    boost::asio::post(parts_.loop, [answer, error = std::move(error)] { answer(Fail(error)); });
  };
  std::optional<media::Request> wanted;
  if (!submission.recipe.empty()) {
    auto request = media::RequestFromJson(submission.recipe, submission.params, OutputName(submission.output));
    if (!request) {
      return refuse(std::move(request).error());
    }
    wanted = *std::move(request);
  }
  if (auto source = OpenInput(submission.input); !source) {
    return refuse(std::move(source).error());
  }
  const std::string id = NewId();
  jobs::Ask ask{.job = id, .request = std::move(wanted), .input_path = submission.input, .output_path = {}};
  ask.open_source = [this, input = submission.input]() -> Result<store::Source> { return OpenInput(input); };
  if (forecasts_.size() >= kMostForecasts) {
    return refuse(Error{.code = ErrorCode::kBusy, .detail = "too many forecasts are being made; come again"}.With(
        "retry_after_seconds", std::uint64_t{1}));
  }
  forecasts_[id] = std::make_unique<Run>(
      world_, std::move(ask), RunHooks{}, alive_.Guard([this, id, answer = std::move(answer)](Outcome outcome) {
        auto ended = forecasts_.extract(id);
        boost::asio::post(parts_.loop, [run = std::shared_ptr<Run>(std::move(ended.mapped()))] {});
        TakeTurn();
        CheckShutdown();
        answer(outcome.status ? Result<Account>(std::move(outcome.account))
                              : Fail(std::move(outcome.status).error()));
      }));
  forecasts_[id]->Start();
}

void JobService::Impl::Cancel(const std::string& id, Answer answer) {
  Active* job = Known(id);
  if (job == nullptr || job->ending) {
    if (job != nullptr && job->record.state == JobState::kCancelled) {
      job->cancels.push_back(std::move(answer));
      return;
    }
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
  Active* job = Known(id);
  if (job == nullptr || job->ending || job->cancelled) {
    return Answers(std::move(answer), Fail(Unfit(id, paused ? "paused" : "resumed")));
  }
  if (job->record.paused == paused) {
    return Answers(std::move(answer), ViewOf(*job));
  }
  job->record.paused = paused;
  job->record.updated = parts_.clock.WallNow();
  scheduler_.SetPaused(id, paused);
  if (job->run) {
    paused ? job->run->Pause() : job->run->Resume();
  }
  TakeTurn();
  Save(*job, "state", paused ? "paused" : "resumed", [this, id, answer = std::move(answer)] { answer(Find(id)); });
}

void JobService::Impl::Retry(const std::string& id, Answer answer) {
  if (Active* job = Known(id); job != nullptr) {
    // Its end may be on the disk, and seen by the caller, before it is heard of here.
    if (job->ending) {
      job->afterwards.push_back(alive_.Guard([this, id, answer = std::move(answer)] { Retry(id, answer); }));
      return;
    }
    return Answers(std::move(answer), Fail(Unfit(id, "tried again")));
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || ((*record)->state != JobState::kFailed && (*record)->state != JobState::kCancelled)) {
    return Answers(std::move(answer), Fail(Unfit(id, "tried again")));
  }
  auto stored = Read((*record)->recipe, (*record)->request);
  if (!stored) {
    return Answers(std::move(answer), Fail(std::move(stored).error()));
  }
  Active& job = active_[id];
  job.record = **std::move(record);
  job.stored = *std::move(stored);
  job.record.ended.reset();
  job.record.not_before.reset();
  job.record.outcome.clear();
  job.record.paused = false;
  job.record.deaths = 0;
  Enter(job, JobState::kQueued);
  Save(job, "state", "to be tried again", [this, id, answer = std::move(answer)] {
    if (Active* queued = Known(id); queued != nullptr && !queued->ending && !stopping_) {
      static_cast<void>(scheduler_.Enqueue(PlaceOf(*queued), true));
      TakeTurn();
    }
    answer(Find(id));
  });
}

void JobService::Impl::Remove(const std::string& id, Answer answer) {
  if (Active* job = Known(id); job != nullptr) {
    if (job->ending) {
      job->afterwards.push_back(alive_.Guard([this, id, answer = std::move(answer)] { Remove(id, answer); }));
      return;
    }
    return Answers(std::move(answer), Fail(Unfit(id, "removed; cancel it first")));
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || !IsFinal((*record)->state)) {
    return Answers(std::move(answer), Fail(Unfit(id, "removed")));
  }
  if (const auto removed = parts_.artifacts.Remove(id); !removed) {
    return Answers(std::move(answer), Fail(removed.error()));
  }
  JobView view{.record = **record, .live = {}, .version = 0};
  parts_.store.Commit(
      {.kind = store::Change::Kind::kRemove, .job = **record, .only_if_attempt = {}, .event = {}},
      alive_.Guard([this, view = std::move(view), answer = std::move(answer)](const Result<store::Committed>& done) {
        ++version_;
        Wake();
        if (answer) {
          answer(done ? Result<JobView>(view) : Fail(done.error()));
        }
      }));
}

void JobService::Impl::Change(const std::string& id, std::optional<int> priority,
                              std::optional<std::map<std::string, std::string>> labels, Answer answer) {
  if (priority && (*priority < 0 || *priority > 100)) {
    return Answers(std::move(answer), Fail(ErrorCode::kBadParameters, "priority is a number from 0 to 100"));
  }
  const auto change = [&](JobRecord& record) {
    record.priority = priority.value_or(record.priority);
    if (labels) {
      record.labels = LabelsAsJson(*labels);
    }
    record.updated = parts_.clock.WallNow();
  };
  Active* job = Known(id);
  if (job != nullptr && !job->ending) {
    change(job->record);
    if (priority) {
      scheduler_.SetPriority(id, *priority);
      TakeTurn();
    }
    return Save(*job, "note", "changed", [this, id, answer = std::move(answer)] { answer(Find(id)); });
  }
  if (job != nullptr) {
    job->afterwards.push_back(alive_.Guard([this, id, priority, labels = std::move(labels),
                                            answer = std::move(answer)] { Change(id, priority, labels, answer); }));
    return;
  }
  auto record = parts_.store.Find(id);
  if (!record || !*record || priority) {
    return Answers(std::move(answer), Fail(Unfit(id, "given another priority")));
  }
  change(**record);
  JobView view{.record = **record, .live = {}, .version = 0};
  parts_.store.Commit(
      {.kind = store::Change::Kind::kUpdate, .job = **record, .only_if_attempt = (*record)->attempt, .event = {}},
      alive_.Guard([view = std::move(view), answer = std::move(answer)](const Result<store::Committed>& done) {
        answer(done ? Result<JobView>(view) : Fail(done.error()));
      }));
}

void JobService::Impl::SetDraining(bool draining) {
  scheduler_.SetDraining(draining);
  ++version_;
  Wake();
  TakeTurn();
}

void JobService::Impl::Shutdown(std::chrono::milliseconds grace, std::function<void()> done) {
  stopping_ = true;
  on_stopped_ = std::move(done);
  scheduler_.SetDraining(true);
  grace_.expires_after(grace);
  grace_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    if (error) {
      return;
    }
    for (auto& [id, run] : forecasts_) {
      run->Cancel({.code = ErrorCode::kTerminated, .detail = "weir was told to end"});
    }
    for (auto& [id, job] : active_) {
      if (job.ending || job.record.state == JobState::kQueued) {
        continue;
      }
      job.leaving = true;
      // Without a run, its attempt is being written; Begin will see.
      if (job.run) {
        job.run->Cancel({.code = ErrorCode::kTerminated, .detail = "weir was told to end"});
      }
    }
    // Whatever does not end by itself now is ended by destruction, and found by the next life.
    grace_.expires_after(kStoppingLimit);
    grace_.async_wait(alive_.Guard([this](const boost::system::error_code& late) {
      if (!late && on_stopped_) {
        std::exchange(on_stopped_, nullptr)();
      }
    }));
  }));
  CheckShutdown();
}

void JobService::Impl::CheckShutdown() {
  if (!on_stopped_) {
    return;
  }
  const bool busy = !forecasts_.empty() || inserting_ > 0 || std::ranges::any_of(active_, [](const auto& entry) {
    const Active& job = entry.second;
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
    const auto ended = parts_.store.EndedBefore(state, now - keep, kRetentionBatch);
    if (!ended) {
      log::Warning("ended jobs cannot be looked through: " + Describe(ended.error()));
      return;
    }
    for (const auto& record : *ended) {
      Remove(record.id, nullptr);
    }
  }
}

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
void JobService::Forecast(const Submission& submission, std::function<void(Result<Account>)> answer) {
  impl_->Forecast(submission, std::move(answer));
}
Result<JobView> JobService::Find(const std::string& id) { return impl_->Find(id); }
Result<std::vector<JobView>> JobService::List(const store::JobFilter& filter, std::int64_t before,
                                              std::size_t limit) {
  return impl_->List(filter, before, limit);
}
Result<std::vector<store::EventRecord>> JobService::Events(const std::string& job, std::int64_t after,
                                                           std::size_t limit) {
  return impl_->Events(job, after, limit);
}
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
Status JobService::Ask(Need need, std::function<void(Result<Grant>)> granted) {
  return impl_->Ask(std::move(need), std::move(granted));
}
void JobService::Withdraw(const std::string& job) { impl_->Withdraw(job); }

}  // namespace weir::jobs
