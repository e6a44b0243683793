#include "app/serve.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api.h"
#include "app/calibration_file.h"
#include "app/config.h"
#include "app/invocation.h"
#include "app/journal.h"
#include "app/notify.h"
#include "app/overseer.h"
#include "app/render.h"
#include "app/serve_checks.h"
#include "app/services.h"
#include "app/session.h"
#include "app/speak.h"
#include "app/version.h"
#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/log_file.h"
#include "os/ownership.h"
#include "os/proc.h"
#include "os/process_start.h"
#include "os/program.h"

namespace weir::app {
namespace {

// Reading the memory of every child takes about a millisecond each; nobody needs it more often.
constexpr std::chrono::milliseconds kReadingPeriod{250};
// Looks at two files, which may lie behind a network.
constexpr std::chrono::seconds kToolsPeriod{1};

// How long after the last word a start or an end may take before the service manager gives up.
constexpr std::chrono::seconds kExtension{30};

constexpr std::chrono::seconds kGaugeIdle{60};

// Of a job that only waits, and of a connection after a request, measured (docs/BENCHMARKS.md).
constexpr std::uint64_t kPerWaitingJob = 640;
constexpr std::uint64_t kPerConnection = 4300;

// Between two looks whether the kernel's limit can follow a lower budget.
constexpr std::chrono::milliseconds kBudgetPeriod{250};

struct ServeSettings {
  Settings session;  // memory, tools, limits
  std::string data_folder;
  std::vector<std::string> media_roots;
  http::ServerSettings server;
  jobs::SchedulerSettings order;
  jobs::ServiceSettings service;
  GovernorSettings governor;
  std::chrono::milliseconds stop_grace{};
};

ServeSettings SettingsOf(const Config& config) {
  ServeSettings settings;
  settings.session = SessionSettings(config);
  settings.data_folder = config.data;
  settings.media_roots = config.media_roots;
  settings.server.address = config.address;
  settings.server.port = config.port;
  settings.server.tokens = config.tokens;
  settings.server.hosts = config.hosts;
  settings.server.origins = config.origins;
  settings.server.most_connections = config.connections;
  settings.server.largest_body = config.largest_body;
  settings.server.most_in_bodies = Bytes(kBodiesAtOnce * config.largest_body.count());
  settings.server.requests_per_second = config.requests_per_second;
  for (const auto& text : config.route_rates) {
    if (auto rate = http::ParseRouteRate(text)) {  // looked at when the configuration was read
      settings.server.route_rates.push_back(*std::move(rate));
    }
  }
  settings.order = {.slots = config.slots,
                    .most_queued = config.most_queued,
                    .ageing = config.ageing,
                    .patience = config.patience,
                    .disk_reserve = config.disk_reserve,
                    .processors = config.processors,
                    .size_weight = static_cast<double>(config.size_weight)};
  settings.service.keep_succeeded = config.keep_succeeded;
  settings.service.keep_failed = config.keep_failed;
  settings.service.keep_cancelled = config.keep_cancelled;
  settings.service.largest_input = config.largest_input;
  settings.service.retries = config.retries;
  settings.service.infrastructure_retries = config.infrastructure_retries;
  settings.governor.pressure = PressureOf(config);
  settings.governor.tracker = {.most_handles = config.most_handles,
                               .most_children = config.most_children,
                               .stuck = config.stuck,
                               .over_age = config.over_age};
  const auto of_recipes = [](const std::vector<std::string>& texts) {
    std::map<std::string, Duration> times;
    for (const auto& text : texts) {
      if (const auto time = ParseSecondsOf(text)) {  // looked at when the configuration was read
        times.insert(*time);
      }
    }
    return times;
  };
  settings.governor.tracker.stuck_of = of_recipes(config.stuck_of);
  settings.governor.tracker.over_age_of = of_recipes(config.over_age_of);
  settings.stop_grace = config.stop_grace;
  return settings;
}

struct DataFolder {
  os::UniqueFd fd;
  std::string path;
};

// What was measured of this process and its children, for a moment.
class Gauge {
 public:
  const api::SystemReading& Read(SteadyTime now, const jobs::Tools& tools) {
    if (!looked_ || now - *looked_ >= kToolsPeriod) {
      looked_ = now;
      measured_.ffmpeg = os::FindProgram(tools.ffmpeg).has_value();
      measured_.ffprobe = os::FindProgram(tools.ffprobe).has_value();
    }
    if (!read_ || now - *read_ >= kReadingPeriod) {
      read_ = now;
      measured_.own_memory = os::OwnPss();
      // Shares of common pages change between two looks, and the tree is never less than its root.
      measured_.tree_memory = std::max(measured_.own_memory, os::TreePss(os::CurrentProcess()));
      const auto counts = os::OwnCountsNow();
      measured_.descriptors = counts.descriptors;
      measured_.threads = counts.threads;
    }
    return measured_;
  }
  void Forget() { read_.reset(); }

