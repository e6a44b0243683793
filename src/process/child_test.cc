// Real children: every ending, in every combination of walls that this machine has.
#include "process/child.h"

#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/id.h"
#include "os/file.h"

namespace weir::process {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Which walls stand. What is absent on the machine is absent in every mode.
struct Mode {
  const char* name;
  const char* no_layers;
  const char* backend;  // "" for the best one
};

void PrintTo(const Mode& mode, std::ostream* out) { *out << mode.name; }

Walls MakeWalls(const Mode& mode, const fs::path& bin) {
  setenv("WEIR_TEST_NO_LAYERS", mode.no_layers, 1);
  if (*mode.backend != '\0') {
    setenv("WEIR_TEST_MEMORY_BACKEND", mode.backend, 1);
  } else {
    unsetenv("WEIR_TEST_MEMORY_BACKEND");
  }
  Walls walls;
  walls.support = os::DetectSandbox();
  walls.cgroups = os::CgroupRoot::Detect();
  using Allow = os::FileRule::Allow;
  for (const char* path : {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/dev/null"}) {
    walls.readable.push_back({.path = path, .fd = -1, .allow = Allow::kReadExecute});
  }
  walls.readable.push_back({.path = bin.string(), .fd = -1, .allow = Allow::kReadExecute});
  auto seccomp = os::BuildSeccomp();
  EXPECT_TRUE(seccomp);
  if (seccomp && walls.support.seccomp) {
    walls.seccomp = std::move(*seccomp);
  }
  return walls;
}

// A temporary folder with the fake program in it and an empty working folder beside.
class Stage {
 public:
  Stage() {
    std::string pattern = (fs::temp_directory_path() / "weirtest-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    fs::create_directories(root_ / "bin");
    fs::create_directories(root_ / "work");
    const char* fake = std::getenv("WEIR_FAKE_FFMPEG");
    if (fake != nullptr) {
      fs::copy_file(fake, root_ / "bin" / "ffmpeg");
    }
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  void Write(const std::string& scenario) const { std::ofstream(root_ / "bin" / "scenario") << scenario << "\n"; }
  [[nodiscard]] fs::path root() const { return root_; }
  [[nodiscard]] fs::path bin() const { return root_ / "bin"; }
  [[nodiscard]] fs::path work() const { return root_ / "work"; }
  [[nodiscard]] std::string program() const { return (root_ / "bin" / "ffmpeg").string(); }

  // Live processes, zombies not counted, that run the program of this folder.
  [[nodiscard]] std::vector<pid_t> Survivors() const {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::error_code error;
      const fs::path exe = fs::read_symlink(entry.path() / "exe", error);
      if (!error && exe.string().starts_with(root_.string())) {
        found.push_back(static_cast<pid_t>(std::stol(entry.path().filename().string())));
      }
    }
    return found;
  }
  [[nodiscard]] bool NobodyWithin(Duration limit) const {
    const SteadyTime until = Now() + limit;
    while (!Survivors().empty()) {
      if (Now() > until) {
        return false;
      }
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

 private:
  fs::path root_;
};

std::size_t OpenDescriptors() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// Our own high-water mark: the kernel counts what a child was before exec, a copy of us, among its peak.
Bytes OwnPeak() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") {
      std::uint64_t kib = 0;
      status >> kib;
      return Bytes::Kib(kib);
    }
  }
  return {};
}

bool GroupExists(const std::string& id) {
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    const std::string below = line.substr(line.rfind(':') + 1) + "/weir-" + id;
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"}) {
      std::error_code error;
      if (fs::exists(mount + below, error)) {
        return true;
      }
    }
  }
  return false;
}

Order MakeOrder(const Stage& stage, int folder) {
  Order order;
  order.id = NewId();
  order.purpose = "test";
  order.program = stage.program();
  order.argv = {order.program, "-progress", "pipe:3", "file:out.mp4"};
  order.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C"};
  order.working_folder = folder;
  order.working_folder_writable = true;
  order.progress_pipe = true;
  order.memory_limit = Bytes::Mib(200);
  order.shared_pages = Bytes::Mib(5);
  order.file_size_limit = Bytes::Mib(64);
  order.stop_grace = 300ms;
  return order;
}

