// Log: one line per fact, to standard error or wherever the process says. Not the user's results: those go to
// standard output. Quiet by default (warnings and errors); any thread may log.
#pragma once

#include <functional>
#include <string_view>

#include "base/result.h"

namespace weir::log {

enum class Level { kDebug, kInfo, kWarning, kError };

void SetLevel(Level level);
[[nodiscard]] bool Shows(Level level);
enum class Format { kText, kJson };
// kJson: one object a line: time (UTC), level, job (when it is about one), message. Before other threads log.
void SetFormat(Format format);
// Whole lines, newline and time included, go to `write` instead; one call at a time, from whichever thread logs.
// Lines that it refuses are counted and told, once on standard error and with the next line that it takes. Before
// other threads log.
void To(std::function<Status(std::string_view line)> write);
// `job`: the id of the job that the line is about, if any.
void Debug(std::string_view line, std::string_view job = {});
void Info(std::string_view line, std::string_view job = {});
void Warning(std::string_view line, std::string_view job = {});
void Error(std::string_view line, std::string_view job = {});

}  // namespace weir::log
