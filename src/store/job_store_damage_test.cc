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
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "store/job_store_fault_test_support.h"
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
  EXPECT_THAT(Open().value()->List({}, 0, 100)->jobs, SizeIs(29));
  broken = whole;
  broken[whole.size() - 10] ^= 1;
  put_back(broken);
  EXPECT_THAT(Open().value()->List({}, 0, 100)->jobs, SizeIs(29));
  put_back(whole);
  EXPECT_THAT(Open().value()->List({}, 0, 100)->jobs, SizeIs(30));
}

// What a long transaction had in the log when it failed stays there, behind the changes that came after it.
TEST_F(JobStoreDamageTest, RemainsOfABatchThatFailedAreNoDamage) {
  const DataFolder copy;
  {
    auto store = Open().value();
    const JobRecord first = MakeJob();
    ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(first)));
    auto inserts = Inserts(600, 5000);
    inserts.back().job.id = first.id;
    ASSERT_FALSE(CommitBatchAndWait(*store, owner_, MakeBatch(), std::move(inserts)));
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob(i))));
    for (const char* name : {"jobs.db", "jobs.db-wal"}) fs::copy_file(folder_.file(name), copy.file(name));
  }
  const std::string log = Read(copy.file("jobs.db-wal"));
  constexpr std::size_t kFrame = 24 + 4096;
  std::size_t last = 0;  // where the last change ends
  for (std::size_t at = 32; at + kFrame <= log.size(); at += kFrame) {
    if (log.substr(at + 4, 4) != std::string(4, '\0')) last = at + kFrame;
  }
  ASSERT_GT(last, 0U);
  ASSERT_GT(log.size(), last + 100 * kFrame);
  const auto jobs_with = [&](const std::string& changed) {
    Write(folder_.file(), Read(copy.file()));
    Write(folder_.file("jobs.db-wal"), changed);
    const auto opened = Open();
    EXPECT_TRUE(opened) << Describe(opened.error());
    EXPECT_TRUE((*opened)->CheckWhole());
    return (*opened)->List({}, 0, 100)->jobs.size();
  };
  EXPECT_EQ(jobs_with(log), 6U);
  std::string torn = log;
  torn[last - 10] ^= 1;
  EXPECT_EQ(jobs_with(torn), 5U);
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
  EXPECT_THAT(store->List({}, 0, 1000)->jobs, SizeIs(ids.size()));
  EXPECT_EQ(store->CountByState().value()[0], static_cast<std::int64_t>(ids.size()));
  EXPECT_EQ(store->LastEventId().value(), static_cast<std::int64_t>(ids.size()));
  ASSERT_TRUE(CommitAndWait(*store, owner_, Remove(ids[0])));
  ASSERT_TRUE(CommitAndWait(*store, owner_, Remove(ids[1])));
  EXPECT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  EXPECT_TRUE(store->CheckWhole());
}

// SQLite tells a used up quota as any failed write.
TEST_F(JobStoreDamageTest, AUsedUpQuotaIsAFullDisk) {
  const WriteFault fault;
  const auto store = Open().value();
  ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  for (const int error : {EDQUOT, ENOSPC, EIO, EDQUOT}) {
    const ErrorCode code = error == EIO ? ErrorCode::kSystem : ErrorCode::kDiskFull;
    // The commit itself fails.
    WriteFault::Begin(error);
    auto done = CommitAndWait(*store, owner_, Insert(MakeJob()));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code) << Describe(done.error());
    if (error == EDQUOT) {
      EXPECT_THAT(done.error().detail, HasSubstr("quota"));
    }
    // Or a change before it, when the transaction is longer than the cache; and then not the first page.
    for (const int after : {0, 100}) {
      WriteFault::Begin(error, after);
      done = CommitBatchAndWait(*store, owner_, MakeBatch(), Inserts(500, 5000));
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().code, code) << Describe(done.error());
    }
    std::vector<ErrorCode> codes;
    for (int i = 0; i < 20; ++i) {
      store->Commit(Insert(MakeJob()),
                    [&](const Result<Committed>& result) { codes.push_back(result.error().code); });
    }
    ASSERT_TRUE(owner_.RunUntil([&] { return codes.size() == 20; }));
    EXPECT_THAT(codes, ::testing::Each(code));
    WriteFault::Pass();
  }
  EXPECT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob())));
  EXPECT_TRUE(CommitBatchAndWait(*store, owner_, MakeBatch(), Inserts(500, 5000)));
  EXPECT_EQ(store->CountByState().value()[0], 502);
  EXPECT_EQ(store->LastEventId().value(), 502);
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

struct Acknowledged {
  std::int64_t last = 0;  // number
  std::int64_t jobs = 0;  // of a batch; 0: a single one
};