class ChildTest : public testing::TestWithParam<Mode> {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("WEIR_FAKE_FFMPEG"), nullptr) << "WEIR_FAKE_FFMPEG must name the built fake_ffmpeg";
    auto folder = os::OpenFolder(stage_.work().string(), os::Access::kWrite);
    ASSERT_TRUE(folder);
    folder_ = std::move(*folder);
    order_ = MakeOrder(stage_, folder_.get());
    launcher_.emplace(loop_, MakeWalls(GetParam(), stage_.bin()), spawner_);
  }
  void TearDown() override {
    child_.reset();
    if (!launcher_ || !confined()) {
      return;
    }
    EXPECT_TRUE(stage_.NobodyWithin(1s)) << "a process outlived its Child";
    EXPECT_FALSE(GroupExists(order_.id)) << "a cgroup outlived its Child";
  }
  // As on a machine without seccomp: otherwise no child can make another process.
  void AllowFamilies() {
    Walls walls = launcher_->walls();
    walls.seccomp.clear();
    launcher_.emplace(loop_, std::move(walls), spawner_);
  }
  // Descendants that left the process group can be reached.
  [[nodiscard]] bool confined() const {
    return launcher_->walls().support.pid_namespace || launcher_->walls().cgroups.can_kill() ||
           launcher_->walls().cgroups.backend() != os::MemoryBackend::kRlimit;
  }
  [[nodiscard]] bool kernel_limit() const {
    return launcher_->walls().cgroups.backend() != os::MemoryBackend::kRlimit;
  }

  void Start(const std::string& scenario) {
    stage_.Write(scenario);
    report_.reset();
    auto child = launcher_->Start(order_, hooks_, [this](ChildReport report) {
      ++ends_;
      report_ = std::move(report);
      loop_.stop();
    });
    ASSERT_TRUE(child) << Describe(child.error());
    child_ = std::move(*child);
  }
  // Runs the loop until the report is there. False: it did not come.
  bool Await(Duration limit = 20s) {
    loop_.restart();
    if (!report_) {
      loop_.run_for(limit);
    }
    return report_.has_value();
  }
  void RunFor(Duration time) {
    boost::asio::steady_timer timer(loop_, std::chrono::duration_cast<std::chrono::steady_clock::duration>(time));
    timer.async_wait([this](const auto& error) {
      if (!error) {
        loop_.stop();
      }
    });
    loop_.restart();
    loop_.run();
  }
  // From start to report.
  const ChildReport& Play(const std::string& scenario) {
    static const ChildReport kNone;
    Start(scenario);
    if (!child_ || !Await()) {
      ADD_FAILURE() << "no report for " << scenario;
      return kNone;
    }
    return *report_;
  }

  Stage stage_;
  os::UniqueFd folder_;
  boost::asio::io_context loop_;
  RealSpawner spawner_;
  std::optional<Launcher> launcher_;
  Order order_;
  Hooks hooks_;
  std::unique_ptr<Child> child_;
  std::optional<ChildReport> report_;
  int ends_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Walls, ChildTest,
                         testing::Values(Mode{"all", "", ""}, Mode{"no_namespace", "pid-namespace", ""},
                                         Mode{"rlimit", "", "rlimit"},
                                         Mode{"bare", "landlock,seccomp,pid-namespace", "rlimit"}),
                         [](const auto& mode) { return std::string(mode.param.name); });

template <typename T>
testing::AssertionResult EndedAs(const ChildReport& report) {
  if (std::holds_alternative<T>(report.ending)) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << Describe(report.ending) << "; stderr: " << report.stderr_text;
}

TEST_P(ChildTest, ExitStatusIsKept) {
  for (const int status : {0, 1, 42, 255}) {
    order_.id = NewId();
    const ChildReport& report = Play("exit " + std::to_string(status));
    ASSERT_TRUE(EndedAs<Exited>(report));
    EXPECT_EQ(std::get<Exited>(report.ending).status, status);
    EXPECT_EQ(report.stderr_text, "Conversion failed!\n");
    EXPECT_EQ(report.stderr_bytes, report.stderr_text.size());
    EXPECT_GT(report.peak_resident, Bytes());
    EXPECT_GE(report.peak_tree, report.peak_resident);
    EXPECT_GT(report.wall, 0ns);
    EXPECT_LT(report.wall, 2s);
    EXPECT_EQ(report.cgroup_peak.has_value(), kernel_limit());
    EXPECT_TRUE(child_->ended());
    EXPECT_EQ(launcher_->living(), 0U);
  }
  EXPECT_EQ(ends_, 4);
}

