#include "jobs/verification.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "jobs/alive.h"
#include "jobs/workplace.h"
#include "media/failure.h"
#include "media/progress.h"

namespace weir::jobs {
namespace {

// A faststart file has the moov atom's header within its first few hundred bytes; this leaves room for other atoms.
constexpr Bytes kFront = Bytes::Kib(64);

}  // namespace

class Verification::Impl {
 public:
  Impl(World& world, const store::WorkFolder& work, const store::Produced& produced,
       const media::Expectation& expectation, const media::MediaFacts& source, media::VerifyDepth depth,
       std::function<void(Bytes, Bytes)> on_memory, std::function<void(Result<Verified>)> on_end)
      : world_(world),
        work_(work),
        produced_(produced),
        expectation_(expectation),
        on_memory_(std::move(on_memory)),
        on_end_(std::move(on_end)) {
    const MediaTime length = expectation.duration.value_or(source.length());
    for (auto& command : media::BuildVerification(expectation, source, depth, length, store::SizeOf(produced))) {
      waiting_.push_back(std::move(command));
    }
  }

  [[nodiscard]] Bytes needed() const {
    Bytes most;
    for (const auto& command : waiting_) {
      most = std::max(most, command.lease);
    }
    return most;
  }

  void Start(memory::Lease lease) {
    base_ = std::move(lease);
    StartMore();
  }

  void Pause(bool paused) {
    paused_ = paused;
    for (auto& look : running_) {
      paused ? look.child->Pause() : look.child->Resume();
    }
  }

  void Kill() {
    waiting_.clear();
    if (!failure_) {
      failure_ = Error{.code = ErrorCode::kInterrupted, .detail = "checking the output was stopped"};
    }
    for (auto& look : running_) {
      look.child->Kill();
    }
  }

 private:
  // One child that looks at the file, and what it has said so far.
  struct Look {
    media::VerifyCommand command;
    memory::Lease lease;  // of its own; not valid for the one that runs on the base
    Bytes resident;       // now
    media::ProgressParser progress;
    std::unique_ptr<process::Child> child;
  };

  void StartMore() {
    while (!failure_ && !waiting_.empty() && running_.size() < std::max(1U, world_.machine.cpus)) {
      if (waiting_.front().after_scan && !scanned_) {
        break;
      }
      const bool on_base = std::ranges::none_of(running_, [](const Look& look) { return !look.lease.valid(); });
      memory::Lease lease;
      if (!on_base) {
        auto further = world_.ledger.Acquire(waiting_.front().lease, "verification");
        if (!further) {
          break;
        }
        lease = *std::move(further);
      }
      running_.emplace_back();
      Look& look = running_.back();
      look.command = std::move(waiting_.front());
      waiting_.pop_front();
      look.lease = std::move(lease);
      if (auto started = StartLook(look); !started) {
        failure_ = std::move(started).error();
        running_.pop_back();
      }
    }
    if (failure_) {
      Kill();
    }
    if (running_.empty() && (failure_ || waiting_.empty())) {
      Finish();
    }
  }

  Status StartLook(Look& look) {
    const std::string& program = look.command.is_ffprobe ? world_.tools.ffprobe : world_.tools.ffmpeg;
    auto order =
        workplace::OrderFor("verify " + look.command.where, program, look.command.arguments, look.command.lease);
    order.inputs = {produced_.fd.get()};
    order.working_folder = work_.fd();
    workplace::LimitTime(order, look.command.deadline, world_.machine.cpus);
    order.progress_pipe = !look.command.is_ffprobe;
    process::Hooks hooks;
    if (look.command.is_ffprobe) {
      hooks.on_stdout = [this](std::string_view chunk) { scan_.Feed(chunk); };
    } else {
      hooks.on_progress = [&look](std::string_view chunk) { return look.progress.Feed(chunk); };
    }
    if (on_memory_) {
      hooks.on_memory = [this, &look](Bytes resident) {
        look.resident = resident;
        Bytes all;
        Bytes leased = base_.size();
        for (const Look& running : running_) {
          all += running.resident;
          leased += running.lease.size();
        }
        on_memory_(all, leased);
      };
    }
    WEIR_ASSIGN(look.child, world_.launcher.Start(order, std::move(hooks),
                                                  alive_.Guard([this, &look](const process::ChildReport& report) {
                                                    Ended(look, report);
                                                  })));
    if (paused_) {
      look.child->Pause();
    }
    return {};
  }

  void Ended(Look& look, const process::ChildReport& report) {
    verified_.cpu_time += report.user_time + report.system_time;
    if (!failure_) {
      Read(look, report);
    }
    // Given back before the next one asks.
    look.lease = {};
    // The child object must outlive its own callback.
    auto done =
        std::find_if(running_.begin(), running_.end(), [&look](const Look& other) { return &other == &look; });
    std::list<Look> keep;
    keep.splice(keep.begin(), running_, done);
    StartMore();
  }