 private:
  std::optional<SteadyTime> read_;
  std::optional<SteadyTime> looked_;  // at the tools
  api::SystemReading measured_;
};

class Daemon {
 public:
  Daemon(boost::asio::io_context& loop, Config config, ConfigSources sources, Notifier notifier)
      : loop_(loop),
        config_(std::move(config)),
        settings_(SettingsOf(config_)),
        sources_(std::move(sources)),
        notifier_(std::move(notifier)),
        signals_(loop),
        watchdog_(loop),
        extension_(loop),
        idle_(loop),
        budget_follows_(loop),
        services_(clock_, [] { return os::HeapInUse(); }) {}
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() = default;

  Status Start() {
    WEIR_ASSIGN(inherited_, InheritedListener());
    KeepExtending();
    for (const int signal : os::NotIgnored({SIGINT, SIGTERM, SIGHUP})) {
      signals_.add(signal);
    }
    AwaitSignal();
    Declare();
    WEIR_TRY(services_.Check());
    WEIR_TRY(services_.Use(http_));
    WEIR_TRY(services_.Use(overseer_));
    FollowJobs();
    notifier_.Ready("ready");
    extension_.cancel();
    FeedWatchdog();
    const auto& world = session_->world();
    log::Info("listening on http://" + settings_.server.address + ":" + std::to_string(http_->port()) + ", budget " +
              ToString(world.ledger.budget()) + " kept by " + KeptBy(world.launcher.walls().cgroups) + ", data in " +
              Quoted(data_->path));
    log::Debug(ServicesText());
    return {};
  }

  // Until the end. The exit code.
  int Run() {
    while (!ended_ && loop_.run_one() > 0) {
    }
    calibration_->Save();
    store_->Flush();
    if (journal_.get() != nullptr) {
      journal_->Tell();
    }
    // The handlers go with the signal set, before the process does: one who tells it to end again would make a
    // failure of a good end.
    os::Block({SIGINT, SIGTERM, SIGHUP});
    return 0;
  }

  // What is loaded, since when, and with how much memory. The loop's thread.
  [[nodiscard]] std::vector<ServiceReading> LoadedServices() const { return services_.Readings(); }

 private:
  // In the order in which a start builds them. Destroyed the other way round: nobody asks any more, then nothing
  // works, then nothing is written.
  void Declare() {
    data_ = services_.Declare<DataFolder>({.name = "data", .make = [this] { return OpenData(); }});
    store_ = services_.Declare<store::JobStore>(
        {.name = "store", .needs = {"data"}, .make = [this] {
           return store::JobStore::Open(
               data_->path, [this](std::function<void()> call) { boost::asio::post(loop_, std::move(call)); }, {});
         }});
    session_ = services_.Declare<Session>({.name = "session", .make = [this] { return OpenSession(); }});
    roots_ = services_.Declare<store::MediaRoots>(
        {.name = "roots", .make = [this] { return Kept(store::MediaRoots::Open(settings_.media_roots)); }});
    artifacts_ = services_.Declare<store::Artifacts>({.name = "artifacts", .needs = {"data"}, .make = [this] {
                                                        return Kept(store::Artifacts::Open(data_->path));
                                                      }});
    calibration_ = services_.Declare<CalibrationFile>(
        {.name = "calibration",
         .needs = {"data", "store", "session"},
         .make = [this] { return OpenCalibration(); },
         .bytes = [](const CalibrationFile& file) { return file.learning().calibration().bytes(); }});
    jobs_ = services_.Declare<jobs::JobService>({.name = "jobs",
                                                 .needs = {"store", "session", "roots", "artifacts", "calibration"},
                                                 .make = [this] { return OpenJobs(); }});
    api_ = services_.Declare<api::Api>(
        {.name = "api", .needs = {"jobs", "artifacts", "session"}, .make = [this] { return MakeApi(); }});
    http_ = services_.Declare<http::Server>(
        {.name = "http", .needs = {"api", "session"}, .make = [this] {
           return http::Server::Listen(
               loop_, session_->world().clock, settings_.server,
               [this](http::Request request) { return api_->Answer(std::move(request)); }, std::move(inherited_));
         }});
    journal_ = services_.Declare<Journal>(
        {.name = "journal", .needs = {"jobs", "store"}, .make = [this] { return OpenJournal(); }});
    overseer_ = services_.Declare<Overseer>(
        {.name = "overseer", .needs = {"jobs", "api", "session"}, .make = [this] { return MakeOverseer(); }});
    gauge_ = services_.Declare<Gauge>(
        {.name = "gauge", .make = [] { return std::make_unique<Gauge>(); }, .idle = kGaugeIdle});
  }

