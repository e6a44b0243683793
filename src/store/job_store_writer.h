// Writer: the one connection that writes, on a thread of its own. It takes what waits, applies it in one transaction
// with a savepoint for each change or batch (a large batch alone, without), commits once, and posts all answers
// together.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "store/job_store.h"
#include "store/job_store_database.h"

namespace weir::store {

// Made, used and destroyed by the owner's thread.
class Writer {
 public:
  using Done = std::function<void(Result<Committed>)>;
  struct Batch {
    BatchRecord record;
    std::vector<Change> inserts;
  };
  // `database`: with the newest schema, not used by anybody else.
  static Result<std::unique_ptr<Writer>> Start(Database database, JobStore::Post post,
                                               const JobStoreSettings& settings);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  // Writes what waits, and drops all answers that did not run.
  ~Writer();

  void Submit(Change change, Done done);
  void SubmitBatch(Batch batch, Done done);
  void Flush();
  // What the thread's connection keeps only to read it again goes, when nothing waits; Flush waits for that as well.
  void LetGo();

 private:
  struct Waiting {
    std::variant<Change, Batch> what;
    Done done;
    std::size_t changes = 1;
    Bytes size;
    bool beyond = false;  // taken above the bounds, and not counted in them
  };
  struct Answer {
    Done done;
    Result<Committed> result;
  };
  using Results = std::vector<Result<Committed>>;
  struct Statements {
    Statement find, id_taken, key_taken, insert, update, update_all, remove, timeline, event, trim, trimmed;
    Statement batch_id_taken, batch_key_taken, insert_batch;
    Statement begin, savepoint, release, undo, commit;
  };

  Writer(Database database, JobStore::Post post, const JobStoreSettings& settings)
      : database_(std::move(database)), post_(std::move(post)), settings_(settings) {}
  Status PrepareStatements();
  void HandIn(Waiting waiting);
  void Post(std::vector<Answer> answers);

  // The writer's thread.
  void Loop();
  Results Write(std::span<Waiting> taken);
  Result<Results> Transact(std::span<Waiting> taken);
  Result<Committed> ApplyInSavepoint(const Waiting& waiting);
  Result<Committed> Apply(const Waiting& waiting);
  Result<Committed> Apply(const Change& change);
  Result<Committed> Apply(const Batch& batch);
  // `batch`: its number; 0 for none.
  Result<Committed> Insert(const Change& change, std::int64_t batch);
  Status CheckKey(const JobRecord& job, std::int64_t number);
  // `as_accepted`: what never changes in a job's life has not.
  Result<Committed> Update(const Change& change, std::int64_t number, bool as_accepted);
  Status SetTimeline(const Change& change, std::int64_t number);
  Result<std::int64_t> AddEvent(const EventRecord& event, std::int64_t number, std::int64_t events);
  void CutLog();

  Database database_;  // of the writer's thread while it runs
  Statements sql_;     // likewise
  const JobStore::Post post_;
  const JobStoreSettings settings_;
  std::optional<Error> damage_;  // writer's thread: nothing is written to a broken file
  bool log_warned_ = false;      // writer's thread
  // Owner's thread. Answers hold it too, and do nothing when it is false.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Mutex mutex_;
  Condition handed_in_;
  Condition written_;
  std::deque<Waiting> waiting_ WEIR_GUARDED_BY(mutex_);
  // Of waiting_ and what the thread has taken from it.
  std::size_t unwritten_ WEIR_GUARDED_BY(mutex_) = 0;  // items
  std::size_t unwritten_changes_ WEIR_GUARDED_BY(mutex_) = 0;
  Bytes unwritten_size_ WEIR_GUARDED_BY(mutex_);
  bool beyond_ WEIR_GUARDED_BY(mutex_) = false;  // one of them was taken above the bounds
  bool closing_ WEIR_GUARDED_BY(mutex_) = false;
  bool lets_go_ WEIR_GUARDED_BY(mutex_) = false;         // was asked to
  std::vector<Answer> dropped_ WEIR_GUARDED_BY(mutex_);  // destroyed by the owner's thread
  std::thread thread_;
};

}  // namespace weir::store
