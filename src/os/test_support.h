// What the tests of this room share: a temporary folder, and a child run to its end with its output.
#pragma once

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/file.h"
#include "os/spawn.h"

namespace weir::os {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-os-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data()) == nullptr ? "" : pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  [[nodiscard]] UniqueFd Open() const { return std::move(OpenFolder(path_, Access::kWrite).value()); }

 private:
  std::string path_;
};

inline void WriteText(const std::string& path, std::string_view text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

inline std::string ReadText(const std::string& path) {
  // Not through istreambuf_iterator, which throws when a process of /proc ends meanwhile.
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline bool Eventually(const auto& condition, std::chrono::milliseconds within = std::chrono::seconds(2)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    ::usleep(2000);
  }
  return true;
}

inline std::optional<ExitReport> WaitFor(const ChildHandle& child,
                                         std::chrono::milliseconds within = std::chrono::seconds(20)) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(within.count())) <= 0) return std::nullopt;
  auto report = Reap(child);
  return report ? *report : std::nullopt;
}

struct Finished {
  ExitReport report;
  std::string output;  // standard output and standard error
};

// A child with /dev/null as 0 and one pipe as 1 and 2.
class Runner {
 public:
  ChildSpec spec;

  Runner() {
    spec.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C"};
    spec.limits.open_files = 256;
  }
  explicit Runner(const std::string& script) : Runner() { Shell(script); }

  void Shell(const std::string& script) { Program("/bin/sh", {"sh", "-c", script}); }
  void Python(const std::string& code) { Program("/usr/bin/python3", {"python3", "-I", "-S", "-c", code}); }
  void Program(std::string program, std::vector<std::string> argv) {
    spec.program = std::move(program);
    spec.argv = std::move(argv);
  }

  Result<ChildHandle> Start() {
    null_ = std::move(OpenNull().value());
    pipe_ = std::move(MakePipe().value());
    ChildSpec full = spec;
    full.fds.push_back({null_.get(), 0});
    full.fds.push_back({pipe_.write_end.get(), 1});
    full.fds.push_back({pipe_.write_end.get(), 2});
    auto child = Spawn(full);
    pipe_.write_end.Close();
    return child;
  }

  // Reads until nobody holds the other end.
  std::string Output(std::chrono::milliseconds within = std::chrono::seconds(20)) {
    std::string text;
    char buffer[4096];
    pollfd readable{pipe_.read_end.get(), POLLIN, 0};
    while (::poll(&readable, 1, static_cast<int>(within.count())) > 0) {
      const ssize_t got = ::read(pipe_.read_end.get(), buffer, sizeof(buffer));
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }

  // One line or what came within the time.
  std::string Line(std::chrono::milliseconds within = std::chrono::seconds(10)) {
    std::string text;
    char byte = 0;
    pollfd readable{pipe_.read_end.get(), POLLIN, 0};
    while (::poll(&readable, 1, static_cast<int>(within.count())) > 0) {
      if (::read(pipe_.read_end.get(), &byte, 1) != 1 || byte == '\n') break;
      text.push_back(byte);
    }
    return text;
  }

  Result<Finished> Run() {
    WEIR_ASSIGN(const ChildHandle child, Start());
    Finished finished;
    finished.output = Output();
    const auto report = WaitFor(child);
    if (!report) {
      SendSignal(child, SIGKILL);
      (void)WaitFor(child);
      return Fail(ErrorCode::kTimedOut, "the test's child does not end: " + finished.output);
    }
    finished.report = *report;
    return finished;
  }

 private:
  UniqueFd null_;
  Pipe pipe_;
};

}  // namespace weir::os
