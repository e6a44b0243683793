#include "http/message.h"

#include "http/answer.h"

namespace weir::http {
namespace {

const std::string* Find(const std::vector<std::pair<std::string, std::string>>& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace

std::string_view NameOf(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kHead:
      return "HEAD";
    case Method::kPost:
      return "POST";
    case Method::kPut:
      return "PUT";
    case Method::kPatch:
      return "PATCH";
    case Method::kDelete:
      return "DELETE";
    case Method::kOptions:
      return "OPTIONS";
  }
  return "GET";
}

const std::string* Request::Header(std::string_view name) const { return Find(headers, name); }
const std::string* Request::Query(std::string_view name) const { return Find(query, name); }

Response Problem(const Error& error, std::string_view instance) {
  return ProblemAs(InfoOf(error.code).http_status, error, instance);
}

}  // namespace weir::http
