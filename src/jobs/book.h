// Book: the jobs that something happens to, their changes on the way to the disk, and those who watch them. A job
// that only waits for its turn is at rest: on disk and in the scheduler's line, not here; it is woken by whatever
// happens to it next. So memory is taken by what goes on, not by what waits.
//
// Threads: the loop's only. Knows no scheduler and starts nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "jobs/alive.h"
#include "jobs/run.h"
#include "jobs/service.h"
#include "jobs/stored_request.h"
#include "jobs/timeline.h"
#include "store/job_store.h"

namespace weir::jobs {

// One that is awake.
struct ActiveJob {
  store::JobRecord record;
  StoredRequest stored;
  std::optional<Error> unreadable;  // the stored request is of a version that knew other words

  std::unique_ptr<Run> run;
  std::string plan;
  Bytes forecast_peak;
  std::optional<media::Progress> progress;
  std::optional<MediaTime> length;  // of the output
  std::int64_t frames = 0;          // forecast; 0: unknown
  Bytes lease;
  Bytes memory;    // highest sampled so far, of the working child
  Bytes resident;  // sampled last, of whatever child it has
  Timeline timeline{128};
  SteadyTime began{};
  SteadyTime advanced{};      // its last progress, or when it went on
  SteadyTime told{};          // when watchers last heard of progress
  std::uint64_t version = 0;  // of all versions of all jobs, its own last

  bool ending = false;     // the last change is on its way to the disk
  bool leaving = false;    // shutdown: back to the queue
  bool foreign = false;    // see Book
  bool suspended = false;  // stands still for want of memory, not because somebody asked
  std::string yields;      // why its work is being ended and goes back to the queue; "" when it is not
  std::optional<Error> cancelled;
  std::vector<Answer> cancels;                    // who asked for it
  std::vector<std::function<void()>> afterwards;  // asked while `ending`, of the ended job

  std::string decision;                  // the sentence of the last one; "" before the first of this life
  std::vector<store::EventRecord> held;  // see Book::Tell
  SteadyTime held_since{};               // the first of them

  struct Unsaved {
    std::optional<store::EventRecord> event;
    std::vector<store::EventRecord> earlier;
    std::function<void()> then;
  };
  std::vector<Unsaved> unsaved;  // changes that could not be written yet, in their order
  std::size_t writing = 0;       // changes that the store has not answered yet
  bool said_unwritten = false;   // once for any number of tries: a full disk would fill the log as well
};

// Of its work, 0 to 1; 0 also where that is not known.
double PartDone(const ActiveJob& job);

class Book {
 public:
  using Jobs = std::map<std::string, ActiveJob, std::less<>>;

  // All outlive the book. `at_rest` says whether a job waits for its turn. `on_foreign` hears of a job whose record
  // on disk is gone or of another attempt: what is on disk holds, and nothing of this one can be written any more.
  Book(boost::asio::io_context& loop, const Clock& clock, store::JobStore& store,
       std::function<bool(const std::string&)> at_rest, std::function<void(const std::string&)> on_foreign);
  Book(const Book&) = delete;
  Book& operator=(const Book&) = delete;
  ~Book() = default;

  [[nodiscard]] Jobs& awake() { return jobs_; }
  [[nodiscard]] const Jobs& awake() const { return jobs_; }
  // nullptr: at rest, ended or unknown.
  ActiveJob* Find(const std::string& id);
  // Wakes it when it is at rest; nullptr when it has ended or is unknown. Errors: of the store.
  Result<ActiveJob*> Wake(const std::string& id);
  // One that the store has, as it is there.
  ActiveJob& Add(store::JobRecord record);
  // Lets go of a job that is queued and has nothing more to be done about it; otherwise nothing happens.
  void Rest(const std::string& id);
  // Its end is on disk.
  ActiveJob Take(const std::string& id);

  void Enter(ActiveJob& job, store::JobState state) const;
  [[nodiscard]] static std::string EventData(const store::JobRecord& record, const std::string& note,
                                             const boost::json::object& more = {});
  // Writes the job as it is now with an event, and its timeline when `with_timeline`. `then` hears when it is on
  // disk, or when the job, being foreign, has left; what cannot be written now is written again, in its order, until
  // it can.
  void Save(ActiveJob& job, const std::string& type, const std::string& note, std::function<void()> then = {},
            bool with_timeline = false);

  // An event that is not worth a write of its own: it comes with the next change, or with WriteHeld. `more` goes into
  // its data.
  void Tell(ActiveJob& job, const std::string& type, const std::string& note, const boost::json::object& more);
  // What has been held for so long that nobody should wait for it any more; cheap, to be called now and then.
  void WriteHeld(ActiveJob& job);

  // Something about the job changed: its watchers look again.
  void Touch(ActiveJob& job);
  void Touch();  // something about some job
  [[nodiscard]] std::uint64_t version() const { return version_; }
  // As of JobService.
  boost::asio::awaitable<void> Changed(std::string id, std::uint64_t version, SteadyTime until);

 private:
  void Write(ActiveJob& job, const std::optional<store::EventRecord>& event,
             const std::vector<store::EventRecord>& earlier, std::function<void()> then, bool with_timeline);
  void WriteUnsaved();
  void WakeWatchers();

  boost::asio::io_context& loop_;
  const Clock& clock_;
  store::JobStore& store_;
  std::function<bool(const std::string&)> at_rest_;
  std::function<void(const std::string&)> on_foreign_;
  Jobs jobs_;
  std::uint64_t version_ = 1;
  std::set<boost::asio::steady_timer*> watchers_;
  boost::asio::steady_timer again_;
  bool writing_again_ = false;
  Alive alive_;
};

}  // namespace weir::jobs
