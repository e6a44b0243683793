#include "process/child.h"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/tail.h"
#include "os/file.h"
#include "os/proc.h"
#include "process/supervisor_table.h"
#include "stream/drain.h"

namespace weir::process {

namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kWatchPeriod{100};
constexpr milliseconds kGrowthPeriod{10};
constexpr unsigned kFolderEvery = 3;  // watch periods between two looks at the working folder
constexpr unsigned kWritesEvery = 10;
constexpr milliseconds kDrainLimit{500};
// A killed process is gone within milliseconds unless it waits for a device that does not answer.
constexpr milliseconds kReapLimit{5000};
// RLIMIT_DATA counts what is mapped, the lease what is resident. Measured on Debian's ffmpeg 5.1 (VmData against
// RssAnon): 31 MiB of library data that is never touched, and up to 0.25 of the rest plus 5 MiB a thread.
constexpr double kMappedPerResident = 1.25;
constexpr Bytes kNeverTouched = Bytes::Mib(64);
constexpr Bytes kThreadStack = Bytes::Mib(1);

SteadyTime Now() { return std::chrono::steady_clock::now(); }

class Core;

}  // namespace

struct Launcher::State {
  State(boost::asio::io_context& the_loop, Walls the_walls, Spawner& the_spawner)
      : loop(the_loop), walls(std::move(the_walls)), spawner(the_spawner), chunk(std::make_shared<stream::Chunk>()) {}

  boost::asio::io_context& loop;
  Walls walls;
  Spawner& spawner;
  std::shared_ptr<stream::Chunk> chunk;
  std::vector<Core*> living;  // each takes itself out when it ends or goes
};

namespace {

// The state of one child. Handlers hold it weakly, so that destroying the Child silences all of them.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(boost::asio::io_context& loop, std::shared_ptr<std::vector<Core*>> living, const Order& order, Hooks hooks,
       std::function<void(ChildReport)> on_end)
      : loop_(loop),
        living_(std::move(living)),
        order_(order),
        hooks_(std::move(hooks)),
        on_end_(std::move(on_end)),
        exit_(loop),
        grace_(loop),
        deadline_(loop),
        stall_(loop),
        watch_(loop),
        drain_limit_(loop),
        stderr_(order.stderr_tail) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core() { Abandon(); }

  // Takes a running child over. The pipes are in the order stdout, stderr, progress.
  Status Adopt(os::ChildHandle handle, std::unique_ptr<os::MemoryGroup> group, bool watch_memory,
               std::vector<os::UniqueFd> pipes, const std::shared_ptr<stream::Chunk>& chunk);
  // Sends the events of the outside. `until` bounds the grace.
  void Stop(SteadyTime until);
  void Kill() { Handle(Event::kKillAsked); }
  void Pause();
  void Resume();
  Status LowerMemoryLimit(Bytes limit);
  // Without a word to the owner: kills and reaps before it returns.
  void Abandon();

  [[nodiscard]] const Order& order() const { return order_; }
  [[nodiscard]] bool ended() const { return state_ == State::kEnded; }
  [[nodiscard]] pid_t pid() const { return handle_.pid; }
  [[nodiscard]] Bytes sampled_peak() const { return report_.peak_tree; }

 private:
  using Timer = boost::asio::steady_timer;

  void Handle(Event event);
  void Terminate();
  void KillEverything();
  void Collect();
  void Report();
  void Silence();
  [[nodiscard]] Ending CauseOf(Event event) const;
  [[nodiscard]] Ending Decide(const os::ExitReport& exit) const;

  void AddPipe(os::UniqueFd fd, const std::shared_ptr<stream::Chunk>& chunk, void (Core::*take)(std::string_view));
  void TakeStdout(std::string_view data);
  void TakeStderr(std::string_view data);
  void TakeProgress(std::string_view data);
  void PipeEnded();

  void AwaitExit();
  void AwaitDeadline();
  void AwaitStall();
  void Watch();
  void LookAtMemory();
  void LookAtFolder();
  void LookAtWrites();
  // Calls `member` when the timer runs out, unless the Core is gone or the timer was set anew.
  template <typename Member>
  void After(Timer& timer, SteadyTime when, Member member) {
    timer.expires_at(std::chrono::time_point_cast<Timer::duration>(when));
    timer.async_wait([weak = weak_from_this(), member](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->ended()) {
        member(*self);
      }
    });
  }

  boost::asio::io_context& loop_;
  std::shared_ptr<std::vector<Core*>> living_;
  Order order_;
  Hooks hooks_;
  std::function<void(ChildReport)> on_end_;

  os::ChildHandle handle_;
  bool reaped_ = true;  // false from Adopt on
  std::unique_ptr<os::MemoryGroup> group_;
  bool watch_memory_ = false;
  State state_ = State::kRunning;
  std::optional<Ending> cause_;  // why we ended it; the first reason stays
  ChildReport report_;
  SteadyTime started_{};
  SteadyTime advanced_{};  // when it last showed progress
  std::optional<SteadyTime> paused_;
  Duration rested_{};         // pauses that are over; the deadline moves with them
  SteadyTime grace_until_{};  // when a Stop turns into a kill

  boost::asio::posix::stream_descriptor exit_;  // borrows the pidfd
  Timer grace_;
  Timer deadline_;
  Timer stall_;
  Timer watch_;
  Timer drain_limit_;
  unsigned ticks_ = 0;
  Bytes last_sum_;
  bool growing_ = true;
  Bytes written_;  // to storage so far
  std::vector<stream::Drain> drains_;
  std::size_t open_pipes_ = 0;
  Tail stderr_;
};

