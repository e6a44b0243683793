#include "stream/drain.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <utility>

namespace weir::stream {

std::span<char> Chunk::Get() {
  if (memory_.empty()) {
    memory_.resize(static_cast<std::size_t>(size_.count()));
  }
  return memory_;
}

// Held by the pending handler as well, so that a sink may destroy its Drain.
struct Drain::State : std::enable_shared_from_this<Drain::State> {
  State(boost::asio::io_context& loop, os::UniqueFd given, std::shared_ptr<Chunk> buffer, Sink to, End at_end)
      : descriptor(loop),
        fd(std::move(given)),
        chunk(std::move(buffer)),
        sink(std::move(to)),
        end(std::move(at_end)) {}

  Status Start() {
    boost::system::error_code error;
    if (descriptor.assign(fd.get(), error)) {
      ended = true;
      return Fail(SystemError("cannot watch a pipe", error.value()));
    }
    static_cast<void>(fd.release());
    if (descriptor.non_blocking(true, error)) {
      Close();
      return Fail(SystemError("cannot make a pipe non-blocking", error.value()));
    }
    Wait();
    return {};
  }

  void Wait() {
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            if (!self->ended && !error) {
                              self->Ready();
                            }
                          });
  }

  // One chunk for one readiness: another descriptor gets its turn in between, however fast this one is.
  void Ready() {
    const std::span<char> memory = chunk->Get();
    boost::system::error_code error;
    const std::size_t size = descriptor.read_some(boost::asio::buffer(memory.data(), memory.size()), error);
    if (error == boost::asio::error::would_block || error == boost::asio::error::interrupted) {
      Wait();
      return;
    }
    if (error) {
      Close();
      const End tell = std::exchange(end, nullptr);
      if (tell) {
        if (error == boost::asio::error::eof) {
          tell({});
        } else {
          tell(Fail(SystemError("cannot read a pipe", error.value())));
        }
      }
      return;
    }
    bytes += size;
    if (sink) {
      sink(std::string_view(memory.data(), size));
    }
    if (!ended) {
      Wait();
    }
  }

  void Close() {
    ended = true;
    boost::system::error_code ignored;
    ignored = descriptor.close(ignored);
    fd.Close();
  }

  boost::asio::posix::stream_descriptor descriptor;
  os::UniqueFd fd;
  std::shared_ptr<Chunk> chunk;
  Sink sink;
  End end;
  bool ended = false;
  std::uint64_t bytes = 0;
};

Drain::Drain(boost::asio::io_context& loop, os::UniqueFd fd, std::shared_ptr<Chunk> chunk, Sink sink, End end)
    : state_(std::make_shared<State>(loop, std::move(fd), std::move(chunk), std::move(sink), std::move(end))) {}

Drain::~Drain() { Cancel(); }

Status Drain::Start() { return state_->Start(); }

void Drain::Cancel() {
  if (state_) {
    state_->Close();
  }
}

bool Drain::ended() const { return state_->ended; }
std::uint64_t Drain::bytes() const { return state_->bytes; }

}  // namespace weir::stream
