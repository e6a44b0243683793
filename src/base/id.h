// Ids of runs and working folders: 80 random bits in 16 lower-case base-32 characters. Not secrets.
#pragma once

#include <string>
#include <string_view>

namespace weir {

std::string NewId();
// True for exactly the strings that NewId can make.
bool IsId(std::string_view text);

}  // namespace weir
