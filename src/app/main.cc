#include "app/main.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "app/command_line.h"
#include "app/progress_view.h"
#include "app/render.h"
#include "app/serve.h"
#include "app/session.h"
#include "app/speak.h"
#include "base/log.h"
#include "base/text.h"
#include "os/process_start.h"

namespace weir::app {
namespace {

int Report(const Error& error, bool json, const jobs::Account* account) {
  if (json) {
    Print(FailureAsJson(error, account));
  } else {
    Tell("weir: " + Printable(Describe(error)) + "\n");
  }
  return InfoOf(error.code).exit_code;
}

int Delivered(const std::string& text, bool json) {
  if (!Print(text)) {
    return Report({.code = ErrorCode::kSystem, .detail = "the result could not be written to standard output"}, json,
                  nullptr);
  }
  return 0;
}

int Ended(const Result<int>& code, bool json) { return code ? *code : Report(code.error(), json, nullptr); }

// Ctrl-C and SIGTERM: the first stops in order, the second at once. Either way no child is left.
class Interrupts {
 public:
  explicit Interrupts(boost::asio::io_context& loop) : heard_(os::NotIgnored({SIGINT, SIGTERM, SIGHUP})) {
    signals_.emplace(loop);
    for (const int signal : heard_) {
      signals_->add(signal);
    }
    Wait();
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts() {
    // All that is left to do is to leave, with the exit code that is already decided.
    signals_.reset();
    os::Ignore(heard_);
  }

  // Who is told; nullptr while nothing runs that could be stopped in order.
  void Tell(jobs::Run* run) {
    run_ = run;
    if (run_ != nullptr && why_) {
      run_->Cancel(*why_);
    }
  }
  void KillOnInterrupt(process::Launcher* launcher) { launcher_ = launcher; }
  [[nodiscard]] const std::optional<Error>& why() const { return why_; }
  // Lets the loop run dry.
  void Stop() { signals_->cancel(); }

 private:
  void Wait() {
    signals_->async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) {
        return;
      }
      const bool again = why_.has_value();
      if (!again) {
        why_ = signal == SIGINT ? Error{.code = ErrorCode::kInterrupted, .detail = "interrupted; nothing was kept"}
                                : Error{.code = ErrorCode::kTerminated, .detail = "told to end; nothing was kept"};
      }
      if (run_ != nullptr) {
        run_->Cancel(*why_);
      }
      if (launcher_ != nullptr && (again || run_ == nullptr)) {
        launcher_->StopAll(true);
      }
      Wait();
    });
  }

  std::vector<int> heard_;
  std::optional<boost::asio::signal_set> signals_;
  jobs::Run* run_ = nullptr;
  process::Launcher* launcher_ = nullptr;
  std::optional<Error> why_;
};

const char* WordFor(jobs::Phase phase) {
  switch (phase) {
    case jobs::Phase::kProbing:
      return "probing ...";
    case jobs::Phase::kPlanned:
      return "planned";
    case jobs::Phase::kWorking:
      return "starting ...";
    case jobs::Phase::kVerifying:
      return "checking the result ...";
    case jobs::Phase::kPublishing:
      return "putting it in place ...";
  }
  return "";
}

void Warn(const Session& session) {
  for (const auto& warning : session.warnings()) {
    log::Warning(warning);
  }
}

