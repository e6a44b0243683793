#include "store/job_store_log.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "os/file.h"

namespace weir::store {
namespace {

// https://www.sqlite.org/fileformat2.html#walformat
constexpr std::size_t kHead = 32;
constexpr std::size_t kFrameHead = 24;
constexpr std::uint32_t kMagicLittle = 0x377f0682;
constexpr std::uint32_t kMagicBig = 0x377f0683;

std::uint32_t Number(std::string_view bytes, std::size_t at, bool big = true) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + (big ? i : 3 - i)]));
    number = (number << 8U) | byte;
  }
  return number;
}

struct Sum {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  bool operator==(const Sum&) const = default;
  static Sum At(std::string_view bytes, std::size_t at) { return {Number(bytes, at), Number(bytes, at + 4)}; }
  void Add(std::string_view bytes, bool big) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first += Number(bytes, at, big) + second;
      second += Number(bytes, at + 4, big) + first;
    }
  }
};

}  // namespace

Result<std::optional<std::string>> FindLogDamage(int log) {
  WEIR_ASSIGN(const std::string head, os::ReadPrefix(log, 0, Bytes(kHead)));
  // A head that was never flushed: nothing behind it was either.
  if (head.size() < kHead || std::ranges::all_of(head, [](char c) { return c == 0; })) {
    return std::nullopt;
  }
  const std::uint32_t magic = Number(head, 0);
  const bool big = magic == kMagicBig;
  Sum sum;
  sum.Add(std::string_view(head).substr(0, kHead - 8), big);
  const std::size_t page = Number(head, 8);
  if ((magic != kMagicLittle && magic != kMagicBig) || sum != Sum::At(head, kHead - 8) || page < 512 ||
      page > 65536) {
    return "the head of its log is broken";
  }

  const std::string_view salts = std::string_view(head).substr(16, 8);
  const std::size_t size = kFrameHead + page;
  bool broken = false;          // some frame before this one
  bool follows_commit = false;  // the frame before this one, itself behind the break, ended a transaction
  bool chained = false;         // and all since then add up, each with the one before
  for (std::uint64_t index = 0, bad = 0;; ++index) {
    WEIR_ASSIGN(const std::string frame, os::ReadPrefix(log, kHead + index * size, Bytes(size)));
    if (frame.size() < size) {
      return std::nullopt;
    }
    const std::string_view bytes = frame;
    const Sum stored = Sum::At(bytes, 16);
    const bool ours = bytes.substr(8, 8) == salts;  // others are left from an earlier round of the log
    if (ours) {
      sum.Add(bytes.substr(0, 8), big);
      sum.Add(bytes.substr(kFrameHead), big);
    }
    const bool whole = ours && sum == stored;
    const bool commit = ours && Number(bytes, 4) != 0;
    if (!whole && !broken) {
      broken = true;
      bad = index;
    } else if (broken) {
      chained = whole && (follows_commit || chained);
      if (chained && commit) {
        return "page " + std::to_string(bad + 1) + " of its log is broken, and changes follow behind it";
      }
    }
    follows_commit = broken && commit;
    sum = stored;  // what the next frame was written behind
  }
}

}  // namespace weir::store