TEST_P(ChildTest, DeathByASignalIsNotAnExit) {
  const ChildReport& report = Play("signal 11");
  ASSERT_TRUE(EndedAs<Signaled>(report));
  EXPECT_EQ(std::get<Signaled>(report.ending).signal, SIGSEGV);
}

TEST_P(ChildTest, AKillThatIsNotOursIsNotOutOfMemory) {
  Start("hang");
  RunFor(100ms);
  kill(child_->pid(), SIGKILL);
  ASSERT_TRUE(Await());
  ASSERT_TRUE(EndedAs<Signaled>(*report_));
  EXPECT_EQ(std::get<Signaled>(report_->ending).signal, SIGKILL);
}

TEST_P(ChildTest, AKillForWantOfMemoryElsewhereIsNotOneAtTheLimit) {
  const auto put = [&](const fs::path& file, const std::string& text) {
    fs::create_directories((stage_.root() / file).parent_path());
    std::ofstream(stage_.root() / file) << text;
  };
  put("self", "4:memory:/\n");
  put("fs/memory/cgroup.procs", "");
  unsetenv("WEIR_TEST_MEMORY_BACKEND");
  Walls walls = launcher_->walls();
  walls.cgroups = os::CgroupRoot::Detect(stage_.root() / "fs", stage_.root() / "self");
  ASSERT_EQ(walls.cgroups.backend(), os::MemoryBackend::kCgroupV1);
  launcher_.emplace(loop_, std::move(walls), spawner_);
  for (const bool own : {false, true}) {
    order_.id = NewId();
    Start("hang");
    RunFor(50ms);
    const fs::path group = "fs/memory/weir-" + order_.id;
    put(group / "memory.max_usage_in_bytes", own ? "209715200\n" : "104857600\n");
    put(group / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    kill(child_->pid(), SIGKILL);
    ASSERT_TRUE(Await());
    ASSERT_EQ(EndedAs<OomKilled>(*report_), own);
    if (!own) {
      ASSERT_TRUE(EndedAs<Signaled>(*report_));
      EXPECT_EQ(std::get<Signaled>(report_->ending).signal, SIGKILL);
      EXPECT_TRUE(std::get<Signaled>(report_->ending).for_memory);
    }
    child_.reset();
  }
}

TEST_P(ChildTest, AMissingProgramIsAnErrorAndNoCallback) {
  order_.program = (stage_.bin() / "absent").string();
  bool called = false;
  const auto child = launcher_->Start(order_, {}, [&](const ChildReport&) { called = true; });
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::kToolMissing);
  loop_.run_for(50ms);
  EXPECT_FALSE(called);
  EXPECT_EQ(launcher_->living(), 0U);
  EXPECT_FALSE(GroupExists(order_.id));
}

TEST_P(ChildTest, StopIsTermAndTheReportIsCancelled) {
  order_.stop_grace = 5s;
  Start("obey-term");
  RunFor(200ms);
  const SteadyTime asked = Now();
  child_->Stop();
  child_->Stop();
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<Cancelled>(*report_));
  EXPECT_LT(Now() - asked, 3s) << "it obeyed at once, so nothing must wait for the grace";
  child_->Stop();
  child_->Kill();
  RunFor(50ms);
  EXPECT_EQ(ends_, 1);
}

TEST_P(ChildTest, TermIgnoredIsKillAfterTheGrace) {
  Start("ignore-term");
  RunFor(200ms);
  const SteadyTime asked = Now();
  child_->Stop();
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<Cancelled>(*report_));
  EXPECT_GE(Now() - asked, 300ms);
  EXPECT_LT(Now() - asked, 3s);
}

TEST_P(ChildTest, KillIsImmediate) {
  order_.stop_grace = 20s;
  Start("ignore-term");
  RunFor(200ms);
  child_->Stop();
  RunFor(100ms);
  EXPECT_FALSE(report_);
  const SteadyTime asked = Now();
  child_->Kill();
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<Cancelled>(*report_));
  EXPECT_LT(Now() - asked, 3s);
}

TEST_P(ChildTest, StopReachesAStoppedChild) {
  order_.stop_grace = 5s;
  Start("obey-term");
  RunFor(200ms);
  kill(child_->pid(), SIGSTOP);
  const SteadyTime asked = Now();
  child_->Stop();
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<Cancelled>(*report_));
  EXPECT_LT(Now() - asked, 3s) << "SIGCONT must follow SIGTERM";
}

