#include "app/server_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdlib>
#include <map>
#include <utility>

#include "app/grammar.h"
#include "app/serve_checks.h"
#include "app/speak.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using Kind = ClientCommand::Kind;

const std::vector<std::string>& StateNames() {
  static const std::vector<std::string> kNames{"queued",     "fetching",  "running", "verifying",
                                               "publishing", "succeeded", "failed",  "cancelled"};
  return kNames;
}

struct Simple {
  const char* name;
  Kind kind;
  const char* usage;
  const char* help;
  const char* footer;
};
constexpr std::array<Simple, 17> kClients{{
    {"jobs", Kind::kJobs, "weir jobs [OPTIONS]", "List jobs of a server, newest first",
     "Example: weir jobs --state running --label event=spring"},
    {"show", Kind::kShow, "weir show ID", "Tell all about a job", "Example: weir show abcdefgh23456777"},
    {"watch", Kind::kWatch, "weir watch ID", "Follow a job to its end",
     "Exit code 0 when it succeeded, else that of its failure. Ctrl-C ends the watching, not the job."},
    {"logs", Kind::kLogs, "weir logs ID", "What happened to a job, line by line, and why it failed",
     "Example: weir logs ID"},
    {"explain", Kind::kExplain, "weir explain ID", "What was decided about a job and why, and what it waits for",
     "In the order of time: what it waited for, by which plan it was done and why, its forecast against what was "
     "measured, and how its memory went.\nExample: weir explain ID"},
    {"cancel", Kind::kCancel, "weir cancel ID...", "Stop jobs; nothing of theirs is kept", "Example: weir cancel ID"},
    {"pause", Kind::kPause, "weir pause ID...", "Let jobs stand still", "Example: weir pause ID"},
    {"resume", Kind::kResume, "weir resume ID...", "Let paused jobs go on", "Example: weir resume ID"},
    {"retry", Kind::kRetry, "weir retry ID... [OPTIONS]", "Put failed or cancelled jobs into the queue again",
     "Example: weir retry ID"},
    {"change", Kind::kChange, "weir change ID... [OPTIONS]", "Give jobs another priority or other labels",
     "Labels that are not named stay as they are.\nExample: weir change ID --priority 80 --label event=spring"},
    {"remove", Kind::kRemove, "weir remove ID...", "Forget jobs that ended, with results kept by the server",
     "Example: weir remove ID"},
    {"fetch", Kind::kFetch, "weir fetch ID [NAME] [OPTIONS]", "Get a result that the server keeps",
     "The file appears whole, with the digest that the job told, or not at all.\nExample: weir fetch ID -o clip.mp4"},
    {"batch", Kind::kBatch, "weir batch FILE [OPTIONS]   (or: weir batch --show ID, --cancel ID)",
     "Submit many jobs from a file of JSON lines, all or none",
     "Each line is the body of a job: {\"recipe\": \"crop\", \"inputs\": [\"a.mp4\"], \"outputs\": [\"b.mp4\"]}. "
     "\"-\" reads standard input. Paths are those of this folder, as with \"weir submit\"; up to 5000 jobs. What the "
     "options say holds for lines that do not say it. Exit code with --wait: that of the first job that failed."},
    {"drain", Kind::kDrain, "weir drain", "Let a server finish what runs and start nothing new",
     "\"weir undrain\" ends it."},
    {"undrain", Kind::kUndrain, "weir undrain", "Let a drained server start jobs again", "Example: weir undrain"},
    {"top", Kind::kTop, "weir top [--once]", "Watch a server: budget, leases, running jobs, queue",
     "Looks once a second on a terminal; otherwise once. Ctrl-C ends it."},
    {"calibration", Kind::kCalibration, "weir calibration [--reset]",
     "How good a server's forecasts of memory are, and what it has learned about them",
     "Errors are forecast / measured - 1. Example: weir calibration --json"},
}};

constexpr const char* kJobId = "the id of a job; \"weir jobs\" lists them";

Status CheckWord(const char* option, const std::string& word) {
  if (word.size() > 200 || Printable(word) != word) {
    return Fail(ErrorCode::kBadParameters,
                std::string(option) + ": " + Quoted(word) + " is not up to 200 printable characters");
  }
  return {};
}

