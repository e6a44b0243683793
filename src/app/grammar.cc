#include "app/grammar.h"

#include "base/text.h"

namespace weir::app {
namespace {

std::vector<std::string> OptionNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) {
      names.push_back("--" + name);
    }
  }
  return names;
}

}  // namespace

Error UnknownWord(const std::string& word, const CLI::App& command) {
  const bool is_option = word.size() > 1 && word.front() == '-';
  const std::string plain = word.substr(0, word.find('='));
  std::string detail = is_option ? "unknown option " + Quoted(plain) : "unexpected argument " + Quoted(word);
  if (is_option) {
    if (auto nearest = NearestName(plain, OptionNames(command))) {
      detail += "; did you mean " + *nearest + "?";
    } else {
      detail += "; \"weir " + command.get_name() + " --help\" lists what there is";
    }
  }
  return {.code = ErrorCode::kBadParameters, .detail = detail};
}

Status RefuseExtras(const CLI::App& command) {
  const auto extras = command.remaining();
  if (!extras.empty()) {
    return Fail(UnknownWord(extras.front(), command));
  }
  return {};
}

Error UnknownName(const std::string& what, const std::string& word, const std::vector<std::string>& known) {
  std::string detail = "unknown " + what + " " + Quoted(word);
  if (const auto nearest = NearestName(word, known)) {
    detail += "; did you mean " + *nearest + "?";
  } else {
    detail += "; there are ";
    for (std::size_t i = 0; i < known.size(); ++i) {
      detail += (i == 0 ? "" : i + 1 == known.size() ? " and " : ", ") + known[i];
    }
  }
  return {.code = ErrorCode::kBadParameters, .detail = detail};
}

}  // namespace weir::app
