#include "store/job_store_schema.h"

#include <array>
#include <string>

#include "base/log.h"
#include "base/text.h"

namespace weir::store {
namespace {

// A new file runs through all steps as well, so that they cannot fall behind. A step never changes once released.
constexpr std::array kSteps = {
    // To version 1.
    R"sql(
CREATE TABLE jobs(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  recipe TEXT NOT NULL,
  owner TEXT NOT NULL,
  request TEXT NOT NULL,
  labels TEXT NOT NULL,
  outcome TEXT NOT NULL,
  priority INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN
    ('queued', 'fetching', 'running', 'verifying', 'publishing', 'succeeded', 'failed', 'cancelled')),
  paused INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  started INTEGER,
  ended INTEGER CHECK ((ended IS NULL) = (state NOT IN ('succeeded', 'failed', 'cancelled'))),
  idempotency_key TEXT NOT NULL,
  request_digest TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_by_key ON jobs(owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_active ON jobs(number, state) WHERE ended IS NULL;
CREATE INDEX jobs_ended ON jobs(state, ended, number) WHERE ended IS NOT NULL;
CREATE INDEX jobs_by_state ON jobs(state, number, recipe, owner);
CREATE INDEX jobs_by_owner ON jobs(owner, number, state, recipe);
CREATE INDEX jobs_by_recipe ON jobs(recipe, number);

CREATE TABLE labels(
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (key, value, number),
  UNIQUE (key, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events(job);

CREATE TABLE counters(state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('queued', 0), ('fetching', 0), ('running', 0), ('verifying', 0), ('publishing', 0),
  ('succeeded', 0), ('failed', 0), ('cancelled', 0);

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
  UPDATE counters SET jobs = jobs + 1 WHERE state = new.state;
  INSERT OR IGNORE INTO labels SELECT key, value, new.number
    FROM json_each(CASE WHEN json_valid(new.labels) THEN new.labels ELSE '{}' END) WHERE type = 'text';
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
  UPDATE counters SET jobs = jobs - 1 WHERE state = old.state;
  UPDATE counters SET jobs = jobs + 1 WHERE state = new.state;
END;
CREATE TRIGGER jobs_labelled AFTER UPDATE OF labels ON jobs WHEN old.labels <> new.labels BEGIN
  DELETE FROM labels WHERE (key, value, number) IN (SELECT key, value, old.number
    FROM json_each(CASE WHEN json_valid(old.labels) THEN old.labels ELSE '{}' END) WHERE type = 'text');
  INSERT OR IGNORE INTO labels SELECT key, value, new.number
    FROM json_each(CASE WHEN json_valid(new.labels) THEN new.labels ELSE '{}' END) WHERE type = 'text';
END;
CREATE TRIGGER jobs_removed AFTER DELETE ON jobs BEGIN
  UPDATE counters SET jobs = jobs - 1 WHERE state = old.state;
  DELETE FROM labels WHERE (key, value, number) IN (SELECT key, value, old.number
    FROM json_each(CASE WHEN json_valid(old.labels) THEN old.labels ELSE '{}' END) WHERE type = 'text');
  DELETE FROM events WHERE job = old.number;
END;
)sql",
    // To version 2: attempts that died, back-off, and events counted in their job, so that trimming need not count.
    R"sql(
ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN not_before INTEGER;
ALTER TABLE jobs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET events = (SELECT count(*) FROM events WHERE events.job = jobs.number);
CREATE INDEX events_to_trim ON events(job, id) WHERE type <> 'state';
)sql",
    // To version 3: jobs that were accepted together, and what the children of a job used over time.
    R"sql(
CREATE TABLE batches(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  labels TEXT NOT NULL,
  jobs INTEGER NOT NULL,
  created INTEGER NOT NULL,
  idempotency_key TEXT NOT NULL,
  request_digest TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_by_key ON batches(owner, idempotency_key) WHERE idempotency_key <> '';
ALTER TABLE jobs ADD COLUMN batch INTEGER REFERENCES batches(number);
CREATE INDEX jobs_by_batch ON jobs(batch, number, state, recipe, owner) WHERE batch IS NOT NULL;
CREATE TABLE timelines(job INTEGER PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TRIGGER jobs_gone AFTER DELETE ON jobs BEGIN
  DELETE FROM timelines WHERE job = old.number;
  DELETE FROM batches WHERE number = old.batch AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch = old.batch);
END;
)sql",
};

Status Migrate(Database& database, std::int64_t from) {
  for (std::size_t step = static_cast<std::size_t>(from); step < kSteps.size(); ++step) {
    WEIR_TRY(database.Run(kSteps.at(step)));
  }
  const std::string marks = "PRAGMA application_id = " + std::to_string(kApplicationId) +
                            "; PRAGMA user_version = " + std::to_string(NewestSchema());
  WEIR_TRY(database.Run(marks.c_str()));
  return database.Run("COMMIT");
}

}  // namespace

std::int64_t NewestSchema() { return static_cast<std::int64_t>(kSteps.size()); }

Error TooNew(const std::string& file, std::int64_t version) {
  return {.code = ErrorCode::kTooNew,
          .detail = Quoted(file) + " was written by a later weir (format " + std::to_string(version) +
                    ", this one knows " + std::to_string(NewestSchema()) + "); use that one, or another data folder"};
}

Status PrepareSchema(Database& database) {
  WEIR_ASSIGN(const std::int64_t application, database.Number("PRAGMA application_id"));
  WEIR_ASSIGN(const std::int64_t version, database.Number("PRAGMA user_version"));
  // Also reads the table of tables, which the two numbers do not need.
  WEIR_ASSIGN(const std::int64_t things, database.Number("SELECT count(*) FROM sqlite_schema"));
  const bool empty = application == 0 && version == 0 && things == 0;
  if (!empty && application != kApplicationId) {
    return Fail(Damaged(database.file(), "it is a database of another program"));
  }
  if (version > NewestSchema()) {
    return Fail(TooNew(database.file(), version));
  }
  if (!empty && version < 1) {
    return Fail(Damaged(database.file(), "format " + std::to_string(version)));
  }
  // Only now: it writes to a file that has another mode.
  WEIR_TRY(database.UseLog());
  if (version == NewestSchema()) {
    return {};
  }
  WEIR_TRY(database.Run("BEGIN IMMEDIATE"));
  if (Status migrated = Migrate(database, version); !migrated) {
    database.RollBack();
    return migrated;
  }
  return {};
}

Status CheckCounters(Database& database) {
  WEIR_ASSIGN(const std::int64_t wrong, database.Number(R"sql(
SELECT (SELECT count(*) FROM jobs) <> (SELECT total(jobs) FROM counters)
  OR (SELECT count(*) FROM counters) <> 8
  OR EXISTS (SELECT 1 FROM counters LEFT JOIN
    (SELECT state, count(*) AS found FROM jobs INDEXED BY jobs_active WHERE ended IS NULL GROUP BY state) USING (state)
    WHERE state NOT IN ('succeeded', 'failed', 'cancelled') AND jobs <> ifnull(found, 0)))sql"));
  if (wrong == 0) {
    return {};
  }
  log::Warning("the counters in " + Quoted(database.file()) + " were wrong; counting anew");
  WEIR_TRY(database.Run("BEGIN IMMEDIATE"));
  Status counted = database.Run(R"sql(
INSERT OR IGNORE INTO counters VALUES ('queued', 0), ('fetching', 0), ('running', 0), ('verifying', 0),
  ('publishing', 0), ('succeeded', 0), ('failed', 0), ('cancelled', 0);
DELETE FROM counters WHERE state NOT IN
  ('queued', 'fetching', 'running', 'verifying', 'publishing', 'succeeded', 'failed', 'cancelled');
UPDATE counters SET jobs = (SELECT count(*) FROM jobs WHERE jobs.state = counters.state);
COMMIT)sql");
  if (!counted) {
    database.RollBack();
  }
  return counted;
}

}  // namespace weir::store