Status Core::Adopt(os::ChildHandle handle, std::unique_ptr<os::MemoryGroup> group, bool watch_memory,
                   std::vector<os::UniqueFd> pipes, const std::shared_ptr<stream::Chunk>& chunk) {
  handle_ = std::move(handle);
  reaped_ = false;
  group_ = std::move(group);
  watch_memory_ = watch_memory;
  started_ = Now();
  advanced_ = started_;
  living_->push_back(this);

  error_code error;
  if (exit_.assign(handle_.pidfd.get(), error)) {
    return Fail(SystemError("cannot watch a child", error.value()));
  }
  constexpr std::array kTakers = {&Core::TakeStdout, &Core::TakeStderr, &Core::TakeProgress};
  drains_.reserve(pipes.size());
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    AddPipe(std::move(pipes[i]), chunk, kTakers.at(i));
    WEIR_TRY(drains_.back().Start());
    ++open_pipes_;
  }
  AwaitExit();
  AwaitDeadline();
  AwaitStall();
  After(watch_, started_ + kWatchPeriod, [](Core& self) { self.Watch(); });
  return {};
}

void Core::AddPipe(os::UniqueFd fd, const std::shared_ptr<stream::Chunk>& chunk,
                   void (Core::*take)(std::string_view)) {
  drains_.emplace_back(
      loop_, std::move(fd), chunk,
      [weak = weak_from_this(), take](std::string_view data) {
        if (const auto self = weak.lock()) {
          ((*self).*take)(data);
        }
      },
      [weak = weak_from_this()](const Status& status) {
        if (const auto self = weak.lock()) {
          if (!status) {
            log::Warning(Describe(status.error()));
          }
          self->PipeEnded();
        }
      });
}

void Core::TakeStdout(std::string_view data) {
  if (!hooks_.on_progress) {
    advanced_ = Now();
  }
  if (hooks_.on_stdout) {
    hooks_.on_stdout(data);
  }
}

void Core::TakeStderr(std::string_view data) {
  if (!hooks_.on_progress) {
    advanced_ = Now();
  }
  stderr_.Append(data);
}

void Core::TakeProgress(std::string_view data) {
  if (!hooks_.on_progress || hooks_.on_progress(data)) {
    advanced_ = Now();
  }
}

void Core::PipeEnded() {
  if (--open_pipes_ == 0) {
    Handle(Event::kPipesClosed);
  }
}

void Core::Stop(SteadyTime until) {
  if (state_ == State::kRunning) {
    grace_until_ = until;
  }
  Handle(Event::kStopAsked);
}

void Core::Pause() {
  if (state_ != State::kRunning || paused_) {
    return;
  }
  paused_ = Now();
  deadline_.cancel();
  stall_.cancel();
  os::SendSignalToGroup(handle_, SIGSTOP);
}

