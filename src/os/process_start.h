// What a program does to its own process before anything else, and last of all.
#pragma once

#include <vector>

#include "base/result.h"

namespace weir::os {

// Opens /dev/null on any of descriptors 0, 1 and 2 that are closed, so that no file of ours ever gets their numbers
// and is written to as if it were a terminal. Call it before anything is opened.
Status FillStandardDescriptors();

// Those of `signals` that this process does not inherit as ignored: nohup, for one, ignores SIGHUP on purpose.
std::vector<int> NotIgnored(const std::vector<int>& signals);

// From now on `signals` do nothing to this process.
void Ignore(const std::vector<int>& signals);

// From now on `signals` do nothing to the calling thread, whatever becomes of their handlers; if it is the only one,
// nothing to the process.
void Block(const std::vector<int>& signals);

}  // namespace weir::os
