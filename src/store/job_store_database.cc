#include "store/job_store_database.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/text.h"

namespace weir::store {
namespace {

// A writer that is not us (somebody's shell) is waited for this long.
constexpr int kPatienceMs = 2000;

// Directly after a call that failed. sqlite3_system_errno does not know of a COMMIT that failed, so this asks errno,
// which every call that may fail so begins with 0.
Error ErrorOf(sqlite3* handle, int code) {
  const int system_error = errno;
  const char* file = sqlite3_db_filename(handle, "main");
  // Asked for by the code: the connection's own message may be of another call.
  std::string found = sqlite3_errstr(code);
  if (sqlite3_extended_errcode(handle) == code && found != sqlite3_errmsg(handle)) {
    found += std::string(": ") + sqlite3_errmsg(handle);
  }
  return DatabaseError(file == nullptr ? "" : file, code, system_error, found);
}

Error NoSpace(const std::string& name, const std::string& found) {
  return {.code = ErrorCode::kDiskFull,
          .detail = "no space left to write " + name + " (" + found + "); free some disk space"};
}

}  // namespace

Error Damaged(const std::string& file, const std::string& found) {
  return {.code = ErrorCode::kDamaged,
          .detail = Quoted(file) + " is damaged or not a job database of weir (" + found +
                    "); stop weir, move the file away together with its -wal and -shm, and either put back a copy of "
                    "them or start without: then the list of jobs and their events are lost, finished files are not"};
}

Error DatabaseError(const std::string& file, int code, int system_error, const std::string& found) {
  const std::string name = Quoted(file);
  const int primary = code & 0xff;
  // The index of the log could not grow.
  if (code == SQLITE_IOERR_SHMSIZE) {
    return NoSpace(name + "-shm", found);
  }
  // SQLITE_FULL is only a write that failed with ENOSPC; a quota, or a flush that finds no space, comes as these.
  if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && (system_error == EDQUOT || system_error == ENOSPC)) {
    return NoSpace(name, found + (system_error == EDQUOT ? ": the disk quota is used up" : ""));
  }
  switch (primary) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Damaged(file, found);
    case SQLITE_FULL:
      return NoSpace(name, found);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return {
          .code = ErrorCode::kOutputUnwritable,
          .detail = "cannot write " + name + " (" + found + "); check the permissions of the file and its folder"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {.code = ErrorCode::kSystem,
              .detail = "another program holds a lock on " + name + " (" + found + "); close it and try again"};
    case SQLITE_TOOBIG:
      return {.code = ErrorCode::kTooLarge, .detail = "a document is too large for " + name + " (" + found + ")"};
    case SQLITE_IOERR:
      if (code == SQLITE_IOERR_CORRUPTFS) {
        return Damaged(file, found);
      }
      return {.code = ErrorCode::kSystem, .detail = "cannot read or write " + name + ": " + found};
    case SQLITE_CONSTRAINT:
      return {.code = ErrorCode::kInternal, .detail = name + " refuses a record that contradicts itself: " + found};
    default:
      return {.code = ErrorCode::kSystem, .detail = name + ": " + found};
  }
}

// --- Statement -----------------------------------------------------------------------------------------------

Error Statement::Failed(int code) {
  Error error = ErrorOf(sqlite3_db_handle(handle_.get()), code);
  Reset();
  return error;
}

Statement& Statement::Bind(std::int64_t value) {
  if (const int code = sqlite3_bind_int64(handle_.get(), next_++, value); code != SQLITE_OK) {
    failure_ = code;
  }
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  if (const int code = sqlite3_bind_text64(handle_.get(), next_++, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
      code != SQLITE_OK) {
    failure_ = code;
  }
  return *this;
}

Statement& Statement::Bind(const std::optional<WallTime>& time) {
  if (time) {
    return Bind(*time);
  }
  ++next_;  // reset parameters are NULL
  return *this;
}

Result<bool> Statement::Step() {
  if (failure_ != SQLITE_OK) {
    return std::unexpected(Failed(failure_));
  }
  errno = 0;
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) {
    return true;
  }
  if (code != SQLITE_DONE) {
    return std::unexpected(Failed(code));
  }
  Reset();
  return false;
}

Status Statement::Run() {
  for (;;) {
    WEIR_ASSIGN(const bool row, Step());
    if (!row) {
      return {};
    }
  }
}