  template <typename T>
  static Result<std::unique_ptr<T>> Kept(Result<T> made) {
    if (!made) {
      return Fail(std::move(made).error());
    }
    return std::make_unique<T>(*std::move(made));
  }

  Result<std::unique_ptr<DataFolder>> OpenData() const {
    WEIR_ASSIGN(auto fd, os::EnsureFolder(settings_.data_folder));
    std::string path = os::PathOf(fd.get());
    return std::make_unique<DataFolder>(DataFolder{.fd = std::move(fd), .path = std::move(path)});
  }

  Result<std::unique_ptr<Session>> OpenSession() {
    auto session =
        Session::Open(loop_, settings_.session, false, [this](process::Launcher* launcher) { launcher_ = launcher; });
    if (stopping_) {
      return Fail(ErrorCode::kTerminated, "told to end before it was ready");
    }
    if (session) {
      for (const auto& warning : (*session)->warnings()) {
        log::Warning(warning);
      }
    }
    return session;
  }

  Result<std::unique_ptr<CalibrationFile>> OpenCalibration() {
    const auto& world = session_->world();
    WEIR_ASSIGN(const std::string file, os::ProgramFileStamp(world.tools.ffmpeg));
    const bool limits_allocations = world.launcher.walls().cgroups.backend() == os::MemoryBackend::kRlimit;
    return std::make_unique<CalibrationFile>(
        loop_, world.aside, data_->fd.get(),
        jobs::LearningSettings{
            .tool = world.tools.version + "|" + file, .limits_allocations = limits_allocations, .own_size = [] {
              const auto own = os::ReadStatm(os::CurrentProcess());
              return own ? own->resident : Bytes();
            }});
  }

  Result<std::unique_ptr<jobs::JobService>> OpenJobs() {
    // Recovery is worth lines as well.
    WEIR_ASSIGN(unheard_, store_->LastEventId());
    const auto& world = session_->world();
    return jobs::JobService::Open({.loop = loop_,
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
                                   .limits = world.limits,
                                   .learning = &calibration_->learning()},
                                  settings_.order, settings_.service);
  }

  std::unique_ptr<api::Api> MakeApi() {
    const auto& world = session_->world();
    return std::make_unique<api::Api>(
        world.clock, *jobs_, *artifacts_,
        api::Facts{.version = kVersion,
                   .ffmpeg = world.tools.ffmpeg,
                   .ffprobe = world.tools.ffprobe,
                   .ffmpeg_version = world.tools.version,
                   .missing_layers = world.launcher.walls().support.Missing(),
                   .started = world.clock.Now()},
        [this] { return Reading(); }, [this] { return CleanUp(); },
        [this] { return overseer_.get() != nullptr ? overseer_->history() : api::GovernanceHistory(); });
  }

  std::unique_ptr<Overseer> MakeOverseer() {
    const auto& world = session_->world();
    return std::make_unique<Overseer>(Overseer::Parts{.loop = loop_,
                                                      .clock = world.clock,
                                                      .ledger = world.ledger,
                                                      .launcher = world.launcher,
                                                      .jobs = *jobs_,
                                                      .components = [this] { return Components(); },
                                                      .trim = [this] { return Trim(); },
                                                      .sweep =
                                                          [this] {
                                                            Sweep();
                                                            return Bytes();  // of the disk
                                                          }},
                                      settings_.governor, settings_.order);
  }

