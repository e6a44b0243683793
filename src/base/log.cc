#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <memory>

#include "base/text.h"

namespace weir::log {
namespace {

// Not registered with spdlog and never destroyed, so that other threads may log while the process ends.
spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto made = std::make_unique<spdlog::logger>("weir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("weir: %l: %v");
    // Whoever reads a log file wants the last line before the end.
    made->flush_on(spdlog::level::info);
    made->set_level(spdlog::level::warn);
    return made.release();
  }();
  return logger;
}

bool& AsJson() {
  static bool as_json = false;
  return as_json;
}

void ApplyPattern() {
  if (AsJson()) {
    Logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%v})", spdlog::pattern_time_type::utc));
  } else {
    Logger().set_pattern("weir: %l: %v");
  }
}

// A line that is safe to print, as a JSON string.
std::string AsJsonText(const std::string& printable) {
  std::string text = "\"";
  for (const char c : printable) {
    if (c == '"' || c == '\\') {
      text += '\\';
    }
    text += c;
  }
  return text + "\"";
}

void Write(spdlog::level::level_enum level, std::string_view line) {
  spdlog::logger& logger = Logger();
  if (logger.should_log(level)) {
    logger.log(level, AsJson() ? AsJsonText(Printable(line)) : Printable(line));
  }
}

}  // namespace

void SetLevel(Level level) {
  switch (level) {
    case Level::kDebug:
      return Logger().set_level(spdlog::level::debug);
    case Level::kInfo:
      return Logger().set_level(spdlog::level::info);
    case Level::kWarning:
      return Logger().set_level(spdlog::level::warn);
    case Level::kError:
      return Logger().set_level(spdlog::level::err);
  }
}

void SetFormat(Format format) {
  AsJson() = format == Format::kJson;
  ApplyPattern();
}

Status ToFile(const std::string& path, Bytes size, int files) {
  try {
    Logger().sinks() = {std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        path, static_cast<std::size_t>(size.count()), static_cast<std::size_t>(std::max(1, files) - 1))};
  } catch (const spdlog::spdlog_ex& error) {
    return Fail(ErrorCode::kOutputUnwritable, "cannot write the log file " + Quoted(path) + ": " + error.what());
  }
  ApplyPattern();
  return {};
}

void Debug(std::string_view line) { Write(spdlog::level::debug, line); }
void Info(std::string_view line) { Write(spdlog::level::info, line); }
void Warning(std::string_view line) { Write(spdlog::level::warn, line); }
void Error(std::string_view line) { Write(spdlog::level::err, line); }

}  // namespace weir::log