Status Core::LowerMemoryLimit(Bytes limit) {
  if (limit >= order_.memory_limit || state_ == State::kEnded) {
    return {};
  }
  if (group_) {
    if (auto lowered = group_->SetLimit(limit); !lowered) {
      // Half of it may be lower already.
      if (const auto restored = group_->SetLimit(order_.memory_limit); !restored) {
        log::Warning("the limit of " + order_.purpose + " is unknown now: " + Describe(restored.error()));
      }
      return lowered;
    }
  }
  order_.memory_limit = limit;
  return {};
}

void Core::Resume() {
  if (!paused_) {
    return;
  }
  const Duration rest = Now() - *std::exchange(paused_, std::nullopt);
  rested_ += rest;
  advanced_ += rest;
  if (state_ == State::kRunning) {
    os::SendSignalToGroup(handle_, SIGCONT);
    AwaitDeadline();
    AwaitStall();
  }
}

Ending Core::CauseOf(Event event) const {
  switch (event) {
    case Event::kDeadline:
      return TimedOut{.deadline = order_.deadline};
    case Event::kStall:
      return Stalled{.limit = order_.stall_limit};
    case Event::kOverLease:
      return OomKilled{.limit = order_.memory_limit, .by_kernel = false};
    case Event::kStopAsked:
    case Event::kKillAsked:
    case Event::kGraceOver:
    case Event::kExitSeen:
    case Event::kPipesClosed:
    case Event::kDrainOver:
      return Cancelled{};
  }
  return Cancelled{};
}

void Core::Handle(Event event) {
  const Cell cell = Step(state_, event);
  if (cell.next != state_) {
    log::Debug("child " + order_.purpose + " " + std::to_string(handle_.pid) + ": " + std::string(NameOf(state_)) +
               " -> " + std::string(NameOf(cell.next)) + " (" + std::string(NameOf(event)) + ")");
  }
  state_ = cell.next;
  switch (cell.action) {
    case Action::kNothing:
      return;
    case Action::kTerminate:
      if (!cause_) {
        cause_ = CauseOf(event);
      }
      if (event != Event::kStopAsked) {
        grace_until_ = Now() + order_.stop_grace;
      }
      Terminate();
      return;
    case Action::kKill:
      if (!cause_) {
        cause_ = CauseOf(event);
      }
      KillEverything();
      return;
    case Action::kCollect:
      Collect();
      return;
    case Action::kReport:
      Report();
      return;
  }
}

void Core::Terminate() {
  // The group has the child in it: signalled twice, ffmpeg would give up its output in mid-write.
  os::SendSignalToGroup(handle_, SIGTERM);
  os::SendSignalToGroup(handle_, SIGCONT);
  After(grace_, grace_until_, [](Core& self) { self.Handle(Event::kGraceOver); });
}

void Core::KillEverything() {
  if (!reaped_) {
    os::SendSignal(handle_, SIGKILL);
    os::SendSignalToGroup(handle_, SIGKILL);
  }
  if (group_) {
    group_->KillAll();
  }
}

void Core::Collect() {
  report_.wall = Now() - started_;
  grace_.cancel();
  deadline_.cancel();
  stall_.cancel();
  watch_.cancel();
  // Before reaping, while the number of the process group is still ours.
  KillEverything();
  static_cast<void>(exit_.release());
  reaped_ = true;
  Result<std::optional<os::ExitReport>> reaped = os::Reap(handle_);
  if (!reaped) {
    report_.ending = SpawnFailed{std::move(reaped).error()};
  } else if (const std::optional<os::ExitReport>& exit = *reaped) {
    report_.peak_resident = exit->peak_resident;
    report_.peak_tree = std::max(report_.peak_tree, report_.peak_resident);
    report_.user_time = exit->user_time;
    report_.system_time = exit->system_time;
    report_.ending = Decide(*exit);
  } else {
    report_.ending = SpawnFailed{Error{.code = ErrorCode::kSystem, .detail = "a child ended without a status"}};
  }
  if (group_) {
    report_.cgroup_peak = group_->Peak();
  }
  if (order_.folder_size_limit.count() > 0) {
    report_.folder_bytes_peak = std::max(report_.folder_bytes_peak, os::DiskUse(order_.working_folder).count());
  }
  if (open_pipes_ == 0) {
    Handle(Event::kPipesClosed);
  } else {
    After(drain_limit_, Now() + kDrainLimit, [](Core& self) { self.Handle(Event::kDrainOver); });
  }
}

