// Admission: whoever gives the steps of a run the memory that they ask for, now or later. The command line's gives it
// at once or not at all; the daemon's lets them wait their turn.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>

#include "base/result.h"
#include "jobs/scheduler.h"
#include "memory/ledger.h"

namespace weir::jobs {

// The loop's thread. Outlives every run.
class Admission {
 public:
  Admission() = default;
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  virtual ~Admission() = default;
  // `granted` is called once, from the loop, never from inside Ask, unless Withdraw comes first.
  // Errors, of both: kOverBudget and kDiskFull with the numbers, when it could never be granted.
  virtual Status Ask(Need need, std::function<void(Result<Grant>)> granted) = 0;
  // Of a need that was granted already: nothing happens.
  virtual void Withdraw(const std::string& job) = 0;
  // The step that a need was granted for is over, and the next one goes on with what is left of its lease, without
  // asking: `lease`.
  virtual void GoOn(const std::string& job, Bytes lease) = 0;
};

// The first way that fits what is free now, or a refusal. Disk is not looked at.
class ImmediateAdmission final : public Admission {
 public:
  ImmediateAdmission(boost::asio::io_context& loop, memory::Ledger& ledger) : loop_(loop), ledger_(ledger) {}
  Status Ask(Need need, std::function<void(Result<Grant>)> granted) override;
  void Withdraw(const std::string& job) override;
  void GoOn(const std::string& job, Bytes lease) override;

 private:
  boost::asio::io_context& loop_;
  memory::Ledger& ledger_;
};

}  // namespace weir::jobs
