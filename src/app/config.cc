#include "app/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <functional>
#include <utility>
#include <variant>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/sha256.h"
#include "base/text.h"
#include "media/request_json.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/surroundings.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr Bytes kLargestFile = Bytes::Kib(256);
constexpr std::size_t kLongestText = 4096;
constexpr std::size_t kLongestList = 1000;
constexpr std::size_t kMostTokens = 1000;
constexpr std::size_t kMostRouteRates = 16;  // each remembers up to 4096 callers
constexpr std::uint64_t kYear = std::uint64_t{366} * 24 * 3600;
constexpr std::uint64_t kTib = std::uint64_t{1} << 40U;
constexpr std::uint64_t kMib = std::uint64_t{1} << 20U;

std::unexpected<Error> Refuse(std::string sentence) { return Fail(ErrorCode::kBadParameters, std::move(sentence)); }

// A value after checking: what a setter gets.
using Value = std::variant<bool, std::uint64_t, std::string, std::vector<std::string>>;

struct Row {
  Setting setting;
  std::function<void(Config&, const Value&)> set;
  std::function<std::string(const Config&)> show;  // as TOML; "" when there is no value
};

// ---- Text

std::string TomlText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string TomlTexts(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) {
    out += (out.empty() ? "" : ", ") + TomlText(text);
  }
  return "[" + out + "]";
}

// "512M": the largest unit in which it is a whole number.
std::string BytesText(std::uint64_t count) {
  constexpr std::string_view kUnits = "KMGT";
  std::string unit;
  for (std::size_t i = 0; i < kUnits.size() && count != 0 && count % 1024 == 0; ++i) {
    count /= 1024;
    unit = kUnits[i];
  }
  return std::to_string(count) + unit;
}

std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  }
  return text;
}

