// Bytes: an amount of memory or disk, as a type of its own. Not a buffer and not an offset type.
// Values are whole bytes, 0 to 2^63-1 in practice. Subtraction stops at zero, because every amount
// in this program is "how much is left" or "how much is used" and neither can be negative.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(std::uint64_t count) : count_(count) {}

  static constexpr Bytes Kib(std::uint64_t n) { return Bytes(n << 10U); }
  static constexpr Bytes Mib(std::uint64_t n) { return Bytes(n << 20U); }
  static constexpr Bytes Gib(std::uint64_t n) { return Bytes(n << 30U); }
  // From a fractional number of MiB, as forecasts produce them; below zero counts as zero.
  static constexpr Bytes FromMib(double mib) {
    return mib <= 0 ? Bytes() : Bytes(static_cast<std::uint64_t>(mib * 1048576.0));
  }

  [[nodiscard]] constexpr std::uint64_t count() const { return count_; }
  [[nodiscard]] constexpr double mib() const { return static_cast<double>(count_) / 1048576.0; }

  constexpr auto operator<=>(const Bytes&) const = default;
  constexpr Bytes& operator+=(Bytes other) {
    count_ += other.count_;
    return *this;
  }
  constexpr Bytes& operator-=(Bytes other) {
    count_ = other.count_ >= count_ ? 0 : count_ - other.count_;
    return *this;
  }
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return a += b; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return a -= b; }
  // Scales by a factor in [0, 1000], as safety margins do.
  friend constexpr Bytes operator*(Bytes a, double factor) {
    return Bytes(static_cast<std::uint64_t>(static_cast<double>(a.count_) * factor));
  }

 private:
  std::uint64_t count_ = 0;
};

// "236.4 MiB", "1.5 GiB", "900 B": one decimal from MiB upwards, for people. Scripts get count().
std::string ToString(Bytes bytes);

// Reads "256M", "1.5G", "300MiB", "65536", "64k". K, M, G, T are powers of 1024.
// Errors: bad_parameters when it is not a number with such a suffix, negative, or above 2^53 bytes.
Result<Bytes> ParseBytes(std::string_view text);

}  // namespace weir
