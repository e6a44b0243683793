// The programs that do the work: found, identified, and tried once inside the sandbox. What was found out is
// kept until the program, its libraries or the kernel change, so that later starts pay nothing for it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/run.h"
#include "os/cgroup.h"
#include "os/sandbox.h"
#include "process/child.h"
#include "store/work_folder.h"

namespace weir::app {

// ffmpeg 5.1 is the first with every option that the plans use (-fps_mode).
inline constexpr int kOldestMajor = 5;
inline constexpr int kOldestMinor = 1;

struct ToolPaths {
  std::string ffmpeg;
  std::string ffprobe;
};
// `ffprobe` empty: beside ffmpeg when there is one, else in PATH. Errors: kToolMissing.
Result<ToolPaths> FindTools(const std::string& ffmpeg, const std::string& ffprobe);

// The first line of `ffmpeg -version` as a version. Errors: kToolUnusable (not ffmpeg, or too old).
Result<std::string> ReadVersion(const std::string& output, const std::string& path);

// What children may read besides their input: system libraries, a few facts about the processor, the tools.
std::vector<os::FileRule> ReadableFor(const ToolPaths& tools);

// Runs `-version` and a self-test that encodes a few frames in a working folder, with every wall up, unless
// that is on record. Runs the loop until they end. Each child has a lease of the ledger.
// Errors: kToolUnusable, kOverBudget (a budget below any child), and what ended the self-test.
Result<jobs::Tools> IdentifyTools(boost::asio::io_context& loop, process::Launcher& launcher, memory::Ledger& ledger,
                                  const store::StateFolder& state, const ToolPaths& paths, bool fresh);

}  // namespace weir::app
