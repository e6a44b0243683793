// The grammar of HTTP/1.1, one request or answer after the other. Bytes are put in as they come; what was not
// consumed has to be put again, in front of what comes next. Hides Boost.Beast, which is slow to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "http/client.h"
#include "http/message.h"

namespace weir::http {

struct Refusal {
  int status = 400;
  Error error;
};

enum class Parsed : std::uint8_t {
  kMore,     // wants more bytes
  kHeader,   // the header is whole (once); the body has not been looked at
  kDone,     // the message is whole
  kRefused,  // see refusal(); nothing more can be read
};

class RequestParser {
 public:
  RequestParser(Bytes largest_header, Bytes largest_body);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;
  ~RequestParser();

  // For the next request.
  void Reset();
  // Consumes the first `used` bytes.
  Parsed Put(std::string_view bytes, std::size_t& used);

  // From kHeader on. The body grows in the request; take it at kDone.
  [[nodiscard]] Request& request();
  [[nodiscard]] bool keep_alive() const;
  [[nodiscard]] bool http_1_0() const;
  [[nodiscard]] bool expects_body() const;  // more than nothing is still to come
  [[nodiscard]] bool has_refusal() const;
  [[nodiscard]] const Refusal& refusal() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class AnswerParser {
 public:
  // `take_body` gets pieces of the body; without it they gather in the answer. Both count against `largest_body`
  // unless `take_body` is set.
  AnswerParser(Bytes largest_body, bool has_no_body, std::function<Status(std::string_view)> take_body = {});
  AnswerParser(const AnswerParser&) = delete;
  AnswerParser& operator=(const AnswerParser&) = delete;
  ~AnswerParser();

  // Errors: kTooLarge, kMalformed (it does not speak HTTP), and those of `take_body`.
  Result<Parsed> Put(std::string_view bytes, std::size_t& used);
  // The other side said all. True: the answer is whole by that.
  bool End();
  [[nodiscard]] Answer& answer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::http
