// Range: which part of a file a request asks for (RFC 9110, 13 and 14). Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "http/message.h"

namespace weir::http {

struct FilePart {
  int status = 200;  // 200 whole, 206 part, 304 not modified, 416 no such part
  std::uint64_t first = 0;
  std::uint64_t count = 0;  // what GET would send
};

// One range is honoured. Several at once, other units and what cannot be read mean the whole file, as the standard
// allows; so does an If-Range that is not exactly `etag` (dates never are).
FilePart ChoosePart(const Request& request, Bytes size, std::string_view etag);

}  // namespace weir::http
