// JobStore: the jobs and their events, on disk in SQLite (WAL, synchronous=FULL). It decides nothing: whoever owns
// the state (one thread) hands it changes; each change is one transaction with its event, many changes share one
// flush. Disk format and versions: docs/formats/jobs.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace weir::store {

enum class JobState : std::uint8_t {
  kQueued,
  kFetching,
  kRunning,
  kVerifying,
  kPublishing,
  kSucceeded,  // this and the following are final
  kFailed,
  kCancelled,
};
inline constexpr std::size_t kJobStates = 8;
constexpr bool IsFinal(JobState state) { return state >= JobState::kSucceeded; }
// "queued" ... "cancelled": stable, on disk and over HTTP.
const char* NameOf(JobState state);
std::optional<JobState> JobStateOf(std::string_view name);

// One row. Documents (JSON) are the caller's: the store keeps them as they are.
struct JobRecord {
  std::string id;           // NewId
  std::int64_t number = 0;  // order of acceptance, from 1; given by the store at insertion
  std::string batch;        // id of the batch that it came with; "" for none; given by CommitBatch, never changes
  std::string recipe;
  std::string owner;    // "" when nobody said
  std::string request;  // document: the whole request as accepted
  std::string labels;   // document: object of strings
  std::string outcome;  // document: forecast, measured, artefacts, failure; "" until there is something
  int priority = 50;    // 0 to 100, higher first
  JobState state = JobState::kQueued;
  bool paused = false;
  int attempt = 0;  // of the run that holds the job; 0 before the first
  int deaths = 0;   // attempts during which the daemon or the machine died
  WallTime created{};
  WallTime updated{};
  std::optional<WallTime> started;     // of the last attempt
  std::optional<WallTime> ended;       // set exactly when final
  std::optional<WallTime> not_before;  // back-off
  std::string idempotency_key;         // unique with the owner; "" for none
  std::string request_digest;          // what the key must come with again
};

// Many jobs that were accepted together. Goes with the last of them.
struct BatchRecord {
  std::string id;         // NewId
  std::string owner;      // "" when nobody said
  std::string labels;     // document: object of strings
  std::int64_t jobs = 0;  // how many it came with; given by the store at insertion
  WallTime created{};
  std::string idempotency_key;  // unique with the owner among batches; "" for none
  std::string request_digest;   // what the key must come with again
};

struct EventRecord {
  std::int64_t id = 0;  // given by the store; grows
  std::string job;
  WallTime time{};
  std::string type;  // "state", "note", "decision": stable
  std::string data;  // document
};

struct Change {
  // kUpdate writes the whole record but its id and number. kRemove takes the job's events along, and has none itself.
  enum class Kind : std::uint8_t { kInsert, kUpdate, kRemove } kind = Kind::kUpdate;
  JobRecord job;  // kRemove: only the id counts
  // kUpdate, kRemove: applied only while the stored attempt is this; otherwise the change fails with kConflict and
  // writes nothing, also not its event. That is how a late attempt cannot touch a job.
  std::optional<int> only_if_attempt;
  std::optional<EventRecord> event;  // id and job are filled in by the store
  // kUpdate: what happened before `event` and was not worth a write of its own; gets ids before that one's.
  std::vector<EventRecord> earlier;
  // kInsert, kUpdate: a document kept beside the job, not in its record; replaces the one before, goes with the job.
  std::optional<std::string> timeline;
};

// What became durable.
struct Committed {
  std::int64_t number = 0;    // the job's; numbers of inserted jobs grow in the order of the calls
  std::int64_t event_id = 0;  // 0 without an event
};

// All that are given must hold.
struct JobFilter {
  std::optional<JobState> state;
  std::string recipe, owner, batch;    // "" for any
  std::string label_key, label_value;  // "" for any; a value counts only with a key
};

struct JobPage {
  std::vector<JobRecord> jobs;  // newest first
  std::int64_t next = 0;        // `before` of the page that follows; 0: there is none
};

struct JobStoreSettings {
  // Beyond either, Commit and CommitBatch fail with kBusy at once; what is being written counts as waiting. One batch
  // at a time, or one change larger than most_waiting, may be beyond them, of any size: it does not count, so that
  // the changes of running jobs find room behind it.
  std::size_t most_waiting_changes = 4096;  // each job of a batch is one
  Bytes most_waiting = Bytes::Mib(4);
  std::int64_t most_events_per_job = 1000;  // older ones go, the first and those of state changes stay
  Bytes page_cache = Bytes::Mib(1);         // of each of the two connections
  Bytes largest_file{};                     // jobs.db does not grow beyond it: kDiskFull; zero: as the disk allows
};

