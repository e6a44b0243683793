// Log: one line per fact, to standard error. Not the user's results: those go to standard output.
// Quiet by default (warnings and errors); any thread may log.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::log {

enum class Level { kDebug, kInfo, kWarning, kError };

void SetLevel(Level level);
enum class Format { kText, kJson };
// kJson: one object a line: time (UTC), level, message. Before other threads log.
void SetFormat(Format format);
// To a file instead, which is rotated at `size`; at most `files` of them are kept. Before other threads log.
// Errors: kOutputUnwritable.
Status ToFile(const std::string& path, Bytes size, int files);
void Debug(std::string_view line);
void Info(std::string_view line);
void Warning(std::string_view line);
void Error(std::string_view line);

}  // namespace weir::log
