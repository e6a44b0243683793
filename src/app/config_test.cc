#include "app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/sha256.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ConfigSources Bare() {
  ConfigSources sources;
  sources.environment = {{"HOME", "/home/me"}, {"PATH", "/usr/bin"}};
  sources.folder = "/start";
  sources.cpus = 3;
  return sources;
}
ConfigSources WithFile(std::string text) {
  auto sources = Bare();
  sources.file = "/etc/weir/weir.toml";
  sources.text = std::move(text);
  return sources;
}
Config Good(const ConfigSources& sources) {
  auto config = LoadConfig(sources);
  EXPECT_TRUE(config) << Describe(config.error());
  return config ? *std::move(config) : Config();
}
std::string Refusal(const ConfigSources& sources) {
  const auto config = LoadConfig(sources);
  if (config) {
    return "accepted";
  }
  EXPECT_EQ(config.error().code, ErrorCode::kBadParameters);
  return config.error().detail;
}
std::string Refusal(const std::string& text) { return Refusal(WithFile(text)); }

// "[server]\nlisten = value".
std::string Line(const Setting& setting, const std::string& value) {
  const std::size_t dot = setting.key.find('.');
  return "[" + setting.key.substr(0, dot) + "]\n" + setting.key.substr(dot + 1) + " = " + value + "\n";
}
bool IsNumber(const Setting& setting) {
  return setting.type == SettingType::kWhole || setting.type == SettingType::kSeconds ||
         setting.type == SettingType::kBytes;
}
// A value of its own that every row takes, as text.
std::string Sample(const Setting& setting) {
  using enum SettingType;
  switch (setting.type) {
    case kListen:
      return "[::1]:80";
    case kWhole:
    case kSeconds:
    case kBytes:
      // Levels must rise among each other.
      if (setting.key.starts_with("memory.") && setting.key.ends_with("_percent")) {
        return std::to_string(std::stoi(setting.fallback) + 1);
      }
      return std::to_string(setting.low + 1);
    case kText:
      return "word";
    case kPath:
      return "/some/path";
    case kTexts:
      return setting.key == "server.route_rates" ? "GET / 7" : setting.key.starts_with("watch.") ? "crop=7" : "one";
    case kPaths:
      return "/one";
    case kWord:
      return setting.words.back();
    case kBoolean:
      return "true";
  }
  return {};
}
std::string AsToml(const Setting& setting, const std::string& text) {
  using enum SettingType;
  if (setting.type == kTexts || setting.type == kPaths) {
    return "[\"" + text + "\"]";
  }
  return IsNumber(setting) || setting.type == kBoolean ? text : "\"" + text + "\"";
}
// The line of one setting in what is shown.
std::string Shown(const Config& config, const Setting& setting) {
  const std::string name = setting.key.substr(setting.key.find('.') + 1);
  const std::string section = "[" + setting.key.substr(0, setting.key.find('.')) + "]";
  bool inside = false;
  const std::string shown = ShowConfig(config);
  for (const auto line : SplitLines(shown)) {
    inside = line.starts_with('[') ? line == section : inside;
    if (inside && line.starts_with(name + " = ")) {
      return std::string(line);
    }
  }
  return "not shown";
}

