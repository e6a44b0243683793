#include "store/work_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/id.h"
#include "os/ownership.h"

namespace weir::store {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

void Write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  ASSERT_TRUE(fs::exists(path));
}

std::string Read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  return names;
}

void Age(const fs::path& path, std::chrono::hours by) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - by);
}

// Sets variables of the environment and puts the old values back.
class Surroundings {
 public:
  Surroundings() = default;
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  Surroundings(Surroundings&&) = delete;
  Surroundings& operator=(Surroundings&&) = delete;
  ~Surroundings() {
    for (const auto& [name, value] : before_) {
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    }
  }
  void Set(const std::string& name, const std::optional<std::string>& value) {
    const char* old = std::getenv(name.c_str());
    before_.try_emplace(name, old == nullptr ? std::nullopt : std::optional<std::string>(old));
    value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

// A process that can be killed at a known point: it runs `body`, says so, and waits for its death.
class Victim {
 public:
  explicit Victim(const std::function<void()>& body) {
    int ready[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      body();
      if (write(ready[1], "x", 1) == 1) {
        sleep(600);
      }
      _exit(1);
    }
    close(ready[1]);
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  Victim(Victim&&) = delete;
  Victim& operator=(Victim&&) = delete;
  ~Victim() { Kill(); }
  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

 private:
  pid_t pid_ = -1;
};

class WorkFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "weir-store-XXXXXX";
    root_ = mkdtemp(pattern.data());
    target_path_ = root_ / "target folder\nwith 'odd' name \xff";
    fs::create_directory(target_path_);
    surroundings_.Set("WEIR_STATE_DIR", (root_ / "state").string());
    state_ = std::make_unique<StateFolder>(StateFolder::Open().value());
    target_ = os::OpenFolder(target_path_, os::Access::kWrite).value();
  }
  void TearDown() override {
    state_.reset();
    fs::remove_all(root_);
  }

  fs::path Runs() const { return root_ / "state" / "runs"; }
  fs::path Folder(const std::string& id) const { return target_path_ / (".weir-" + id); }
  WorkFolder Make(const std::string& id) { return WorkFolder::Create(*state_, target_.get(), id).value(); }

  Status PublishAs(const std::string& name, const WorkFolder& work, const std::string& file, os::Replace replace) {
    auto produced = OpenProduced(work, file);
    if (!produced) {
      return Fail(std::move(produced).error());
    }
    Status settled = Settle(*produced);
    return settled ? Publish(work, *produced, target_.get(), name, replace) : settled;
  }

  // A run that was killed in the middle of its work.
  std::string MakeDead() {
    const std::string id = NewId();
    Victim victim([&] {
      static const WorkFolder work = Make(id);
      Write(Folder(id) / "work" / "out.mp4", "half");
      fs::create_directory(Folder(id) / "work" / "deeper");
      Write(Folder(id) / "work" / "deeper" / "pass.log", "x");
    });
    victim.Kill();
    EXPECT_TRUE(fs::exists(Folder(id) / "work" / "out.mp4"));
    EXPECT_TRUE(fs::exists(Runs() / id));
    return id;
  }

  Surroundings surroundings_;
  fs::path root_;
  fs::path target_path_;
  std::unique_ptr<StateFolder> state_;
  os::UniqueFd target_;
};

TEST_F(WorkFolderTest, ExistsWhileHeldAndLeavesNothing) {
  const std::string id = NewId();
  {
    const WorkFolder work = Make(id);
    EXPECT_EQ(work.id(), id);
    EXPECT_THAT(Names(Runs()), ElementsAre(id));
    EXPECT_THAT(Names(target_path_), ElementsAre(".weir-" + id));
    EXPECT_THAT(Names(Folder(id)), UnorderedElementsAre("weir-work-folder", "work"));
    EXPECT_EQ(os::PathOf(work.fd()), Folder(id) / "work");
    EXPECT_THAT(Names(Folder(id) / "work"), IsEmpty());
    EXPECT_EQ(fs::status(Folder(id)).permissions(), fs::perms::owner_all);
    EXPECT_THAT(Read(Folder(id) / "weir-work-folder"), HasSubstr("weir-work-folder 1\nid " + id + "\npid "));
    Write(Folder(id) / "work" / "out.mp4", "data");
    fs::create_directory_symlink(root_, Folder(id) / "work" / "link");
  }
  EXPECT_THAT(Names(target_path_), IsEmpty());
  EXPECT_THAT(Names(Runs()), IsEmpty());
  EXPECT_TRUE(fs::exists(root_ / "state"));
}

TEST_F(WorkFolderTest, DescriptorsAreNotInherited) {
  const WorkFolder work = Make(NewId());
  EXPECT_NE(fcntl(work.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(WorkFolderTest, MovingKeepsOneOwner) {
  const std::string first = NewId();
  const std::string second = NewId();
  WorkFolder a = Make(first);
  {
    WorkFolder b = std::move(a);
    EXPECT_TRUE(fs::exists(Folder(first)));
    b = Make(second);
    EXPECT_FALSE(fs::exists(Folder(first)));
    EXPECT_TRUE(fs::exists(Folder(second)));
    a = std::move(b);
  }
  EXPECT_TRUE(fs::exists(Folder(second)));
  EXPECT_THAT(Names(Runs()), ElementsAre(second));
}

TEST_F(WorkFolderTest, OutlivesItsStateAndTargetDescriptors) {
  {
    const WorkFolder work = Make(NewId());
    state_.reset();
    target_.Close();
  }
  EXPECT_THAT(Names(target_path_), IsEmpty());
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

TEST_F(WorkFolderTest, AFailureLeavesNoRecordAndNoStrangersFolderIsTaken) {
  const std::string id = NewId();
  fs::create_directory(Folder(id));
  Write(Folder(id) / "diary.txt", "mine");
  const auto work = WorkFolder::Create(*state_, target_.get(), id);
  ASSERT_FALSE(work);
  EXPECT_EQ(work.error().code, ErrorCode::kSystem);
  EXPECT_THAT(Names(Runs()), IsEmpty());
  EXPECT_EQ(Read(Folder(id) / "diary.txt"), "mine");
}

TEST_F(WorkFolderTest, ADeletedTargetFolderIsAnErrorAndLeavesNoRecord) {
  fs::remove_all(target_path_);
  EXPECT_FALSE(WorkFolder::Create(*state_, target_.get(), NewId()));
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

TEST_F(WorkFolderTest, RefusesWhatIsNoId) {
  const auto work = WorkFolder::Create(*state_, target_.get(), "../../etc/passwd");
  ASSERT_FALSE(work);
  EXPECT_EQ(work.error().code, ErrorCode::kInternal);
}

// --- Sweep

TEST_F(WorkFolderTest, SweepRemovesWhatAKilledRunLeft) {
  Write(target_path_ / "holiday.mp4", "keep");
  const std::string id = MakeDead();
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.ids, ElementsAre(id));
  EXPECT_THAT(swept.problems, IsEmpty());
  EXPECT_THAT(Names(target_path_), ElementsAre("holiday.mp4"));
  EXPECT_THAT(Names(Runs()), IsEmpty());
  EXPECT_THAT(SweepAbandoned(*state_).ids, IsEmpty());
}

TEST_F(WorkFolderTest, SweepDoesNotFollowLinksOutOfTheFolder) {
  const std::string id = MakeDead();
  fs::create_directory(root_ / "elsewhere");
  Write(root_ / "elsewhere" / "precious", "keep");
  fs::create_directory_symlink(root_ / "elsewhere", Folder(id) / "work" / "link");
  fs::create_symlink(root_ / "nowhere", Folder(id) / "work" / "dangling");
  SweepAbandoned(*state_);
  EXPECT_FALSE(fs::exists(Folder(id)));
  EXPECT_EQ(Read(root_ / "elsewhere" / "precious"), "keep");
}

TEST_F(WorkFolderTest, SweepLeavesLiveRunsOfThisAndOtherProcessesAlone) {
  const std::string here = NewId();
  const std::string there = NewId();
  const WorkFolder work = Make(here);
  Victim other([&] { static const WorkFolder theirs = Make(there); });
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.ids, IsEmpty());
  EXPECT_THAT(swept.problems, IsEmpty());
  EXPECT_TRUE(fs::exists(Folder(here) / "work"));
  EXPECT_TRUE(fs::exists(Folder(there) / "work"));
  other.Kill();
  EXPECT_THAT(SweepAbandoned(*state_).ids, ElementsAre(there));
  EXPECT_TRUE(fs::exists(Folder(here) / "work"));
}

TEST_F(WorkFolderTest, SweepTrustsTheMarkersLockWhenTheRecordWasReplaced) {
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  const std::string record = Read(Runs() / id);
  fs::remove(Runs() / id);
  Write(Runs() / id, record);
  EXPECT_THAT(SweepAbandoned(*state_).ids, IsEmpty());
  EXPECT_TRUE(fs::exists(Folder(id) / "work"));
}

TEST_F(WorkFolderTest, SweepLeavesFoldersWithoutOurMarkerAlone) {
  for (const std::string content : {"", "someone else's", "weir-work-folder 1\nid aaaaaaaaaaaaaaaa\n"}) {
    const std::string id = MakeDead();
    Write(Folder(id) / "weir-work-folder", content);
    const Swept swept = SweepAbandoned(*state_);
    EXPECT_THAT(swept.problems, ElementsAre(HasSubstr("left alone")));
    EXPECT_TRUE(fs::exists(Folder(id) / "work" / "out.mp4"));
    EXPECT_TRUE(fs::exists(Runs() / id));
    fs::remove(Runs() / id);
  }
}

TEST_F(WorkFolderTest, SweepLeavesAFolderAloneWhoseMarkerIsGone) {
  const std::string id = MakeDead();
  fs::remove(Folder(id) / "weir-work-folder");
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.problems, ElementsAre(HasSubstr("left alone")));
  EXPECT_TRUE(fs::exists(Folder(id) / "work" / "out.mp4"));
}

TEST_F(WorkFolderTest, SweepLeavesAFolderOrLinkOfThatNameAlone) {
  const std::string id = MakeDead();
  fs::rename(Folder(id), root_ / "moved away");
  fs::create_directory_symlink(root_ / "moved away", Folder(id));
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.problems, SizeIs(1));
  EXPECT_TRUE(fs::exists(root_ / "moved away" / "work" / "out.mp4"));
}

TEST_F(WorkFolderTest, SweepFinishesWhatADeathBetweenFolderAndMarkerLeft) {
  for (const bool unfinished_marker : {false, true}) {
    const std::string id = MakeDead();
    fs::remove_all(Folder(id));
    fs::create_directory(Folder(id));
    if (unfinished_marker) {
      Write(Folder(id) / ".new-weir-work-folder", "weir-wo");
    }
    const Swept swept = SweepAbandoned(*state_);
    EXPECT_THAT(swept.ids, ElementsAre(id));
    EXPECT_THAT(swept.problems, IsEmpty());
    EXPECT_THAT(Names(target_path_), IsEmpty());
    EXPECT_THAT(Names(Runs()), IsEmpty());
  }
}

TEST_F(WorkFolderTest, SweepForgetsARunThatDiedBeforeMakingItsFolder) {
  const std::string id = MakeDead();
  fs::remove_all(Folder(id));
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.ids, ElementsAre(id));
  EXPECT_THAT(swept.problems, IsEmpty());
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

TEST_F(WorkFolderTest, SweepKeepsTheRecordOfAnUnmountedDiskForAWeek) {
  const std::string id = MakeDead();
  fs::rename(target_path_, root_ / "unplugged");
  for (const bool empty_mount_point : {false, true}) {
    if (empty_mount_point) {
      fs::create_directory(target_path_);
    }
    const Swept swept = SweepAbandoned(*state_);
    EXPECT_THAT(swept.ids, ElementsAre(id));
    EXPECT_THAT(swept.problems, SizeIs(1));
    Age(Runs() / id, std::chrono::hours(24 * 6));
    SweepAbandoned(*state_);
    EXPECT_TRUE(fs::exists(Runs() / id));
  }
  fs::remove(target_path_);
  fs::rename(root_ / "unplugged", target_path_);
  SweepAbandoned(*state_);
  EXPECT_THAT(Names(target_path_), IsEmpty());
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

TEST_F(WorkFolderTest, SweepGivesUpOnADiskAfterAWeek) {
  const std::string id = MakeDead();
  fs::rename(target_path_, root_ / "unplugged");
  Age(Runs() / id, std::chrono::hours(24 * 8));
  EXPECT_THAT(SweepAbandoned(*state_).problems, ElementsAre(HasSubstr("giving up")));
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

TEST_F(WorkFolderTest, SweepRemovesGarbageRecordsAndLeavesStrangersAndLaterFormats) {
  for (const std::string content : {"", "x", "weir-run", "weir-run 0\n", "weir-run 1\n",
                                    "weir-run 1\n1 2\nrelative/path", "weir-run 1\n/path\n"}) {
    Write(Runs() / NewId(), content);
  }
  Write(Runs() / NewId(), std::string("weir-run 1\n1 2\n/tmp\0/x", 22));
  const std::string later = NewId();
  Write(Runs() / later, "weir-run 2\nwho knows\n");
  Write(Runs() / "notes.txt", "mine");
  const std::string folder = NewId();
  fs::create_directory(Runs() / folder);
  const std::string pipe = NewId();
  ASSERT_EQ(mkfifo((Runs() / pipe).c_str(), 0600), 0);
  Write(Runs() / (".new-" + NewId()), "");
  const Swept swept = SweepAbandoned(*state_);
  EXPECT_THAT(swept.ids, SizeIs(8));
  EXPECT_THAT(swept.problems, IsEmpty());
  EXPECT_THAT(Names(Runs()), UnorderedElementsAre(later, "notes.txt", folder, pipe));
}

TEST_F(WorkFolderTest, ManySweepsAtOnceRemoveEachDeadRunExactlyOnceAndNoLiveOne) {
  std::vector<std::string> dead;
  for (int i = 0; i < 12; ++i) {
    dead.push_back(MakeDead());
  }
  // Many more that died before they made their folder: quick to sweep, so that sweeps meet often.
  const std::string record = Read(Runs() / dead.front());
  for (int i = 0; i < 1000; ++i) {
    dead.push_back(NewId());
    Write(Runs() / dead.back(), record);
  }
  std::vector<std::string> swept;
  std::vector<std::string> problems;
  std::mutex guard;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        const Swept mine = SweepAbandoned(*state_);
        const std::lock_guard hold(guard);
        swept.insert(swept.end(), mine.ids.begin(), mine.ids.end());
        problems.insert(problems.end(), mine.problems.begin(), mine.problems.end());
      }
    });
  }
  // Starts, works and ends while the others sweep.
  for (int i = 0; i < 40; ++i) {
    const std::string id = NewId();
    const auto work = WorkFolder::Create(*state_, target_.get(), id);
    ASSERT_TRUE(work) << Describe(work.error());
    Write(Folder(id) / "work" / "out.mp4", id);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(Read(Folder(id) / "work" / "out.mp4"), id);
    ASSERT_TRUE(fs::exists(Runs() / id));
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::ranges::sort(swept);
  std::ranges::sort(dead);
  EXPECT_TRUE(swept == dead) << swept.size() << " swept, " << dead.size() << " dead";
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(Names(target_path_), IsEmpty());
  EXPECT_THAT(Names(Runs()), IsEmpty());
}

// Killed at any moment of its life, a run leaves nothing that one sweep does not remove.
TEST_F(WorkFolderTest, KilledAtAnyMomentASweepLeavesNothing) {
  std::size_t interrupted = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      for (;;) {
        const std::string id = NewId();
        const WorkFolder work = Make(id);
        std::ofstream(Folder(id) / "work" / "out.mp4") << "data";
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(3000 + round * 137));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    const Swept swept = SweepAbandoned(*state_);
    interrupted += swept.ids.size();
    ASSERT_THAT(swept.problems, IsEmpty());
    ASSERT_THAT(Names(target_path_), IsEmpty());
    for (const std::string& name : Names(Runs())) {
      ASSERT_THAT(name, ::testing::StartsWith(".new-"));
      Age(Runs() / name, std::chrono::hours(2));
    }
    SweepAbandoned(*state_);
    ASSERT_THAT(Names(Runs()), IsEmpty());
  }
  EXPECT_GT(interrupted, 3U);
}

