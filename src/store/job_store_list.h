// The walk that lists jobs: one index, read from a number downwards, that says of each entry whether all filters
// hold. Apart from the store, so that a test can ask SQLite how it would run every one of them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "store/job_store.h"

namespace weir::store {

// Entries that one call of List passes over, matching or not. All filters are answered from indexes, whose entries
// lie close together, so that this many are some milliseconds of the owner's thread, and a batch of the largest size
// is one page.
inline constexpr std::size_t kMostPassedOver = 10'000;

struct ListWalk {
  std::string sql;  // rows: number, and 1 when all filters hold, otherwise 0; newest first
  std::vector<std::string_view>
      values;  // the parameters but the last, which is `before`; as long as the filter lives
};
ListWalk WalkOf(const JobFilter& filter);

}  // namespace weir::store
