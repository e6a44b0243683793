#include "app/serve_checks.h"

#include <filesystem>
#include <fstream>

#include "app/session.h"
#include "app/toolbox.h"
#include "base/text.h"
#include "http/access.h"
#include "os/cgroup.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "store/media_roots.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

// A folder that is there and can be written, or that can be made where it is not.
Status CheckFolder(const std::string& folder) {
  fs::path there(folder);
  std::error_code error;
  while (!fs::exists(there, error) && there.has_relative_path()) {
    there = there.parent_path();
  }
  WEIR_TRY(os::OpenFolder(there.string(), os::Access::kWrite));
  return {};
}

Status CheckLogFile(const std::string& path) {
  if (path.empty()) {
    return {};
  }
  const auto refuse = [&](const std::string& why) {
    return Fail(ErrorCode::kOutputUnwritable, "the log file " + Quoted(path) + " " + why);
  };
  std::error_code error;
  const auto there = fs::status(path, error);
  if (!fs::exists(there)) {
    const auto folder = os::OpenFolder(os::SplitPath(path).first, os::Access::kWrite);
    return folder ? Status() : refuse("cannot be made: " + folder.error().detail);
  }
  if (!fs::is_regular_file(there)) {
    return refuse("is not a file");
  }
  return std::fstream(path, std::ios::in | std::ios::out).is_open() ? Status() : refuse("cannot be written");
}

}  // namespace

Bytes OwnUseOf(const Config& config) {
  constexpr Bytes kEmpty = Bytes::Mib(12);   // idle, with the caches of the store and of answers full
  constexpr Bytes kLearned = Bytes::Mib(3);  // 500 kinds of children, shown, and as a copy and a text while written
  constexpr std::uint64_t kWaitingJob = 640;
  constexpr std::uint64_t kConnection = 20 * 1024;  // with most of a header
  constexpr std::uint64_t kUnderstood = 8;          // a body as values: one batch is looked at at a time
  const Bytes most = kEmpty + kLearned + Bytes(kWaitingJob * config.most_queued) +
                     Bytes(kConnection * config.connections) +
                     Bytes((kUnderstood + kBodiesAtOnce) * config.largest_body.count());
  // In whole MiB, so that a reload may raise a limit a little.
  return Bytes::Mib((most.count() >> 20U) + 1);
}

Settings SessionSettings(const Config& config) {
  Settings settings;
  settings.memory = config.memory;
  settings.own_use = OwnUseOf(config);
  settings.ffmpeg = config.ffmpeg;
  settings.ffprobe = config.ffprobe;
  settings.require_sandbox = config.require_sandbox;
  settings.limits.stall = config.stall;
  settings.limits.deadline = config.timeout;
  settings.limits.input.max_duration = config.max_duration;
  settings.limits.input.max_pixels = config.max_pixels;
  return settings;
}

Status CheckServe(const Config& config) {
  const Settings settings = SessionSettings(config);
  WEIR_TRY(CheckLogFile(config.log_file));
  WEIR_TRY(CheckFolder(config.data));
  if (settings.require_sandbox) {
    WEIR_TRY(CheckLayers(settings, os::DetectSandbox()));
  }
  WEIR_TRY(DecideBudget(settings, os::CgroupRoot::Look()));
  WEIR_TRY(FindTools(settings.ffmpeg, settings.ffprobe));
  WEIR_TRY(store::MediaRoots::Open(config.media_roots));
  return http::MayListen(config.address, !config.tokens.empty());
}

}  // namespace weir::app