Ending Core::Decide(const os::ExitReport& exit) const {
  if (cause_ && std::holds_alternative<Cancelled>(*cause_)) {
    return *cause_;
  }
  const bool clean = !exit.signaled && exit.code == 0;
  // More telling than a deadline or stall that followed from it.
  if (!clean && group_ && group_->OomKills() > 0) {
    if (!group_->ReachedLimit()) {
      return Signaled{.signal = SIGKILL, .for_memory = true};
    }
    return OomKilled{.limit = order_.memory_limit, .by_kernel = true};
  }
  if (cause_) {
    return *cause_;
  }
  // SIGXCPU may have been handled, as ffmpeg does. Clock ticks make the sum a little less than the limit, and on a
  // machine that shares its processors with others a good deal less; a child may also send the signal to itself.
  const auto used = exit.user_time + exit.system_time;
  const bool told = exit.signaled && exit.code == SIGXCPU && used >= order_.cpu_limit / 2;
  if (!clean && order_.cpu_limit.count() > 0 && (told || used >= order_.cpu_limit - milliseconds(100))) {
    return TimedOut{.deadline = order_.cpu_limit, .of_processor = true};
  }
  return exit.signaled ? Ending(Signaled{.signal = exit.code}) : Ending(Exited{.status = exit.code});
}

// Stops every source of events; the state stays as it is.
void Core::Silence() {
  grace_.cancel();
  deadline_.cancel();
  stall_.cancel();
  watch_.cancel();
  drain_limit_.cancel();
  for (stream::Drain& drain : drains_) {
    drain.Cancel();
  }
  std::erase(*living_, this);
}

void Core::Report() {
  Silence();
  group_.reset();
  handle_.pidfd.Close();
  report_.stderr_text = stderr_.Text();
  report_.stderr_bytes = stderr_.total_bytes();
  boost::asio::post(loop_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      if (const auto on_end = std::exchange(self->on_end_, nullptr)) {
        on_end(std::move(self->report_));
      }
    }
  });
}

void Core::Abandon() {
  on_end_ = nullptr;
  Silence();
  if (!reaped_) {
    KillEverything();
    static_cast<void>(exit_.release());
    reaped_ = true;
    const SteadyTime limit = Now() + kReapLimit;
    milliseconds pause{0};
    while (true) {
      const auto exit = os::Reap(handle_);
      if (!exit || *exit) {
        break;
      }
      if (Now() > limit) {
        log::Error("child " + std::to_string(handle_.pid) + " does not die");
        break;
      }
      std::this_thread::sleep_for(std::max<Duration>(pause, std::chrono::microseconds(100)));
      pause = std::min(pause + milliseconds(1), milliseconds(20));
    }
  }
  group_.reset();
  state_ = State::kEnded;
}

void Core::AwaitExit() {
  exit_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [weak = weak_from_this()](const error_code& error) {
                     const auto self = weak.lock();
                     if (!error && self && !self->ended()) {
                       self->Handle(Event::kExitSeen);
                     }
                   });
}

void Core::AwaitDeadline() {
  if (order_.deadline.count() > 0) {
    After(deadline_, started_ + rested_ + order_.deadline, [](Core& self) { self.Handle(Event::kDeadline); });
  }
}

void Core::AwaitStall() {
  if (order_.stall_limit.count() <= 0) {
    return;
  }
  After(stall_, advanced_ + order_.stall_limit, [](Core& self) {
    if (Now() >= self.advanced_ + self.order_.stall_limit) {
      self.Handle(Event::kStall);
    } else {
      self.AwaitStall();
    }
  });
}

void Core::Watch() {
  ++ticks_;
  LookAtMemory();
  if (ticks_ % kFolderEvery == 0) {
    LookAtFolder();
  }
  if (ticks_ % kWritesEvery == 0) {
    LookAtWrites();
  }
  if (state_ == State::kRunning || state_ == State::kStopping) {
    // Without a kernel limit on resident memory, what grows is looked at more often.
    const milliseconds period = !watch_memory_ ? kWatchPeriod : growing_ ? kGrowthPeriod : kWatchPeriod / 2;
    After(watch_, Now() + period, [](Core& self) { self.Watch(); });
  }
}

