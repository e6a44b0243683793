// Making, entering, emptying and removing folders of a control group tree, and writing its files. Shared by cgroup.cc
// and cgroup_tree.cc. Not for other rooms. Any thread; nothing is kept.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

std::string GroupName(const std::string& id);  // "weir-<id>"
bool IsGroupName(std::string_view name);

// A plain folder tree, as tests use in place of /sys/fs/cgroup: no control files appear in new folders.
bool IsFixture(const std::string& folder);
// `create`: the file as well, for fixtures. Errors: kSystem.
Status WriteControl(const std::string& path, const std::string& value, bool create);

// The lock says that the maker lives. Errors: kSystem.
Result<UniqueFd> MakeLockedGroup(const std::string& group);
std::vector<pid_t> MembersOf(const std::string& group);
// SIGKILL to every member, with cgroup.kill to those of groups below as well. Without it, never to this process.
void KillMembers(const std::string& group);
// Kills what is in the way; gives up after 2 s.
void RemoveGroup(const std::string& group);
std::vector<std::string> SubFolders(const std::string& folder);
// With the groups of ours below it.
void KillAndRemove(const std::string& group);

}  // namespace weir::os