  [[nodiscard]] std::vector<memory::ComponentUse> Components() const {
    return {{.name = "database", .used = store::JobStore::MemoryInUse()},
            {.name = "answers", .used = api_->bytes()},
            {.name = "queue", .used = Bytes(jobs_->at_work().scheduler.queued * kPerWaitingJob)},
            {.name = "connections",
             .used = Bytes(http_.get() != nullptr ? http_->figures().connections * kPerConnection : 0)},
            {.name = "calibration", .used = calibration_->learning().calibration().bytes()}};
  }

  Result<std::unique_ptr<Journal>> OpenJournal() {
    std::int64_t after = 0;
    if (unheard_) {
      after = *std::exchange(unheard_, std::nullopt);
    } else {
      WEIR_ASSIGN(after, store_->LastEventId());
    }
    return std::make_unique<Journal>(loop_, *jobs_, after, [this](const std::string& work) {
      notifier_.Status(stopping_ ? "ending: " + work : work);
    });
  }

  // Only where somebody hears of it.
  void FollowJobs() {
    if (!notifier_.connected() && !log::Shows(log::Level::kInfo)) {
      unheard_.reset();
      return;
    }
    if (const auto followed = services_.Use(journal_); !followed) {
      log::Warning("the log will not tell of jobs: " + Describe(followed.error()));
    }
  }

