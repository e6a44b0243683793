#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "os/landlock_abi.h"
#include "os/sandbox.h"

namespace weir::os {
namespace {

// Newer than the header of Debian 12; values of the kernel's stable interface.
constexpr std::uint64_t kRefer = 1ULL << 13U;         // ABI 2
constexpr std::uint64_t kTruncate = 1ULL << 14U;      // ABI 3
constexpr std::uint64_t kDeviceIoctl = 1ULL << 15U;   // ABI 5
constexpr std::uint64_t kTcpBindAndConnect = 3;       // ABI 4
constexpr std::uint64_t kScopeSocketsAndSignals = 3;  // ABI 6

struct RulesetAttributes {
  std::uint64_t handled_files = 0;
  std::uint64_t handled_network = 0;
  std::uint64_t scoped = 0;
};

std::uint64_t FileRights(int abi) {
  std::uint64_t rights = (1ULL << 13U) - 1;
  if (abi >= 2) rights |= kRefer;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kDeviceIoctl;
  return rights;
}

std::uint64_t RightsOf(FileRule::Allow allow) {
  constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  switch (allow) {
    case FileRule::Allow::kRead:
      return kRead;
    case FileRule::Allow::kReadExecute:
      return kRead | LANDLOCK_ACCESS_FS_EXECUTE;
    case FileRule::Allow::kReadWriteBelow:
      return kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
             kTruncate;
  }
  return 0;
}

// The kernel refuses a rule on a file that names rights of folders.
constexpr std::uint64_t kRightsOnFiles = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                         LANDLOCK_ACCESS_FS_READ_FILE | kTruncate | kDeviceIoctl;

Status AddRule(int ruleset, const FileRule& rule, std::uint64_t handled) {
  const std::string name = rule.fd >= 0 ? "descriptor " + std::to_string(rule.fd) : Quoted(rule.path);
  UniqueFd opened;
  int fd = rule.fd;
  if (fd < 0) {
    opened = UniqueFd(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
    if (!opened) {
      // What we cannot reach, the child cannot either: nothing to allow.
      if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP) return {};
      return std::unexpected(SystemError("cannot open " + name + " for the sandbox", errno, ErrorCode::kSandbox));
    }
    fd = opened.get();
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    return std::unexpected(SystemError("cannot examine " + name + " for the sandbox", errno, ErrorCode::kSandbox));
  }
  std::uint64_t rights = RightsOf(rule.allow) & handled;
  if (!S_ISDIR(info.st_mode)) rights &= kRightsOnFiles;
  landlock_path_beneath_attr attributes{};
  attributes.allowed_access = rights;
  attributes.parent_fd = fd;
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attributes, 0) != 0) {
    return std::unexpected(SystemError("cannot allow " + name + " in the sandbox", errno, ErrorCode::kSandbox));
  }
  return {};
}

}  // namespace

int LandlockAbi() {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

Result<UniqueFd> BuildLandlock(const std::vector<FileRule>& rules) {
  const int abi = LandlockAbi();
  if (abi == 0) return Fail(ErrorCode::kSandbox, "this kernel has no Landlock");
  RulesetAttributes attributes{.handled_files = FileRights(abi)};
  std::size_t size = sizeof(attributes.handled_files);
  if (abi >= 4) {
    attributes.handled_network = kTcpBindAndConnect;
    size += sizeof(attributes.handled_network);
  }
  if (abi >= 6) {
    attributes.scoped = kScopeSocketsAndSignals;
    size += sizeof(attributes.scoped);
  }
  UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) return std::unexpected(SystemError("cannot make a Landlock rule set", errno, ErrorCode::kSandbox));
  for (const FileRule& rule : rules) WEIR_TRY(AddRule(ruleset.get(), rule, attributes.handled_files));
  return ruleset;
}

}  // namespace weir::os
