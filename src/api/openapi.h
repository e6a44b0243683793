// The served document: every route with what it takes and answers, as OpenAPI 3.1 (JSON Schema 2020-12). Made from
// the table of routes and the recipes' own descriptions. Pure.
#pragma once

#include <string>
#include <string_view>

namespace weir::api {

// The text of one JSON object. Tens of KiB, a few milliseconds.
std::string DocumentOf(std::string_view version);

}  // namespace weir::api