  void AwaitSignal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) {
        return;
      }
      if (signal == SIGHUP) {
        Reload();
        return AwaitSignal();
      }
      if (jobs_.get() != nullptr && http_.get() != nullptr) {
        notifier_.Stopping("ending: what runs may finish");
        KeepExtending();
        log::Info(stopping_ ? "told to end again: stopping what runs" : "told to end: finishing what runs");
        http_->StopAccepting();
        jobs_->Shutdown(stopping_ ? std::chrono::milliseconds(0) : settings_.stop_grace, [this] { ended_ = true; });
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

  // Little by little, so that a start or an end that is stuck is noticed.
  void KeepExtending() {
    if (!notifier_.connected()) {
      return;
    }
    notifier_.ExtendTimeout(kExtension);
    extension_.expires_after(kExtension / 3);
    extension_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        KeepExtending();
      }
    });
  }

  void Reload() {
    if (jobs_.get() == nullptr || http_.get() == nullptr || stopping_) {
      return;
    }
    notifier_.Reloading();
    const auto told = TakeOver();
    if (!told) {
      log::Error("the configuration stays as it was: " + Describe(told.error()));
    }
    notifier_.Ready(told ? "reloaded" : "not reloaded: " + Describe(told.error()));
    log::Debug(ServicesText());
  }

  Status TakeOver() {
    WEIR_ASSIGN(const auto sources, GatherSources(sources_));
    WEIR_ASSIGN(auto config, LoadConfig(sources));
    if (!settings_.server.tokens.empty() && config.tokens.empty()) {
      return Fail(ErrorCode::kBadParameters, "without tokens everybody could call");
    }
    const auto fresh = SettingsOf(config);
    const Bytes own_use = session_->world().ledger.own_use();
    if (*fresh.session.own_use > own_use) {
      return Fail(Error{.code = ErrorCode::kOverBudget,
                        .detail = "with these limits weir itself may need " + ToString(*fresh.session.own_use) +
                                  ", and " + ToString(own_use) +
                                  " of the budget were set aside for it at the start; restart it for more"}
                      .With("required_bytes", fresh.session.own_use->count())
                      .With("available_bytes", own_use.count()));
    }
    const Bytes before = session_->world().ledger.budget();
    const Bytes budget = fresh.session.memory.value_or(before);
    Settings judged = fresh.session;
    judged.memory = budget;
    judged.own_use = own_use;
    WEIR_TRY(DecideBudget(judged, os::CgroupRoot::Look()));
    log::SetLevel(config.log_level);
    if (budget != before) {
      SetBudget(budget);
    }
    http_->Reload(fresh.server);
    jobs_->Reload(fresh.order);
    settings_.server.tokens = fresh.server.tokens;
    settings_.order = fresh.order;
    settings_.stop_grace = fresh.stop_grace;
    settings_.governor = fresh.governor;
    overseer_->Reload(settings_.governor, settings_.order);
    FollowJobs();
    log::Info("tokens, limits of callers, budget, queue and log level are as configured now");
    // Against what it was started with: said again as long as it is true.
    std::string later;
    for (const auto& key : NeedsRestart(config_, config)) {
      later += (later.empty() ? "" : ", ") + key;
    }
    if (!fresh.session.memory && config_.memory) {
      later += (later.empty() ? "" : ", ") + std::string("memory.budget");
    }
    if (!later.empty()) {
      log::Warning("changed in the configuration, and as before until a restart: " + later);
    }
    return {};
  }

  void SetBudget(Bytes budget) {
    auto& world = session_->world();
    const Bytes before = world.ledger.budget();
    world.ledger.SetBudget(budget);
    const Bytes committed = world.ledger.committed();
    log::Info("the budget is " + ToString(budget) + " now, and was " + ToString(before) +
              (committed > budget
                   ? "; " + ToString(committed) + " are in use or leased: nothing begins until they fit"
                   : ""));
    if (const auto warning = WhyBudgetIsTooLarge(budget, world.launcher.walls().cgroups)) {
      log::Warning(*warning);
    }
    limit_refused_ = false;
    FollowBudget();
  }

  // The kernel's limit as low as the leases of those that run allow; again until that is the budget.
  void FollowBudget() {
    const auto& world = session_->world();
    const Bytes limit = std::max(world.ledger.budget(), world.ledger.committed());
    const auto set = world.launcher.walls().cgroups.SetBudget(limit);
    if (!set && !std::exchange(limit_refused_, true)) {
      log::Warning("the limit of everything together is not " + ToString(limit) +
                   " yet, which is tried again: " + Describe(set.error()));
    }
    if (set && limit == world.ledger.budget()) {
      return;
    }
    budget_follows_.expires_after(kBudgetPeriod);
    budget_follows_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        FollowBudget();
      }
    });
  }

  // What can be had again goes. Returns by how much memory is less.
  Bytes CleanUp() {
    const Bytes before = os::OwnPss();
    Sweep();
    static_cast<void>(Trim());
    if (const auto gauge = services_.Use(gauge_)) {
      (*gauge)->Forget();
    }
    if (overseer_.get() != nullptr) {
      overseer_->LookNow();
    }
    return before - os::OwnPss();
  }

  void Sweep() {
    jobs_->Sweep();
    session_->Sweep();
  }

  // What the store's writer keeps goes a moment later, and is not in the answer.
  Bytes Trim() {
    const Bytes before = os::OwnPss();
    api_->LetGo();
    const Bytes pages = store_->LetGo();
    AwaitIdle();
    os::TrimHeap();
    const Bytes freed = before - os::OwnPss();
    log::Debug("caches were let go: " + ToString(freed) + " less memory, " + ToString(pages) +
               " of them of the database");
    return freed;
  }

  api::SystemReading Reading() {
    const auto& world = session_->world();
    api::SystemReading reading;
    if (const auto gauge = services_.Use(gauge_)) {
      reading = (*gauge)->Read(world.clock.Now(), world.tools);
    }
    AwaitIdle();
    reading.budget = world.ledger.budget();
    reading.own_use = world.ledger.own_use();
    reading.leased = world.ledger.leased();
    reading.available = world.ledger.available();
    const auto& cgroups = world.launcher.walls().cgroups;
    reading.backend = os::NameOf(cgroups.backend());
    reading.enclosed = os::NameOf(cgroups.enclosure());
    if (const auto group = cgroups.tree()) {
      reading.group = {.now = group->now,
                       .limit = group->limit,
                       .peak = group->peak,
                       .page_cache = group->page_cache,
                       .on_tmpfs = group->on_tmpfs,
                       .oom_kills = group->oom_kills};
    }
    if (overseer_.get() != nullptr) {
      overseer_->LookIfOld();
      reading.governance = overseer_->governance();
    }
    reading.processes = world.launcher.living();
    reading.slots = settings_.order.slots;
    reading.most_queued = settings_.order.most_queued;
    if (http_.get() != nullptr) {
      reading.http = http_->figures();
    }
    if (stopping_) {
      reading.not_ready = "about to end";
    } else if (jobs_->at_work().unsaved > 0) {
      reading.not_ready = "changes cannot be written to the data folder";
    } else if (!reading.ffmpeg || !reading.ffprobe) {
      const std::string gone = reading.ffmpeg ? "ffprobe" : "ffmpeg";
      const std::string& path = reading.ffmpeg ? world.tools.ffprobe : world.tools.ffmpeg;
      reading.not_ready = gone + " is gone: " + Quoted(path) + " is not a program that can be run";
    }
    for (auto& service : LoadedServices()) {
      reading.services.push_back({.name = std::move(service.name),
                                  .loaded = service.loaded,
                                  .since = service.since,
                                  .bytes = service.bytes});
    }
    const auto document = api_->document();
    reading.services.push_back({.name = "openapi",
                                .loaded = document.loaded,
                                .since = document.loaded ? std::optional(document.since) : std::nullopt,
                                .bytes = document.loaded ? std::optional(document.size) : std::nullopt});
    return reading;
  }

  // What nobody uses goes in its time; without anything that could go, nobody is woken.
  void AwaitIdle() {
    if (std::exchange(awaits_idle_, true)) {
      return;
    }
    const auto next = services_.LetGo();
    if (!next) {
      awaits_idle_ = false;
      return;
    }
    idle_.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(*next));
    idle_.async_wait([this](const boost::system::error_code& error) {
      awaits_idle_ = false;
      if (!error) {
        AwaitIdle();
      }
    });
  }

  [[nodiscard]] std::string ServicesText() const {
    std::string text;
    for (const auto& service : LoadedServices()) {
      text += (text.empty() ? "services: " : ", ") + service.name;
      if (!service.loaded) {
        text += " not loaded";
      } else if (service.bytes) {
        text += " " + std::to_string(service.bytes->count() / 1024) + " KiB";
      }
    }
    return text;
  }

  boost::asio::io_context& loop_;
  const Config config_;  // as started
  ServeSettings settings_;
  ConfigSources sources_;  // as given: a reload gathers anew
  Notifier notifier_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  boost::asio::steady_timer extension_;
  boost::asio::steady_timer idle_;
  boost::asio::steady_timer budget_follows_;
  os::UniqueFd inherited_;               // until somebody listens on it
  std::optional<std::int64_t> unheard_;  // events behind this one have no line yet
  process::Launcher* launcher_ = nullptr;
  bool stopping_ = false;
  bool ended_ = false;
  bool awaits_idle_ = false;
  bool limit_refused_ = false;  // by the kernel, and said

  SystemClock clock_;
  Services services_;
  Service<DataFolder> data_;
  Service<store::JobStore> store_;
  Service<Session> session_;
  Service<store::MediaRoots> roots_;
  Service<store::Artifacts> artifacts_;
  Service<CalibrationFile> calibration_;
  Service<jobs::JobService> jobs_;
  Service<api::Api> api_;
  Service<http::Server> http_;
  Service<Journal> journal_;
  Service<Overseer> overseer_;
  Service<Gauge> gauge_;
};

}  // namespace

