// Small clips made by ffmpeg at test time, and children run with the descriptors that Weir gives them: input on 3,
// progress on 4. For tests only.
#pragma once

#include <stdlib.h>  // mkdtemp

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace weir::media::test {

struct Ran {
  int status = -1;
  std::string output;
  std::string errors;
  std::string progress;
};

inline std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder of its own, removed at the end.
class Clips {
 public:
  Clips() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-media-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Clips() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Clips(const Clips&) = delete;
  Clips& operator=(const Clips&) = delete;

  [[nodiscard]] std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  // The output of `ffmpeg ARGUMENTS name`; the arguments are a shell's words. Empty when ffmpeg failed.
  std::string Make(const std::string& name, const std::string& arguments) const {
    const std::string path = Path(name);
    const std::string command = "cd " + folder_.string() + " && ffmpeg -hide_banner -nostdin -v error -y " +
                                arguments + " " + name + " >/dev/null 2>make.log";
    return std::system(command.c_str()) == 0 ? path : std::string();
  }

  // Runs with `input` as descriptor 3, or without one when it is empty.
  [[nodiscard]] Ran Run(const std::string& program, const std::vector<std::string>& arguments,
                        const std::string& input, const std::string& before = {}) const {
    std::string command = "cd " + folder_.string() + " && " + before + program;
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    if (!input.empty()) command += " 3<'" + input + "'";
    command += " 4>progress.log >output.log 2>errors.log </dev/null";
    Ran ran;
    const int status = std::system(command.c_str());
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ran.output = ReadAll(folder_ / "output.log");
    ran.errors = ReadAll(folder_ / "errors.log");
    ran.progress = ReadAll(folder_ / "progress.log");
    return ran;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace weir::media::test