TEST_P(ChildTest, ProcessorTimeIsTimedOutToo) {
  order_.cpu_limit = 1s;
  const ChildReport& report = Play("busy");
  ASSERT_TRUE(EndedAs<TimedOut>(report)) << Describe(report.ending);
  EXPECT_TRUE(std::get<TimedOut>(report.ending).of_processor);
}

TEST_P(ChildTest, DeadlineIsTimedOut) {
  order_.deadline = 300ms;
  const ChildReport& report = Play("busy");
  ASSERT_TRUE(EndedAs<TimedOut>(report));
  EXPECT_EQ(std::get<TimedOut>(report.ending).deadline, Duration(300ms));
  EXPECT_GE(report.wall, 300ms);
  EXPECT_LT(report.wall, 6s);
}

TEST_P(ChildTest, NoProgressIsStalled) {
  order_.stall_limit = 300ms;
  for (const char* scenario : {"hang", "close-stderr-hang", "stop-self"}) {
    order_.id = NewId();
    const ChildReport& report = Play(scenario);
    ASSERT_TRUE(EndedAs<Stalled>(report)) << scenario;
    EXPECT_GE(report.wall, 300ms);
    EXPECT_LT(report.wall, 6s);
  }
}

TEST_P(ChildTest, AStoppedChildIsStalled) {
  order_.stall_limit = 400ms;
  Start("progress-forever");
  RunFor(100ms);
  kill(child_->pid(), SIGSTOP);
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<Stalled>(*report_));
}

TEST_P(ChildTest, BytesWithoutAdvanceAreStalledWhenTheOwnerSaysSo) {
  order_.stall_limit = 300ms;
  hooks_.on_progress = [](std::string_view) { return false; };
  EXPECT_TRUE(EndedAs<Stalled>(Play("progress-forever")));
}

TEST_P(ChildTest, AdvanceRestartsTheStallClock) {
  order_.stall_limit = 300ms;
  int blocks = 0;
  hooks_.on_progress = [&](std::string_view) { return ++blocks < 40; };
  const ChildReport& report = Play("progress-forever");
  EXPECT_TRUE(EndedAs<Stalled>(report));
  EXPECT_GE(report.wall, 800ms) << "40 blocks, one each 20 ms, kept it alive";
}

TEST_P(ChildTest, StderrFloodIsBoundedAndFast) {
  order_.stderr_tail = Bytes::Kib(16);
  order_.deadline = 60s;
  const ChildReport& report = Play("stderr-flood 1024");
  ASSERT_TRUE(EndedAs<Exited>(report));
  EXPECT_EQ(report.stderr_bytes, 1024ULL << 20U);
  EXPECT_LE(report.stderr_text.size(), 16U * 1024U);
  EXPECT_GT(report.stderr_text.size(), 8U * 1024U);
  EXPECT_LT(report.wall, 15s);
}

TEST_P(ChildTest, StandardOutputComesWholeAndInOrder) {
  std::uint64_t size = 0;
  hooks_.on_stdout = [&](std::string_view data) { size += data.size(); };
  ASSERT_TRUE(EndedAs<Exited>(Play("stdout-flood 64")));
  EXPECT_EQ(size, 64ULL << 20U);
}

TEST_P(ChildTest, ProgressComesThroughItsOwnPipe) {
  std::string progress;
  hooks_.on_progress = [&](std::string_view data) {
    progress += data;
    return true;
  };
  ASSERT_TRUE(EndedAs<Exited>(Play("liar")));
  EXPECT_TRUE(progress.ends_with("progress=end\n")) << progress;
}

TEST_P(ChildTest, TheChildMayBeDestroyedByItsOwnHook) {
  hooks_.on_progress = [&](std::string_view) {
    child_.reset();
    loop_.stop();
    return true;
  };
  Start("progress-forever");
  Await(5s);
  EXPECT_EQ(child_, nullptr);
  RunFor(50ms);
  EXPECT_EQ(ends_, 0);
  EXPECT_EQ(launcher_->living(), 0U);
}

TEST_P(ChildTest, TheChildMayBeDestroyedByOnEnd) {
  stage_.Write("exit 0");
  bool ended = false;
  auto child = launcher_->Start(order_, {}, [&](const ChildReport&) {
    child_.reset();
    ended = true;
    loop_.stop();
  });
  ASSERT_TRUE(child);
  child_ = std::move(*child);
  loop_.run_for(5s);
  EXPECT_TRUE(ended);
}

