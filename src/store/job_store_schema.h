// The tables of jobs.db and the way to them from every earlier version. Format: docs/formats/jobs.md.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "store/job_store_database.h"

namespace weir::store {

inline constexpr std::int64_t kApplicationId = 0x57656972;  // "Weir"
std::int64_t NewestSchema();
// kTooNew, with what to do.
Error TooNew(const std::string& file, std::int64_t version);

// Brings a connection that may write to the newest schema and into the mode with a log, in one transaction, from an
// empty file or any earlier version. Errors: kTooNew, kDamaged (somebody else's database), kDiskFull, kSystem; then
// nothing has changed.
Status PrepareSchema(Database& database);

// Holds the counters against what is cheap to know: all jobs, and the active ones by state. Counts anew when they
// differ, with a warning in the log.
Status CheckCounters(Database& database);

}  // namespace weir::store
