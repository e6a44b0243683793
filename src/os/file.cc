#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/id.h"
#include "base/text.h"

namespace weir::os {
namespace {

constexpr int kDeepestTree = 64;

// A name with a NUL byte would be cut by the kernel interface and mean another file.
bool HasNul(std::string_view name) { return name.find('\0') != std::string_view::npos; }

template <typename Call>
auto Retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int OpenRetry(int folder, const char* name, int flags, mode_t mode = 0) {
  return Retry([&] { return ::openat(folder, name, flags | O_CLOEXEC, mode); });
}

int OpenBeneath(int root, const char* name, int flags) {
  open_how how{};
  how.flags = static_cast<decltype(how.flags)>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed somewhere while ".." in a link was followed, so the kernel will not vouch for it.
  for (int round = 0;; ++round) {
    const long fd = Retry([&] { return ::syscall(SYS_openat2, root, name, &how, sizeof(how)); });
    if (fd >= 0 || errno != EAGAIN || round == 1000) return static_cast<int>(fd);
    ::sched_yield();
  }
}

// Without a name that the kernel would cut: ENOENT.
int OpenPlace(const Place& place, int flags) {
  if (HasNul(place.path)) {
    errno = ENOENT;
    return -1;
  }
  if (place.root < 0) return OpenRetry(AT_FDCWD, place.path.c_str(), flags);
  return OpenBeneath(place.root, place.path.c_str(), flags);
}

Error Forbidden(const std::string& path) {
  return {.code = ErrorCode::kForbidden,
          .detail = Quoted(path) + " leads out of the folder that it must stay in; name a file below it"};
}

FileIdentity IdentityOf(const struct stat& info) {
  return {.device = static_cast<std::uint64_t>(info.st_dev), .inode = static_cast<std::uint64_t>(info.st_ino)};
}

Error InputError(const std::string& path, int error) {
  const std::string name = Quoted(path);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return {.code = ErrorCode::kInputMissing,
              .detail = "there is no file " + name + "; check the name and the folder"};
    case EACCES:
    case EPERM:
      return {.code = ErrorCode::kInputUnreadable,
              .detail = "no permission to read " + name + "; change its permissions or run as its owner"};
    case ENXIO:
      return {.code = ErrorCode::kInputNotAFile, .detail = name + " is not a regular file; give a media file"};
    case ELOOP:
    case EIO:
      return SystemError("cannot read " + name, error, ErrorCode::kInputUnreadable);
    default:
      return SystemError("cannot open " + name, error);
  }
}

Error NotAFile(const std::string& path, mode_t mode) {
  const char* kind = S_ISDIR(mode)    ? "a folder"
                     : S_ISFIFO(mode) ? "a pipe"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "a device";
  return {.code = ErrorCode::kInputNotAFile, .detail = Quoted(path) + " is " + kind + "; give a media file"};
}

Error WriteError(const std::string& what, int error) {
  Error result = SystemError(what, error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      result.code = ErrorCode::kDiskFull;
      result.detail += "; free some disk space or choose another folder";
      break;
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
      result.code = ErrorCode::kOutputUnwritable;
      result.detail += "; choose a place that you may write to";
      break;
    case EEXIST:
      result.code = ErrorCode::kOutputExists;
      break;
    default:
      break;
  }
  return result;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// A listing of its own, so that the position of the caller's descriptor does not move.
Directory OpenListing(int folder, const char* name) {
  const int fd = OpenRetry(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) return nullptr;
  DIR* directory = ::fdopendir(fd);
  if (directory == nullptr) ::close(fd);
  return Directory(directory);
}

bool IsDots(std::string_view name) { return name == "." || name == ".."; }

Status RemoveEntry(int folder, const std::string& name, int depth) {
  // A writer may still be at work below: a few rounds, then say so.
  for (int round = 0; round < 8; ++round) {
    if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM)
      return std::unexpected(SystemError("cannot remove " + Quoted(name), errno));
    if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) {
      return std::unexpected(SystemError("cannot remove " + Quoted(name), errno));
    }
    if (depth == 0)
      return Fail(ErrorCode::kSystem, "cannot remove " + Quoted(name) + ": too many folders inside each other");
    Directory listing = OpenListing(folder, name.c_str());
    if (!listing && errno == EACCES && ::fchmodat(folder, name.c_str(), 0700, 0) == 0) {
      listing = OpenListing(folder, name.c_str());
    }
    if (!listing) {
      if (errno == ENOENT) return {};
      return std::unexpected(SystemError("cannot list " + Quoted(name), errno));
    }
    const int inside = ::dirfd(listing.get());
    while (const dirent* entry = ::readdir(listing.get())) {
      if (!IsDots(entry->d_name)) WEIR_TRY(RemoveEntry(inside, entry->d_name, depth - 1));
    }
  }
  return Fail(ErrorCode::kSystem, "cannot remove " + Quoted(name) + ": it keeps filling up");
}

