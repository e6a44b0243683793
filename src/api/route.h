// A row of the table of routes: how a request is known to be for it, what answers it, and what the served document
// says of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"
#include "base/error.h"
#include "http/message.h"

namespace weir::api {

// As the type of a body: whatever an artefact may be.
inline constexpr std::string_view kAnyMedia = "media";

// One way in which a call that was understood ends. Errors are not among them: see Route::errors.
struct Answer {
  int status = 200;
  std::string_view description;
  std::string_view schema;                  // of its body: a name in the document's components; "" for none
  std::string_view type;                    // of its body; "" for none
  std::vector<std::string_view> headers{};  // that it always has: names in the document's components
};

struct Route {
  http::Method method = http::Method::kGet;  // kGet answers HEAD as well
  std::string_view path;                     // "/v1/jobs/{id}": a segment in braces stands for any one
  http::Scope scope = http::kRead;
  Handler handler = nullptr;

  std::string_view id;  // of the operation, unique
  std::string_view group;
  std::string_view summary;
  std::vector<std::string_view> parameters;  // of query and headers: names in the document's components
  std::string_view body;                     // name of its schema; "" when none is read
  bool body_required = true;
  std::vector<Answer> answers;
  std::vector<ErrorCode> errors;    // besides those that any call may end with
  std::vector<int> other_errors{};  // statuses of errors that have others than the table's

  std::vector<std::string_view> segments{};  // of `path`, by Split()

  void Split();
  [[nodiscard]] bool Matches(const std::vector<std::string>& path_of_request) const;
  [[nodiscard]] bool IsFor(http::Method method_of_request) const;
};

// Where a parameter of that name stands in a request.
struct ParameterPlace {
  std::string_view parameter;  // as in Route::parameters
  std::string_view name;       // as callers write it
  bool in_query = false;       // else it is a header
};
const ParameterPlace& PlaceOf(std::string_view parameter);
std::vector<std::string> QueryNamesOf(const Route& route);

}  // namespace weir::api
