#include "app/server_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/command_line.h"
#include "os/surroundings.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;
using Kind = ClientCommand::Kind;
using Words = std::vector<std::string>;

class Commands : public testing::Test {
 protected:
  Commands() {
    ::unsetenv("WEIR_SERVER");
    ::unsetenv("WEIR_TOKEN");
  }
};

template <typename Command>
Command Parsed(const Words& words) {
  auto invocation = ParseCommandLine(words);
  EXPECT_TRUE(invocation) << Describe(invocation.error());
  if (!invocation || !std::holds_alternative<Command>(*invocation)) {
    ADD_FAILURE() << "another command: " << testing::PrintToString(words);
    return {};
  }
  return std::get<Command>(*std::move(invocation));
}
std::string Refusal(const Words& words) {
  const auto invocation = ParseCommandLine(words);
  return invocation ? "accepted" : invocation.error().detail;
}

const std::vector<std::pair<std::string, Kind>> kWithIds{
    {"cancel", Kind::kCancel}, {"pause", Kind::kPause},   {"resume", Kind::kResume},
    {"retry", Kind::kRetry},   {"remove", Kind::kRemove}, {"show", Kind::kShow},
    {"watch", Kind::kWatch},   {"logs", Kind::kLogs},     {"explain", Kind::kExplain}};
const std::vector<std::pair<std::string, Kind>> kWithout{
    {"jobs", Kind::kJobs}, {"drain", Kind::kDrain}, {"undrain", Kind::kUndrain}, {"top", Kind::kTop}};
const std::vector<std::string> kOthers{"serve", "config", "token", "submit", "batch", "change", "fetch"};

TEST_F(Commands, EachIsUnderstood) {
  for (const auto& [word, kind] : kWithIds) {
    const auto command = Parsed<ClientCommand>({word, "abc"});
    EXPECT_EQ(command.kind, kind);
    EXPECT_THAT(command.ids, ElementsAre("abc"));
    EXPECT_THAT(Refusal({word}), AllOf(HasSubstr("no job"), HasSubstr("weir " + word)));
    const bool many = kind >= Kind::kCancel && kind <= Kind::kRemove;
    EXPECT_EQ(Refusal({word, "a", "b"}) == "accepted", many) << word;
  }
  for (const auto& [word, kind] : kWithout) {
    EXPECT_EQ(Parsed<ClientCommand>({word}).kind, kind);
    EXPECT_THAT(Refusal({word, "extra"}), HasSubstr("extra"));
  }
  EXPECT_EQ(Parsed<ClientCommand>({"batch", "jobs.jsonl", "--wait"}).file, "jobs.jsonl");
  EXPECT_THAT(Refusal({"batch"}), HasSubstr("weir batch FILE"));
  EXPECT_TRUE(Parsed<ClientCommand>({"top", "--once"}).once);
  EXPECT_THAT(Parsed<ClientCommand>({"cancel", "--", "-x", "y"}).ids, ElementsAre("-x", "y"));
}

TEST_F(Commands, ServerAndTokenComeFromOptionsOrTheEnvironment) {
  auto command = Parsed<ClientCommand>({"jobs"});
  EXPECT_EQ(command.server, "http://127.0.0.1:4545");
  EXPECT_THAT(command.token, IsEmpty());
  EXPECT_FALSE(command.json);
  ::setenv("WEIR_SERVER", "http://there:1", 1);
  ::setenv("WEIR_TOKEN", "secret", 1);
  command = Parsed<ClientCommand>({"jobs", "--json"});
  EXPECT_EQ(command.server, "http://there:1");
  EXPECT_EQ(command.token, "secret");
  EXPECT_TRUE(command.json);
  command = Parsed<ClientCommand>({"jobs", "--server", "http://here:2", "--token", "other"});
  EXPECT_EQ(command.server, "http://here:2");
  EXPECT_EQ(command.token, "other");
}