Result<int> ParseRange(const char* option, const std::string& text, std::uint64_t low, std::uint64_t high) {
  const auto number = ParseUnsigned(text);
  if (!number || *number < low || *number > high) {
    return Fail(ErrorCode::kBadParameters, std::string(option) + ": " + Quoted(text) +
                                               " is not a whole number from " + std::to_string(low) + " to " +
                                               std::to_string(high));
  }
  return static_cast<int>(*number);
}

std::string Chosen(const std::string& given, const char* variable, const char* otherwise) {
  if (!given.empty()) {
    return given;
  }
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// Every option of the recipe that was given, under the name that the API has for it.
std::string ParamsOf(const std::vector<const CLI::Option*>& options) {
  json::object params;
  for (const CLI::Option* option : options) {
    if (option->count() == 0 || option->get_lnames().empty()) {
      continue;
    }
    std::string name = option->get_lnames().front();
    std::ranges::replace(name, '-', '_');
    const std::string text = option->results().back();
    const bool whole = name == "crf" || name == "width";
    if (option->get_items_expected_max() == 0) {
      params[name] = true;
    } else if (const auto number = ParseUnsigned(text); whole && number) {
      params[name] = *number;
    } else {
      params[name] = text;
    }
  }
  return params.empty() ? std::string() : json::serialize(params);
}

std::string ConfigAsJson(const Config& config, const std::string& file, bool with_settings) {
  json::object out{{"ok", true}, {"file", file.empty() ? json::value() : json::value(Printable(file))}};
  if (with_settings) {
    json::object settings;
    for (const auto& setting : SettingsTable()) {
      boost::system::error_code error;
      json::value value = json::parse(ValueText(config, setting.key), error);
      const auto from = config.came_from.find(setting.key);
      settings[setting.key] = json::object{{"value", error ? json::value() : std::move(value)},
                                           {"from", from != config.came_from.end() ? from->second : "default"}};
    }
    out["settings"] = std::move(settings);
    json::array tokens;
    for (const auto& token : config.tokens) {
      tokens.push_back(json::object{{"name", token.name}, {"scopes", ScopesText(token.scopes)}});
    }
    out["tokens"] = std::move(tokens);
  }
  return json::serialize(out) + "\n";
}

}  // namespace

struct ServerGrammar::Parts {
  struct Submit {
    std::string recipe;
    CLI::App* command = nullptr;
    std::vector<const CLI::Option*> params;
  };

  CLI::App* serve = nullptr;
  CLI::App* config = nullptr;
  CLI::App* check = nullptr;
  CLI::App* show = nullptr;
  CLI::App* token = nullptr;
  CLI::App* add = nullptr;
  CLI::App* submit = nullptr;
  std::vector<Submit> submits;
  std::vector<std::pair<Kind, CLI::App*>> clients;
  std::vector<std::string> recipes;

  std::vector<std::string> operands, labels, unlabel, outputs;
  std::string file, server, secret, priority, owner, key, state, recipe, limit, scopes, batch, target, shown,
      cancelled;
  bool json = false, force = false, wait = false, once = false, reset = false, write = false, plan = false;
  std::map<std::string, std::vector<std::string>> settings;  // by flag
  std::map<std::string, bool> switches;

  static void Describe(CLI::App& command, const std::string& usage, const std::string& footer) {
    command.formatter(std::make_shared<PlainFormatter>(usage));
    command.footer(footer);
    command.allow_extras();
  }

  void AddFile(CLI::App& command) {
    command.add_option("--config", file,
                       "The file to read (also WEIR_CONFIG); default: ~/.config/weir/weir.toml, else "
                       "/etc/weir/weir.toml");
  }

  void AddSettings(CLI::App& command) {
    AddFile(command);
    for (const auto& setting : SettingsTable()) {
      const bool many = setting.type == SettingType::kTexts || setting.type == SettingType::kPaths;
      const std::string help = setting.sentence + " (" + setting.key + (many ? ", may be repeated)" : ")");
      if (setting.type == SettingType::kBoolean) {
        command.add_flag(setting.flag, switches[setting.flag], help);
      } else {
        command.add_option(setting.flag, settings[setting.flag], help)->allow_extra_args(false);
      }
    }
  }

