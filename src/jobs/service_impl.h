// What is behind JobService: asked from outside (service.cc), the work (service_work.cc), batches
// (service_batches.cc). Internal to the service.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "jobs/alive.h"
#include "jobs/book.h"
#include "jobs/elapsed_dates.h"
#include "jobs/forecasts.h"
#include "jobs/service.h"

namespace weir::jobs {

class JobService::Impl {
 public:
  Impl(JobService& owner, Parts parts, SchedulerSettings order, ServiceSettings settings);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  Status Recover();

  // --- Asked from outside: service.cc

  void Submit(const Submission& submission, Answer answer);
  void Forecast(const Submission& submission, std::function<void(Result<Account>)> answer);
  Result<JobView> Find(const std::string& id);
  Result<JobViewPage> List(const store::JobFilter& filter, std::int64_t before, std::size_t limit);
  Result<std::vector<store::EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit) {
    return parts_.store.Events(job, after, limit);
  }
  Result<std::int64_t> LastEventId() { return parts_.store.LastEventId(); }
  Result<std::string> TimelineOf(const std::string& id);
  void Cancel(const std::string& id, Answer answer);
  void Pause(const std::string& id, bool paused, Answer answer);
  void Retry(const std::string& id, Answer answer);
  void Remove(const std::string& id, Answer answer);
  void Change(const std::string& id, std::optional<int> priority,
              std::optional<std::map<std::string, std::string>> labels, Answer answer);
  boost::asio::awaitable<void> Changed(std::string id, std::uint64_t version, SteadyTime until) {
    return book_.Changed(std::move(id), version, until);
  }
  [[nodiscard]] std::uint64_t version() const { return book_.version(); }
  void Retain();
  void SetDraining(bool draining);
  void Reload(SchedulerSettings order);
  void Shutdown(std::chrono::milliseconds grace, std::function<void()> done);
  [[nodiscard]] ServiceFigures figures() const;
  [[nodiscard]] ServiceFigures at_work() const;
  [[nodiscard]] Learning* learning() const { return parts_.learning; }

  // --- Under pressure: service_pressure.cc

  [[nodiscard]] double IdleProcessors() const { return scheduler_.IdleProcessors(); }
  void OnWork(std::function<void()> on_work) { on_work_ = std::move(on_work); }
  void SetHeld(bool held);
  Bytes GiveBack();
  std::string SuspendYoungest(const std::string& why);
  void ResumeSuspended();
  Bytes EndYoungest(const std::string& why);

  // --- Batches: service_batches.cc

  void SubmitBatch(BatchSubmission submission, BatchAnswer answer);
  Result<BatchView> FindBatch(const std::string& id);
  void CancelBatch(const std::string& id, BatchAnswer answer);

  // --- Admission

  Status Ask(Need need, std::function<void(Result<Grant>)> granted);
  void Withdraw(const std::string& job);
  void GoOn(const std::string& job, Bytes lease);

 private:
  // Calls back from the loop, never from inside the call.
  template <typename T>
  void Answers(std::function<void(Result<T>)> answer, std::type_identity_t<Result<T>> result) const {
    if (answer) {
      boost::asio::post(parts_.loop, [answer = std::move(answer), result = std::move(result)] { answer(result); });
    }
  }

  // --- service.cc