// --- Publish

TEST_F(WorkFolderTest, PublishMovesTheVeryFileAndKeepsItsPermissions) {
  const std::string id = NewId();
  {
    const WorkFolder work = Make(id);
    const mode_t before = umask(027);
    const os::UniqueFd file(openat(work.fd(), "out.mp4", O_WRONLY | O_CREAT, 0666));
    umask(before);
    ASSERT_EQ(write(file.get(), "data", 4), 4);
    ASSERT_TRUE(PublishAs("result.mp4", work, "out.mp4", os::Replace::kNo));
    EXPECT_TRUE(os::IsStill(target_.get(), "result.mp4", file.get()));
  }
  EXPECT_THAT(Names(target_path_), ElementsAre("result.mp4"));
  EXPECT_EQ(Read(target_path_ / "result.mp4"), "data");
  EXPECT_EQ(static_cast<unsigned>(fs::status(target_path_ / "result.mp4").permissions()), 0640U);
}

TEST_F(WorkFolderTest, PublishDoesNotOverwriteUnlessTold) {
  Write(target_path_ / "result.mp4", "old");
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  Write(Folder(id) / "work" / "out.mp4", "new");
  const Status refused = PublishAs("result.mp4", work, "out.mp4", os::Replace::kNo);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutputExists);
  EXPECT_EQ(Read(target_path_ / "result.mp4"), "old");
  EXPECT_TRUE(fs::exists(Folder(id) / "work" / "out.mp4"));
  ASSERT_TRUE(PublishAs("result.mp4", work, "out.mp4", os::Replace::kYes));
  EXPECT_EQ(Read(target_path_ / "result.mp4"), "new");
}

