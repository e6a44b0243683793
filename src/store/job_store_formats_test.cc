// Files of earlier formats, as the programs of their time left them: what their tables were made with is written down
// here, and does not follow the code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "store/job_store_fault_test_support.h"
#include "store/job_store_schema.h"
#include "store/job_store_test_support.h"

namespace weir::store {
namespace {

using ::testing::SizeIs;

// Jobs 2 and 3 of four; the others, and with them the last event, are gone.
constexpr const char* kFormat1 = R"sql(
BEGIN TRANSACTION;
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
INSERT INTO jobs VALUES(2,'a','crop','alice','{"r":1}','{"team":"film"}','',60,'running',1,3,1000,2000,1500,NULL,'k','d');
INSERT INTO jobs VALUES(3,'b','trim','','{}','{}','{"f":1}',50,'failed',0,1,1000,2000,1500,2000,'','');
CREATE TABLE labels(
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (key, value, number),
  UNIQUE (key, number)
) STRICT, WITHOUT ROWID;
INSERT INTO labels VALUES('team','film',2);
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
INSERT INTO events VALUES(2,2,1000,'state','{}');
INSERT INTO events VALUES(3,2,1100,'progress','{}');
INSERT INTO events VALUES(4,3,1200,'state','{}');
CREATE TABLE counters(state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES('cancelled',0);
INSERT INTO counters VALUES('failed',1);
INSERT INTO counters VALUES('fetching',0);
INSERT INTO counters VALUES('publishing',0);
INSERT INTO counters VALUES('queued',0);
INSERT INTO counters VALUES('running',1);
INSERT INTO counters VALUES('succeeded',0);
INSERT INTO counters VALUES('verifying',0);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('jobs',4);
INSERT INTO sqlite_sequence VALUES('events',5);
CREATE UNIQUE INDEX jobs_by_key ON jobs(owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_active ON jobs(number, state) WHERE ended IS NULL;
CREATE INDEX jobs_ended ON jobs(state, ended, number) WHERE ended IS NOT NULL;
CREATE INDEX jobs_by_state ON jobs(state, number, recipe, owner);
CREATE INDEX jobs_by_owner ON jobs(owner, number, state, recipe);
CREATE INDEX jobs_by_recipe ON jobs(recipe, number);
CREATE INDEX events_by_job ON events(job);
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
COMMIT;
PRAGMA application_id = 1466263922; PRAGMA user_version = 1;
)sql";

constexpr const char* kFormat2 = R"sql(
BEGIN TRANSACTION;
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
, deaths INTEGER NOT NULL DEFAULT 0, not_before INTEGER, events INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO jobs VALUES(2,'a','crop','alice','{"r":1}','{"team":"film"}','',60,'running',1,3,1000,2000,1500,NULL,'k','d',2,5000,2);
INSERT INTO jobs VALUES(3,'b','trim','','{}','{}','{"f":1}',50,'failed',0,1,1000,2000,1500,2000,'','',1,NULL,1);
CREATE TABLE labels(
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (key, value, number),
  UNIQUE (key, number)
) STRICT, WITHOUT ROWID;
INSERT INTO labels VALUES('team','film',2);
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
INSERT INTO events VALUES(2,2,1000,'state','{}');
INSERT INTO events VALUES(3,2,1100,'progress','{}');
INSERT INTO events VALUES(4,3,1200,'state','{}');
CREATE TABLE counters(state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES('cancelled',0);
INSERT INTO counters VALUES('failed',1);
INSERT INTO counters VALUES('fetching',0);
INSERT INTO counters VALUES('publishing',0);
INSERT INTO counters VALUES('queued',0);
INSERT INTO counters VALUES('running',1);
INSERT INTO counters VALUES('succeeded',0);
INSERT INTO counters VALUES('verifying',0);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('jobs',4);
INSERT INTO sqlite_sequence VALUES('events',5);
CREATE UNIQUE INDEX jobs_by_key ON jobs(owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_active ON jobs(number, state) WHERE ended IS NULL;
CREATE INDEX jobs_ended ON jobs(state, ended, number) WHERE ended IS NOT NULL;
CREATE INDEX jobs_by_state ON jobs(state, number, recipe, owner);
CREATE INDEX jobs_by_owner ON jobs(owner, number, state, recipe);
CREATE INDEX jobs_by_recipe ON jobs(recipe, number);
CREATE INDEX events_by_job ON events(job);
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
CREATE INDEX events_to_trim ON events(job, id) WHERE type <> 'state';
COMMIT;
PRAGMA application_id = 1466263922; PRAGMA user_version = 2;
)sql";

std::string SchemaOf(const DataFolder& folder) {
  auto database = folder.Outside();
  auto things =
      database.Prepare("SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema ORDER BY 1");
  std::string all;
  while (things->Step().value()) all += things->Text(0) + "\n";
  return all;
}

class JobStoreFormatsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    std::ofstream(folder_.file()).flush();
    auto old = folder_.Outside();
    ASSERT_TRUE(old.Run("PRAGMA journal_mode = WAL"));
    const Status made = old.Run(GetParam() == 1 ? kFormat1 : kFormat2);
    ASSERT_TRUE(made) << Describe(made.error());
    ASSERT_EQ(old.Number("PRAGMA user_version").value(), GetParam());
  }
  Result<std::unique_ptr<JobStore>> Open() {
    return JobStore::Open(folder_.path(), owner_.Post(), {.most_events_per_job = 2});
  }

  DataFolder folder_;
  Owner owner_;
};
INSTANTIATE_TEST_SUITE_P(All, JobStoreFormatsTest, ::testing::Values(1, 2));

TEST_P(JobStoreFormatsTest, IsBroughtUpToDate) {
  const bool first = GetParam() == 1;
  for (int round = 0; round < 2; ++round) {
    auto opened = Open();
    ASSERT_TRUE(opened) << Describe(opened.error());
    const auto store = *std::move(opened);
    JobRecord expected;
    expected.id = "a";
    expected.number = 2;
    expected.recipe = "crop";
    expected.owner = "alice";
    expected.request = R"({"r":1})";
    expected.labels = R"({"team":"film"})";
    expected.priority = 60;
    expected.state = JobState::kRunning;
    expected.paused = true;
    expected.attempt = 3;
    expected.deaths = first ? 0 : 2;
    expected.created = WallTime(std::chrono::milliseconds(1000));
    expected.updated = WallTime(std::chrono::milliseconds(2000));
    expected.started = WallTime(std::chrono::milliseconds(1500));
    if (!first) expected.not_before = WallTime(std::chrono::milliseconds(5000));
    expected.idempotency_key = "k";
    expected.request_digest = "d";
    ExpectSame(store->Find("a").value().value(), expected);
    EXPECT_EQ(store->FindByKey("alice", "k").value()->id, "a");
    EXPECT_EQ(store->Find("b").value()->outcome, R"({"f":1})");
    EXPECT_EQ(store->Find("b").value()->ended, WallTime(std::chrono::milliseconds(2000)));
    EXPECT_EQ(store->Timeline("a").value(), "");
    EXPECT_THAT(store->Events("a", 0, 10).value(), SizeIs(2));
    EXPECT_EQ(store->Events("b", 0, 10).value().at(0).id, 4);
    EXPECT_THAT(store->List({.label_key = "team", .label_value = "film"}, 0, 10)->jobs, SizeIs(1));
    EXPECT_EQ(store->CountByState().value(), (std::vector<std::int64_t>{0, 0, 1, 0, 0, 0, 1, 0}));
    // Numbers and ids go on behind those that are gone; old events count towards the bound.
    EXPECT_EQ(store->LastEventId().value(), 5 + 3 * round);
    const auto done = CommitAndWait(*store, owner_, Update(expected, 3, MakeEvent("progress")));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->event_id, 6 + 3 * round);
    EXPECT_THAT(store->Events("a", 0, 10).value(), SizeIs(2));
    const BatchRecord batch = MakeBatch();
    auto inserts = Inserts(2);
    const auto batched = CommitBatchAndWait(*store, owner_, batch, inserts);
    ASSERT_TRUE(batched);
    EXPECT_EQ(batched->number, 6 + 2 * round);
    EXPECT_EQ(store->CountOfBatch(batch.id).value().at(0), 2);
    for (const Change& insert : inserts) ASSERT_TRUE(CommitAndWait(*store, owner_, Remove(insert.job.id)));
    EXPECT_FALSE(store->FindBatch(batch.id).value().has_value());
    EXPECT_TRUE(store->CheckWhole());
  }
  EXPECT_EQ(folder_.Outside().Number("PRAGMA user_version").value(), NewestSchema());
}

// However a file came to be, later steps find the same.
TEST_P(JobStoreFormatsTest, HasThenTheTablesOfANewFile) {
  ASSERT_TRUE(Open());
  const DataFolder fresh;
  ASSERT_TRUE(JobStore::Open(fresh.path(), owner_.Post(), {}));
  EXPECT_EQ(SchemaOf(folder_), SchemaOf(fresh));
}

TEST_P(JobStoreFormatsTest, StaysAsItIsWhenTheDiskIsFullOnTheWay) {
  const WriteFault fault;
  const std::string before = SchemaOf(folder_);
  int failures = 0;
  for (int writes = 0;; ++writes) {
    WriteFault::Begin(EDQUOT, writes);
    const auto opened = Open();
    WriteFault::Pass();
    if (opened) break;
    ++failures;
    EXPECT_EQ(opened.error().code, ErrorCode::kDiskFull) << Describe(opened.error());
    EXPECT_EQ(SchemaOf(folder_), before);
    EXPECT_EQ(folder_.Outside().Number("PRAGMA user_version").value(), GetParam());
    EXPECT_EQ(folder_.Outside().Number("SELECT count(*) FROM jobs").value(), 2);
  }
  EXPECT_GT(failures, 3);
  EXPECT_EQ(Open().value()->Find("a").value()->number, 2);
}

}  // namespace
}  // namespace weir::store
