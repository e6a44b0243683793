// JobService: the life of every job from acceptance to its end, exactly once, across restarts. Owns the state of the
// active jobs; the store is their memory, the scheduler their order, a Run their work. Knows no HTTP.
//
// Threads: the loop's only. Callbacks are called from the loop, never from inside the call, and only once what they
// tell is on disk. Destroying the service kills its runs; their jobs are found again by the next life.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "jobs/histogram.h"
#include "jobs/run.h"
#include "jobs/scheduler.h"
#include "media/progress.h"
#include "store/artifacts.h"
#include "store/job_store.h"
#include "store/media_roots.h"

namespace weir::jobs {

struct ServiceSettings {
  std::chrono::seconds keep_succeeded{24 * 3600};
  std::chrono::seconds keep_failed{24 * 3600};
  std::chrono::seconds keep_cancelled{24 * 3600};
  Bytes largest_input{};  // zero: no limit
  int retries = 2;        // after memory, time-outs, stalls and crashes, each with a leaner plan if there is one
  int infrastructure_retries = 8;
  std::chrono::seconds first_backoff{2};  // doubles, up to five minutes
  int deaths_until_parked = 2;            // of the daemon, without a word of farewell, while this job ran
};

// A request in the caller's words; checked by Submit.
struct Submission {
  std::string recipe;
  std::string params;  // JSON object, or ""
  std::string input;   // below the media roots
  std::string output;  // below the media roots; "": an artefact of the job
  bool overwrite = false;
  int priority = 50;
  std::string owner;
  std::map<std::string, std::string> labels;
  std::string idempotency_key;
};

// Many jobs accepted together, or not at all.
struct BatchSubmission {
  std::vector<Submission> jobs;  // 1 to kMostInBatch; their idempotency keys are not looked at
  std::string owner;             // of the batch
  std::map<std::string, std::string> labels;
  std::string idempotency_key;
  std::string digest;  // of the whole request: what the key must come with again
};
inline constexpr std::size_t kMostInBatch = 5000;

struct BatchView {
  store::BatchRecord record;
  std::vector<std::int64_t> by_state;  // index: JobState; of those that are not removed yet
  // 0 to 1: ended jobs count whole, running ones by their progress, in parts of equal weight.
  double ratio = 0;
  bool ended = false;  // none of its jobs will change any more
};

struct Live {  // of a job that is not final
  WaitingFor waiting_for = WaitingFor::kNothing;
  Wait wait;                                             // where it was asked for: see waiting_for
  std::optional<WallTime> waiting_since, waiting_until;  // the dates of its instants
  std::string decision;                                  // the sentence of the last one; "" when not of this life
  std::optional<std::size_t> position;                   // among those that wait for a slot
  std::optional<media::Progress> progress;
  std::optional<MediaTime> length;  // of the output
  std::int64_t frames = 0;          // forecast; 0: unknown
  Bytes memory;                     // highest sampled so far, of the working child
  std::string plan;                 // by which it works or is checked; "" before
  Bytes forecast_peak;              // of that plan
  Bytes lease;                      // that it holds now, also while it is paused
};
struct JobView {
  store::JobRecord record;
  std::optional<Live> live;
  std::uint64_t version =
      0;  // another after every change of the job, progress included; 0 when final, at rest, or ending
};

struct JobViewPage {
  std::vector<JobView> jobs;  // newest first
  std::int64_t next = 0;      // `before` of the page that follows; 0: there is none
};

struct RunningChild {
  std::string job;
  std::string recipe;
  std::string plan;
  Bytes lease;   // zero while it waits for its next step
  Bytes memory;  // of its children as sampled last; zero while it waits
  SteadyTime since{};
  SteadyTime advanced{};  // its last progress, or since it went on; now while it stands still
  Wait wait;              // of its next step
};
struct ServiceFigures {
  std::vector<RunningChild> running;
  SchedulerFigures scheduler;
  std::vector<std::int64_t> by_state;  // index: JobState
  bool draining = false;
  Histogram work_waits;       // how long work waited for what it got, since the start
  Histogram attempts;         // how long attempts took, from their slot to their end
  bool held = false;          // nothing new begins, for want of memory
  std::size_t suspended = 0;  // jobs that stand still, for want of memory
  Bytes given_back;           // ever, of leases whose children went on
  std::uint64_t yielded = 0;  // times that a job's work was ended for want of memory, ever
  std::size_t unsaved = 0;    // jobs whose last change could not be written yet
};

using Answer = std::function<void(Result<JobView>)>;
using BatchAnswer = std::function<void(Result<BatchView>)>;

class JobService final : private Admission {
 public:
  struct Parts {
    boost::asio::io_context& loop;
    const Clock& clock;
    memory::Ledger& ledger;
    process::Launcher& launcher;
    const store::StateFolder& state;
    boost::asio::thread_pool& aside;
    store::JobStore& store;
    const store::MediaRoots& roots;
    const store::Artifacts& artifacts;
    Tools tools;
    media::Machine machine;
    Limits limits;
    Learning* learning = nullptr;
  };
  // All parts outlive the service. Takes up what an earlier life left: jobs that ran go back to the queue, or are
  // parked when that happened too often; results that had appeared already are recognised. Errors: of the store.
  static Result<std::unique_ptr<JobService>> Open(Parts parts, SchedulerSettings order, ServiceSettings settings);
  JobService(const JobService&) = delete;
  JobService& operator=(const JobService&) = delete;
  ~JobService() override;

