#include "os/program.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace weir::os {
namespace {

bool IsProgram(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::string Resolved(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    return path;
  }
  std::string result(resolved);
  std::free(resolved);  // NOLINT(cppcoreguidelines-no-malloc,cppcoreguidelines-owning-memory): realpath's contract
  return result;
}

Terminal TerminalAt(int fd) {
  Terminal terminal;
  terminal.interactive = ::isatty(fd) == 1;
  struct winsize size{};
  if (terminal.interactive && ::ioctl(fd, TIOCGWINSZ, &size) == 0) {
    terminal.columns = size.ws_col > 0 ? size.ws_col : terminal.columns;
    terminal.rows = size.ws_row > 0 ? size.ws_row : terminal.rows;
  }
  return terminal;
}

}  // namespace

Result<std::string> FindProgram(const std::string& name_or_path) {
  if (name_or_path.find('/') != std::string::npos) {
    if (IsProgram(name_or_path)) {
      return Resolved(name_or_path);
    }
    return Fail(ErrorCode::kToolMissing,
                Quoted(name_or_path) + " is not a program that can be run here; give the path of one");
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const std::size_t colon = rest.find(':');
    const std::string folder(rest.substr(0, colon));
    // An empty or relative entry would run whatever lies in the current folder.
    if (!folder.empty() && folder.front() == '/') {
      const std::string candidate = folder + "/" + name_or_path;
      if (IsProgram(candidate)) {
        return Resolved(candidate);
      }
    }
    if (colon == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(colon + 1);
  }
  return Fail(ErrorCode::kToolMissing,
              name_or_path + " was not found in PATH; install it (Debian: apt install ffmpeg) or name it with --" +
                  name_or_path);
}

Result<std::string> ProgramFileStamp(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return Fail(SystemError("cannot look at the program " + Quoted(path), errno, ErrorCode::kToolMissing));
  }
  const auto number = [](auto value) { return std::to_string(value) + ":"; };
  return path + ":" + number(status.st_dev) + number(status.st_ino) + number(status.st_size) +
         number(status.st_mtim.tv_sec) + number(status.st_mtim.tv_nsec);
}

Result<std::string> ProgramStamp(const std::string& path) {
  WEIR_ASSIGN(const std::string file, ProgramFileStamp(path));
  struct stat libraries{};
  const bool have_libraries = ::stat("/etc/ld.so.cache", &libraries) == 0;
  struct utsname kernel{};
  ::uname(&kernel);
  return file + std::to_string(have_libraries ? libraries.st_mtim.tv_sec : 0) + ":" +
         static_cast<const char*>(kernel.release);
}

std::string OwnFolderOf(const std::string& program) {
  const std::size_t slash = program.rfind('/');
  if (slash == std::string::npos || slash == 0) {
    return {};
  }
  std::string folder = program.substr(0, slash);
  const char* home = std::getenv("HOME");
  if ((home != nullptr && Resolved(home) == folder) || folder == "/tmp" || folder == "/var/tmp" ||
      folder == "/root" || folder == "/home") {
    return {};
  }
  return folder;
}

Terminal StandardError() { return TerminalAt(STDERR_FILENO); }
Terminal StandardOutput() { return TerminalAt(STDOUT_FILENO); }

}  // namespace weir::os