  void AddClient(CLI::App& command) {
    command.add_option("--server", server,
                       std::string("The server to talk to (also WEIR_SERVER); default ") + kDefaultServer);
    command.add_option("--token", secret, "What to show it (better in WEIR_TOKEN: options can be seen by others)");
    command.add_flag("--json", json, "What the server answers, as JSON");
  }

  void AddSubmission(CLI::App& command) {
    command.add_flag("--force", force, "Replace the output if it exists");
    command.add_option("--priority", priority, "0 to 100, higher first; default 50");
    command.add_option("--owner", owner, "Whose job it is; owners get their turns fairly");
    command.add_option("--label", labels, "A mark of your own, KEY=VALUE (may be repeated)")->allow_extra_args(false);
    command.add_option("--key", key, "The same key again answers the same, instead of making it once more");
    command.add_flag("--wait", wait, "Follow it to its end");
  }

  ConfigSources Sources() const {
    ConfigSources sources;
    sources.file = file;
    for (const auto& [flag, texts] : settings) {
      for (const auto& text : texts) {
        sources.flags.emplace_back(flag, text);
      }
    }
    for (const auto& [flag, on] : switches) {
      if (on) {
        sources.flags.emplace_back(flag, "true");
      }
    }
    return sources;
  }

  Result<ClientCommand> Common(Kind kind) const {
    ClientCommand client;
    client.kind = kind;
    client.server = Chosen(server, "WEIR_SERVER", kDefaultServer);
    client.token = Chosen(secret, "WEIR_TOKEN", "");
    client.json = json;
    WEIR_TRY(CheckWord("--owner", owner));
    client.owner = owner;
    client.wait = wait;
    return client;
  }

  Status TakeLabels(ClientCommand& client) const {
    for (const auto& label : labels) {
      WEIR_TRY(CheckWord("--label", label));
      const std::size_t equals = label.find('=');
      if (equals == std::string::npos || equals == 0) {
        return Fail(ErrorCode::kBadParameters, "--label: " + Quoted(label) + " is not KEY=VALUE");
      }
      client.labels.emplace_back(label.substr(0, equals), label.substr(equals + 1));
    }
    return {};
  }

  Status TakePriority(ClientCommand& client) const {
    if (!priority.empty()) {
      WEIR_ASSIGN(client.priority, ParseRange("--priority", priority, 0, 100));
    }
    return {};
  }

  // What AddSubmission added.
  Status TakeSubmission(ClientCommand& client) const {
    client.overwrite = force;
    WEIR_TRY(TakePriority(client));
    WEIR_TRY(TakeLabels(client));
    WEIR_TRY(CheckWord("--key", key));
    client.key = key;
    return {};
  }

  static Status CheckId(const std::string& id, const char* is_not) {
    if (id.empty() || id.size() > 100) {
      return Fail(ErrorCode::kBadParameters, Quoted(id) + " is not " + is_not);
    }
    return {};
  }

  Result<ServerInvocation> Submitted(const Submit& chosen, const auto& check_recipe) const {
    WEIR_TRY(RefuseExtras(*chosen.command));
    if (operands.empty()) {
      return Fail(ErrorCode::kBadParameters, "no input file: \"weir submit " + chosen.recipe + " IN [OUT]\"");
    }
    if (operands.size() > 2) {
      return Fail(ErrorCode::kBadParameters,
                  "one file too many: " + Quoted(operands[2]) + "; \"weir submit " + chosen.recipe + " IN [OUT]\"");
    }
    if (plan && (wait || !key.empty())) {
      return Fail(ErrorCode::kBadParameters,
                  std::string("--plan submits nothing, so there is no ") + (wait ? "--wait" : "--key") + " with it");
    }
    WEIR_ASSIGN(ClientCommand client, Common(plan ? Kind::kPlan : Kind::kSubmit));
    client.recipe = chosen.recipe;
    client.input = operands[0];
    client.output = operands.size() == 2 ? operands[1] : std::string();
    WEIR_TRY(check_recipe(chosen.recipe, *chosen.command, client.output));
    client.params = ParamsOf(chosen.params);
    WEIR_TRY(TakeSubmission(client));
    return client;
  }

