#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "app/completion.h"
#include "app/grammar.h"
#include "app/server_commands.h"
#include "app/version.h"
#include "base/text.h"
#include "media/recipe.h"

namespace weir::app {
namespace {

const std::string kVersionLine = std::string("weir ") + kVersion + "\n";

constexpr const char* kIntroduction =
    "Weir does video work inside a memory budget: give it one with --memory, and it picks the fastest way\n"
    "that fits, runs ffmpeg inside that limit, checks the result, and only then puts it in place.";

constexpr const char* kExamples =
    "Examples:\n"
    "  weir crop clip.mp4 vertical.mp4                      9:16, centred, sound kept\n"
    "  weir crop clip.mp4 square.mp4 --aspect 1:1 --focus left --memory 256M\n"
    "  weir trim clip.mp4 part.mp4 --from 0:10 --to 0:25    without encoding where the cut allows it\n"
    "  weir transcode clip.mov clip.mp4 --fit 1280x720\n"
    "  weir thumbnail clip.mp4 poster.jpg --at 3.5\n"
    "  weir plan crop clip.mp4 --memory 200M                what would be done, and what each way needs\n"
    "  weir probe clip.mp4                                  what is in a file\n"
    "  weir serve --memory 2G                               jobs over HTTP: submit, jobs, watch, top talk to it\n"
    "Add --json to any command for output that scripts can read. Names that begin with a dash go after \"--\".\n"
    "Exit codes: 0 done, 2 bad options, 12 no plan fits the budget, 26 the output failed its checks; the README\n"
    "lists all of them.";

// Values as the user wrote them; turned into types after parsing, so that every refusal is one of ours.
struct Words {
  std::vector<std::string> files;
  std::string memory, aspect = "9:16", focus = "center", size, preset, crf, from, to, mode = "auto", fit, at, width;
  std::string verify = "sample", timeout, stall_timeout, ffmpeg, ffprobe, max_pixels;
  bool force = false, json = false, quiet = false, require_sandbox = false, keep_metadata = false;
  bool aspect_given = false;
};

const std::vector<std::string> kRecipes = {"crop", "trim", "transcode", "thumbnail"};

std::string RecipeHelp(const std::string& recipe) {
  if (recipe == "crop") {
    return "Cut a clip to another shape, such as vertical 9:16, and keep its sound";
  }
  if (recipe == "trim") {
    return "Cut out a part; without encoding when the cut allows it";
  }
  if (recipe == "transcode") {
    return "Make H.264/AAC .mp4 or VP9/Opus .webm, inside a size, never enlarged";
  }
  return "Take one picture as .jpg or .png";
}

void AddRecipeOptions(CLI::App& command, const std::string& recipe, Words& words) {
  if (recipe == "crop") {
    command.add_option("--aspect", words.aspect, "Shape: 9:16 (default), 1:1, 4:5, 16:9, or any W:H");
    command.add_option("--focus", words.focus,
                       "What to keep: center (default), top, bottom, left, right, or X,Y with 0 to 1 each");
    command.add_option("--size", words.size,
                       "Exact size WxH, even; default: the pixels that are there, at most 1080 on the short side");
  }
  if (recipe == "trim") {
    command.add_option("--from", words.from, "Start: seconds, or [HH:]MM:SS[.ms]; default 0");
    command.add_option("--to", words.to, "End; default: the end of the clip");
    command.add_option("--mode", words.mode,
                       "auto (default): copy when the cut allows it, else encode; copy: never encode, begin at a "
                       "keyframe; exact: always encode");
  }
  if (recipe == "transcode") {
    command.add_option("--fit", words.fit, "Make it fit inside WxH; never enlarged");
  }
  if (recipe == "thumbnail") {
    command.add_option("--at", words.at, "Where: seconds, or [HH:]MM:SS[.ms]; default: a tenth of the length");
    command.add_option("--width", words.width, "Width in pixels, height follows; never enlarged");
  } else {
    command.add_option("--crf", words.crf, "Quality: lower is better and larger; x264 0-51 (23), VP9 0-63 (33)");
    command.add_option("--preset", words.preset, "x264's speed: ultrafast ... veryslow; default veryfast");
  }
  command.add_flag("--keep-metadata", words.keep_metadata,
                   "Keep tags that tell place, device or person; they are dropped by default");
}

void AddCommonOptions(CLI::App& command, Words& words) {
  command.add_option("--memory", words.memory,
                     "Budget for everything together, such as 256M or 1G; default: half of what is free");
  command.add_flag("--json", words.json, "One JSON document on standard output");
  command.add_flag("--quiet", words.quiet, "No progress");
  command.add_option("--ffmpeg", words.ffmpeg, "The ffmpeg to use (also WEIR_FFMPEG)");
  command.add_option("--ffprobe", words.ffprobe, "The ffprobe to use (also WEIR_FFPROBE); default: beside ffmpeg");
  command.add_flag("--require-sandbox", words.require_sandbox,
                   "Refuse to work when a layer of the sandbox is missing");
  command.add_option("--max-pixels", words.max_pixels, "Refuse pictures with more pixels; default 50000000");
  command.add_option("--timeout", words.timeout,
                     "Stop after this long; default: ten minutes plus 60 times the length");
  command.add_option("--stall-timeout", words.stall_timeout,
                     "Stop when nothing advances for this long; default 120s");
}

void AddOutputOptions(CLI::App& command, Words& words) {
  command.add_flag("--force", words.force, "Replace the output if it exists");
  command.add_option("--verify", words.verify,
                     "sample (default): every packet, and decoding at several places; full: decode everything");
}

template <typename T>
Result<T> Named(const char* option, Result<T> result) {
  if (!result) {
    Error error = std::move(result).error();
    error.detail = std::string(option) + ": " + error.detail;
    return Fail(std::move(error));
  }
  return result;
}

Result<int> ParseWhole(const char* option, const std::string& text, const media::WholeRange& range) {
  const auto number = ParseUnsigned(text);
  if (!number || *number > static_cast<std::uint64_t>(range.high) ||
      !range.Holds(static_cast<std::int64_t>(*number))) {
    return Fail(ErrorCode::kBadParameters, std::string(option) + ": " + Quoted(text) +
                                               " is not a whole number from " + std::to_string(range.low) + " to " +
                                               std::to_string(range.high));
  }
  return static_cast<int>(*number);
}

Result<media::Recipe> ParseRecipe(const std::string& name, const Words& words, media::Container output) {
  if (name == "crop") {
    media::Crop crop;
    WEIR_ASSIGN(crop.aspect, Named("--aspect", media::ParseAspect(words.aspect)));
    WEIR_ASSIGN(crop.focus, Named("--focus", media::ParseFocus(words.focus)));
    if (!words.size.empty()) {
      WEIR_ASSIGN(crop.size, Named("--size", media::ParseSize(words.size)));
      if (!words.aspect_given) {
        crop.aspect = {.num = crop.size->width, .den = crop.size->height};
      }
    }
    if (!words.crf.empty()) {
      WEIR_ASSIGN(crop.crf, ParseWhole("--crf", words.crf, media::kX264Crf));
    }
    if (!words.preset.empty()) {
      WEIR_ASSIGN(crop.preset, Named("--preset", media::ParsePreset(words.preset)));
    }
    return crop;
  }
  if (name == "trim") {
    media::Trim trim;
    if (!words.from.empty()) {
      WEIR_ASSIGN(trim.from, Named("--from", media::ParseTime(words.from)));
    }
    if (!words.to.empty()) {
      WEIR_ASSIGN(trim.to, Named("--to", media::ParseTime(words.to)));
      if (*trim.to <= trim.from) {
        return Fail(ErrorCode::kBadParameters, "--to " + Quoted(words.to) + " is not after --from " +
                                                   Quoted(words.from.empty() ? "0" : words.from) +
                                                   "; the part would be empty");
      }
    }
    WEIR_ASSIGN(trim.mode, Named("--mode", media::ParseTrimMode(words.mode)));
    if (!words.crf.empty()) {
      WEIR_ASSIGN(trim.crf, ParseWhole("--crf", words.crf, media::kX264Crf));
    }
    if (!words.preset.empty()) {
      WEIR_ASSIGN(trim.preset, Named("--preset", media::ParsePreset(words.preset)));
    }
    return trim;
  }
  if (name == "transcode") {
    media::Transcode transcode;
    if (!words.fit.empty()) {
      WEIR_ASSIGN(transcode.fit, Named("--fit", media::ParseSize(words.fit)));
    }
    if (!words.crf.empty()) {
      WEIR_ASSIGN(transcode.crf, ParseWhole("--crf", words.crf, media::TranscodeCrf(output)));
    }
    if (!words.preset.empty()) {
      WEIR_ASSIGN(transcode.preset, Named("--preset", media::ParsePreset(words.preset)));
    }
    return transcode;
  }
  media::Thumbnail thumbnail;
  if (!words.at.empty()) {
    WEIR_ASSIGN(thumbnail.at, Named("--at", media::ParseTime(words.at)));
  }
  if (!words.width.empty()) {
    WEIR_ASSIGN(thumbnail.width, ParseWhole("--width", words.width, media::kSide));
  }
  return thumbnail;
}

Result<Settings> ParseSettings(const Words& words) {
  Settings settings;
  settings.json = words.json;
  settings.quiet = words.quiet;
  settings.require_sandbox = words.require_sandbox;
  if (!words.memory.empty()) {
    WEIR_ASSIGN(settings.memory, Named("--memory", ParseBytes(words.memory)));
    if (*settings.memory == Bytes()) {
      return Fail(ErrorCode::kBadParameters,
                  "--memory: a budget of nothing does nothing; give an amount such as 256M");
    }
  }
  const auto choose = [](const std::string& word, const char* variable, std::string fallback) {
    if (!word.empty()) {
      return word;
    }
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0' ? std::string(value) : std::move(fallback);
  };
  settings.ffmpeg = choose(words.ffmpeg, "WEIR_FFMPEG", "ffmpeg");
  settings.ffprobe = choose(words.ffprobe, "WEIR_FFPROBE", "");
  if (!words.max_pixels.empty()) {
    const auto pixels = ParseUnsigned(words.max_pixels);
    if (!pixels || *pixels < 256 || *pixels > 1'000'000'000) {
      return Fail(ErrorCode::kBadParameters,
                  "--max-pixels: " + Quoted(words.max_pixels) + " is not a whole number from 256 to 1000000000");
    }
    settings.limits.input.max_pixels = static_cast<std::int64_t>(*pixels);
  }
  const auto limit = [](const char* option, const std::string& text) -> Result<std::chrono::milliseconds> {
    WEIR_ASSIGN(const MediaTime time, Named(option, media::ParseTime(text)));
    const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(time);
    if (rounded.count() == 0) {
      return Fail(ErrorCode::kBadParameters, std::string(option) + ": must be longer than zero");
    }
    return rounded;
  };
  if (!words.timeout.empty()) {
    WEIR_ASSIGN(settings.limits.deadline, limit("--timeout", words.timeout));
  }
  if (!words.stall_timeout.empty()) {
    WEIR_ASSIGN(settings.limits.stall, limit("--stall-timeout", words.stall_timeout));
  }
  return settings;
}

const char* ExampleOf(const std::string& recipe) {
  if (recipe == "crop") {
    return "Example: weir crop clip.mp4 vertical.mp4 --focus left --size 1080x1920 --memory 256M";
  }
  if (recipe == "trim") {
    return "Example: weir trim clip.mp4 part.mp4 --from 0:10 --to 0:25.5";
  }
  if (recipe == "transcode") {
    return "Example: weir transcode clip.mov clip.webm --fit 1280x720";
  }
  return "Example: weir thumbnail clip.mp4 poster.jpg --at 3.5 --width 640";
}

// All that CLI11 needs for one command line; lives as long as the parse.
struct Grammar {
  CLI::App app{kIntroduction, "weir"};
  Words words;
  std::vector<std::pair<std::string, CLI::App*>> recipes;
  std::vector<std::pair<std::string, CLI::App*>> plans;
  CLI::App* plan = nullptr;
  CLI::App* probe = nullptr;
  CLI::App* doctor = nullptr;
  CLI::App* completion = nullptr;
  std::string shell;
  std::unique_ptr<ServerGrammar> server;

