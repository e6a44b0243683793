// TestPlace: a folder with a state folder and the means to make a clip, and the walls of this machine, for tests that
// run real children.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "jobs/run.h"
#include "os/cgroup.h"
#include "os/sandbox.h"
#include "process/child.h"
#include "store/work_folder.h"

namespace weir::jobs {

class TestPlace : public testing::Test {
 protected:
  TestPlace() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-jobs-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    ::setenv("WEIR_STATE_DIR", (folder_ / "state").c_str(), 1);
    state_.emplace(*store::StateFolder::Open());
    process::Walls walls;
    walls.support = os::DetectSandbox();
    walls.cgroups = os::CgroupRoot::Detect();
    walls.seccomp = *os::BuildSeccomp();
    for (const char* path : {"/usr", "/lib", "/lib64"}) {
      walls.readable.push_back({.path = path, .fd = -1, .allow = os::FileRule::Allow::kReadExecute});
    }
    launcher_.emplace(loop_, std::move(walls), spawner_);
  }
  ~TestPlace() override {
    ::unsetenv("WEIR_STATE_DIR");
    std::filesystem::remove_all(folder_);
  }

  // 320x240 at 25 frames a second with a tone.
  static void MakeClip(const std::filesystem::path& path, int seconds) {
    const std::string length = std::to_string(seconds);
    const std::string command =
        "ffmpeg -hide_banner -nostdin -v error -f lavfi -i testsrc2=s=320x240:r=25:d=" + length +
        " -f lavfi -i sine=d=" + length + " -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -y " +
        path.string();
    EXPECT_EQ(std::system(command.c_str()), 0);
  }

  static Tools TestTools() { return {.ffmpeg = "/usr/bin/ffmpeg", .ffprobe = "/usr/bin/ffprobe", .version = "test"}; }

  // What the command prints, first word.
  [[nodiscard]] std::string WordFrom(const std::string& command) const;

  std::filesystem::path folder_;
  boost::asio::io_context loop_{1};
  boost::asio::thread_pool aside_{1};
  SystemClock clock_;
  process::RealSpawner spawner_;
  std::optional<store::StateFolder> state_;
  std::optional<process::Launcher> launcher_;
};

inline std::string TestPlace::WordFrom(const std::string& command) const {
  const auto said = folder_ / "said";
  EXPECT_EQ(std::system((command + " > " + said.string()).c_str()), 0);
  std::string word;
  std::ifstream(said) >> word;
  std::filesystem::remove(said);
  return word;
}

}  // namespace weir::jobs
