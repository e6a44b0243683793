// StallWatch: calls somebody each time that the kernel says that work stands still for want of memory.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>

#include "os/machine.h"

namespace weir::app {

// The loop's thread. Ends by itself, with a line in the log, when the trigger is gone.
class StallWatch {
 public:
  StallWatch(boost::asio::io_context& loop, os::StallTrigger trigger, std::function<void()> on_stall);
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;
  ~StallWatch();

 private:
  void Await();

  os::StallTrigger trigger_;
  std::function<void()> on_stall_;
  boost::asio::posix::stream_descriptor events_;
};

}  // namespace weir::app