// Single jobs and batches, some so large that the log has a part of them before they are committed.
[[noreturn]] void CommitUntilKilled(const std::string& folder, int acknowledged, unsigned seed) {
  Owner owner;
  auto opened =
      JobStore::Open(folder, owner.Post(), {.most_waiting_changes = 100'000, .most_waiting = Bytes::Mib(256)});
  if (!opened) _exit(3);
  std::mt19937 random(seed);
  std::size_t flying = 0;
  for (;;) {
    while (flying < 50) {
      ++flying;
      const auto what = random() % 20;
      const int jobs = what == 0 ? 600 : what < 4 ? static_cast<int>(1 + random() % 40) : 0;
      const auto done = [&flying, jobs, acknowledged](const Result<Committed>& result) {
        --flying;
        if (!result) _exit(4);
        const Acknowledged entry{.last = result->number, .jobs = jobs};
        if (write(acknowledged, &entry, sizeof(entry)) != sizeof(entry)) _exit(5);
      };
      if (jobs == 0) {
        (*opened)->Commit(Insert(MakeJob()), done);
      } else {
        (*opened)->CommitBatch(MakeBatch(), Inserts(jobs, jobs == 600 ? 2000 : 0), done);
      }
    }
    if (!owner.RunUntil([&] { return flying < 25; })) _exit(6);
  }
}

TEST_F(JobStoreDamageTest, WhatWasAcknowledgedSurvivesAKill) {
  const char* wanted = std::getenv("WEIR_TEST_KILLS");
  const int kills = wanted == nullptr ? 20 : std::atoi(wanted);
  std::mt19937 random(std::random_device{}());
  std::set<std::int64_t> acknowledged;
  std::int64_t batches_acknowledged = 0;
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const auto seed = static_cast<unsigned>(random());
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      CommitUntilKilled(folder_.path(), ends[1], seed);
    }
    close(ends[1]);
    // Every other one not before something was acknowledged, however slow the machine is.
    std::atomic<bool> working = kill_number % 2 == 0;
    std::thread killer([&random, &working, child] {
      working.wait(false);
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
      kill(child, SIGKILL);
    });
    Acknowledged entry;
    std::vector<Acknowledged> batches;
    while (read(ends[0], &entry, sizeof(entry)) == sizeof(entry)) {
      working = true;
      working.notify_one();
      if (entry.jobs > 0) batches.push_back(entry);
      for (std::int64_t number = entry.last - std::max<std::int64_t>(entry.jobs, 1) + 1; number <= entry.last;
           ++number) {
        EXPECT_TRUE(acknowledged.insert(number).second) << number << " was given twice";
      }
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
    std::map<std::string, std::vector<std::int64_t>> by_batch;
    std::int64_t before = 0;
    do {
      const auto page = (*opened)->List({}, before, 1000).value();
      for (const auto& job : page.jobs) {
        EXPECT_TRUE(present.insert(job.number).second);
        if (!job.batch.empty()) by_batch[job.batch].push_back(job.number);
      }
      before = page.next;
    } while (before != 0);
    EXPECT_TRUE(std::ranges::includes(present, acknowledged));
    EXPECT_EQ((*opened)->CountByState().value()[0], static_cast<std::int64_t>(present.size()));
    EXPECT_EQ((*opened)->LastEventId().value(), present.empty() ? 0 : *present.rbegin());
    // Whole or not at all, and no batch without jobs.
    std::map<std::int64_t, std::int64_t> by_last;
    for (const auto& [id, numbers] : by_batch) {
      const auto batch = (*opened)->FindBatch(id).value();
      ASSERT_TRUE(batch) << id;
      EXPECT_EQ(batch->jobs, static_cast<std::int64_t>(numbers.size()));
      EXPECT_EQ(numbers.front() - numbers.back() + 1, batch->jobs);
      by_last[numbers.front()] = batch->jobs;
    }
    for (const Acknowledged& batch : batches) EXPECT_EQ(by_last[batch.last], batch.jobs);
    batches_acknowledged += static_cast<std::int64_t>(batches.size());
    opened->reset();
    EXPECT_EQ(folder_.Outside().Number("SELECT count(*) FROM batches").value(),
              static_cast<std::int64_t>(by_batch.size()));
  }
  EXPECT_FALSE(acknowledged.empty());
  EXPECT_GT(batches_acknowledged, 0);
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
  EXPECT_FALSE(store->List({}, 0, 100)->jobs.empty());
  std::cout << "page of 100: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->List({.state = JobState::kSucceeded, .recipe = "none", .owner = "alice"}, 0, 100)->jobs.empty());
  std::cout << "page of nothing, three filters: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->List({.owner = "nobody", .label_key = "team", .label_value = "film"}, 0, 100)->jobs.empty());
  std::cout << "page of nothing, label and owner: " << since(start) << " ms\n";
  start = now();
  EXPECT_FALSE(store->Active(0, 1000).value().empty());
  std::cout << "active: " << since(start) << " ms\n";
  for (std::int64_t below = 0, pages = 0; pages < 20; ++pages) {
    below = store->List({}, below, 100)->next;
    if (below == 0) break;
  }
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(CommitAndWait(*store, owner_, Insert(MakeJob(i))));
  std::cout << "resident: " << ResidentKib() - before << " KiB more\n";
  const int batch_jobs = std::min(jobs, 10'000);
  const BatchRecord batch = MakeBatch();
  auto inserts = Inserts(batch_jobs, 1000);
  start = now();
  const std::clock_t worked = std::clock();
  ASSERT_TRUE(CommitBatchAndWait(*store, owner_, batch, std::move(inserts)));
  const double took = since(start);
  const double work = static_cast<double>(std::clock() - worked) * 1e6 / CLOCKS_PER_SEC / batch_jobs;
  std::cout << "batch of " << batch_jobs << ": " << took << " ms; each job " << took * 1000 / batch_jobs << " us, "
            << work << " us of processor time; " << ResidentKib() - before << " KiB more\n";
  start = now();
  EXPECT_EQ(store->CountOfBatch(batch.id).value()[0], batch_jobs);
  std::cout << "count of it: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->List({.owner = "nobody", .batch = batch.id, .label_key = "team"}, 0, 100)->jobs.empty());
  std::cout << "page of nothing, batch, owner and label: " << since(start) << " ms\n";
  start = now();
  EXPECT_TRUE(store->CheckWhole());
  std::cout << "whole check: " << since(start) << " ms\n";
}

}  // namespace
}  // namespace weir::store
