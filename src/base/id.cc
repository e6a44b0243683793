#include "base/id.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

namespace weir {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kLength = 16;

}  // namespace

std::string NewId() {
  std::random_device random;
  std::string id;
  id.reserve(kLength);
  // Each draw has 32 bits, enough for six characters of five.
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < kLength; ++i) {
    if (i % 6 == 0) {
      bits = random();
    }
    id += kAlphabet[bits % kAlphabet.size()];
    bits /= static_cast<std::uint32_t>(kAlphabet.size());
  }
  return id;
}

bool IsId(std::string_view text) {
  return text.size() == kLength &&
         std::ranges::all_of(text, [](char c) { return kAlphabet.find(c) != std::string_view::npos; });
}

}  // namespace weir
