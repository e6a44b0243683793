// What Open and the connections say to files that are broken, foreign, older, newer, locked or out of space; and what
// is left after the process is killed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <set>
#include <thread>

#include "store/job_store_schema.h"
#include "store/job_store_test_support.h"

namespace weir::store {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void Write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class JobStoreDamageTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<JobStore>> Open(const JobStoreSettings& settings = {}) {
    return JobStore::Open(folder_.path(), owner_.Post(), settings);
  }
  // A database with jobs in it, closed.
  void Fill(int jobs) {
    auto store = Open().value();
    for (int i = 0; i < jobs; ++i) {
      store->Commit(Insert(MakeJob(i)), [](const Result<Committed>&) {});
    }
    store->Flush();
  }
  // The files as a killed process would leave them: copied while the store is open.
  void FillAndKill(int transactions) {
    const DataFolder copy;
    {
      auto store = Open().value();
      for (int i = 0; i < transactions; ++i) ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob(i))));
      for (const char* name : {"jobs.db", "jobs.db-wal"}) fs::copy_file(folder_.file(name), copy.file(name));
    }
    for (const char* name : {"jobs.db", "jobs.db-wal"}) {
      fs::copy_file(copy.file(name), folder_.file(name), fs::copy_options::overwrite_existing);
    }
  }
  void ExpectDamaged(const std::string& found) {
    const auto opened = Open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kDamaged) << Describe(opened.error());
    EXPECT_THAT(opened.error().detail, HasSubstr(folder_.file()));
    EXPECT_THAT(opened.error().detail, HasSubstr(found));
    EXPECT_THAT(opened.error().detail, HasSubstr("move the file away"));
  }

  DataFolder folder_;
  Owner owner_;
};

TEST_F(JobStoreDamageTest, OneProcessPerFolder) {
  const auto first = Open().value();
  const auto second = Open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_THAT(second.error().detail, HasSubstr(folder_.path()));
}

TEST_F(JobStoreDamageTest, FilesArePrivate) {
  const auto store = Open().value();
  ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  for (const char* name : {"jobs.db", "jobs.db-wal", "jobs.db-shm", "lock"}) {
    EXPECT_EQ(static_cast<unsigned>(fs::status(folder_.file(name)).permissions()), 0600U) << name;
  }
}

TEST_F(JobStoreDamageTest, NotADatabase) {
  Write(folder_.file(), std::string(9000, 'x'));
  ExpectDamaged("not a database");
  EXPECT_EQ(Read(folder_.file()), std::string(9000, 'x'));
}

TEST_F(JobStoreDamageTest, ADatabaseOfAnotherProgram) {
  Write(folder_.file(), "");
  ASSERT_TRUE(folder_.Outside().Run("CREATE TABLE t(x); PRAGMA application_id = 5"));
  const std::string before = Read(folder_.file());
  ExpectDamaged("another program");
  ASSERT_TRUE(folder_.Outside().Run("PRAGMA application_id = 0"));
  ExpectDamaged("another program");
  EXPECT_EQ(Read(folder_.file()).size(), before.size());
}

TEST_F(JobStoreDamageTest, ALaterVersionIsNotTouched) {
  Fill(3);
  ASSERT_TRUE(folder_.Outside().Run("PRAGMA user_version = 99"));
  const std::string before = Read(folder_.file());
  const auto opened = Open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kTooNew);
  EXPECT_THAT(opened.error().detail, HasSubstr("99"));
  EXPECT_EQ(Read(folder_.file()), before);
}

TEST_F(JobStoreDamageTest, ATruncatedFile) {
  Fill(200);
  const auto size = fs::file_size(folder_.file());
  fs::resize_file(folder_.file(), size - 1000);
  ExpectDamaged("cut off");
  fs::resize_file(folder_.file(), size / 2 / 4096 * 4096);
  ExpectDamaged("malformed");
  fs::resize_file(folder_.file(), 50);
  ExpectDamaged("not a database");
}

TEST_F(JobStoreDamageTest, ALogWithoutItsDatabase) {
  FillAndKill(5);
  Write(folder_.file(), "");
  ExpectDamaged("log is there");
  fs::remove(folder_.file());
  ExpectDamaged("log is there");
}