TEST_F(WorkFolderTest, PublishTakesADanglingLinkForAnExistingName) {
  fs::create_symlink(root_ / "nowhere", target_path_ / "result.mp4");
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  Write(Folder(id) / "work" / "out.mp4", "new");
  const Status refused = PublishAs("result.mp4", work, "out.mp4", os::Replace::kNo);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutputExists);
  ASSERT_TRUE(PublishAs("result.mp4", work, "out.mp4", os::Replace::kYes));
  EXPECT_FALSE(fs::is_symlink(target_path_ / "result.mp4"));
  EXPECT_FALSE(fs::exists(root_ / "nowhere"));
  EXPECT_EQ(Read(target_path_ / "result.mp4"), "new");
}

TEST_F(WorkFolderTest, PublishRefusesWhatIsNoFile) {
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  fs::create_directory(Folder(id) / "work" / "folder");
  Write(root_ / "secret", "secret");
  fs::create_symlink(root_ / "secret", Folder(id) / "work" / "link");
  ASSERT_EQ(mkfifo((Folder(id) / "work" / "pipe").c_str(), 0600), 0);
  for (const char* file : {"folder", "link", "pipe", "missing", "", ".", "..", "../weir-work-folder"}) {
    EXPECT_FALSE(PublishAs("result.mp4", work, file, os::Replace::kYes)) << file;
  }
  Write(Folder(id) / "work" / "out.mp4", "data");
  for (const char* name : {"", ".", "..", "a/b", "/tmp/x"}) {
    EXPECT_FALSE(PublishAs(name, work, "out.mp4", os::Replace::kYes)) << name;
  }
  EXPECT_THAT(Names(target_path_), ElementsAre(".weir-" + id));
}

