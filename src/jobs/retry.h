// Why a job failed, in the ten words of the contract, and whether it is worth another attempt. Pure.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/error.h"

namespace weir::jobs {

enum class Cause : std::uint8_t {
  kBadInput,
  kBadParameters,
  kOutOfMemory,
  kOverBudget,
  kTimedOut,
  kStalled,
  kCrashed,
  kDiskFull,
  kInfrastructure,
  kVerification,
};
// "bad_input" ... "verification": stable.
const char* NameOf(Cause cause);
Cause CauseOf(ErrorCode code);

enum class Again : std::uint8_t {
  kNever,   // the same would happen
  kLeaner,  // with the next plan of the ladder, a few times
  kLater,   // as it is, with growing pauses, many times
};
Again AgainAfter(Cause cause);

// `first`, twice that, ... up to five minutes. `tries`: how often it has been put off already.
std::chrono::milliseconds BackoffFor(int tries, std::chrono::milliseconds first);

}  // namespace weir::jobs
