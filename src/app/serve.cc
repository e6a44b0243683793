#include "app/serve.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include "api/api.h"
#include "app/session.h"
#include "app/speak.h"
#include "app/version.h"
#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/ownership.h"
#include "os/proc.h"
#include "os/process_start.h"

namespace weir::app {
namespace {

// Reading the memory of every child takes about a millisecond each; nobody needs it more often.
constexpr std::chrono::milliseconds kReadingPeriod{250};

class Daemon {
 public:
  Daemon(boost::asio::io_context& loop, ServeSettings settings)
      : loop_(loop), settings_(std::move(settings)), signals_(loop) {}
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() = default;

  Status Start() {
    for (const int signal : os::NotIgnored({SIGINT, SIGTERM})) {
      signals_.add(signal);
    }
    AwaitSignal();
    WEIR_ASSIGN(data_, os::EnsureFolder(settings_.data_folder));
    settings_.data_folder = os::PathOf(data_.get());
    WEIR_ASSIGN(store_, store::JobStore::Open(settings_.data_folder,
                                              [this](std::function<void()> call) {
                                                boost::asio::post(loop_, std::move(call));
                                              },
                                              {}));
    WEIR_ASSIGN(session_, Session::Open(loop_, settings_.session, false,
                                        [this](process::Launcher* launcher) { launcher_ = launcher; }));
    if (stopping_) {
      return Fail(ErrorCode::kTerminated, "told to end before it was ready");
    }
    for (const auto& warning : session_->warnings()) {
      log::Warning(warning);
    }
    WEIR_ASSIGN(auto roots, store::MediaRoots::Open(settings_.media_roots));
    roots_.emplace(std::move(roots));
    WEIR_ASSIGN(auto artifacts, store::Artifacts::Open(settings_.data_folder));
    artifacts_.emplace(std::move(artifacts));
    const auto& world = session_->world();
    if (!settings_.slots_given) {
      settings_.order.slots = world.machine.cpus;
    }
    WEIR_ASSIGN(service_, jobs::JobService::Open({.loop = loop_,
                                                  .clock = world.clock,
                                                  .ledger = world.ledger,
                                                  .launcher = world.launcher,
                                                  .state = world.state,
                                                  .aside = world.aside,
                                                  .store = *store_,
                                                  .roots = *roots_,
                                                  .artifacts = *artifacts_,
                                                  .tools = world.tools,
                                                  .machine = world.machine,
                                                  .limits = world.limits},
                                                 settings_.order, settings_.service));
    api_ = std::make_unique<api::Api>(world.clock, *service_, *artifacts_,
                                      api::Facts{.version = kVersion,
                                                 .ffmpeg = world.tools.ffmpeg,
                                                 .ffprobe = world.tools.ffprobe,
                                                 .ffmpeg_version = world.tools.version,
                                                 .missing_layers = world.launcher.walls().support.Missing(),
                                                 .slots = settings_.order.slots,
                                                 .most_queued = settings_.order.most_queued,
                                                 .started = world.clock.Now()},
                                      [this] { return Reading(); });
    WEIR_ASSIGN(server_, http::Server::Listen(loop_, world.clock, settings_.server, [this](http::Request request) {
                  return api_->Answer(std::move(request));
                }));
    log::Info("listening on http://" + settings_.server.address + ":" + std::to_string(server_->port()) + ", budget " +
              ToString(world.ledger.budget()) + " kept by " + os::NameOf(world.launcher.walls().cgroups.backend()) +
              ", data in " + Quoted(settings_.data_folder));
    return {};
  }

  // Until the end. The exit code.
  int Run() {
    while (!ended_ && loop_.run_one() > 0) {
    }
    server_.reset();
    store_->Flush();
    return 0;
  }

 private:
  void AwaitSignal() {
    signals_.async_wait([this](const boost::system::error_code& error, int /*signal*/) {
      if (error) {
        return;
      }
      if (service_) {
        log::Info(stopping_ ? "told to end again: stopping what runs" : "told to end: finishing what runs");
        server_->StopAccepting();
        service_->Shutdown(stopping_ ? std::chrono::milliseconds(0) : settings_.stop_grace, [this] { ended_ = true; });
      } else if (launcher_ != nullptr) {
        launcher_->StopAll(true);
      }
      stopping_ = true;
      AwaitSignal();
    });
  }

  api::SystemReading Reading() {
    const auto& world = session_->world();
    const SteadyTime now = world.clock.Now();
    if (now - read_ >= kReadingPeriod) {
      read_ = now;
      measured_.own_memory = os::OwnPss();
      measured_.tree_memory = os::TreePss(os::CurrentProcess());
      const auto counts = os::OwnCountsNow();
      measured_.descriptors = counts.descriptors;
      measured_.threads = counts.threads;
    }
    auto reading = measured_;
    reading.budget = world.ledger.budget();
    reading.own_use = world.ledger.own_use();
    reading.leased = world.ledger.leased();
    reading.available = world.ledger.available();
    reading.backend = os::NameOf(world.launcher.walls().cgroups.backend());
    reading.processes = world.launcher.living();
    if (server_) {
      reading.http = server_->figures();
    }
    if (stopping_) {
      reading.not_ready = "about to end";
    } else if (service_->figures().unsaved > 0) {
      reading.not_ready = "changes cannot be written to the data folder";
    }
    return reading;
  }

  boost::asio::io_context& loop_;
  ServeSettings settings_;
  boost::asio::signal_set signals_;
  process::Launcher* launcher_ = nullptr;
  bool stopping_ = false;
  bool ended_ = false;
  SteadyTime read_{};
  api::SystemReading measured_;

  // Destroyed from the bottom up: nobody asks any more, then nothing works, then nothing is written.
  os::UniqueFd data_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<store::JobStore> store_;
  std::optional<store::MediaRoots> roots_;
  std::optional<store::Artifacts> artifacts_;
  std::unique_ptr<jobs::JobService> service_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace

int Serve(ServeSettings settings) {
  log::SetLevel(log::Level::kInfo);
  boost::asio::io_context loop(1);
  Daemon daemon(loop, std::move(settings));
  if (const auto started = daemon.Start(); !started) {
    Tell("weir: " + Printable(Describe(started.error())) + "\n");
    return InfoOf(started.error().code).exit_code;
  }
  return daemon.Run();
}

}  // namespace weir::app