  Result<ServerInvocation> Said(Kind kind, const CLI::App& command) const {
    WEIR_TRY(RefuseExtras(command));
    WEIR_ASSIGN(ClientCommand client, Common(kind));
    const std::string usage = "\"weir " + command.get_name();
    const bool many = kind >= Kind::kCancel && kind <= Kind::kRemove;
    if (many || kind == Kind::kShow || kind == Kind::kWatch || kind == Kind::kLogs || kind == Kind::kExplain) {
      if (operands.empty()) {
        return Fail(ErrorCode::kBadParameters, "no job: " + usage + (many ? " ID...\"" : " ID\""));
      }
      if (!many && operands.size() > 1) {
        return Fail(ErrorCode::kBadParameters, "one job too many: " + Quoted(operands[1]) + "; " + usage + " ID\"");
      }
      for (const auto& id : operands) {
        WEIR_TRY(CheckId(id, kJobId));
      }
      client.ids = operands;
      if (kind == Kind::kRetry) {
        for (const auto& name : outputs) {
          WEIR_TRY(CheckWord("--output", name));
        }
        client.outputs = outputs;
      }
      if (kind == Kind::kChange) {
        WEIR_TRY(TakePriority(client));
        WEIR_TRY(TakeLabels(client));
        client.unlabel = unlabel;
        if (!client.priority && labels.empty() && unlabel.empty()) {
          return Fail(ErrorCode::kBadParameters, "nothing to change: give --priority, --label or --unlabel");
        }
      }
      return client;
    }
    if (kind == Kind::kFetch) {
      return Fetched(std::move(client));
    }
    if (kind == Kind::kBatch) {
      return Batched(std::move(client));
    }
    if (kind == Kind::kJobs) {
      if (!state.empty() && std::ranges::find(StateNames(), state) == StateNames().end()) {
        return Fail(UnknownName("state", state, StateNames()));
      }
      WEIR_TRY(CheckWord("--recipe", recipe));
      WEIR_TRY(CheckWord("--batch", batch));
      WEIR_TRY(TakeLabels(client));
      if (client.labels.size() > 1) {
        return Fail(ErrorCode::kBadParameters, "--label: a list is narrowed by one label, not by several");
      }
      client.state = state;
      client.recipe = recipe;
      client.batch = batch;
      if (!limit.empty()) {
        WEIR_ASSIGN(client.limit, ParseRange("--limit", limit, 1, 1000));
      }
    }
    client.once = once;
    client.reset = reset;
    return client;
  }

  Result<ServerInvocation> Fetched(ClientCommand client) const {
    if (operands.empty()) {
      return Fail(ErrorCode::kBadParameters, "no job: \"weir fetch ID [NAME]\"");
    }
    if (operands.size() > 2) {
      return Fail(ErrorCode::kBadParameters,
                  "one name too many: " + Quoted(operands[2]) + "; \"weir fetch ID [NAME] --output FILE\"");
    }
    WEIR_TRY(CheckId(operands.front(), kJobId));
    client.ids = {operands.front()};
    client.name = operands.size() == 2 ? operands[1] : std::string();
    client.file = target;
    client.overwrite = force;
    return client;
  }

  Result<ServerInvocation> Batched(ClientCommand client) const {
    const bool about_one = !shown.empty() || !cancelled.empty();
    if (about_one && (!operands.empty() || (!shown.empty() && !cancelled.empty()))) {
      return Fail(
          ErrorCode::kBadParameters,
          "batch takes one of them: \"weir batch FILE\", \"weir batch --show ID\" or \"weir batch --cancel ID\"");
    }
    if (about_one && (!priority.empty() || !labels.empty() || !owner.empty() || !key.empty() || force)) {
      return Fail(
          ErrorCode::kBadParameters,
          "--priority, --label, --owner, --key and --force are for \"weir batch FILE\"; a batch that is there "
          "already stays as it is");
    }
    if (!cancelled.empty() && wait) {
      return Fail(ErrorCode::kBadParameters, "--cancel takes no --wait: it answers when everything is stopped");
    }
    if (about_one) {
      client.kind = shown.empty() ? Kind::kBatchCancel : Kind::kBatchShow;
      client.ids = {shown.empty() ? cancelled : shown};
      WEIR_TRY(CheckId(client.ids.front(), "the id of a batch; \"weir show ID\" tells that of a job"));
      return client;
    }
    if (operands.size() != 1) {
      return Fail(ErrorCode::kBadParameters, "batch takes one file: \"weir batch FILE\"");
    }
    client.file = operands.front();
    WEIR_TRY(TakeSubmission(client));
    return client;
  }

