#include "os/proc.h"

#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_map>

#include "base/text.h"
#include "os/cgroup_paths.h"
#include "os/file.h"

namespace weir::os {
namespace {

std::string PathIn(const std::string& proc, pid_t pid, const char* name) {
  return proc + "/" + std::to_string(pid) + "/" + name;
}

std::vector<std::string_view> Fields(std::string_view text) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t start = text.find_first_not_of(" \t\n");
    if (start == std::string_view::npos) return fields;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    fields.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets: [0] is the state.
std::optional<std::string> StatAfterName(pid_t pid, const std::string& proc) {
  auto text = ReadSmallFile(PathIn(proc, pid, "stat"));
  if (!text) return std::nullopt;
  const std::size_t bracket = text->rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  return text->substr(bracket + 1);
}

std::optional<std::uint64_t> NumberField(std::string_view text, std::string_view key) {
  for (const std::string_view line : SplitLines(text)) {
    if (!line.starts_with(key)) continue;
    const auto fields = Fields(line.substr(key.size()));
    if (!fields.empty()) return ParseUnsigned(fields.front());
  }
  return std::nullopt;
}

// Appends the children of every thread of `pid`. False when the kernel does not list them.
bool AppendChildren(pid_t pid, std::size_t limit, const std::string& proc, std::vector<pid_t>& tree) {
  const std::string tasks = PathIn(proc, pid, "task");
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> listing(::opendir(tasks.c_str()));
  if (!listing) return true;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (!ParseUnsigned(entry->d_name)) continue;
    const std::string path = tasks + "/" + entry->d_name + "/children";
    const auto text = ReadSmallFile(path);
    if (!text) {
      // A thread that just ended, or a kernel without these lists.
      if (PathExists(tasks + "/" + entry->d_name + "/stat") && !PathExists(path)) return false;
      continue;
    }
    for (const std::string_view field : Fields(*text)) {
      const auto child = ParseUnsigned(field);
      if (child && tree.size() < limit) tree.push_back(static_cast<pid_t>(*child));
    }
  }
  return true;
}

std::vector<pid_t> TreeByParents(pid_t root, std::size_t limit, const std::string& proc) {
  std::unordered_multimap<pid_t, pid_t> children;
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> listing(::opendir(proc.c_str()));
  if (listing) {
    while (const dirent* entry = ::readdir(listing.get())) {
      const auto pid = ParseUnsigned(entry->d_name);
      if (!pid) continue;
      const auto stat = StatAfterName(static_cast<pid_t>(*pid), proc);
      if (!stat) continue;
      const auto fields = Fields(*stat);
      const auto parent = fields.size() > 1 ? ParseUnsigned(fields[1]) : std::nullopt;
      if (parent) children.emplace(static_cast<pid_t>(*parent), static_cast<pid_t>(*pid));
    }
  }
  std::vector<pid_t> tree{root};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    const auto [first, last] = children.equal_range(tree[i]);
    for (auto child = first; child != last && tree.size() < limit; ++child) tree.push_back(child->second);
  }
  return tree;
}

bool Alive(pid_t pid, const std::string& proc) {
  const auto stat = StatAfterName(pid, proc);
  if (!stat) return false;
  const auto fields = Fields(*stat);
  return !fields.empty() && fields[0] != "Z" && fields[0] != "X";
}

Bytes PssOrResident(pid_t pid, const std::string& proc) {
  if (const auto pss = ReadPss(pid, proc)) return *pss;
  const auto memory = ReadStatm(pid, proc);
  return memory ? memory->resident : Bytes();
}

}  // namespace

std::optional<ProcessMemory> ReadStatm(pid_t pid, const std::string& proc) {
  const auto text = ReadSmallFile(PathIn(proc, pid, "statm"), Bytes(256));
  if (!text) return std::nullopt;
  const auto fields = Fields(*text);
  if (fields.size() < 3) return std::nullopt;
  const auto resident = ParseUnsigned(fields[1]);
  const auto shared = ParseUnsigned(fields[2]);
  if (!resident || !shared) return std::nullopt;
  // A process that has ended and waits to be reaped shows zeros.
  if (*resident == 0 && fields[0] == "0") return std::nullopt;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return ProcessMemory{.resident = Bytes(*resident * page),
                       .anonymous = Bytes(*resident * page) - Bytes(*shared * page)};
}

