// JobStore: the jobs and their events, on disk in SQLite (WAL, synchronous=FULL). It decides nothing: whoever owns the
// state (one thread) hands it changes; each change is one transaction with its event, many changes share one flush.
// Disk format and versions: docs/formats/jobs.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
  std::string recipe;
  std::string owner;        // "" when nobody said
  std::string request;      // document: the whole request as accepted
  std::string labels;       // document: object of strings
  std::string outcome;      // document: forecast, measured, artefacts, failure; "" until there is something
  int priority = 50;        // 0 to 100, higher first
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

struct EventRecord {
  std::int64_t id = 0;  // given by the store; grows
  std::string job;
  WallTime time{};
  std::string type;  // "state", "progress", "note": stable
  std::string data;  // document
};

struct Change {
  enum class Kind : std::uint8_t { kInsert, kUpdate, kRemove } kind = Kind::kUpdate;
  JobRecord job;  // kRemove: only the id counts
  // kUpdate: applied only while the stored attempt is this; otherwise the change fails with kConflict and writes
  // nothing, also not its event. That is how a late attempt cannot touch a job.
  std::optional<int> only_if_attempt;
  std::optional<EventRecord> event;  // id and job are filled in by the store
};

// What became durable: numbers given to inserted jobs and ids given to events, in the order of the changes.
struct Committed {
  std::int64_t number = 0;
  std::int64_t event_id = 0;
};

struct JobFilter {
  std::optional<JobState> state;
  std::string recipe, owner;              // "" for any
  std::string label_key, label_value;     // "" for any
};

struct JobStoreSettings {
  std::size_t most_waiting_changes = 4096;  // beyond that Commit fails with kBusy at once
  std::int64_t most_events_per_job = 1000;  // older ones go, the first and those of state changes stay
  Bytes page_cache = Bytes::Mib(1);         // of each of the two connections
};

class JobStore {
 public:
  // `folder`: the data folder, held by the caller; files jobs.db, jobs.db-wal, jobs.db-shm, and the lock "lock".
  // `post` brings a function to the owner's thread; used for the answers of Commit.
  // Errors: kBusy (another process has this folder), kDamaged (not a database of ours, or broken: says where and what
  // to do), kTooNew (written by a later version), kDiskFull, kOutputUnwritable.
  using Post = std::function<void(std::function<void()>)>;
  static Result<std::unique_ptr<JobStore>> Open(const std::string& folder, Post post, JobStoreSettings settings);
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;
  virtual ~JobStore() = default;  // everything handed in is written first; answers that were not posted yet are dropped

  // Owner's thread. `done` hears of it once it is on disk (fsync returned), or why not; changes are applied in the
  // order of the calls. Errors of `done`: kConflict, kDiskFull, kOutputExists (the idempotency key is taken), kSystem.
  virtual void Commit(Change change, std::function<void(Result<Committed>)> done) = 0;
  // Blocks until everything handed in is on disk. For shutdown.
  virtual void Flush() = 0;

  // Reads see what is durable. Owner's thread; microseconds for one row.
  virtual Result<std::optional<JobRecord>> Find(const std::string& id) = 0;
  virtual Result<std::optional<JobRecord>> FindByKey(const std::string& owner, const std::string& key) = 0;
  // Newest first; `before`: numbers below it (0: from the newest). At most `limit` (1 to 1000).
  virtual Result<std::vector<JobRecord>> List(const JobFilter& filter, std::int64_t before, std::size_t limit) = 0;
  // All that are not final, oldest first.
  virtual Result<std::vector<JobRecord>> Active() = 0;
  // Events with ids above `after`, of one job or ("") of all, oldest first.
  virtual Result<std::vector<EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit) = 0;
  virtual Result<std::int64_t> LastEventId() = 0;
  // Final jobs in `state` that ended before `time`, oldest first.
  virtual Result<std::vector<JobRecord>> EndedBefore(JobState state, WallTime time, std::size_t limit) = 0;
  // How many are in each state; kept as counters, so cheap.
  virtual Result<std::vector<std::int64_t>> CountByState() = 0;

 protected:
  JobStore() = default;
};

}  // namespace weir::store
