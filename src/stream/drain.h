// Drain: reads one descriptor to its end in fixed chunks and hands each to a sink, reading on only after the
// sink has returned. Not a queue: nothing is kept between chunks, so a slow sink stops the writer at the other
// end, and memory does not depend on how much is written. Not for regular files, which epoll refuses.
//
// Threads: the one that runs the io_context; sink and end are called from it, never from inside Start.
// A Drain may be destroyed at any moment, also by its own sink; after that neither is called any more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace boost::asio {
class io_context;
}

namespace weir::stream {

// The memory into which drains read: one is enough for all drains of a loop, because its content lives only
// while a sink runs. Allocated on first use. A sink must not run the loop itself.
class Chunk {
 public:
  explicit Chunk(Bytes size = Bytes::Kib(64)) : size_(size) {}
  std::span<char> Get();

 private:
  Bytes size_;
  std::vector<char> memory_;
};

class Drain {
 public:
  using Sink = std::function<void(std::string_view)>;
  // Called once: nothing wrong at end of file, kSystem when reading failed. Not called after Cancel.
  using End = std::function<void(Status)>;

  // Owns `fd`: a pipe, socket or terminal, made non-blocking here. `loop` outlives the Drain.
  Drain(boost::asio::io_context& loop, os::UniqueFd fd, std::shared_ptr<Chunk> chunk, Sink sink, End end);
  ~Drain();
  Drain(Drain&&) noexcept = default;
  Drain& operator=(Drain&&) = delete;
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // Begins to read. Errors: kSystem when the descriptor cannot be watched.
  Status Start();
  // Stops at once and closes the descriptor; what is still in the pipe is lost.
  void Cancel();
  // True after the end was told or Cancel.
  [[nodiscard]] bool ended() const;
  // Handed to the sink so far.
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace weir::stream
