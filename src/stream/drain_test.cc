#include "stream/drain.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "os/spawn.h"

namespace weir::stream {
namespace {

// The writing end of a pipe as a C stream, unbuffered.
class Writer {
 public:
  explicit Writer(os::UniqueFd fd) : file_(fdopen(fd.release(), "w")) { setvbuf(file_, nullptr, _IONBF, 0); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { Close(); }
  void Put(std::string_view text) { ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file_), text.size()); }
  void Close() {
    if (file_ != nullptr) {
      std::fclose(std::exchange(file_, nullptr));
    }
  }

 private:
  std::FILE* file_;
};

struct Ends {
  Ends() {
    auto pipe = os::MakePipe();
    EXPECT_TRUE(pipe);
    writer = std::make_unique<Writer>(std::move(pipe->write_end));
    read_end = std::move(pipe->read_end);
  }
  boost::asio::io_context loop;
  std::shared_ptr<Chunk> chunk = std::make_shared<Chunk>(Bytes(1000));
  os::UniqueFd read_end;
  std::unique_ptr<Writer> writer;
};

TEST(Drain, HandsEverythingOverInOrderAndTellsTheEndOnce) {
  Ends s;
  std::string seen;
  std::size_t largest = 0;
  int ends = 0;
  Drain drain(
      s.loop, std::move(s.read_end), s.chunk,
      [&](std::string_view data) {
        seen += data;
        largest = std::max(largest, data.size());
      },
      [&](const Status& status) {
        EXPECT_TRUE(status);
        ++ends;
      });
  std::string sent;
  for (int i = 0; i < 3000; ++i) {
    sent += std::to_string(i) + " ";
  }
  s.writer->Put(sent);
  s.writer->Close();
  ASSERT_TRUE(drain.Start());
  EXPECT_TRUE(seen.empty()) << "never from inside Start";
  s.loop.run();
  EXPECT_EQ(seen, sent);
  EXPECT_LE(largest, 1000U);
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(drain.bytes(), sent.size());
  EXPECT_TRUE(drain.ended());
}

TEST(Drain, ASlowSinkStopsTheWriter) {
  Ends s;
  s.chunk = std::make_shared<Chunk>(Bytes::Kib(4));
  std::atomic<std::size_t> written = 0;
  std::size_t read = 0;
  std::size_t furthest_ahead = 0;
  Drain drain(
      s.loop, std::move(s.read_end), s.chunk,
      [&](std::string_view data) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        read += data.size();
        const std::size_t now = written.load();
        furthest_ahead = std::max(furthest_ahead, now > read ? now - read : 0);
      },
      [](const Status&) {});
  ASSERT_TRUE(drain.Start());
  std::jthread source([&] {
    const std::string block(4096, 'x');
    for (int i = 0; i < 100; ++i) {
      s.writer->Put(block);
      written += block.size();
    }
    s.writer->Close();
  });
  s.loop.run();
  EXPECT_EQ(read, 100U * 4096U);
  EXPECT_LE(furthest_ahead, 80U * 1024U) << "more than one pipe was buffered";
}

TEST(Drain, MayBeDestroyedByItsSink) {
  Ends s;
  int calls = 0;
  std::optional<Drain> drain;
  drain.emplace(
      s.loop, std::move(s.read_end), s.chunk,
      [&](std::string_view) {
        ++calls;
        drain.reset();
      },
      [](const Status&) { FAIL() << "told the end after destruction"; });
  s.writer->Put(std::string(5000, 'x'));
  ASSERT_TRUE(drain->Start());
  s.loop.run();
  EXPECT_EQ(calls, 1);
}

TEST(Drain, CancelIsSilent) {
  Ends s;
  Drain drain(
      s.loop, std::move(s.read_end), s.chunk, [](std::string_view) { FAIL() << "read after Cancel"; },
      [](const Status&) { FAIL() << "told the end after Cancel"; });
  ASSERT_TRUE(drain.Start());
  s.writer->Put("x");
  drain.Cancel();
  s.loop.run();
  EXPECT_TRUE(drain.ended());
}

TEST(Drain, ABadDescriptorIsAnError) {
  boost::asio::io_context loop;
  Drain drain(loop, os::UniqueFd(-1), std::make_shared<Chunk>(), [](std::string_view) {}, [](const Status&) {});
  EXPECT_FALSE(drain.Start());
  EXPECT_TRUE(drain.ended());
}

TEST(Drain, TwoDrainsShareOneChunkAndTakeTurns) {
  boost::asio::io_context loop;
  const auto chunk = std::make_shared<Chunk>(Bytes(100));
  auto first = os::MakePipe();
  auto second = os::MakePipe();
  ASSERT_TRUE(first && second);
  Writer a(std::move(first->write_end));
  Writer b(std::move(second->write_end));
  a.Put(std::string(20000, 'a'));
  b.Put(std::string(20000, 'b'));
  a.Close();
  b.Close();
  std::string order;
  const auto sink = [&](std::string_view data) {
    EXPECT_EQ(data.find_first_not_of(data.front()), std::string_view::npos) << "chunks are mixed up";
    order += data.front();
  };
  Drain drain_a(loop, std::move(first->read_end), chunk, sink, [](const Status&) {});
  Drain drain_b(loop, std::move(second->read_end), chunk, sink, [](const Status&) {});
  ASSERT_TRUE(drain_a.Start());
  ASSERT_TRUE(drain_b.Start());
  loop.run();
  EXPECT_EQ(order.size(), 400U);
  EXPECT_LT(order.find('b'), 10U) << "one drain starved the other";
  EXPECT_LT(order.find('a'), 10U);
}

}  // namespace
}  // namespace weir::stream
