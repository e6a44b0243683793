// Journal: follows the stored events of all jobs and gives each a line of the log, and says in a few words how much
// there is to do, for the service manager. Decides nothing; wakes only when something changed. The loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "jobs/service.h"

namespace weir::app {

// "idle", "2 running, 5 waiting", "1 running, draining".
std::string WorkText(const jobs::ServiceFigures& figures);
// What the log says of an event: "running, attempt 2", "queued, attempt 1: weir died while it ran", "failed, attempt
// 1: the input is damaged". `job`: as it is now, for the reason of a failure that the event does not tell.
std::string EventText(const store::EventRecord& event, const store::JobRecord* job = nullptr);
// Whether `job` has something to add to what is said of the event.
bool LacksReason(const store::EventRecord& event);

class Journal {
 public:
  // Begins behind the event `after`. `on_work` hears of every change of WorkText, at most a few times a second. All
  // outlive this; what of it waits in the loop does nothing any more after this.
  Journal(boost::asio::io_context& loop, jobs::JobService& service, std::int64_t after,
          std::function<void(const std::string&)> on_work);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  // Now, what else would be told in a moment. For the end.
  void Tell();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace weir::app
