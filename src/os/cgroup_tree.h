// GroupTree: the one control group around this process and the groups of its children, which keeps the budget of all
// of them together. On v2, where a group that hands memory down may hold no process itself, this process is in a leaf
// of it. Internal to cgroup.cc.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "os/machine.h"

namespace weir::os {

// One thread. Its end moves this process back and removes the group, unless something is left in it: the next life
// sweeps that.
class GroupTree {
 public:
  // Below `parent`. `home`: where this process is and goes back to; empty: it stays there, and only the children are
  // kept in the tree.
  GroupTree(MemoryBackend backend, const std::string& parent, std::string home);
  GroupTree(const GroupTree&) = delete;
  GroupTree& operator=(const GroupTree&) = delete;
  ~GroupTree();

  // Errors: kSystem; then nothing has changed.
  Status Make(Bytes limit);
  // What lies on tmpfs is added: nothing that runs could give it back; and what those that run may still write there.
  // Errors: kSystem.
  Status Limit(Bytes limit);
  // As before, with what lies on tmpfs now.
  Status Follow() { return Limit(limit_); }

  // Counts from the next Follow on.
  void ExpectFiles(Bytes files) { expected_files_ += files; }
  void ForgetFiles(Bytes files) { expected_files_ -= std::min(files, expected_files_); }

  // Somebody else has moved us: the end only removes what is left.
  void StayWhereWeAre() { entered_ = false; }
  // v1 does not tell a group of kills in those below it, which are gone soon.
  void CountKills(std::uint64_t kills) { kills_below_ += backend_ == MemoryBackend::kCgroupV1 ? kills : 0; }
  // nullopt: the group is gone.
  [[nodiscard]] std::optional<GroupMemory> Read() const;
  [[nodiscard]] const std::string& group() const { return group_; }
  [[nodiscard]] bool holds_us() const { return !home_.empty(); }
  [[nodiscard]] Bytes limit() const { return limit_; }  // without tmpfs

 private:
  Status Enter(const std::string& group) const;
  Status Write(Bytes limit) const;

  MemoryBackend backend_;
  std::string group_;
  std::string home_;
  std::string leaf_;
  UniqueFd lock_;
  UniqueFd leaf_lock_;
  Bytes limit_;
  Bytes written_;  // with tmpfs
  Bytes expected_files_;
  std::uint64_t kills_below_ = 0;
  pid_t maker_ = 0;
  bool entered_ = false;
  bool fixture_ = false;
};

}  // namespace weir::os