TEST_F(Commands, ASubmissionTakesTheRecipesOptionsAsTheApiNamesThem) {
  const auto command = Parsed<ClientCommand>(
      {"submit",          "crop",       "in.mp4", "out.mp4", "--aspect", "1:1",     "--crf", "20",
       "--keep-metadata", "--priority", "70",     "--owner", "me",       "--label", "a=b",   "--label",
       "c=d=e",           "--key",      "once",   "--wait",  "--force"});
  EXPECT_EQ(command.kind, Kind::kSubmit);
  EXPECT_EQ(command.recipe, "crop");
  EXPECT_EQ(command.input, "in.mp4");
  EXPECT_EQ(command.output, "out.mp4");
  EXPECT_EQ(command.params, R"({"aspect":"1:1","crf":20,"keep_metadata":true})");
  EXPECT_EQ(command.priority, 70);
  EXPECT_EQ(command.owner, "me");
  EXPECT_THAT(command.labels, ElementsAre(Pair("a", "b"), Pair("c", "d=e")));
  EXPECT_EQ(command.key, "once");
  EXPECT_TRUE(command.wait);
  EXPECT_TRUE(command.overwrite);

  const auto plain = Parsed<ClientCommand>({"submit", "trim", "in.mp4", "--from", "0:10", "--", "-out.mp4"});
  EXPECT_EQ(plain.output, "-out.mp4");
  EXPECT_EQ(plain.params, R"({"from":"0:10"})");
  EXPECT_FALSE(plain.priority);
  EXPECT_THAT(Parsed<ClientCommand>({"submit", "thumbnail", "in.mp4"}).params, IsEmpty());
}

TEST_F(Commands, ASubmissionIsCheckedBeforeItIsSent) {
  EXPECT_THAT(Refusal({"submit"}), HasSubstr("crop|trim|transcode|thumbnail"));
  EXPECT_THAT(Refusal({"submit", "corp", "in.mp4"}), HasSubstr("did you mean crop?"));
  EXPECT_THAT(Refusal({"submit", "crop"}), HasSubstr("no input file"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "b.mp4", "c"}), HasSubstr("'c'"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "b.txt"}), HasSubstr(".mp4"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--aspect", "1"}), HasSubstr("--aspect"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--from", "1"}), HasSubstr("--from"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--priority", "101"}), HasSubstr("0 to 100"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--label", "x"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--key", "a\nb"}), HasSubstr("printable"));
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--wiat"}), HasSubstr("did you mean --wait?"));
}

TEST_F(Commands, ListsAreNarrowed) {
  const auto command =
      Parsed<ClientCommand>({"jobs", "--state", "running", "--recipe", "crop", "--owner", "me", "--limit", "7"});
  EXPECT_EQ(command.state, "running");
  EXPECT_EQ(command.recipe, "crop");
  EXPECT_EQ(command.owner, "me");
  EXPECT_EQ(command.limit, 7);
  EXPECT_THAT(Refusal({"jobs", "--state", "runing"}), HasSubstr("did you mean running?"));
  EXPECT_THAT(Refusal({"jobs", "--limit", "0"}), HasSubstr("1 to 1000"));
  const auto of = Parsed<ClientCommand>({"jobs", "--label", "a=b", "--batch", "xyz"});
  EXPECT_THAT(of.labels, ElementsAre(Pair("a", "b")));
  EXPECT_EQ(of.batch, "xyz");
  EXPECT_THAT(Refusal({"jobs", "--label", "a=b", "--label", "c=d"}), HasSubstr("one label"));
  EXPECT_THAT(Refusal({"jobs", "--label", "a"}), HasSubstr("KEY=VALUE"));
}

TEST_F(Commands, ABatchIsMadeShownOrCancelled) {
  const auto made = Parsed<ClientCommand>(
      {"batch", "f", "--owner", "ann", "--priority", "60", "--label", "a=b", "--key", "once", "--force"});
  EXPECT_EQ(made.kind, Kind::kBatch);
  EXPECT_EQ(made.owner, "ann");
  EXPECT_EQ(made.priority, 60);
  EXPECT_THAT(made.labels, ElementsAre(Pair("a", "b")));
  EXPECT_EQ(made.key, "once");
  EXPECT_TRUE(made.overwrite);
  const auto shown = Parsed<ClientCommand>({"batch", "--show", "abc", "--wait"});
  EXPECT_EQ(shown.kind, Kind::kBatchShow);
  EXPECT_THAT(shown.ids, ElementsAre("abc"));
  EXPECT_TRUE(shown.wait);
  const auto cancelled = Parsed<ClientCommand>({"batch", "--cancel", "abc"});
  EXPECT_EQ(cancelled.kind, Kind::kBatchCancel);
  EXPECT_THAT(cancelled.ids, ElementsAre("abc"));
  EXPECT_THAT(Refusal({"batch", "--show", "a", "--cancel", "b"}), HasSubstr("one of them"));
  EXPECT_THAT(Refusal({"batch", "f", "--show", "a"}), HasSubstr("one of them"));
  EXPECT_THAT(Refusal({"batch", "f", "--priority", "101"}), HasSubstr("0 to 100"));
}

