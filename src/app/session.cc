#include "app/session.h"

#include <algorithm>
#include <utility>

#include "app/toolbox.h"
#include "base/log.h"
#include "base/text.h"
#include "media/plan.h"
#include "os/machine.h"
#include "os/proc.h"

namespace weir::app {
namespace {

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

}  // namespace

Result<BudgetFacts> DecideBudget(const Settings& settings, const os::CgroupRoot& cgroups) {
  BudgetFacts budget;
  budget.own_use = settings.own_use.value_or(kOwnUse);
  if (settings.memory) {
    budget.total = *settings.memory;
    budget.given = true;
  } else {
    WEIR_ASSIGN(budget.free, os::AvailableMemory());
    if (const auto in_cgroup = cgroups.FreeInOwnCgroup(); in_cgroup && *in_cgroup < budget.free) {
      budget.free = *in_cgroup;
      budget.limited_by_cgroup = true;
    }
    budget.total = budget.free * 0.5;
  }
  if (budget.total <= budget.own_use) {
    return Fail(Error{.code = ErrorCode::kOverBudget,
                      .detail = "the budget of " + ToString(budget.total) + " is not above the " +
                                ToString(budget.own_use) + " that weir itself may use; give more with --memory"}
                    .With("required_bytes", budget.own_use.count() + 1)
                    .With("budget_bytes", budget.total.count()));
  }
  return budget;
}

std::optional<std::string> WhyBudgetIsTooLarge(Bytes budget, const os::CgroupRoot& cgroups) {
  const auto machine = os::ReadMachineMemory().total;
  const auto group = cgroups.LimitAround();
  const bool by_group = group && (!machine || *group < *machine);
  const auto there = by_group ? group : machine;
  if (!there || budget <= *there) {
    return std::nullopt;
  }
  return "the budget of " + ToString(budget) + " is more than the " + ToString(*there) + " that " +
         (by_group ? "the control group around weir allows" : "this machine has") +
         ": the kernel may end children, or weir itself, before the budget is used; give less with --memory or "
         "memory.budget";
}

std::string KeptBy(const os::CgroupRoot& cgroups) {
  const std::string backend = os::NameOf(cgroups.backend());
  switch (cgroups.enclosure()) {
    case os::Enclosure::kTree:
      return backend + " for all together";
    case os::Enclosure::kChildren:
      return backend + " for all children together";
    case os::Enclosure::kNone:
      break;
  }
  return backend;
}

Status CheckLayers(const Settings& settings, const os::SandboxSupport& support) {
  const auto missing = support.Missing();
  if (missing.empty() || !settings.require_sandbox) {
    return {};
  }
  return Fail(Error{.code = ErrorCode::kSandbox,
                    .detail = "this machine lacks sandbox layers: " + Joined(missing) +
                              "; without --require-sandbox the others are used"}
                  .With("missing", Joined(missing)));
}

Result<std::unique_ptr<Session>> Session::Open(boost::asio::io_context& loop, const Settings& settings,
                                               bool fresh_self_test,
                                               const std::function<void(process::Launcher*)>& on_launcher) {
  std::unique_ptr<Session> session(new Session());  // NOLINT(cppcoreguidelines-owning-memory): private constructor
  WEIR_ASSIGN(auto state, store::StateFolder::Open());
  session->leftovers_ = std::make_shared<Leftovers>(Leftovers{.state = std::move(state), .told = {}});

  process::Walls walls;
  walls.cgroups = os::CgroupRoot::Detect();
  const auto swept = store::SweepAbandoned(session->leftovers_->state);
  for (const auto& id : swept.ids) {
    log::Info("removed what the run " + id + " of an earlier life left");
  }
  for (const auto& problem : swept.problems) {
    session->warnings_.push_back("left by an earlier run: " + problem);
    session->leftovers_->told.insert(problem);
  }
  walls.cgroups.RemoveAbandoned();

  walls.support = os::DetectSandbox();
  if (walls.support.seccomp) {
    WEIR_ASSIGN(walls.seccomp, os::BuildSeccomp());
  }
  WEIR_TRY(CheckLayers(settings, walls.support));
  if (const auto missing = walls.support.Missing(); !missing.empty()) {
    session->warnings_.push_back("sandbox layers missing here: " + Joined(missing) +
                                 "; children run without them (--require-sandbox refuses that)");
  }

  WEIR_ASSIGN(session->budget_, DecideBudget(settings, walls.cgroups));
  if (auto warning = WhyBudgetIsTooLarge(session->budget_.total, walls.cgroups); warning && session->budget_.given) {
    session->warnings_.push_back(*std::move(warning));
  }
  if (const auto enclosed = walls.cgroups.Enclose(session->budget_.total, session->budget_.own_use); !enclosed) {
    log::Info("no control group keeps everything together, each child has its own limit: " +
              Describe(enclosed.error()));
  }
  session->ledger_ =
      std::make_unique<memory::Ledger>(session->budget_.total, session->budget_.own_use, media::SharedPages());

  session->admission_ = std::make_unique<jobs::ImmediateAdmission>(loop, *session->ledger_);

  WEIR_ASSIGN(const auto paths, FindTools(settings.ffmpeg, settings.ffprobe));
  walls.readable = ReadableFor(paths);
  session->launcher_ = std::make_unique<process::Launcher>(loop, std::move(walls), session->spawner_);
  on_launcher(session->launcher_.get());
  auto tools =
      IdentifyTools(loop, *session->launcher_, *session->ledger_, session->leftovers_->state, paths, fresh_self_test);
  if (!tools) {
    on_launcher(nullptr);
    return Fail(std::move(tools).error());
  }
  session->world_ = std::make_unique<jobs::World>(jobs::World{.loop = loop,
                                                              .aside = session->aside_,
                                                              .clock = session->clock_,
                                                              .launcher = *session->launcher_,
                                                              .ledger = *session->ledger_,
                                                              .admission = *session->admission_,
                                                              .state = session->leftovers_->state,
                                                              .tools = *std::move(tools),
                                                              .machine = {.cpus = os::UsableCpus()},
                                                              .limits = settings.limits});
  return session;
}

void Session::Sweep() {
  launcher_->walls().cgroups.RemoveAbandoned();
  boost::asio::post(aside_, [leftovers = leftovers_] {
    const auto swept = store::SweepAbandoned(leftovers->state);
    for (const auto& id : swept.ids) {
      log::Info("removed what the run " + id + " left");
    }
    std::set<std::string> problems(swept.problems.begin(), swept.problems.end());
    for (const auto& problem : problems) {
      if (!leftovers->told.contains(problem)) {
        log::Warning("left by a run that is gone: " + problem);
      }
    }
    leftovers->told = std::move(problems);
  });
}

Bytes Session::OwnPss() const { return os::OwnPss(); }

}  // namespace weir::app