// Whole seconds: "90", "90s", "5m", "2h", "7d".
std::optional<std::uint64_t> ParseSeconds(std::string_view text) {
  constexpr std::array<std::pair<char, std::uint64_t>, 4> kUnits{{{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
  std::uint64_t scale = 1;
  for (const auto& [letter, factor] : kUnits) {
    if (text.ends_with(letter)) {
      text.remove_suffix(1);
      scale = factor;
      break;
    }
  }
  const auto number = ParseUnsigned(text);
  if (!number || *number > std::uint64_t{1} << 40U) {
    return std::nullopt;
  }
  return *number * scale;
}

struct Listen {
  std::string address;
  std::uint16_t port = 0;
};
std::optional<Listen> ParseListen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  } else if (address.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  // Whether it is one is the server's to say; this keeps names and nonsense away.
  const auto port = ParseUnsigned(text.substr(colon + 1));
  if (address.empty() || address.size() > 64 || !port || *port > 65535 ||
      address.find_first_not_of("0123456789abcdefABCDEF.:%") != std::string_view::npos) {
    return std::nullopt;
  }
  return Listen{.address = std::string(address), .port = static_cast<std::uint16_t>(*port)};
}
std::string ListenText(const Config& config) {
  const bool six = config.address.find(':') != std::string::npos;
  return (six ? "[" + config.address + "]" : config.address) + ":" + std::to_string(config.port);
}

const std::vector<std::string>& LevelNames() {
  static const std::vector<std::string> kNames{"debug", "info", "warning", "error"};
  return kNames;
}
const std::vector<std::string>& FormatNames() {
  static const std::vector<std::string> kNames{"text", "json"};
  return kNames;
}

// ---- Rows

Setting About(const char* key, SettingType type, std::string fallback, const char* environment, const char* flag,
              const char* sentence) {
  return {.key = key,
          .type = type,
          .low = 0,
          .high = 0,
          .words = {},
          .fallback = std::move(fallback),
          .fallback_sentence = {},
          .environment = environment,
          .flag = flag,
          .sentence = sentence,
          .reloads = false};
}

Setting Within(Setting setting, std::uint64_t low, std::uint64_t high) {
  setting.low = low;
  setting.high = high;
  return setting;
}
Setting OneOf(Setting setting, const std::vector<std::string>& words) {
  setting.words = words;
  return setting;
}
Setting Otherwise(Setting setting, const char* sentence) {
  setting.fallback_sentence = sentence;
  return setting;
}

template <typename T>
Row Whole(const Setting& setting, T Config::* member) {
  return {.setting = setting,
          .set = [member](Config& config,
                          const Value& value) { config.*member = static_cast<T>(std::get<std::uint64_t>(value)); },
          .show = [member](const Config& config) { return std::to_string(config.*member); }};
}
Row InSeconds(Setting setting, seconds Config::* member) {
  return {.setting = std::move(setting),
          .set =
              [member](Config& config, const Value& value) {
                config.*member = seconds(static_cast<std::int64_t>(std::get<std::uint64_t>(value)));
              },
          .show = [member](const Config& config) { return std::to_string((config.*member).count()); }};
}
Row InBytes(Setting setting, Bytes Config::* member) {
  return {
      .setting = std::move(setting),
      .set = [member](Config& config, const Value& value) { config.*member = Bytes(std::get<std::uint64_t>(value)); },
      .show = [member](const Config& config) { return TomlText(BytesText((config.*member).count())); }};
}
Row Text(Setting setting, std::string Config::* member) {
  return {.setting = std::move(setting),
          .set = [member](Config& config, const Value& value) { config.*member = std::get<std::string>(value); },
          .show = [member](const Config& config) { return TomlText(config.*member); }};
}
Row Texts(Setting setting, std::vector<std::string> Config::* member) {
  return {.setting = std::move(setting),
          .set = [member](Config& config,
                          const Value& value) { config.*member = std::get<std::vector<std::string>>(value); },
          .show = [member](const Config& config) { return TomlTexts(config.*member); }};
}
template <typename Enum>
Row Word(const Setting& setting, Enum Config::* member) {
  return {.setting = setting,
          .set =
              [member, words = setting.words](Config& config, const Value& value) {
                const auto found = std::ranges::find(words, std::get<std::string>(value));
                config.*member = static_cast<Enum>(found - words.begin());
              },
          .show = [member, words = setting.words](
                      const Config& config) { return TomlText(words.at(static_cast<std::size_t>(config.*member))); }};
}

std::vector<Row> MakeRows() {
  using enum SettingType;
  std::vector<Row> rows;
  rows.push_back({.setting = About("server.listen", kListen, "\"127.0.0.1:4545\"", "WEIR_LISTEN", "--listen",
                                   "Address and port to listen on; port 0 takes any free one. Beyond loopback tokens "
                                   "are needed."),
                  .set =
                      [](Config& config, const Value& value) {
                        if (auto listen = ParseListen(std::get<std::string>(value))) {
                          config.address = std::move(listen->address);
                          config.port = listen->port;
                        }
                      },
                  .show = [](const Config& config) { return TomlText(ListenText(config)); }});
  rows.push_back(Texts(About("server.hosts", kTexts, "[]", "WEIR_HOSTS", "--host",
                             "Further names by which callers reach this server, besides its address and localhost."),
                       &Config::hosts));
  rows.push_back(Texts(About("server.origins", kTexts, "[]", "WEIR_ORIGINS", "--origin",
                             "Origins of web pages that may call from a browser, besides the server's own."),
                       &Config::origins));
  rows.push_back(
      Whole(Within(About("server.connections", kWhole, "256", "WEIR_CONNECTIONS", "--connections",
                         "Connections at once; a further one takes the place of the longest idle, or is closed."),
                   1, 65'536),
            &Config::connections));
  rows.push_back(InBytes(Within(About("server.largest_body", kBytes, "\"1M\"", "WEIR_LARGEST_BODY", "--largest-body",
                                      "Longest body of a request."),
                                1024, 64 * kMib),
                         &Config::largest_body));
  rows.push_back(Whole(Within(About("server.requests_per_second", kWhole, "0", "WEIR_REQUESTS_PER_SECOND",
                                    "--requests-per-second", "Of each caller, with a burst of as many; 0: no limit."),
                              0, 1'000'000),
                       &Config::requests_per_second));
  rows.push_back(Texts(About("server.route_rates", kTexts, "[]", "WEIR_ROUTE_RATES", "--route-rate",
                             "Further limits of each caller, at a path and below it: \"POST /v1/jobs 20\"."),
                       &Config::route_rates));
  rows.push_back(
      InSeconds(Within(About("server.stop_grace_seconds", kSeconds, "30", "WEIR_STOP_GRACE_SECONDS", "--stop-grace",
                             "Time for running jobs to end when told to stop; then they go back to the "
                             "queue."),
                       0, 86'400),
                &Config::stop_grace));
  rows.push_back(
      Text(Otherwise(About("data.folder", kPath, "", "WEIR_DATA", "--data", "Folder of the jobs and their results."),
                     "`$WEIR_STATE_DIR/data`, else `$XDG_STATE_HOME/weir/data`, else "
                     "`~/.local/state/weir/data`"),
           &Config::data));
  rows.push_back(InBytes(Within(About("data.disk_reserve", kBytes, "\"512M\"", "WEIR_DISK_RESERVE", "--disk-reserve",
                                      "Stays free on every disk."),
                                0, kTib),
                         &Config::disk_reserve));
  const auto keep = [](const char* key, const char* environment, const char* flag, const char* sentence) {
    return Within(About(key, kSeconds, "86400", environment, flag, sentence), 0, 10 * kYear);
  };
  rows.push_back(InSeconds(keep("data.keep_succeeded_seconds", "WEIR_KEEP_SUCCEEDED_SECONDS", "--keep-succeeded",
                                "How long jobs that succeeded are kept, with results that were given no place."),
                           &Config::keep_succeeded));
  rows.push_back(InSeconds(
      keep("data.keep_failed_seconds", "WEIR_KEEP_FAILED_SECONDS", "--keep-failed", "How long failed jobs are kept."),
      &Config::keep_failed));
  rows.push_back(InSeconds(keep("data.keep_cancelled_seconds", "WEIR_KEEP_CANCELLED_SECONDS", "--keep-cancelled",
                                "How long cancelled jobs are kept."),
                           &Config::keep_cancelled));
  rows.push_back(
      {.setting = Otherwise(Within(About("memory.budget", kBytes, "", "WEIR_MEMORY", "--memory",
                                         "Memory for everything together, children included."),
                                   16 * kMib, 1024 * kTib),
                            "half of what is free at the start"),
       .set = [](Config& config, const Value& value) { config.memory = Bytes(std::get<std::uint64_t>(value)); },
       .show =
           [](const Config& config) {
             return config.memory ? TomlText(BytesText(config.memory->count())) : std::string();
           }});
  const auto percent = [](const char* key, const char* fallback, const char* environment, const char* flag,
                          const char* sentence) {
    return Within(About(key, kWhole, fallback, environment, flag, sentence), 1, 100);
  };
  rows.push_back(Whole(percent("memory.elevated_percent", "70", "WEIR_ELEVATED_PERCENT", "--elevated-percent",
                               "Of the budget: from here caches are trimmed and what is unused is swept."),
                       &Config::elevated_percent));
  rows.push_back(Whole(percent("memory.high_percent", "85", "WEIR_HIGH_PERCENT", "--high-percent",
                               "Of the budget, beyond what was planned: from here nothing new begins."),
                       &Config::high_percent));
  rows.push_back(Whole(percent("memory.critical_percent", "95", "WEIR_CRITICAL_PERCENT", "--critical-percent",
                               "Of the budget, beyond what was planned: from here the youngest work makes room."),
                       &Config::critical_percent));
  rows.push_back(Whole(percent("memory.machine_elevated_percent", "90", "WEIR_MACHINE_ELEVATED_PERCENT",
                               "--machine-elevated-percent", "Of the machine's memory: as elevated_percent."),
                       &Config::machine_elevated_percent));
  rows.push_back(Whole(percent("memory.machine_high_percent", "95", "WEIR_MACHINE_HIGH_PERCENT",
                               "--machine-high-percent", "Of the machine's memory: as high_percent."),
                       &Config::machine_high_percent));
  rows.push_back(Whole(percent("memory.machine_critical_percent", "98", "WEIR_MACHINE_CRITICAL_PERCENT",
                               "--machine-critical-percent", "Of the machine's memory: as critical_percent."),
                       &Config::machine_critical_percent));
  rows.push_back(
      Whole(percent("memory.stall_elevated_percent", "2", "WEIR_STALL_ELEVATED_PERCENT", "--stall-elevated-percent",
                    "Of the last 10 s, in which all work on the machine waited for memory."),
            &Config::stall_elevated_percent));
  rows.push_back(Whole(percent("memory.stall_high_percent", "10", "WEIR_STALL_HIGH_PERCENT", "--stall-high-percent",
                               "The same, for the level high."),
                       &Config::stall_high_percent));
  rows.push_back(Whole(percent("memory.stall_critical_percent", "25", "WEIR_STALL_CRITICAL_PERCENT",
                               "--stall-critical-percent", "The same, for the level critical."),
                       &Config::stall_critical_percent));
  rows.push_back(InSeconds(Within(About("memory.hold_seconds", kSeconds, "5", "WEIR_HOLD_SECONDS", "--pressure-hold",
                                        "A level ends when it has not been reached for this long."),
                                  0, 3600),
                           &Config::pressure_hold));
  rows.push_back(Whole(Within(About("watch.most_handles", kWhole, "1000", "WEIR_MOST_HANDLES", "--most-handles",
                                    "More open file handles are worth a warning."),
                              1, 1'000'000),
                       &Config::most_handles));
  rows.push_back(Whole(Within(About("watch.most_children", kWhole, "10", "WEIR_MOST_CHILDREN", "--most-children",
                                    "More children at once are worth a warning."),
                              1, 10'000),
                       &Config::most_children));
  rows.push_back(InSeconds(Within(About("watch.stuck_seconds", kSeconds, "600", "WEIR_STUCK_SECONDS", "--stuck",
                                        "Work without progress for this long is worth a warning."),
                                  1, kYear),
                           &Config::stuck));
  rows.push_back(Texts(About("watch.stuck_of", kTexts, "[]", "WEIR_STUCK_OF", "--stuck-of",
                             "The same for single recipes: \"crop=7200\"."),
                       &Config::stuck_of));
  rows.push_back(
      InSeconds(Within(About("watch.over_age_seconds", kSeconds, "3600", "WEIR_OVER_AGE_SECONDS", "--over-age",
                             "A job that has had its slot for longer, waiting included, is worth a warning."),
                       1, kYear),
                &Config::over_age));
  rows.push_back(Texts(About("watch.over_age_of", kTexts, "[]", "WEIR_OVER_AGE_OF", "--over-age-of",
                             "The same for single recipes: \"crop=7200\"."),
                       &Config::over_age_of));
  rows.push_back(Texts(Otherwise(About("media.roots", kPaths, "", "WEIR_MEDIA_ROOTS", "--media-root",
                                       "Folders below which inputs and outputs of jobs may lie."),
                                 "the folder in which `weir serve` was started"),
                       &Config::media_roots));
  rows.push_back(InBytes(Within(About("media.largest_input", kBytes, "0", "WEIR_LARGEST_INPUT", "--largest-input",
                                      "Larger input files are refused; 0: no limit."),
                                0, 1024 * kTib),
                         &Config::largest_input));
  rows.push_back(InSeconds(Within(About("media.max_duration_seconds", kSeconds, "86400", "WEIR_MAX_DURATION_SECONDS",
                                        "--max-duration", "Longer inputs are refused."),
                                  1, 3'600'000),
                           &Config::max_duration));
  rows.push_back(Whole(Within(About("media.max_pixels", kWhole, "50000000", "WEIR_MAX_PIXELS", "--max-pixels",
                                    "Inputs with more pixels in a picture are refused."),
                              256, 1'000'000'000),
                       &Config::max_pixels));
  rows.push_back(
      Whole(Otherwise(Within(About("queue.slots", kWhole, "", "WEIR_SLOTS", "--slots", "Jobs at once."), 1, 1024),
                      "two more than there are processors"),
            &Config::slots));
  rows.push_back(Whole(Otherwise(Within(About("queue.processors", kWhole, "", "WEIR_PROCESSORS", "--processors",
                                              "Processors to keep busy; no further encoder begins while they are."),
                                        1, 1024),
                                 "those that may be used"),
                       &Config::processors));
  rows.push_back(Whole(Within(About("queue.size_weight", kWhole, "2", "WEIR_SIZE_WEIGHT", "--size-weight",
                                    "A way whose output is 1 % larger is taken when the queue ends so many per cent "
                                    "sooner; 0: however large."),
                              0, 100),
                       &Config::size_weight));
  rows.push_back(Whole(Within(About("queue.most_queued", kWhole, "10000", "WEIR_MOST_QUEUED", "--most-queued",
                                    "Jobs that may wait; further ones are refused."),
                              1, 1'000'000),
                       &Config::most_queued));
  rows.push_back(InSeconds(Within(About("queue.ageing_seconds", kSeconds, "30", "WEIR_AGEING_SECONDS", "--ageing",
                                        "A waiting job gains one point of priority each time this passes."),
                                  1, kYear),
                           &Config::ageing));
  rows.push_back(
      InSeconds(Within(About("queue.patience_seconds", kSeconds, "10", "WEIR_PATIENCE_SECONDS", "--patience",
                             "A step that has waited this long for memory is not passed by others any "
                             "more."),
                       0, 86'400),
                &Config::patience));
  rows.push_back(InSeconds(Within(About("jobs.stall_seconds", kSeconds, "120", "WEIR_STALL_SECONDS",
                                        "--stall-timeout", "A job that does not advance for this long is stopped."),
                                  1, 86'400),
                           &Config::stall));
  rows.push_back(InSeconds(Within(About("jobs.timeout_seconds", kSeconds, "0", "WEIR_TIMEOUT_SECONDS", "--timeout",
                                        "A job that works for longer is stopped; 0: ten minutes plus 60 times the "
                                        "length."),
                                  0, kYear),
                           &Config::timeout));
  rows.push_back(Whole(Within(About("jobs.retries", kWhole, "2", "WEIR_RETRIES", "--retries",
                                    "Further attempts after a lack of memory, a time-out, a stall or a crash."),
                              0, 20),
                       &Config::retries));
  rows.push_back(Whole(
      Within(About("jobs.infrastructure_retries", kWhole, "8", "WEIR_INFRASTRUCTURE_RETRIES",
                   "--infrastructure-retries", "Further attempts when the machine is at fault, such as a full disk."),
             0, 100),
      &Config::infrastructure_retries));
  rows.push_back(
      Word(OneOf(About("log.level", kWord, "\"info\"", "WEIR_LOG_LEVEL", "--log-level", "What is not worth a line."),
                 LevelNames()),
           &Config::log_level));
  rows.push_back(
      Word(OneOf(About("log.format", kWord, "\"text\"", "WEIR_LOG_FORMAT", "--log-format", "How lines look."),
                 FormatNames()),
           &Config::log_format));
  rows.push_back(
      Text(About("log.file", kPath, "\"\"", "WEIR_LOG_FILE", "--log-file", "File to log to; empty: standard error."),
           &Config::log_file));
  rows.push_back(InBytes(Within(About("log.file_size", kBytes, "\"10M\"", "WEIR_LOG_FILE_SIZE", "--log-file-size",
                                      "When the log file is larger, the next one begins."),
                                64 * 1024, 1024 * kMib),
                         &Config::log_file_size));
  rows.push_back(Whole(Within(About("log.files", kWhole, "5", "WEIR_LOG_FILES", "--log-files",
                                    "Log files that are kept, the current one included."),
                              1, 100),
                       &Config::log_files));
  rows.push_back(
      {.setting = About("sandbox.require", SettingType::kBoolean, "false", "WEIR_REQUIRE_SANDBOX",
                        "--require-sandbox", "Do not start when a layer of the sandbox is missing."),
       .set = [](Config& config, const Value& value) { config.require_sandbox = std::get<bool>(value); },
       .show = [](const Config& config) { return std::string(config.require_sandbox ? "true" : "false"); }});
  rows.push_back(Text(About("tools.ffmpeg", kText, "\"ffmpeg\"", "WEIR_FFMPEG", "--ffmpeg",
                            "The ffmpeg to use: a path, or a name to look for in PATH."),
                      &Config::ffmpeg));
  rows.push_back(Text(About("tools.ffprobe", kText, "\"\"", "WEIR_FFPROBE", "--ffprobe",
                            "The ffprobe to use; empty: beside ffmpeg, else in PATH."),
                      &Config::ffprobe));
  return rows;
}

constexpr std::array<std::string_view, 32> kReloading{"server.hosts",
                                                      "server.origins",
                                                      "server.connections",
                                                      "server.largest_body",
                                                      "data.disk_reserve",
                                                      "memory.budget",
                                                      "memory.elevated_percent",
                                                      "memory.high_percent",
                                                      "memory.critical_percent",
                                                      "memory.machine_elevated_percent",
                                                      "memory.machine_high_percent",
                                                      "memory.machine_critical_percent",
                                                      "memory.stall_elevated_percent",
                                                      "memory.stall_high_percent",
                                                      "memory.stall_critical_percent",
                                                      "memory.hold_seconds",
                                                      "watch.most_handles",
                                                      "watch.most_children",
                                                      "watch.stuck_seconds",
                                                      "watch.stuck_of",
                                                      "watch.over_age_seconds",
                                                      "watch.over_age_of",
                                                      "queue.slots",
                                                      "queue.processors",
                                                      "queue.size_weight",
                                                      "queue.most_queued",
                                                      "server.requests_per_second",
                                                      "server.route_rates",
                                                      "queue.ageing_seconds",
                                                      "queue.patience_seconds",
                                                      "log.level",
                                                      "server.stop_grace_seconds"};

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = [] {
    auto all = MakeRows();
    for (auto& row : all) {
      row.setting.reloads = std::ranges::find(kReloading, row.setting.key) != kReloading.end();
    }
    return all;
  }();
  return rows;
}

// Variables with this prefix that are no settings of the server.
bool IsOtherVariable(std::string_view name) {
  constexpr std::array<std::string_view, 4> kOthers{"WEIR_STATE_DIR", "WEIR_SERVER", "WEIR_TOKEN", "WEIR_CONFIG"};
  return name.starts_with("WEIR_TEST_") || std::ranges::find(kOthers, name) != kOthers.end();
}

// ---- Reading

// Where a value comes from, and how to speak of it.
struct Place {
  std::string shown;   // "'weir.toml', line 3, server.listen", "WEIR_LISTEN"
  std::string origin;  // for came_from
  std::string folder;  // for relative paths
};

std::unexpected<Error> NotThat(const Place& place, const Setting& setting, const std::string& given) {
  return Refuse(place.shown + ": " + given + " is not allowed here; give " + AllowedText(setting));
}

bool IsPlainText(std::string_view text) {
  return text.size() <= kLongestText && text.find_first_of(std::string_view("\0\n\r", 3)) == std::string_view::npos;
}

std::string Absolute(const std::string& path, const std::string& folder) {
  const fs::path given(path);
  std::string whole =
      (given.is_absolute() || folder.empty() ? given : fs::path(folder) / given).lexically_normal().string();
  while (whole.size() > 1 && whole.ends_with('/')) {
    whole.pop_back();
  }
  return whole;
}

Result<Value> CheckedNumber(const Place& place, const Setting& setting, std::uint64_t number,
                            const std::string& given) {
  if (number < setting.low || number > setting.high) {
    return NotThat(place, setting, given);
  }
  return number;
}

// A value that was written as text: always in the environment and in flags, by type in the file.
Result<Value> FromText(const Place& place, const Setting& setting, const std::string& text) {
  using enum SettingType;
  if (!IsPlainText(text)) {
    return NotThat(place, setting, "a text that is too long or has line breaks");
  }
  switch (setting.type) {
    case kListen:
      return ParseListen(text) ? Result<Value>(text) : NotThat(place, setting, Quoted(text));
    case kWhole: {
      const auto number = ParseUnsigned(text);
      return number ? CheckedNumber(place, setting, *number, text) : NotThat(place, setting, Quoted(text));
    }
    case kSeconds: {
      const auto number = ParseSeconds(text);
      return number ? CheckedNumber(place, setting, *number, Quoted(text)) : NotThat(place, setting, Quoted(text));
    }
    case kBytes: {
      const auto bytes = ParseBytes(text);
      return bytes ? CheckedNumber(place, setting, bytes->count(), Quoted(text))
                   : NotThat(place, setting, Quoted(text));
    }
    case kText:
      return text;
    case kPath:
      return text.empty() ? text : Absolute(text, place.folder);
    case kWord: {
      if (std::ranges::find(setting.words, text) != setting.words.end()) {
        return text;
      }
      const auto nearest = NearestName(text, setting.words);
      return Refuse(place.shown + ": " + Quoted(text) + " is not one of " + Listed(setting.words) +
                    (nearest ? "; did you mean " + *nearest + "?" : ""));
    }
    case kBoolean:
      if (text != "true" && text != "false") {
        return NotThat(place, setting, Quoted(text));
      }
      return text == "true";
    case kTexts:
    case kPaths:
      break;
  }
  return Fail(ErrorCode::kInternal, "a list is not read from one text");
}

bool IsList(const Setting& setting) {
  return setting.type == SettingType::kTexts || setting.type == SettingType::kPaths;
}

Result<Value> FromTexts(const Place& place, const Setting& setting, const std::vector<std::string>& texts) {
  if (texts.size() > kLongestList) {
    return NotThat(place, setting, "a list of more than " + std::to_string(kLongestList));
  }
  const bool paths = setting.type == SettingType::kPaths;
  std::vector<std::string> checked;
  for (const auto& text : texts) {
    if (text.empty() || !IsPlainText(text)) {
      return NotThat(place, setting, text.empty() ? "an empty text" : "a text that is too long or has line breaks");
    }
    checked.push_back(paths ? Absolute(text, place.folder) : text);
  }
  if (paths && checked.empty()) {
    return NotThat(place, setting, "an empty list");
  }
  return checked;
}

// "a:b" for folders as in PATH, "a,b" for words.
std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    if (const auto part = Trim(text.substr(0, end)); !part.empty()) {
      parts.emplace_back(part);
    }
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::string KindOf(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return std::to_string(node.as_integer()->get());
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return node.as_boolean()->get() ? "true" : "false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

Result<std::vector<std::string>> TextsOf(const Place& place, const Setting& setting, const toml::node& node) {
  const auto* list = node.as_array();
  if (list == nullptr) {
    return NotThat(place, setting, KindOf(node));
  }
  std::vector<std::string> texts;
  for (const auto& entry : *list) {
    const auto* text = entry.as_string();
    if (text == nullptr) {
      return NotThat(place, setting, "a list with " + KindOf(entry) + " in it");
    }
    texts.push_back(text->get());
  }
  return texts;
}

Result<Value> FromToml(const Place& place, const Setting& setting, const toml::node& node) {
  using enum SettingType;
  if (IsList(setting)) {
    WEIR_ASSIGN(const auto texts, TextsOf(place, setting, node));
    return FromTexts(place, setting, texts);
  }
  if (const auto* flag = node.as_boolean(); flag != nullptr && setting.type == kBoolean) {
    return flag->get();
  }
  if (const auto* number = node.as_integer();
      number != nullptr && (setting.type == kWhole || setting.type == kSeconds || setting.type == kBytes)) {
    if (number->get() < 0) {
      return NotThat(place, setting, KindOf(node));
    }
    return CheckedNumber(place, setting, static_cast<std::uint64_t>(number->get()), KindOf(node));
  }
  const auto* text = node.as_string();
  if (text == nullptr || setting.type == kWhole || setting.type == kBoolean) {
    return NotThat(place, setting, KindOf(node));
  }
  return FromText(place, setting, text->get());
}

// ---- The file

struct FileReader {
  const ConfigSources& sources;
  Config& config;
  std::string folder{};

  [[nodiscard]] std::string At(const toml::node& node, const std::string& key) const {
    return Quoted(sources.file) + ", line " + std::to_string(node.source().begin.line) + ", " + Printable(key);
  }
  [[nodiscard]] std::string Origin(const toml::node& node) const {
    return Printable(fs::path(sources.file).filename().string()) + ", line " +
           std::to_string(node.source().begin.line);
  }

  [[nodiscard]] std::unexpected<Error> Unknown(const toml::node& node, const std::string& key,
                                               const std::vector<std::string>& known) const {
    const auto nearest = NearestName(key, known);
    return Refuse(At(node, key) + ": there is no such setting" +
                  (nearest ? "; did you mean " + *nearest + "?" : "; docs/CONFIGURATION.md lists what there is"));
  }

  Status Section(const std::string& name, const toml::table& table, const std::vector<std::string>& keys) {
    for (const auto& [word, node] : table) {
      const std::string key = name + "." + std::string(word.str());
      const auto row = std::ranges::find(Rows(), key, [](const Row& r) { return r.setting.key; });
      if (row == Rows().end()) {
        return Unknown(node, key, keys);
      }
      const Place place{.shown = At(node, key), .origin = Origin(node), .folder = folder};
      WEIR_ASSIGN(const Value value, FromToml(place, row->setting, node));
      row->set(config, value);
      config.came_from[key] = place.origin;
    }
    return {};
  }

  Result<std::string> TokenText(const toml::table& table, const char* name) const {
    const auto* node = table.get(name);
    if (node == nullptr) {
      return Refuse(At(table, "tokens") + ": a token needs " + name);
    }
    if (const auto* text = node->as_string()) {
      return text->get();
    }
    return Refuse(At(*node, std::string("tokens.") + name) + ": " + KindOf(*node) +
                  " is not allowed here; give a text");
  }

  Status Token(const toml::table& table) {
    static const std::vector<std::string> kMembers{"name", "sha256", "scopes"};
    for (const auto& [word, node] : table) {
      if (std::ranges::find(kMembers, word.str()) == kMembers.end()) {
        const auto nearest = NearestName(word.str(), kMembers);
        return Refuse(At(node, "tokens." + std::string(word.str())) +
                      ": a token has name, sha256 and scopes, nothing else" +
                      (nearest ? "; did you mean " + *nearest + "?" : ""));
      }
    }
    http::Token token;
    WEIR_ASSIGN(token.name, TokenText(table, "name"));
    WEIR_ASSIGN(token.sha256, TokenText(table, "sha256"));
    if (token.name.empty() || token.name.size() > 64 || Printable(token.name) != token.name) {
      return Refuse(At(table, "tokens.name") + ": a name has 1 to 64 printable characters");
    }
    if (token.sha256.size() != 64 || token.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
      // Never quoted: somebody may have put the secret itself there.
      return Refuse(At(table, "tokens.sha256") +
                    ": not 64 hexadecimal digits in lower case; make one with "
                    "\"weir token add\"");
    }
    const auto* scopes = table.get("scopes");
    if (scopes == nullptr) {
      return Refuse(At(table, "tokens") + ": a token needs scopes, a list of read, submit and admin");
    }
    const Setting shape = About("tokens.scopes", SettingType::kTexts, "", "", "", "");
    const Place place{.shown = At(*scopes, "tokens.scopes"), .origin = {}, .folder = {}};
    WEIR_ASSIGN(const auto words, TextsOf(place, shape, *scopes));
    std::string joined;
    for (const auto& word : words) {
      joined += (joined.empty() ? "" : ",") + word;
    }
    auto bits = ParseScopes(joined);
    if (!bits) {
      return Refuse(place.shown + ": " + bits.error().detail);
    }
    token.scopes = *bits;
    if (std::ranges::find(config.tokens, token.name, &http::Token::name) != config.tokens.end()) {
      return Refuse(At(table, "tokens.name") + ": " + Quoted(token.name) + " is there twice");
    }
    if (config.tokens.size() >= kMostTokens) {
      return Refuse(At(table, "tokens") + ": more than " + std::to_string(kMostTokens) + " tokens");
    }
    config.tokens.push_back(std::move(token));
    return {};
  }

  Status Tokens(const toml::node& node) {
    const auto* list = node.as_array();
    if (list == nullptr) {
      return Refuse(At(node, "tokens") + ": write each token as a table of its own, [[tokens]]");
    }
    for (const auto& entry : *list) {
      const auto* table = entry.as_table();
      if (table == nullptr) {
        return Refuse(At(entry, "tokens") + ": write each token as a table of its own, [[tokens]]");
      }
      WEIR_TRY(Token(*table));
    }
    return {};
  }

  Status Read() {
    const auto parsed = toml::parse(std::string_view(sources.text), sources.file);
    if (!parsed) {
      const auto& error = parsed.error();
      return Refuse(Quoted(sources.file) + ", line " + std::to_string(error.source().begin.line) + ", column " +
                    std::to_string(error.source().begin.column) + ": " + Printable(error.description()));
    }
    std::vector<std::string> keys;
    std::vector<std::string> tops{"tokens"};
    for (const auto& row : Rows()) {
      keys.push_back(row.setting.key);
      const std::string top = row.setting.key.substr(0, row.setting.key.find('.'));
      if (std::ranges::find(tops, top) == tops.end()) {
        tops.push_back(top);
      }
    }
    folder = fs::path(sources.file).parent_path().string();
    for (const auto& [word, node] : parsed.table()) {
      const std::string name(word.str());
      if (name == "tokens") {
        WEIR_TRY(Tokens(node));
        continue;
      }
      const auto* table = node.as_table();
      if (std::ranges::find(tops, name) == tops.end()) {
        // "listen = ..." above the first table: its whole name is the best hint.
        std::vector<std::string> ends;
        for (const auto& key : keys) {
          if (key.ends_with("." + name)) {
            return Refuse(At(node, name) + ": there is no such setting; did you mean " + key + "?");
          }
        }
        return Unknown(node, name, tops);
      }
      if (table == nullptr) {
        return Refuse(At(node, name) + ": " + KindOf(node) + " is not allowed here; this is a table, [" + name + "]");
      }
      WEIR_TRY(Section(name, *table, keys));
    }
    return {};
  }
};

// ---- Defaults, environment, flags

std::string VariableOr(const ConfigSources& sources, const char* name, std::string_view otherwise = {}) {
  const auto found = sources.environment.find(name);
  return found != sources.environment.end() ? found->second : std::string(otherwise);
}

std::string DefaultData(const ConfigSources& sources) {
  if (const auto state = VariableOr(sources, "WEIR_STATE_DIR"); !state.empty()) {
    return Absolute(state, sources.folder) + "/data";
  }
  // As the specification of these variables has it, a relative one does not count.
  if (const auto state = VariableOr(sources, "XDG_STATE_HOME"); state.starts_with('/')) {
    return Absolute(state, {}) + "/weir/data";
  }
  const auto home = VariableOr(sources, "HOME");
  return home.starts_with('/') ? Absolute(home, {}) + "/.local/state/weir/data" : std::string();
}

Status SetDefaults(const ConfigSources& sources, Config& config) {
  for (const auto& row : Rows()) {
    const auto& setting = row.setting;
    config.came_from[setting.key] = "default";
    if (setting.fallback.empty()) {
      continue;
    }
    const auto parsed = toml::parse("v = " + setting.fallback);
    if (!parsed) {
      return Fail(ErrorCode::kInternal, "the default of " + setting.key + " is no TOML");
    }
    const Place place{.shown = "the default of " + setting.key, .origin = {}, .folder = sources.folder};
    WEIR_ASSIGN(const Value value, FromToml(place, setting, *parsed.table().get("v")));
    row.set(config, value);
  }
  config.processors = std::clamp(sources.cpus, 1U, 1024U);
  config.slots = std::min<std::size_t>(config.processors + 2, 1024);
  config.data = DefaultData(sources);
  config.media_roots = {sources.folder};
  return {};
}

Status ReadEnvironment(const ConfigSources& sources, Config& config) {
  std::vector<std::string> known;
  for (const auto& row : Rows()) {
    known.push_back(row.setting.environment);
  }
  for (const auto& [name, text] : sources.environment) {
    if (!name.starts_with("WEIR_") || IsOtherVariable(name)) {
      continue;
    }
    const auto row = std::ranges::find(Rows(), name, [](const Row& r) { return r.setting.environment; });
    if (row == Rows().end()) {
      const auto nearest = NearestName(name, known);
      return Refuse("the environment variable " + Printable(name) + " is not known" +
                    (nearest ? "; did you mean " + *nearest + "?" : "; docs/CONFIGURATION.md lists what there is"));
    }
    if (text.empty()) {
      continue;  // as if it were not set, as these variables have always been read
    }
    const auto& setting = row->setting;
    const Place place{.shown = name, .origin = name, .folder = sources.folder};
    WEIR_ASSIGN(const Value value,
                IsList(setting)
                    ? FromTexts(place, setting, Split(text, setting.type == SettingType::kPaths ? ':' : ','))
                    : FromText(place, setting, text));
    row->set(config, value);
    config.came_from[setting.key] = place.origin;
  }
  return {};
}

Status ReadFlags(const ConfigSources& sources, Config& config) {
  std::map<std::string, std::vector<std::string>> given;
  for (const auto& [flag, text] : sources.flags) {
    given[flag].push_back(text);
  }
  for (const auto& row : Rows()) {
    const auto& setting = row.setting;
    const auto found = given.find(setting.flag);
    if (found == given.end()) {
      continue;
    }
    const Place place{.shown = setting.flag, .origin = setting.flag, .folder = sources.folder};
    WEIR_ASSIGN(const Value value, IsList(setting) ? FromTexts(place, setting, found->second)
                                                   : FromText(place, setting, found->second.back()));
    row.set(config, value);
    config.came_from[setting.key] = place.origin;
    given.erase(found);
  }
  if (!given.empty()) {
    return Refuse("unknown option " + Quoted(given.begin()->first));
  }
  return {};
}

bool IsFile(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string TypeText(SettingType type) {
  using enum SettingType;
  switch (type) {
    case kListen:
      return "address:port";
    case kWhole:
      return "number";
    case kSeconds:
      return "seconds";
    case kBytes:
      return "bytes";
    case kText:
      return "text";
    case kPath:
      return "path";
    case kTexts:
      return "list of texts";
    case kPaths:
      return "list of paths";
    case kWord:
      return "word";
    case kBoolean:
      return "true or false";
  }
  return {};
}

}  // namespace

const std::vector<Setting>& SettingsTable() {
  static const std::vector<Setting> table = [] {
    std::vector<Setting> settings;
    for (const auto& row : Rows()) {
      settings.push_back(row.setting);
    }
    return settings;
  }();
  return table;
}

std::string AllowedText(const Setting& setting) {
  using enum SettingType;
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  switch (setting.type) {
    case kListen:
      return "an address with a port from 0 to 65535, such as 127.0.0.1:4545 or [::1]:4545";
    case kWhole:
      return "a whole number from " + number(setting.low) + " to " + number(setting.high);
    case kSeconds:
      return "whole seconds from " + number(setting.low) + " to " + number(setting.high) +
             ", or a text such as 90s, 5m, 2h or 7d";
    case kBytes:
      return "an amount from " + BytesText(setting.low) + " to " + BytesText(setting.high) + ", such as 256M or 1.5G";
    case kText:
      return "a text in one line";
    case kPath:
      return "a path";
    case kTexts:
      return "a list of texts, such as [\"a\", \"b\"]";
    case kPaths:
      return "a list of one or more paths, such as [\"/srv/media\"]";
    case kWord:
      return Listed(setting.words);
    case kBoolean:
      return "true or false";
  }
  return {};
}

Result<std::pair<std::string, std::chrono::seconds>> ParseSecondsOf(std::string_view text) {
  const auto equals = text.find('=');
  const std::string recipe(text.substr(0, equals));
  const auto& names = media::RecipeNames();
  std::uint64_t number = 0;
  const std::string_view digits = equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool is_number = !digits.empty() && error == std::errc() && end == digits.data() + digits.size();
  if (std::ranges::find(names, recipe) == names.end() || !is_number || number == 0 || number > kYear) {
    return Fail(ErrorCode::kBadParameters,
                Quoted(std::string(text)) + " is not a recipe and whole seconds, such as \"crop=7200\"");
  }
  return std::pair(recipe, std::chrono::seconds(number));
}

memory::PressureSettings PressureOf(const Config& config) {
  const auto share = [](unsigned percent) { return percent / 100.0; };
  memory::PressureSettings settings;
  settings.budget = {.elevated = share(config.elevated_percent),
                     .high = share(config.high_percent),
                     .critical = share(config.critical_percent)};
  settings.machine = {.elevated = share(config.machine_elevated_percent),
                      .high = share(config.machine_high_percent),
                      .critical = share(config.machine_critical_percent)};
  settings.stalls = {.elevated = static_cast<double>(config.stall_elevated_percent),
                     .high = static_cast<double>(config.stall_high_percent),
                     .critical = static_cast<double>(config.stall_critical_percent)};
  // Below the lowest threshold, or that level would never be left.
  settings.hysteresis = std::min({settings.hysteresis, settings.budget.elevated / 2, settings.machine.elevated / 2});
  settings.stall_hysteresis = std::min(settings.stall_hysteresis, settings.stalls.elevated / 2);
  settings.hold = config.pressure_hold;
  return settings;
}

Result<Config> LoadConfig(const ConfigSources& sources) {
  Config config;
  WEIR_TRY(SetDefaults(sources, config));
  if (!sources.file.empty()) {
    FileReader reader{.sources = sources, .config = config};
    WEIR_TRY(reader.Read());
  }
  WEIR_TRY(ReadEnvironment(sources, config));
  WEIR_TRY(ReadFlags(sources, config));
  if (config.data.empty()) {
    return Refuse(
        "data.folder: there is no place for it by default, because HOME is not set; name a folder with "
        "data.folder, WEIR_DATA or --data");
  }
  const std::string& rates_from = config.came_from["server.route_rates"];
  if (config.route_rates.size() > kMostRouteRates) {
    return Refuse(rates_from + ": server.route_rates has more than " + std::to_string(kMostRouteRates) + " entries");
  }
  for (const auto& rate : config.route_rates) {
    if (const auto parsed = http::ParseRouteRate(rate); !parsed) {
      return Refuse(rates_from + ": server.route_rates: " + parsed.error().detail);
    }
  }
  for (const auto& [name, texts] :
       {std::pair("watch.stuck_of", &config.stuck_of), std::pair("watch.over_age_of", &config.over_age_of)}) {
    for (const auto& text : *texts) {
      if (const auto parsed = ParseSecondsOf(text); !parsed) {
        return Refuse(config.came_from[name] + ": " + name + ": " + parsed.error().detail);
      }
    }
  }
  if (const auto valid = memory::Validate(PressureOf(config)); !valid) {
    return Refuse("[memory]: the levels of pressure must rise from elevated to high to critical: " +
                  valid.error().detail);
  }
  return config;
}

std::string ShowConfig(const Config& config) {
  std::string text;
  std::string section;
  for (const auto& row : Rows()) {
    const auto& setting = row.setting;
    const std::size_t dot = setting.key.find('.');
    if (setting.key.substr(0, dot) != section) {
      section = setting.key.substr(0, dot);
      text += (text.empty() ? "[" : "\n[") + section + "]\n";
    }
    const std::string name = setting.key.substr(dot + 1);
    const auto origin = config.came_from.find(setting.key);
    const std::string from = origin != config.came_from.end() ? origin->second : "default";
    const std::string value = row.show(config);
    text += value.empty() ? fmt::format("# {} is not set: {}\n", name, setting.fallback_sentence)
                          : fmt::format("{} = {}  # {}\n", name, value, from);
  }
  text += "\n# tokens (their digests are not shown):";
  for (const auto& token : config.tokens) {
    text += fmt::format("\n#   {}: {}", Printable(token.name), ScopesText(token.scopes));
  }
  return text + (config.tokens.empty() ? " none\n" : "\n");
}

std::string ValueText(const Config& config, const std::string& key) {
  const auto row = std::ranges::find(Rows(), key, [](const Row& r) { return r.setting.key; });
  return row != Rows().end() ? row->show(config) : std::string();
}

std::vector<std::string> NeedsRestart(const Config& running, const Config& fresh) {
  std::vector<std::string> keys;
  for (const auto& row : Rows()) {
    if (!row.setting.reloads && row.show(running) != row.show(fresh)) {
      keys.push_back(row.setting.key);
    }
  }
  return keys;
}

std::string SettingsAsMarkdown() {
  std::string text =
      "| Key | Type and range | Default | Environment | Flag | Reloads | Meaning |\n|---|---|---|---|---|---|---|\n";
  for (const auto& setting : SettingsTable()) {
    using enum SettingType;
    std::string type = TypeText(setting.type);
    if (setting.type == kWhole || setting.type == kSeconds) {
      type += fmt::format(", {} to {}", setting.low, setting.high);
    } else if (setting.type == kBytes) {
      type += fmt::format(", {} to {}", BytesText(setting.low), BytesText(setting.high));
    } else if (setting.type == kWord) {
      type = Listed(setting.words);
    }
    text += fmt::format("| `{}` | {} | {} | `{}` | `{}` | {} | {} |\n", setting.key, type,
                        setting.fallback.empty() ? setting.fallback_sentence : "`" + setting.fallback + "`",
                        setting.environment, setting.flag, setting.reloads ? "yes" : "", setting.sentence);
  }
  return text;
}

Result<ConfigSources> GatherSources(ConfigSources sources) {
  std::error_code error;
  sources.folder = fs::current_path(error).string();
  if (error) {
    return Fail(ErrorCode::kSystem, "the current folder cannot be found: " + error.message());
  }
  sources.environment = os::Environment();
  sources.cpus = os::UsableCpus();
  const auto variable = [&](const char* name) { return VariableOr(sources, name); };
  if (sources.file.empty()) {
    sources.file = variable("WEIR_CONFIG");
  }
  if (sources.file.empty()) {
    const auto xdg = variable("XDG_CONFIG_HOME");
    const auto home = variable("HOME");
    const std::string own = xdg.starts_with('/')    ? xdg + "/weir/weir.toml"
                            : home.starts_with('/') ? home + "/.config/weir/weir.toml"
                                                    : std::string();
    sources.file = !own.empty() && IsFile(own) ? own : IsFile("/etc/weir/weir.toml") ? "/etc/weir/weir.toml" : "";
    if (sources.file.empty()) {
      return sources;
    }
  }
  sources.file = Absolute(sources.file, sources.folder);
  WEIR_ASSIGN(sources.text, os::ReadSmallFile(sources.file, kLargestFile + Bytes(1)));
  if (sources.text.size() > kLargestFile.count()) {
    return Fail(ErrorCode::kInputTooLarge,
                Quoted(sources.file) + " is larger than the " + ToString(kLargestFile) + " a configuration may have");
  }
  return sources;
}

Result<std::uint8_t> ParseScopes(std::string_view text) {
  static const std::vector<std::string> kNames{"read", "submit", "admin"};
  std::uint8_t bits = 0;
  for (const auto& word : Split(text, ',')) {
    const auto found = std::ranges::find(kNames, word);
    if (found == kNames.end()) {
      const auto nearest = NearestName(word, kNames);
      return Refuse(Quoted(word) + " is not a scope: there are read, submit and admin" +
                    (nearest ? "; did you mean " + *nearest + "?" : ""));
    }
    bits = static_cast<std::uint8_t>(bits | (1U << static_cast<unsigned>(found - kNames.begin())));
  }
  if (bits == 0) {
    return Refuse("no scope: give one or more of read, submit and admin, with commas between");
  }
  return bits;
}

std::string ScopesText(std::uint8_t scopes) {
  std::string text;
  for (const auto& [bit, name] :
       {std::pair(http::kRead, "read"), std::pair(http::kSubmit, "submit"), std::pair(http::kAdmin, "admin")}) {
    if ((scopes & bit) != 0) {
      text += (text.empty() ? "" : ",") + std::string(name);
    }
  }
  return text;
}

Result<NewToken> MakeToken(const std::string& name, std::uint8_t scopes) {
  if (name.empty() || name.size() > 64 ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
          std::string::npos) {
    return Refuse("the name of a token has 1 to 64 letters, digits, dashes, underscores and dots; " + Quoted(name) +
                  " has not");
  }
  WEIR_ASSIGN(const std::string random, os::RandomBytes(32));
  NewToken token;
  token.secret = "weir_";
  for (const char c : random) {
    token.secret += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  std::string words;
  for (const auto& word : Split(ScopesText(scopes), ',')) {
    words += (words.empty() ? "\"" : ", \"") + word + "\"";
  }
  token.toml = fmt::format("[[tokens]]\nname = {}\nsha256 = \"{}\"\nscopes = [{}]\n", TomlText(name),
                           ToHex(Sha256(token.secret)), words);
  return token;
}

Status AddToken(const ConfigSources& sources, const std::string& name, const NewToken& token) {
  ConfigSources file_alone = sources;
  file_alone.flags.clear();
  file_alone.environment = {{"HOME", "/"}};
  WEIR_ASSIGN(const Config before, LoadConfig(file_alone));
  if (std::ranges::find(before.tokens, name, &http::Token::name) != before.tokens.end()) {
    return Fail(ErrorCode::kConflict, Quoted(sources.file) + " has a token " + Quoted(name) +
                                          " already; take another name, or remove that one first");
  }
  std::string& text = file_alone.text;
  text += (text.empty() ? "" : text.ends_with('\n') ? "\n" : "\n\n") + token.toml;
  if (text.size() > kLargestFile.count()) {
    return Fail(ErrorCode::kInputTooLarge, Quoted(sources.file) + " would be larger than the " +
                                               ToString(kLargestFile) + " a configuration may have");
  }
  WEIR_ASSIGN(const Config after, LoadConfig(file_alone));
  if (after.tokens.size() != before.tokens.size() + 1) {
    return Fail(ErrorCode::kInternal, "the token would not be found again in " + Quoted(sources.file));
  }
  return os::ReplaceFile(sources.file, text, false);
}

}  // namespace weir::app
