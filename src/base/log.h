// Log: one line per fact, to standard error. Not the user's results: those go to standard output.
// Quiet by default (warnings and errors); any thread may log.
#pragma once

#include <string_view>

namespace weir::log {

enum class Level { kDebug, kInfo, kWarning, kError };

void SetLevel(Level level);
void Debug(std::string_view line);
void Info(std::string_view line);
void Warning(std::string_view line);
void Error(std::string_view line);

}  // namespace weir::log
