#include "os/cgroup.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/id.h"
#include "base/text.h"
#include "os/cgroup_control.h"
#include "os/cgroup_paths.h"
#include "os/cgroup_tree.h"
#include "os/clone.h"
#include "os/file.h"

namespace weir::os {
namespace {

// v1 shows "no limit" as a number near 2^63.
constexpr std::uint64_t kUnlimited = 1ULL << 60U;
// The kernel charges in batches.
constexpr double kNearLimit = 0.95;
constexpr std::size_t kMostFoldersSearched = 4096;
constexpr unsigned kMostLooks = 100;

class Group final : public MemoryGroup {
 public:
  Group(MemoryBackend backend, std::string memory, std::string kill, std::shared_ptr<GroupTree> tree, Bytes files)
      : backend_(backend), memory_(std::move(memory)), kill_(std::move(kill)), tree_(std::move(tree)), files_(files) {
    if (tree_) tree_->ExpectFiles(files_);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  ~Group() override {
    join_.Close();
    if (tree_) {
      tree_->CountKills(OomKills());
      tree_->ForgetFiles(files_);
    }
    for (const std::string& group : Folders()) {
      if (!MembersOf(group).empty()) KillMembers(group);
    }
    for (const std::string& group : Folders()) RemoveGroup(group);
  }

  Status Make(Bytes limit) {
    const std::string& any = memory_.empty() ? kill_ : memory_;
    const bool fixture = IsFixture(any.substr(0, any.rfind('/')));
    for (const std::string& group : Folders()) {
      WEIR_ASSIGN(UniqueFd lock, MakeLockedGroup(group));
      locks_.push_back(std::move(lock));
    }
    WEIR_TRY(SetLimit(limit));
    switch (backend_) {
      case MemoryBackend::kCgroupV2:
        WEIR_TRY(SetIfPresent("memory.swap.max", "0"));
        WEIR_TRY(SetIfPresent("memory.oom.group", "1"));
        break;
      case MemoryBackend::kCgroupV1:
        WEIR_TRY(SetIfPresent("memory.swappiness", "0"));
        join_ = UniqueFd(
            ::open((memory_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC | (fixture ? O_CREAT : 0), 0600));
        if (!join_) return std::unexpected(SystemError("cannot open the memory group " + Quoted(memory_), errno));
        break;
      case MemoryBackend::kRlimit:
        break;
    }
    return {};
  }

  [[nodiscard]] int clone_into_fd() const override { return kill_.empty() ? -1 : locks_.front().get(); }
  [[nodiscard]] int join_fd() const override { return join_.get(); }

  [[nodiscard]] std::optional<Bytes> Peak() const override {
    if (memory_.empty()) return std::nullopt;
    const auto peak =
        ReadNumber(memory_ + (backend_ == MemoryBackend::kCgroupV2 ? "/memory.peak" : "/memory.max_usage_in_bytes"));
    return peak ? std::optional(Bytes(*peak)) : std::nullopt;
  }

  [[nodiscard]] std::uint64_t OomKills() const override {
    if (memory_.empty()) return 0;
    const char* file = backend_ == MemoryBackend::kCgroupV2 ? "/memory.events" : "/memory.oom_control";
    return ReadKey(memory_ + file, "oom_kill").value_or(0);
  }

  [[nodiscard]] bool ReachedLimit() const override {
    if (memory_.empty()) return true;
    if (backend_ == MemoryBackend::kCgroupV2) {
      for (const auto& [file, key] :
           {std::pair("/memory.events.local", "oom"), {"/memory.events", "oom"}, {"/memory.events", "max"}}) {
        if (const auto times = ReadKey(memory_ + file, key)) return *times > 0;
      }
      return true;
    }
    const auto limit = ReadNumber(memory_ + "/memory.limit_in_bytes");
    const auto most = ReadNumber(memory_ + "/memory.max_usage_in_bytes");
    return !limit || !most || Bytes(*most) >= Bytes(*limit) * kNearLimit;
  }

  Status SetLimit(Bytes limit) override {
    limit += files_;
    const std::string bytes = std::to_string(limit.count());
    switch (backend_) {
      case MemoryBackend::kCgroupV2:
        return WriteControl(memory_ + "/memory.max", bytes, IsFixture(memory_.substr(0, memory_.rfind('/'))));
      case MemoryBackend::kCgroupV1: {
        // Memory plus swap may never be less than memory.
        const auto now = ReadNumber(memory_ + "/memory.limit_in_bytes");
        if (now && *now < limit.count()) WEIR_TRY(SetIfPresent("memory.memsw.limit_in_bytes", bytes));
        WEIR_TRY(WriteControl(memory_ + "/memory.limit_in_bytes", bytes,
                              IsFixture(memory_.substr(0, memory_.rfind('/')))));
        return SetIfPresent("memory.memsw.limit_in_bytes", bytes);
      }
      case MemoryBackend::kRlimit:
        break;
    }
    return {};
  }

  void KillAll() override {
    for (const std::string& group : Folders()) KillMembers(group);
  }

  [[nodiscard]] std::size_t Members() const override {
    std::size_t most = 0;
    for (const std::string& group : Folders()) most = std::max(most, MembersOf(group).size());
    return most;
  }

 private:
  [[nodiscard]] Status SetIfPresent(const char* name, const std::string& value) const {
    const bool fixture = IsFixture(memory_.substr(0, memory_.rfind('/')));
    const std::string path = memory_ + "/" + name;
    if (!fixture && !PathExists(path)) return {};
    return WriteControl(path, value, fixture);
  }

  // The killing one first: its kill is atomic.
  [[nodiscard]] std::vector<std::string> Folders() const {
    std::vector<std::string> folders;
    if (!kill_.empty()) folders.push_back(kill_);
    if (!memory_.empty() && memory_ != kill_) folders.push_back(memory_);
    return folders;
  }

  MemoryBackend backend_;
  std::string memory_;
  std::string kill_;
  std::shared_ptr<GroupTree> tree_;  // around memory_
  Bytes files_;                      // on tmpfs, in every limit
  std::vector<UniqueFd> locks_;      // on Folders(), in their order
  UniqueFd join_;
};

// Whether the kernel lets a child be born in a group: permissions lie in three places, so it is tried.
[[gnu::no_sanitize("address", "thread", "undefined"), gnu::noinline]] bool CanEnter(int group) {
  int pidfd = -1;
  pid_t pid = 0;
  bool entered = true;
  {
    const SignalBlock no_signals;
    const CloneOutcome outcome = CloneChild(0, group, &pidfd);
    if (outcome.pid == 0) {
      long status = 0;
      if (outcome.enter_cgroup) {
        const long procs = ::syscall(SYS_openat, group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || ::syscall(SYS_write, procs, "0", 1) != 1) status = 1;
      }
      for (;;) ::syscall(SYS_exit_group, status);
    }
    pid = outcome.pid;
  }
  if (pid < 0) return false;
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  while (::syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, nullptr) != 0) {
    if (errno != EINTR) return false;
  }
  entered = info.si_code == CLD_EXITED && info.si_status == 0;
  return entered;
}

// Makes a group with `control` in it and removes it again. Returns why not, or nothing.
std::string TryParent(const std::string& parent, const std::string& control, bool v2) {
  const std::string group = parent + "/" + GroupName(NewId());
  const auto lock = MakeLockedGroup(group);
  if (!lock) return "cannot make groups in " + Quoted(parent);
  std::string reason;
  if (!IsFixture(parent)) {
    if (!PathExists(group + "/" + control)) {
      reason = "groups in " + Quoted(parent) + " have no " + control;
    } else if (v2) {
      if (!CanEnter(lock->get())) reason = "cannot start processes in groups in " + Quoted(parent);
    } else if (::access((group + "/cgroup.procs").c_str(), W_OK) != 0) {
      reason = "cannot enter groups in " + Quoted(parent);
    }
  }
  RemoveGroup(group);
  return reason;
}

// A v2 group that hands memory down to groups below may hold no process itself. Who is alone in its group, as a
// service is, can make room: into a group below its own, for as long as the process lives.
class Aside {
 public:
  explicit Aside(std::string own) : own_(std::move(own)), leaf_(own_ + "/" + GroupName(NewId())) {}
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  // Also of a process that forked and did not exec: it is not the one that moved.
  ~Aside() {
    if (moved_ != ::getpid()) return;
    const std::string control = own_ + "/cgroup.subtree_control";
    if (HasWord(control, "memory") && !WriteControl(control, "-memory", false)) return;
    if (!WriteControl(own_ + "/cgroup.procs", "0", false)) return;
    ::rmdir(leaf_.c_str());
  }

