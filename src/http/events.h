// EventParser: a stream of server-sent events taken apart as its bytes come. Not a connection.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::http {

class EventParser {
 public:
  // False: enough.
  using Take = std::function<bool(std::string_view id, std::string_view type, std::string_view data)>;

  explicit EventParser(Bytes largest_event = Bytes::Mib(1)) : largest_(largest_event) {}
  // Pieces of any size; an event is handed over with its empty line. `id` is the last one seen, `type` is "message"
  // when not given. False: `take` had enough, the rest is dropped. Errors: kTooLarge.
  Result<bool> Feed(std::string_view bytes, const Take& take);
  [[nodiscard]] const std::string& last_id() const { return id_; }

 private:
  bool EndLine(const Take& take);

  Bytes largest_;
  std::string line_;
  std::string id_;
  std::string type_;
  std::string data_;
  bool has_data_ = false;
  bool after_return_ = false;  // a line feed now belongs to the line that has ended
  bool first_line_ = true;
};

}  // namespace weir::http
