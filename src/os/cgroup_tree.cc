#include "os/cgroup_tree.h"

#include <unistd.h>

#include <utility>

#include "base/id.h"
#include "base/text.h"
#include "os/cgroup_control.h"
#include "os/cgroup_paths.h"

namespace weir::os {
namespace {

// Less than this is not worth a write, when the limit is to fall.
constexpr Bytes kStep = Bytes::Mib(1);

}  // namespace

GroupTree::GroupTree(MemoryBackend backend, const std::string& parent, std::string home)
    : backend_(backend), group_(parent + "/" + GroupName(NewId())), home_(std::move(home)) {}

GroupTree::~GroupTree() {
  // A process that forked and did not exec is not the one that moved.
  if (maker_ != ::getpid()) return;
  // Whoever cannot leave would be killed with what is left.
  if (entered_ && !Enter(home_)) return;
  if (!leaf_.empty()) RemoveGroup(leaf_);
  RemoveGroup(group_);
}

Status GroupTree::Make(Bytes limit) {
  WEIR_ASSIGN(lock_, MakeLockedGroup(group_));
  maker_ = ::getpid();
  fixture_ = IsFixture(group_);
  // Before Linux 5.11 a group of v1 does not count those below it unasked.
  const std::string hierarchy = group_ + "/memory.use_hierarchy";
  if (ReadNumber(hierarchy) == 0) WEIR_TRY(WriteControl(hierarchy, "1", false));
  WEIR_TRY(Limit(limit));
  if (backend_ == MemoryBackend::kCgroupV1) {
    if (fixture_ || PathExists(group_ + "/memory.swappiness")) {
      WEIR_TRY(WriteControl(group_ + "/memory.swappiness", "0", fixture_));
    }
    if (!home_.empty()) WEIR_TRY(Enter(group_));
  } else {
    WEIR_TRY(WriteControl(group_ + "/cgroup.subtree_control", "+memory", fixture_));
    if (!home_.empty()) {
      leaf_ = group_ + "/" + GroupName(NewId());
      WEIR_ASSIGN(leaf_lock_, MakeLockedGroup(leaf_));
      WEIR_TRY(Enter(leaf_));
    }
  }
  entered_ = !home_.empty();
  return {};
}

std::optional<GroupMemory> GroupTree::Read() const {
  auto memory = ReadGroupMemory(group_);
  if (memory) memory->oom_kills += kills_below_;
  return memory;
}

Status GroupTree::Enter(const std::string& group) const {
  return WriteControl(group + "/cgroup.procs", "0", fixture_);
}

Status GroupTree::Limit(Bytes limit) {
  const auto now = Read();
  const Bytes wanted = limit + (now ? now->on_tmpfs : Bytes()) + expected_files_;
  limit_ = limit;
  if (wanted <= written_ && written_ - wanted < kStep && written_ - wanted < limit * 0.01) return {};
  WEIR_TRY(Write(wanted));
  written_ = wanted;
  return {};
}

Status GroupTree::Write(Bytes limit) const {
  const std::string bytes = std::to_string(limit.count());
  if (backend_ == MemoryBackend::kCgroupV2) {
    WEIR_TRY(WriteControl(group_ + "/memory.max", bytes, fixture_));
    if (fixture_ || PathExists(group_ + "/memory.swap.max")) {
      WEIR_TRY(WriteControl(group_ + "/memory.swap.max", "0", fixture_));
    }
    return {};
  }
  const std::string memory = group_ + "/memory.limit_in_bytes";
  const std::string both = group_ + "/memory.memsw.limit_in_bytes";
  const bool swap = fixture_ || PathExists(both);
  // Memory plus swap may never be less than memory: upwards it goes first, downwards last.
  const bool upwards = written_ != Bytes() && limit > written_;
  if (swap && upwards) WEIR_TRY(WriteControl(both, bytes, fixture_));
  WEIR_TRY(WriteControl(memory, bytes, fixture_));
  return swap && !upwards ? WriteControl(both, bytes, fixture_) : Status{};
}

}  // namespace weir::os
