// Config: the settings of `weir serve`, from weir.toml, the environment (WEIR_*) and flags; later ones win. One table
// stands behind parsing, checking, showing and docs/CONFIGURATION.md. Starts nothing and touches no file, except for
// GatherSources and AddToken. Values: any thread may read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "base/result.h"
#include "http/server.h"
#include "memory/pressure.h"

namespace weir::app {

struct Config {
  // [server]
  std::string address = "127.0.0.1";
  std::uint16_t port = 4545;
  std::vector<std::string> hosts;    // further names that requests may be addressed to
  std::vector<std::string> origins;  // of web pages that may call
  std::size_t connections = 0;
  Bytes largest_body;
  unsigned requests_per_second = 0;      // of each caller; 0: no limit
  std::vector<std::string> route_rates;  // http::ParseRouteRate
  std::chrono::seconds stop_grace{};
  std::vector<http::Token> tokens;  // [[tokens]]; only the digests of the secrets are known
  // [data]
  std::string data;  // absolute
  Bytes disk_reserve;
  std::chrono::seconds keep_succeeded{};
  std::chrono::seconds keep_failed{};
  std::chrono::seconds keep_cancelled{};
  // [memory]
  std::optional<Bytes> memory;    // nullopt: half of what is free at the start
  unsigned elevated_percent = 0;  // of the budget
  unsigned high_percent = 0;
  unsigned critical_percent = 0;
  unsigned machine_elevated_percent = 0;  // of the machine's memory
  unsigned machine_high_percent = 0;
  unsigned machine_critical_percent = 0;
  unsigned stall_elevated_percent = 0;  // of the time
  unsigned stall_high_percent = 0;
  unsigned stall_critical_percent = 0;
  std::chrono::seconds pressure_hold{};
  // [watch]
  std::size_t most_handles = 0;
  std::size_t most_children = 0;
  std::chrono::seconds stuck{};
  std::chrono::seconds over_age{};
  std::vector<std::string> over_age_of;  // "crop=7200"
  std::vector<std::string> stuck_of;     // as well
  // [media]
  std::vector<std::string> media_roots;  // absolute; never empty
  Bytes largest_input;                   // zero: no limit
  std::chrono::seconds max_duration{};
  std::int64_t max_pixels = 0;
  // [queue]
  std::size_t slots = 0;
  std::size_t processors = 0;
  std::size_t size_weight = 0;
  std::size_t most_queued = 0;
  std::chrono::seconds ageing{};
  std::chrono::seconds patience{};
  // [jobs]
  std::chrono::seconds stall{};
  std::chrono::seconds timeout{};  // zero: the plan's own
  int retries = 0;
  int infrastructure_retries = 0;
  // [log]
  log::Level log_level = log::Level::kInfo;
  enum class LogFormat : std::uint8_t { kText, kJson } log_format = LogFormat::kText;
  std::string log_file;  // absolute; empty: standard error
  Bytes log_file_size;   // of each
  int log_files = 0;     // the current one counts
  // [sandbox] and [tools]
  bool require_sandbox = false;
  std::string ffmpeg;
  std::string ffprobe;  // empty: beside ffmpeg, else in PATH

  std::map<std::string, std::string> came_from;  // by key: "default", "weir.toml, line 3", "WEIR_SLOTS", "--slots"
};

// "crop=7200": when work of this recipe counts as over age. Errors: kBadParameters, with the known recipes.
Result<std::pair<std::string, std::chrono::seconds>> ParseSecondsOf(std::string_view text);
// Levels of pressure; valid, once LoadConfig took them.
memory::PressureSettings PressureOf(const Config& config);

// All that a configuration is made of. LoadConfig looks at nothing else.
struct ConfigSources {
  std::string file;  // its name, for sentences and for relative paths in it; "": none
  std::string text;  // what is in it
  std::map<std::string, std::string> environment;
  std::vector<std::pair<std::string, std::string>> flags;  // {"--slots", "4"} in order; lists by repetition
  std::string folder;                                      // in which the program was started
  unsigned cpus = 1;
};

enum class SettingType : std::uint8_t {
  kListen,
  kWhole,
  kSeconds,
  kBytes,
  kText,
  kPath,
  kTexts,
  kPaths,
  kWord,
  kBoolean
};

// One row of the table, for whoever describes the settings.
struct Setting {
  std::string key;  // "server.listen"
  SettingType type;
  std::uint64_t low = 0;  // kWhole, kSeconds, kBytes: both ends are allowed
  std::uint64_t high = 0;
  std::vector<std::string> words;  // kWord
  std::string fallback;            // as in TOML; "" when it depends on the machine
  std::string fallback_sentence;   // used then
  std::string environment;         // "WEIR_LISTEN"
  std::string flag;                // "--listen"
  std::string sentence;
  bool reloads = false;  // a running server takes over a new value (SIGHUP)
};
const std::vector<Setting>& SettingsTable();
// "4 to 16", "16M to 1024T", "debug, info, warning or error", ...
std::string AllowedText(const Setting& setting);

// Errors: kBadParameters: an unknown key, variable or flag (with the nearest), a wrong type or a value out of range,
// with file, line, key and what is allowed; TOML that cannot be read, with its place.
Result<Config> LoadConfig(const ConfigSources& sources);
// TOML that loads as the same configuration, apart from tokens: nothing that has to do with secrets is in it.
std::string ShowConfig(const Config& config);
// One value as in ShowConfig, where TOML and JSON are written the same; "" when there is none.
std::string ValueText(const Config& config, const std::string& key);
// Keys whose values differ and that a running server cannot take over, in the order of the table.
std::vector<std::string> NeedsRestart(const Config& running, const Config& fresh);
// The table of docs/CONFIGURATION.md, as Markdown.
std::string SettingsAsMarkdown();

// Fills file, text, environment, folder and cpus of `sources`, in which only flags are given. `file`: "" means
// WEIR_CONFIG, else weir/weir.toml below $XDG_CONFIG_HOME (~/.config), else /etc/weir/weir.toml, when there is one.
// Errors: kInputMissing (a file that was asked for), kInputUnreadable, kInputTooLarge (above 256 KiB), kSystem.
Result<ConfigSources> GatherSources(ConfigSources sources);

// "read,submit" -> bits of http::Scope. Errors: kBadParameters with the nearest word.
Result<std::uint8_t> ParseScopes(std::string_view text);
std::string ScopesText(std::uint8_t scopes);  // "read,submit"

struct NewToken {
  std::string secret;  // 256 random bits; nobody keeps it
  std::string toml;    // the lines for the file, with its digest only
};
// Errors: kBadParameters (a name that is not 1 to 64 of a-z, A-Z, 0-9, dash, underscore, dot), kSystem.
Result<NewToken> MakeToken(const std::string& name, std::uint8_t scopes);
// Appends the lines to the file, atomically, when the whole still loads. A missing file is made.
// Errors: those of LoadConfig, kConflict (the name is taken), kOutputFolder, kOutputUnwritable, kDiskFull.
Status AddToken(const ConfigSources& sources, const std::string& name, const NewToken& token);

}  // namespace weir::app
