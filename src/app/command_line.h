// Command line words -> Invocation. Decides nothing beyond the ranges of its options.
#pragma once

#include <string>
#include <vector>

#include "app/invocation.h"
#include "base/result.h"

namespace weir::app {

// `arguments` without the program's name. Errors: kBadParameters, kOutputFormat, with the nearest known word.
Result<Invocation> ParseCommandLine(const std::vector<std::string>& arguments);

// Whether an answer to these arguments is to be JSON, also when they do not parse.
bool WantsJson(const std::vector<std::string>& arguments);

}  // namespace weir::app
