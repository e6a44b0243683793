// Shell completions, made from the same grammar that parses the command line.
#pragma once

#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace weir::app {

// `shell`: bash, zsh or fish. Errors: kBadParameters.
Result<std::string> CompletionFor(const std::string& shell, const CLI::App& grammar);

}  // namespace weir::app
