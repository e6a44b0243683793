#include "store/job_store_writer.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/proc.h"

namespace weir::store {
namespace {

// Of one transaction: enough that a flush costs each change little, few enough that the first need not wait long.
constexpr std::size_t kMostInTransaction = 256;
// Pages in the log (4 KiB each) from which it is copied into the database, and from which readers are waited for.
constexpr int kLogPages = 1000;
constexpr int kLongLogPages = 4000;

constexpr std::string_view kFind = R"sql(
SELECT number, attempt, (recipe, owner, request, labels, created, idempotency_key, request_digest)
  = (?, ?, ?, ?, ?, ?, ?) FROM jobs WHERE id = ?)sql";
constexpr std::string_view kIdTaken = "SELECT 1 FROM jobs WHERE id = ?";
constexpr std::string_view kKeyTaken =
    "SELECT 1 FROM jobs WHERE owner = ? AND idempotency_key = ? AND idempotency_key <> '' AND number <> ?";
constexpr std::string_view kInsert = R"sql(
INSERT INTO jobs(id, recipe, owner, request, labels, created, idempotency_key, request_digest,
  outcome, priority, state, paused, attempt, deaths, updated, started, ended, not_before, events, batch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0)))sql";
constexpr std::string_view kBatchIdTaken = "SELECT 1 FROM batches WHERE id = ?";
constexpr std::string_view kBatchKeyTaken =
    "SELECT 1 FROM batches WHERE owner = ? AND idempotency_key = ? AND idempotency_key <> ''";
constexpr std::string_view kInsertBatch = R"sql(
INSERT INTO batches(id, owner, labels, jobs, created, idempotency_key, request_digest)
VALUES (?, ?, ?, ?, ?, ?, ?))sql";
// What changes in a job's life. The other columns are in indexes that would be written again.
constexpr std::string_view kUpdate = R"sql(
UPDATE jobs SET outcome = ?, priority = ?, state = ?, paused = ?, attempt = ?, deaths = ?, updated = ?, started = ?,
  ended = ?, not_before = ?, events = events + ? WHERE number = ? RETURNING events)sql";
constexpr std::string_view kUpdateAll = R"sql(
UPDATE jobs SET recipe = ?, owner = ?, request = ?, labels = ?, created = ?, idempotency_key = ?, request_digest = ?,
  outcome = ?, priority = ?, state = ?, paused = ?, attempt = ?, deaths = ?, updated = ?, started = ?,
  ended = ?, not_before = ?, events = events + ? WHERE number = ? RETURNING events)sql";
constexpr std::string_view kRemove = "DELETE FROM jobs WHERE number = ?";
constexpr std::string_view kTimeline = R"sql(
INSERT INTO timelines(job, document) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET document = excluded.document)sql";
constexpr std::string_view kEvent = "INSERT INTO events(job, time, type, data) VALUES (?, ?, ?, ?)";
constexpr std::string_view kTrim = R"sql(
DELETE FROM events WHERE id IN (
  SELECT id FROM events INDEXED BY events_to_trim WHERE job = ?1 AND type <> 'state'
    AND id > (SELECT min(id) FROM events WHERE job = ?1) ORDER BY id LIMIT ?2))sql";
constexpr std::string_view kTrimmed = "UPDATE jobs SET events = events - ? WHERE number = ?";

void BindAccepted(Statement& statement, const JobRecord& job) {
  statement.Bind(job.recipe).Bind(job.owner).Bind(job.request).Bind(job.labels).Bind(job.created);
  statement.Bind(job.idempotency_key).Bind(job.request_digest);
}

void BindLife(Statement& statement, const JobRecord& job) {
  statement.Bind(job.outcome).Bind(job.priority).Bind(std::string_view(NameOf(job.state))).Bind(job.paused ? 1 : 0);
  statement.Bind(job.attempt).Bind(job.deaths).Bind(job.updated).Bind(job.started).Bind(job.ended);
  statement.Bind(job.not_before);
}

Bytes SizeOf(const Change& change) {
  const JobRecord& job = change.job;
  std::size_t size = sizeof(Change) + job.id.size() + job.recipe.size() + job.owner.size() + job.request.size() +
                     job.labels.size() + job.outcome.size() + job.idempotency_key.size() + job.request_digest.size();
  if (change.event) {
    size += change.event->type.size() + change.event->data.size();
  }
  for (const EventRecord& event : change.earlier) {
    size += sizeof(event) + event.type.size() + event.data.size();
  }
  if (change.timeline) {
    size += change.timeline->size();
  }
  return Bytes(size);
}

