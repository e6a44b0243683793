#include "api/route.h"

namespace weir::api {

using enum http::Method;

void Route::Split() {
  std::string_view rest = path;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t end = rest.find('/');
    segments.push_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
}

bool Route::Matches(const std::vector<std::string>& path_of_request) const {
  if (segments.size() != path_of_request.size()) {
    return false;
  }
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (!segments[i].starts_with('{') && segments[i] != path_of_request[i]) {
      return false;
    }
  }
  return true;
}

bool Route::IsFor(http::Method method_of_request) const {
  return method == method_of_request || (method == kGet && method_of_request == kHead);
}

std::string_view NameOf(http::Method method) {
  switch (method) {
    case kGet:
      return "GET";
    case kHead:
      return "HEAD";
    case kPost:
      return "POST";
    case kPut:
      return "PUT";
    case kPatch:
      return "PATCH";
    case kDelete:
      return "DELETE";
    case kOptions:
      return "OPTIONS";
  }
  return "";
}

}  // namespace weir::api
