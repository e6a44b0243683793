#include "http/range.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace weir::http {
namespace {

// If-None-Match compares weakly: W/"x" is "x".
bool IsListed(std::string_view list, std::string_view etag) {
  if (Trim(list) == "*") return true;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view one = Trim(list.substr(0, comma));
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag) return true;
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return false;
}

struct Wish {
  std::optional<std::uint64_t> first;  // nullopt: the last `last` bytes
  std::optional<std::uint64_t> last;   // nullopt: to the end
};

std::optional<Wish> ParseRange(std::string_view header) {
  constexpr std::string_view kUnit = "bytes=";
  if (!EqualsIgnoreCase(header.substr(0, kUnit.size()), kUnit)) return std::nullopt;
  const std::string_view range = Trim(header.substr(kUnit.size()));
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view from = range.substr(0, dash);
  const std::string_view to = range.substr(dash + 1);
  const Wish wish{.first = ParseUnsigned(from), .last = ParseUnsigned(to)};
  if ((!from.empty() && !wish.first) || (!to.empty() && !wish.last) || (from.empty() && to.empty()))
    return std::nullopt;
  if (wish.first && wish.last && *wish.last < *wish.first) return std::nullopt;
  return wish;
}

}  // namespace

FilePart ChoosePart(const Request& request, Bytes size, std::string_view etag) {
  const std::uint64_t whole = size.count();
  const std::string* seen = request.Header("if-none-match");
  if (seen != nullptr && IsListed(*seen, etag)) return {.status = 304};
  const FilePart everything{.status = 200, .first = 0, .count = whole};
  const std::string* header = request.Header("range");
  if (header == nullptr || request.method != Method::kGet) return everything;
  const std::string* condition = request.Header("if-range");
  if (condition != nullptr && Trim(*condition) != etag) return everything;
  const auto wish = ParseRange(*header);
  if (!wish) return everything;
  if (!wish->first) {
    if (*wish->last == 0 || whole == 0) return {.status = 416};
    const std::uint64_t count = std::min(*wish->last, whole);
    return {.status = 206, .first = whole - count, .count = count};
  }
  if (*wish->first >= whole) return {.status = 416};
  const std::uint64_t last = std::min(wish->last.value_or(whole - 1), whole - 1);
  return {.status = 206, .first = *wish->first, .count = last - *wish->first + 1};
}

}  // namespace weir::http
