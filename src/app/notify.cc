#include "app/notify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/surroundings.h"

namespace weir::app {
namespace {

constexpr std::uint64_t kMostSockets = 1024;

std::string Taken(const char* variable) {
  const char* value = std::getenv(variable);
  std::string text = value != nullptr ? value : "";
  os::Forget(variable);
  return text;
}

// Whether a message with this process number is for us; without one it is.
bool ForUs(const std::string& pid) {
  return pid.empty() || ParseUnsigned(pid) == static_cast<std::uint64_t>(os::ProcessId());
}

}  // namespace

Notifier Notifier::FromEnvironment() {
  Notifier notifier;
  notifier.address_ = Taken("NOTIFY_SOCKET");
  const auto period = ParseUnsigned(Taken("WATCHDOG_USEC"));
  const bool ours = ForUs(Taken("WATCHDOG_PID"));
  constexpr std::uint64_t kDay = std::uint64_t{86'400} * 1'000'000;
  if (notifier.connected() && ours && period && *period >= 3) {
    notifier.watchdog_ = std::chrono::microseconds(static_cast<std::int64_t>(std::min(*period, kDay) / 3));
  }
  return notifier;
}

void Notifier::Send(const std::string& text) const {
  if (!connected()) {
    return;
  }
  if (const auto sent = os::SendDatagram(address_, text); !sent) {
    log::Warning("the service manager was not told: " + Describe(sent.error()));
  }
}

void Notifier::Ready(std::string_view status) const { Send("READY=1\nSTATUS=" + Printable(status)); }
void Notifier::Status(std::string_view status) const { Send("STATUS=" + Printable(status)); }
void Notifier::Watchdog() const { Send("WATCHDOG=1"); }

void Notifier::Reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  Send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void Notifier::Stopping(std::string_view status) const { Send("STOPPING=1\nSTATUS=" + Printable(status)); }

void Notifier::ExtendTimeout(std::chrono::microseconds from_now) const {
  Send(fmt::format("EXTEND_TIMEOUT_USEC={}", from_now.count()));
}

Result<os::UniqueFd> InheritedListener(int first) {
  const auto pid = Taken("LISTEN_PID");
  const auto count = ParseUnsigned(Taken("LISTEN_FDS"));
  os::Forget("LISTEN_FDNAMES");
  // Without a number they are nobody's: an ancestor may have left the variables behind.
  if (!count || *count == 0 || pid.empty() || !ForUs(pid)) {
    return os::UniqueFd();
  }
  if (*count > 1) {
    for (std::uint64_t i = 0; i < std::min(*count, kMostSockets); ++i) {
      const os::UniqueFd closed(first + static_cast<int>(i));
    }
    return Fail(ErrorCode::kBadParameters,
                fmt::format("{} sockets were handed down, and this server listens on one; give its socket unit one "
                            "ListenStream",
                            *count));
  }
  return os::AdoptListener(first);
}

}  // namespace weir::app
