// SHA-256 (FIPS 180-4), of files and for comparing secrets that are kept as digests. Not a password hash: secrets
// must be long and random.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace weir {

using Sha256Digest = std::array<std::uint8_t, 32>;

Sha256Digest Sha256(std::string_view data);

// The same, of what comes in parts.
class Sha256Hasher {
 public:
  Sha256Hasher();
  Sha256Hasher(const Sha256Hasher&) = delete;
  Sha256Hasher& operator=(const Sha256Hasher&) = delete;
  ~Sha256Hasher();
  void Add(std::string_view part);
  Sha256Digest Digest();  // once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 64 hexadecimal digits in lower case.
std::string ToHex(const Sha256Digest& digest);
// True when equal; takes the same time wherever they differ. Lengths are not a secret.
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace weir
