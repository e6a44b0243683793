#include "os/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace weir::os {
namespace {

// The sockets interface wants its address types behind one pointer type.
template <typename Address>
sockaddr* AsSockaddr(Address& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

Endpoint ToEndpoint(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {.address = text.data(), .port = ntohs(v4.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof(v6));
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    std::string address = text.data();
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) address.erase(0, address.rfind(':') + 1);
    return {.address = std::move(address), .port = ntohs(v6.sin6_port)};
  }
  return {};
}

void SetOption(int fd, int level, int option, int value) { ::setsockopt(fd, level, option, &value, sizeof(value)); }

}  // namespace

Result<UniqueFd> ListenTcp(const std::string& address, std::uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool is_v4 = ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) != 1) {
    return Fail(ErrorCode::kBadParameters, Quoted(address) + " is not an address; give one such as 127.0.0.1 or ::1");
  }
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const std::string what = "cannot listen on " + address + " port " + std::to_string(port);
  UniqueFd fd(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return std::unexpected(SystemError(what, errno));
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (!is_v4) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const int bound =
      is_v4 ? ::bind(fd.get(), AsSockaddr(v4), sizeof(v4)) : ::bind(fd.get(), AsSockaddr(v6), sizeof(v6));
  if (bound != 0 || ::listen(fd.get(), SOMAXCONN) != 0) return std::unexpected(SystemError(what, errno));
  return fd;
}

Result<Endpoint> ListeningEndpoint(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getsockname(fd, AsSockaddr(storage), &size) != 0) {
    return std::unexpected(SystemError("cannot tell the address of a socket", errno));
  }
  int listening = 0;
  socklen_t length = sizeof(listening);
  Endpoint endpoint = ToEndpoint(storage);
  if (endpoint.address.empty() || ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 ||
      listening == 0) {
    return Fail(ErrorCode::kBadParameters, "the socket that was handed over is not a TCP socket that listens");
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return std::unexpected(SystemError("cannot prepare a listening socket", errno));
  }
  return endpoint;
}

Result<std::optional<Connection>> Accept(int listening) {
  for (;;) {
    sockaddr_storage storage{};
    socklen_t size = sizeof(storage);
    UniqueFd fd(::accept4(listening, AsSockaddr(storage), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
      return Connection{.fd = std::move(fd), .remote = ToEndpoint(storage)};
    }
    switch (errno) {
      case EAGAIN:
        return std::nullopt;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return std::unexpected(SystemError("cannot take a connection", errno, ErrorCode::kBusy));
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
      case EOPNOTSUPP:
        return std::unexpected(SystemError("cannot take a connection", errno));
      default:
        continue;  // this one ended before it began; the next one may be fine
    }
  }
}

Peer LookAtPeer(int fd) {
  pollfd state{.fd = fd, .events = POLLRDHUP, .revents = 0};
  if (::poll(&state, 1, 0) < 0) return Peer::kThere;
  const auto seen = static_cast<unsigned>(state.revents);
  if ((seen & static_cast<unsigned>(POLLERR | POLLHUP | POLLNVAL)) != 0) return Peer::kGone;
  return (seen & static_cast<unsigned>(POLLRDHUP)) != 0 ? Peer::kSaidAll : Peer::kThere;
}

void DiscardOnClose(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

}  // namespace weir::os
