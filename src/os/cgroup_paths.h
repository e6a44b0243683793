// Where this process is in the control group trees, and small reads and writes of their files.
// Shared by cgroup.cc and proc.cc. Not for other rooms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weir::os {

// One hierarchy as seen from here. Paths without a slash at the end.
struct Hierarchy {
  std::string root;  // where it is mounted; empty: there is none
  std::string own;   // our own group; the root when our path does not exist below it, as in containers

  [[nodiscard]] bool present() const { return !root.empty(); }
  // The group above; empty above the root.
  [[nodiscard]] std::string Above(const std::string& group) const;
};

// The cgroup2 hierarchy: `mount` itself, or `mount`/unified on hybrid machines.
Hierarchy FindV2(const std::string& mount, const std::string& self_cgroup);
// The v1 hierarchy of one controller.
Hierarchy FindV1(const std::string& mount, const std::string& self_cgroup, std::string_view controller);

// A control file's first number; nullopt when it is absent or not a number ("max").
std::optional<std::uint64_t> ReadNumber(const std::string& path);
// The number after `key` in a file of "key number" lines.
std::optional<std::uint64_t> ReadKey(const std::string& path, std::string_view key);
// True when `word` is among the words of the file.
bool HasWord(const std::string& path, std::string_view word);
bool PathExists(const std::string& path);

// Processors' worth of time that the groups around us allow, as a fraction; nullopt without a quota.
std::optional<double> CpuQuota(const std::string& mount, const std::string& self_cgroup);

}  // namespace weir::os
