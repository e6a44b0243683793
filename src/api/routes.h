// The table of routes. Dispatch, Allow, scopes and GET /openapi.json all come from its rows.
#pragma once

#include <string>
#include <vector>

#include "api/route.h"

namespace weir::api {

const std::vector<Route>& Routes();

// The methods that a path takes, as in the header Allow; "" when there is nothing at it.
std::string AllowedAt(const std::vector<std::string>& path);

}  // namespace weir::api
