// One request carried out from probe to published file: plan, lease, supervised child, checks, rename.
// Decides; touches no descriptor's bytes. The daemon's jobs are queues of these.
//
// Threads: the loop's thread only. Destroying a Run kills its child, removes its working folder and returns
// its lease; its callbacks are not called any more.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "jobs/admission.h"
#include "jobs/known_facts.h"
#include "jobs/learning.h"
#include "media/plan.h"
#include "media/progress.h"
#include "media/recipe.h"
#include "memory/ledger.h"
#include "process/child.h"
#include "store/endpoints.h"
#include "store/work_folder.h"

namespace weir::jobs {

// The programs that do the media work, identified once (see toolbox.h).
struct Tools {
  std::string ffmpeg;  // absolute paths
  std::string ffprobe;
  std::string version;  // "5.1.9-0+deb12u1"
};

struct Limits {
  media::InputLimits input;
  std::chrono::milliseconds stall{120'000};
  std::chrono::milliseconds deadline{0};  // of the working child; zero: the plan's own
  std::chrono::milliseconds stop_grace{2000};
};

// What every run needs of the world; built once, outlives all runs.
struct World {
  boost::asio::io_context& loop;
  boost::asio::thread_pool& aside;  // for what the disk may keep waiting; joined before the loop goes
  const Clock& clock;
  process::Launcher& launcher;
  memory::Ledger& ledger;
  Admission& admission;
  const store::StateFolder& state;
  Tools tools;
  media::Machine machine;
  Limits limits;
  KnownFacts* known = nullptr;   // nullptr: every input is probed
  Learning* learning = nullptr;  // nullptr: forecasts are the formula's
};

struct Ask {
  std::string job{};                      // under which memory is asked for; may be empty
  std::optional<media::Request> request;  // nullopt: probe only
  std::string input_path;
  std::string output_path;  // empty: forecast only
  bool overwrite = false;
  media::VerifyDepth verify = media::VerifyDepth::kSample;
  bool digest = false;            // of the output, made while it is checked
  std::size_t failed_before = 0;  // attempts that ask for a leaner plan now, where there is one
  // How the two ends are opened; empty: by path, as this process may. Called once each, the input first.
  std::function<Result<store::Source>()> open_source{};
  std::function<Result<store::Target>(const store::Source&)> open_target{};
};

enum class Phase : std::uint8_t { kProbing, kPlanned, kWorking, kVerifying, kPublishing };

struct Attempt {
  std::string plan;
  media::Forecast forecast;
  Bytes measured_peak;               // resident, of the child's tree
  std::optional<Bytes> cgroup_peak;  // page cache included
  std::string ending;                // process::NameOf
};

// What is known so far; whole when the run succeeded, as far as it came when it failed.
struct Account {
  media::MediaFacts source;
  media::Ladder ladder;
  std::optional<std::size_t> chosen;  // index into ladder.plans
  std::size_t skipped = 0;            // of ladder.plans, left out for what failed before
  std::optional<Reason> reason;       // of what was granted last; while it works, of `chosen` (the way reason->way)
  Duration waited{};                  // of all steps so far, for what they were granted
  std::optional<Error> refusal;       // forecast only: why no plan fits
  std::vector<Attempt> attempts;      // the last one made the output
  media::CheckReport checks;
  media::MediaFacts output;
  Bytes output_size;
  std::string output_identity;  // of the checked file, before and after it appears; see store::IdentityOf
  std::string output_sha256;    // 64 hexadecimal digits, when asked for
  Duration probe_time{};
  Duration work_time{};
  Duration verify_time{};
  Duration total_time{};
  std::chrono::microseconds cpu_time{};  // of all children
};

struct Outcome {
  Status status;
  Account account;
};

struct RunHooks {
  std::function<void(Phase, const Account&)> on_phase;
  // As often as ffmpeg reports (twice a second). The bytes are the child's memory, highest so far.
  std::function<void(const media::Progress&, const media::Plan&, Bytes)> on_progress;
  // What its children use now, resident, and what they may use; about ten times a second.
  std::function<void(Bytes resident, Bytes lease)> on_memory;
  // Something worth a line: a retry with a leaner plan, and why.
  std::function<void(const std::string&)> on_note;
  // Asked when the result is checked and flushed, before it appears: `go` with success lets it appear, with an error
  // ends the run. Empty: it appears.
  std::function<void(const Account&, std::function<void(Status)> go)> before_publish;
};

class Run {
 public:
  // `on_end` is called once, from the loop, never from inside Start or Cancel.
  Run(World& world, Ask ask, RunHooks hooks, std::function<void(Outcome)> on_end);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void Start();
  // The children are stopped (a second time: killed), everything is removed, then on_end hears `why`. Too late once
  // the result has appeared: then on_end hears of success.
  void Cancel(Error why);
  // The children stand still (SIGSTOP) and their deadlines with them; their memory stays theirs. Steps that wait for
  // memory go on waiting. Both are safe to repeat.
  void Pause();
  void Resume();
  // Gives back what its working child holds and has shown not to need (memory::Plateau): the child's limit falls
  // first, then the lease. Returns by how much; zero when nothing is known yet, or it would hardly be worth it.
  // Should the child be killed for it, its work begins anew with the whole lease and keeps it. `why` ends the
  // sentence that tells of it: "other work waits for memory".
  Bytes GiveBack(const std::string& why);
  // A child does the work, now or while it stands still; not a probe or a check.
  [[nodiscard]] bool working() const;
  // Whether GiveBack may still find something later.
  [[nodiscard]] bool MayGiveBack() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::jobs