TEST_P(ChildTest, DestructionKillsAndReapsInSilence) {
  AllowFamilies();
  for (const char* scenario : {"ignore-term", "fork", "setsid", "double-fork"}) {
    if (!confined() && std::string_view(scenario) != "ignore-term" && std::string_view(scenario) != "fork") {
      continue;
    }
    order_.id = NewId();
    Start(scenario);
    RunFor(200ms);
    const pid_t pid = child_->pid();
    EXPECT_FALSE(stage_.Survivors().empty());
    const SteadyTime before = Now();
    child_.reset();
    EXPECT_LT(Now() - before, 2s);
    EXPECT_NE(kill(pid, 0), 0) << "not reaped";
    EXPECT_TRUE(stage_.NobodyWithin(1s)) << scenario;
    RunFor(50ms);
    EXPECT_EQ(ends_, 0);
    EXPECT_EQ(launcher_->living(), 0U);
    EXPECT_FALSE(GroupExists(order_.id));
  }
}

TEST_P(ChildTest, NoChildOfAChildWhereSeccompIs) {
  if (launcher_->walls().seccomp.empty()) {
    GTEST_SKIP() << "no seccomp here";
  }
  Start("fork 5");
  RunFor(300ms);
  EXPECT_EQ(stage_.Survivors().size(), 1U);
  child_->Stop();
  ASSERT_TRUE(Await());
  EXPECT_EQ(report_->most_processes, 1U);
}

TEST_P(ChildTest, DescendantsGoWithTheChild) {
  AllowFamilies();
  for (const char* scenario : {"fork 5", "setsid", "double-fork"}) {
    if (!confined() && std::string_view(scenario) != "fork 5") {
      continue;
    }
    order_.id = NewId();
    Start(scenario);
    RunFor(300ms);
    EXPECT_GT(stage_.Survivors().size(), 1U);
    child_->Stop();
    ASSERT_TRUE(Await());
    EXPECT_TRUE(EndedAs<Cancelled>(*report_));
    EXPECT_TRUE(stage_.NobodyWithin(1s)) << scenario;
    if (std::string_view(scenario) == "fork 5") {
      EXPECT_EQ(report_->most_processes, 6U);
    }
  }
}

TEST_P(ChildTest, DescendantsThatKeepThePipesDoNotDelayTheReport) {
  AllowFamilies();
  for (const char* scenario : {"fork-then-exit", "double-fork exit"}) {
    if (!confined() && std::string_view(scenario) != "fork-then-exit") {
      continue;
    }
    order_.id = NewId();
    const SteadyTime before = Now();
    const ChildReport& report = Play(scenario);
    ASSERT_TRUE(EndedAs<Exited>(report));
    EXPECT_EQ(std::get<Exited>(report.ending).status, 0);
    EXPECT_LT(Now() - before, 2s);
    EXPECT_TRUE(stage_.NobodyWithin(1s)) << scenario;
  }
}

TEST_P(ChildTest, MoreMemoryThanTheLeaseIsOomKilled) {
  const ChildReport& report = Play("eat-memory 600");
  if (kernel_limit()) {
    ASSERT_TRUE(EndedAs<OomKilled>(report));
    EXPECT_TRUE(std::get<OomKilled>(report.ending).by_kernel);
    EXPECT_LE(*report.cgroup_peak, order_.memory_limit);
  } else {
    // The watcher saw it, or the allocator was refused first, which the program reports in its own words.
    EXPECT_TRUE(EndedAs<OomKilled>(report) || report.stderr_text.find("malloc of size") != std::string::npos)
        << Describe(report.ending);
  }
  // Pages of the program file may be charged to whoever read them first; without a kernel limit on resident memory,
  // RLIMIT_DATA bounds what comes between two looks.
  const Bytes most = kernel_limit() ? order_.memory_limit + order_.shared_pages
                                    : order_.memory_limit * 1.25 + Bytes::Mib(64) + order_.shared_pages;
  EXPECT_LE(report.peak_resident, std::max(most, OwnPeak()));
  EXPECT_LT(report.wall, 6s);
}

TEST_P(ChildTest, MemoryThatNoRlimitCountsIsOomKilledToo) {
  AllowFamilies();
  for (const char* scenario : {"eat-shared 600", "eat-tree 600 4"}) {
    order_.id = NewId();
    order_.deadline = 15s;
    order_.stall_limit = 10s;
    const ChildReport& report = Play(scenario);
    ASSERT_TRUE(EndedAs<OomKilled>(report)) << scenario;
    EXPECT_EQ(std::get<OomKilled>(report.ending).limit, order_.memory_limit);
    EXPECT_EQ(std::get<OomKilled>(report.ending).by_kernel, kernel_limit());
    EXPECT_LT(report.wall, 6s);
    if (kernel_limit()) {
      EXPECT_LE(*report.cgroup_peak, order_.memory_limit);
    } else {
      EXPECT_GT(report.peak_tree, order_.memory_limit);
    }
  }
}

