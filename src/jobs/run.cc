#include "jobs/run.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/alive.h"
#include "jobs/verification.h"
#include "jobs/workplace.h"
#include "media/failure.h"
#include "memory/plateau.h"
#include "store/endpoints.h"

namespace weir::jobs {
namespace {

// ffprobe with its libraries and an ordinary picture (up to 4K with 8 bits). What needs more is given more.
constexpr Bytes kUsualForProbe = Bytes::Mib(96);
// Retried once: a second kill at the limit means that the forecast is wrong for this file, not unlucky.
constexpr std::size_t kMostAttempts = 2;
constexpr Bytes kDigestSlice = Bytes::Mib(16);
// Of a lease; less lets nobody else begin.
constexpr Bytes kWorthGivingBack = Bytes::Mib(8);

}  // namespace

class Run::Impl {
 public:
  Impl(World& world, Ask ask, RunHooks hooks, std::function<void(Outcome)> on_end)
      : world_(world),
        ask_(std::move(ask)),
        hooks_(std::move(hooks)),
        on_end_(std::move(on_end)),
        id_(NewId()),
        started_(world.clock.Now()) {
    if (ask_.job.empty()) {
      ask_.job = id_;
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    // An ended run may outlive the admission, in the loop's queue.
    if (!ended_) {
      world_.admission.Withdraw(ask_.job);
    }
  }

  void Start() {
    boost::asio::post(world_.loop, alive_.Guard([this] {
      if (auto opened = Open(); !opened) {
        return End(std::move(opened));
      }
      Probe();
    }));
  }

  void Cancel(Error why) {
    if (ended_) {
      return;
    }
    const bool again = cancelled_.has_value();
    if (!again) {
      cancelled_ = std::move(why);
    }
    if (settling_ || waiting_) {
      // A flush goes on by itself; what it flushes is removed.
      End(*cancelled_);
    } else if (verification_) {
      verification_->Kill();
    } else if (child_ && again) {
      child_->Kill();
    } else if (child_) {
      child_->Stop();
    }
  }

  [[nodiscard]] bool working() const { return working_ && child_ && !cancelled_; }
  [[nodiscard]] bool MayGiveBack() const {
    return working_ && child_ && !lowered_ && !lowering_refused_ && !keeps_its_lease_;
  }

  Bytes GiveBack(const std::string& why) {
    if (!MayGiveBack() || paused_) {
      return {};
    }
    const auto peak = plateau_.Peak(progress_.current().frame, world_.clock.Now());
    if (!peak) {
      return {};
    }
    const Bytes had = lease_.size();
    const Bytes left = memory::LeaseAbove(std::max(*peak, child_->sampled_peak()));
    if (left + kWorthGivingBack > had) {
      return {};
    }
    if (const auto lowered = child_->LowerMemoryLimit(left); !lowered) {
      log::Warning("the lease of job " + ask_.job + " stays as it is: " + Describe(lowered.error()));
      lowering_refused_ = true;
      return {};
    }
    lowered_ = true;
    had_lease_ = had;
    lease_.ShrinkTo(left);
    Note("gave back " + ToString(had - left) + " of its lease of " + ToString(had) + ": it needs " + ToString(*peak) +
         ", and " + why);
    return had - left;
  }

  void Pause(bool paused) {
    paused_ = paused;
    if (verification_) {
      verification_->Pause(paused);
    } else if (child_ && paused) {
      child_->Pause();
    } else if (child_) {
      child_->Resume();
    }
  }

 private:
  void Enter(Phase phase) {
    if (hooks_.on_phase) {
      hooks_.on_phase(phase, account_);
    }
  }

  void Note(const std::string& line) {
    if (hooks_.on_note) {
      hooks_.on_note(line);
    }
  }

  void End(Status status) {
    if (ended_) {
      return;
    }
    ended_ = true;
    waiting_ = false;
    world_.admission.Withdraw(ask_.job);
    child_.reset();
    verification_.reset();
    lease_ = {};
    work_.reset();
    account_.total_time = world_.clock.Now() - started_;
    if (!status && cancelled_) {
      status = Fail(*cancelled_);
    }
    boost::asio::post(world_.loop, alive_.Guard([this, status = std::move(status)]() mutable {
      // The callback may destroy this run, and with it the member.
      auto on_end = std::move(on_end_);
      on_end(Outcome{.status = std::move(status), .account = std::move(account_)});
    }));
  }
  void End(Error error) { End(Fail(std::move(error))); }

  // True, and the run ends, when somebody asked for it since the last step.
  bool EndedByCancel() {
    if (cancelled_ && !ended_) {
      End(*cancelled_);
    }
    return ended_;
  }

  Status Open() {
    WEIR_ASSIGN(source_, ask_.open_source ? ask_.open_source() : store::OpenSource(ask_.input_path));
    if (!ask_.output_path.empty()) {
      WEIR_ASSIGN(auto target, ask_.open_target ? ask_.open_target(*source_)
                                                : store::OpenTarget(ask_.output_path, ask_.overwrite, *source_));
      target_ = std::make_shared<const store::Target>(std::move(target));
    }
    return {};
  }

  // `then` gets the number of the way that was granted, with lease_ held.
  void WithMemory(Need need, std::function<void(std::size_t way)> then) {
    if (EndedByCancel()) {
      return;
    }
    need.job = ask_.job;
    need.squeezable = !account_.chosen;  // looks at the input
    waiting_ = true;
    auto asked =
        world_.admission.Ask(std::move(need), alive_.Guard([this, then = std::move(then)](Result<Grant> grant) {
          if (ended_) {
            return;
          }
          waiting_ = false;
          if (!grant) {
            return End(std::move(grant).error());
          }
          lease_ = std::move(grant->lease);
          account_.waited += grant->reason.waited;
          account_.reason = std::move(grant->reason);
          then(grant->way);
        }));
    if (!asked) {
      waiting_ = false;
      End(std::move(asked).error());
    }
  }

  using HelperEnd = std::function<void(const std::string& text, const std::string& complaints)>;

  // Starts a small child that reads the input and prints; `then` gets its text. What a file needs to be probed is
  // known only afterwards: first what ordinary files need, then what the largest allowed picture could.
  void RunHelper(const char* purpose, const media::HelperCommand& command, HelperEnd then) {
    const Bytes most = std::min(command.lease, world_.ledger.largest_possible());
    const Bytes usual = std::min(kUsualForProbe, most);
    WithMemory(
        {.ways = {{.memory = usual}}}, [this, purpose, command, most, usual, then = std::move(then)](std::size_t) {
          StartHelper(purpose, command, usual < most,
                      [this, purpose, command, most, then](const auto& text, const auto& words) {
                        if (text) {
                          return then(*text, words);
                        }
                        WithMemory({.ways = {{.memory = most}}}, [this, purpose, command, then](std::size_t) {
                          StartHelper(purpose, command, false, [then](const auto& answer, const auto& complaints) {
                            then(*answer, complaints);
                          });
                        });
                      });
        });
  }

  // `then` gets no text when memory ran out and `may_repeat`; other failures end the run.
  void StartHelper(const char* purpose, const media::HelperCommand& command, bool may_repeat,
                   std::function<void(const std::optional<std::string>& text, const std::string& complaints)> then) {
    probe_was_squeezed_ = lease_.size() < command.lease;
    auto order = workplace::OrderFor(purpose, world_.tools.ffprobe, command.arguments, lease_.size());
    order.inputs = {source_->file.fd.get()};
    workplace::LimitTime(
        order,
        world_.limits.deadline.count() > 0 ? std::min(command.deadline, world_.limits.deadline) : command.deadline,
        world_.machine.cpus);
    order.working_folder = world_.state.cache();
    auto text = std::make_shared<std::string>();
    process::Hooks hooks;
    hooks.on_stdout = [this, text](std::string_view chunk) {
      text->append(chunk);
      if (text->size() > workplace::kLargestProbeAnswer.count() && child_) {
        text->resize(workplace::kLargestProbeAnswer.count());
        answer_too_long_ = true;
        child_->Kill();
      }
    };
    StartChild(order, std::move(hooks),
               [this, text, may_repeat, then = std::move(then)](const process::ChildReport& report) {
                 if (may_repeat && !cancelled_ && workplace::RanOutOfMemory(report)) {
                   lease_ = {};
                   return then(std::nullopt, {});
                 }
                 if (auto failure = HelperFailure(report)) {
                   return End(*std::move(failure));
                 }
                 lease_ = {};
                 then(*text, report.stderr_text);
               });
  }

  std::optional<Error> HelperFailure(const process::ChildReport& report) const {
    const std::string name = Quoted(ask_.input_path);
    if (answer_too_long_) {
      return Error{.code = ErrorCode::kInputTooLarge,
                   .detail = "the tags and streams of " + name + " take more than " +
                             ToString(workplace::kLargestProbeAnswer) + " to describe; no sound file needs that"};
    }
    if (const auto* exited = std::get_if<process::Exited>(&report.ending)) {
      if (exited->status == 0) {
        return std::nullopt;
      }
      if (media::SaysOutOfMemory(report.stderr_text)) {
        return ProbeOutOfMemory();
      }
      return media::ClassifyFailure(media::Stage::kProbe, exited->status, report.stderr_text, name);
    }
    if (std::holds_alternative<process::OomKilled>(report.ending)) {
      return ProbeOutOfMemory();
    }
    return workplace::ErrorOf(report, "ffprobe", workplace::Purpose::kLook, world_.limits);
  }

  Error ProbeOutOfMemory() const {
    const std::string what =
        "probing " + Quoted(ask_.input_path) + " was stopped at its memory limit of " + ToString(lease_.size());
    if (probe_was_squeezed_) {
      return Error{.code = ErrorCode::kOverBudget,
                   .detail = what + ", all that the budget leaves; give more with --memory"}
          .With("available_bytes", lease_.size().count());
    }
    return Error{.code = ErrorCode::kInputTooLarge,
                 .detail = what + ", more than any picture within the limits needs"};
  }

  // Starts the one child of this step; `then` is called from the loop when it has ended, with child_ gone.
  void StartChild(const process::Order& order, process::Hooks hooks,
                  std::function<void(const process::ChildReport&)> then) {
    sampled_ = false;
    hooks.on_memory = [this](Bytes resident) {
      sampled_ = true;
      if (working_) {
        plateau_.Add(resident, world_.clock.Now());
      }
      if (hooks_.on_memory) {
        hooks_.on_memory(resident, lease_.size());
      }
    };
    auto child = world_.launcher.Start(
        order, std::move(hooks), alive_.Guard([this, then = std::move(then)](const process::ChildReport& report) {
          // The child object must outlive its own callback.
          auto keep = std::move(child_);
          // Of a child that was faster than the first sample, the kernel knows.
          if (hooks_.on_memory && !sampled_) {
            hooks_.on_memory(report.peak_tree, lease_.size());
          }
          account_.cpu_time += report.user_time + report.system_time;
          then(report);
        }));
    if (!child) {
      return End(std::move(child).error());
    }
    child_ = *std::move(child);
    if (paused_) {
      child_->Pause();
    }
  }

  void Probe() {
    Enter(Phase::kProbing);
    probe_started_ = world_.clock.Now();
    if (world_.known != nullptr) {
      version_ = store::SettledVersionOf(*source_);
      if (auto facts = version_ ? world_.known->Find(*version_) : std::nullopt) {
        account_.source = *std::move(facts);
        boost::asio::post(world_.loop, alive_.Guard([this] {
          if (!EndedByCancel()) {
            Probed();
          }
        }));
        return;
      }
    }
    RunHelper("probe", media::BuildProbe(world_.limits.input),
              [this](const std::string& json, const std::string& complaints) {
                auto facts = media::ParseProbe(json);
                if (facts && facts->video && facts->video->coded.width == 0) {
                  // ffprobe ends with success when it would not decode a picture beyond the limits.
                  return End(media::ClassifyFailure(media::Stage::kProbe, 1, complaints, Quoted(ask_.input_path)));
                }
                if (!facts) {
                  return End(Error{
                      .code = facts.error().code,
                      .detail = "the input " + Quoted(ask_.input_path) + " is not a media file that can be read"}
                                 .From(std::move(facts).error()));
                }
                account_.source = *std::move(facts);
                if (account_.source.size == Bytes()) {
                  account_.source.size = source_->file.size;
                }
                if (version_ && store::SettledVersionOf(*source_) == version_) {
                  world_.known->Keep(*version_, account_.source);
                }
                Probed();
              });
  }

  void Probed() {
    if (!ask_.request) {
      account_.probe_time = world_.clock.Now() - probe_started_;
      return End(Status{});
    }
    const auto* trim = std::get_if<media::Trim>(&ask_.request->recipe);
    if (trim == nullptr || !media::NeedsCutFacts(*ask_.request, account_.source)) {
      return Plan({});
    }
    RunHelper("keyframes", media::BuildKeyframeProbe(account_.source, trim->from, world_.limits.input),
              [this, from = trim->from](const std::string& lines, const std::string& /*complaints*/) {
                Plan(media::ParseKeyframes(lines, from, account_.source.start.value_or(MediaTime(0))));
              });
  }

  void Plan(const media::CutFacts& cut) {
    account_.probe_time = world_.clock.Now() - probe_started_;
    if (EndedByCancel()) {
      return;
    }
    auto ladder = media::BuildLadder(*ask_.request, account_.source, world_.machine, world_.limits.input, cut);
    if (!ladder) {
      return End(std::move(ladder).error());
    }
    account_.ladder = *std::move(ladder);
    const Bytes most = world_.ledger.largest_possible();
    if (world_.learning != nullptr) {
      world_.learning->Correct(*ask_.request, account_.source, most, account_.ladder);
    }
    account_.skipped = Learning::ToSkip(account_.ladder, most, ask_.failed_before);
    auto chosen = media::ChoosePlan(account_.ladder, most, account_.skipped);
    if (!chosen) {
      Error refusal = std::move(chosen).error();
      refusal = std::move(refusal).With("budget_bytes", world_.ledger.budget().count());
      if (ask_.output_path.empty()) {
        account_.refusal = std::move(refusal);
        return End(Status{});
      }
      return End(std::move(refusal));
    }
    account_.chosen = *chosen;
    Enter(Phase::kPlanned);
    if (ask_.output_path.empty()) {
      return End(Status{});
    }
    Work();
  }

  [[nodiscard]] const media::Plan& plan() const { return account_.ladder.plans[*account_.chosen]; }

  // The chosen plan or a leaner one, whichever memory is there for.
  void Work() {
    Need need{.work = true,
              .seconds = account_.ladder.seconds,
              .disk = plan().forecast.output_reserve,
              .disk_name = store::DiskOf(*target_),
              .disk_free = [target = target_] { return store::FreeSpace(*target); }};
    // After a kill at the limit the leaner plan gets the room of the one before it as well, or what a budget that was
    // lowered since leaves of it.
    const Bytes least = std::min(
        std::max(whole_lease_, account_.attempts.empty() ? Bytes() : account_.attempts.back().forecast.lease),
        world_.ledger.largest_possible());
    for (std::size_t i = *account_.chosen; i < account_.ladder.plans.size(); ++i) {
      const media::Plan& way = account_.ladder.plans[i];
      need.ways.push_back({.memory = std::max(way.forecast.needed, least),
                           .processors = way.processors,
                           .time = way.time_ratio,
                           .larger = way.larger,
                           .in_company = way.in_company});
    }
    WithMemory(std::move(need), [this, least](std::size_t way) {
      account_.chosen = *account_.chosen + way;
      // What only the checks will need is theirs to ask for.
      lease_.ShrinkTo(std::max(plan().forecast.lease, least));
      StartWork();
    });
  }

  void StartWork() {
    work_started_ = world_.clock.Now();
    auto folder = store::WorkFolder::Create(world_.state, target_->folder.get(), id_);
    if (!folder) {
      return End(std::move(folder).error());
    }
    work_.emplace(*std::move(folder));
    Enter(Phase::kWorking);

    auto order = workplace::OrderFor("work", world_.tools.ffmpeg, plan().arguments, lease_.size());
    order.working_folder = work_->fd();
    order.working_folder_writable = true;
    order.inputs = {source_->file.fd.get()};
    order.progress_pipe = true;
    order.data_limit = plan().forecast.data_limit;
    workplace::LimitTime(order, world_.limits.deadline.count() > 0 ? world_.limits.deadline : plan().deadline,
                         world_.machine.cpus);
    order.file_memory = work_->is_in_memory() ? plan().forecast.output_reserve : Bytes();
    order.file_size_limit = plan().forecast.output_limit;
    order.folder_size_limit = plan().forecast.output_limit;
    order.stall_limit = world_.limits.stall;
    order.stop_grace = world_.limits.stop_grace;

    progress_ = {};
    plateau_ = {};
    passed_forecast_ = false;
    working_ = true;
    lowered_ = false;
    lowering_refused_ = false;
    process::Hooks hooks;
    hooks.on_progress = [this](std::string_view bytes) { return Progressed(bytes); };
    StartChild(order, std::move(hooks), [this](const process::ChildReport& report) { Worked(report); });
  }

  bool Progressed(std::string_view bytes) {
    const bool advanced = progress_.Feed(bytes);
    if (advanced && hooks_.on_progress && child_) {
      hooks_.on_progress(progress_.current(), plan(), child_->sampled_peak());
    }
    const std::int64_t limit = plan().forecast.frames_limit;
    if (limit > 0 && progress_.current().frame > limit && !passed_forecast_ && child_) {
      passed_forecast_ = true;
      child_->Stop();
    }
    return advanced;
  }

  void Worked(const process::ChildReport& report) {
    media::Forecast forecast = plan().forecast;
    forecast.lease = lease_.size();
    account_.attempts.push_back(
        {.plan = plan().name,
         .forecast = forecast,
         .measured_peak = report.peak_tree,
         .cgroup_peak = report.cgroup_peak,
         .ending = workplace::RanOutOfMemory(report) ? "oom_killed" : process::NameOf(report.ending)});
    Learn(report);
    work_stderr_ = report.stderr_text;
    working_ = false;
    if (EndedByCancel()) {
      return;
    }
    if (workplace::RanOutOfMemory(report)) {
      return lowered_ ? WithWholeLease() : Leaner();
    }
    if (auto failure = WorkFailure(report)) {
      return End(*std::move(failure));
    }
    account_.work_time = world_.clock.Now() - work_started_;
    Verify();
  }

  // From a kill at once; from a peak when the output is known to be right.
  void Learn(const process::ChildReport& report) {
    lesson_.reset();
    if (world_.learning == nullptr) {
      return;
    }
    lesson_ = world_.learning->LessonOf(*ask_.request, account_.source, plan(), lease_.size(), report);
    if (lesson_ && lesson_->killed) {
      world_.learning->Take(*std::exchange(lesson_, std::nullopt));
    }
  }

  std::optional<Error> WorkFailure(const process::ChildReport& report) const {
    if (passed_forecast_) {
      return Error{.code = ErrorCode::kRunaway,
                   .detail = "ffmpeg was stopped at frame " + std::to_string(progress_.current().frame) +
                             ": the plan forecast " + std::to_string(plan().forecast.frames) +
                             " frames; the file's times are likely broken"}
          .With("forecast_frames", static_cast<std::uint64_t>(plan().forecast.frames));
    }
    if (workplace::WroteTooMuch(report)) {
      return Error{.code = ErrorCode::kRunaway,
                   .detail = "ffmpeg was stopped because it wrote more than " +
                             ToString(plan().forecast.output_limit) + ", the most that this plan can make"}
          .With("limit_bytes", plan().forecast.output_limit.count());
    }
    if (const auto* exited = std::get_if<process::Exited>(&report.ending)) {
      if (exited->status == 0) {
        return std::nullopt;
      }
      return media::ClassifyFailure(media::Stage::kWork, exited->status, report.stderr_text, Quoted(ask_.input_path));
    }
    return workplace::ErrorOf(report, "ffmpeg", workplace::Purpose::kWork, world_.limits);
  }

  // Killed below its lease, after giving back what it seemed not to need: nobody's fault but ours.
  void WithWholeLease() {
    Note("stopped at " + ToString(account_.attempts.back().forecast.lease) +
         ", to which its lease had been lowered; once more with the whole of it");
    keeps_its_lease_ = true;
    whole_lease_ = had_lease_;
    ++our_fault_;
    work_.reset();
    lease_ = {};
    Work();
  }

  // Killed at its lease: once more with the next plan that needs less.
  void Leaner() {
    const media::Plan& failed = plan();
    const auto& plans = account_.ladder.plans;
    std::size_t next = *account_.chosen + 1;
    while (next < plans.size() && plans[next].in_company) {
      ++next;  // hardly leaner
    }
    const std::size_t attempts = account_.attempts.size() - our_fault_;
    if (attempts >= kMostAttempts || next >= account_.ladder.plans.size()) {
      return End(Error{.code = ErrorCode::kOutOfMemory,
                       .detail = "ffmpeg was stopped at its memory limit of " +
                                 ToString(account_.attempts.back().forecast.lease) + " with the plan \"" +
                                 failed.name + "\"" +
                                 (attempts > 1 ? ", a second time" : ", and no leaner plan exists") +
                                 "; ask for a smaller picture or a faster preset"}
                     .With("lease_bytes", account_.attempts.back().forecast.lease.count())
                     .With("budget_bytes", world_.ledger.budget().count()));
    }
    work_.reset();
    lease_ = {};
    Note("stopped at its memory limit of " + ToString(account_.attempts.back().forecast.lease) + " with the plan \"" +
         failed.name + "\"; once more with \"" + account_.ladder.plans[next].name + "\"");
    account_.chosen = next;
    Work();
  }

  void Verify() {
    verify_started_ = world_.clock.Now();
    Enter(Phase::kVerifying);
    auto produced = store::OpenProduced(*work_, plan().output_file);
    if (!produced) {
      return End(std::move(produced).error());
    }
    produced_ = std::make_shared<const store::Produced>(*std::move(produced));
    account_.output_size = produced_->size;
    account_.output_identity = store::IdentityOf(*produced_);
    verification_ = std::make_unique<Verification>(
        world_, *work_, *produced_, plan().expectation, account_.source, ask_.verify, hooks_.on_memory,
        [this](Result<Verified> verified) { Checked(std::move(verified)); });
    if (paused_) {
      verification_->Pause(true);
    }
    const Bytes needed = verification_->needed();
    if (lease_.size() < needed) {
      lease_ = {};
      return WithMemory({.ways = {{.memory = needed}}}, [this](std::size_t) { Check(); });
    }
    // What is done is not lost to a budget that has become too low for asking anew.
    lease_.ShrinkTo(needed);
    if (!EndedByCancel()) {
      world_.admission.GoOn(ask_.job, needed);
      Check();
    }
  }

  void Check() {
    Digest();
    verification_->Start(std::move(lease_));
  }

  // Beside the checks, which read the same file.
  void Digest() {
    if (!ask_.digest) {
      return;
    }
    digesting_ = true;
    DigestOn(std::make_shared<store::OutputDigest>(produced_));
  }

  // In slices, so that the flushes of others have their turns in between.
  void DigestOn(const std::shared_ptr<store::OutputDigest>& digest) {
    Aside([digest] { return digest->Step(kDigestSlice); },
          [this, digest](Status step) {
            if (ended_) {
              return;
            }
            if (step && !digest->done()) {
              return DigestOn(digest);
            }
            digesting_ = false;
            if (step) {
              account_.output_sha256 = digest->Text();
            } else {
              digest_error_ = std::move(step).error();
            }
            if (std::exchange(settle_after_digest_, false)) {
              Settle();
            }
          });
  }

  void Checked(Result<Verified> verified) {
    auto keep = std::move(verification_);
    account_.verify_time = world_.clock.Now() - verify_started_;
    if (verified) {
      account_.cpu_time += verified->cpu_time;
    }
    if (EndedByCancel()) {
      return;
    }
    // ffmpeg ends with status 0 although its last writes were refused, or the input broke off: its words tell.
    if (!verified || !verified->report.ok()) {
      Error cause = media::ClassifyFailure(media::Stage::kWork, 1, work_stderr_, Quoted(ask_.input_path));
      if (cause.code == ErrorCode::kDiskFull || cause.code == ErrorCode::kRunaway ||
          cause.code == ErrorCode::kInputDamaged) {
        return End(std::move(cause));
      }
    }
    if (!verified) {
      return End(std::move(verified).error());
    }
    account_.checks = std::move(verified->report);
    account_.output = std::move(verified->facts);
    if (!account_.checks.ok()) {
      return End(Error{
          .code = ErrorCode::kVerification,
          .detail = "the output is not what was asked for, and was not kept: " + account_.checks.FirstDifference()});
    }
    if (lesson_) {
      world_.learning->Take(*lesson_);
    }
    if (const std::string complaint = media::DecodeErrors(work_stderr_); !complaint.empty()) {
      account_.ladder.notes.push_back("ffmpeg complained on the way: " + media::TellingLine(work_stderr_));
      Note(account_.ladder.notes.back());
    }
    Settle();
  }

  // `work` on the side, because the disk may take its time; `then` on the loop, unless the run has ended meanwhile.
  template <typename Work, typename Then>
  void Aside(Work work, Then then) {
    boost::asio::post(world_.aside, [work = std::move(work), busy = boost::asio::make_work_guard(world_.loop),
                                     then = alive_.Guard(std::move(then))]() mutable {
      boost::asio::post(busy.get_executor(),
                        [status = work(), then = std::move(then)]() mutable { then(std::move(status)); });
    });
  }

  void Settle() {
    if (!settling_) {
      Enter(Phase::kPublishing);
    }
    if (EndedByCancel()) {
      return;
    }
    settling_ = true;
    if (digesting_) {
      settle_after_digest_ = true;
      return;
    }
    if (digest_error_) {
      return End(*std::move(digest_error_));
    }
    Aside([produced = produced_] { return store::Settle(*produced); },
          [this](Status settled) {
            if (ended_) {
              return;
            }
            if (!settled) {
              return End(std::move(settled));
            }
            if (!hooks_.before_publish) {
              return Publish();
            }
            hooks_.before_publish(account_, alive_.Guard([this](Status may) {
              if (!ended_) {
                may ? Publish() : End(std::move(may));
              }
            }));
          });
  }

  // From here on the result is there and stays, whoever cancels.
  void Publish() {
    settling_ = false;
    if (auto published = store::Publish(*work_, *produced_, target_->folder.get(), target_->name, target_->replace);
        !published) {
      return End(std::move(published));
    }
    cancelled_.reset();
    Aside(
        [target = target_] {
          store::SettleName(target->folder.get(), target->name);
          return Status{};
        },
        [this](Status settled) { End(std::move(settled)); });
  }

  World& world_;
  Ask ask_;
  RunHooks hooks_;
  std::function<void(Outcome)> on_end_;
  std::string id_;
  SteadyTime started_;
  SteadyTime probe_started_{};
  std::optional<std::string> version_;  // of the input when it was opened
  SteadyTime work_started_{};
  SteadyTime verify_started_{};
  Account account_;
  std::optional<Error> cancelled_;
  bool ended_ = false;
  bool settling_ = false;
  bool waiting_ = false;  // for memory
  bool paused_ = false;
  bool passed_forecast_ = false;
  bool probe_was_squeezed_ = false;
  bool answer_too_long_ = false;
  bool sampled_ = false;
  bool working_ = false;           // child_ does the work, not a look at something
  bool lowered_ = false;           // it has given back
  bool lowering_refused_ = false;  // it was to, in vain
  Bytes had_lease_;                // before that
  bool keeps_its_lease_ = false;   // and must not again
  Bytes whole_lease_;              // which it has had then
  std::size_t our_fault_ = 0;      // attempts that were killed because of it
  bool digesting_ = false;
  bool settle_after_digest_ = false;
  std::optional<Error> digest_error_;
  std::optional<Learning::Lesson> lesson_;  // of the child whose output is being checked
  std::string work_stderr_;
  media::ProgressParser progress_;
  memory::Plateau plateau_;

  // Destroyed from the bottom up: first the children, then the folder they work in, then what they read.
  std::optional<store::Source> source_;
  std::shared_ptr<const store::Produced> produced_;  // shared with a flush that goes on
  std::shared_ptr<const store::Target> target_;      // as well
  memory::Lease lease_;
  std::optional<store::WorkFolder> work_;
  std::unique_ptr<Verification> verification_;
  std::unique_ptr<process::Child> child_;
  Alive alive_;
};

Run::Run(World& world, Ask ask, RunHooks hooks, std::function<void(Outcome)> on_end)
    : impl_(std::make_unique<Impl>(world, std::move(ask), std::move(hooks), std::move(on_end))) {}
Run::~Run() = default;
void Run::Start() { impl_->Start(); }
void Run::Cancel(Error why) { impl_->Cancel(std::move(why)); }
void Run::Pause() { impl_->Pause(true); }
void Run::Resume() { impl_->Pause(false); }
Bytes Run::GiveBack(const std::string& why) { return impl_->GiveBack(why); }
bool Run::working() const { return impl_->working(); }
bool Run::MayGiveBack() const { return impl_->MayGiveBack(); }

}  // namespace weir::jobs
