#include "os/cgroup_paths.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "os/file.h"

namespace weir::os {
namespace {

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  constexpr std::string_view kSpace = " \t\n";
  for (std::size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;
       at = text.find_first_not_of(kSpace, at)) {
    const std::size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

bool Lists(std::string_view controllers, std::string_view controller) {
  while (!controllers.empty()) {
    const std::size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == controller) return true;
    if (comma == std::string_view::npos) return false;
    controllers.remove_prefix(comma + 1);
  }
  return false;
}

// Lines are "number:controllers:path"; cgroup2 has no controllers there.
std::string OwnPath(const std::string& self_cgroup, std::string_view controller) {
  const auto text = ReadSmallFile(self_cgroup);
  if (!text) return {};
  for (const std::string_view line : SplitLines(*text)) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : Lists(controllers, controller)) {
      return std::string(line.substr(second + 1));
    }
  }
  return {};
}

Hierarchy Locate(std::string root, std::string path) {
  while (path.ends_with('/')) path.pop_back();
  std::string own = root;
  // ".." shows a group outside our cgroup namespace: it cannot be named from here.
  if (!path.empty() && path.find("/..") == std::string::npos && PathExists(root + path + "/cgroup.procs"))
    own += path;
  return {.root = std::move(root), .own = std::move(own)};
}

}  // namespace

std::string Hierarchy::Above(const std::string& group) const {
  if (group.size() <= root.size()) return {};
  return group.substr(0, group.rfind('/'));
}

Hierarchy FindV2(const std::string& mount, const std::string& self_cgroup) {
  for (const std::string& root : {mount, mount + "/unified"}) {
    if (PathExists(root + "/cgroup.controllers")) return Locate(root, OwnPath(self_cgroup, ""));
  }
  return {};
}

Hierarchy FindV1(const std::string& mount, const std::string& self_cgroup, std::string_view controller) {
  std::string root = mount + "/" + std::string(controller);
  if (!PathExists(root + "/cgroup.procs")) return {};
  return Locate(std::move(root), OwnPath(self_cgroup, controller));
}

std::optional<std::uint64_t> ReadNumber(const std::string& path) {
  const auto text = ReadSmallFile(path);
  if (!text) return std::nullopt;
  const auto words = Words(*text);
  return words.empty() ? std::nullopt : ParseUnsigned(words.front());
}

std::optional<std::uint64_t> ReadKey(const std::string& path, std::string_view key) {
  const auto text = ReadSmallFile(path);
  if (!text) return std::nullopt;
  for (const std::string_view line : SplitLines(*text)) {
    const auto words = Words(line);
    if (words.size() == 2 && words[0] == key) return ParseUnsigned(words[1]);
  }
  return std::nullopt;
}

bool HasWord(const std::string& path, std::string_view word) {
  const auto text = ReadSmallFile(path);
  if (!text) return false;
  const auto words = Words(*text);
  return std::ranges::find(words, word) != words.end();
}

bool PathExists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::optional<double> CpuQuota(const std::string& mount, const std::string& self_cgroup) {
  std::optional<double> least;
  const auto consider = [&](std::optional<std::uint64_t> quota, std::optional<std::uint64_t> period) {
    if (!quota || !period || *period == 0) return;
    const double processors = static_cast<double>(*quota) / static_cast<double>(*period);
    least = least ? std::min(*least, processors) : processors;
  };
  const Hierarchy v1 = FindV1(mount, self_cgroup, "cpu");
  for (std::string group = v1.own; !group.empty(); group = v1.Above(group)) {
    // "-1", which is not an unsigned number, is no quota.
    consider(ReadNumber(group + "/cpu.cfs_quota_us"), ReadNumber(group + "/cpu.cfs_period_us"));
  }
  const Hierarchy v2 = FindV2(mount, self_cgroup);
  for (std::string group = v2.own; !group.empty(); group = v2.Above(group)) {
    const auto text = ReadSmallFile(group + "/cpu.max");
    if (!text) continue;
    const auto words = Words(*text);
    if (words.size() == 2) consider(ParseUnsigned(words[0]), ParseUnsigned(words[1]));
  }
  return least;
}

}  // namespace weir::os