TEST_F(WorkFolderTest, PublishRefusesWhatIsNotAnyMoreWhatWasOpened) {
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  const fs::path file = Folder(id) / "work" / "out.mp4";
  Write(file, "checked");
  const auto replaced = OpenProduced(work, "out.mp4");
  ASSERT_TRUE(replaced);
  fs::remove(file);
  Write(file, "another");
  EXPECT_FALSE(Publish(work, *replaced, target_.get(), "result.mp4", os::Replace::kNo));
  const auto grown = OpenProduced(work, "out.mp4");
  ASSERT_TRUE(grown);
  std::ofstream(file, std::ios::app) << "more";
  EXPECT_FALSE(Publish(work, *grown, target_.get(), "result.mp4", os::Replace::kNo));
  EXPECT_THAT(Names(target_path_), ElementsAre(".weir-" + id));
}

TEST_F(WorkFolderTest, PublishNeverReplacesAFolder) {
  fs::create_directory(target_path_ / "result.mp4");
  const std::string id = NewId();
  const WorkFolder work = Make(id);
  Write(Folder(id) / "work" / "out.mp4", "data");
  EXPECT_FALSE(PublishAs("result.mp4", work, "out.mp4", os::Replace::kYes));
  EXPECT_TRUE(fs::is_directory(target_path_ / "result.mp4"));
}

