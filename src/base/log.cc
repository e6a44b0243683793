#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

#include "base/text.h"

namespace weir::log {
namespace {

// Not registered with spdlog and never destroyed, so that other threads may log while the process ends.
spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto made = std::make_unique<spdlog::logger>("weir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("weir: %l: %v");
    made->set_level(spdlog::level::warn);
    return made.release();
  }();
  return logger;
}

void Write(spdlog::level::level_enum level, std::string_view line) {
  spdlog::logger& logger = Logger();
  if (logger.should_log(level)) {
    logger.log(level, Printable(line));
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

void Debug(std::string_view line) { Write(spdlog::level::debug, line); }
void Info(std::string_view line) { Write(spdlog::level::info, line); }
void Warning(std::string_view line) { Write(spdlog::level::warn, line); }
void Error(std::string_view line) { Write(spdlog::level::err, line); }

}  // namespace weir::log