int RunToResult(const RunCommand& command) {
  const bool json = command.settings.json;
  boost::asio::io_context loop(1);
  Interrupts interrupts(loop);
  auto session = Session::Open(loop, command.settings, false,
                               [&](process::Launcher* launcher) { interrupts.KillOnInterrupt(launcher); });
  if (!session) {
    return Report(interrupts.why() ? *interrupts.why() : session.error(), json, nullptr);
  }
  Warn(**session);

  ProgressView view(os::StandardError(), command.settings.quiet);
  jobs::RunHooks hooks;
  hooks.on_phase = [&](jobs::Phase phase, const jobs::Account& account) {
    if (phase == jobs::Phase::kPlanned && command.kind == RunCommand::Kind::kRecipe && !json) {
      view.Clear();
      Print(PlanAsText(command, **session, account));
    } else if (command.kind == RunCommand::Kind::kRecipe) {
      view.Phase(WordFor(phase));
    }
  };
  hooks.on_progress = [&](const media::Progress& progress, const media::Plan& plan, Bytes memory) {
    view.Show(progress, plan, memory);
  };
  hooks.on_note = [&](const std::string& note) {
    view.Clear();
    log::Warning(note);
  };

  std::optional<jobs::Outcome> outcome;
  jobs::Run run((*session)->world(), command.ask, std::move(hooks), [&](jobs::Outcome ended) {
    outcome.emplace(std::move(ended));
    interrupts.Tell(nullptr);
    interrupts.Stop();
  });
  interrupts.Tell(&run);
  run.Start();
  while (!outcome && loop.run_one() > 0) {
  }
  view.Clear();
  if (!outcome) {
    return Report(
        {.code = ErrorCode::kInternal, .detail = "the run ended without a result; this is a defect of weir"}, json,
        nullptr);
  }
  if (!outcome->status) {
    return Report(outcome->status.error(), json, &outcome->account);
  }
  const auto& account = outcome->account;
  switch (command.kind) {
    case RunCommand::Kind::kProbe:
      return Delivered(
          json ? RunAsJson(command, **session, account) : ProbeAsText(command.ask.input_path, account.source), json);
    case RunCommand::Kind::kPlan: {
      const int printed =
          Delivered(json ? RunAsJson(command, **session, account) : LadderAsText(**session, account), json);
      if (printed == 0 && account.refusal) {
        return json ? InfoOf(account.refusal->code).exit_code : Report(*account.refusal, false, nullptr);
      }
      return printed;
    }
    case RunCommand::Kind::kRecipe:
      return Delivered(json ? RunAsJson(command, **session, account) : ResultAsText(command, **session, account),
                       json);
  }
  return InfoOf(ErrorCode::kInternal).exit_code;
}

int RunDoctor(const DoctorCommand& command) {
  boost::asio::io_context loop(1);
  Interrupts interrupts(loop);
  auto session = Session::Open(loop, command.settings, true,
                               [&](process::Launcher* launcher) { interrupts.KillOnInterrupt(launcher); });
  if (!session) {
    return Report(interrupts.why() ? *interrupts.why() : session.error(), command.settings.json, nullptr);
  }
  Warn(**session);
  return Delivered(command.settings.json ? DoctorAsJson(**session) : DoctorAsText(**session), command.settings.json);
}

}  // namespace

int Main(const std::vector<std::string>& arguments) {
  os::Ignore({SIGPIPE});
  if (const auto filled = os::FillStandardDescriptors(); !filled) {
    return InfoOf(filled.error().code).exit_code;
  }
  auto invocation = ParseCommandLine(arguments);
  if (!invocation) {
    return Report(invocation.error(), WantsJson(arguments), nullptr);
  }
  if (const auto* text = std::get_if<TextCommand>(&*invocation)) {
    return Delivered(text->text, false);
  }
  if (const auto* doctor = std::get_if<DoctorCommand>(&*invocation)) {
    return RunDoctor(*doctor);
  }
  if (const auto* serve = std::get_if<ServeCommand>(&*invocation)) {
    return Serve(*serve);
  }
  if (const auto* config = std::get_if<ConfigCommand>(&*invocation)) {
    return Ended(RunConfig(*config), config->json);
  }
  if (const auto* token = std::get_if<TokenCommand>(&*invocation)) {
    return Ended(RunToken(*token), token->json);
  }
  if (const auto* client = std::get_if<ClientCommand>(&*invocation)) {
    return Ended(RunClient(*client, StandardStreams()), client->json);
  }
  return RunToResult(std::get<RunCommand>(*invocation));
}

}  // namespace weir::app