int Serve(const ServeCommand& command) {
  const auto refuse = [&command](const Error& error) {
    if (command.json) {
      Print(FailureAsJson(error, nullptr));
    } else {
      Tell("weir: " + Printable(Describe(error)) + "\n");
    }
    return InfoOf(error.code).exit_code;
  };
  auto notifier = Notifier::FromEnvironment();
  const auto sources = GatherSources(command.sources);
  auto config = sources ? LoadConfig(*sources) : Fail(sources.error());
  if (!config) {
    return refuse(config.error());
  }
  log::SetLevel(config->log_level);
  if (config->log_format == Config::LogFormat::kJson) {
    log::SetFormat(log::Format::kJson);
  }
  if (!config->log_file.empty()) {
    auto opened = os::LogFile::Open(config->log_file, config->log_file_size, config->log_files);
    if (!opened) {
      return refuse(opened.error());
    }
    log::To([file = std::shared_ptr<os::LogFile>(*std::move(opened))](std::string_view line) {
      return file->Write(line);
    });
  }
  boost::asio::io_context loop(1);
  Daemon daemon(loop, *std::move(config), command.sources, std::move(notifier));
  if (const auto started = daemon.Start(); !started) {
    return refuse(started.error());
  }
  return daemon.Run();
}

}  // namespace weir::app
