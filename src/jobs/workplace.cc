#include "jobs/workplace.h"

#include <algorithm>
#include <csignal>

#include "base/id.h"
#include "base/text.h"
#include "media/failure.h"

namespace weir::jobs::workplace {
namespace {

std::string LastWords(const process::ChildReport& report) {
  std::string last;
  for (const std::string_view line : SplitLines(report.stderr_text)) {
    if (!Trim(line).empty()) {
      last = Printable(Trim(line));
    }
  }
  return last.empty() ? std::string() : "; its last words: " + last;
}

}  // namespace

process::Order OrderFor(std::string purpose, const std::string& program, const std::vector<std::string>& arguments,
                        Bytes memory_limit) {
  process::Order order;
  order.id = NewId();
  order.purpose = std::move(purpose);
  order.program = program;
  order.argv.reserve(arguments.size() + 1);
  order.argv.push_back(program);
  order.argv.insert(order.argv.end(), arguments.begin(), arguments.end());
  order.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent", "TMPDIR=."};
  order.memory_limit = memory_limit;
  order.stop_grace = std::chrono::milliseconds(0);
  return order;
}

void LimitTime(process::Order& order, std::chrono::milliseconds deadline, unsigned cpus) {
  order.deadline = deadline;
  order.cpu_limit =
      std::max(std::chrono::seconds(60), std::chrono::ceil<std::chrono::seconds>(deadline) * std::max(1U, cpus));
}

bool RanOutOfMemory(const process::ChildReport& report) {
  if (std::holds_alternative<process::OomKilled>(report.ending)) {
    return true;
  }
  const auto* exited = std::get_if<process::Exited>(&report.ending);
  return exited != nullptr && exited->status != 0 && media::SaysOutOfMemory(report.stderr_text);
}

bool WroteTooMuch(const process::ChildReport& report) {
  if (report.folder_limit_exceeded) {
    return true;
  }
  if (const auto* signaled = std::get_if<process::Signaled>(&report.ending)) {
    return signaled->signal == SIGXFSZ;
  }
  const auto* exited = std::get_if<process::Exited>(&report.ending);
  return exited != nullptr && exited->status != 0 && report.stderr_text.find("File too large") != std::string::npos;
}

Error ErrorOf(const process::ChildReport& report, const std::string& program, Purpose purpose, const Limits& limits) {
  const auto failed = [&](ErrorCode code, const std::string& what) {
    return Error{.code = code, .detail = program + " " + what + LastWords(report)};
  };
  return std::visit(
      process::Overloaded{
          [&](const process::Exited& exited) {
            return failed(ErrorCode::kChildFailed, "ended with status " + std::to_string(exited.status));
          },
          [&](const process::Signaled& signaled) {
            if (signaled.for_memory) {
              return failed(ErrorCode::kSystem,
                            "was killed by the kernel for want of memory on the machine, or of all that works here "
                            "together; its own limit was not reached")
                  .With("signal", static_cast<std::uint64_t>(signaled.signal));
            }
            return failed(ErrorCode::kCrashed,
                          "was ended by signal " + std::to_string(signaled.signal) + ", which weir did not send")
                .With("signal", static_cast<std::uint64_t>(signaled.signal));
          },
          [&](const process::OomKilled& killed) {
            return failed(ErrorCode::kOutOfMemory, "was stopped at its memory limit of " + ToString(killed.limit))
                .With("lease_bytes", killed.limit.count());
          },
          [&](const process::TimedOut& late) {
            return failed(ErrorCode::kTimedOut, "was " + process::Describe(late) +
                                                    (purpose == Purpose::kWork ? "; --timeout sets another" : ""));
          },
          [&](const process::Stalled&) {
            return failed(ErrorCode::kStalled, "made no progress for " + InSeconds(limits.stall) +
                                                   " and was stopped; --stall-timeout sets another limit");
          },
          [&](const process::Cancelled&) { return failed(ErrorCode::kInterrupted, "was stopped"); },
          [&](const process::SpawnFailed& spawn) { return spawn.error; },
      },
      report.ending);
}

}  // namespace weir::jobs::workplace
