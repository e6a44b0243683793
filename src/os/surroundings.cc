#include "os/surroundings.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/id.h"
#include "base/text.h"
#include "os/file.h"

namespace weir::os {
namespace {

// The file itself behind any links, also when it does not exist yet.
std::string Target(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    return path;
  }
  std::string target(resolved);
  std::free(resolved);  // NOLINT(cppcoreguidelines-no-malloc,cppcoreguidelines-owning-memory): realpath's contract
  return target;
}

}  // namespace

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

void Forget(const std::string& variable) { static_cast<void>(::unsetenv(variable.c_str())); }

int ProcessId() { return ::getpid(); }

Result<std::string> RandomBytes(std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::getrandom(bytes.data() + have, size - have, 0);
    if (got < 0 && errno != EINTR) {
      return Fail(SystemError("the kernel gives no random bytes", errno));
    }
    have += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  }
  return bytes;
}

Status SendDatagram(const std::string& address, std::string_view text) {
  struct sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const bool in_file_system = address.starts_with('/');
  if ((!in_file_system && !address.starts_with('@')) || address.size() < 2 ||
      address.size() >= sizeof(name.sun_path)) {
    return Fail(ErrorCode::kBadParameters, Quoted(address) + " is not the address of a Unix socket");
  }
  std::ranges::copy(address, std::begin(name.sun_path));
  if (!in_file_system) {
    name.sun_path[0] = '\0';
  }
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) {
    return Fail(SystemError("cannot make a socket", errno));
  }
  const auto size =
      static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + address.size() + (in_file_system ? 1 : 0));
  ssize_t sent = 0;
  do {
    sent = ::sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                    reinterpret_cast<const struct sockaddr*>(&name), size);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    return Fail(SystemError("cannot send to " + Quoted(address), errno));
  }
  return {};
}

Result<UniqueFd> AdoptListener(int fd) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    return Fail(ErrorCode::kBadParameters,
                "the inherited descriptor " + std::to_string(fd) + " is not a socket that listens");
  }
  UniqueFd adopted(fd);
  const int flags = ::fcntl(fd, F_GETFL);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return Fail(SystemError("cannot take over the inherited descriptor " + std::to_string(fd), errno));
  }
  return adopted;
}

Status ReplaceFile(const std::string& path, std::string_view content, bool readable_by_all) {
  const auto place = SplitPath(Target(path));
  const std::string& name = place.second;
  WEIR_ASSIGN(const UniqueFd folder, OpenFolder(place.first, Access::kWrite));
  struct stat before{};
  const bool exists = ::fstatat(folder.get(), name.c_str(), &before, 0) == 0;
  const std::string temporary = ".new-" + NewId();
  const auto write = [&]() -> Status {
    const UniqueFd fd(
        ::openat(folder.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) {
      return Fail(SystemError("cannot write beside " + Quoted(path), errno, ErrorCode::kOutputUnwritable));
    }
    const mode_t fresh = readable_by_all ? 0644 : 0600;
    // Owner first: changing it may drop permission bits. Without the right to change it the file stays as it was.
    if (exists && (before.st_uid != ::geteuid() || before.st_gid != ::getegid()) &&
        ::fchown(fd.get(), before.st_uid, before.st_gid) != 0) {
      return Fail(SystemError("cannot keep the owner of " + Quoted(path), errno, ErrorCode::kOutputUnwritable));
    }
    if (::fchmod(fd.get(), exists ? before.st_mode & 07777U : fresh) != 0) {
      return Fail(SystemError("cannot set permissions of " + Quoted(path), errno, ErrorCode::kOutputUnwritable));
    }
    WEIR_TRY(WriteAll(fd.get(), content, path));
    WEIR_TRY(Sync(fd.get()));
    return Rename(folder.get(), temporary, folder.get(), name, Replace::kYes);
  };
  if (Status status = write(); !status) {
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    return status;
  }
  return Sync(folder.get());
}

}  // namespace weir::os
