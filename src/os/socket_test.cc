#include "os/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "os/spawn.h"
#include "os/test_support.h"

namespace weir::os {
namespace {

UniqueFd Dial(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

TEST(Socket, ListensOnAnyFreePortAndTakesConnections) {
  const auto listening = ListenTcp("127.0.0.1", 0);
  ASSERT_TRUE(listening);
  const auto here = ListeningEndpoint(listening->get());
  ASSERT_TRUE(here);
  EXPECT_EQ(here->address, "127.0.0.1");
  ASSERT_NE(here->port, 0);
  const auto none = Accept(listening->get());
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value()) << "nobody called";

  const UniqueFd client = Dial(here->port);
  const auto taken = Accept(listening->get());
  ASSERT_TRUE(taken && taken->has_value());
  EXPECT_EQ((*taken)->remote.address, "127.0.0.1");
  EXPECT_NE(static_cast<unsigned>(::fcntl((*taken)->fd.get(), F_GETFD)) & FD_CLOEXEC, 0U);
  EXPECT_NE(static_cast<unsigned>(::fcntl((*taken)->fd.get(), F_GETFL)) & O_NONBLOCK, 0U);
  const auto again = ListenTcp("127.0.0.1", here->port);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kSystem);
  EXPECT_NE(again.error().detail.find("EADDRINUSE"), std::string::npos) << again.error().detail;
}

TEST(Socket, RefusesWhatIsNoAddressAndNoListener) {
  for (const char* address : {"localhost", "", "127.0.0.1:80", "1.2.3", "[::1]"}) {
    const auto refused = ListenTcp(address, 0);
    ASSERT_FALSE(refused) << address;
    EXPECT_EQ(refused.error().code, ErrorCode::kBadParameters);
  }
  const auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  EXPECT_FALSE(ListeningEndpoint(pipe->read_end.get()));
  const auto listening = ListenTcp("127.0.0.1", 0);
  const UniqueFd client = Dial(ListeningEndpoint(listening->get())->port);
  const auto connected = ListeningEndpoint(client.get());
  ASSERT_FALSE(connected) << "connected, not listening";
  EXPECT_EQ(connected.error().code, ErrorCode::kBadParameters);
}

TEST(Socket, TellsAReaderWhoSaidAllFromOneWhoIsGone) {
  const auto listening = ListenTcp("127.0.0.1", 0);
  UniqueFd client = Dial(ListeningEndpoint(listening->get())->port);
  const auto taken = Accept(listening->get());
  ASSERT_TRUE(taken && taken->has_value());
  const int here = (*taken)->fd.get();
  ASSERT_EQ(::write(client.get(), "x", 1), 1);
  EXPECT_EQ(LookAtPeer(here), Peer::kThere);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_TRUE(Eventually([&] { return LookAtPeer(here) == Peer::kSaidAll; }))
      << "also with bytes that nobody has read";
  DiscardOnClose(client.get());
  client.Close();
  EXPECT_TRUE(Eventually([&] { return LookAtPeer(here) == Peer::kGone; }));
}

}  // namespace
}  // namespace weir::os