  Result<ServerInvocation> AddedToken() const {
    WEIR_TRY(RefuseExtras(*add));
    if (operands.size() != 1) {
      return Fail(ErrorCode::kBadParameters,
                  "token add takes one name: \"weir token add NAME --scopes read,submit\"");
    }
    TokenCommand made;
    made.name = operands.front();
    if (scopes.empty()) {
      return Fail(ErrorCode::kBadParameters, "--scopes is missing: give one or more of read, submit and admin");
    }
    auto bits = ParseScopes(scopes);
    if (!bits) {
      return Fail(ErrorCode::kBadParameters, "--scopes: " + bits.error().detail);
    }
    made.scopes = *bits;
    made.write = write;
    made.json = json;
    made.sources.file = file;
    return made;
  }
};

ServerGrammar::ServerGrammar(CLI::App& app, const std::vector<std::string>& recipes,
                             const std::function<void(CLI::App&, const std::string&)>& add_recipe)
    : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.recipes = recipes;

  parts.serve = app.add_subcommand("serve", "Run the server: jobs over HTTP, inside one memory budget");
  Parts::Describe(*parts.serve, "weir serve [OPTIONS]",
                  "Settings come from the file, then the environment, then options; \"weir config show\" tells what "
                  "came of it.\nExample: weir serve --memory 2G --media-root /srv/media");
  parts.AddSettings(*parts.serve);
  parts.serve->add_flag(
      "--json", parts.json,
      "Lines of the log as JSON (as --log-format json), and a refusal as a JSON document on standard "
      "output");

  parts.config = app.add_subcommand("config", "Check or show the server's configuration");
  Parts::Describe(*parts.config, "weir config check|show [OPTIONS]", "Takes the same options as \"weir serve\".");
  parts.config->require_subcommand(0, 1);
  parts.check = parts.config->add_subcommand("check", "Say whether the server would take its configuration");
  Parts::Describe(
      *parts.check, "weir config check [OPTIONS]",
      "Looks at what the server would look at: settings, budget, folders, tools, and who may call. Starts "
      "nothing.\nExample: weir config check --config weir.toml");
  parts.AddSettings(*parts.check);
  parts.check->add_flag("--json", parts.json, "One JSON document on standard output");
  parts.show = parts.config->add_subcommand("show", "Print every setting, and where it came from");
  Parts::Describe(*parts.show, "weir config show [OPTIONS]", "What it prints is a configuration file.");
  parts.AddSettings(*parts.show);
  parts.show->add_flag("--json", parts.json, "One JSON document on standard output");

  parts.token = app.add_subcommand("token", "Make a token for callers of the server");
  Parts::Describe(*parts.token, "weir token add NAME --scopes SCOPES [OPTIONS]", "");
  parts.token->require_subcommand(0, 1);
  parts.add = parts.token->add_subcommand("add", "Make a token, and print it this once");
  Parts::Describe(*parts.add, "weir token add NAME --scopes SCOPES [OPTIONS]",
                  "The configuration keeps only a digest.\nExample: weir token add ci --scopes read,submit --write");
  parts.add->add_option("name", parts.operands, "NAME")->expected(0, 1000);
  parts.add->add_option("--scopes", parts.scopes, "What it may do: read, submit, admin, with commas between");
  parts.add->add_flag("--write", parts.write, "Add it to the file, instead of printing the lines");
  parts.AddFile(*parts.add);
  parts.add->add_flag("--json", parts.json, "One JSON document on standard output");

  parts.submit = app.add_subcommand("submit", "Give a job to a running server");
  Parts::Describe(*parts.submit, "weir submit RECIPE IN [OUT] [OPTIONS]   (\"weir submit RECIPE --help\")",
                  "Without OUT the server keeps the result.");
  parts.submit->require_subcommand(0, 1);
  for (const auto& recipe : recipes) {
    CLI::App* command = parts.submit->add_subcommand(recipe, "Submit a " + recipe + " job");
    Parts::Describe(*command, "weir submit " + recipe + " IN [OUT] [OPTIONS]",
                    "Without OUT the server keeps the result. Exit code with --wait: that of the job's end.");
    command->add_option("files", parts.operands, "IN [OUT]")->expected(0, 1000);
    const auto before = std::as_const(*command).get_options();
    add_recipe(*command, recipe);
    Parts::Submit submit{.recipe = recipe, .command = command, .params = {}};
    for (const CLI::Option* option : std::as_const(*command).get_options()) {
      if (std::ranges::find(before, option) == before.end()) {
        submit.params.push_back(option);
      }
    }
    parts.submits.push_back(std::move(submit));
    parts.AddSubmission(*command);
    command->add_flag("--plan", parts.plan, "Only the server's forecast: every way, and which one would be taken");
    parts.AddClient(*command);
  }

  for (const auto& simple : kClients) {
    CLI::App* command = app.add_subcommand(simple.name, simple.help);
    Parts::Describe(*command, simple.usage, simple.footer);
    const std::string_view usage(simple.usage);
    if (usage.find(" ID") != std::string_view::npos || usage.find(" FILE") != std::string_view::npos) {
      command->add_option("operands", parts.operands, "")->expected(0, 1000);
    }
    if (simple.kind == Kind::kJobs) {
      command->add_option("--state", parts.state, "Only those in this state: queued, running, succeeded, ...");
      command->add_option("--recipe", parts.recipe, "Only those of this recipe");
      command->add_option("--owner", parts.owner, "Only those of this owner");
      command->add_option("--batch", parts.batch, "Only those of this batch");
      command->add_option("--label", parts.labels, "Only those with this label, KEY=VALUE")->allow_extra_args(false);
      command->add_option("--limit", parts.limit, "At most so many, 1 to 1000; default 50");
    } else if (simple.kind == Kind::kRetry) {
      command->add_option("--output", parts.outputs, "The name of an output that is missing (may be repeated)")
          ->allow_extra_args(false);
    } else if (simple.kind == Kind::kChange) {
      command->add_option("--priority", parts.priority, "0 to 100, higher first; of jobs that have not ended");
      command->add_option("--label", parts.labels, "A label that they are to have, KEY=VALUE (may be repeated)")
          ->allow_extra_args(false);
      command->add_option("--unlabel", parts.unlabel, "The KEY of a label that they lose (may be repeated)")
          ->allow_extra_args(false);
    } else if (simple.kind == Kind::kFetch) {
      command->add_option("-o,--output", parts.target,
                          "The file to make, or the folder for it; default: its own name");
      command->add_flag("--force", parts.force, "Replace the file if it exists");
    } else if (simple.kind == Kind::kBatch) {
      command->add_option("--show", parts.shown, "Tell how far this batch is; with --wait follow it to its end");
      command->add_option("--cancel", parts.cancelled, "Cancel what has not ended of this batch");
      parts.AddSubmission(*command);
    } else if (simple.kind == Kind::kTop) {
      command->add_flag("--once", parts.once, "Look once, also on a terminal");
    } else if (simple.kind == Kind::kCalibration) {
      command->add_flag("--reset", parts.reset, "Forget it: forecasts are those of the formula again");
    }
    parts.AddClient(*command);
    parts.clients.emplace_back(simple.kind, command);
  }
}