TEST_F(Commands, ResultsAreFetchedAndJobsChanged) {
  auto fetched = Parsed<ClientCommand>({"fetch", "abc", "crop.mp4", "-o", "x.mp4", "--force"});
  EXPECT_EQ(fetched.kind, Kind::kFetch);
  EXPECT_THAT(fetched.ids, ElementsAre("abc"));
  EXPECT_EQ(fetched.name, "crop.mp4");
  EXPECT_EQ(fetched.file, "x.mp4");
  EXPECT_TRUE(fetched.overwrite);
  fetched = Parsed<ClientCommand>({"fetch", "abc"});
  EXPECT_THAT(fetched.name + fetched.file, IsEmpty());
  EXPECT_THAT(Refusal({"fetch"}), HasSubstr("weir fetch ID"));
  EXPECT_THAT(Refusal({"fetch", "a", "b", "c"}), HasSubstr("'c'"));

  const auto changed =
      Parsed<ClientCommand>({"change", "a", "b", "--priority", "7", "--label", "k=v", "--unlabel", "x"});
  EXPECT_EQ(changed.kind, Kind::kChange);
  EXPECT_THAT(changed.ids, ElementsAre("a", "b"));
  EXPECT_EQ(changed.priority, 7);
  EXPECT_THAT(changed.labels, ElementsAre(Pair("k", "v")));
  EXPECT_THAT(changed.unlabel, ElementsAre("x"));
  EXPECT_THAT(Refusal({"change", "a"}), HasSubstr("nothing to change"));
  EXPECT_THAT(Refusal({"change", "--priority", "7"}), HasSubstr("no job"));

  EXPECT_THAT(Parsed<ClientCommand>({"retry", "a", "--output", "x", "--output", "y"}).outputs, ElementsAre("x", "y"));
  EXPECT_EQ(Parsed<ClientCommand>({"submit", "crop", "a", "--plan"}).kind, Kind::kPlan);
  EXPECT_THAT(Refusal({"submit", "crop", "a", "--plan", "--wait"}), HasSubstr("--plan submits nothing"));
}