void Core::LookAtMemory() {
  const std::vector<pid_t> tree = os::Tree(handle_.pid);
  Bytes sum;
  for (const pid_t pid : tree) {
    if (const auto memory = os::ReadStatm(pid)) {
      sum += memory->resident;
    }
  }
  report_.peak_tree = std::max(report_.peak_tree, sum);
  report_.most_processes = std::max(report_.most_processes, tree.size());
  // cgroup v1 kills one process only. The rest, which may wait for it for ever, goes as with v2's oom.group.
  if (group_ && group_->OomKills() > 0) {
    Handle(Event::kOverLease);
    return;
  }
  growing_ = sum > last_sum_ * 1.02;
  last_sum_ = sum;
  if (hooks_.on_memory && sum.count() > 0) {
    hooks_.on_memory(sum);
  }
  // Resident pages that are shared count more than once in the sum: only the exact reading condemns.
  if (watch_memory_ && sum > order_.memory_limit && os::TreePss(handle_.pid) > order_.memory_limit) {
    Handle(Event::kOverLease);
  }
}

// Moving the index of a large mp4 to its front takes minutes without a word of progress: writing is progress, too.
void Core::LookAtWrites() {
  if (const auto written = os::StorageWritten(handle_.pid); written && *written > written_) {
    written_ = *written;
    advanced_ = Now();
  }
}

void Core::LookAtFolder() {
  if (order_.folder_size_limit.count() == 0 || state_ != State::kRunning) {
    return;
  }
  const Bytes used = os::DiskUse(order_.working_folder);
  report_.folder_bytes_peak = std::max(report_.folder_bytes_peak, used.count());
  const auto names = os::ListFolder(order_.working_folder, order_.folder_entries_limit + 1);
  if (used > order_.folder_size_limit || (names && names->size() > order_.folder_entries_limit)) {
    report_.folder_limit_exceeded = true;
    // No grace: the disk would fill in it.
    Kill();
  }
}

// What the owner holds.
class Handle final : public Child {
 public:
  explicit Handle(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() override { core_->Abandon(); }

  void Stop() override { core_->Stop(Now() + core_->order().stop_grace); }
  void Kill() override { core_->Kill(); }
  void Pause() override { core_->Pause(); }
  void Resume() override { core_->Resume(); }
  Status LowerMemoryLimit(Bytes limit) override { return core_->LowerMemoryLimit(limit); }
  [[nodiscard]] bool ended() const override { return core_->ended(); }
  [[nodiscard]] pid_t pid() const override { return core_->pid(); }
  [[nodiscard]] Bytes sampled_peak() const override { return core_->sampled_peak(); }

 private:
  std::shared_ptr<Core> core_;
};

Result<os::UniqueFd> BuildWalls(const Walls& walls, const Order& order) {
  if (walls.support.landlock_abi <= 0) {
    return os::UniqueFd();
  }
  using Allow = os::FileRule::Allow;
  std::vector<os::FileRule> rules = walls.readable;
  for (const int input : order.inputs) {
    rules.push_back({.path = {}, .fd = input, .allow = Allow::kRead});
  }
  rules.push_back({.path = {},
                   .fd = order.working_folder,
                   .allow = order.working_folder_writable ? Allow::kReadWriteBelow : Allow::kRead});
  return os::BuildLandlock(rules);
}

os::ChildLimits LimitsOf(const Order& order, os::MemoryBackend backend) {
  os::ChildLimits limits;
  if (order.cpu_limit.count() > 0) {
    limits.cpu = order.cpu_limit;
  }
  limits.file_size = order.file_size_limit;
  if (backend == os::MemoryBackend::kRlimit) {
    const Bytes derived = (order.memory_limit - order.shared_pages) * kMappedPerResident + kNeverTouched;
    limits.data = order.data_limit.count() > 0 ? order.data_limit : derived;
    limits.stack = kThreadStack;
  }
  return limits;
}

// Somebody else may have changed the groups that we made ours in.
Result<std::unique_ptr<os::MemoryGroup>> MakeGroup(os::CgroupRoot& cgroups, const Order& order) {
  auto group = cgroups.Create(order.id, order.memory_limit, order.file_memory);
  if (group || !cgroups.LookAgain()) {
    return group;
  }
  log::Warning("the control groups are not what they were (" + Describe(group.error()) +
               "): from now on limits are kept by " + os::NameOf(cgroups.backend()) +
               ", in one group: " + os::NameOf(cgroups.enclosure()));
  return cgroups.Create(order.id, order.memory_limit, order.file_memory);
}

}  // namespace