void Statement::Reset() {
  sqlite3_reset(handle_.get());
  sqlite3_clear_bindings(handle_.get());
  next_ = 1;
  failure_ = SQLITE_OK;
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return text == nullptr ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

std::optional<WallTime> Statement::MaybeTime(int column) const {
  if (sqlite3_column_type(handle_.get(), column) == SQLITE_NULL) {
    return std::nullopt;
  }
  return Time(column);
}

// --- Database ------------------------------------------------------------------------------------------------

Result<Database> Database::Open(const std::string& file, Mode mode, Bytes page_cache) {
  Database database;
  database.file_ = file;
  sqlite3* handle = nullptr;
  const int flags = (mode == Mode::kWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX |
                    SQLITE_OPEN_EXRESCODE;
  errno = 0;
  const int code = sqlite3_open_v2(file.c_str(), &handle, flags, nullptr);
  database.handle_.reset(handle);
  if (code != SQLITE_OK) {
    return Fail(DatabaseError(file, code, errno, sqlite3_errstr(code)));
  }
  sqlite3_busy_timeout(handle, kPatienceMs);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // Statement journals in memory: they are small, and the place for temporary files may be out of reach.
  const std::string cache = "PRAGMA cache_size = -" + std::to_string(page_cache.count() >> 10U) +
                            "; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON";
  WEIR_TRY(database.Run(cache.c_str()));
  sqlite3_wal_hook(
      handle,
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<int*>(pages) = count;
        return SQLITE_OK;
      },
      database.log_pages_.get());
  return database;
}

Result<Statement> Database::Prepare(std::string_view sql) {
  Statement statement;
  sqlite3_stmt* handle = nullptr;
  errno = 0;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  statement.handle_.reset(handle);
  if (code != SQLITE_OK) {
    return Fail(ErrorOf(handle_.get(), code));
  }
  return statement;
}

Status Database::Run(const char* sql) {
  errno = 0;
  if (const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr); code != SQLITE_OK) {
    return Fail(ErrorOf(handle_.get(), code));
  }
  return {};
}

Result<std::int64_t> Database::Number(const char* sql) {
  WEIR_ASSIGN(Statement statement, Prepare(sql));
  WEIR_ASSIGN(const bool row, statement.Step());
  if (!row) {
    return Fail(ErrorCode::kInternal, std::string("no answer to ") + sql);
  }
  return statement.Int(0);
}

Result<bool> Database::RunCheckpoint(Checkpoint checkpoint) {
  const int mode = checkpoint == Checkpoint::kPassive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
  errno = 0;
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), "main", mode, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY) {
    return false;
  }
  if (code != SQLITE_OK) {
    return std::unexpected(ErrorOf(handle_.get(), code));
  }
  return true;
}

Bytes Database::LetGo() {
  // Of this connection alone: others of the process give back at the same time.
  const auto cached = [this] {
    int now = 0;
    int highest = 0;
    sqlite3_db_status(handle_.get(), SQLITE_DBSTATUS_CACHE_USED, &now, &highest, 0);
    return Bytes(static_cast<std::uint64_t>(std::max(0, now)));
  };
  const Bytes before = cached();
  sqlite3_db_release_memory(handle_.get());
  return before - std::min(before, cached());
}

void Database::RollBack() {
  if (in_transaction()) {
    sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Database::KeepLogOnClose(bool keep) {
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
}

Status Database::UseLog() {
  WEIR_ASSIGN(Statement mode, Prepare("PRAGMA journal_mode = WAL"));
  WEIR_ASSIGN(const bool row, mode.Step());
  if (const std::string got = row ? mode.Text(0) : "none"; got != "wal") {
    return Fail(ErrorCode::kSystem, "the file system of " + Quoted(file_) + " cannot hold a write-ahead log (mode " +
                                        Quoted(got) + "); choose a data folder on a local disk");
  }
  // The log is cut down to this whenever it begins anew.
  return Run("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 8388608");
}

Status Database::LimitSize(Bytes largest) {
  WEIR_ASSIGN(const std::int64_t page, Number("PRAGMA page_size"));
  const std::uint64_t pages = std::max<std::uint64_t>(largest.count() / static_cast<std::uint64_t>(page), 1);
  return Run(("PRAGMA max_page_count = " + std::to_string(pages)).c_str());
}

}  // namespace weir::store
