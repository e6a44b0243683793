#include "base/bytes.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>

#include "base/text.h"

namespace weir {
namespace {

constexpr std::uint64_t kLargest = std::uint64_t{1} << 53U;

struct Amount {
  std::string_view number;
  std::uint64_t unit = 1;
  bool has_unit = false;
};

std::optional<Amount> Dissect(std::string_view text) {
  const std::size_t end = text.find_first_not_of("0123456789.");
  Amount amount{.number = text.substr(0, end)};
  if (end == std::string_view::npos) {
    return amount;
  }
  const std::string_view suffix = text.substr(end);
  if (suffix.size() != 1 && suffix.substr(1) != "iB") {
    return std::nullopt;
  }
  constexpr std::string_view kUnits = "kmgt";
  const char letter =
      suffix.front() >= 'A' && suffix.front() <= 'Z' ? static_cast<char>(suffix.front() - 'A' + 'a') : suffix.front();
  const std::size_t power = kUnits.find(letter);
  if (power == std::string_view::npos) {
    return std::nullopt;
  }
  amount.unit = std::uint64_t{1} << (10U * (power + 1));
  amount.has_unit = true;
  return amount;
}

}  // namespace

std::string ToString(Bytes bytes) {
  constexpr std::array<std::string_view, 3> kUnits{"MiB", "GiB", "TiB"};
  if (bytes.count() < 1024) {
    return fmt::format("{} B", bytes.count());
  }
  // Each limit is where the smaller unit would round up to 1024 of itself.
  if (const double kib = static_cast<double>(bytes.count()) / 1024.0; kib < 1023.5) {
    return fmt::format("{:.0f} KiB", kib);
  }
  double amount = bytes.mib();
  std::size_t unit = 0;
  while (amount >= 1023.95 && unit + 1 < kUnits.size()) {
    amount /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.1f} {}", amount, kUnits.at(unit));
}

Result<Bytes> ParseBytes(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return Fail(ErrorCode::kBadParameters, fmt::format("{} is not an amount of bytes: {}", Quoted(text), why));
  };
  constexpr std::string_view kForm = "write a number with K, M, G or T, such as 256M or 1.5G";
  const std::optional<Amount> amount = Dissect(text);
  if (!amount) {
    return refuse(kForm);
  }
  if (const auto whole = ParseUnsigned(amount->number)) {
    if (*whole > kLargest / amount->unit) {
      return refuse("it is too large");
    }
    return Bytes(*whole * amount->unit);
  }
  const auto decimal = ParseDecimal(amount->number);
  if (!decimal) {
    return refuse(kForm);
  }
  const double product = *decimal * static_cast<double>(amount->unit);
  if (product > static_cast<double>(kLargest)) {
    return refuse("it is too large");
  }
  if (!amount->has_unit) {
    return refuse("a fraction needs a unit, such as 1.5G");
  }
  return Bytes(static_cast<std::uint64_t>(product));
}

}  // namespace weir
