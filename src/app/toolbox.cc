#include "app/toolbox.h"

#include <optional>
#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/workplace.h"
#include "media/failure.h"
#include "os/file.h"
#include "os/program.h"

namespace weir::app {
namespace {

constexpr const char* kRecordName = "tools";
constexpr const char* kRecordFormat = "weir-tools 1";
// The loader and the libraries of Debian's ffmpeg take about 46 MiB; the self-test's tiny encode a few more.
constexpr Bytes kSelfTestMemory = Bytes::Mib(110);

struct Spoken {
  process::ChildReport report;
  std::string text;
};

// What a trial of the tools needs of the world.
struct Bench {
  boost::asio::io_context& loop;
  process::Launcher& launcher;
  memory::Ledger& ledger;
};

// One child to its end, under a lease of what it may use. The loop runs meanwhile, so signals are heard.
Result<Spoken> RunToEnd(const Bench& bench, const process::Order& order) {
  WEIR_ASSIGN(const auto lease, bench.ledger.Acquire(order.memory_limit, order.purpose));
  Spoken spoken;
  bool ended = false;
  process::Hooks hooks;
  hooks.on_stdout = [&spoken](std::string_view chunk) {
    if (spoken.text.size() + chunk.size() <= Bytes::Kib(64).count()) {
      spoken.text.append(chunk);
    }
  };
  WEIR_ASSIGN(const auto child, bench.launcher.Start(order, std::move(hooks), [&](process::ChildReport report) {
    spoken.report = std::move(report);
    ended = true;
  }));
  while (!ended && bench.loop.run_one() > 0) {
  }
  return spoken;
}

process::Order SmallOrder(const std::string& program, const std::vector<std::string>& arguments, Bytes memory) {
  auto order = jobs::workplace::OrderFor("identify", program, arguments, std::min(memory, kSelfTestMemory));
  order.deadline = std::chrono::seconds(10);
  order.cpu_limit = std::chrono::seconds(20);
  return order;
}

Error Unusable(const std::string& path, const std::string& why, const process::ChildReport* report) {
  std::string detail = Quoted(path) + " " + why;
  if (report != nullptr && !Trim(report->stderr_text).empty()) {
    const auto lines = SplitLines(Trim(report->stderr_text));
    detail += ": " + Printable(lines.back());
  }
  return {.code = ErrorCode::kToolUnusable, .detail = detail + "; name another build with --ffmpeg and --ffprobe"};
}

bool Succeeded(const Spoken& spoken) {
  const auto* exited = std::get_if<process::Exited>(&spoken.report.ending);
  return exited != nullptr && exited->status == 0;
}

Error WhyFailed(const std::string& path, const std::string& what, const Spoken& spoken, Bytes memory) {
  if (std::holds_alternative<process::Cancelled>(spoken.report.ending)) {
    return {.code = ErrorCode::kInterrupted, .detail = "interrupted"};
  }
  if (std::holds_alternative<process::OomKilled>(spoken.report.ending) ||
      media::SaysOutOfMemory(spoken.report.stderr_text) ||
      (memory < kSelfTestMemory && !std::holds_alternative<process::Exited>(spoken.report.ending))) {
    if (memory < kSelfTestMemory) {
      return Error{.code = ErrorCode::kOverBudget,
                   .detail = "the budget leaves " + ToString(memory) +
                             " for children, and ffmpeg alone needs up to " + ToString(kSelfTestMemory) +
                             " to start; give more with --memory"}
          .With("required_bytes", kSelfTestMemory.count())
          .With("available_bytes", memory.count());
    }
  }
  return Unusable(path, what + " (" + process::Describe(spoken.report.ending) + ")", &spoken.report);
}

Result<std::string> Identify(const Bench& bench, const std::string& path) {
  const Bytes memory = bench.ledger.available();
  WEIR_ASSIGN(const auto spoken, RunToEnd(bench, SmallOrder(path, {"-version"}, memory)));
  if (!Succeeded(spoken)) {
    return Fail(WhyFailed(path, "cannot run here", spoken, memory));
  }
  return ReadVersion(spoken.text, path);
}

// A few frames through decoder, filter, both encoders and muxer, with every wall up.
Status SelfTest(const Bench& bench, const store::StateFolder& state, const std::string& ffmpeg) {
  const Bytes memory = bench.ledger.available();
  WEIR_ASSIGN(const auto work, store::WorkFolder::Create(state, state.cache(), NewId()));
  auto order = SmallOrder(ffmpeg, {"-hide_banner", "-nostdin",   "-v",   "error",
                                   "-f",           "lavfi",      "-i",   "testsrc=s=64x64:r=25:d=0.2",
                                   "-f",           "lavfi",      "-i",   "sine=d=0.2",
                                   "-threads",     "1",          "-c:v", "libx264",
                                   "-preset",      "ultrafast",  "-c:a", "aac",
                                   "-movflags",    "+faststart", "-y",   "file:out.mp4"},
                          memory);
  order.purpose = "self-test";
  order.working_folder = work.fd();
  order.working_folder_writable = true;
  WEIR_ASSIGN(const auto spoken, RunToEnd(bench, order));
  if (!Succeeded(spoken)) {
    return Fail(WhyFailed(ffmpeg, "failed its self-test inside the sandbox", spoken, memory));
  }
  const auto produced = os::OpenProducedFile(work.fd(), "out.mp4");
  if (!produced || produced->size == Bytes()) {
    return Fail(Unusable(ffmpeg, "ended its self-test with success but wrote nothing", nullptr));
  }
  return {};
}

// The walls are part of it: a program that works without Landlock may not work with it.
Result<std::string> StampOf(const ToolPaths& paths, const process::Walls& walls) {
  WEIR_ASSIGN(std::string stamp, os::ProgramStamp(paths.ffmpeg));
  WEIR_ASSIGN(const std::string probe, os::ProgramStamp(paths.ffprobe));
  stamp += "|" + probe + "|" + os::NameOf(walls.cgroups.backend());
  for (const auto& missing : walls.support.Missing()) {
    stamp += "|" + missing;
  }
  return Printable(stamp);
}

}  // namespace

Result<ToolPaths> FindTools(const std::string& ffmpeg, const std::string& ffprobe) {
  ToolPaths paths;
  WEIR_ASSIGN(paths.ffmpeg, os::FindProgram(ffmpeg));
  if (!ffprobe.empty()) {
    WEIR_ASSIGN(paths.ffprobe, os::FindProgram(ffprobe));
    return paths;
  }
  if (auto beside = os::FindProgram(paths.ffmpeg.substr(0, paths.ffmpeg.rfind('/')) + "/ffprobe")) {
    paths.ffprobe = *std::move(beside);
    return paths;
  }
  WEIR_ASSIGN(paths.ffprobe, os::FindProgram("ffprobe"));
  return paths;
}

Result<std::string> ReadVersion(const std::string& output, const std::string& path) {
  const auto lines = SplitLines(output);
  const std::string_view first = lines.empty() ? std::string_view() : Trim(lines.front());
  const std::size_t word = first.find(" version ");
  if (!first.starts_with("ff") || word == std::string_view::npos) {
    return Fail(Unusable(path, "does not answer -version as ffmpeg does", nullptr));
  }
  std::string_view rest = first.substr(word + 9);
  const std::string version = Printable(rest.substr(0, rest.find(' ')));
  // Builds from the development tree ("N-110043-g...", "git-2023-...") carry no number; the self-test decides.
  if (version.starts_with("N-") || version.starts_with("git-")) {
    return version;
  }
  std::string_view digits = version;
  if (digits.starts_with('n')) {
    digits.remove_prefix(1);
  }
  const std::size_t dot = digits.find('.');
  const auto major = ParseUnsigned(digits.substr(0, dot));
  std::optional<std::uint64_t> minor = 0;
  if (dot != std::string_view::npos) {
    const std::string_view tail = digits.substr(dot + 1);
    minor = ParseUnsigned(tail.substr(0, tail.find_first_not_of("0123456789")));
  }
  if (!major || !minor) {
    return Fail(Unusable(path, "reports a version that cannot be read, " + Quoted(version), nullptr));
  }
  if (*major < kOldestMajor || (*major == kOldestMajor && *minor < kOldestMinor)) {
    return Fail(Unusable(path, "is version " + version + ", and 5.1 is the oldest that works", nullptr));
  }
  return version;
}

std::vector<os::FileRule> ReadableFor(const ToolPaths& tools) {
  using Allow = os::FileRule::Allow;
  std::vector<os::FileRule> rules;
  for (const char* folder : {"/usr", "/lib", "/lib32", "/lib64", "/libx32"}) {
    rules.push_back({.path = folder, .fd = -1, .allow = Allow::kReadExecute});
  }
  for (const char* file : {"/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu",
                           "/sys/devices/system/node", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"}) {
    rules.push_back({.path = file, .fd = -1, .allow = Allow::kRead});
  }
  for (const auto& tool : {tools.ffmpeg, tools.ffprobe}) {
    rules.push_back({.path = tool, .fd = -1, .allow = Allow::kReadExecute});
    // A build of the user's own may bring its libraries along.
    if (const std::string folder = os::OwnFolderOf(tool); !folder.empty()) {
      rules.push_back({.path = folder, .fd = -1, .allow = Allow::kReadExecute});
    }
  }
  return rules;
}

Result<jobs::Tools> IdentifyTools(boost::asio::io_context& loop, process::Launcher& launcher, memory::Ledger& ledger,
                                  const store::StateFolder& state, const ToolPaths& paths, bool fresh) {
  WEIR_ASSIGN(const std::string stamp, StampOf(paths, launcher.walls()));
  jobs::Tools tools{.ffmpeg = paths.ffmpeg, .ffprobe = paths.ffprobe, .version = {}};
  if (!fresh) {
    if (const auto record = os::ReadSmallFileAt(state.cache(), kRecordName)) {
      const auto lines = SplitLines(*record);
      if (lines.size() >= 3 && lines[0] == kRecordFormat && lines[1] == stamp) {
        tools.version = std::string(lines[2]);
        return tools;
      }
    }
  }
  const Bench bench{.loop = loop, .launcher = launcher, .ledger = ledger};
  WEIR_ASSIGN(tools.version, Identify(bench, paths.ffmpeg));
  WEIR_ASSIGN(const std::string probe_version, Identify(bench, paths.ffprobe));
  WEIR_TRY(SelfTest(bench, state, paths.ffmpeg));
  // A record that cannot be kept costs the next start a little time, nothing else.
  if (const auto kept = os::WriteFileAtomically(
          state.cache(), kRecordName, std::string(kRecordFormat) + "\n" + stamp + "\n" + tools.version + "\n");
      !kept) {
    log::Debug(Describe(kept.error()));
  }
  return tools;
}

}  // namespace weir::app
