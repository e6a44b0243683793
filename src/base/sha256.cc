#include "base/sha256.h"

#include <nettle/sha2.h>

namespace weir {

struct Sha256Hasher::State {
  sha256_ctx context;
};

Sha256Hasher::Sha256Hasher() : state_(std::make_unique<State>()) { ::sha256_init(&state_->context); }
Sha256Hasher::~Sha256Hasher() = default;

void Sha256Hasher::Add(std::string_view part) {
  ::sha256_update(&state_->context, part.size(), reinterpret_cast<const std::uint8_t*>(part.data()));
}

Sha256Digest Sha256Hasher::Digest() {
  Sha256Digest digest{};
  ::sha256_digest(&state_->context, digest.size(), digest.data());
  return digest;
}

Sha256Digest Sha256(std::string_view data) {
  Sha256Hasher hasher;
  hasher.Add(data);
  return hasher.Digest();
}

std::string ToHex(const Sha256Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xFU];
  }
  return text;
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = difference | static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

}  // namespace weir