  // Whether `own` can be divided now.
  bool Move() {
    auto lock = MakeLockedGroup(leaf_);
    if (!lock) return false;
    if (!WriteControl(leaf_ + "/cgroup.procs", "0", false)) {
      ::rmdir(leaf_.c_str());
      return false;
    }
    lock_ = *std::move(lock);
    moved_ = ::getpid();
    return WriteControl(own_ + "/cgroup.subtree_control", "+memory", false).has_value();
  }

 private:
  std::string own_;
  std::string leaf_;
  UniqueFd lock_;  // or a sweeper would take us for abandoned
  pid_t moved_ = 0;
};

std::shared_ptr<Aside> MoveAside(const std::string& own) {
  // Below a group of ours is no place for more.
  if (IsGroupName(std::string_view(own).substr(own.rfind('/') + 1))) return nullptr;
  if (MembersOf(own) != std::vector<pid_t>{::getpid()}) return nullptr;
  auto aside = std::make_shared<Aside>(own);
  return aside->Move() ? aside : nullptr;
}

struct Choice {
  std::string parent;
  std::string reason;
  std::shared_ptr<Aside> aside{};  // what `parent` depends on
};

Choice ChooseV2(const Hierarchy& v2) {
  if (!v2.present()) return {{}, "there is no cgroup v2 hierarchy"};
  if (!HasWord(v2.own + "/cgroup.controllers", "memory")) return {{}, "cgroup v2 has no memory controller here"};
  std::string reason;
  // Our own group first; only there may controllers be switched on, because neighbours would feel it above.
  const std::string control = v2.own + "/cgroup.subtree_control";
  std::shared_ptr<Aside> aside;
  if (!HasWord(control, "memory") && !WriteControl(control, "+memory", false) && !(aside = MoveAside(v2.own))) {
    reason = "our cgroup cannot be divided: it holds processes or is not delegated to us";
  } else {
    reason = TryParent(v2.own, "memory.max", true);
    if (reason.empty()) return {v2.own, {}, std::move(aside)};
  }
  const std::string above = v2.Above(v2.own);
  if (!above.empty() && HasWord(above + "/cgroup.subtree_control", "memory")) {
    if (TryParent(above, "memory.max", true).empty()) return {above, {}};
  }
  return {{}, "cgroup v2: " + reason};
}

Choice ChooseV1(const Hierarchy& v1) {
  if (!v1.present()) return {{}, "there is no cgroup v1 memory hierarchy"};
  std::string reason;
  for (const std::string& parent : {v1.own, v1.Above(v1.own)}) {
    if (parent.empty()) continue;
    const std::string why = TryParent(parent, "memory.limit_in_bytes", false);
    if (why.empty()) return {parent, {}};
    if (reason.empty()) reason = why;
  }
  return {{}, "cgroup v1: " + reason};
}

// Anywhere below `root`, breadth first: a maker may have lived in another session or service than we do.
void RemoveUnlocked(const std::string& root) {
  std::vector<std::string> folders{root};
  for (std::size_t i = 0; i < folders.size(); ++i) {
    const std::string parent = folders[i];
    for (const std::string& name : SubFolders(parent)) {
      const std::string below = parent + "/" + name;
      if (!IsGroupName(name)) {
        if (folders.size() < kMostFoldersSearched) folders.push_back(below);
        continue;
      }
      const UniqueFd folder(::open(below.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (folder && ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) KillAndRemove(below);
    }
  }
}

// Whoever is killed in our place can be started again. Only root may ask for this.
void SpareFromOomKiller() {
  constexpr int kSpared = -500;  // not -1000: alone in a full group we would wait for memory for ever
  const std::string path = "/proc/self/oom_score_adj";
  const auto text = ReadSmallFile(path, Bytes(64));
  if (text && std::atoi(text->c_str()) > kSpared) (void)WriteControl(path, std::to_string(kSpared), false);
}

}  // namespace

const char* NameOf(MemoryBackend backend) {
  switch (backend) {
    case MemoryBackend::kCgroupV2:
      return "cgroup-v2";
    case MemoryBackend::kCgroupV1:
      return "cgroup-v1";
    case MemoryBackend::kRlimit:
      return "rlimit-data";
  }
  return "unknown";
}

CgroupRoot::CgroupRoot(const Hierarchy& v2, const Hierarchy& v1) {
  const bool v2_memory = v2.present() && HasWord(v2.root + "/cgroup.controllers", "memory");
  if (v2.present()) places_.push_back({.root = v2.root, .own = v2.own, .v2 = true, .memory = v2_memory});
  if (v1.present()) places_.push_back({.root = v1.root, .own = v1.own, .v2 = false, .memory = true});
}

const char* NameOf(Enclosure enclosure) {
  switch (enclosure) {
    case Enclosure::kNone:
      return "none";
    case Enclosure::kChildren:
      return "children";
    case Enclosure::kTree:
      return "tree";
  }
  return "unknown";
}

CgroupRoot CgroupRoot::Look(const std::string& mount, const std::string& self_cgroup) {
  return {FindV2(mount, self_cgroup), FindV1(mount, self_cgroup, "memory")};
}

CgroupRoot CgroupRoot::Detect(const std::string& mount, const std::string& self_cgroup) {
  const char* wish = std::getenv("WEIR_TEST_MEMORY_BACKEND");
  const std::string_view only = wish == nullptr ? "" : wish;
  const Hierarchy v2 = FindV2(mount, self_cgroup);
  const Hierarchy v1 = FindV1(mount, self_cgroup, "memory");

  CgroupRoot result(v2, v1);
  result.mount_ = mount;
  result.self_cgroup_ = self_cgroup;
  const auto note = [&](const std::string& reason) {
    if (!reason.empty()) result.reason_ += (result.reason_.empty() ? "" : "; ") + reason;
  };
  const auto wanted = [&](std::string_view name) { return only.empty() || only == name; };
  if (!only.empty()) note("WEIR_TEST_MEMORY_BACKEND=" + std::string(only));
  if (wanted("v2")) {
    Choice choice = ChooseV2(v2);
    note(choice.reason);
    if (!choice.parent.empty()) {
      result.backend_ = MemoryBackend::kCgroupV2;
      result.aside_ = std::move(choice.aside);
      result.memory_parent_ = choice.parent;
      result.kill_parent_ = std::move(choice.parent);
      return result;
    }
  }
  if (wanted("v1")) {
    Choice choice = ChooseV1(v1);
    note(choice.reason);
    if (!choice.parent.empty()) {
      result.backend_ = MemoryBackend::kCgroupV1;
      result.memory_parent_ = std::move(choice.parent);
    }
  }
  if (v2.present()) {
    for (const std::string& parent : {v2.own, v2.Above(v2.own)}) {
      if (parent.empty() || !TryParent(parent, "cgroup.kill", true).empty()) continue;
      result.kill_parent_ = parent;
      break;
    }
  }
  return result;
}

std::optional<Bytes> CgroupRoot::LimitAround() const {
  std::optional<Bytes> least;
  for (const Place& place : places_) {
    if (!place.memory) continue;
    const Hierarchy hierarchy{.root = place.root, .own = place.own};
    for (std::string group = hierarchy.own; !group.empty(); group = hierarchy.Above(group)) {
      const auto limit = ReadNumber(group + (place.v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      if (limit && *limit < kUnlimited) least = least ? std::min(*least, Bytes(*limit)) : Bytes(*limit);
    }
  }
  return least;
}

std::optional<Bytes> CgroupRoot::FreeInOwnCgroup() const {
  std::optional<Bytes> least;
  for (const Place& place : places_) {
    if (!place.memory) continue;
    const Hierarchy hierarchy{.root = place.root, .own = place.own};
    for (std::string group = hierarchy.own; !group.empty(); group = hierarchy.Above(group)) {
      const auto limit = ReadNumber(group + (place.v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      const auto usage = ReadNumber(group + (place.v2 ? "/memory.current" : "/memory.usage_in_bytes"));
      if (!limit || !usage || *limit >= kUnlimited) continue;
      // Page cache that the kernel gives up first counts as free.
      const auto cache = ReadKey(group + "/memory.stat", place.v2 ? "inactive_file" : "total_inactive_file");
      const Bytes free = Bytes(*limit) - (Bytes(*usage) - Bytes(cache.value_or(0)));
      least = least ? std::min(*least, free) : free;
    }
  }
  return least;
}

Status CgroupRoot::Enclose(Bytes budget, Bytes own_use) {
  if (backend_ == MemoryBackend::kRlimit) return Fail(ErrorCode::kSystem, "there are no memory groups here");
  const bool v2 = backend_ == MemoryBackend::kCgroupV2;
  std::string home;
  for (const Place& place : places_) {
    // Anywhere else we would leave the limits of the group that we are in, and on v2 the sight of who watches it.
    if (place.v2 == v2 && place.own == memory_parent_) home = place.own;
  }
  if (!home.empty() && aside_) home = FindV2(mount_, self_cgroup_).own;
  auto tree = std::make_shared<GroupTree>(backend_, memory_parent_, home);
  WEIR_TRY(tree->Make(home.empty() ? budget - own_use : budget));
  if (kill_parent_ == memory_parent_) kill_parent_ = tree->group();
  memory_parent_ = tree->group();
  own_use_ = own_use;
  tree_ = std::move(tree);
  if (tree_->holds_us()) SpareFromOomKiller();
  return {};
}

Status CgroupRoot::SetBudget(Bytes budget) const {
  if (!tree_) return {};
  return tree_->Limit(tree_->holds_us() ? budget : budget - own_use_);
}

Enclosure CgroupRoot::enclosure() const {
  return !tree_ ? Enclosure::kNone : tree_->holds_us() ? Enclosure::kTree : Enclosure::kChildren;
}

std::optional<GroupMemory> CgroupRoot::tree() const { return tree_ ? tree_->Read() : std::nullopt; }

std::string CgroupRoot::tree_folder() const { return tree_ ? tree_->group() : std::string(); }

bool CgroupRoot::LookAgain() {
  if (looks_ >= kMostLooks) return false;
  CgroupRoot fresh = Detect(mount_, self_cgroup_);
  fresh.looks_ = looks_ + 1;
  fresh.own_use_ = own_use_;
  const bool stays = tree_ && tree_->holds_us() && PathExists(tree_->group());
  if (stays && fresh.backend_ == backend_) return false;  // it failed for another reason
  if (stays) {
    fresh.tree_ = tree_;  // children without a group of their own are born in ours
  } else if (tree_) {
    (void)fresh.Enclose(tree_->limit() + (tree_->holds_us() ? Bytes() : own_use_), own_use_);
  }
  const bool news = fresh.backend_ != backend_ || fresh.memory_parent_ != memory_parent_ ||
                    fresh.kill_parent_ != kill_parent_ || fresh.enclosure() != enclosure();
  if (!news) return false;
  if (tree_ && !stays) tree_->StayWhereWeAre();
  if (aside_) {
    // The newer one is destroyed first.
    using Both = std::pair<std::shared_ptr<void>, std::shared_ptr<void>>;
    fresh.aside_ = fresh.aside_ ? std::make_shared<Both>(aside_, fresh.aside_) : aside_;
  }
  *this = std::move(fresh);
  return true;
}

Result<std::unique_ptr<MemoryGroup>> CgroupRoot::Create(const std::string& id, Bytes limit, Bytes files) const {
  if (!IsId(id)) return Fail(ErrorCode::kInternal, "not an id: " + Quoted(id));
  const auto below = [&](const std::string& parent) { return parent.empty() ? "" : parent + "/" + GroupName(id); };
  if (memory_parent_.empty() && kill_parent_.empty()) return std::unique_ptr<MemoryGroup>();
  auto group = std::make_unique<Group>(backend_, below(memory_parent_), below(kill_parent_), tree_, files);
  if (tree_) (void)tree_->Follow();  // or the limit stays as it was; what is wrong shows below
  WEIR_TRY(group->Make(limit));
  return group;
}

void CgroupRoot::RemoveAbandoned() const {
  for (const Place& place : places_) RemoveUnlocked(place.root);
}

}  // namespace weir::os
