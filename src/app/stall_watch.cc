#include "app/stall_watch.h"

#include <utility>

#include "base/log.h"

namespace weir::app {

StallWatch::StallWatch(boost::asio::io_context& loop, os::StallTrigger trigger, std::function<void()> on_stall)
    : trigger_(std::move(trigger)), on_stall_(std::move(on_stall)), events_(loop, trigger_.fd()) {
  Await();
}

StallWatch::~StallWatch() {
  events_.release();  // the trigger closes it
}

void StallWatch::Await() {
  events_.async_wait(boost::asio::posix::stream_descriptor::wait_error,
                     [this](const boost::system::error_code& error) {
                       if (error) {
                         return;
                       }
                       // The wait took the event: that it is over is all that can be known.
                       if (trigger_.Gone()) {
                         log::Warning("the kernel will not say any more when the machine stalls");
                         return;
                       }
                       on_stall_();
                       Await();
                     });
}

}  // namespace weir::app
