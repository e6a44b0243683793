#include "os/ownership.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "base/text.h"

namespace weir::os {
namespace {

ErrorCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kDiskFull;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kOutputUnwritable;
    default:
      return ErrorCode::kSystem;
  }
}

Status Fill(int fd, const std::string& name, std::string_view content, Locking locking) {
  const Result<bool> locked = TryLock(fd);
  if (locking == Locking::kRequired) {
    if (!locked) {
      return Fail(locked.error());
    }
    if (!*locked) {
      return Fail(ErrorCode::kSystem, "cannot lock " + Quoted(name) + ": somebody else has");
    }
  }
  WEIR_TRY(WriteAll(fd, content, name));
  return Sync(fd);
}

}  // namespace

std::string UnfinishedName(const std::string& name) { return ".new-" + name; }

namespace {

Result<UniqueFd> TryCreateLockedFile(int folder, const std::string& name, std::string_view content, Locking locking) {
  const std::string unfinished = UnfinishedName(name);
  UniqueFd file(openat(folder, unfinished.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) {
    const int error = errno;
    return Fail(SystemError("cannot make " + Quoted(name), error, CodeOf(error)));
  }
  Status status = Fill(file.get(), name, content, locking);
  if (status) {
    // Replacing is not wanted, but renaming without it is not possible on every file system; names are unique.
    status = Rename(folder, unfinished, folder, name, Replace::kYes);
  }
  if (!status) {
    unlinkat(folder, unfinished.c_str(), 0);
    return Fail(std::move(status).error());
  }
  return file;
}

}  // namespace

Result<UniqueFd> CreateLockedFile(int folder, const std::string& name, std::string_view content, Locking locking) {
  // A sweep may take the unfinished file for a dead one's before it is locked here, and remove it.
  constexpr int kMostTries = 8;
  for (int attempt = 1;; ++attempt) {
    auto file = TryCreateLockedFile(folder, name, content, locking);
    if (file || attempt == kMostTries || file.error().code != ErrorCode::kSystem) {
      return file;
    }
  }
}

bool IsStill(int folder, const std::string& name, int fd) {
  struct stat named{};
  struct stat opened{};
  return fstatat(folder, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

bool IsRegularFile(int fd) {
  struct stat facts{};
  return fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

FileIdentity IdentityOf(int fd) {
  struct stat facts{};
  if (fstat(fd, &facts) != 0) {
    return {};
  }
  return {.device = facts.st_dev, .inode = facts.st_ino};
}

Bytes SizeOf(int fd) {
  struct stat facts{};
  return fstat(fd, &facts) == 0 ? Bytes(static_cast<std::uint64_t>(facts.st_size)) : Bytes();
}

std::optional<FileVersion> SettledVersionOf(int fd) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  struct stat facts{};
  timespec now{};
  if (fstat(fd, &facts) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) {
    return std::nullopt;
  }
  const auto nanoseconds = [](const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; };
  const FileVersion version{.file = {.device = facts.st_dev, .inode = facts.st_ino},
                            .size = Bytes(static_cast<std::uint64_t>(facts.st_size)),
                            .modified_ns = nanoseconds(facts.st_mtim),
                            .changed_ns = nanoseconds(facts.st_ctim)};
  if (nanoseconds(now) - std::max(version.modified_ns, version.changed_ns) < 2 * kSecond) {
    return std::nullopt;
  }
  return version;
}

std::chrono::seconds AgeOf(int fd) {
  struct stat facts{};
  if (fstat(fd, &facts) != 0) {
    return std::chrono::seconds(0);
  }
  const std::time_t now = std::time(nullptr);
  return std::chrono::seconds(now > facts.st_mtim.tv_sec ? now - facts.st_mtim.tv_sec : 0);
}

Status CheckFolder(int folder, Trust trust) {
  struct stat facts{};
  if (fstat(folder, &facts) != 0) {
    const int error = errno;
    return Fail(SystemError("cannot look at a folder", error));
  }
  const auto refuse = [&](const char* why) {
    return Fail(ErrorCode::kOutputUnwritable, "refusing to use " + Quoted(PathOf(folder)) + ": " + why);
  };
  if (!S_ISDIR(facts.st_mode)) {
    return refuse("it is not a folder");
  }
  if ((facts.st_mode & S_IWOTH) != 0) {
    return refuse("everybody may write to it");
  }
  if (trust == Trust::kOnlyUs) {
    if (facts.st_uid != geteuid()) {
      return refuse("it belongs to another user");
    }
    if ((facts.st_mode & S_IWGRP) != 0) {
      return refuse("its group may write to it");
    }
  }
  return {};
}

unsigned CurrentUser() { return geteuid(); }
int CurrentProcess() { return getpid(); }

Result<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) {
    const int error = errno;
    return Fail(SystemError("cannot duplicate a descriptor", error));
  }
  return copy;
}

Status RemoveEmptyFolder(int parent, const std::string& name) {
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    const int error = errno;
    return Fail(SystemError("cannot remove the folder " + Quoted(name), error, CodeOf(error)));
  }
  return {};
}

}  // namespace weir::os
