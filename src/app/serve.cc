#include "app/serve.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include "api/api.h"
#include "app/config.h"
#include "app/invocation.h"
#include "app/notify.h"
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

// How long after the last word a start or an end may take before the service manager gives up.
constexpr std::chrono::seconds kExtension{30};

struct ServeSettings {
  Settings session;  // memory, tools, limits
  std::string data_folder;
  std::vector<std::string> media_roots;
  http::ServerSettings server;
  jobs::SchedulerSettings order;
  jobs::ServiceSettings service;
  std::chrono::milliseconds stop_grace{};
};

ServeSettings SettingsOf(const Config& config) {
  ServeSettings settings;
  settings.session.memory = config.memory;
  settings.session.ffmpeg = config.ffmpeg;
  settings.session.ffprobe = config.ffprobe;
  settings.session.require_sandbox = config.require_sandbox;
  settings.session.limits.stall = config.stall;
  settings.session.limits.deadline = config.timeout;
  settings.session.limits.input.max_duration = config.max_duration;
  settings.session.limits.input.max_pixels = config.max_pixels;
  settings.data_folder = config.data;
  settings.media_roots = config.media_roots;
  settings.server.address = config.address;
  settings.server.port = config.port;
  settings.server.tokens = config.tokens;
  settings.server.hosts = config.hosts;
  settings.server.origins = config.origins;
  settings.server.most_connections = config.connections;
  settings.server.largest_body = config.largest_body;
  settings.server.requests_per_second = config.requests_per_second;
  settings.order = {.slots = config.slots,
                    .most_queued = config.most_queued,
                    .ageing = config.ageing,
                    .patience = config.patience,
                    .disk_reserve = config.disk_reserve};
  settings.service.keep_succeeded = config.keep_succeeded;
  settings.service.keep_failed = config.keep_failed;
  settings.service.keep_cancelled = config.keep_cancelled;
  settings.service.largest_input = config.largest_input;
  settings.service.retries = config.retries;
  settings.service.infrastructure_retries = config.infrastructure_retries;
  settings.stop_grace = config.stop_grace;
  return settings;
}

class Daemon {
 public:
  Daemon(boost::asio::io_context& loop, ServeSettings settings, ConfigSources sources, Notifier notifier)
      : loop_(loop),
        settings_(std::move(settings)),
        sources_(std::move(sources)),
        notifier_(std::move(notifier)),
        signals_(loop),
        watchdog_(loop) {}
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() = default;

  Status Start() {
    WEIR_ASSIGN(auto inherited, InheritedListener());
    notifier_.ExtendTimeout(kExtension);
    for (const int signal : os::NotIgnored({SIGINT, SIGTERM, SIGHUP})) {
      signals_.add(signal);
    }
    AwaitSignal();
    WEIR_ASSIGN(data_, os::EnsureFolder(settings_.data_folder));
    settings_.data_folder = os::PathOf(data_.get());
    WEIR_ASSIGN(store_, store::JobStore::Open(
                            settings_.data_folder,
                            [this](std::function<void()> call) { boost::asio::post(loop_, std::move(call)); }, {}));
    auto session =
        Session::Open(loop_, settings_.session, false, [this](process::Launcher* launcher) { launcher_ = launcher; });
    if (stopping_) {
      return Fail(ErrorCode::kTerminated, "told to end before it was ready");
    }
    if (!session) {
      return Fail(std::move(session).error());
    }
    session_ = *std::move(session);
    for (const auto& warning : session_->warnings()) {
      log::Warning(warning);
    }
    WEIR_ASSIGN(auto roots, store::MediaRoots::Open(settings_.media_roots));
    roots_.emplace(std::move(roots));
    WEIR_ASSIGN(auto artifacts, store::Artifacts::Open(settings_.data_folder));
    artifacts_.emplace(std::move(artifacts));
    const auto& world = session_->world();
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
    WEIR_ASSIGN(server_, http::Server::Listen(
                             loop_, world.clock, settings_.server,
                             [this](http::Request request) { return api_->Answer(std::move(request)); },
                             std::move(inherited)));
    notifier_.Ready("ready");
    FeedWatchdog();
    log::Info("listening on http://" + settings_.server.address + ":" + std::to_string(server_->port()) +
              ", budget " + ToString(world.ledger.budget()) + " kept by " +
              os::NameOf(world.launcher.walls().cgroups.backend()) + ", data in " + Quoted(settings_.data_folder));
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
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) {
        return;
      }
      if (signal == SIGHUP) {
        Reload();
        return AwaitSignal();
      }
      if (service_ && server_) {
        notifier_.Stopping("finishing what runs");
        notifier_.ExtendTimeout(settings_.stop_grace + kExtension);
        log::Info(stopping_ ? "told to end again: stopping what runs" : "told to end: finishing what runs");
        server_->StopAccepting();
        service_->Shutdown(stopping_ ? std::chrono::milliseconds(0) : settings_.stop_grace,
                           [this] { ended_ = true; });
      } else if (launcher_ != nullptr) {
        launcher_->StopAll(true);
      }
      stopping_ = true;
      AwaitSignal();
    });
  }

  // From the loop that does the work: a loop that is stuck feeds nobody.
  void FeedWatchdog() {
    if (const auto period = notifier_.WatchdogPeriod()) {
      notifier_.Watchdog();
      watchdog_.expires_after(*period);
      watchdog_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
          FeedWatchdog();
        }
      });
    }
  }

  void Reload() {
    if (!service_ || !server_) {
      return;
    }
    notifier_.Reloading();
    auto sources = GatherSources(sources_);
    auto config = sources ? LoadConfig(*sources) : Fail(sources.error());
    if (!config) {
      log::Error("the configuration stays as it was: " + Describe(config.error()));
    } else if (!settings_.server.tokens.empty() && config->tokens.empty()) {
      log::Error("the configuration stays as it was: without tokens everybody could call");
    } else {
      const auto settings = SettingsOf(*config);
      log::SetLevel(config->log_level);
      server_->Reload(settings.server);
      settings_.server.tokens = settings.server.tokens;
      service_->Reload(settings.order);
      log::Info("tokens, queue and log level are as configured now");
    }
    notifier_.Ready("ready");
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
  ConfigSources sources_;  // as given: a reload gathers anew
  Notifier notifier_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
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

int Serve(const ServeCommand& command) {
  const auto refuse = [](const Error& error) {
    Tell("weir: " + Printable(Describe(error)) + "\n");
    return InfoOf(error.code).exit_code;
  };
  auto notifier = Notifier::FromEnvironment();
  const auto sources = GatherSources(command.sources);
  const auto config = sources ? LoadConfig(*sources) : Fail(sources.error());
  if (!config) {
    return refuse(config.error());
  }
  log::SetLevel(config->log_level);
  if (config->log_format == Config::LogFormat::kJson) {
    log::SetFormat(log::Format::kJson);
  }
  if (!config->log_file.empty()) {
    if (const auto opened = log::ToFile(config->log_file, config->log_file_size, config->log_files); !opened) {
      return refuse(opened.error());
    }
  }
  boost::asio::io_context loop(1);
  Daemon daemon(loop, SettingsOf(*config), command.sources, std::move(notifier));
  if (const auto started = daemon.Start(); !started) {
    return refuse(started.error());
  }
  return daemon.Run();
}

}  // namespace weir::app