  // Errors: kBadParameters, kOutputFormat, kForbidden and the kInput... of the roots, kBusy (queue full, about to
  // end), kConflict (the key was used for something else), those of the store. The same key again answers the same
  // job.
  void Submit(const Submission& submission, Answer answer);
  // Errors as of Submit, with the index of the first job that is wrong ("job", from 0); kBadParameters for too few or
  // too many, kBusy while as many jobs of other batches are being looked at.
  void SubmitBatch(BatchSubmission submission, BatchAnswer answer);
  Result<BatchView> FindBatch(const std::string& id);  // kNotFound
  // Cancels what has not ended. Answers when all of it has ended.
  void CancelBatch(const std::string& id, BatchAnswer answer);

  // A forecast of the same request, or ("" as recipe) the facts about its input: nothing is stored or started but the
  // probe. The account is whole or has a refusal.
  void Forecast(const Submission& submission, std::function<void(Result<Account>)> answer);

  Result<JobView> Find(const std::string& id);  // kNotFound
  Result<JobViewPage> List(const store::JobFilter& filter, std::int64_t before, std::size_t limit);
  Result<std::vector<store::EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit);
  Result<std::int64_t> LastEventId();  // of all jobs; 0: there is none
  // What its children used over time: JSON, see docs/API.md. kNotFound.
  Result<std::string> Timeline(const std::string& id);

  // All answer with the job as it is afterwards. kConflict when the state forbids it, kNotFound.
  void Cancel(const std::string& id, Answer answer);  // of a cancelled job: success, nothing happens
  void Pause(const std::string& id, Answer answer);
  void Resume(const std::string& id, Answer answer);
  void Retry(const std::string& id, Answer answer);   // of a failed or cancelled job
  void Remove(const std::string& id, Answer answer);  // of a final job, with its artefacts
  void Change(const std::string& id, std::optional<int> priority,
              std::optional<std::map<std::string, std::string>> labels, Answer answer);

  // Returns when something about the job ("": any job) changed after `version`, or at `until`.
  boost::asio::awaitable<void> Changed(std::string id, std::uint64_t version, SteadyTime until);
  [[nodiscard]] std::uint64_t version() const;  // of all jobs together

  // `on_work` hears, from inside other calls, that memory was given to somebody; it must not call back.
  void OnWork(std::function<void()> on_work);

  // Under pressure. "Youngest" is the job whose attempt began last of those that work; it is never the only one of
  // them, so that one always keeps going. What is done to a job is noted among its events, with `why`.

  [[nodiscard]] double IdleProcessors() const;  // see Scheduler
  // Nothing new begins: see Scheduler::SetHeld.
  void SetHeld(bool held);
  // Leases fall to what their children need, where that is known (Run::GiveBack), whether anybody waits or not.
  // Returns by how much.
  Bytes GiveBack();
  // The youngest that does not stand still already stands still. "" when there is none.
  std::string SuspendYoungest(const std::string& why);
  void ResumeSuspended();
  // The youngest's work ends; it goes back to the queue, and begins anew with a leaner plan where there is one. That
  // counts as no failure. Returns the lease that comes back when it is gone; zero when there is none.
  Bytes EndYoungest(const std::string& why);

  // Removes at once what its time has come for.
  void Sweep();
  void SetDraining(bool draining);
  void Reload(SchedulerSettings order);
  // No new starts; runs may end until `grace` is over; then children are stopped and their jobs queued again.
  // `done` when nothing runs and all is on disk.
  void Shutdown(std::chrono::milliseconds grace, std::function<void()> done);
  [[nodiscard]] ServiceFigures figures() const;
  // The same without by_state, which asks the disk.
  [[nodiscard]] ServiceFigures at_work() const;
  [[nodiscard]] Learning* learning() const;  // as given

 private:
  JobService(Parts parts, SchedulerSettings order, ServiceSettings settings);
  Status Ask(Need need, std::function<void(Result<Grant>)> granted) override;
  void Withdraw(const std::string& job) override;
  void GoOn(const std::string& job, Bytes lease) override;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::jobs
