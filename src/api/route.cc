#include "api/route.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

namespace weir::api {

using enum http::Method;

namespace {

constexpr std::array kPlaces{
    ParameterPlace{.parameter = "IdempotencyKey", .name = "Idempotency-Key"},
    ParameterPlace{.parameter = "Prefer", .name = "Prefer"},
    ParameterPlace{.parameter = "LastEventId", .name = "Last-Event-ID"},
    ParameterPlace{.parameter = "Range", .name = "Range"},
    ParameterPlace{.parameter = "IfRange", .name = "If-Range"},
    ParameterPlace{.parameter = "IfNoneMatch", .name = "If-None-Match"},
    ParameterPlace{.parameter = "After", .name = "after", .in_query = true},
    ParameterPlace{.parameter = "State", .name = "state", .in_query = true},
    ParameterPlace{.parameter = "Recipe", .name = "recipe", .in_query = true},
    ParameterPlace{.parameter = "Owner", .name = "owner", .in_query = true},
    ParameterPlace{.parameter = "Batch", .name = "batch", .in_query = true},
    ParameterPlace{.parameter = "Label", .name = "label", .in_query = true},
    ParameterPlace{.parameter = "Limit", .name = "limit", .in_query = true},
    ParameterPlace{.parameter = "Cursor", .name = "cursor", .in_query = true},
    ParameterPlace{.parameter = "VideoPath", .name = "path", .in_query = true},
};

}  // namespace

const ParameterPlace& PlaceOf(std::string_view parameter) {
  const auto* const found = std::ranges::find(kPlaces, parameter, &ParameterPlace::parameter);
  if (found == kPlaces.end()) {
    throw std::logic_error("no such parameter: " + std::string(parameter));
  }
  return *found;
}

std::vector<std::string> QueryNamesOf(const Route& route) {
  std::vector<std::string> names;
  for (const auto parameter : route.parameters) {
    if (const auto& place = PlaceOf(parameter); place.in_query) {
      names.emplace_back(place.name);
    }
  }
  return names;
}

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

}  // namespace weir::api
