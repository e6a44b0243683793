// Server: HTTP/1.1 on a TCP address, every size and time bounded. Bytes in, Requests to the handler, answers out.
// Decides who may call; decides nothing about what is asked.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "http/message.h"

namespace weir::http {

struct Token {
  std::string name;
  std::string sha256;  // of the secret, 64 hexadecimal digits in lower case
  std::uint8_t scopes = kAllScopes;
};

// How often one caller may ask for something: a method, or all of them, at a path and below it.
struct RouteRate {
  std::string method;             // "POST"; "*": any
  std::vector<std::string> path;  // decoded segments; none: everywhere
  unsigned per_second = 0;        // with a burst of as many
  friend bool operator==(const RouteRate&, const RouteRate&) = default;
};
// "POST /v1/jobs", for people.
std::string NameOf(const RouteRate& rate);
// "POST /v1/jobs 20". Errors: kBadParameters.
Result<RouteRate> ParseRouteRate(const std::string& text);

struct ServerSettings {
  std::string address = "127.0.0.1";
  std::uint16_t port = 4545;         // 0: any free one
  std::vector<Token> tokens;         // empty: everybody who reaches a loopback address may do everything
  std::vector<std::string> hosts;    // further names that a Host header may have, besides the address and localhost
  std::vector<std::string> origins;  // that may call from a browser; own address always
  std::size_t most_connections = 1024;  // for a further one the longest idle is closed, or itself
  Bytes largest_header = Bytes::Kib(16);
  Bytes largest_body = Bytes::Mib(1);
  // Bodies of all requests that are being read or answered; beyond it kBusy, except for a request that is alone.
  Bytes most_in_bodies = Bytes::Mib(4);
  std::chrono::milliseconds header_time{10'000};  // from the first byte of a request to the end of its header
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds write_time{30'000};  // without any byte taken by the reader
  std::chrono::milliseconds idle_time{60'000};   // between requests
  std::chrono::milliseconds least_idle{1000};    // before a connection has to make room for another
  std::chrono::milliseconds heartbeat{15'000};   // of event streams
  unsigned requests_per_second = 0;              // per remote address and token, with a burst of as many; 0: no limit
  std::vector<RouteRate> route_rates;            // besides that; each has buckets of its own
};

struct ServerFigures {
  std::uint64_t connections = 0;  // now
  std::uint64_t accepted = 0;     // ever
  std::uint64_t refused = 0;      // over the cap
  std::uint64_t displaced = 0;    // idle, and ended for another
  std::uint64_t requests = 0;
  std::uint64_t in_flight = 0;
};

// Everything on the loop's thread. The loop and the clock (dates and rates; the times above are real ones) must
// outlive it.
class Server {
 public:
  // Listens when it returns. A listening socket inherited by socket activation may be given as `inherited`.
  // Errors: kForbidden (an address beyond loopback, and no tokens), kBadParameters (not an address, no such socket,
  // limits too small to work with), kSystem (in use, not permitted).
  static Result<std::unique_ptr<Server>> Listen(boost::asio::io_context& loop, const Clock& clock,
                                                ServerSettings settings, Handler handler,
                                                os::UniqueFd inherited = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Closes everything at once; handlers in flight are cancelled and not resumed. Also from inside a handler.
  virtual ~Server() = default;

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual ServerFigures figures() const = 0;
  // Takes no new connections, lets requests in flight end, closes idle ones and event streams.
  virtual void StopAccepting() = 0;
  // Tokens, hosts, origins, the rate, the number of connections (open ones stay) and, for later connections, the
  // largest body are as given from now on. The rest of `settings` is not looked at.
  virtual void Reload(const ServerSettings& settings) = 0;

 protected:
  Server() = default;
};

}  // namespace weir::http
