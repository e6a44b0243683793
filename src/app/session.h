// Session: everything that one command-line life needs, built once in order and torn down in reverse.
// Not the daemon's wiring, but made of the same parts.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/invocation.h"
#include "base/clock.h"
#include "base/result.h"
#include "jobs/run.h"
#include "memory/ledger.h"
#include "os/cgroup.h"
#include "os/sandbox.h"
#include "process/child.h"
#include "store/work_folder.h"

namespace weir::app {

// How the budget came about, to be shown.
struct BudgetFacts {
  Bytes total;
  bool given = false;
  Bytes free;  // of machine and cgroup, when the budget was derived from it
  bool limited_by_cgroup = false;
  Bytes own_use;
};

// What there is to spend, and what of it this process keeps for itself. `cgroups` is looked at where no amount is
// given. Errors: kOverBudget, kSystem.
Result<BudgetFacts> DecideBudget(const Settings& settings, const os::CgroupRoot& cgroups);
// A sentence for people when the machine, or a control group around us, has less than `budget`.
std::optional<std::string> WhyBudgetIsTooLarge(Bytes budget, const os::CgroupRoot& cgroups);
// "cgroup-v1 for all together": how far one limit reaches; "rlimit-data" where each child has its own only.
std::string KeptBy(const os::CgroupRoot& cgroups);
// Whether a layer of the sandbox is missing that is required. Errors: kSandbox.
Status CheckLayers(const Settings& settings, const os::SandboxSupport& support);

// What this process reserves for itself: the command line was measured at 8.2 MiB at most (docs/BENCHMARKS.md).
inline constexpr Bytes kOwnUse = Bytes::Mib(10);

class Session {
 public:
  // Sweeps what earlier lives left, then finds walls, budget and tools. `loop` is run while tools are tried.
  // Errors: kToolMissing, kToolUnusable, kSandbox (--require-sandbox), kOverBudget, kOutputUnwritable.
  // `on_launcher` hears of the launcher as soon as children can exist, and of nullptr when Open fails after that.
  static Result<std::unique_ptr<Session>> Open(boost::asio::io_context& loop, const Settings& settings,
                                               bool fresh_self_test,
                                               const std::function<void(process::Launcher*)>& on_launcher);

  [[nodiscard]] jobs::World& world() const { return *world_; }
  [[nodiscard]] process::Launcher& launcher() const { return *launcher_; }
  [[nodiscard]] const BudgetFacts& budget() const { return budget_; }
  // What a user should hear before anything starts: missing layers, leftovers removed.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  [[nodiscard]] Bytes OwnPss() const;

  // Removes what runs of other lives left whose process is gone: memory groups now, working folders soon, on the
  // thread beside the loop. What cannot be removed is told once. Loop thread.
  void Sweep();

 private:
  Session() = default;
  boost::asio::thread_pool aside_{1};
  SystemClock clock_;
  process::RealSpawner spawner_;
  // Also of a sweep that still goes on beside the loop.
  struct Leftovers {
    store::StateFolder state;
    std::set<std::string> told;  // problems
  };
  std::shared_ptr<Leftovers> leftovers_;
  BudgetFacts budget_;
  std::unique_ptr<memory::Ledger> ledger_;
  std::unique_ptr<jobs::ImmediateAdmission> admission_;
  std::unique_ptr<process::Launcher> launcher_;
  std::unique_ptr<jobs::World> world_;
  std::vector<std::string> warnings_;
};

}  // namespace weir::app
