#include "process/ending.h"

namespace weir::process {

namespace {

// The signals by which programs usually die; others are told by number.
const char* SignalName(int signal) {
  switch (signal) {
    case 1:
      return "SIGHUP";
    case 2:
      return "SIGINT";
    case 3:
      return "SIGQUIT";
    case 4:
      return "SIGILL";
    case 5:
      return "SIGTRAP";
    case 6:
      return "SIGABRT";
    case 7:
      return "SIGBUS";
    case 8:
      return "SIGFPE";
    case 9:
      return "SIGKILL";
    case 11:
      return "SIGSEGV";
    case 13:
      return "SIGPIPE";
    case 15:
      return "SIGTERM";
    case 24:
      return "SIGXCPU";
    case 25:
      return "SIGXFSZ";
    case 31:
      return "SIGSYS";
    default:
      return nullptr;
  }
}

std::string Signal(int signal) {
  const char* name = SignalName(signal);
  const std::string number = "signal " + std::to_string(signal);
  return name != nullptr ? std::string(name) + " (" + number + ")" : number;
}

}  // namespace

std::string Describe(const Ending& ending) {
  return std::visit(Overloaded{
                        [](const Exited& e) { return "exited with status " + std::to_string(e.status); },
                        [](const Signaled& e) {
                          return "killed by " + Signal(e.signal) + (e.for_memory ? " for want of memory" : "");
                        },
                        [](const OomKilled& e) { return "killed at its memory limit of " + ToString(e.limit); },
                        [](const TimedOut& e) {
                          return e.of_processor
                                     ? "stopped at its limit of " + InSeconds(e.deadline) + " of processor time"
                                     : "stopped at its deadline of " + InSeconds(e.deadline);
                        },
                        [](const Stalled& e) { return "stopped after " + InSeconds(e.limit) + " without progress"; },
                        [](const Cancelled&) { return std::string("stopped on request"); },
                        [](const SpawnFailed& e) { return "could not be started: " + weir::Describe(e.error); },
                    },
                    ending);
}

const char* NameOf(const Ending& ending) {
  return std::visit(Overloaded{
                        [](const Exited&) { return "exited"; },
                        [](const Signaled&) { return "signaled"; },
                        [](const OomKilled&) { return "oom_killed"; },
                        [](const TimedOut&) { return "timed_out"; },
                        [](const Stalled&) { return "stalled"; },
                        [](const Cancelled&) { return "cancelled"; },
                        [](const SpawnFailed&) { return "spawn_failed"; },
                    },
                    ending);
}

}  // namespace weir::process
