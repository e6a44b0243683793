// Overseer: looks at memory as often as it is worth it, and lets the Governor decide. Owns the timers, the kernel's
// stall trigger and the measuring; decides nothing itself.
//
// It looks at once (a tenth of a second after the last look) when the kernel says that the machine stalls, when work
// begins (half a second after the last look), every two seconds while children live or the level is above normal,
// else every 30 s.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/governance.h"
#include "app/governor.h"
#include "app/stall_watch.h"
#include "jobs/service.h"
#include "memory/ledger.h"

namespace weir::app {

// The loop's thread. All parts outlive it.
class Overseer {
 public:
  struct Parts {
    boost::asio::io_context& loop;
    const Clock& clock;
    const memory::Ledger& ledger;
    const process::Launcher& launcher;
    jobs::JobService& jobs;
    std::function<std::vector<memory::ComponentUse>()> components;  // of the daemon's heap, as they count themselves
    std::function<Bytes()> trim;
    std::function<Bytes()> sweep;
  };

  Overseer(Parts parts, const GovernorSettings& settings, const jobs::SchedulerSettings& order);
  Overseer(const Overseer&) = delete;
  Overseer& operator=(const Overseer&) = delete;
  ~Overseer();

  void Reload(const GovernorSettings& settings, const jobs::SchedulerSettings& order);
  // Soon.
  void Look();
  // Now.
  void LookNow();
  // Now, where the last look is a second old: for whoever sees its findings beside live numbers.
  void LookIfOld();

  [[nodiscard]] api::Governance governance() const;
  [[nodiscard]] api::GovernanceHistory history() const;

 private:
  GovernorHands Hands();
  GovernorReading Read() const;
  void Await();
  // When what was just begun has its child, and no sooner than so long after the last look.
  void LookWithin(Duration since_last);
  void TellStatus(SteadyTime now);
  void Sweep(SteadyTime now);

  Parts parts_;
  jobs::SchedulerSettings order_;
  Governor governor_;
  std::optional<SteadyTime> looked_;
  std::optional<SteadyTime> soon_;
  SteadyTime told_{};
  SteadyTime swept_{};
  std::string last_status_;
  boost::asio::steady_timer timer_;
  std::optional<StallWatch> stalls_;
};

}  // namespace weir::app