class JobStore {
 public:
  // `folder`: the data folder, which exists; files jobs.db, jobs.db-wal, jobs.db-shm (0600), and the lock "lock",
  // held from Open to the end of the destructor. `post` brings a function to the owner's thread; used for the answers
  // of Commit. It must not block (the writer's thread calls it as well as the owner's), and must stay callable until
  // the destructor has returned. What it was given may run, or be destroyed unrun, at any time after that: it then
  // does nothing. Errors: kBusy (another process has this folder), kDamaged (not a database of ours, or broken: says
  // where and what to do), kTooNew (written by a later version; nothing was touched), kDiskFull, kOutputFolder,
  // kOutputUnwritable, kSystem. Open looks at heads, counters and the log, not at every page: that is CheckWhole.
  using Post = std::function<void(std::function<void()>)>;
  static Result<std::unique_ptr<JobStore>> Open(const std::string& folder, Post post, JobStoreSettings settings);
  // What the database library has taken from the heap, of all stores of this process. Any thread.
  static Bytes MemoryInUse();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;
  // Owner's thread; also from inside a `done`. Everything handed in is written first; answers that did not run yet
  // are dropped.
  virtual ~JobStore() = default;

  // Owner's thread. `done` hears of it once it is on disk (fsync returned), or why not; changes are applied in the
  // order of the calls. `done` is always posted, never called from inside Commit. An error means that nothing of the
  // change was written, and other changes are not concerned. Errors of `done`: kConflict (another attempt, no such
  // job, or the id is taken), kOutputExists (the idempotency key is taken), kBusy, kDiskFull, kDamaged (then also
  // for every later change: nothing more is written to a broken file), kTooLarge, kSystem, kInternal (a record that
  // contradicts itself).
  virtual void Commit(Change change, std::function<void(Result<Committed>)> done) = 0;
  // As Commit, for many jobs that appear together or not at all, with their batch. `inserts` are kInsert; their
  // `batch` is set here. Committed is of the last of them. Other changes wait meanwhile: about 50 us for each job,
  // twice that on a busy machine. Errors also: kConflict (the batch's id is taken), kOutputExists (its key is taken),
  // kInternal (no jobs, or one that is not kInsert).
  virtual void CommitBatch(BatchRecord batch, std::vector<Change> inserts,
                           std::function<void(Result<Committed>)> done) = 0;
  // Owner's thread. Copies of what is on disk that are kept only to be read again go: those of the reads now, whose
  // size is returned, those of the writer's thread soon, when it has written what waits.
  virtual Bytes LetGo() { return {}; }
  // Blocks until everything handed in is on disk, or was refused. For shutdown; answers are posted as always.
  virtual void Flush() = 0;
  // Reads the whole file and says kDamaged where its structure is broken. Takes about a second for 100,000 jobs. Any
  // thread, beside everything else; the store outlives the call. Meanwhile the log is not cut short.
  virtual Status CheckWhole() const = 0;

  // Reads see what is durable. Owner's thread; microseconds for one row. Errors of all: kDamaged, kSystem.
  virtual Result<std::optional<JobRecord>> Find(const std::string& id) = 0;
  virtual Result<std::optional<JobRecord>> FindByKey(const std::string& owner, const std::string& key) = 0;
  // Newest first; `before`: numbers below it (0: from the newest). At most `limit` (1 to 1000). Bounded in time also
  // where the filters match little: it passes over 10,000 jobs at most, so a page may be short, or empty, and still
  // have a `next`.
  virtual Result<JobPage> List(const JobFilter& filter, std::int64_t before, std::size_t limit) = 0;
  // Those that are not final, oldest first: numbers above `after` (0: from the oldest), at most `limit` (1 to 1000).
  virtual Result<std::vector<JobRecord>> Active(std::int64_t after, std::size_t limit) = 0;
  virtual Result<std::optional<BatchRecord>> FindBatch(const std::string& id) = 0;
  virtual Result<std::optional<BatchRecord>> FindBatchByKey(const std::string& owner, const std::string& key) = 0;
  // How many of its jobs are in each state, in the order of JobState; those removed since are in none. Counts them
  // every time: about 1 ms for 10,000.
  virtual Result<std::vector<std::int64_t>> CountOfBatch(const std::string& id) = 0;
  // The document that came last with a change of the job; "" before the first.
  virtual Result<std::string> Timeline(const std::string& job) = 0;
  // Events with ids above `after`, of one job or ("") of all, oldest first. At most `limit` (1 to 1000).
  virtual Result<std::vector<EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit) = 0;
  // The last id ever given, also when that event is gone; 0 before the first.
  virtual Result<std::int64_t> LastEventId() = 0;
  // Final jobs in `state` that ended before `time`, oldest first. At most `limit` (1 to 1000).
  virtual Result<std::vector<JobRecord>> EndedBefore(JobState state, WallTime time, std::size_t limit) = 0;
  // As above, that ended after `time`, newest first.
  virtual Result<std::vector<JobRecord>> EndedAfter(JobState state, WallTime time, std::size_t limit) = 0;
  // How many are in each state, in the order of JobState; kept as counters, so cheap.
  virtual Result<std::vector<std::int64_t>> CountByState() = 0;

 protected:
  JobStore() = default;
};

}  // namespace weir::store