TEST_F(Commands, ServeSpeaksJsonToo) {
  const auto serve = Parsed<ServeCommand>({"serve", "--json"});
  EXPECT_TRUE(serve.json);
  EXPECT_THAT(serve.sources.flags, ElementsAre(Pair("--log-format", "json")));
  EXPECT_THAT(Parsed<ServeCommand>({"serve", "--json", "--log-format", "text"}).sources.flags,
              ElementsAre(Pair("--log-format", "text")));
  EXPECT_THAT(Parsed<TextCommand>({"completion", "bash", "--json"}).text,
              AllOf(HasSubstr(R"({"ok":true,"shell":"bash","script":"# weir completions)"), HasSubstr("}\n")));
}

TEST_F(Commands, ServeCollectsItsFlagsAndTheConfigurationTakesTheSame) {
  const Words options{"--config",     "weir.toml", "--slots",          "4", "--media-root", "/a",
                      "--media-root", "/b",        "--require-sandbox"};
  const auto with = [&](Words words) {
    words.insert(words.end(), options.begin(), options.end());
    return words;
  };
  const auto expected = UnorderedElementsAre(Pair("--slots", "4"), Pair("--media-root", "/a"),
                                             Pair("--media-root", "/b"), Pair("--require-sandbox", "true"));
  const auto serve = Parsed<ServeCommand>(with({"serve"}));
  EXPECT_EQ(serve.sources.file, "weir.toml");
  EXPECT_THAT(serve.sources.flags, expected);
  EXPECT_EQ(Parsed<ConfigCommand>(with({"config", "check"})).kind, ConfigCommand::Kind::kCheck);
  const auto show = Parsed<ConfigCommand>(with({"config", "show"}));
  EXPECT_EQ(show.kind, ConfigCommand::Kind::kShow);
  EXPECT_THAT(show.sources.flags, expected);
  EXPECT_THAT(Parsed<ServeCommand>({"serve"}).sources.flags, IsEmpty());
  EXPECT_THAT(Refusal({"serve", "extra"}), HasSubstr("extra"));
  EXPECT_THAT(Refusal({"serve", "--slot", "4"}), HasSubstr("--slots"));
  EXPECT_THAT(Refusal({"config"}), HasSubstr("check|show"));
  EXPECT_THAT(Refusal({"config", "chek"}), HasSubstr("did you mean check?"));
}

TEST_F(Commands, EverySettingIsAnOptionOfServe) {
  for (const auto& setting : SettingsTable()) {
    const bool flag = setting.type == SettingType::kBoolean;
    Words words{"serve", setting.flag};
    if (!flag) {
      words.emplace_back("7");
    }
    EXPECT_THAT(Parsed<ServeCommand>(words).sources.flags, Contains(Pair(setting.flag, flag ? "true" : "7")));
  }
}

TEST_F(Commands, TokensNeedANameAndScopes) {
  const auto command = Parsed<TokenCommand>({"token", "add", "ci", "--scopes", "read,submit", "--write"});
  EXPECT_EQ(command.name, "ci");
  EXPECT_EQ(command.scopes, http::kRead | http::kSubmit);
  EXPECT_TRUE(command.write);
  EXPECT_THAT(Refusal({"token"}), HasSubstr("weir token add"));
  EXPECT_THAT(Refusal({"token", "add", "ci"}), HasSubstr("--scopes is missing"));
  EXPECT_THAT(Refusal({"token", "add", "--scopes", "read"}), HasSubstr("one name"));
  EXPECT_THAT(Refusal({"token", "add", "ci", "--scopes", "write"}), HasSubstr("--scopes: 'write'"));
}

// While it lives, the environment has no settings in it.
class WithoutSettings {
 public:
  WithoutSettings() {
    for (const auto& [name, value] : before_) {
      if (name.starts_with("WEIR_")) {
        ::unsetenv(name.c_str());
      }
    }
  }
  WithoutSettings(const WithoutSettings&) = delete;
  WithoutSettings& operator=(const WithoutSettings&) = delete;
  ~WithoutSettings() {
    for (const auto& [name, value] : before_) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }

 private:
  std::map<std::string, std::string> before_ = os::Environment();
};

std::string Printed(const auto& command, const auto& run) {
  const WithoutSettings bare;
  testing::internal::CaptureStdout();
  const auto code = run(command);
  auto text = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(code) << Describe(code.error());
  return text;
}

TEST_F(Commands, TheConfigurationIsCheckedAndShown) {
  const auto file = fs::temp_directory_path() / ("weir-commands-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(file) << "[queue]\nslots = 2\n";
  const Words options{"--config",     file.string(), "--retries", "5",         "--data",    file.string() + ".d",
                      "--media-root", "/tmp",        "--ffmpeg",  "/bin/true", "--ffprobe", "/bin/true"};
  const auto parsed = [&](Words words) {
    words.insert(words.end(), options.begin(), options.end());
    return Parsed<ConfigCommand>(words);
  };
  EXPECT_THAT(Printed(parsed({"config", "check", "--memory", "1G"}), RunConfig),
              HasSubstr("is good ('" + file.string() + "')"));
  EXPECT_THAT(Printed(parsed({"config", "show"}), RunConfig),
              AllOf(HasSubstr("\nslots = 2  # " + file.filename().string() + ", line 2\n"),
                    HasSubstr("\nretries = 5  # --retries\n")));
  EXPECT_THAT(Printed(parsed({"config", "show", "--json"}), RunConfig),
              AllOf(HasSubstr(R"("jobs.retries":{"value":5,"from":"--retries"})"),
                    HasSubstr(R"("memory.budget":{"value":null,"from":"default"})"), HasSubstr(R"("tokens":[])")));

  // A token goes into the same file, and its secret nowhere.
  const auto said =
      Printed(Parsed<TokenCommand>({"token", "add", "ci", "--scopes", "read", "--write", "--config", file.string()}),
              RunToken);
  ASSERT_THAT(said, HasSubstr("weir_"));
  EXPECT_THAT(said, AllOf(HasSubstr("when it starts"), HasSubstr("SIGHUP")));
  const auto secret = said.substr(said.find("weir_"), 69);
  std::ifstream written(file);
  const std::string text{std::istreambuf_iterator<char>(written), {}};
  EXPECT_THAT(text, AllOf(HasSubstr("slots = 2"), HasSubstr("name = \"ci\""), Not(HasSubstr(secret.substr(5)))));
  EXPECT_THAT(Printed(parsed({"config", "show"}), RunConfig), HasSubstr("ci: read"));
  fs::remove(file);
  EXPECT_THAT(Printed(Parsed<TokenCommand>(
                          {"token", "add", "ci", "--scopes", "read", "--write", "--json", "--config", file.string()}),
                      RunToken),
              HasSubstr("\"added_to\":\"" + file.string()));
  EXPECT_TRUE(fs::exists(file)) << "made when it is not there";
  fs::remove(file);
}

TEST_F(Commands, WhatServeWouldRefuseIsNotGood) {
  const auto folder = fs::temp_directory_path() / ("weir-check-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::ofstream(folder / "file") << "x";
  std::ofstream(folder / "empty.toml") << "";
  const auto data = (folder / "data" / "deep").string();
  // The last one of two counts.
  const auto with = [&](const Words& more) {
    Words all{"config",       "check",
              "--config",     (folder / "empty.toml").string(),
              "--data",       data,
              "--memory",     "1G",
              "--media-root", folder.string(),
              "--ffmpeg",     "/bin/true",
              "--ffprobe",    "/bin/true"};
    all.insert(all.end(), more.begin(), more.end());
    const WithoutSettings bare;
    const auto code = RunConfig(Parsed<ConfigCommand>(all));
    return code ? Error{.code = ErrorCode::kInternal, .detail = "good"} : code.error();
  };
  EXPECT_EQ(with({}).detail, "good");
  EXPECT_FALSE(fs::exists(folder / "data")) << "looking makes nothing";
  auto error = with({"--memory", "16M"});
  EXPECT_EQ(error.code, ErrorCode::kOverBudget);
  EXPECT_THAT(error.detail, HasSubstr("weir itself"));
  EXPECT_EQ(with({"--memory", "40M", "--largest-body", "64M"}).code, ErrorCode::kOverBudget);
  error = with({"--listen", "0.0.0.0:4545"});
  EXPECT_EQ(error.code, ErrorCode::kForbidden);
  EXPECT_THAT(error.detail, HasSubstr("no tokens"));
  error = with({"--media-root", (folder / "none").string()});
  EXPECT_EQ(error.code, ErrorCode::kOutputFolder);
  EXPECT_THAT(error.detail, HasSubstr("none"));
  EXPECT_EQ(with({"--data", (folder / "file" / "data").string()}).code, ErrorCode::kOutputFolder);
  EXPECT_EQ(with({"--log-file", folder.string()}).code, ErrorCode::kOutputUnwritable);
  EXPECT_EQ(with({"--log-file", (folder / "none" / "log").string()}).code, ErrorCode::kOutputUnwritable);
  EXPECT_EQ(with({"--log-file", (folder / "log").string()}).detail, "good");
  EXPECT_FALSE(fs::exists(folder / "log"));
  EXPECT_EQ(with({"--ffmpeg", "/nonexistent/ffmpeg"}).code, ErrorCode::kToolMissing);
  fs::remove_all(folder);
}

TEST_F(Commands, EveryCommandExplainsItself) {
  const auto general = Parsed<TextCommand>({"--help"}).text;
  const auto check = [&](const Words& words, const std::string& usage) {
    auto asked = words;
    asked.emplace_back("--help");
    const auto text = Parsed<TextCommand>(asked).text;
    EXPECT_THAT(text, AllOf(HasSubstr("Usage: weir " + usage), HasSubstr("--help"))) << usage;
  };
  for (const auto& names : {kWithIds, kWithout}) {
    for (const auto& [word, kind] : names) {
      EXPECT_THAT(general, HasSubstr("\n  " + word + " "));
      check({word}, word);
    }
  }
  for (const auto& word : kOthers) {
    EXPECT_THAT(general, HasSubstr("\n  " + word + " "));
    check({word}, word);
  }
  check({"config", "show"}, "config show");
  check({"token", "add"}, "token add NAME");
  check({"submit", "trim"}, "submit trim IN [OUT]");
  EXPECT_THAT(Parsed<TextCommand>({"serve", "--help"}).text, HasSubstr("--memory"));
}

TEST_F(Commands, CompletionsKnowThem) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto text = Parsed<TextCommand>({"completion", shell}).text;
    for (const char* word : {"serve", "submit", "undrain", "state", "media-root", "succeeded"}) {
      EXPECT_THAT(text, HasSubstr(word)) << shell;
    }
  }
  const auto bash = Parsed<TextCommand>({"completion", "bash"}).text;
  EXPECT_THAT(bash, AllOf(HasSubstr("token) words='add --help --scopes"),
                          HasSubstr("submit) words='crop trim transcode thumbnail --help --aspect")));
}

TEST_F(Commands, AWrongCommandHintsAtTheNewOnes) {
  EXPECT_THAT(Refusal({"sumbit"}), HasSubstr("did you mean submit?"));
  EXPECT_THAT(Refusal({"unknown-entirely"}), HasSubstr("--help"));
}

}  // namespace
}  // namespace weir::app
