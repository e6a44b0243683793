#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/text.h"

namespace weir::log {
namespace {

enum class Target : std::uint8_t { kStandardError, kElsewhere };

// Not registered with spdlog and never destroyed, so that other threads may log while the process ends.
spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto made = std::make_unique<spdlog::logger>("weir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("weir: %l: %v");
    // Whoever reads a log wants the last line before the end.
    made->flush_on(spdlog::level::debug);
    made->set_level(spdlog::level::warn);
    return made.release();
  }();
  return logger;
}

struct Look {
  Format format = Format::kText;
  Target target = Target::kStandardError;
};
Look& TheLook() {
  static Look look;
  return look;
}

void ApplyLook() {
  const Look& look = TheLook();
  if (look.format == Format::kJson) {
    Logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})", spdlog::pattern_time_type::utc));
  } else if (look.target == Target::kElsewhere) {
    // Standard error gets its times from whoever collects it.
    Logger().set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ weir: %l: %v",
                                                                       spdlog::pattern_time_type::utc));
  } else {
    Logger().set_pattern("weir: %l: %v");
  }
}

// A line that is safe to print, as a JSON string.
std::string AsJsonText(std::string_view line) {
  std::string text = "\"";
  for (const char c : Printable(line)) {
    if (c == '"' || c == '\\') {
      text += '\\';
    }
    text += c;
  }
  return text + "\"";
}

std::string Payload(std::string_view line, std::string_view job) {
  if (TheLook().format == Format::kJson) {
    return (job.empty() ? "" : "\"job\":" + AsJsonText(job) + ",") + "\"message\":" + AsJsonText(line);
  }
  return (job.empty() ? "" : "job " + Printable(job) + ": ") + Printable(line);
}

class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineSink(std::function<Status(std::string_view)> write) : write_(std::move(write)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (lost_ > 0) {
      const std::string told = Payload(std::to_string(lost_) + " lines could not be written here", {});
      Put(spdlog::details::log_msg("", spdlog::level::err, told), 0);
    }
    Put(message, 1);
  }
  void flush_() override {}

  void Put(const spdlog::details::log_msg& message, std::uint64_t counts) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const Status written = write_(std::string_view(line.data(), line.size()));
    if (written) {
      lost_ = 0;
      return;
    }
    if (lost_ == 0) {
      std::fprintf(stderr, "weir: error: %s; lines are lost until it can be\n",
                   Printable(Describe(written.error())).c_str());
    }
    lost_ += counts;
  }

  std::function<Status(std::string_view)> write_;
  std::uint64_t lost_ = 0;
};

spdlog::level::level_enum LevelOf(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

void Write(Level level, std::string_view line, std::string_view job) {
  if (Shows(level)) {
    Logger().log(LevelOf(level), Payload(line, job));
  }
}

}  // namespace

void SetLevel(Level level) { Logger().set_level(LevelOf(level)); }

bool Shows(Level level) { return Logger().should_log(LevelOf(level)); }

void SetFormat(Format format) {
  TheLook().format = format;
  ApplyLook();
}

void To(std::function<Status(std::string_view)> write) {
  Logger().sinks() = {std::make_shared<LineSink>(std::move(write))};
  TheLook().target = Target::kElsewhere;
  ApplyLook();
}

void Debug(std::string_view line, std::string_view job) { Write(Level::kDebug, line, job); }
void Info(std::string_view line, std::string_view job) { Write(Level::kInfo, line, job); }
void Warning(std::string_view line, std::string_view job) { Write(Level::kWarning, line, job); }
void Error(std::string_view line, std::string_view job) { Write(Level::kError, line, job); }

}  // namespace weir::log
