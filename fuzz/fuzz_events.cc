// Any stream in any pieces: the parser stays within its bound, and pieces give what the whole gives.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/events.h"
#include "require.h"

namespace {

constexpr weir::Bytes kLargest(4096);

struct Seen {
  std::vector<std::string> events;
  bool too_large = false;
};

Seen Parse(std::string_view text, std::size_t step) {
  Seen seen;
  weir::http::EventParser parser(kLargest);
  for (std::size_t at = 0; at < text.size() && !seen.too_large; at += step) {
    const auto fed =
        parser.Feed(text.substr(at, step), [&](std::string_view id, std::string_view type, std::string_view data) {
          Require(id.size() + data.size() <= 2 * kLargest.count() && !type.empty());
          seen.events.push_back(std::string(id) + '\n' + std::string(type) + '\n' + std::string(data));
          return true;
        });
    Require(!fed || *fed);
    seen.too_large = !fed;
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Seen whole = Parse(text, size + 1);
  const Seen pieces = Parse(text, size == 0 ? 1 : 1 + data[0] % 17);
  Require(whole.events == pieces.events && whole.too_large == pieces.too_large);
  return 0;
}
