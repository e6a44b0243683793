// Looks at the write-ahead log of a database before SQLite does. SQLite takes the log up to the first frame that does
// not add up, which is right for the torn end that a power cut leaves, and silently forgets all that follows a broken
// frame in the middle. Here the two are told apart: a transaction is begun only after the one before it was flushed,
// so a whole transaction behind a broken one means damage.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace weir::store {

// `log`: an open file, which SQLite does not have open in this process. What is broken, in words, or nothing. Not
// found: damage within the last transaction, which looks like a torn end. Errors: kInputUnreadable, kSystem.
Result<std::optional<std::string>> FindLogDamage(int log);

}  // namespace weir::store