Result<os::ChildHandle> RealSpawner::Spawn(const os::ChildSpec& spec) { return os::Spawn(spec); }

Launcher::Launcher(boost::asio::io_context& loop, Walls walls, Spawner& spawner)
    : state_(std::make_shared<State>(loop, std::move(walls), spawner)) {}

Launcher::~Launcher() {
  for (Core* core : std::vector<Core*>(state_->living)) {
    core->Abandon();
  }
}

Result<std::unique_ptr<Child>> Launcher::Start(const Order& order, Hooks hooks,
                                               std::function<void(ChildReport)> on_end) {
  const Walls& walls = state_->walls;

  WEIR_ASSIGN(const os::UniqueFd null, os::OpenNull());
  WEIR_ASSIGN(os::Pipe out, os::MakePipe());
  WEIR_ASSIGN(os::Pipe err, os::MakePipe());
  os::Pipe progress;
  os::ChildSpec spec;
  spec.fds = {{.source = null.get(), .target = 0},
              {.source = out.write_end.get(), .target = 1},
              {.source = err.write_end.get(), .target = 2}};
  int next_fd = kFirstInputFd;
  for (const int input : order.inputs) {
    spec.fds.push_back({.source = input, .target = next_fd++});
  }
  if (order.progress_pipe) {
    WEIR_ASSIGN(progress, os::MakePipe());
    spec.fds.push_back({.source = progress.write_end.get(), .target = next_fd++});
  }

  WEIR_ASSIGN(const os::UniqueFd landlock, BuildWalls(walls, order));
  WEIR_ASSIGN(std::unique_ptr<os::MemoryGroup> group, MakeGroup(state_->walls.cgroups, order));
  const os::MemoryBackend backend = walls.cgroups.backend();

  spec.program = order.program;
  spec.argv = order.argv;
  spec.environment = order.environment;
  spec.working_folder = order.working_folder;
  spec.limits = LimitsOf(order, backend);
  spec.new_pid_namespace = walls.support.pid_namespace;
  spec.user_namespace = walls.support.pid_namespace && walls.support.user_namespace_needed;
  spec.landlock = landlock.get();
  spec.seccomp = walls.support.seccomp && !walls.seccomp.empty() ? &walls.seccomp : nullptr;
  spec.clone_into_cgroup = group ? group->clone_into_fd() : -1;
  spec.join_cgroup = group ? group->join_fd() : -1;
  spec.nice = order.nice;
  WEIR_ASSIGN(os::ChildHandle handle, state_->spawner.Spawn(spec));

  // Otherwise the pipes would never end.
  out.write_end.Close();
  err.write_end.Close();
  progress.write_end.Close();
  std::vector<os::UniqueFd> pipes;
  pipes.push_back(std::move(out.read_end));
  pipes.push_back(std::move(err.read_end));
  if (order.progress_pipe) {
    pipes.push_back(std::move(progress.read_end));
  }
  auto core = std::make_shared<Core>(state_->loop, std::shared_ptr<std::vector<Core*>>(state_, &state_->living),
                                     order, std::move(hooks), std::move(on_end));
  auto child = std::make_unique<Handle>(core);
  WEIR_TRY(core->Adopt(std::move(handle), std::move(group), backend == os::MemoryBackend::kRlimit, std::move(pipes),
                       state_->chunk));
  return child;
}

void Launcher::StopAll(bool immediately) {
  const std::vector<Core*> living = state_->living;
  milliseconds grace{0};
  for (const Core* core : living) {
    grace = std::max(grace, core->order().stop_grace);
  }
  const SteadyTime until = Now() + grace;
  for (Core* core : living) {
    if (immediately) {
      core->Kill();
    } else {
      core->Stop(until);
    }
  }
}

std::size_t Launcher::living() const { return state_->living.size(); }
const Walls& Launcher::walls() const { return state_->walls; }

}  // namespace weir::process