  void Read(Look& look, const process::ChildReport& report) {
    const auto* exited = std::get_if<process::Exited>(&report.ending);
    if (workplace::RanOutOfMemory(report)) {
      failure_ =
          Error{.code = ErrorCode::kOutOfMemory,
                .detail = "checking the output (" + look.command.where + ") was stopped at its memory limit of " +
                          ToString(look.command.lease) + ", more than any output of this plan should need"};
      return;
    }
    if (exited == nullptr) {
      failure_ = workplace::ErrorOf(report, look.command.is_ffprobe ? "ffprobe" : "ffmpeg", workplace::Purpose::kLook,
                                    world_.limits);
      failure_->detail = "checking the output (" + look.command.where + "): " + failure_->detail;
      return;
    }
    if (look.command.is_ffprobe) {
      scan_.Finish();
      scan_clean_ = exited->status == 0;
      auto facts = media::ParseProbe(scan_.rest());
      if (!facts) {
        if (!scan_clean_) {
          facts = Fail(ErrorCode::kVerification, media::TellingLine(report.stderr_text));
        }
        failure_ = Error{.code = ErrorCode::kVerification,
                         .detail = "the output is not a media file that can be read, and was not kept"}
                       .From(std::move(facts).error());
        return;
      }
      verified_.facts = *std::move(facts);
      scanned_ = true;
      if (auto window = media::DecodedByScan(look.command, scan_, verified_.facts, report.stderr_text)) {
        window->clean = window->clean && scan_clean_;
        windows_.emplace_back(std::move(look.command), *std::move(window));
      }
      std::erase_if(waiting_, [this](const auto& window) {
        return window.after_scan && !media::WindowKnowing(scan_, verified_.facts, window);
      });
    } else {
      media::DecodedWindow window;
      window.where = look.command.where;
      window.frames = look.progress.current().frame;
      window.errors = media::DecodeErrors(report.stderr_text);
      window.clean = exited->status == 0 && window.errors.empty();
      windows_.emplace_back(std::move(look.command), std::move(window));
    }
  }

  void Finish() {
    boost::asio::post(world_.loop, alive_.Guard([this] {
      // The callback destroys this verification, and with it the member.
      const auto on_end = std::move(on_end_);
      if (failure_) {
        return on_end(Fail(*std::move(failure_)));
      }
      bool moov_first = false;
      if (expectation_.faststart) {
        auto front = store::FrontOf(produced_, kFront);
        if (!front) {
          return on_end(Fail(std::move(front).error()));
        }
        moov_first = media::MoovFirst(*front);
      }
      std::vector<media::DecodedWindow> windows;
      for (auto& [command, window] : windows_) {
        window.where = media::WindowKnowing(scan_, verified_.facts, command).value_or(window.where);
        windows.push_back(std::move(window));
      }
      verified_.report = media::CheckOutput(expectation_, verified_.facts, scan_, windows, moov_first);
      if (!scan_clean_) {
        verified_.report.lines.push_back(
            {.what = "reading all packets", .expected = "no error", .found = "an error of the demuxer", .ok = false});
      }
      on_end(std::move(verified_));
    }));
  }

  World& world_;
  const store::WorkFolder& work_;
  const store::Produced& produced_;
  media::Expectation expectation_;
  std::function<void(Bytes, Bytes)> on_memory_;
  std::function<void(Result<Verified>)> on_end_;
  memory::Lease base_;
  bool paused_ = false;
  std::deque<media::VerifyCommand> waiting_;
  std::list<Look> running_;
  media::PacketScan scan_;
  bool scan_clean_ = true;
  bool scanned_ = false;
  std::vector<std::pair<media::VerifyCommand, media::DecodedWindow>> windows_;
  Verified verified_;
  std::optional<Error> failure_;
  Alive alive_;
};

Verification::Verification(World& world, const store::WorkFolder& work, const store::Produced& produced,
                           const media::Expectation& expectation, const media::MediaFacts& source,
                           media::VerifyDepth depth, std::function<void(Bytes, Bytes)> on_memory,
                           std::function<void(Result<Verified>)> on_end)
    : impl_(std::make_unique<Impl>(world, work, produced, expectation, source, depth, std::move(on_memory),
                                   std::move(on_end))) {}
Verification::~Verification() = default;
Bytes Verification::needed() const { return impl_->needed(); }
void Verification::Start(memory::Lease lease) { impl_->Start(std::move(lease)); }
void Verification::Pause(bool paused) { impl_->Pause(paused); }
void Verification::Kill() { impl_->Kill(); }

}  // namespace weir::jobs