  Grammar() {
    app.footer(kExamples);
    app.formatter(
        std::make_shared<PlainFormatter>("weir COMMAND [OPTIONS] FILES   (\"weir COMMAND --help\" explains one)"));
    app.set_help_flag("-h,--help", "Print this help");
    app.set_version_flag("--version", kVersionLine);
    app.require_subcommand(0, 1);
    app.allow_extras();
    for (const auto& recipe : kRecipes) {
      CLI::App* command = app.add_subcommand(recipe, RecipeHelp(recipe));
      command->formatter(std::make_shared<PlainFormatter>("weir " + recipe + " IN OUT [OPTIONS]"));
      command->footer(ExampleOf(recipe));
      command->add_option("files", words.files, "IN OUT")->expected(0, 1000);
      AddRecipeOptions(*command, recipe, words);
      AddCommonOptions(*command, words);
      AddOutputOptions(*command, words);
      command->allow_extras();
      recipes.emplace_back(recipe, command);
    }
    plan = app.add_subcommand("plan", "Forecast a recipe: every way to do it, what each needs, which one fits");
    plan->require_subcommand(0, 1);
    plan->formatter(std::make_shared<PlainFormatter>("weir plan RECIPE IN [OUT] [OPTIONS]"));
    plan->footer("Example: weir plan crop clip.mp4 --size 1080x1920 --memory 256M");
    plan->allow_extras();
    for (const auto& recipe : kRecipes) {
      CLI::App* command = plan->add_subcommand(recipe, "Forecast " + recipe);
      command->formatter(std::make_shared<PlainFormatter>("weir plan " + recipe + " IN [OUT] [OPTIONS]"));
      command->footer("Starts nothing but the probe. Exit code 12 when no way fits the budget.");
      command->add_option("files", words.files, "IN [OUT]")->expected(0, 1000);
      AddRecipeOptions(*command, recipe, words);
      AddCommonOptions(*command, words);
      AddOutputOptions(*command, words);
      command->allow_extras();
      plans.emplace_back(recipe, command);
    }
    probe = app.add_subcommand("probe", "Tell what is in a file");
    probe->formatter(std::make_shared<PlainFormatter>("weir probe IN [OPTIONS]"));
    probe->footer("Example: weir probe clip.mp4 --json");
    probe->add_option("files", words.files, "IN")->expected(0, 1000);
    AddCommonOptions(*probe, words);
    probe->allow_extras();
    doctor = app.add_subcommand("doctor", "Check the tools, the memory limit and the sandbox of this machine");
    doctor->formatter(std::make_shared<PlainFormatter>("weir doctor [OPTIONS]"));
    doctor->footer("Always runs the self-test, and remembers its result for the other commands.");
    AddCommonOptions(*doctor, words);
    doctor->allow_extras();
    server = std::make_unique<ServerGrammar>(app, kRecipes, [this](CLI::App& command, const std::string& recipe) {
      AddRecipeOptions(command, recipe, words);
    });
    completion = app.add_subcommand("completion", "Print completions for bash, zsh or fish");
    completion->formatter(std::make_shared<PlainFormatter>("weir completion bash|zsh|fish"));
    completion->footer("Example: weir completion bash > /etc/bash_completion.d/weir");
    completion->add_option("shell", shell, "bash, zsh or fish");
    completion->add_flag("--json", words.json, "One JSON document on standard output");
    completion->allow_extras();
  }
};

std::vector<media::Container> OutputsFor(const std::string& recipe) {
  return media::OutputsOf(recipe == "crop"        ? media::Recipe(media::Crop{})
                          : recipe == "trim"      ? media::Recipe(media::Trim{})
                          : recipe == "transcode" ? media::Recipe(media::Transcode{})
                                                  : media::Recipe(media::Thumbnail{}));
}

Result<Invocation> RecipeInvocation(const std::string& name, const CLI::App& command, Words& words, bool plan_only) {
  WEIR_TRY(RefuseExtras(command));
  words.aspect_given = name == "crop" && command.get_option("--aspect")->count() > 0;
  if (words.files.empty()) {
    return Fail(ErrorCode::kBadParameters, "no input file: \"weir " + std::string(plan_only ? "plan " : "") + name +
                                               " IN " + (plan_only ? "[OUT]" : "OUT") + "\"");
  }
  if (words.files.size() < 2 && !plan_only) {
    return Fail(ErrorCode::kBadParameters, "no output file: \"weir " + name + " IN OUT\"");
  }
  if (words.files.size() > 2) {
    return Fail(ErrorCode::kBadParameters,
                "one file too many: " + Quoted(words.files[2]) + "; \"weir " + name + " IN OUT\"");
  }
  RunCommand run;
  run.kind = plan_only ? RunCommand::Kind::kPlan : RunCommand::Kind::kRecipe;
  WEIR_ASSIGN(run.settings, ParseSettings(words));

  const auto allowed = OutputsFor(name);
  media::Request request;
  request.output = allowed.front();
  if (words.files.size() == 2) {
    WEIR_ASSIGN(request.output, media::ContainerOf(words.files[1], allowed));
  }
  WEIR_ASSIGN(request.recipe, ParseRecipe(name, words, request.output));
  request.keep_metadata = words.keep_metadata;
  run.ask.request = std::move(request);
  run.ask.input_path = words.files[0];
  run.ask.output_path = plan_only ? std::string() : words.files[1];
  run.ask.overwrite = words.force;
  if (words.verify == "full") {
    run.ask.verify = media::VerifyDepth::kFull;
  } else if (words.verify != "sample") {
    return Fail(ErrorCode::kBadParameters, "--verify: " + Quoted(words.verify) + " is not one of sample, full");
  }
  return run;
}

Result<Invocation> NoCommand(const Grammar& grammar) {
  const auto extras = grammar.app.remaining();
  if (extras.empty()) {
    return TextCommand{.text = grammar.app.help()};
  }
  if (extras.front().starts_with('-')) {
    return Fail(UnknownWord(extras.front(), grammar.app));
  }
  std::vector<std::string> names;
  for (const CLI::App* command : grammar.app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  std::string detail = "unknown command " + Quoted(extras.front());
  if (auto nearest = NearestName(extras.front(), names)) {
    detail += "; did you mean " + *nearest + "?";
  } else {
    detail += "; \"weir --help\" lists what there is";
  }
  return Fail(ErrorCode::kBadParameters, detail);
}

Result<Invocation> Interpret(Grammar& grammar) {
  for (auto& [name, command] : grammar.recipes) {
    if (command->parsed()) {
      return RecipeInvocation(name, *command, grammar.words, false);
    }
  }
  for (auto& [name, command] : grammar.plans) {
    if (command->parsed()) {
      return RecipeInvocation(name, *command, grammar.words, true);
    }
  }
  if (grammar.plan->parsed()) {
    const auto extras = grammar.plan->remaining();
    std::string detail = extras.empty() ? std::string("plan needs a recipe: \"weir plan crop IN\"")
                                        : "unknown recipe " + Quoted(extras.front());
    if (!extras.empty()) {
      if (auto nearest = NearestName(extras.front(), kRecipes)) {
        detail += "; did you mean " + *nearest + "?";
      } else {
        detail += "; there are crop, trim, transcode and thumbnail";
      }
    }
    return Fail(ErrorCode::kBadParameters, detail);
  }
  if (grammar.probe->parsed()) {
    WEIR_TRY(RefuseExtras(*grammar.probe));
    if (grammar.words.files.size() != 1) {
      return Fail(ErrorCode::kBadParameters, "probe takes one file: \"weir probe IN\"");
    }
    RunCommand run;
    run.kind = RunCommand::Kind::kProbe;
    WEIR_ASSIGN(run.settings, ParseSettings(grammar.words));
    run.ask.input_path = grammar.words.files[0];
    return run;
  }
  if (grammar.doctor->parsed()) {
    WEIR_TRY(RefuseExtras(*grammar.doctor));
    DoctorCommand doctor;
    WEIR_ASSIGN(doctor.settings, ParseSettings(grammar.words));
    return doctor;
  }
  if (grammar.completion->parsed()) {
    WEIR_TRY(RefuseExtras(*grammar.completion));
    WEIR_ASSIGN(auto text, CompletionFor(grammar.shell, grammar.app));
    if (grammar.words.json) {
      namespace json = boost::json;
      text = json::serialize(json::object{{"ok", true}, {"shell", grammar.shell}, {"script", text}}) + "\n";
    }
    return TextCommand{.text = std::move(text)};
  }
  // A server will look at it all again; but a mistake is better heard of before anything is sent.
  const auto check_recipe = [&words = grammar.words](const std::string& recipe, const CLI::App& command,
                                                     const std::string& output) -> Status {
    words.aspect_given = recipe == "crop" && command.get_option("--aspect")->count() > 0;
    const auto allowed = OutputsFor(recipe);
    media::Container container = allowed.front();
    if (!output.empty()) {
      WEIR_ASSIGN(container, media::ContainerOf(output, allowed));
    }
    WEIR_TRY(ParseRecipe(recipe, words, container));
    return {};
  };
  if (auto command = grammar.server->Interpret(check_recipe)) {
    WEIR_ASSIGN(ServerInvocation chosen, *std::move(command));
    return std::visit([](auto& each) { return Invocation(std::move(each)); }, chosen);
  }
  return NoCommand(grammar);
}

}  // namespace

bool WantsJson(const std::vector<std::string>& arguments) {
  for (const auto& argument : arguments) {
    if (argument == "--") {
      return false;
    }
    if (argument == "--json") {
      return true;
    }
  }
  return false;
}

Result<Invocation> ParseCommandLine(const std::vector<std::string>& arguments) {
  Grammar grammar;
  // All words after "--" are file names; CLI11 would hand them to the program instead of the command.
  const auto end_of_options = std::find(arguments.begin(), arguments.end(), "--");
  // CLI11 takes the words in reverse.
  std::vector<std::string> words(std::make_reverse_iterator(end_of_options), arguments.rend());
  try {
    grammar.app.parse(words);
  } catch (const CLI::CallForHelp&) {
    const CLI::App* command = &grammar.app;
    for (auto chosen = command->get_subcommands(); !chosen.empty(); chosen = command->get_subcommands()) {
      command = chosen.front();
    }
    return TextCommand{.text = command->help()};
  } catch (const CLI::CallForVersion&) {
    return TextCommand{.text = kVersionLine};
  } catch (const CLI::ParseError& error) {
    return Fail(ErrorCode::kBadParameters, Printable(error.what()));
  }
  if (end_of_options != arguments.end()) {
    grammar.words.files.insert(grammar.words.files.end(), end_of_options + 1, arguments.end());
    for (auto word = end_of_options + 1; word != arguments.end(); ++word) {
      grammar.server->AddOperand(*word);
    }
  }
  return Interpret(grammar);
}

}  // namespace weir::app
