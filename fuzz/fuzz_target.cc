// Any target: what is taken apart keeps its promises.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/target.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto target = ParseTarget(text);
  if (!target) {
    Require(target.error().code == weir::ErrorCode::kMalformed);
    return 0;
  }
  const auto fine = [](const std::string& word) { return IsUtf8(word) && word.find('\0') == std::string::npos; };
  Require(text.starts_with('/') && target->path.size() <= kMostSegments &&
          target->query.size() <= kMostQueryParameters);
  for (const std::string& segment : target->path) {
    Require(fine(segment) && !segment.empty() && segment != "." && segment != ".." &&
            segment.find('/') == std::string::npos);
  }
  for (const auto& [name, value] : target->query) {
    Require(fine(name) && fine(value));
  }
  return 0;
}
