// Forecasts: questions about what a request would take, each answered by a run that makes no output. They hold no
// slots, so that a question is not answered after an hour's work: their small leases come straight from the ledger,
// first come, first served. They wait while memory is short and something works, and while what comes back is kept
// for a step that has waited too long.
//
// Threads: the loop's only. Destroying it kills its runs; nothing is answered then.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "jobs/admission.h"
#include "jobs/alive.h"
#include "jobs/run.h"

namespace weir::jobs {

class Forecasts {
 public:
  // `world` outlives this. `on_change` is called when something was asked for or one has ended; Serve then.
  Forecasts(World& world, std::size_t most, std::function<void()> on_change);

  // `ask` without a job. Answers from the loop, also with kBusy when `most` go on already.
  void Start(Ask ask, std::function<void(Result<Account>)> answer);
  [[nodiscard]] bool Owns(const std::string& job) const { return runs_.contains(job); }
  void AskFor(const Need& need, std::function<void(Result<Grant>)> granted);
  void Withdraw(const std::string& job);
  // Gives out what fits now. While `hold` says so, which is asked before each, only refusals.
  void Serve(const std::function<bool()>& hold);
  void CancelAll(const Error& why);
  [[nodiscard]] bool empty() const { return runs_.empty(); }

 private:
  struct Waiting {
    std::string job;
    Bytes size;
    std::function<void(Result<Grant>)> granted;
  };

  World& world_;
  std::size_t most_;
  std::function<void()> on_change_;
  std::deque<Waiting> waiting_;  // at most one for each run
  std::map<std::string, std::unique_ptr<Run>> runs_;
  Alive alive_;
};

}  // namespace weir::jobs
