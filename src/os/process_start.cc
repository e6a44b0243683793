#include "os/process_start.h"

#include <fcntl.h>

#include <cerrno>
#include <csignal>

namespace weir::os {

Status FillStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    // The lowest free number is taken, and all below are open by now.
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF && ::open("/dev/null", O_RDWR) < 0) {
      return Fail(SystemError("cannot open /dev/null", errno));
    }
  }
  return {};
}

std::vector<int> NotIgnored(const std::vector<int>& signals) {
  std::vector<int> heard;
  for (const int signal : signals) {
    struct sigaction inherited{};
    if (::sigaction(signal, nullptr, &inherited) != 0 || inherited.sa_handler != SIG_IGN) {
      heard.push_back(signal);
    }
  }
  return heard;
}

void Ignore(const std::vector<int>& signals) {
  for (const int signal : signals) {
    struct sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    static_cast<void>(::sigaction(signal, &ignore, nullptr));
  }
}

void Block(const std::vector<int>& signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) {
    ::sigaddset(&set, signal);
  }
  static_cast<void>(::pthread_sigmask(SIG_BLOCK, &set, nullptr));
}

}  // namespace weir::os
