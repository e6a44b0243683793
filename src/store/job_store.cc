#include "store/job_store.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/text.h"
#include "os/file.h"
#include "os/ownership.h"
#include "store/job_store_database.h"
#include "store/job_store_list.h"
#include "store/job_store_log.h"
#include "store/job_store_schema.h"
#include "store/job_store_writer.h"

namespace weir::store {
namespace {

constexpr std::size_t kMostRows = 1000;
constexpr std::string_view kDatabase = "jobs.db";
constexpr std::string_view kLog = "jobs.db-wal";
constexpr std::string_view kLock = "lock";
// https://www.sqlite.org/fileformat2.html#the_database_header
constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr std::size_t kHead = 100;
constexpr std::size_t kPageSizeAt = 16;
constexpr std::size_t kVersionAt = 60;
constexpr std::size_t kApplicationAt = 68;

constexpr std::array<const char*, kJobStates> kNames = {"queued",     "fetching",  "running", "verifying",
                                                        "publishing", "succeeded", "failed",  "cancelled"};

#define WEIR_JOB_COLUMNS                                                                                          \
  "j.number, j.id, j.recipe, j.owner, j.request, j.labels, j.outcome, j.priority, j.state, j.paused, j.attempt, " \
  "j.deaths, j.created, j.updated, j.started, j.ended, j.not_before, j.idempotency_key, j.request_digest, "       \
  "(SELECT b.id FROM batches AS b WHERE b.number = j.batch)"
constexpr std::string_view kFind = "SELECT " WEIR_JOB_COLUMNS " FROM jobs AS j WHERE j.id = ?";
constexpr std::string_view kFindByNumber = "SELECT " WEIR_JOB_COLUMNS " FROM jobs AS j WHERE j.number = ?";
constexpr std::string_view kFindByKey = "SELECT " WEIR_JOB_COLUMNS
                                        " FROM jobs AS j WHERE j.owner = ? AND j.idempotency_key = ?"
                                        " AND j.idempotency_key <> ''";
constexpr std::string_view kActive = "SELECT " WEIR_JOB_COLUMNS
                                     " FROM jobs AS j INDEXED BY jobs_active WHERE j.ended IS NULL AND j.number > ?"
                                     " ORDER BY j.number LIMIT ?";
constexpr std::string_view kEnded = "SELECT " WEIR_JOB_COLUMNS
                                    " FROM jobs AS j INDEXED BY jobs_ended WHERE j.state = ? AND j.ended < ?"
                                    " ORDER BY j.ended, j.number LIMIT ?";
constexpr std::string_view kEndedAfter = "SELECT " WEIR_JOB_COLUMNS
                                         " FROM jobs AS j INDEXED BY jobs_ended WHERE j.state = ? AND j.ended > ?"
                                         " ORDER BY j.ended DESC, j.number DESC LIMIT ?";
#define WEIR_BATCH_COLUMNS "id, owner, labels, jobs, created, idempotency_key, request_digest"
constexpr std::string_view kFindBatch = "SELECT " WEIR_BATCH_COLUMNS " FROM batches WHERE id = ?";
constexpr std::string_view kFindBatchByKey = "SELECT " WEIR_BATCH_COLUMNS
                                             " FROM batches WHERE owner = ? AND idempotency_key = ?"
                                             " AND idempotency_key <> ''";
constexpr std::string_view kStatesOfBatch =
    "SELECT state, 1 FROM jobs INDEXED BY jobs_by_batch WHERE batch = (SELECT number FROM batches WHERE id = ?)";
constexpr std::string_view kTimeline =
    "SELECT t.document FROM jobs AS j CROSS JOIN timelines AS t ON t.job = j.number WHERE j.id = ?";
constexpr std::string_view kEventsOfJob =
    "SELECT e.id, j.id, e.time, e.type, e.data FROM jobs AS j CROSS JOIN events AS e INDEXED BY events_by_job"
    " ON e.job = j.number WHERE j.id = ? AND e.id > ? ORDER BY e.id LIMIT ?";
constexpr std::string_view kAllEvents =
    "SELECT e.id, j.id, e.time, e.type, e.data FROM events AS e CROSS JOIN jobs AS j ON j.number = e.job"
    " WHERE e.id > ? ORDER BY e.id LIMIT ?";
constexpr std::string_view kLastEvent = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
constexpr std::string_view kCounters = "SELECT state, jobs FROM counters";

std::uint32_t BigEndian(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number = (number << 8U) | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

// What can be told without SQLite, which would begin to repair. Makes the file when there is none.
Status CheckFiles(int folder, const std::string& path) {
  const std::string database(kDatabase);
  const std::string log(kLog);
  os::UniqueFd log_fd;
  Bytes log_size;
  if (os::EntryExists(folder, log)) {
    WEIR_ASSIGN(log_fd, os::OpenFileAt(folder, log, os::Access::kRead));
    log_size = os::SizeOf(log_fd.get());
  }
  WEIR_ASSIGN(const os::UniqueFd fd, os::OpenOrMakeFileAt(folder, database));
  if (!os::IsRegularFile(fd.get())) {
    return Fail(Damaged(path, "it is not a regular file"));
  }
  const Bytes size = os::SizeOf(fd.get());
  if (size == Bytes()) {
    // SQLite would throw the log away.
    return log_size == Bytes() ? Status() : Fail(Damaged(path, "it is missing or empty, and its log is there"));
  }
  WEIR_ASSIGN(const std::string head, os::ReadPrefix(fd.get(), 0, Bytes(kHead)));
  if (head.size() < kHead || !head.starts_with(kMagic)) {
    return Fail(Damaged(path, "file is not a database"));
  }
  const std::uint32_t application = BigEndian(head, kApplicationAt, 4);
  const std::uint32_t version = BigEndian(head, kVersionAt, 4);
  if (application != 0 && application != kApplicationId) {
    return Fail(Damaged(path, "it is a database of another program"));
  }
  if (application == kApplicationId && version > NewestSchema()) {
    return Fail(TooNew(path, version));
  }
  if (log_size != Bytes()) {
    WEIR_ASSIGN(const std::optional<std::string> broken, FindLogDamage(log_fd.get()));
    return broken ? Status(Fail(Damaged(path, *broken))) : Status();
  }
  // Without a log the file is whole in itself. SQLite looks at the number of pages, not at the last one's end.
  const std::uint32_t page = BigEndian(head, kPageSizeAt, 2) == 1 ? 65536 : BigEndian(head, kPageSizeAt, 2);
  if (page < 512 || size.count() % page != 0) {
    return Fail(Damaged(path, "it is cut off in the middle of a page"));
  }
  return {};
}

class SqliteJobStore final : public JobStore {
 public:
  static Result<std::unique_ptr<JobStore>> Open(const std::string& folder, Post post,
                                                const JobStoreSettings& settings);

  void Commit(Change change, std::function<void(Result<Committed>)> done) override {
    writer_->Submit(std::move(change), std::move(done));
  }
  void CommitBatch(BatchRecord batch, std::vector<Change> inserts,
                   std::function<void(Result<Committed>)> done) override {
    writer_->SubmitBatch({.record = std::move(batch), .inserts = std::move(inserts)}, std::move(done));
  }
  Bytes LetGo() override;
  void Flush() override { writer_->Flush(); }
  [[nodiscard]] Status CheckWhole() const override;

  Result<std::optional<JobRecord>> Find(const std::string& id) override;
  Result<std::optional<JobRecord>> FindByKey(const std::string& owner, const std::string& key) override;
  Result<JobPage> List(const JobFilter& filter, std::int64_t before, std::size_t limit) override;
  Result<std::vector<JobRecord>> Active(std::int64_t after, std::size_t limit) override;
  Result<std::optional<BatchRecord>> FindBatch(const std::string& id) override;
  Result<std::optional<BatchRecord>> FindBatchByKey(const std::string& owner, const std::string& key) override;
  Result<std::vector<std::int64_t>> CountOfBatch(const std::string& id) override;
  Result<std::string> Timeline(const std::string& job) override;
  Result<std::vector<EventRecord>> Events(const std::string& job, std::int64_t after, std::size_t limit) override;
  Result<std::int64_t> LastEventId() override;
  Result<std::vector<JobRecord>> EndedBefore(JobState state, WallTime time, std::size_t limit) override;
  Result<std::vector<JobRecord>> EndedAfter(JobState state, WallTime time, std::size_t limit) override;
  Result<std::vector<std::int64_t>> CountByState() override;

 private:
  struct Statements {
    Statement find, find_by_number, find_by_key, active, ended, ended_after, events_of_job, all_events, last_event,
        counters;
    Statement find_batch, find_batch_by_key, states_of_batch, timeline;
    std::map<std::string, Statement> lists;  // by their text: one for each set of filters, 48 at most
  };

  SqliteJobStore(os::UniqueFd lock, std::string path, Database reader)
      : lock_(std::move(lock)), path_(std::move(path)), reader_(std::move(reader)) {}
  Status PrepareStatements();
  Result<JobRecord> RecordOf(const Statement& row) const;
  // All rows of a statement whose values are bound.
  Result<std::vector<JobRecord>> Jobs(Statement& statement);
  Result<std::optional<JobRecord>> OneJob(Statement& statement);
  static Result<std::optional<BatchRecord>> OneBatch(Statement& statement);
  // Of rows with a state and a number, which add up.
  static Result<std::vector<std::int64_t>> Counts(Statement& statement);

  // In this order: the last connection to close copies the log into the database, and the lock goes after that.
  os::UniqueFd lock_;
  std::string path_;
  std::unique_ptr<Writer> writer_;
  Database reader_;
  Statements sql_;
};

Bytes SqliteJobStore::LetGo() {
  writer_->LetGo();
  return reader_.LetGo();
}

std::int64_t Limit(std::size_t limit) {
  return static_cast<std::int64_t>(std::clamp<std::size_t>(limit, 1, kMostRows));
}

}  // namespace

const char* NameOf(JobState state) { return kNames.at(static_cast<std::size_t>(state)); }

std::optional<JobState> JobStateOf(std::string_view name) {
  const auto* const found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    return std::nullopt;
  }
  return static_cast<JobState>(found - kNames.begin());
}

Bytes JobStore::MemoryInUse() {
  return Bytes(static_cast<std::uint64_t>(std::max<sqlite3_int64>(0, ::sqlite3_memory_used())));
}

Result<std::unique_ptr<JobStore>> JobStore::Open(const std::string& folder, Post post, JobStoreSettings settings) {
  return SqliteJobStore::Open(folder, std::move(post), settings);
}

namespace {

Result<std::unique_ptr<JobStore>> SqliteJobStore::Open(const std::string& folder, Post post,
                                                       const JobStoreSettings& settings) {
  WEIR_ASSIGN(const os::UniqueFd folder_fd, os::OpenFolder(folder, os::Access::kWrite));
  WEIR_ASSIGN(os::UniqueFd lock, os::OpenOrMakeFileAt(folder_fd.get(), std::string(kLock)));
  WEIR_ASSIGN(const bool locked, os::TryLock(lock.get()));
  if (!locked) {
    return Fail(ErrorCode::kBusy, "the data folder " + Quoted(folder) +
                                      " is in use by another weir; stop that one, or give another folder");
  }
  const std::string path = folder + "/" + std::string(kDatabase);
  WEIR_TRY(CheckFiles(folder_fd.get(), path));

  WEIR_ASSIGN(Database database, Database::Open(path, Database::Mode::kWrite, settings.page_cache));
  // Until all is known to be well.
  database.KeepLogOnClose(true);
  if (const Status prepared = PrepareSchema(database); !prepared) {
    return Fail(prepared.error());
  }
  WEIR_TRY(CheckCounters(database));
  if (settings.largest_file > Bytes()) {
    WEIR_TRY(database.LimitSize(settings.largest_file));
  }
  WEIR_TRY(os::Sync(folder_fd.get()));
  WEIR_ASSIGN(Database reader, Database::Open(path, Database::Mode::kRead, settings.page_cache));
  std::unique_ptr<SqliteJobStore> store(new SqliteJobStore(std::move(lock), path, std::move(reader)));
  WEIR_TRY(store->PrepareStatements());
  database.KeepLogOnClose(false);
  WEIR_ASSIGN(store->writer_, Writer::Start(std::move(database), std::move(post), settings));
  return store;
}

Status SqliteJobStore::PrepareStatements() {
  WEIR_ASSIGN(sql_.find, reader_.Prepare(kFind));
  WEIR_ASSIGN(sql_.find_by_number, reader_.Prepare(kFindByNumber));
  WEIR_ASSIGN(sql_.find_by_key, reader_.Prepare(kFindByKey));
  WEIR_ASSIGN(sql_.active, reader_.Prepare(kActive));
  WEIR_ASSIGN(sql_.ended, reader_.Prepare(kEnded));
  WEIR_ASSIGN(sql_.ended_after, reader_.Prepare(kEndedAfter));
  WEIR_ASSIGN(sql_.events_of_job, reader_.Prepare(kEventsOfJob));
  WEIR_ASSIGN(sql_.all_events, reader_.Prepare(kAllEvents));
  WEIR_ASSIGN(sql_.last_event, reader_.Prepare(kLastEvent));
  WEIR_ASSIGN(sql_.counters, reader_.Prepare(kCounters));
  WEIR_ASSIGN(sql_.find_batch, reader_.Prepare(kFindBatch));
  WEIR_ASSIGN(sql_.find_batch_by_key, reader_.Prepare(kFindBatchByKey));
  WEIR_ASSIGN(sql_.states_of_batch, reader_.Prepare(kStatesOfBatch));
  WEIR_ASSIGN(sql_.timeline, reader_.Prepare(kTimeline));
  return {};
}

Status SqliteJobStore::CheckWhole() const {
  WEIR_ASSIGN(Database database, Database::Open(path_, Database::Mode::kRead, Bytes::Mib(1)));
  WEIR_ASSIGN(Statement check, database.Prepare("PRAGMA quick_check(1)"));
  WEIR_ASSIGN(const bool row, check.Step());
  if (const std::string found = row ? check.Text(0) : "no answer"; found != "ok") {
    return Fail(Damaged(path_, found));
  }
  return {};
}

// --- Reads ---------------------------------------------------------------------------------------------------

Result<JobRecord> SqliteJobStore::RecordOf(const Statement& row) const {
  const std::string state_name = row.Text(8);
  const std::optional<JobState> state = JobStateOf(state_name);
  if (!state) {
    return Fail(Damaged(path_, "job " + std::to_string(row.Int(0)) + " is in state " + Quoted(state_name)));
  }
  JobRecord job;
  job.number = row.Int(0);
  job.id = row.Text(1);
  job.recipe = row.Text(2);
  job.owner = row.Text(3);
  job.request = row.Text(4);
  job.labels = row.Text(5);
  job.outcome = row.Text(6);
  job.priority = static_cast<int>(row.Int(7));
  job.state = *state;
  job.paused = row.Int(9) != 0;
  job.attempt = static_cast<int>(row.Int(10));
  job.deaths = static_cast<int>(row.Int(11));
  job.created = row.Time(12);
  job.updated = row.Time(13);
  job.started = row.MaybeTime(14);
  job.ended = row.MaybeTime(15);
  job.not_before = row.MaybeTime(16);
  job.idempotency_key = row.Text(17);
  job.request_digest = row.Text(18);
  job.batch = row.Text(19);
  return job;
}

Result<std::vector<JobRecord>> SqliteJobStore::Jobs(Statement& statement) {
  const RunGuard guard(statement);
  std::vector<JobRecord> jobs;
  for (;;) {
    WEIR_ASSIGN(const bool row, statement.Step());
    if (!row) {
      return jobs;
    }
    WEIR_ASSIGN(JobRecord job, RecordOf(statement));
    jobs.push_back(std::move(job));
  }
}

Result<std::optional<JobRecord>> SqliteJobStore::OneJob(Statement& statement) {
  const RunGuard guard(statement);
  WEIR_ASSIGN(const bool row, statement.Step());
  if (!row) {
    return std::nullopt;
  }
  return RecordOf(statement);
}

Result<std::optional<JobRecord>> SqliteJobStore::Find(const std::string& id) { return OneJob(sql_.find.Bind(id)); }

Result<std::optional<JobRecord>> SqliteJobStore::FindByKey(const std::string& owner, const std::string& key) {
  return OneJob(sql_.find_by_key.Bind(owner).Bind(key));
}

Result<JobPage> SqliteJobStore::List(const JobFilter& filter, std::int64_t before, std::size_t limit) {
  ListWalk walk = WalkOf(filter);
  auto found = sql_.lists.find(walk.sql);
  if (found == sql_.lists.end()) {
    WEIR_ASSIGN(Statement prepared, reader_.Prepare(walk.sql));
    found = sql_.lists.emplace(std::move(walk.sql), std::move(prepared)).first;
  }
  Statement& entries = found->second;
  // The rows are read while the walk is not over, and so as they were when it began.
  const RunGuard guard(entries);
  for (const std::string_view value : walk.values) {
    entries.Bind(value);
  }
  entries.Bind(before > 0 ? before : INT64_MAX);
  const std::size_t wanted = std::clamp<std::size_t>(limit, 1, kMostRows);
  JobPage page;
  std::int64_t last = 0;
  for (std::size_t passed = 0;; ++passed) {
    WEIR_ASSIGN(const bool more, entries.Step());
    if (!more) {
      return page;
    }
    if (page.jobs.size() == wanted || passed == kMostPassedOver) {
      page.next = last;
      return page;
    }
    last = entries.Int(0);
    if (entries.Int(1) == 0) {
      continue;
    }
    WEIR_ASSIGN(std::optional<JobRecord> job, OneJob(sql_.find_by_number.Bind(last)));
    if (job) {
      page.jobs.push_back(*std::move(job));
    }
  }
}

Result<std::vector<JobRecord>> SqliteJobStore::Active(std::int64_t after, std::size_t limit) {
  return Jobs(sql_.active.Bind(after).Bind(Limit(limit)));
}

Result<std::optional<BatchRecord>> SqliteJobStore::OneBatch(Statement& statement) {
  const RunGuard guard(statement);
  WEIR_ASSIGN(const bool row, statement.Step());
  if (!row) {
    return std::nullopt;
  }
  return BatchRecord{.id = statement.Text(0),
                     .owner = statement.Text(1),
                     .labels = statement.Text(2),
                     .jobs = statement.Int(3),
                     .created = statement.Time(4),
                     .idempotency_key = statement.Text(5),
                     .request_digest = statement.Text(6)};
}

Result<std::optional<BatchRecord>> SqliteJobStore::FindBatch(const std::string& id) {
  return OneBatch(sql_.find_batch.Bind(id));
}

Result<std::optional<BatchRecord>> SqliteJobStore::FindBatchByKey(const std::string& owner, const std::string& key) {
  return OneBatch(sql_.find_batch_by_key.Bind(owner).Bind(key));
}

Result<std::vector<std::int64_t>> SqliteJobStore::CountOfBatch(const std::string& id) {
  return Counts(sql_.states_of_batch.Bind(id));
}

Result<std::string> SqliteJobStore::Timeline(const std::string& job) {
  const RunGuard guard(sql_.timeline);
  WEIR_ASSIGN(const bool row, sql_.timeline.Bind(job).Step());
  return row ? sql_.timeline.Text(0) : std::string();
}

Result<std::vector<EventRecord>> SqliteJobStore::Events(const std::string& job, std::int64_t after,
                                                        std::size_t limit) {
  Statement& statement = job.empty() ? sql_.all_events : sql_.events_of_job;
  const RunGuard guard(statement);
  if (!job.empty()) {
    statement.Bind(job);
  }
  statement.Bind(after).Bind(Limit(limit));
  std::vector<EventRecord> events;
  for (;;) {
    WEIR_ASSIGN(const bool row, statement.Step());
    if (!row) {
      return events;
    }
    events.push_back({.id = statement.Int(0),
                      .job = statement.Text(1),
                      .time = statement.Time(2),
                      .type = statement.Text(3),
                      .data = statement.Text(4)});
  }
}

Result<std::int64_t> SqliteJobStore::LastEventId() {
  const RunGuard guard(sql_.last_event);
  WEIR_TRY(sql_.last_event.Step());
  return sql_.last_event.Int(0);
}

Result<std::vector<JobRecord>> SqliteJobStore::EndedBefore(JobState state, WallTime time, std::size_t limit) {
  return Jobs(sql_.ended.Bind(std::string_view(NameOf(state))).Bind(time).Bind(Limit(limit)));
}

Result<std::vector<JobRecord>> SqliteJobStore::EndedAfter(JobState state, WallTime time, std::size_t limit) {
  return Jobs(sql_.ended_after.Bind(std::string_view(NameOf(state))).Bind(time).Bind(Limit(limit)));
}

Result<std::vector<std::int64_t>> SqliteJobStore::Counts(Statement& statement) {
  const RunGuard guard(statement);
  std::vector<std::int64_t> counts(kJobStates, 0);
  for (;;) {
    WEIR_ASSIGN(const bool row, statement.Step());
    if (!row) {
      return counts;
    }
    if (const auto state = JobStateOf(statement.Text(0)); state) {
      counts.at(static_cast<std::size_t>(*state)) += statement.Int(1);
    }
  }
}

Result<std::vector<std::int64_t>> SqliteJobStore::CountByState() { return Counts(sql_.counters); }

}  // namespace
}  // namespace weir::store
