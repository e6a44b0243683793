#include "base/clock.h"

#include <array>
#include <cstdio>

namespace weir {

std::string InSeconds(Duration duration) {
  std::array<char, 32> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.4g s", Seconds(duration));
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace weir
