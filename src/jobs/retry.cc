#include "jobs/retry.h"

#include <algorithm>

namespace weir::jobs {

const char* NameOf(Cause cause) {
  switch (cause) {
    case Cause::kBadInput:
      return "bad_input";
    case Cause::kBadParameters:
      return "bad_parameters";
    case Cause::kOutOfMemory:
      return "out_of_memory";
    case Cause::kOverBudget:
      return "over_budget";
    case Cause::kTimedOut:
      return "timed_out";
    case Cause::kStalled:
      return "stalled";
    case Cause::kCrashed:
      return "crashed";
    case Cause::kDiskFull:
      return "disk_full";
    case Cause::kInfrastructure:
      return "infrastructure";
    case Cause::kVerification:
      return "verification";
  }
  return "infrastructure";
}

Cause CauseOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInputMissing:
    case ErrorCode::kInputNotAFile:
    case ErrorCode::kInputUnreadable:
    case ErrorCode::kInputEmpty:
    case ErrorCode::kInputNotMedia:
    case ErrorCode::kInputDamaged:
    case ErrorCode::kInputNoVideo:
    case ErrorCode::kInputTooLarge:
    case ErrorCode::kRunaway:
      return Cause::kBadInput;
    case ErrorCode::kBadParameters:
    case ErrorCode::kOutputExists:
    case ErrorCode::kOutputIsInput:
    case ErrorCode::kOutputFolder:
    case ErrorCode::kOutputFormat:
    case ErrorCode::kForbidden:
    case ErrorCode::kMalformed:
      return Cause::kBadParameters;
    case ErrorCode::kOverBudget:
      return Cause::kOverBudget;
    case ErrorCode::kOutOfMemory:
      return Cause::kOutOfMemory;
    case ErrorCode::kTimedOut:
      return Cause::kTimedOut;
    case ErrorCode::kStalled:
      return Cause::kStalled;
    case ErrorCode::kCrashed:
    case ErrorCode::kChildFailed:
      return Cause::kCrashed;
    case ErrorCode::kDiskFull:
      return Cause::kDiskFull;
    case ErrorCode::kVerification:
      return Cause::kVerification;
    case ErrorCode::kInternal:
    case ErrorCode::kOutputUnwritable:
    case ErrorCode::kToolMissing:
    case ErrorCode::kToolUnusable:
    case ErrorCode::kSandbox:
    case ErrorCode::kSystem:
    case ErrorCode::kNotFound:
    case ErrorCode::kConflict:
    case ErrorCode::kBusy:
    case ErrorCode::kUnauthorized:
    case ErrorCode::kMethod:
    case ErrorCode::kTooLarge:
    case ErrorCode::kMediaType:
    case ErrorCode::kUnreachable:
    case ErrorCode::kDamaged:
    case ErrorCode::kTooNew:
    case ErrorCode::kInterrupted:
    case ErrorCode::kTerminated:
      return Cause::kInfrastructure;
  }
  return Cause::kInfrastructure;
}

Again AgainAfter(Cause cause) {
  switch (cause) {
    case Cause::kBadInput:
    case Cause::kBadParameters:
    case Cause::kOverBudget:
    case Cause::kVerification:
      return Again::kNever;
    case Cause::kOutOfMemory:
    case Cause::kTimedOut:
    case Cause::kStalled:
    case Cause::kCrashed:
      return Again::kLeaner;
    case Cause::kDiskFull:
    case Cause::kInfrastructure:
      return Again::kLater;
  }
  return Again::kNever;
}

std::chrono::milliseconds BackoffFor(int tries, std::chrono::milliseconds first) {
  constexpr std::chrono::milliseconds kLongest = std::chrono::minutes(5);
  for (int i = 0; i < tries && first < kLongest; ++i) {
    first *= 2;
  }
  return std::min(first, kLongest);
}

}  // namespace weir::jobs
