// One command line, understood: what to do, on what, with which limits. Filled by command_line.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "app/server_commands.h"
#include "base/bytes.h"
#include "jobs/run.h"
#include "media/recipe.h"

namespace weir::app {

// Settings of every command that starts children.
struct Settings {
  std::optional<Bytes> memory;   // nullopt: half of what is free
  std::optional<Bytes> own_use;  // set aside for this process; nullopt: what a command takes
  std::string ffmpeg = "ffmpeg";
  std::string ffprobe;  // empty: beside ffmpeg, else in PATH
  bool require_sandbox = false;
  bool json = false;
  bool quiet = false;
  jobs::Limits limits;
};

// Carry a recipe out, or only forecast it, or only probe.
struct RunCommand {
  enum class Kind : std::uint8_t { kRecipe, kPlan, kProbe } kind = Kind::kRecipe;
  jobs::Ask ask;
  Settings settings;
};
struct DoctorCommand {
  Settings settings;
};
// Text to print, and the exit code: help, version, completions.
struct TextCommand {
  std::string text;
};

using Invocation =
    std::variant<RunCommand, DoctorCommand, TextCommand, ServeCommand, ConfigCommand, TokenCommand, ClientCommand>;

}  // namespace weir::app
