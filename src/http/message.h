// What an HTTP request and its answer are to everybody above this room. Knows no job; no Beast in sight.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace weir::http {

enum class Method : std::uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions };
// "GET", ...
std::string_view NameOf(Method method);

struct Request {
  Method method = Method::kGet;
  std::string target;  // as sent: "/v1/jobs?limit=5"
  // The path in decoded segments: "/v1/jobs/a%20b" is {"v1", "jobs", "a b"}. Never "", "." or "..", no NUL, valid
  // UTF-8: such targets are answered by the server with `malformed`.
  std::vector<std::string> path;
  std::vector<std::pair<std::string, std::string>> query;    // decoded, in order
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // whole, within the server's limit
  std::string remote;                                        // "127.0.0.1"
  std::string token_name;      // of the token that came along, "" without tokens (loopback)
  std::uint8_t scopes = 0;     // what the caller may do: bits of Scope
  std::shared_ptr<void> room;  // what the body takes of the server's room for bodies

  // For a handler that has understood it and goes on to wait.
  void DropBody() {
    std::string().swap(body);
    room.reset();
  }

  [[nodiscard]] const std::string* Header(std::string_view name) const;  // the first one; name in lower case
  [[nodiscard]] const std::string* Query(std::string_view name) const;
};

enum Scope : std::uint8_t { kRead = 1, kSubmit = 2, kAdmin = 4, kAllScopes = 7 };

// A stream of server-sent events. Pulled: the server asks for the next piece when the one before has been written,
// so a slow reader holds nothing up and has no queue.
class EventSource {
 public:
  EventSource() = default;
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;
  virtual ~EventSource() = default;  // the reader is gone, or the server stops
  // The next piece of text in the format of server-sent events, or nullopt at the end. Waits as long as it takes; the
  // server writes a comment as heartbeat meanwhile. When the reader goes, also by saying that it will send no more,
  // what Next() waits for gets a terminal cancellation (all of Asio's operations honour it), and then the source
  // goes.
  virtual boost::asio::awaitable<std::optional<std::string>> Next() = 0;
};

struct FileBody {
  os::UniqueFd fd;  // regular file, open for reading
  Bytes size;
  std::string etag;  // strong, with its quotes
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>>
      headers;  // Content-Type and the like; length and date are the server's
  std::string body;
  std::shared_ptr<const std::string> shared_body;  // used when set: the same bytes for many readers
  std::optional<FileBody>
      file;  // used when set: Range, If-Range, If-None-Match, HEAD are the server's (at status 200)
  std::unique_ptr<EventSource> events;  // used when set
};

// On the loop's thread. Must not throw. A connection has one request in the handler at a time. Credentials have been
// taken out of the headers. A caller who closes or resets the connection cancels it (terminal cancellation of what it
// waits for) within about a second; one who only closes its sending side gets the answer, perhaps after a few "100
// Continue". After the Server's end it is never resumed: its frame is destroyed in the loop's next turn, at the
// latest with the loop, so what the frame holds must be safe to destroy then.
using Handler = std::function<boost::asio::awaitable<Response>(Request)>;

// RFC 9457: {"type": "https://weir.invalid/problems/<name>", title, status, detail, instance, members...}.
// Every error of every route is made here. 401 gets WWW-Authenticate; a member "retry_after_seconds" becomes
// Retry-After.
Response Problem(const Error& error, std::string_view instance);

}  // namespace weir::http
