// Database and Statement: one SQLite connection and one prepared statement of it, with errors as values. Values are
// always bound, never built into the text. A connection and its statements are used by one thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace weir::store {

// What a result code of SQLite means to the owner of `file`, which is the path of the database. `system_error`: the
// number of the system's refusal behind it, which alone tells a used up quota from a broken disk; 0 for none.
Error DatabaseError(const std::string& file, int code, int system_error, const std::string& found);
// kDamaged, with what was found and the way out.
Error Damaged(const std::string& file, const std::string& found);

class Statement {
 public:
  Statement() = default;
  // Values of the next run, in the order of the parameters. Texts must live until the run is over.
  Statement& Bind(std::int64_t value);
  Statement& Bind(std::string_view text);
  Statement& Bind(WallTime time) { return Bind(time.time_since_epoch().count()); }
  Statement& Bind(const std::optional<WallTime>& time);
  // False when there are no more rows; the run is then over, as it is after an error.
  Result<bool> Step();
  // Runs to its end, past any rows.
  Status Run();
  // Ends the run early, and with it its read transaction.
  void Reset();

  // Columns of the present row; text lives until the next Step.
  [[nodiscard]] std::int64_t Int(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  [[nodiscard]] std::string Text(int column) const;
  [[nodiscard]] WallTime Time(int column) const { return WallTime(std::chrono::milliseconds(Int(column))); }
  [[nodiscard]] std::optional<WallTime> MaybeTime(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
  };
  Error Failed(int code);
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int next_ = 1;
  int failure_ = SQLITE_OK;  // of a Bind, told by Step
};

// Ends a statement's run with the scope.
class RunGuard {
 public:
  explicit RunGuard(Statement& statement) : statement_(statement) {}
  ~RunGuard() { statement_.Reset(); }
  RunGuard(const RunGuard&) = delete;
  RunGuard& operator=(const RunGuard&) = delete;

 private:
  Statement& statement_;
};

class Database {
 public:
  enum class Mode : std::uint8_t { kRead, kWrite };
  // The file exists. Nothing is read yet. Errors: those of DatabaseError.
  static Result<Database> Open(const std::string& file, Mode mode, Bytes page_cache);
  Result<Statement> Prepare(std::string_view sql);
  // One or several statements without values.
  Status Run(const char* sql);
  // The first column of the first row. Errors: also kInternal when there is none.
  Result<std::int64_t> Number(const char* sql);
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  // Changes of the last statement, without those of triggers.
  [[nodiscard]] std::int64_t changes() const { return sqlite3_changes64(handle_.get()); }
  [[nodiscard]] std::int64_t last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }
  // Pages in the log after the last commit of this connection.
  [[nodiscard]] int log_pages() const { return *log_pages_; }
  // Pages and texts that are kept only because they may be read again. By how much memory is less.
  Bytes LetGo();
  enum class Checkpoint : std::uint8_t { kPassive, kRestart };
  // False when readers are in the way.
  Result<bool> RunCheckpoint(Checkpoint checkpoint);
  // Ends a transaction that failed, where SQLite has not done so already.
  void RollBack();
  // Whether closing leaves the log as it is: for files that must not be touched.
  void KeepLogOnClose(bool keep);
  // Write-ahead log with a flush in each commit. Writes to an empty file.
  Status UseLog();
  // The file does not grow beyond this: kDiskFull.
  Status LimitSize(Bytes largest);
  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  std::string file_;
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);
  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace weir::store