TEST_F(JobStoreDamageTest, ABrokenLogIsToldFromATornOne) {
  FillAndKill(30);
  const std::string whole = Read(folder_.file("jobs.db-wal"));
  const std::string database = Read(folder_.file());
  const auto put_back = [&](const std::string& log) {
    Write(folder_.file(), database);
    Write(folder_.file("jobs.db-wal"), log);
  };
  std::string broken = whole;
  broken[whole.size() / 2] ^= 1;
  put_back(broken);
  ExpectDamaged("changes follow behind it");
  broken = whole;
  broken[9] ^= 1;
  put_back(broken);
  ExpectDamaged("head of its log");
  // Torn ends, as a power cut leaves them: the last change is gone, the others are there.
  put_back(whole.substr(0, whole.size() - 10));
  EXPECT_THAT(Open().value()->List({}, 0, 100).value(), SizeIs(29));
  broken = whole;
  broken[whole.size() - 10] ^= 1;
  put_back(broken);
  EXPECT_THAT(Open().value()->List({}, 0, 100).value(), SizeIs(29));
  put_back(whole);
  EXPECT_THAT(Open().value()->List({}, 0, 100).value(), SizeIs(30));
}

TEST_F(JobStoreDamageTest, ABrokenPageIsFoundByReadsCommitsAndTheWholeCheck) {
  Fill(400);
  std::string content = Read(folder_.file());
  ASSERT_GT(content.size(), 40U * 4096);
  auto database = std::make_optional(folder_.Outside());
  const std::int64_t root = database->Number("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").value();
  database.reset();
  std::fill_n(content.begin() + (root - 1) * 4096, 4096, '\xee');
  Write(folder_.file(), content);
  auto opened = Open();
  // Opening does not look at every page.
  ASSERT_TRUE(opened) << Describe(opened.error());
  const auto store = *std::move(opened);
  const auto read = store->List({}, 0, 1000);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kDamaged) << Describe(read.error());
  EXPECT_THAT(read.error().detail, HasSubstr(folder_.file()));
  Status checked;
  std::thread([&] { checked = store->CheckWhole(); }).join();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kDamaged);
  for (int i = 0; i < 2; ++i) {
    const auto done = CommitAndWait(*store, owner_, Insert(MakeJob()));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kDamaged) << Describe(done.error());
  }
}

// A file that stopped at the first step, with rows in it.
TEST_F(JobStoreDamageTest, AnOlderFileIsBroughtUpToDate) {
  Write(folder_.file(), "");
  {
    auto old = folder_.Outside();
    ASSERT_TRUE(old.Run(SchemaStep(0)));
    ASSERT_TRUE(old.Run(R"sql(
INSERT INTO jobs(id, recipe, owner, request, labels, outcome, priority, state, paused, attempt, created, updated, started,
  ended, idempotency_key, request_digest)
VALUES ('a', 'crop', 'alice', '{"r":1}', '{"team":"film"}', '', 60, 'running', 1, 3, 1000, 2000, 1500, NULL, 'k', 'd'),
  ('b', 'trim', '', '{}', '{}', '{"f":1}', 50, 'failed', 0, 1, 1000, 2000, 1500, 2000, '', '');
INSERT INTO events(job, time, type, data) VALUES (1, 1000, 'state', '{}'), (1, 1100, 'progress', '{}'),
  (2, 1200, 'state', '{}');
PRAGMA application_id = 0x57656972; PRAGMA user_version = 1)sql"));
  }
  for (int round = 0; round < 2; ++round) {
    const auto store = Open({.most_events_per_job = 2}).value();
    const auto job = store->Find("a").value().value();
    EXPECT_EQ(job.number, 1);
    EXPECT_EQ(job.request, R"({"r":1})");
    EXPECT_EQ(job.state, JobState::kRunning);
    EXPECT_TRUE(job.paused);
    EXPECT_EQ(job.attempt, 3);
    EXPECT_EQ(job.deaths, 0);
    EXPECT_EQ(job.not_before, std::nullopt);
    EXPECT_EQ(job.idempotency_key, "k");
    EXPECT_THAT(store->Events("a", 0, 10).value(), SizeIs(2));
    EXPECT_THAT(store->List({.label_key = "team", .label_value = "film"}, 0, 10).value(), SizeIs(1));
    EXPECT_EQ(store->CountByState().value(), (std::vector<std::int64_t>{0, 0, 1, 0, 0, 0, 1, 0}));
    // Old events count towards the bound.
    ASSERT_TRUE(CommitAndWait(*store, owner_, Update(job, 3, MakeEvent("progress"))));
    EXPECT_THAT(store->Events("a", 0, 10).value(), SizeIs(2));
    EXPECT_TRUE(store->CheckWhole());
  }
  auto now = folder_.Outside();
  EXPECT_EQ(now.Number("PRAGMA user_version").value(), NewestSchema());
}

TEST_F(JobStoreDamageTest, AFileThatMayNotGrowTakesChangesAgainWhenThereIsSpace) {
  const auto store = Open({.largest_file = Bytes::Kib(256)}).value();
  std::vector<std::string> ids;
  Result<Committed> done;
  do {
    JobRecord job = MakeJob();
    job.request = std::string(5000, 'x');
    done = CommitAndWait(*store, owner_, Insert(job));
    if (done) ids.push_back(job.id);
  } while (done && ids.size() < 1000);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kDiskFull) << Describe(done.error());
  EXPECT_THAT(store->List({}, 0, 1000).value(), SizeIs(ids.size()));
  EXPECT_EQ(store->CountByState().value()[0], static_cast<std::int64_t>(ids.size()));
  EXPECT_EQ(store->LastEventId().value(), static_cast<std::int64_t>(ids.size()));
  ASSERT_TRUE(CommitAndWait(*store, owner_, Remove(ids[0])));
  ASSERT_TRUE(CommitAndWait(*store, owner_, Remove(ids[1])));
  EXPECT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  EXPECT_TRUE(store->CheckWhole());
}

