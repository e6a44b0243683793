// Result<T>: a value, or the Error that says why there is none. Exceptions do not cross a room.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/error.h"

namespace weir {

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

inline std::unexpected<Error> Fail(ErrorCode code, std::string detail) {
  return std::unexpected<Error>(Error{.code = code, .detail = std::move(detail)});
}
inline std::unexpected<Error> Fail(Error error) { return std::unexpected<Error>(std::move(error)); }

// A system call's refusal: "what: strerror (errno name)". For codes other than kSystem give one.
Error SystemError(std::string what, int errno_value, ErrorCode code = ErrorCode::kSystem);

}  // namespace weir

// Leaves the current function with the error of `expr` (a Status or Result whose value is not needed).
#define WEIR_TRY(expr)                                            \
  do {                                                            \
    if (auto weir_try_status = (expr); !weir_try_status) {        \
      return std::unexpected(std::move(weir_try_status).error()); \
    }                                                             \
  } while (false)

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)
// Declares `decl` from the value of `expr`, or leaves the current function with its error.
#define WEIR_ASSIGN(decl, expr) WEIR_ASSIGN_INNER(WEIR_CONCAT(weir_result_, __LINE__), decl, expr)
#define WEIR_ASSIGN_INNER(tmp, decl, expr)          \
  auto tmp = (expr);                                \
  if (!(tmp)) {                                     \
    return std::unexpected(std::move(tmp).error()); \
  }                                                 \
  decl = *std::move(tmp)