Bytes SizeOf(const Writer::Batch& batch) {
  const BatchRecord& record = batch.record;
  Bytes size(sizeof(record) + record.id.size() + record.owner.size() + record.labels.size() +
             record.idempotency_key.size() + record.request_digest.size());
  for (const Change& insert : batch.inserts) {
    size += SizeOf(insert);
  }
  return size;
}

// Errors that are about the file or the disk, not about one change.
bool ConcernsAll(ErrorCode code) {
  return code == ErrorCode::kDamaged || code == ErrorCode::kSystem || code == ErrorCode::kOutputUnwritable;
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::Start(Database database, JobStore::Post post,
                                              const JobStoreSettings& settings) {
  std::unique_ptr<Writer> writer(new Writer(std::move(database), std::move(post), settings));
  WEIR_TRY(writer->PrepareStatements());
  try {
    writer->thread_ = std::thread([it = writer.get()] { it->Loop(); });
  } catch (const std::system_error& refused) {
    return Fail(ErrorCode::kSystem, std::string("cannot start a thread: ") + refused.what());
  }
  return writer;
}

Status Writer::PrepareStatements() {
  WEIR_ASSIGN(sql_.find, database_.Prepare(kFind));
  WEIR_ASSIGN(sql_.id_taken, database_.Prepare(kIdTaken));
  WEIR_ASSIGN(sql_.key_taken, database_.Prepare(kKeyTaken));
  WEIR_ASSIGN(sql_.insert, database_.Prepare(kInsert));
  WEIR_ASSIGN(sql_.update, database_.Prepare(kUpdate));
  WEIR_ASSIGN(sql_.update_all, database_.Prepare(kUpdateAll));
  WEIR_ASSIGN(sql_.remove, database_.Prepare(kRemove));
  WEIR_ASSIGN(sql_.batch_id_taken, database_.Prepare(kBatchIdTaken));
  WEIR_ASSIGN(sql_.batch_key_taken, database_.Prepare(kBatchKeyTaken));
  WEIR_ASSIGN(sql_.insert_batch, database_.Prepare(kInsertBatch));
  WEIR_ASSIGN(sql_.timeline, database_.Prepare(kTimeline));
  WEIR_ASSIGN(sql_.event, database_.Prepare(kEvent));
  WEIR_ASSIGN(sql_.trim, database_.Prepare(kTrim));
  WEIR_ASSIGN(sql_.trimmed, database_.Prepare(kTrimmed));
  WEIR_ASSIGN(sql_.begin, database_.Prepare("BEGIN IMMEDIATE"));
  WEIR_ASSIGN(sql_.savepoint, database_.Prepare("SAVEPOINT change"));
  WEIR_ASSIGN(sql_.release, database_.Prepare("RELEASE change"));
  WEIR_ASSIGN(sql_.undo, database_.Prepare("ROLLBACK TO change"));
  WEIR_ASSIGN(sql_.commit, database_.Prepare("COMMIT"));
  return {};
}

Writer::~Writer() {
  *alive_ = false;
  if (!thread_.joinable()) {
    return;
  }
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    handed_in_.NotifyOne();
  }
  thread_.join();
}

void Writer::Submit(Change change, Done done) {
  const Bytes size = SizeOf(change);
  HandIn({.what = std::move(change), .done = std::move(done), .size = size});
}

void Writer::SubmitBatch(Batch batch, Done done) {
  const Bytes size = SizeOf(batch);
  const std::size_t changes = std::max<std::size_t>(batch.inserts.size(), 1);
  HandIn({.what = std::move(batch), .done = std::move(done), .changes = changes, .size = size});
}

