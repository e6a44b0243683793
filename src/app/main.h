// The whole command-line program behind main().
#pragma once

#include <string>
#include <vector>

namespace weir::app {

// Runs one command line (without the program's name) and returns the exit code. Call it from the main thread:
// children die with the thread that starts them.
int Main(const std::vector<std::string>& arguments);

}  // namespace weir::app
