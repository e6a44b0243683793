// `weir top`: how a server does, once or once a second. Knows one document: that of GET /v1/system, in which that of
// GET /v1/memory may be the member "pressure".
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>

#include "app/client.h"
#include "base/result.h"

namespace weir::app {

// What changed between two looks.
struct Between {
  const boost::json::value* before = nullptr;  // nullptr: there was no look before
  double seconds = 0;
};
// Lines with their ends, at most `rows` of at most `columns` (0: as many as it takes).
std::string SystemAsText(const boost::json::value& system, const Between& between, unsigned columns, unsigned rows);

// `look` asks the server. Once when `once` is set or the output is no terminal; else until the output is gone, and a
// server that does not answer for a while is waited for. Returns the exit code. Errors: those of the first look,
// later ones that waiting cannot change, kSystem when nothing can be written.
Result<int> RunTop(const std::function<Result<boost::json::value>()>& look, const ClientStreams& streams, bool once);

}  // namespace weir::app