  Bytes LeaseOf(const ActiveJob& job) const;
  std::optional<WallTime> DateOf(std::optional<SteadyTime> instant) const;
  JobView ViewOf(const ActiveJob& job) const;
  // Of one that is not awake. Its place in the line takes a walk along it.
  JobView ViewOf(store::JobRecord record, bool with_position) const;
  // A job that cannot do what was asked: 404, or the sentence of why its state forbids it.
  Error Unfit(const std::string& id, const std::string& what) const;
  // Waits for what is on its way to the disk about a job that ends or has ended. False: there is nothing.
  bool AfterItsEnd(const std::string& id, std::function<void()> ask);
  // Writes something about a job that has ended.
  void WriteEnded(store::Change change, std::function<void(Status)> then);
  // What is wrong with the two ends of a request now.
  Status CheckEnds(const StoredRequest& stored) const;
  // kBusy when `more` further jobs cannot wait.
  Status CheckRoom(std::size_t more) const;
  // A new job of what was asked.
  store::JobRecord RecordOf(const Submission& submission, const StoredRequest& stored) const;
  store::Change InsertionOf(store::JobRecord record) const;
  void Enqueue(const store::JobRecord& record);
  Result<std::optional<JobView>> Earlier(const store::JobRecord& record);
  void AwaitRetention();
  void CheckShutdown();
  void AwaitShutdown();
  void GoBackIfPaused(ActiveJob& job);
  void GoBack(ActiveJob& job);
  static Error ToldToEnd() { return {.code = ErrorCode::kTerminated, .detail = "weir was told to end"}; }

  // --- service_work.cc: everything that may change who runs ends in TakeTurn, once for any number of changes in a
  // row

  void TakeTurn();
  void Turn();
  void GiveOut();
  Bytes TakeBack(const std::string& why);
  [[nodiscard]] bool MayTakeBack() const;
  ActiveJob* Youngest(bool standing_too);
  void Rule(ActiveJob& job);
  void GoOn(ActiveJob& job, const std::string& note);
  void KeepOneGoing();
  Place PlaceOf(const store::JobRecord& record) const;
  void Launch(const std::string& id);
  void LaunchAgain(const std::string& id);
  void Begin(ActiveJob& job);
  RunHooks HooksOf(const std::string& id);
  // Its work begins, by the plan that was chosen: what for.
  void TellStart(ActiveJob& job, const Account& account);
  void PublishWhenWritten(const std::string& id, const Account& account, std::function<void(Status)> go);
  void Ended(const std::string& id, Outcome outcome);
  // `why` of a failure, for those who read the log.
  void Finish(ActiveJob& job, store::JobState state, const std::string& why = {});
  void Leave(const std::string& id);
  void Disown(const std::string& id);
  void Requeue(ActiveJob& job, const std::string& why, std::optional<std::chrono::milliseconds> backoff);
  void Park(ActiveJob& job);
  Result<store::Source> OpenInput(const std::string& input) const;
  bool HasAppeared(const ActiveJob& job) const;

  // --- service_batches.cc

  struct Acceptance;    // of a batch, in slices
  struct Cancellation;  // as well
  void AcceptSlice(const std::shared_ptr<Acceptance>& work);
  void CancelSlice(const std::shared_ptr<Cancellation>& work);
  Result<std::optional<BatchView>> EarlierBatch(const store::BatchRecord& record);

  Parts parts_;
  SchedulerSettings order_;
  ServiceSettings settings_;
  Scheduler scheduler_;
  ElapsedDates dates_;
  KnownFacts known_;
  World world_;
  std::map<std::string, std::function<void(Result<Grant>)>> asked_;
  std::size_t inserting_ = 0;  // accepted, on their way to the disk
  // Ended jobs about which something is on its way to the disk, with what was asked about them meanwhile.
  std::map<std::string, std::vector<std::function<void()>>> ended_writes_;
  std::size_t accepting_ = 0;  // jobs of batches that are being looked at
  Histogram work_waits_, attempts_;
  bool turn_posted_ = false;
  Bytes given_back_;  // ever, of leases whose children went on
  std::uint64_t yielded_ = 0;
  std::function<void()> on_work_;
  bool stopping_ = false;
  std::function<void()> on_stopped_;
  boost::asio::steady_timer turn_;
  boost::asio::steady_timer retention_;
  boost::asio::steady_timer launch_again_;
  std::set<std::string> to_launch_again_;
  boost::asio::steady_timer grace_;
  boost::asio::steady_timer look_again_;
  Alive alive_;
  // Last, because what runs lets go of its memory through the members above.
  Forecasts forecasts_;
  Book book_;
};

}  // namespace weir::jobs
