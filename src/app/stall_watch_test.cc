#include "app/stall_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>

namespace weir::app {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;

// Urgent data of a socket are POLLPRI as well; reading them stands for the poll that takes an event of the kernel's.
class StallWatchTest : public ::testing::Test {
 protected:
  bool Until(const std::function<bool()>& done) {
    for (int i = 0; i < 500 && !done(); ++i) {
      loop_.run_for(milliseconds(10));
      loop_.restart();
    }
    return done();
  }

  boost::asio::io_context loop_;
};

TEST_F(StallWatchTest, EveryEventIsHeardThoughTheWaitHasTakenIt) {
  tcp::acceptor acceptor(loop_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  tcp::socket kernel(loop_);
  kernel.connect(acceptor.local_endpoint());
  tcp::socket end = acceptor.accept();
  int heard = 0;
  const StallWatch watch(loop_, os::StallTrigger(os::UniqueFd(::dup(end.native_handle()))), [&] { ++heard; });
  for (int event = 1; event <= 3; ++event) {
    boost::asio::post(loop_, [&] {
      kernel.send(boost::asio::buffer("!", 1), tcp::socket::message_out_of_band);
      pollfd urgent{end.native_handle(), POLLPRI, 0};
      ASSERT_EQ(::poll(&urgent, 1, 10'000), 1);
      // Behind the loop's next poll, and before the handler that it calls.
      boost::asio::post(loop_, [&] {
        char taken = 0;
        EXPECT_EQ(end.receive(boost::asio::buffer(&taken, 1), tcp::socket::message_out_of_band), 1U);
      });
    });
    EXPECT_TRUE(Until([&] { return heard == event; })) << heard;
  }
}

TEST_F(StallWatchTest, ATriggerThatIsGoneEndsTheWatch) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  os::UniqueFd reader(ends[0]);
  int heard = 0;
  const StallWatch watch(loop_, os::StallTrigger(os::UniqueFd(ends[1])), [&] { ++heard; });
  loop_.run_for(milliseconds(20));
  EXPECT_FALSE(loop_.stopped());
  reader.Close();
  EXPECT_TRUE(Until([&] { return loop_.run_for(milliseconds(1)), loop_.stopped(); }));
  EXPECT_EQ(heard, 0);
}

TEST_F(StallWatchTest, NobodyIsCalledAfterItsEnd) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  os::UniqueFd reader(ends[0]);
  {
    const StallWatch watch(loop_, os::StallTrigger(os::UniqueFd(ends[1])), [] { ADD_FAILURE(); });
    loop_.run_for(milliseconds(5));
  }
  reader.Close();
  loop_.run_for(milliseconds(20));
}

}  // namespace
}  // namespace weir::app
