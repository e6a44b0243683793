// The version of this build.
#pragma once

namespace weir::app {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace weir::app