// --- State folder

class StateFolderTest : public WorkFolderTest {};

TEST_F(StateFolderTest, OrderOfPlaces) {
  EXPECT_EQ(state_->path(), root_ / "state");
  surroundings_.Set("XDG_STATE_HOME", (root_ / "xdg").string());
  surroundings_.Set("HOME", (root_ / "home").string());
  EXPECT_EQ(StateFolder::Open().value().path(), root_ / "state");
  surroundings_.Set("WEIR_STATE_DIR", std::nullopt);
  EXPECT_EQ(StateFolder::Open().value().path(), root_ / "xdg" / "weir");
  surroundings_.Set("XDG_STATE_HOME", "relative");
  EXPECT_EQ(StateFolder::Open().value().path(), root_ / "home" / ".local" / "state" / "weir");
  EXPECT_TRUE(fs::is_directory(root_ / "home" / ".local" / "state" / "weir" / "runs"));
  EXPECT_TRUE(fs::is_directory(root_ / "home" / ".local" / "state" / "weir" / "cache"));
  EXPECT_EQ(fs::status(root_ / "home" / ".local" / "state" / "weir").permissions(), fs::perms::owner_all);
}

TEST_F(StateFolderTest, WithoutAHomeItIsAPrivateFolderInTmp) {
  surroundings_.Set("WEIR_STATE_DIR", "");
  surroundings_.Set("XDG_STATE_HOME", std::nullopt);
  surroundings_.Set("HOME", "/dev/null/nonexistent");
  const fs::path expected = "/tmp/weir-" + std::to_string(geteuid());
  const bool was_there = fs::exists(expected);
  const auto state = StateFolder::Open();
  ASSERT_TRUE(state) << Describe(state.error());
  EXPECT_EQ(state->path(), expected);
  EXPECT_EQ(fs::status(expected).permissions(), fs::perms::owner_all);
  if (!was_there) {
    fs::remove_all(expected);
  }
}