void Writer::HandIn(Waiting waiting) {
  {
    const MutexLock lock(mutex_);
    const bool fits =
        unwritten_changes_ + waiting.changes <= std::max<std::size_t>(settings_.most_waiting_changes, 1) &&
        unwritten_size_ + waiting.size <= settings_.most_waiting;
    // One at a time, and apart from the bounds: while it is written the small ones still find room.
    waiting.beyond =
        !fits && !beyond_ && (std::holds_alternative<Batch>(waiting.what) || waiting.size > settings_.most_waiting);
    if (fits || waiting.beyond) {
      ++unwritten_;
      unwritten_changes_ += fits ? waiting.changes : 0;
      unwritten_size_ += fits ? waiting.size : Bytes();
      beyond_ = beyond_ || waiting.beyond;
      waiting_.push_back(std::move(waiting));
      handed_in_.NotifyOne();
      return;
    }
  }
  std::vector<Answer> refusal;
  refusal.push_back({.done = std::move(waiting.done),
                     .result = Fail(ErrorCode::kBusy, "too many changes wait to be written to " +
                                                          Quoted(database_.file()) + "; come again later")});
  Post(std::move(refusal));
}

void Writer::Flush() {
  const MutexLock lock(mutex_);
  while (unwritten_ > 0 || lets_go_) {
    written_.Wait(mutex_);
  }
}

void Writer::LetGo() {
  const MutexLock lock(mutex_);
  lets_go_ = true;
  handed_in_.NotifyOne();
}

void Writer::Post(std::vector<Answer> answers) {
  post_([alive = alive_, all = std::make_shared<std::vector<Answer>>(std::move(answers))] {
    for (Answer& answer : *all) {
      // Asked each time: an answer may destroy the store.
      if (!*alive) {
        return;
      }
      answer.done(std::move(answer.result));
    }
  });
}

// --- The thread ----------------------------------------------------------------------------------------------

void Writer::Loop() {
  for (;;) {
    std::vector<Waiting> taken;
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !closing_ && !lets_go_) {
        handed_in_.Wait(mutex_);
      }
      if (waiting_.empty() && closing_) {
        return;
      }
      std::size_t changes = 0;
      // A large batch goes alone, so that what came before it is not kept by it.
      while (!waiting_.empty() && (taken.empty() || changes + waiting_.front().changes <= kMostInTransaction)) {
        changes += waiting_.front().changes;
        taken.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
    }
    if (taken.empty()) {
      database_.LetGo();
      os::TrimHeap();
      const MutexLock lock(mutex_);
      lets_go_ = false;
      written_.NotifyAll();
      continue;
    }
    Results results = Write(taken);
    std::vector<Answer> answers;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      answers.push_back({.done = std::move(taken[i].done), .result = std::move(results[i])});
      taken[i].what = Change();  // a batch is large
    }
    bool closing = false;
    {
      const MutexLock lock(mutex_);
      unwritten_ -= taken.size();
      for (const Waiting& written : taken) {
        unwritten_changes_ -= written.beyond ? 0 : written.changes;
        unwritten_size_ -= written.beyond ? Bytes() : written.size;
        beyond_ = beyond_ && !written.beyond;
      }
      closing = closing_;
      if (closing) {
        for (Answer& answer : answers) {
          dropped_.push_back(std::move(answer));
        }
      }
      written_.NotifyAll();
    }
    if (!closing) {
      Post(std::move(answers));
    }
    CutLog();
  }
}

Writer::Results Writer::Write(std::span<Waiting> taken) {
  Result<Results> written = damage_ ? Result<Results>(Fail(*damage_)) : Transact(taken);
  if (written) {
    return *std::move(written);
  }
  Error error = std::move(written).error();
  if (error.code == ErrorCode::kDamaged) {
    damage_ = error;
  }
  // One change that does not fit must not take smaller ones along.
  if (error.code == ErrorCode::kDiskFull && taken.size() > 1) {
    Results results;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      Results one = Write(taken.subspan(i, 1));
      results.push_back(std::move(one.front()));
    }
    return results;
  }
  return Results(taken.size(), Fail(error));
}

Result<Writer::Results> Writer::Transact(std::span<Waiting> taken) {
  const auto give_up = [this](Error error) {
    database_.RollBack();
    return Fail(std::move(error));
  };
  WEIR_TRY(sql_.begin.Run());
  Results results;
  for (const Waiting& waiting : taken) {
    // Under a savepoint SQLite keeps what every statement overwrites until the savepoint ends, and finds its way
    // through that again after each: a batch of 10,000 jobs would take half a minute and tens of MiB.
    const bool alone = taken.size() == 1;
    Result<Committed> result = alone ? Apply(waiting) : ApplyInSavepoint(waiting);
    // Some errors end the transaction, and with it the changes before this one.
    if (!result && (alone || !database_.in_transaction() || ConcernsAll(result.error().code))) {
      return give_up(std::move(result).error());
    }
    results.push_back(std::move(result));
  }
  if (Status committed = sql_.commit.Run(); !committed) {
    return give_up(std::move(committed).error());
  }
  return results;
}

