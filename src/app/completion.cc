#include "app/completion.h"

#include <CLI/CLI.hpp>
#include <map>
#include <vector>

#include "base/text.h"

namespace weir::app {
namespace {

const std::map<std::string, std::string> kValues = {
    {"--aspect", "9:16 1:1 4:5 16:9"},
    {"--focus", "center top bottom left right"},
    {"--mode", "auto copy exact"},
    {"--verify", "sample full"},
    {"--preset", "ultrafast superfast veryfast faster fast medium slow slower veryslow"},
    {"--memory", "256M 512M 1G"},
    {"--state", "queued fetching running verifying publishing succeeded failed cancelled"},
    {"--scopes", "read submit admin read,submit"},
    {"--log-level", "debug info warning error"},
    {"--log-format", "text json"},
};

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string OptionsOf(const CLI::App& command) {
  std::string words;
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) {
      words += (words.empty() ? "--" : " --") + name;
    }
  }
  return words;
}

std::string NamesOf(const std::vector<const CLI::App*>& commands) {
  std::string words;
  for (const CLI::App* command : commands) {
    words += (words.empty() ? "" : " ") + command->get_name();
  }
  return words;
}

std::string Bash(const CLI::App& grammar) {
  std::string text =
      "# weir completions for bash: weir completion bash > /etc/bash_completion.d/weir\n"
      "_weir() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} "
      "words=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '" +
      NamesOf(CommandsOf(grammar)) + " --help --version' -- \"$current\")\n    return\n  fi\n  case $previous in\n";
  for (const auto& [option, values] : kValues) {
    text += "    " + option + ") mapfile -t COMPREPLY < <(compgen -W '" + values + "' -- \"$current\"); return ;;\n";
  }
  text += "  esac\n  case $command in\n";
  for (const CLI::App* command : CommandsOf(grammar)) {
    const auto nested = CommandsOf(*command);
    std::string words = OptionsOf(*command);
    if (!nested.empty()) {
      words = NamesOf(nested) + " " + OptionsOf(*nested.front());
    } else if (command->get_name() == "completion") {
      words = "bash zsh fish";
    }
    text += "    " + command->get_name() + ") words='" + words + "' ;;\n";
  }
  text +=
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\"; compgen -f -- \"$current\")\n"
      "}\n"
      "complete -o filenames -F _weir weir\n";
  return text;
}

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// One word for a shell, whatever is in it.
std::string ShellQuoted(const std::string& text) { return "'" + Replaced(text, "'", "'\\''") + "'"; }

std::string ZshArguments(const CLI::App& command) {
  std::string text = "_arguments";
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) {
      const auto explained = Replaced(Replaced(option->get_description(), "[", "\\["), "]", "\\]");
      std::string entry = "--" + name + "[" + explained + "]";
      if (const auto values = kValues.find("--" + name); values != kValues.end()) {
        entry += ":" + name + ":(" + Replaced(values->second, ":", "\\:") + ")";
      } else if (option->get_items_expected_max() > 0) {
        entry += ":" + name + ":";
      }
      text += " \\\n        " + ShellQuoted(entry);
    }
  }
  return text + " \\\n        '*:file:_files'";
}

std::string Zsh(const CLI::App& grammar) {
  std::string text =
      "#compdef weir\n# weir completions for zsh: weir completion zsh > ~/.zfunc/_weir\n"
      "_weir() {\n  local -a commands recipes\n  commands=(\n";
  for (const CLI::App* command : CommandsOf(grammar)) {
    text += "    " + ShellQuoted(command->get_name() + ":" + Replaced(command->get_description(), ":", "\\:")) + "\n";
  }
  text +=
      "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
      "  case $words[2] in\n";
  for (const CLI::App* command : CommandsOf(grammar)) {
    const auto nested = CommandsOf(*command);
    text += "    " + command->get_name() + ")\n      ";
    if (!nested.empty()) {
      text += "if (( CURRENT == 3 )); then _values word " + NamesOf(nested) + "; return; fi\n      " +
              ZshArguments(*nested.front());
    } else if (command->get_name() == "completion") {
      text += "_values shell bash zsh fish";
    } else {
      text += ZshArguments(*command);
    }
    text += "\n      ;;\n";
  }
  return text + "  esac\n}\n_weir \"$@\"\n";
}

std::string Fish(const CLI::App& grammar) {
  std::string text = "# weir completions for fish: weir completion fish > ~/.config/fish/completions/weir.fish\n";
  const auto quoted = [](const std::string& words) { return "'" + Replaced(words, "'", "\\'") + "'"; };
  for (const CLI::App* command : CommandsOf(grammar)) {
    text += "complete -c weir -n __fish_use_subcommand -a " + command->get_name() + " -d " +
            quoted(command->get_description()) + "\n";
    const auto nested = CommandsOf(*command);
    if (!nested.empty()) {
      text += "complete -c weir -n '__fish_seen_subcommand_from " + command->get_name() + "' -a '" + NamesOf(nested) +
              "'\n";
      continue;
    }
    for (const CLI::Option* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) {
        const auto values = kValues.find("--" + name);
        text += "complete -c weir -n '__fish_seen_subcommand_from " + command->get_name() + "' -l " + name + " -d " +
                quoted(option->get_description()) +
                (values != kValues.end() ? " -x -a " + quoted(values->second) : std::string()) + "\n";
      }
    }
  }
  text += "complete -c weir -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n";
  return text;
}

}  // namespace

Result<std::string> CompletionFor(const std::string& shell, const CLI::App& grammar) {
  if (shell == "bash") {
    return Bash(grammar);
  }
  if (shell == "zsh") {
    return Zsh(grammar);
  }
  if (shell == "fish") {
    return Fish(grammar);
  }
  return Fail(ErrorCode::kBadParameters,
              (shell.empty() ? "completion needs a shell" : "unknown shell " + Quoted(shell)) +
                  std::string(": \"weir completion bash\", zsh or fish"));
}

}  // namespace weir::app