// Small file systems. Need the right to mount.
class JobStoreDiskTest : public JobStoreDamageTest {
 protected:
  void TearDown() override {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool Mount(const char* options) {
    mounted_ = mount("none", folder_.path().c_str(), "tmpfs", 0, options) == 0;
    return mounted_;
  }
  bool mounted_ = false;
};

TEST_F(JobStoreDiskTest, AFullDiskFailsTheChangesAndNothingElse) {
  if (!Mount("size=1m")) GTEST_SKIP() << "no right to mount a small file system";
  const auto store = Open().value();
  ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  Write(folder_.file("ballast"), std::string(300'000, 'x'));
  std::int64_t added = 1;
  std::size_t answers = 0;
  std::vector<ErrorCode> errors;
  for (int i = 0; i < 300; ++i) {
    JobRecord job = MakeJob(i);
    job.request = std::string(5000, 'x');
    store->Commit(Insert(job), [&](const Result<Committed>& result) {
      ++answers;
      added += result ? 1 : 0;
      if (!result) errors.push_back(result.error().code);
    });
  }
  ASSERT_TRUE(owner_.RunUntil([&] { return answers == 300; }));
  EXPECT_GT(errors.size(), 0U);
  for (const auto code : errors) EXPECT_EQ(code, ErrorCode::kDiskFull);
  EXPECT_EQ(store->CountByState().value()[0], added);
  fs::remove(folder_.file("ballast"));
  EXPECT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  EXPECT_EQ(store->CountByState().value()[0], added + 1);
  EXPECT_TRUE(store->CheckWhole());
}

TEST_F(JobStoreDiskTest, AFolderThatCannotBeWritten) {
  if (!Mount("size=1m")) GTEST_SKIP() << "no right to mount a small file system";
  Fill(1);
  ASSERT_EQ(mount("none", folder_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  const auto opened = Open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kOutputUnwritable) << Describe(opened.error());
  EXPECT_THAT(opened.error().detail, HasSubstr(folder_.path()));
}

TEST_F(JobStoreDamageTest, AMissingFolder) {
  const auto opened = JobStore::Open(folder_.file("missing"), owner_.Post(), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kOutputFolder);
}

// --- Killed --------------------------------------------------------------------------------------------------

[[noreturn]] void CommitUntilKilled(const std::string& folder, int acknowledged) {
  Owner owner;
  auto opened = JobStore::Open(folder, owner.Post(), {});
  if (!opened) _exit(3);
  std::size_t flying = 0;
  for (;;) {
    while (flying < 50) {
      ++flying;
      (*opened)->Commit(Insert(MakeJob()), [&](const Result<Committed>& result) {
        --flying;
        if (!result) _exit(4);
        const std::int64_t number = result->number;
        if (write(acknowledged, &number, sizeof(number)) != sizeof(number)) _exit(5);
      });
    }
    if (!owner.RunUntil([&] { return flying < 25; })) _exit(6);
  }
}

TEST_F(JobStoreDamageTest, WhatWasAcknowledgedSurvivesAKill) {
  const char* wanted = std::getenv("WEIR_TEST_KILLS");
  const int kills = wanted == nullptr ? 20 : std::atoi(wanted);
  std::mt19937 random(std::random_device{}());
  std::set<std::int64_t> acknowledged;
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      CommitUntilKilled(folder_.path(), ends[1]);
    }
    close(ends[1]);
    // Every other one not before something was acknowledged, however slow the machine is.
    std::atomic<bool> working = kill_number % 2 == 0;
    std::thread killer([&random, &working, child] {
      working.wait(false);
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
      kill(child, SIGKILL);
    });
    std::int64_t number = 0;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      working = true;
      working.notify_one();
      EXPECT_TRUE(acknowledged.insert(number).second) << number << " was given twice";
    }
    // A child that ended by itself is told below.
    working = true;
    working.notify_one();
    killer.join();
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);

    auto opened = Open();
    ASSERT_TRUE(opened) << Describe(opened.error());
    ASSERT_TRUE((*opened)->CheckWhole());
    std::set<std::int64_t> present;
    std::int64_t before = 0;
    for (;;) {
      const auto page = (*opened)->List({}, before, 1000).value();
      if (page.empty()) break;
      for (const auto& job : page) EXPECT_TRUE(present.insert(job.number).second);
      before = page.back().number;
    }
    EXPECT_TRUE(std::ranges::includes(present, acknowledged));
    EXPECT_EQ((*opened)->CountByState().value()[0], static_cast<std::int64_t>(present.size()));
    EXPECT_EQ((*opened)->LastEventId().value(), present.empty() ? 0 : *present.rbegin());
  }
  EXPECT_FALSE(acknowledged.empty());
}

