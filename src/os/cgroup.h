// Kernel memory groups: one per supervised child, with a hard limit, a peak, an OOM counter and a kill
// that nothing escapes. One interface over cgroup v2, cgroup v1 and "none available".
// Groups are named weir-<id> below our own group, so that a later life can find and remove them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"
#include "os/machine.h"

namespace weir::os {

enum class MemoryBackend : std::uint8_t { kCgroupV2, kCgroupV1, kRlimit };
// "cgroup-v2", "cgroup-v1", "rlimit-data": what is printed and reported.
const char* NameOf(MemoryBackend backend);

// One child's group. Destruction kills what is left in it, waits for it to be empty (bounded), removes it.
class MemoryGroup {
 public:
  MemoryGroup() = default;
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  virtual ~MemoryGroup() = default;

  // v2: the folder descriptor for CLONE_INTO_CGROUP (memory or, on hybrid machines, the kill-only cgroup2);
  // -1 when there is none.
  [[nodiscard]] virtual int clone_into_fd() const = 0;
  // v1: cgroup.procs open for writing; the child writes "0" to it before exec. -1 when not needed.
  [[nodiscard]] virtual int join_fd() const = 0;
  // Highest charge so far: anonymous memory plus page cache, so never above the limit. nullopt: unknown.
  [[nodiscard]] virtual std::optional<Bytes> Peak() const = 0;
  // Processes killed by the OOM killer in this group so far (v2 memory.events oom_kill, v1 oom_control).
  [[nodiscard]] virtual std::uint64_t OomKills() const = 0;
  // Whether memory was ever refused at this group's own limit. A process that the OOM killer took without it was
  // taken for a limit around the group, or for the machine. v1 tells only that page cache or memory came near the
  // limit; what the kernel does not tell counts as true.
  [[nodiscard]] virtual bool ReachedLimit() const = 0;
  // Another limit from now on. Not below what the members need: v2 kills then, v1 refuses. Without memory groups
  // nothing happens. Errors: kSystem; the limit may be the old one then.
  virtual Status SetLimit(Bytes limit) = 0;
  // SIGKILL to every member, forks included. Safe to repeat.
  virtual void KillAll() = 0;
  // Number of live members; 0 when empty or unknown.
  [[nodiscard]] virtual std::size_t Members() const = 0;
};

struct Hierarchy;
class GroupTree;

// What the kernel keeps within one limit, together: nothing (each child has its own all the same), the children, or
// this process and the children.
enum class Enclosure : std::uint8_t { kNone, kChildren, kTree };
const char* NameOf(Enclosure enclosure);  // "none", "children", "tree"

// Where groups are made; decided once. Any folder tree can stand in for /sys/fs/cgroup in tests.
class CgroupRoot {
 public:
  // Looks at `mount` (default /sys/fs/cgroup), /proc/self/cgroup, and tries to make a group. Where the only obstacle
  // is that this process is in its group, and it is alone there, it moves into a group below; the
  // last copy of what is returned moves it back.
  // WEIR_TEST_MEMORY_BACKEND=rlimit|v1|v2 narrows the choice, for tests.
  static CgroupRoot Detect(const std::string& mount = "/sys/fs/cgroup",
                           const std::string& self_cgroup = "/proc/self/cgroup");

  CgroupRoot() = default;
  // Looks only: Create makes nothing, FreeInOwnCgroup is known.
  static CgroupRoot Look(const std::string& mount = "/sys/fs/cgroup",
                         const std::string& self_cgroup = "/proc/self/cgroup");

  [[nodiscard]] MemoryBackend backend() const { return backend_; }
  [[nodiscard]] bool can_kill() const { return !kill_parent_.empty(); }
  // Why the better back ends are not used, for people; empty when the best one is.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  // The least limit of the cgroups that we lived in at first; nullopt when there is none.
  [[nodiscard]] std::optional<Bytes> LimitAround() const;
  // Free memory by those limits.
  [[nodiscard]] std::optional<Bytes> FreeInOwnCgroup() const;

  // A group limited to `limit` (v2 memory.max with oom.group and swap 0; v1 limit_in_bytes and memsw where
  // present). With back end kRlimit: a kill-only group, or nullptr when there is no cgroup2 either.
  // `files`: what its members may write to tmpfs beside that. The kernel charges it to them, so it is added to all
  // limits of theirs, this one's and the tree's.
  [[nodiscard]] Result<std::unique_ptr<MemoryGroup>> Create(const std::string& id, Bytes limit,
                                                            Bytes files = {}) const;

  // Keeps this process and everything that Create makes from now on within `budget` together: one group of our own
  // around all of it, until the last copy of this and the last of its groups are gone; then we are back where we
  // were. Only the children, within `budget` less `own_use`, where leaving our present group would escape somebody's
  // limit or sight. What lies on tmpfs is charged to whoever wrote it, for as long as the file exists, and only
  // removing the file frees it: that much is added to the limit, anew whenever a child starts. Page cache is charged
  // as well, and the kernel gives it up before it kills. From now on we are the last to be killed for want of memory,
  // where that is permitted. Errors: kSystem (there are no memory groups here, or it cannot be made); then nothing
  // has changed.
  Status Enclose(Bytes budget, Bytes own_use);
  // Another budget. Not below what is in use: v1 refuses that, and v2 kills. Nothing happens without Enclose. Errors:
  // kSystem; then the limit is as before.
  Status SetBudget(Bytes budget) const;
  [[nodiscard]] Enclosure enclosure() const;
  // What the group around everything is charged with; nullopt without Enclose, or when the group is gone. Its
  // memory.pressure is in tree_folder() where the kernel has it; that is "" without Enclose.
  [[nodiscard]] std::optional<GroupMemory> tree() const;
  [[nodiscard]] std::string tree_folder() const;

  // After Create has failed: looks again what can be made, as Detect and Enclose do, because somebody may have
  // removed our group, or made it read-only. Whether anything is different now; never any more after the hundredth
  // time.
  bool LookAgain();

  // Kills and removes every group of ours whose maker is gone, wherever in the hierarchy it lived (at most 4096
  // folders are searched). A maker keeps its groups locked as long as it lives.
  void RemoveAbandoned() const;

 private:
  CgroupRoot(const Hierarchy& v2, const Hierarchy& v1);

  // One hierarchy, writable or not: where it is mounted, and our own group in it.
  struct Place {
    std::string root;
    std::string own;
    bool v2 = false;
    bool memory = false;
  };

  MemoryBackend backend_ = MemoryBackend::kRlimit;
  std::string memory_parent_;  // folder in which memory groups are made; empty with kRlimit
  std::string kill_parent_;    // folder of a cgroup2 hierarchy; empty when there is none
  std::string reason_;
  std::vector<Place> places_;
  std::string mount_;
  std::string self_cgroup_;
  Bytes own_use_;
  std::shared_ptr<void> aside_;  // keeps this process out of the way of groups in memory_parent_
  std::shared_ptr<GroupTree> tree_;
  unsigned looks_ = 0;
};

}  // namespace weir::os