TEST_F(StateFolderTest, APlaceAskedForThatCannotBeUsedIsAnError) {
  Write(root_ / "file", "");
  fs::create_directory(root_ / "open to all");
  fs::permissions(root_ / "open to all", fs::perms::all);
  for (const char* name : {"file", "file/below", "open to all"}) {
    surroundings_.Set("WEIR_STATE_DIR", (root_ / name).string());
    const auto state = StateFolder::Open();
    ASSERT_FALSE(state) << name;
    EXPECT_EQ(state.error().code, ErrorCode::kOutputUnwritable);
    EXPECT_THAT(Describe(state.error()), HasSubstr("WEIR_STATE_DIR"));
  }
  EXPECT_THAT(Names(root_ / "open to all"), IsEmpty());
}

TEST_F(StateFolderTest, TrustsOnlyItsOwnFolders) {
  const fs::path path = root_ / "shared";
  fs::create_directory(path);
  const os::UniqueFd folder = os::OpenFolder(path, os::Access::kRead).value();
  fs::permissions(path, fs::perms(0700));
  EXPECT_TRUE(os::CheckFolder(folder.get(), os::Trust::kOnlyUs));
  fs::permissions(path, fs::perms(0770));
  EXPECT_FALSE(os::CheckFolder(folder.get(), os::Trust::kOnlyUs));
  EXPECT_TRUE(os::CheckFolder(folder.get(), os::Trust::kNotByAll));
  fs::permissions(path, fs::perms(0700));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(path.c_str(), 12345, 12345), 0);
    const Status foreign = os::CheckFolder(folder.get(), os::Trust::kOnlyUs);
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, ErrorCode::kOutputUnwritable);
  }
}

}  // namespace
}  // namespace weir::store
