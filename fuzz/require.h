// A check that stays on in every build and ends a fuzzer with a report.
#pragma once

#include <cstdlib>

inline void Require(bool holds) {
  if (!holds) std::abort();
}
