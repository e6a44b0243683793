// The two ways in which Weir speaks: results on standard output, everything else on standard error.
#pragma once

#include <string_view>

namespace weir::app {

// A result. False when it could not be written whole, which must not pass for success.
bool Print(std::string_view text);
// Progress and errors. Nobody may be listening any more: a closed or full standard error is no reason to end.
void Tell(std::string_view text);

}  // namespace weir::app
