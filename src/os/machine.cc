#include "os/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "os/cgroup_paths.h"
#include "os/file.h"

namespace weir::os {
namespace {

using std::chrono::microseconds;

// v1 shows "no limit" as a number near 2^63.
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 60U;
// The kernel's grid for those without CAP_SYS_RESOURCE.
constexpr microseconds kPublicWindow = std::chrono::seconds(2);

// The text behind "key=" in "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
std::string_view ValueOf(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(key);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + key.size());
  return line.substr(0, line.find(' '));
}

bool ReadStallLine(std::string_view line, double& percent, microseconds& total) {
  const std::string_view average = ValueOf(line, " avg10=");
  const auto sum = ParseUnsigned(ValueOf(line, " total="));
  const auto [end, error] = std::from_chars(average.data(), average.data() + average.size(), percent);
  if (error != std::errc() || end != average.data() + average.size() || !sum) return false;
  total = microseconds(static_cast<std::int64_t>(*sum));
  return true;
}

// 0, or why not.
int Ask(int fd, StallTrigger::Kind kind, microseconds stall, microseconds window) {
  const std::string request = std::string(kind == StallTrigger::Kind::kSome ? "some " : "full ") +
                              std::to_string(stall.count()) + " " + std::to_string(window.count());
  // With the zero at its end: the kernel wants one.
  return ::write(fd, request.c_str(), request.size() + 1) < 0 ? errno : 0;
}

}  // namespace

MachineMemory ReadMachineMemory(const std::string& proc) {
  MachineMemory memory;
  const auto text = ReadSmallFile(proc + "/meminfo");
  if (!text) return memory;
  const auto read = [&](std::string_view key, std::optional<Bytes>& into) {
    for (const std::string_view line : SplitLines(*text)) {
      if (!line.starts_with(key)) continue;
      const std::string_view rest = Trim(line.substr(key.size()));
      if (const auto kib = ParseUnsigned(rest.substr(0, rest.find(' ')))) into = Bytes::Kib(*kib);
      return;
    }
  };
  read("MemTotal:", memory.total);
  read("MemAvailable:", memory.available);
  read("SwapTotal:", memory.swap_total);
  read("SwapFree:", memory.swap_free);
  return memory;
}

std::optional<Stall> ReadStall(const std::string& path) {
  const auto text = ReadSmallFile(path);
  if (!text) return std::nullopt;
  Stall stall;
  bool some = false;
  bool full = false;
  for (const std::string_view line : SplitLines(*text)) {
    if (line.starts_with("some ")) some = ReadStallLine(line, stall.some_percent, stall.some_total);
    if (line.starts_with("full ")) full = ReadStallLine(line, stall.full_percent, stall.full_total);
  }
  return some && full ? std::optional(stall) : std::nullopt;
}

Result<StallTrigger> StallTrigger::Open(const std::string& path, Kind kind, microseconds stall, microseconds window) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return std::unexpected(SystemError("cannot ask for news of " + Quoted(path), errno));
  int error = Ask(fd.get(), kind, stall, window);
  if ((error == EINVAL || error == EPERM) && window.count() % kPublicWindow.count() != 0) {
    const auto longer = kPublicWindow * (window.count() / kPublicWindow.count() + 1);
    error = Ask(fd.get(), kind, stall * longer.count() / window.count(), longer);
  }
  if (error != 0) return std::unexpected(SystemError("the kernel sends no news of " + Quoted(path), error));
  return StallTrigger(std::move(fd));
}

bool StallTrigger::Gone() const {
  pollfd waiting{fd_.get(), 0, 0};
  return ::poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLERR) != 0;
}

std::optional<GroupMemory> ReadGroupMemory(const std::string& group) {
  const bool v2 = PathExists(group + "/memory.current");
  const auto now = ReadNumber(group + (v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  if (!now) return std::nullopt;
  GroupMemory memory{.now = Bytes(*now)};
  const auto limit = ReadNumber(group + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (limit && *limit < kUnlimited) memory.limit = Bytes(*limit);
  if (const auto peak = ReadNumber(group + (v2 ? "/memory.peak" : "/memory.max_usage_in_bytes"))) {
    memory.peak = Bytes(*peak);
  }
  const std::string stat = group + "/memory.stat";
  memory.on_tmpfs = Bytes(ReadKey(stat, v2 ? "shmem" : "total_shmem").value_or(0));
  // The kernel counts files on tmpfs as files, too.
  memory.page_cache = Bytes(ReadKey(stat, v2 ? "file" : "total_cache").value_or(0)) - memory.on_tmpfs;
  memory.oom_kills = ReadKey(group + (v2 ? "/memory.events" : "/memory.oom_control"), "oom_kill").value_or(0);
  return memory;
}

}  // namespace weir::os