ServerGrammar::~ServerGrammar() = default;

void ServerGrammar::AddOperand(const std::string& word) { parts_->operands.push_back(word); }

std::optional<Result<ServerInvocation>> ServerGrammar::Interpret(
    const std::function<Status(const std::string&, const CLI::App&, const std::string&)>& check_recipe) {
  Parts& parts = *parts_;
  const auto nested = [](const CLI::App& command, const std::string& what,
                         const std::vector<std::string>& known) -> Result<ServerInvocation> {
    const auto extras = command.remaining();
    if (extras.empty()) {
      std::string words;
      for (const auto& word : known) {
        words += (words.empty() ? "" : "|") + word;
      }
      return Fail(ErrorCode::kBadParameters,
                  command.get_name() + " needs a " + what + ": \"weir " + command.get_name() + " " + words + "\"");
    }
    return Fail(UnknownName(what, extras.front(), known));
  };
  if (parts.serve->parsed()) {
    if (const auto status = RefuseExtras(*parts.serve); !status) {
      return Fail(status.error());
    }
    if (!parts.operands.empty()) {
      return Fail(ErrorCode::kBadParameters, "serve takes options only, not " + Quoted(parts.operands.front()));
    }
    ServeCommand serve{.sources = parts.Sources(), .json = parts.json};
    constexpr const char* kFormat = "--log-format";
    if (parts.json && parts.settings[kFormat].empty()) {
      serve.sources.flags.emplace_back(kFormat, "json");
    }
    return serve;
  }
  if (parts.config->parsed()) {
    for (const auto& [command, kind] :
         {std::pair(parts.check, ConfigCommand::Kind::kCheck), std::pair(parts.show, ConfigCommand::Kind::kShow)}) {
      if (command->parsed()) {
        if (const auto status = RefuseExtras(*command); !status) {
          return Fail(status.error());
        }
        return ConfigCommand{.kind = kind, .json = parts.json, .sources = parts.Sources()};
      }
    }
    return nested(*parts.config, "word", {"check", "show"});
  }
  if (parts.token->parsed()) {
    return parts.add->parsed() ? parts.AddedToken() : nested(*parts.token, "word", {"add"});
  }
  if (parts.submit->parsed()) {
    for (const auto& chosen : parts.submits) {
      if (chosen.command->parsed()) {
        return parts.Submitted(chosen, check_recipe);
      }
    }
    return nested(*parts.submit, "recipe", parts.recipes);
  }
  for (const auto& [kind, command] : parts.clients) {
    if (command->parsed()) {
      return parts.Said(kind, *command);
    }
  }
  return std::nullopt;
}

