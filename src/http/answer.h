// Answer: the text of answers: status lines, header blocks, dates, problems. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"

namespace weir::http {

std::string_view ReasonOf(int status);
// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string ToHttpDate(WallTime time);
// Whether an answer of this status may have a body.
constexpr bool HasBody(int status) { return status >= 200 && status != 204 && status != 304; }

struct HeadFacts {
  std::string_view date;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  std::optional<std::uint64_t> length;  // of the body, also when it is not sent
};
// Appends the status line and all headers with the empty line. Headers of the response that are ours to give (length,
// date, connection) or that would break the block are left out.
void AppendHead(std::string& out, const Response& response, const HeadFacts& facts);

// Problem() with another status than the error table's.
Response ProblemAs(int status, const Error& error, std::string_view instance);

// `text` with its quotes as JSON; bytes that are not UTF-8 become U+FFFD.
std::string ToJson(std::string_view text);

}  // namespace weir::http