std::optional<Bytes> ReadPss(pid_t pid, const std::string& proc) {
  const auto text = ReadSmallFile(PathIn(proc, pid, "smaps_rollup"));
  if (!text) return std::nullopt;
  const auto pss = NumberField(*text, "Pss:");
  return pss ? std::optional(Bytes::Kib(*pss)) : std::nullopt;
}

OwnCounts OwnCountsNow() {
  const auto entries = [](const char* path) -> std::size_t {
    const auto folder = OpenFolder(path, Access::kRead);
    const auto names = folder ? ListFolder(folder->get()) : Fail(folder.error());
    return names ? names->size() : 0;
  };
  // Looking takes two descriptors itself.
  const std::size_t descriptors = entries("/proc/self/fd");
  return {.descriptors = descriptors - std::min<std::size_t>(descriptors, 2), .threads = entries("/proc/self/task")};
}

Bytes HeapInUse() {
  const auto heap = ::mallinfo2();
  return Bytes(heap.uordblks + heap.hblkhd);
}

void TrimHeap() { ::malloc_trim(0); }

Bytes OwnPss(const std::string& proc) { return PssOrResident(::getpid(), proc); }

std::vector<pid_t> Tree(pid_t root, std::size_t limit, const std::string& proc) {
  if (limit == 0 || !Alive(root, proc)) return {};
  std::vector<pid_t> tree{root};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    if (!AppendChildren(tree[i], limit, proc, tree)) {
      tree = TreeByParents(root, limit, proc);
      break;
    }
  }
  std::erase_if(tree, [&](pid_t pid) { return !Alive(pid, proc); });
  return tree;
}

Bytes TreePss(pid_t root, const std::string& proc) {
  Bytes total;
  for (const pid_t pid : Tree(root, 1000, proc)) total += PssOrResident(pid, proc);
  return total;
}

std::optional<Bytes> StorageWritten(pid_t pid, const std::string& proc) {
  const auto text = ReadSmallFile(PathIn(proc, pid, "io"));
  if (!text) return std::nullopt;
  const auto bytes = NumberField(*text, "write_bytes:");
  return bytes ? std::optional(Bytes(*bytes)) : std::nullopt;
}

std::optional<std::uint64_t> CpuTicks(pid_t pid, const std::string& proc) {
  const auto stat = StatAfterName(pid, proc);
  if (!stat) return std::nullopt;
  const auto fields = Fields(*stat);
  // utime and stime are fields 14 and 15 of the whole line, the state is field 3.
  if (fields.size() < 13) return std::nullopt;
  const auto user = ParseUnsigned(fields[11]);
  const auto system = ParseUnsigned(fields[12]);
  if (!user || !system) return std::nullopt;
  static const auto per_second = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  return (*user + *system) * 100 / per_second;
}

Result<Bytes> AvailableMemory(const std::string& proc) {
  WEIR_ASSIGN(const std::string text, ReadSmallFile(proc + "/meminfo"));
  const auto kib = NumberField(text, "MemAvailable:");
  if (!kib) return Fail(ErrorCode::kSystem, proc + "/meminfo does not say how much memory is available");
  return Bytes::Kib(*kib);
}

unsigned UsableCpus() {
  unsigned count = 0;
  // The mask grows until the kernel's fits.
  for (int bits = 1024; bits <= (1 << 16); bits *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(bits));
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(bits));
    const bool fits = mask != nullptr && ::sched_getaffinity(0, size, mask) == 0;
    if (fits) count = static_cast<unsigned>(CPU_COUNT_S(size, mask));
    CPU_FREE(mask);
    if (fits) break;
  }
  if (count == 0) count = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  if (const auto quota = CpuQuota("/sys/fs/cgroup", "/proc/self/cgroup")) {
    count = std::min(count, static_cast<unsigned>(std::clamp(std::ceil(*quota), 1.0, 65536.0)));
  }
  return std::max(1U, count);
}

std::string BootId() {
  const auto text = ReadSmallFile("/proc/sys/kernel/random/boot_id", Bytes(128));
  return text ? std::string(Trim(*text)) : std::string();
}

}  // namespace weir::os