TEST_P(ChildTest, AnOomKilledDescendantIsTheReasonOfAFailure) {
  AllowFamilies();
  const ChildReport& report = Play("eat-child-exit 600");
  if (kernel_limit()) {
    EXPECT_TRUE(EndedAs<OomKilled>(report));
  } else {
    EXPECT_TRUE(EndedAs<Exited>(report));
  }
}

TEST_P(ChildTest, SlowGrowthIsSeenAndStopped) {
  hooks_.on_progress = [](std::string_view) { return true; };
  Start("slow-eat 20");
  RunFor(500ms);
  EXPECT_GT(child_->sampled_peak(), Bytes::Mib(20));
  ASSERT_TRUE(Await());
  EXPECT_TRUE(EndedAs<OomKilled>(*report_));
  EXPECT_GT(report_->peak_tree, Bytes::Mib(100));
  EXPECT_LE(report_->peak_resident, std::max(order_.memory_limit + order_.shared_pages, OwnPeak()));
}

TEST_P(ChildTest, ALoweredLimitHoldsAndIsTheOneThatIsTold) {
  hooks_.on_progress = [](std::string_view) { return true; };
  Start("slow-eat 10");
  RunFor(300ms);
  const Status lowered = child_->LowerMemoryLimit(Bytes::Mib(90));
  ASSERT_TRUE(lowered) << Describe(lowered.error());
  EXPECT_TRUE(child_->LowerMemoryLimit(Bytes::Mib(500))) << "more than it has is ignored";
  ASSERT_TRUE(Await());
  ASSERT_TRUE(EndedAs<OomKilled>(*report_));
  EXPECT_EQ(std::get<OomKilled>(report_->ending).limit, Bytes::Mib(90));
  EXPECT_LE(report_->peak_resident, std::max(Bytes::Mib(90) + order_.shared_pages + Bytes::Mib(10), OwnPeak()));
}

TEST_P(ChildTest, ALoweringThatTheKernelRefusesLeavesTheLimitAsItWas) {
  if (launcher_->walls().cgroups.backend() != os::MemoryBackend::kCgroupV1) {
    GTEST_SKIP() << "only v1 refuses";
  }
  hooks_.on_progress = [](std::string_view) { return true; };
  Start("slow-eat 20");
  RunFor(500ms);
  ASSERT_GT(child_->sampled_peak(), Bytes::Mib(20));
  EXPECT_FALSE(child_->LowerMemoryLimit(Bytes::Mib(8)));
  ASSERT_TRUE(Await());
  ASSERT_TRUE(EndedAs<OomKilled>(*report_));
  EXPECT_EQ(std::get<OomKilled>(report_->ending).limit, order_.memory_limit);
  EXPECT_GT(report_->peak_tree, Bytes::Mib(100));
}

TEST_P(ChildTest, OneFileIsBoundedByTheKernel) {
  order_.file_size_limit = Bytes::Mib(8);
  const ChildReport& report = Play("write-big 64");
  ASSERT_TRUE(EndedAs<Exited>(report));
  EXPECT_EQ(std::get<Exited>(report.ending).status, 1);
  EXPECT_NE(report.stderr_text.find("File too large"), std::string::npos) << report.stderr_text;
  EXPECT_EQ(fs::file_size(stage_.work() / "out.mp4"), 8U << 20U);
}

TEST_P(ChildTest, TheFolderIsBoundedByTheWatch) {
  order_.folder_size_limit = Bytes::Mib(64);
  const ChildReport& report = Play("write-many-big 100000");
  EXPECT_TRUE(EndedAs<Cancelled>(report));
  EXPECT_TRUE(report.folder_limit_exceeded);
  EXPECT_GT(report.folder_bytes_peak, order_.folder_size_limit.count());
}

TEST_P(ChildTest, TheNumberOfFilesIsBoundedByTheWatch) {
  order_.folder_size_limit = Bytes::Mib(64);
  order_.folder_entries_limit = 500;
  const ChildReport& report = Play("many-files 1000000");
  EXPECT_TRUE(EndedAs<Cancelled>(report));
  EXPECT_TRUE(report.folder_limit_exceeded);
}

