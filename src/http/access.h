// Access: who may call, decided from headers alone. Pure but for the buckets of RateLimit.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/message.h"
#include "http/server.h"

namespace weir::http {

// Which Host and Origin headers are ours. Browsers send both truthfully, so a page of somebody else, also one whose
// name was pointed at our address, is told apart from our own.
class Sites {
 public:
  Sites(const ServerSettings& settings, const std::string& address, std::uint16_t port);
  // "name", "name:port", "[::1]:port"; the port is not compared: it may be forwarded.
  [[nodiscard]] bool IsOurHost(std::string_view host) const;
  [[nodiscard]] bool IsOurOrigin(std::string_view origin) const;

 private:
  std::vector<std::string> hosts_;  // lower case, no port
  bool any_address_ = false;        // we listen on all: any literal address is one of ours, and no name that was bent
  std::vector<std::string> origins_;
};

struct Caller {
  std::string token_name;
  std::uint8_t scopes = 0;
};
// The digests of `tokens` are compared, all of them, in constant time. nullopt: no secret, or an unknown one.
std::optional<Caller> Identify(const Request& request, const std::vector<Token>& tokens);

// A bucket of `per_second` requests for each caller, filled at that rate. Keeps at most `most_callers`; the one that
// was silent for longest goes first.
class RateLimit {
 public:
  explicit RateLimit(unsigned per_second, std::size_t most_callers = 4096);
  // nullopt: go on. Else the whole seconds, at least 1, after which to come again.
  std::optional<std::uint64_t> Take(const std::string& caller, SteadyTime now);
  [[nodiscard]] std::size_t callers() const { return buckets_.size(); }

 private:
  struct Bucket {
    std::string caller;
    double left = 0;
    SteadyTime filled;
  };
  double per_second_;
  std::size_t most_callers_;
  std::list<Bucket> buckets_;  // the latest first
  std::unordered_map<std::string_view, std::list<Bucket>::iterator> by_caller_;
};
// The rates of routes, each for itself. A request counts with each that it belongs to, until one refuses it.
class RouteLimits {
 public:
  explicit RouteLimits(std::vector<RouteRate> rates);
  struct Refusal {
    std::uint64_t after = 1;  // seconds, as of RateLimit
    RouteRate rate;
  };
  std::optional<Refusal> Take(const Request& request, const std::string& caller, SteadyTime now);

 private:
  std::vector<RouteRate> rates_;
  std::vector<RateLimit> limits_;  // one for each of them
};

// The key of a caller: neighbours in one IPv6 network of 64 bits are one, because they are handed out by the network.
std::string CallerKey(const std::string& remote, const std::string& token_name);

// Parses what is listened on. Errors: kBadParameters; kForbidden for an address beyond loopback without tokens.
Status MayListen(const std::string& address, bool has_tokens);

}  // namespace weir::http