void AddDiskUse(int folder, const char* name, int depth, std::size_t& left, Bytes& total) {
  const Directory listing = OpenListing(folder, name);
  if (!listing) return;
  const int inside = ::dirfd(listing.get());
  while (left > 0) {
    const dirent* entry = ::readdir(listing.get());
    if (entry == nullptr) return;
    if (IsDots(entry->d_name)) continue;
    --left;
    struct stat info{};
    if (::fstatat(inside, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    total += Bytes(static_cast<std::uint64_t>(info.st_blocks) * 512);
    if (S_ISDIR(info.st_mode) && depth > 0) AddDiskUse(inside, entry->d_name, depth - 1, left, total);
  }
}

Result<std::string> ReadUpTo(int fd, std::optional<std::uint64_t> offset, Bytes limit) {
  std::string text;
  const auto most = static_cast<std::size_t>(limit.count());
  while (text.size() < most) {
    const std::size_t had = text.size();
    const std::size_t step = std::min<std::size_t>(most - had, 16384);
    text.resize(had + step);
    const ssize_t got = Retry([&] {
      return offset ? ::pread(fd, text.data() + had, step, static_cast<off_t>(*offset + had))
                    : ::read(fd, text.data() + had, step);
    });
    if (got < 0) return std::unexpected(SystemError("cannot read", errno, ErrorCode::kInputUnreadable));
    text.resize(had + static_cast<std::size_t>(got));
    if (got == 0) break;
  }
  return text;
}

Result<std::string> ReadSmall(int folder, const std::string& name, Bytes limit) {
  if (HasNul(name)) return std::unexpected(InputError(name, ENOENT));
  const UniqueFd fd(OpenRetry(folder, name.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK));
  if (!fd) return std::unexpected(InputError(name, errno));
  auto text = ReadUpTo(fd.get(), std::nullopt, limit);
  if (!text) {
    return Fail(
        Error{.code = ErrorCode::kInputUnreadable, .detail = "cannot read " + Quoted(name)}.From(text.error()));
  }
  return text;
}

}  // namespace

Status WriteAll(int fd, std::string_view content, const std::string& name) {
  while (!content.empty()) {
    const ssize_t put = Retry([&] { return ::write(fd, content.data(), content.size()); });
    if (put < 0) return std::unexpected(WriteError("cannot write " + Quoted(name), errno));
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Status CheckBeneath(int root) {
  const UniqueFd fd(OpenBeneath(root, ".", O_PATH | O_DIRECTORY));
  if (fd) return {};
  const int error = errno;
  if (error != ENOSYS && error != EPERM) {
    return std::unexpected(SystemError("cannot open the folder " + Quoted(PathOf(root)), error));
  }
  return std::unexpected(
      SystemError("cannot keep names beneath a folder: Linux 5.6 or later is needed, with the call "
                  "openat2 permitted",
                  error));
}

Result<std::optional<Entry>> LookUp(const Place& place) {
  const UniqueFd fd(OpenPlace(place, O_PATH));
  struct stat info{};
  if (fd && ::fstat(fd.get(), &info) == 0) {
    return Entry{.identity = IdentityOf(info), .is_folder = S_ISDIR(info.st_mode)};
  }
  if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return std::nullopt;
  if (errno == EXDEV) return Fail(Forbidden(place.shown));
  return Fail(InputError(place.shown, errno));
}

Result<InputFile> OpenInput(const Place& place) {
  const std::string& path = place.shown;
  // Looked at before opening, because opening a device can have effects; and what was looked at is what is opened.
  const UniqueFd seen(OpenPlace(place, O_PATH));
  if (!seen) return Fail(errno == EXDEV ? Forbidden(path) : InputError(path, errno));
  struct stat info{};
  if (::fstat(seen.get(), &info) != 0) return std::unexpected(InputError(path, errno));
  if (!S_ISREG(info.st_mode)) return std::unexpected(NotAFile(path, info.st_mode));
  const std::string name = "/proc/self/fd/" + std::to_string(seen.get());
  UniqueFd fd(OpenRetry(AT_FDCWD, name.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK));
  if (!fd && errno == ENOENT)
    return std::unexpected(SystemError("cannot open " + Quoted(path) + " through /proc", errno));
  if (!fd) return std::unexpected(InputError(path, errno));
  if (::fstat(fd.get(), &info) != 0) return std::unexpected(InputError(path, errno));
  if (info.st_size == 0)
    return Fail(ErrorCode::kInputEmpty, Quoted(path) + " is empty (0 bytes); copy or record it again");
  ::fcntl(fd.get(), F_SETFL, O_RDONLY);
  return InputFile{
      .fd = std::move(fd), .identity = IdentityOf(info), .size = Bytes(static_cast<std::uint64_t>(info.st_size))};
}

Result<UniqueFd> OpenFolder(const Place& place, Access access) {
  const std::string name = Quoted(place.shown);
  UniqueFd fd(OpenPlace(place, O_RDONLY | O_DIRECTORY));
  if (!fd) {
    switch (errno) {
      case EXDEV:
        return Fail(Forbidden(place.shown));
      case ENOENT:
        return Fail(ErrorCode::kOutputFolder, "there is no folder " + name + "; make it first");
      case ENOTDIR:
        return Fail(ErrorCode::kOutputFolder, name + " is not a folder; choose an existing folder");
      case EACCES:
      case EPERM:
        return Fail(ErrorCode::kOutputUnwritable, "no permission to use the folder " + name + "; choose another");
      case EMFILE:
      case ENFILE:
      case ENOMEM:
        return std::unexpected(SystemError("cannot open the folder " + name, errno));
      default:
        return std::unexpected(SystemError("cannot open the folder " + name, errno, ErrorCode::kOutputFolder));
    }
  }
  if (access == Access::kWrite && ::faccessat(fd.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    if (errno == EROFS) {
      return Fail(ErrorCode::kOutputUnwritable,
                  "the folder " + name + " is on a read-only file system; mount it writable or choose another");
    }
    return Fail(ErrorCode::kOutputUnwritable, "no permission to write to the folder " + name + "; choose another");
  }
  return fd;
}

Result<FileIdentity> Identify(int folder, const std::string& name) {
  struct stat info{};
  if (HasNul(name) || ::fstatat(folder, name.c_str(), &info, 0) != 0) {
    return std::unexpected(InputError(name, HasNul(name) ? ENOENT : errno));
  }
  return IdentityOf(info);
}

bool EntryExists(int folder, const std::string& name) {
  struct stat info{};
  return !HasNul(name) && ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string folder = ".";
  std::string name = path;
  if (slash != std::string::npos) {
    folder = path.substr(0, slash == 0 ? 1 : slash);
    name = path.substr(slash + 1);
  }
  if (IsDots(name)) return {path, ""};
  return {std::move(folder), std::move(name)};
}

std::string PathOf(int fd) {
  std::string target(4096, '\0');
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
  if (size <= 0 || static_cast<std::size_t>(size) == target.size() || target.front() != '/') return {};
  target.resize(static_cast<std::size_t>(size));
  return target;
}

Status MakeFolder(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0700) == 0) return {};
  return std::unexpected(WriteError("cannot make the folder " + Quoted(name), errno));
}

Result<UniqueFd> OpenAt(int folder, const std::string& name, int flags, unsigned mode) {
  UniqueFd fd(OpenRetry(folder, name.c_str(), flags | O_NOFOLLOW | O_NOCTTY, static_cast<mode_t>(mode)));
  if (fd) return fd;
  const int error = errno;
  if ((flags & O_ACCMODE) == O_RDONLY) return std::unexpected(InputError(name, error));
  return std::unexpected(WriteError("cannot open " + Quoted(name), error));
}

Status RemoveTree(int folder, const std::string& name) {
  if (name.empty() || IsDots(name) || HasNul(name) || name.find('/') != std::string::npos) {
    return Fail(ErrorCode::kInternal, "not the name of one entry: " + Quoted(name));
  }
  return RemoveEntry(folder, name, kDeepestTree);
}

Result<std::vector<std::string>> ListFolder(int folder, std::size_t limit) {
  const Directory listing = OpenListing(folder, ".");
  if (!listing) return std::unexpected(SystemError("cannot list " + Quoted(PathOf(folder)), errno));
  std::vector<std::string> names;
  while (names.size() < limit) {
    errno = 0;
    const dirent* entry = ::readdir(listing.get());
    if (entry == nullptr) {
      if (errno != 0) return std::unexpected(SystemError("cannot list " + Quoted(PathOf(folder)), errno));
      break;
    }
    if (!IsDots(entry->d_name)) names.emplace_back(entry->d_name);
  }
  return names;
}

Bytes DiskUse(int folder, std::size_t limit) {
  Bytes total;
  AddDiskUse(folder, ".", kDeepestTree, limit, total);
  return total;
}

Result<bool> TryLock(int fd) {
  if (Retry([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return std::unexpected(SystemError("cannot lock " + Quoted(PathOf(fd)), errno));
}

Status Sync(int fd) {
  // EINVAL: this kind of file cannot be synchronised, so there is nothing to lose either.
  if (Retry([&] { return ::fsync(fd); }) == 0 || errno == EINVAL) return {};
  const int error = errno;
  const std::string what = "cannot write " + Quoted(PathOf(fd)) + " to disk";
  if (error == ENOSPC || error == EDQUOT) return std::unexpected(WriteError(what, error));
  return std::unexpected(SystemError(what, error));
}

Status Rename(int from_folder, const std::string& from, int to_folder, const std::string& to, Replace replace) {
  const auto fail = [&](int error) -> Status {
    if (error == EEXIST && replace == Replace::kNo) {
      return Fail(ErrorCode::kOutputExists, Quoted(to) + " already exists; choose another name or allow overwriting");
    }
    return std::unexpected(WriteError("cannot rename " + Quoted(from) + " to " + Quoted(to), error));
  };
  if (replace == Replace::kYes) {
    if (::renameat(from_folder, from.c_str(), to_folder, to.c_str()) == 0) return {};
    return fail(errno);
  }
  if (::renameat2(from_folder, from.c_str(), to_folder, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return fail(errno);
  // File systems without that flag: a second name that must not exist yet, then away with the first.
  if (::linkat(from_folder, from.c_str(), to_folder, to.c_str(), 0) == 0) {
    // The file is there under its new name; one that cannot lose its old name too has not failed.
    ::unlinkat(from_folder, from.c_str(), 0);
    return {};
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) return fail(errno);
  // Nor hard links: claim the name with an empty file, then replace the claim. Looking first and renaming then
  // would leave no empty file to whoever is killed in between, but could replace a file of somebody else.
  const UniqueFd claim(OpenRetry(to_folder, to.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  if (!claim) return fail(errno);
  if (::renameat(from_folder, from.c_str(), to_folder, to.c_str()) == 0) return {};
  const int error = errno;
  ::unlinkat(to_folder, to.c_str(), 0);
  return fail(error);
}

Status WriteFileAtomically(int folder, const std::string& name, std::string_view content) {
  const std::string temporary = ".new-" + NewId();
  const auto write = [&]() -> Status {
    const UniqueFd fd(OpenRetry(folder, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (!fd) return std::unexpected(WriteError("cannot write " + Quoted(name), errno));
    WEIR_TRY(WriteAll(fd.get(), content, name));
    WEIR_TRY(Sync(fd.get()));
    return Rename(folder, temporary, folder, name, Replace::kYes);
  };
  if (Status status = write(); !status) {
    ::unlinkat(folder, temporary.c_str(), 0);
    return status;
  }
  return Sync(folder);
}

Result<std::string> ReadSmallFile(const std::string& path, Bytes limit) { return ReadSmall(AT_FDCWD, path, limit); }

Result<std::string> ReadSmallFileAt(int folder, const std::string& name, Bytes limit) {
  return ReadSmall(folder, name, limit);
}

Result<std::string> ReadPrefix(int fd, std::uint64_t offset, Bytes limit) { return ReadUpTo(fd, offset, limit); }

Result<std::size_t> ReadAt(int fd, std::uint64_t offset, std::span<char> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        Retry([&] { return ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done)); });
    if (got < 0) return std::unexpected(SystemError("cannot read a file", errno, ErrorCode::kInputUnreadable));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<Bytes> FreeDisk(int fd) {
  struct statvfs info{};
  if (::fstatvfs(fd, &info) != 0) {
    return std::unexpected(SystemError("cannot tell the free space of " + Quoted(PathOf(fd)), errno));
  }
  return Bytes(static_cast<std::uint64_t>(info.f_bavail) * static_cast<std::uint64_t>(info.f_frsize));
}

bool LiesInMemory(int fd) {
  struct statfs info{};
  return ::fstatfs(fd, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

Result<UniqueFd> EnsureFolder(const std::string& path) {
  if (HasNul(path)) return Fail(ErrorCode::kOutputFolder, "a folder name with a NUL byte: " + Quoted(path));
  for (std::size_t slash = 0; slash != std::string::npos && !path.empty();) {
    slash = path.find('/', slash + 1);
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int error = errno;
    // A folder that exists may be closed to us or on a read-only file system, and its inside be ours all the same.
    struct stat info{};
    if (::stat(part.c_str(), &info) == 0) continue;
    const std::string what = "cannot make the folder " + Quoted(part);
    if (error == ENOTDIR || error == ENOENT || error == ELOOP) {
      return std::unexpected(SystemError(what, error, ErrorCode::kOutputFolder));
    }
    return std::unexpected(WriteError(what, error));
  }
  return OpenFolder(path, Access::kWrite);
}

}  // namespace weir::os
