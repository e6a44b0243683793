#include "os/cgroup_control.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/id.h"
#include "base/text.h"
#include "os/file.h"

namespace weir::os {
namespace {

using namespace std::chrono_literals;

constexpr auto kLongestRemoval = 2s;

}  // namespace

std::string GroupName(const std::string& id) { return "weir-" + id; }

// A plain folder tree, as tests use in place of /sys/fs/cgroup: no control files appear in new folders.
bool IsFixture(const std::string& folder) {
  struct statfs info{};
  if (::statfs(folder.c_str(), &info) != 0) return false;
  const auto type = static_cast<std::uint64_t>(info.f_type);
  return type != CGROUP_SUPER_MAGIC && type != CGROUP2_SUPER_MAGIC;
}

Status WriteControl(const std::string& path, const std::string& value, bool create) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
  if (!fd || ::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return std::unexpected(SystemError("cannot write " + value + " to " + Quoted(path), errno));
  }
  return {};
}

std::vector<pid_t> MembersOf(const std::string& group) {
  std::vector<pid_t> members;
  const auto text = ReadSmallFile(group + "/cgroup.procs", Bytes::Mib(1));
  if (!text) return members;
  for (const std::string_view line : SplitLines(*text)) {
    // 0 stands for a process outside our PID namespace; kill(0) would be ourselves.
    const auto pid = ParseUnsigned(line);
    if (pid && *pid > 1) members.push_back(static_cast<pid_t>(*pid));
  }
  return members;
}

void KillMembers(const std::string& group) {
  if (WriteControl(group + "/cgroup.kill", "1", false)) return;
  // One by one, until no new member shows up between two readings.
  std::vector<pid_t> killed;
  for (int round = 0; round < 100; ++round) {
    bool news = false;
    for (const pid_t pid : MembersOf(group)) {
      if (pid == ::getpid()) continue;
      ::kill(pid, SIGKILL);
      if (std::ranges::find(killed, pid) == killed.end()) {
        killed.push_back(pid);
        news = true;
      }
    }
    if (!news) return;
  }
}

// A group can be removed a moment after its last member has died.
void RemoveGroup(const std::string& group) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestRemoval;
  for (auto pause = 1ms; ::rmdir(group.c_str()) != 0 && errno == EBUSY; pause = std::min(pause * 2, 16ms)) {
    if (std::chrono::steady_clock::now() >= deadline) return;
    KillMembers(group);
    std::this_thread::sleep_for(pause);
  }
}

// The lock says that the maker lives. A sweeper that comes between making and locking takes the group away, which
// shows afterwards.
Result<UniqueFd> MakeLockedGroup(const std::string& group) {
  for (int round = 0; round < 10; ++round) {
    if (::mkdir(group.c_str(), 0755) != 0) {
      return std::unexpected(SystemError("cannot make the group " + Quoted(group), errno));
    }
    UniqueFd folder(::open(group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder && errno == ENOENT) continue;
    if (!folder || ::flock(folder.get(), LOCK_EX) != 0) {
      const int error = errno;
      ::rmdir(group.c_str());
      return std::unexpected(SystemError("cannot lock the group " + Quoted(group), error));
    }
    struct stat locked{};
    struct stat named{};
    if (::fstat(folder.get(), &locked) == 0 && ::stat(group.c_str(), &named) == 0 && locked.st_ino == named.st_ino) {
      return folder;
    }
  }
  return Fail(ErrorCode::kSystem, "the group " + Quoted(group) + " is taken away again and again");
}

bool IsGroupName(std::string_view name) { return name.starts_with("weir-") && IsId(name.substr(5)); }

std::vector<std::string> SubFolders(const std::string& folder) {
  std::vector<std::string> names;
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) return names;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(listing);
  return names;
}

void KillAndRemove(const std::string& group) {
  for (const std::string& name : SubFolders(group)) {
    if (IsGroupName(name)) KillAndRemove(group + "/" + name);
  }
  KillMembers(group);
  RemoveGroup(group);
}

}  // namespace weir::os