// --- Figures -------------------------------------------------------------------------------------------------

std::int64_t ResidentKib() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  file >> all >> resident;
  return resident * 4;
}

// WEIR_TEST_FIGURES=100000 prints what docs and reports quote; by default a small run, for its effects.
TEST_F(JobStoreDamageTest, Figures) {
  const char* wanted = std::getenv("WEIR_TEST_FIGURES");
  const int jobs = wanted == nullptr ? 500 : std::atoi(wanted);
  const auto since = [](std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  };
  const auto now = [] { return std::chrono::steady_clock::now(); };
  JobRecord last;
  {
    auto store = Open().value();
    const auto start = now();
    int flying = 0;
    for (int i = 0; i < jobs; ++i) {
      JobRecord job = MakeJob(i);
      job.request += std::string(400, ' ');
      job.labels = i % 2 == 0 ? R"({"team":"film"})" : R"({"team":"news"})";
      last = job;
      ++flying;
      store->Commit(Insert(job), [&](const Result<Committed>& result) {
        --flying;
        EXPECT_TRUE(result);
      });
      if (flying >= 1000) owner_.RunUntil([&] { return flying < 1000; });
    }
    owner_.RunUntil([&] { return flying == 0; });
    const double took = since(start);
    std::cout << jobs << " submissions: " << took << " ms, " << jobs / took * 1000 << " per second\n";
  }
  {
    auto outside = folder_.Outside();
    ASSERT_TRUE(
        outside.Run("BEGIN; UPDATE jobs SET state = 'succeeded', ended = created, events = 3 WHERE number > 100;"
                    "INSERT INTO events(job, time, type, data) SELECT job, time, 'progress', '{}' FROM events;"
                    "INSERT INTO events(job, time, type, data) SELECT number, created, 'state', '{}' FROM jobs;"
                    "COMMIT"));
  }
  malloc_trim(0);  // what was freed so far must not hide what is taken now
  const std::int64_t before = ResidentKib();
  auto start = now();
  auto store = Open().value();
  std::cout << "open: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->Find(last.id).value().has_value());
  std::cout << "find: " << since(start) << " ms\n";
  start = now();
  EXPECT_FALSE(store->List({}, 0, 100).value().empty());
  std::cout << "page of 100: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(
      store->List({.state = JobState::kSucceeded, .recipe = "none", .owner = "alice"}, 0, 100).value().empty());
  std::cout << "page of nothing, three filters: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->List({.owner = "nobody", .label_key = "team", .label_value = "film"}, 0, 100).value().empty());
  std::cout << "page of nothing, label and owner: " << since(start) << " ms\n";
  start = now();
  EXPECT_FALSE(store->Active().value().empty());
  std::cout << "active: " << since(start) << " ms\n";
  for (std::int64_t below = 0, pages = 0; pages < 20; ++pages) {
    const auto page = store->List({}, below, 100).value();
    if (page.empty()) break;
    below = page.back().number;
  }
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob(i))));
  std::cout << "resident: " << ResidentKib() - before << " KiB more\n";
  start = now();
  EXPECT_TRUE(store->CheckWhole());
  std::cout << "whole check: " << since(start) << " ms\n";
}

}  // namespace
}  // namespace weir::store
