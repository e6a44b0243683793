// The command line's words about the server: serve, config, token, and everything that is said to a running one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/client.h"
#include "app/config.h"
#include "base/result.h"

namespace CLI {
class App;
}

namespace weir::app {

// `sources` has the flags, and the file's name if one was given: GatherSources does the rest.
struct ServeCommand {
  ConfigSources sources;
  bool json = false;  // a refusal is a document on standard output
};
struct ConfigCommand {
  enum class Kind : std::uint8_t { kCheck, kShow } kind = Kind::kCheck;
  bool json = false;
  ConfigSources sources;
};
struct TokenCommand {
  std::string name;
  std::uint8_t scopes = 0;
  bool write = false;
  bool json = false;
  ConfigSources sources;
};
using ServerInvocation = std::variant<ServeCommand, ConfigCommand, TokenCommand, ClientCommand>;

// The part of the grammar that makes them. Lives as long as the parse.
class ServerGrammar {
 public:
  // Adds all commands to `app`. `add_recipe` adds the options of a recipe to a command: those of `weir submit`.
  ServerGrammar(CLI::App& app, const std::vector<std::string>& recipes,
                const std::function<void(CLI::App&, const std::string& recipe)>& add_recipe);
  ServerGrammar(const ServerGrammar&) = delete;
  ServerGrammar& operator=(const ServerGrammar&) = delete;
  ~ServerGrammar();

  // A word that stood after "--".
  void AddOperand(const std::string& word);
  // After the parse: nullopt when the command was none of these. `check_recipe` looks at the recipe's options.
  // Errors: kBadParameters, kOutputFormat.
  std::optional<Result<ServerInvocation>> Interpret(
      const std::function<Status(const std::string& recipe, const CLI::App& command, const std::string& output)>&
          check_recipe);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Exit codes. Both speak on standard output.
Result<int> RunConfig(const ConfigCommand& command);
Result<int> RunToken(const TokenCommand& command);

}  // namespace weir::app
