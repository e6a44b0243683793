#include "api/request_headers.h"

#include <algorithm>

#include "base/text.h"

namespace weir::api {

std::int64_t WaitOf(const http::Request& request) {
  const auto* prefer = request.Header("prefer");
  if (prefer == nullptr) {
    return 0;
  }
  const std::size_t at = prefer->find("wait=");
  if (at == std::string::npos) {
    return 0;
  }
  const std::string digits = prefer->substr(at + 5, prefer->find_first_not_of("0123456789", at + 5) - at - 5);
  const auto seconds = ParseUnsigned(digits);
  return seconds ? static_cast<std::int64_t>(std::min<std::uint64_t>(*seconds, kLongestWait)) : 0;
}

Result<std::string> KeyOf(const http::Request& request) {
  const auto* key = request.Header("idempotency-key");
  if (key == nullptr) {
    return std::string();
  }
  if (key->empty() || key->size() > 255) {
    return Fail(ErrorCode::kBadParameters, "Idempotency-Key is a text of 1 to 255 bytes");
  }
  return *key;
}

}  // namespace weir::api