Result<Committed> Writer::ApplyInSavepoint(const Waiting& waiting) {
  WEIR_TRY(sql_.savepoint.Run());
  Result<Committed> result = Apply(waiting);
  if (!result && database_.in_transaction()) {
    WEIR_TRY(sql_.undo.Run());
  }
  if (database_.in_transaction()) {
    WEIR_TRY(sql_.release.Run());
  }
  return result;
}

Result<Committed> Writer::Apply(const Waiting& waiting) {
  return std::visit([this](const auto& what) { return Apply(what); }, waiting.what);
}

Result<Committed> Writer::Apply(const Batch& batch) {
  const BatchRecord& record = batch.record;
  const auto is_insert = [](const Change& change) { return change.kind == Change::Kind::kInsert; };
  if (batch.inserts.empty() || !std::ranges::all_of(batch.inserts, is_insert)) {
    return Fail(ErrorCode::kInternal, "a batch has at least one job, and nothing but new ones");
  }
  {
    const RunGuard guard(sql_.batch_id_taken);
    WEIR_ASSIGN(const bool taken, sql_.batch_id_taken.Bind(record.id).Step());
    if (taken) {
      return Fail(ErrorCode::kConflict, "there is a batch " + Quoted(record.id) + " already");
    }
  }
  {
    const RunGuard guard(sql_.batch_key_taken);
    WEIR_ASSIGN(const bool taken, sql_.batch_key_taken.Bind(record.owner).Bind(record.idempotency_key).Step());
    if (taken) {
      return Fail(ErrorCode::kOutputExists,
                  "the idempotency key " + Quoted(record.idempotency_key) + " is that of another batch");
    }
  }
  sql_.insert_batch.Bind(record.id).Bind(record.owner).Bind(record.labels);
  sql_.insert_batch.Bind(static_cast<std::int64_t>(batch.inserts.size())).Bind(record.created);
  WEIR_TRY(sql_.insert_batch.Bind(record.idempotency_key).Bind(record.request_digest).Run());
  const std::int64_t number = database_.last_row();
  Committed last;
  for (const Change& insert : batch.inserts) {
    WEIR_ASSIGN(last, Insert(insert, number));
  }
  return last;
}

Result<Committed> Writer::Apply(const Change& change) {
  if (change.kind == Change::Kind::kInsert) {
    if (!change.job.batch.empty()) {
      return Fail(ErrorCode::kInternal, "job " + Quoted(change.job.id) + " can join a batch only when that begins");
    }
    return Insert(change, 0);
  }
  std::int64_t number = 0;
  std::int64_t attempt = 0;
  bool as_accepted = false;
  {
    const RunGuard guard(sql_.find);
    BindAccepted(sql_.find, change.job);
    sql_.find.Bind(change.job.id);
    WEIR_ASSIGN(const bool found, sql_.find.Step());
    if (!found) {
      return Fail(ErrorCode::kConflict, "there is no job " + Quoted(change.job.id) + " any more");
    }
    number = sql_.find.Int(0);
    attempt = sql_.find.Int(1);
    as_accepted = sql_.find.Int(2) != 0;
  }
  if (change.only_if_attempt && *change.only_if_attempt != attempt) {
    return Fail(ErrorCode::kConflict, "job " + Quoted(change.job.id) + " is at attempt " + std::to_string(attempt) +
                                          ", not at " + std::to_string(*change.only_if_attempt));
  }
  if (change.kind == Change::Kind::kRemove) {
    WEIR_TRY(sql_.remove.Bind(number).Run());
    return Committed{.number = number};
  }
  return Update(change, number, as_accepted);
}

