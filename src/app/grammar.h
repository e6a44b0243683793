// What all commands of the command line share in being parsed: how help looks, and how a wrong word is refused.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::app {

// CLI11's layout without its type names, and a usage line that can be typed.
class PlainFormatter final : public CLI::Formatter {
 public:
  explicit PlainFormatter(std::string usage) : usage_(std::move(usage)) { column_width(26); }

  std::string make_usage(const CLI::App* /*app*/, std::string /*name*/) const override {
    return "\nUsage: " + usage_ + "\n";
  }
  std::string make_option_opts(const CLI::Option* /*option*/) const override { return {}; }
  std::string make_positionals(const CLI::App* /*app*/) const override { return {}; }

 private:
  std::string usage_;
};

// A word that `command` cannot use, with the nearest option if it looks like one.
Error UnknownWord(const std::string& word, const CLI::App& command);
Status RefuseExtras(const CLI::App& command);
// "unknown `what` 'word'; did you mean ...?", among `known`.
Error UnknownName(const std::string& what, const std::string& word, const std::vector<std::string>& known);

}  // namespace weir::app