TEST(Config, WithoutAnySourceThereAreTheDocumentedDefaults) {
  const Config config = Good(Bare());
  EXPECT_EQ(config.address, "127.0.0.1");
  EXPECT_EQ(config.port, 4545);
  EXPECT_EQ(config.data, "/home/me/.local/state/weir/data");
  EXPECT_FALSE(config.memory);
  EXPECT_THAT(config.media_roots, ElementsAre("/start"));
  EXPECT_EQ(config.slots, 5U);
  EXPECT_EQ(config.processors, 3U);
  EXPECT_EQ(config.most_queued, 10'000U);
  EXPECT_EQ(config.ageing, std::chrono::seconds(30));
  EXPECT_EQ(config.patience, std::chrono::seconds(10));
  EXPECT_EQ(config.disk_reserve, Bytes::Mib(512));
  EXPECT_EQ(config.largest_input, Bytes());
  EXPECT_EQ(config.keep_succeeded, std::chrono::hours(24));
  EXPECT_EQ(config.retries, 2);
  EXPECT_EQ(config.infrastructure_retries, 8);
  EXPECT_EQ(config.stop_grace, std::chrono::seconds(30));
  EXPECT_EQ(config.largest_body, Bytes::Mib(1));
  EXPECT_EQ(config.connections, 256U);
  EXPECT_EQ(config.requests_per_second, 0U);
  EXPECT_EQ(config.log_level, log::Level::kInfo);
  EXPECT_EQ(config.log_format, Config::LogFormat::kText);
  EXPECT_EQ(config.ffmpeg, "ffmpeg");
  EXPECT_THAT(config.ffprobe, IsEmpty());
  EXPECT_FALSE(config.require_sandbox);
  EXPECT_THAT(config.tokens, IsEmpty());
}

TEST(Config, TheDataFolderFollowsTheStateFolder) {
  auto sources = Bare();
  sources.environment["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(Good(sources).data, "/state/weir/data");
  sources.environment["XDG_STATE_HOME"] = "relative";
  EXPECT_EQ(Good(sources).data, "/home/me/.local/state/weir/data");
  sources.environment["WEIR_STATE_DIR"] = "/own";
  EXPECT_EQ(Good(sources).data, "/own/data");
  sources.environment = {};
  EXPECT_THAT(Refusal(sources), AllOf(HasSubstr("data.folder"), HasSubstr("WEIR_DATA")));
  sources.flags = {{"--data", "here"}};
  EXPECT_EQ(Good(sources).data, "/start/here");
}

TEST(Config, EveryRowHasItsOwnNamesAndSaysWhatItIs) {
  std::vector<std::string> names;
  for (const auto& setting : SettingsTable()) {
    for (const auto& name : {setting.key, setting.environment, setting.flag}) {
      EXPECT_EQ(std::ranges::count(names, name), 0) << name;
      names.push_back(name);
    }
    EXPECT_TRUE(setting.environment.starts_with("WEIR_")) << setting.key;
    EXPECT_TRUE(setting.flag.starts_with("--")) << setting.key;
    EXPECT_TRUE(setting.sentence.ends_with(".")) << setting.key;
    EXPECT_NE(setting.fallback.empty(), setting.fallback_sentence.empty()) << setting.key;
    EXPECT_FALSE(AllowedText(setting).empty()) << setting.key;
  }
}

TEST(Config, EveryDefaultIsAcceptedAndChangesNothing) {
  const Config plain = Good(Bare());
  for (const auto& setting : SettingsTable()) {
    SCOPED_TRACE(setting.key);
    if (!setting.fallback.empty()) {
      Config config = Good(WithFile(Line(setting, setting.fallback)));
      EXPECT_EQ(config.came_from[setting.key], "weir.toml, line 2");
      config.came_from = plain.came_from;
      EXPECT_EQ(ShowConfig(config), ShowConfig(plain));
    }
  }
}

TEST(Config, LevelsOfPressureRise) {
  const auto levels = [](int elevated, int high, int critical) {
    return "[memory]\nelevated_percent = " + std::to_string(elevated) + "\nhigh_percent = " + std::to_string(high) +
           "\ncritical_percent = " + std::to_string(critical) + "\n";
  };
  const Config config = Good(WithFile(levels(1, 2, 100)));
  EXPECT_DOUBLE_EQ(PressureOf(config).budget.high, 0.02);
  EXPECT_LT(PressureOf(config).hysteresis, 0.01) << "or elevated would never end";
  EXPECT_DOUBLE_EQ(PressureOf(config).machine.critical, 0.98);
  for (const auto& wrong : {levels(70, 70, 95), levels(90, 85, 95), levels(70, 96, 95)}) {
    EXPECT_THAT(Refusal(wrong), HasSubstr("must rise"));
  }
}

TEST(Config, AnAgeOfARecipeIsARecipeAndSeconds) {
  const auto age = ParseSecondsOf("crop=7200");
  ASSERT_TRUE(age);
  EXPECT_EQ(age->first, "crop");
  EXPECT_EQ(age->second, std::chrono::hours(2));
  for (const char* wrong :
       {"", "crop", "crop=", "crop=0", "crop=-1", "crop=1h", "crop=99999999999999999999", "corp=5", "=5"}) {
    EXPECT_FALSE(ParseSecondsOf(wrong)) << wrong;
  }
}

TEST(Config, BothEndsOfARangeAreAllowedAndWhatLiesBeyondIsNot) {
  int ranges = 0;
  for (const auto& setting : SettingsTable()) {
    if (!IsNumber(setting)) {
      continue;
    }
    ++ranges;
    SCOPED_TRACE(setting.key);
    EXPECT_LT(setting.low, setting.high);
    // Levels must rise among each other: single ones cannot go to their ends.
    if (!setting.key.starts_with("memory.") || !setting.key.ends_with("_percent")) {
      Good(WithFile(Line(setting, std::to_string(setting.low))));
      Good(WithFile(Line(setting, std::to_string(setting.high))));
    }
    const auto expected =
        AllOf(HasSubstr("'/etc/weir/weir.toml', line 2, " + setting.key), HasSubstr(AllowedText(setting)));
    EXPECT_THAT(Refusal(Line(setting, std::to_string(setting.high + 1))), expected);
    EXPECT_THAT(Refusal(Line(setting, "-1")), expected);
    if (setting.low > 0) {
      EXPECT_THAT(Refusal(Line(setting, std::to_string(setting.low - 1))), expected);
    }
    auto sources = Bare();
    sources.environment[setting.environment] = std::to_string(setting.high + 1);
    EXPECT_THAT(Refusal(sources), AllOf(HasSubstr(setting.environment), HasSubstr(AllowedText(setting))));
    sources = Bare();
    sources.flags = {{setting.flag, "nonsense"}};
    EXPECT_THAT(Refusal(sources), AllOf(HasSubstr(setting.flag), HasSubstr(AllowedText(setting))));
  }
  EXPECT_GE(ranges, 20);
}

TEST(Config, AWrongTypeIsRefusedWithItsPlace) {
  for (const auto& setting : SettingsTable()) {
    SCOPED_TRACE(setting.key);
    for (const char* wrong : {"1.5", "1979-05-27", "{ a = 1 }", "[[1]]"}) {
      EXPECT_THAT(Refusal(Line(setting, wrong)), HasSubstr("line 2, " + setting.key)) << wrong;
    }
  }
  EXPECT_THAT(Refusal("[server]\nlisten = 4545\n"), HasSubstr("such as 127.0.0.1:4545"));
  EXPECT_THAT(Refusal("[queue]\nslots = \"4\"\n"), HasSubstr("a whole number from 1 to 1024"));
  EXPECT_THAT(Refusal("server = 3\n"), HasSubstr("this is a table, [server]"));
  EXPECT_THAT(Refusal("[server]\nroute_rates = [\"GET /\"]\n"),
              AllOf(HasSubstr("server.route_rates"), HasSubstr("three words")));
}

TEST(Config, LaterSourcesWinForEverySetting) {
  for (const auto& setting : SettingsTable()) {
    SCOPED_TRACE(setting.key);
    const auto text = Sample(setting);
    const auto file = WithFile(Line(setting, AsToml(setting, text)));
    const Config from_file = Good(file);
    EXPECT_THAT(Shown(from_file, setting), HasSubstr("# weir.toml, line 2"));
    auto sources = Bare();
    sources.environment[setting.environment] = text;
    Config from_environment = Good(sources);
    EXPECT_THAT(Shown(from_environment, setting), HasSubstr("# " + setting.environment));
    sources = Bare();
    sources.flags = {{setting.flag, text}};
    Config from_flag = Good(sources);
    EXPECT_THAT(Shown(from_flag, setting), HasSubstr("# " + setting.flag));
    // The same value, whoever said it.
    from_environment.came_from = from_flag.came_from = from_file.came_from;
    EXPECT_EQ(ShowConfig(from_environment), ShowConfig(from_file));
    EXPECT_EQ(ShowConfig(from_flag), ShowConfig(from_file));
  }
  auto sources = WithFile("[queue]\nslots = 5\nmost_queued = 50\nageing_seconds = 55\n");
  sources.environment["WEIR_SLOTS"] = "6";
  sources.environment["WEIR_MOST_QUEUED"] = "60";
  sources.flags = {{"--slots", "7"}, {"--slots", "8"}};
  const Config config = Good(sources);
  EXPECT_EQ(config.slots, 8U);
  EXPECT_EQ(config.most_queued, 60U);
  EXPECT_EQ(config.ageing, std::chrono::seconds(55));
}

TEST(Config, UnknownKeysAreNamedWithTheNearest) {
  EXPECT_THAT(Refusal("\n[queue]\nslot = 3\n"), AllOf(HasSubstr("line 3"), HasSubstr("did you mean queue.slots?")));
  EXPECT_THAT(Refusal("[sever]\nlisten = \"1\"\n"), HasSubstr("did you mean server?"));
  EXPECT_THAT(Refusal("slots = 3\n"), HasSubstr("did you mean queue.slots?"));
  EXPECT_THAT(Refusal("entirely_elsewhere = 3\n"), HasSubstr("docs/CONFIGURATION.md"));
  auto sources = Bare();
  sources.environment["WEIR_SLOT"] = "3";
  EXPECT_THAT(Refusal(sources), AllOf(HasSubstr("WEIR_SLOT "), HasSubstr("did you mean WEIR_SLOTS?")));
  sources = Bare();
  sources.flags = {{"--slot", "3"}};
  EXPECT_THAT(Refusal(sources), HasSubstr("--slot"));
}

TEST(Config, VariablesOfOtherPartsAreNoSettings) {
  auto sources = Bare();
  for (const char* name : {"WEIR_STATE_DIR", "WEIR_SERVER", "WEIR_TOKEN", "WEIR_CONFIG", "WEIR_TEST_ANYTHING"}) {
    sources.environment[name] = "/x";
  }
  sources.environment["WEIR_FFMPEG"] = "/opt/ffmpeg";
  sources.environment["WEIR_SLOTS"] = "";
  const Config config = Good(sources);
  EXPECT_EQ(config.ffmpeg, "/opt/ffmpeg");
  EXPECT_EQ(config.slots, 5U) << "an empty variable is as none";
  EXPECT_THAT(ShowConfig(config), Not(HasSubstr("WEIR_TOKEN")));
}

TEST(Config, AmountsAndTimesAreReadAsPeopleWriteThem) {
  const Config config =
      Good(WithFile("[memory]\nbudget = \"1.5G\"\n[media]\nlargest_input = 1000\n[data]\n"
                    "keep_failed_seconds = \"7d\"\nkeep_cancelled_seconds = \"90m\"\n"
                    "[server]\nlisten = \"[::1]:80\"\n"));
  EXPECT_EQ(*config.memory, Bytes::Mib(1536));
  EXPECT_EQ(config.largest_input, Bytes(1000));
  EXPECT_EQ(config.keep_failed, std::chrono::hours(7 * 24));
  EXPECT_EQ(config.keep_cancelled, std::chrono::minutes(90));
  EXPECT_EQ(config.address, "::1");
  EXPECT_EQ(config.port, 80);
  for (const char* listen :
       {"4545", ":4545", "::1:80", "127.0.0.1", "127.0.0.1:65536", "example.org:80", "1.1.1.1:-1"}) {
    EXPECT_THAT(Refusal("[server]\nlisten = \"" + std::string(listen) + "\"\n"), HasSubstr("such as")) << listen;
  }
}

TEST(Config, ListsComeFromEverySourceInItsOwnWay) {
  auto sources = WithFile("[media]\nroots = [\"sub/../media\", \"/srv/\"]\n[server]\nhosts = [\"a\", \"b\"]\n");
  EXPECT_THAT(Good(sources).media_roots, ElementsAre("/etc/weir/media", "/srv")) << "beside the file";
  sources.environment["WEIR_MEDIA_ROOTS"] = "/one::two";
  sources.environment["WEIR_HOSTS"] = "c, d";
  EXPECT_THAT(Good(sources).media_roots, ElementsAre("/one", "/start/two"));
  EXPECT_THAT(Good(sources).hosts, ElementsAre("c", "d"));
  sources.flags = {{"--media-root", "x"}, {"--media-root", "/y"}};
  EXPECT_THAT(Good(sources).media_roots, ElementsAre("/start/x", "/y"));
  EXPECT_THAT(Refusal("[media]\nroots = []\n"), HasSubstr("one or more paths"));
  EXPECT_THAT(Refusal("[media]\nroots = \"/x\"\n"), HasSubstr("a text is not allowed"));
}

TEST(Config, WhatIsNoTomlIsRefusedWithItsPlace) {
  EXPECT_THAT(Refusal("[server\n"), AllOf(HasSubstr("/etc/weir/weir.toml"), HasSubstr("line 1, column")));
  EXPECT_THAT(Refusal("[queue]\nslots = 1\nslots = 2\n"), HasSubstr("line 3"));
  EXPECT_NE(Refusal("a = " + std::string(5000, '[')), "accepted");
  EXPECT_NE(Refusal(std::string("\xff\xfe\0", 3)), "accepted");
}

const std::string kDigest(64, 'a');
std::string TokenLines(const std::string& name, const std::string& digest, const std::string& scopes) {
  return "[[tokens]]\nname = \"" + name + "\"\nsha256 = \"" + digest + "\"\nscopes = " + scopes + "\n";
}

TEST(Config, TokensAreReadAndCheckedWithoutEverBeingShown) {
  const auto text =
      TokenLines("ci", kDigest, "[\"read\", \"submit\"]") + TokenLines("boss", std::string(64, 'b'), "[\"admin\"]");
  const Config config = Good(WithFile(text));
  ASSERT_EQ(config.tokens.size(), 2U);
  EXPECT_EQ(config.tokens[0].name, "ci");
  EXPECT_EQ(config.tokens[0].scopes, http::kRead | http::kSubmit);
  EXPECT_EQ(config.tokens[1].scopes, http::kAdmin);
  EXPECT_THAT(ShowConfig(config), AllOf(HasSubstr("ci: read,submit"), Not(HasSubstr(kDigest))));
  const std::string secret = "weir_the_secret_itself";
  EXPECT_THAT(Refusal(TokenLines("x", secret, "[\"read\"]")),
              AllOf(HasSubstr("tokens.sha256"), Not(HasSubstr(secret))));
  EXPECT_THAT(Refusal(TokenLines("x", kDigest, "[\"raed\"]")), HasSubstr("did you mean read?"));
  EXPECT_THAT(Refusal(TokenLines("x", kDigest, "[]")), HasSubstr("no scope"));
  EXPECT_THAT(Refusal(TokenLines("x", kDigest, "[\"read\"]") + "scope = 1\n"), HasSubstr("did you mean scopes?"));
  EXPECT_THAT(Refusal(TokenLines("x", kDigest, "[\"read\"]") + TokenLines("x", kDigest, "[\"read\"]")),
              HasSubstr("there twice"));
  EXPECT_THAT(Refusal("[tokens]\nname = \"x\"\n"), HasSubstr("[[tokens]]"));
  EXPECT_THAT(Refusal("[[tokens]]\nname = \"x\"\n"), HasSubstr("needs sha256"));
}

TEST(Config, WhatIsShownLoadsAsTheSame) {
  std::string text;
  auto sources = Bare();
  for (const auto& setting : SettingsTable()) {
    sources.flags.emplace_back(setting.flag, Sample(setting));
  }
  sources.flags.emplace_back("--media-root", "/with \"quotes\" and \\ and \t");
  sources.flags.emplace_back("--origin", "https://b\xc3\xbc.example");
  for (const auto& first : {Good(Bare()), Good(sources)}) {
    auto again = WithFile(ShowConfig(first));
    again.cpus = 99;
    again.folder = "/elsewhere";
    again.environment["HOME"] = "/elsewhere";
    Config second = Good(again);
    second.came_from = first.came_from;
    EXPECT_EQ(ShowConfig(second), ShowConfig(first));
    EXPECT_EQ(second.media_roots, first.media_roots);
    EXPECT_EQ(second.memory, first.memory);
  }
}

TEST(Config, WhatNeedsARestartIsKnown) {
  const Config running = Good(Bare());
  EXPECT_THAT(NeedsRestart(running, running), testing::IsEmpty());
  auto sources = Bare();
  for (const auto& setting : SettingsTable()) {
    sources.flags.emplace_back(setting.flag, Sample(setting));
  }
  const Config fresh = Good(sources);
  const auto keys = NeedsRestart(running, fresh);
  for (const auto& setting : SettingsTable()) {
    EXPECT_EQ(std::ranges::find(keys, setting.key) == keys.end(),
              setting.reloads || ValueText(running, setting.key) == ValueText(fresh, setting.key))
        << setting.key;
  }
  EXPECT_THAT(keys, testing::Contains("server.listen"));
  EXPECT_THAT(keys, testing::Not(testing::Contains("queue.slots")));
}

TEST(Config, TheDocumentationHasTheTable) {
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  std::ifstream file(fs::path(source) / "docs" / "CONFIGURATION.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::string open = "<!-- settings -->\n\n";
  const std::size_t start = text.find(open);
  ASSERT_NE(start, std::string::npos);
  const std::size_t end = text.find("\n<!-- /settings -->", start);
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(text.substr(start + open.size(), end - start - open.size()), SettingsAsMarkdown());
}

TEST(Tokens, ASecretIsLongNewAndKnownByItsDigestOnly) {
  const auto one = MakeToken("ci", http::kRead | http::kAdmin);
  const auto two = MakeToken("ci", http::kRead);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->secret.size(), 5U + 64U);
  EXPECT_NE(one->secret, two->secret);
  EXPECT_THAT(one->toml, AllOf(HasSubstr(ToHex(Sha256(one->secret))), Not(HasSubstr(one->secret.substr(5)))));
  const Config config = Good(WithFile(one->toml));
  ASSERT_EQ(config.tokens.size(), 1U);
  EXPECT_EQ(config.tokens[0].sha256, ToHex(Sha256(one->secret)));
  EXPECT_EQ(config.tokens[0].scopes, http::kRead | http::kAdmin);
  for (const char* name : {"", "a b", "a\"b", "a\nb"}) {
    EXPECT_EQ(MakeToken(name, http::kRead).error().code, ErrorCode::kBadParameters);
  }
}

TEST(Tokens, ScopesAreClosedWords) {
  EXPECT_EQ(*ParseScopes("submit, read"), http::kRead | http::kSubmit);
  EXPECT_EQ(ScopesText(http::kAllScopes), "read,submit,admin");
  EXPECT_FALSE(ParseScopes(""));
  EXPECT_THAT(ParseScopes("admn").error().detail, HasSubstr("did you mean admin?"));
}

class TokenFile : public testing::Test {
 protected:
  TokenFile() { fs::create_directories(folder_); }
  ~TokenFile() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  [[nodiscard]] std::string Text() const {
    std::ifstream file(folder_ / "weir.toml");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] ConfigSources Sources() const {
    auto sources = Bare();
    sources.file = (folder_ / "weir.toml").string();
    sources.text = Text();
    return sources;
  }
  void Write(const std::string& text) const { std::ofstream(folder_ / "weir.toml") << text; }
  fs::path folder_ = fs::temp_directory_path() / ("weir-config-" + std::to_string(::getpid()));
};

TEST_F(TokenFile, ATokenIsAppendedAndEverythingElseStays) {
  Write("# mine\n[queue]\nslots = 2 # few");
  const auto token = MakeToken("ci", http::kRead);
  ASSERT_TRUE(token);
  ASSERT_TRUE(AddToken(Sources(), "ci", *token));
  EXPECT_TRUE(Text().starts_with("# mine\n[queue]\nslots = 2 # few\n"));
  EXPECT_EQ(Good(Sources()).tokens.size(), 1U);
  EXPECT_EQ(AddToken(Sources(), "ci", *token).error().code, ErrorCode::kConflict);
  const auto other = MakeToken("other", http::kAdmin);
  ASSERT_TRUE(AddToken(Sources(), "other", *other));
  EXPECT_EQ(Good(Sources()).tokens.size(), 2U);
}

TEST_F(TokenFile, AFileThatDoesNotLoadIsNotTouched) {
  const auto token = MakeToken("ci", http::kRead);
  for (const char* text : {"[queue]\nslot = 2\n", "tokens = []\n"}) {
    Write(text);
    EXPECT_FALSE(AddToken(Sources(), "ci", *token)) << text;
    EXPECT_EQ(Text(), text);
  }
}

TEST_F(TokenFile, SourcesAreGatheredFromTheWorld) {
  Write("[queue]\nslots = 2\n");
  ConfigSources sources;
  sources.file = (folder_ / "weir.toml").string();
  const auto gathered = GatherSources(sources);
  ASSERT_TRUE(gathered) << Describe(gathered.error());
  EXPECT_EQ(gathered->text, "[queue]\nslots = 2\n");
  EXPECT_EQ(gathered->folder, fs::current_path().string());
  EXPECT_GE(gathered->cpus, 1U);
  EXPECT_TRUE(gathered->environment.contains("PATH"));
  sources.file += ".missing";
  EXPECT_EQ(GatherSources(sources).error().code, ErrorCode::kInputMissing);
  Write(std::string(300 * 1024, '#'));
  sources.file = (folder_ / "weir.toml").string();
  EXPECT_EQ(GatherSources(sources).error().code, ErrorCode::kInputTooLarge);
}

}  // namespace
}  // namespace weir::app
