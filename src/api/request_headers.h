// What the headers of a request say that mean the same for every route. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "http/message.h"

namespace weir::api {

inline constexpr std::int64_t kLongestWait = 600;  // seconds of Prefer: wait=N

// Seconds of "Prefer: wait=N", at most kLongestWait; 0 without it.
std::int64_t WaitOf(const http::Request& request);
// "Idempotency-Key", "" without it. Errors: kBadParameters.
Result<std::string> KeyOf(const http::Request& request);

}  // namespace weir::api