TEST_P(ChildTest, ItsWorldIsDeclared) {
  setenv("WEIR_TEST_SECRET", "secret", 1);
  std::string text;
  hooks_.on_stdout = [&](std::string_view data) { text += data; };
  ASSERT_TRUE(EndedAs<Exited>(Play("environment")));
  EXPECT_EQ(text, "PATH=/usr/bin:/bin\nLC_ALL=C\n");

  text.clear();
  order_.id = NewId();
  auto input = os::OpenInput(stage_.program());
  ASSERT_TRUE(input);
  order_.inputs = {input->fd.get(), input->fd.get()};
  ASSERT_TRUE(EndedAs<Exited>(Play("descriptors")));
  EXPECT_EQ(text, "0\n1\n2\n3\n4\n5\n");

  text.clear();
  order_.id = NewId();
  order_.inputs.clear();
  order_.cpu_limit = 30s;
  order_.data_limit = Bytes::Mib(195);
  ASSERT_TRUE(EndedAs<Exited>(Play("limits")));
  EXPECT_NE(text.find("core=0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("cpu=30\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fsize=" + std::to_string(64U << 20U) + "\n"), std::string::npos) << text;
  if (!kernel_limit()) {
    EXPECT_NE(text.find("data=" + std::to_string(195U << 20U) + "\n"), std::string::npos) << text;
    EXPECT_NE(text.find("stack=1048576\n"), std::string::npos) << text;
  }
}

TEST_P(ChildTest, FilesOutsideAreOutOfReach) {
  std::ofstream(stage_.root() / "private") << "x";
  const auto refused = [&](const std::string& scenario) {
    order_.id = NewId();
    const ChildReport& report = Play(scenario);
    return std::holds_alternative<Exited>(report.ending) && std::get<Exited>(report.ending).status == 13;
  };
  if (launcher_->walls().support.landlock_abi == 0) {
    EXPECT_FALSE(refused("read-file /etc/passwd")) << "it is this wall that refuses, not something else";
    return;
  }
  EXPECT_TRUE(refused("read-file " + (stage_.root() / "private").string()));
  EXPECT_TRUE(refused("read-file /etc/passwd"));
  EXPECT_TRUE(refused("write-file " + (stage_.root() / "new").string()));
  EXPECT_FALSE(fs::exists(stage_.root() / "new"));
  EXPECT_FALSE(refused("write-file inside"));
  EXPECT_TRUE(fs::exists(stage_.work() / "inside"));
  EXPECT_FALSE(refused("read-file inside"));

  auto input = os::OpenInput((stage_.root() / "private").string());
  ASSERT_TRUE(input);
  order_.inputs = {input->fd.get()};
  order_.progress_pipe = false;
  EXPECT_FALSE(refused("read-file /proc/self/fd/3")) << "the input itself must be readable by its number";
  order_.working_folder_writable = false;
  EXPECT_TRUE(refused("write-file other"));
}

TEST_P(ChildTest, StopAllSharesOneDeadline) {
  stage_.Write("ignore-term");
  std::vector<std::unique_ptr<Child>> children;
  std::size_t reports = 0;
  for (int i = 0; i < 4; ++i) {
    order_.id = NewId();
    auto child = launcher_->Start(order_, {}, [&](const ChildReport& report) {
      EXPECT_TRUE(EndedAs<Cancelled>(report));
      if (++reports == 4) {
        loop_.stop();
      }
    });
    ASSERT_TRUE(child);
    children.push_back(std::move(*child));
  }
  RunFor(200ms);
  EXPECT_EQ(launcher_->living(), 4U);
  const SteadyTime asked = Now();
  launcher_->StopAll(false);
  loop_.restart();
  loop_.run_for(10s);
  EXPECT_EQ(reports, 4U);
  EXPECT_GE(Now() - asked, 300ms);
  EXPECT_LT(Now() - asked, 3s);
  EXPECT_EQ(launcher_->living(), 0U);
}

TEST_P(ChildTest, StopAllImmediately) {
  order_.stop_grace = 30s;
  Start("ignore-term");
  RunFor(150ms);
  launcher_->StopAll(false);
  RunFor(100ms);
  launcher_->StopAll(true);
  ASSERT_TRUE(Await(2s));
  EXPECT_TRUE(EndedAs<Cancelled>(*report_));
}

TEST_P(ChildTest, NothingLeaksOverManyChildren) {
  stage_.Write("exit 0");
  std::size_t before = 0;
  for (int i = 0; i < 102; ++i) {
    if (i == 2) {
      before = OpenDescriptors();
    }
    order_.id = NewId();
    Start("exit 0");
    if (i % 3 == 0) {
      child_.reset();
      continue;
    }
    ASSERT_TRUE(Await());
    child_.reset();
    EXPECT_FALSE(GroupExists(order_.id));
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

// Not a test: the process that the next one kills. Started by it, with the folder of a stage in the environment.
TEST(Supervisor, DISABLED_RunsAChildForEver) {
  const char* root = std::getenv("WEIR_TEST_STAGE");
  const char* layers = std::getenv("WEIR_TEST_NO_LAYERS");
  const char* backend = std::getenv("WEIR_TEST_MEMORY_BACKEND");
  ASSERT_NE(root, nullptr);
  const Mode mode{"", layers != nullptr ? layers : "", backend != nullptr ? backend : ""};
  boost::asio::io_context loop;
  RealSpawner spawner;
  Launcher launcher(loop, MakeWalls(mode, fs::path(root) / "bin"), spawner);
  const auto folder = os::OpenFolder(std::string(root) + "/work", os::Access::kWrite);
  ASSERT_TRUE(folder);
  Order order;
  order.id = NewId();
  order.purpose = "test";
  order.program = std::string(root) + "/bin/ffmpeg";
  order.argv = {order.program, "-progress", "pipe:3", "file:out.mp4"};
  order.working_folder = folder->get();
  order.progress_pipe = true;
  order.memory_limit = Bytes::Mib(100);
  std::ofstream(std::string(root) + "/id") << order.id;
  const auto child = launcher.Start(order, {}, [](const ChildReport&) {});
  ASSERT_TRUE(child) << Describe(child.error());
  loop.run_for(60s);
}

TEST_P(ChildTest, KillOfTheSupervisorLeavesNobody) {
  for (const char* scenario : {"ignore-term", "fork", "double-fork", "stop-self", "busy"}) {
    const bool descendants = std::string_view(scenario) == "fork" || std::string_view(scenario) == "double-fork";
    if (descendants && !launcher_->walls().support.pid_namespace) {
      continue;  // only the child itself hears of its parent's death; the rest waits for the sweep
    }
    stage_.Write(scenario);
    os::ChildSpec spec;
    spec.program = fs::read_symlink("/proc/self/exe").string();
    spec.argv = {spec.program, "--gtest_also_run_disabled_tests",
                 "--gtest_filter=Supervisor.DISABLED_RunsAChildForEver"};
    spec.environment = {"WEIR_TEST_STAGE=" + stage_.root().string(), "PATH=/usr/bin:/bin",
                        std::string("WEIR_TEST_NO_LAYERS=") + GetParam().no_layers + (descendants ? ",seccomp" : "")};
    if (*GetParam().backend != '\0') {
      spec.environment.push_back(std::string("WEIR_TEST_MEMORY_BACKEND=") + GetParam().backend);
    }
    const auto null = os::OpenNull();
    ASSERT_TRUE(null);
    spec.fds = {{null->get(), 0}, {null->get(), 1}, {null->get(), 2}};
    spec.limits.open_files = 1024;
    const auto folder = os::OpenFolder("/", os::Access::kRead);
    ASSERT_TRUE(folder);
    spec.working_folder = folder->get();
    const auto supervisor = os::Spawn(spec);
    ASSERT_TRUE(supervisor) << Describe(supervisor.error());
    const SteadyTime until = Now() + 10s;
    const std::size_t expected = descendants ? 2 : 1;
    std::size_t seen = 0;
    while (seen < expected && Now() < until) {
      std::this_thread::sleep_for(5ms);
      seen = stage_.Survivors().size();
    }
    EXPECT_GE(seen, expected) << scenario;
    std::this_thread::sleep_for(50ms);
    os::SendSignal(*supervisor, SIGKILL);
    EXPECT_TRUE(stage_.NobodyWithin(1s)) << scenario;
    while (true) {
      const auto exit = os::Reap(*supervisor);
      if (!exit || *exit) {
        break;
      }
      std::this_thread::sleep_for(1ms);
    }
    std::string id;
    std::ifstream(stage_.root() / "id") >> id;
    launcher_->walls().cgroups.RemoveAbandoned();
    EXPECT_FALSE(GroupExists(id));
  }
}

}  // namespace
}  // namespace weir::process
