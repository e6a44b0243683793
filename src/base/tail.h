// Tail: the last N bytes of a stream that may never end, such as a child's stderr. Not a log: what
// falls off the front is gone, and counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weir {

// One thread. Memory is bounded by the capacity given at construction, allocated on first use.
class Tail {
 public:
  explicit Tail(Bytes capacity) : capacity_(static_cast<std::size_t>(capacity.count())) {}

  void Append(std::string_view data);
  // The kept bytes, oldest first. Starts at a line when something was dropped and a newline is kept.
  [[nodiscard]] std::string Text() const;
  [[nodiscard]] std::uint64_t total_bytes() const { return total_; }
  [[nodiscard]] std::uint64_t dropped_bytes() const { return total_ - buffer_.size(); }

 private:
  std::size_t capacity_;
  std::size_t head_ = 0;  // where the oldest byte is, once the buffer is full
  std::string buffer_;
  std::uint64_t total_ = 0;
  char last_dropped_ = '\n';  // tells whether the oldest kept byte starts a line
};

}  // namespace weir
