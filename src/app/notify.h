// Notifier: tells the service manager (systemd, or whatever set NOTIFY_SOCKET) how the server does, and takes over
// what it hands down. Without a service manager everything here does nothing. Main thread, before other threads
// exist: variables are read once and removed, so that children never inherit them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"

namespace weir::app {

class Notifier {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.
  static Notifier FromEnvironment();
  Notifier() = default;

  [[nodiscard]] bool connected() const { return !address_.empty(); }
  // How often Watchdog has to be called: a third of what the manager waits, so that one that is late is no alarm.
  // nullopt: never.
  [[nodiscard]] std::optional<std::chrono::microseconds> WatchdogPeriod() const { return watchdog_; }

  // A message that cannot be delivered is logged and otherwise no reason for anything.
  void Ready(std::string_view status) const;
  void Status(std::string_view status) const;  // one line
  void Watchdog() const;
  void Reloading() const;  // Ready afterwards
  void Stopping(std::string_view status) const;
  void ExtendTimeout(std::chrono::microseconds from_now) const;  // of starting or stopping

 private:
  void Send(const std::string& text) const;
  std::string address_;
  std::optional<std::chrono::microseconds> watchdog_;
};

// The listening socket of socket activation (LISTEN_PID, LISTEN_FDS), or an empty one when there is none. The
// variables are removed. `first`: number of the first inherited descriptor, 3 but in tests.
// Errors: kBadParameters (more than one socket, or something that does not listen).
Result<os::UniqueFd> InheritedListener(int first = 3);

}  // namespace weir::app