Result<Committed> Writer::Insert(const Change& change, std::int64_t batch) {
  const JobRecord& job = change.job;
  {
    const RunGuard guard(sql_.id_taken);
    WEIR_ASSIGN(const bool taken, sql_.id_taken.Bind(job.id).Step());
    if (taken) {
      return Fail(ErrorCode::kConflict, "there is a job " + Quoted(job.id) + " already");
    }
  }
  WEIR_TRY(CheckKey(job, 0));
  sql_.insert.Bind(job.id);
  BindAccepted(sql_.insert, job);
  BindLife(sql_.insert, job);
  WEIR_TRY(sql_.insert.Bind(change.event ? 1 : 0).Bind(batch).Run());
  Committed committed{.number = database_.last_row()};
  WEIR_TRY(SetTimeline(change, committed.number));
  if (change.event) {
    WEIR_ASSIGN(committed.event_id, AddEvent(*change.event, committed.number, 1));
  }
  return committed;
}

// The index would refuse it too, but does not say that it was this.
Status Writer::CheckKey(const JobRecord& job, std::int64_t number) {
  if (job.idempotency_key.empty()) {
    return {};
  }
  const RunGuard guard(sql_.key_taken);
  WEIR_ASSIGN(const bool taken, sql_.key_taken.Bind(job.owner).Bind(job.idempotency_key).Bind(number).Step());
  if (taken) {
    return Fail(ErrorCode::kOutputExists,
                "the idempotency key " + Quoted(job.idempotency_key) + " is that of another job");
  }
  return {};
}

Result<Committed> Writer::Update(const Change& change, std::int64_t number, bool as_accepted) {
  if (!as_accepted) {
    WEIR_TRY(CheckKey(change.job, number));
  }
  Statement& update = as_accepted ? sql_.update : sql_.update_all;
  std::int64_t events = 0;
  {
    const RunGuard guard(update);
    if (!as_accepted) {
      BindAccepted(update, change.job);
    }
    BindLife(update, change.job);
    const std::size_t more = change.earlier.size() + (change.event ? 1 : 0);
    WEIR_ASSIGN(const bool row, update.Bind(static_cast<std::int64_t>(more)).Bind(number).Step());
    if (!row) {
      return Fail(ErrorCode::kInternal, "job " + Quoted(change.job.id) + " was found and not updated");
    }
    events = update.Int(0);
  }
  WEIR_TRY(SetTimeline(change, number));
  Committed committed{.number = number};
  for (const EventRecord& event : change.earlier) {
    // What is too many goes with the last one.
    WEIR_ASSIGN(committed.event_id, AddEvent(event, number, 0));
  }
  if (change.event) {
    WEIR_ASSIGN(committed.event_id, AddEvent(*change.event, number, events));
  }
  return committed;
}

Status Writer::SetTimeline(const Change& change, std::int64_t number) {
  return change.timeline ? sql_.timeline.Bind(number).Bind(*change.timeline).Run() : Status();
}

// `events`: how many the job has, with this one.
Result<std::int64_t> Writer::AddEvent(const EventRecord& event, std::int64_t number, std::int64_t events) {
  WEIR_TRY(sql_.event.Bind(number).Bind(event.time).Bind(event.type).Bind(event.data).Run());
  const std::int64_t id = database_.last_row();
  const std::int64_t excess = events - std::max<std::int64_t>(settings_.most_events_per_job, 1);
  if (excess > 0) {
    WEIR_TRY(sql_.trim.Bind(number).Bind(excess).Run());
    if (const std::int64_t trimmed = database_.changes(); trimmed > 0) {
      WEIR_TRY(sql_.trimmed.Bind(trimmed).Bind(number).Run());
    }
  }
  return id;
}

// After the answers, which need not wait for it.
void Writer::CutLog() {
  if (damage_ || database_.log_pages() < kLogPages) {
    return;
  }
  using Checkpoint = Database::Checkpoint;
  const bool is_long = database_.log_pages() >= kLongLogPages;
  const Result<bool> cut = database_.RunCheckpoint(is_long ? Checkpoint::kRestart : Checkpoint::kPassive);
  if (!cut && cut.error().code == ErrorCode::kDamaged) {
    damage_ = cut.error();
  }
  const bool stuck = !cut || (is_long && !*cut);
  if (stuck && !log_warned_) {
    log::Warning("cannot cut short the log of " + Quoted(database_.file()) + ", which therefore grows: " +
                 (cut ? "another program reads it in one long transaction" : Describe(cut.error())));
  }
  log_warned_ = stuck;
}

}  // namespace weir::store
