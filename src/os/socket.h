// TCP sockets as descriptors: listening, taking connections, and what has become of the one at the other end.
// Every descriptor is close-on-exec and non-blocking. Any thread; nothing is kept between calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

// Listens on a numeric address ("127.0.0.1", "::1"; "::" is IPv6 alone). Port 0: any free one.
// Errors: kBadParameters (not an address), kSystem (in use, not permitted).
Result<UniqueFd> ListenTcp(const std::string& address, std::uint16_t port);

struct Endpoint {
  std::string address;  // numeric; an IPv4 address in IPv6 clothes comes out as IPv4; "" when not TCP
  std::uint16_t port = 0;
};
// The address that a socket is bound to. Errors: kSystem; kBadParameters when it is no TCP socket that listens.
Result<Endpoint> ListeningEndpoint(int fd);

struct Connection {
  UniqueFd fd;
  Endpoint remote;
};
// The next connection that waits, with small packets not held back. nullopt: none waits.
// Errors: kBusy (no descriptors or memory left: try again later), kSystem (the socket is no good any more).
Result<std::optional<Connection>> Accept(int listening);

enum class Peer : std::uint8_t {
  kThere,
  kSaidAll,  // will send no more; may still read
  kGone,     // reset, or both directions are closed
};
Peer LookAtPeer(int fd);
// Closing will discard what has not been sent, instead of keeping it in the kernel for a reader who does not read.
void DiscardOnClose(int fd);

}  // namespace weir::os