Result<int> RunConfig(const ConfigCommand& command) {
  WEIR_ASSIGN(const ConfigSources sources, GatherSources(command.sources));
  WEIR_ASSIGN(const Config config, LoadConfig(sources));
  const std::string from = sources.file.empty() ? "no file" : Quoted(sources.file);
  const bool show = command.kind == ConfigCommand::Kind::kShow;
  if (!show) {
    WEIR_TRY(CheckServe(config));
  }
  std::string text = "the configuration is good (" + from + ")\n";
  if (command.json) {
    text = ConfigAsJson(config, sources.file, show);
  } else if (show) {
    text = "# weir's configuration, from " + from + "\n" + ShowConfig(config);
  }
  return Print(text) ? Result<int>(0)
                     : Fail(ErrorCode::kSystem, "the result could not be written to standard output");
}

Result<int> RunToken(const TokenCommand& command) {
  WEIR_ASSIGN(const NewToken token, MakeToken(command.name, command.scopes));
  std::string added;
  if (command.write) {
    auto sources = GatherSources(command.sources);
    if (!sources && sources.error().code == ErrorCode::kInputMissing && !command.sources.file.empty()) {
      // The file will be made, with its token as all that is in it.
      sources = command.sources;
    }
    if (!sources) {
      return Fail(sources.error());
    }
    if (sources->file.empty()) {
      return Fail(ErrorCode::kBadParameters, "there is no configuration file yet: name one with --config");
    }
    WEIR_TRY(AddToken(*sources, command.name, token));
    added = sources->file;
  }
  std::string text;
  if (command.json) {
    const json::value file = added.empty() ? json::value() : json::value(Printable(added));
    text = json::serialize(
               json::object{{"ok", true}, {"token", token.secret}, {"lines", token.toml}, {"added_to", file}}) +
           "\n";
  } else {
    text = "token, shown this once: " + token.secret + "\n" +
           (added.empty() ? "# for the configuration file:\n" + token.toml
                          : "added to " + Quoted(added) +
                                "; the server reads it when it starts, and when it is told to read "
                                "its configuration again (SIGHUP, \"systemctl reload weir\")\n");
  }
  if (!Print(text)) {
    return Fail(ErrorCode::kSystem, "the token could not be written to standard output" +
                                        std::string(added.empty() ? "" : "; remove it from " + Quoted(added)));
  }
  return 0;
}

}  // namespace weir::app
