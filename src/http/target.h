// Target: a request target taken apart, strictly. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::http {

inline constexpr std::size_t kMostQueryParameters = 64;
inline constexpr std::size_t kMostSegments = 64;

struct Target {
  std::vector<std::string> path;                           // as in Request
  std::vector<std::pair<std::string, std::string>> query;  // "a=1&b" is {{"a", "1"}, {"b", ""}}; '+' is a space
};

// Origin form only: "/a/b?c=d". One slash at the end is dropped. Errors: kMalformed for everything else: other forms,
// fragments, bytes that belong encoded, bad escapes, NUL, invalid UTF-8, empty or dot segments, a slash inside a
// segment ("%2F"), more segments or parameters than the bounds above.
Result<Target> ParseTarget(std::string_view target);

// Well-formed UTF-8: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);

}  // namespace weir::http
