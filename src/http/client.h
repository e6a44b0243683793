// Client: one HTTP/1.1 request at a time to a Weir server, for the command line. Blocking; bounded answers.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "http/message.h"

namespace weir::http {

struct Answer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
};

class Client {
 public:
  // `server`: "http://127.0.0.1:4545". `token`: "" for none. Errors: kBadParameters.
  static Result<Client> For(const std::string& server, std::string token);

  // Errors: kUnreachable (with the address, and what to do), kTooLarge (answers above 16 MiB), kTimedOut.
  Result<Answer> Ask(Method method, const std::string& target, const std::string& body = {},
                     const std::vector<std::pair<std::string, std::string>>& headers = {},
                     std::chrono::milliseconds patience = std::chrono::seconds(60)) const;
  // A stream of server-sent events; `on_event` gets each (id, type, data) and returns false to stop. Returns at the
  // stream's end. Errors: as Ask, kTimedOut when not even a heartbeat came for 90 s, and what the server's problem
  // says.
  Status Watch(
      const std::string& target, const std::string& last_event_id,
      const std::function<bool(std::string_view id, std::string_view type, std::string_view data)>& on_event) const;

 private:
  std::string host_;
  std::string port_;
  std::string token_;
};

}  // namespace weir::http
