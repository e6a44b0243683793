#include "app/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>

namespace weir::app {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

// A service manager's end of the conversation.
class Manager {
 public:
  explicit Manager(const std::string& address) : address_(address), fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    address.copy(name.sun_path, sizeof(name.sun_path) - 1);
    auto size = static_cast<socklen_t>(sizeof(name));
    if (address.front() == '@') {
      name.sun_path[0] = '\0';
      size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    }
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() {
    if (address_.front() == '/') ::unlink(address_.c_str());
  }
  // The next message that is there already; "" when none is.
  std::string Heard() {
    std::array<char, 4096> text{};
    const ssize_t size = ::recv(fd_.get(), text.data(), text.size(), MSG_DONTWAIT);
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

 private:
  std::string address_;
  os::UniqueFd fd_;
};

void Set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

class Notify : public testing::TestWithParam<const char*> {
 protected:
  std::string address_ = std::string(GetParam()) + "weir-notify-" + std::to_string(::getpid());
  Manager manager_{address_};
};

TEST_P(Notify, EachMessageArrivesWhole) {
  Set("NOTIFY_SOCKET", address_);
  const auto notifier = Notifier::FromEnvironment();
  EXPECT_TRUE(notifier.connected());
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr) << "children must not speak for us";
  notifier.Ready("listening on\nREADY=0");
  EXPECT_EQ(manager_.Heard(), "READY=1\nSTATUS=listening on\\nREADY=0") << "no second line by what is told";
  notifier.Status("3 jobs");
  EXPECT_EQ(manager_.Heard(), "STATUS=3 jobs");
  notifier.Watchdog();
  EXPECT_EQ(manager_.Heard(), "WATCHDOG=1");
  notifier.Reloading();
  EXPECT_THAT(manager_.Heard(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"));
  notifier.Stopping("bye");
  EXPECT_EQ(manager_.Heard(), "STOPPING=1\nSTATUS=bye");
  notifier.ExtendTimeout(std::chrono::seconds(30));
  EXPECT_EQ(manager_.Heard(), "EXTEND_TIMEOUT_USEC=30000000");
}
INSTANTIATE_TEST_SUITE_P(Addresses, Notify, testing::Values("@", "/tmp/"),
                         [](const auto& chosen) { return chosen.index == 0 ? "Abstract" : "File"; });

TEST(NotifyAlone, WithoutAManagerNothingHappens) {
  ::unsetenv("NOTIFY_SOCKET");
  Set("WATCHDOG_USEC", "1000000");
  const auto notifier = Notifier::FromEnvironment();
  EXPECT_FALSE(notifier.connected());
  EXPECT_FALSE(notifier.WatchdogPeriod());
  notifier.Ready("x");
  Set("NOTIFY_SOCKET", "/nonexistent/socket");
  Notifier::FromEnvironment().Ready("nobody hears this, and that is fine");
}

TEST(NotifyAlone, TheWatchdogIsFedThriceAPeriodAndOnlyWhenItIsOurs) {
  const auto period = [](const std::string& usec, const std::string& pid) {
    Set("NOTIFY_SOCKET", "@weir-nobody");
    Set("WATCHDOG_USEC", usec);
    Set("WATCHDOG_PID", pid);
    return Notifier::FromEnvironment().WatchdogPeriod();
  };
  const auto own = std::to_string(::getpid());
  EXPECT_EQ(period("30000000", own), std::chrono::seconds(10));
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
  EXPECT_EQ(period("30000000", ""), std::chrono::seconds(10));
  EXPECT_FALSE(period("30000000", "1"));
  EXPECT_FALSE(period("", own));
  EXPECT_FALSE(period("0", own));
  EXPECT_FALSE(period("soon", own));
  EXPECT_EQ(period("18446744073709551615", own), std::chrono::hours(8));
}

class Activation : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(socket_);
    Set("LISTEN_FDNAMES", "weir.socket");
  }
  static void Offer(const std::string& count, const std::string& pid) {
    Set("LISTEN_FDS", count);
    Set("LISTEN_PID", pid);
  }
  os::UniqueFd socket_{::socket(AF_INET, SOCK_STREAM, 0)};
  std::string own_ = std::to_string(::getpid());
};

TEST_F(Activation, TheSocketIsTakenOverAndTheVariablesAreGone) {
  ASSERT_EQ(::listen(socket_.get(), 1), 0);
  Offer("1", own_);
  const int number = socket_.release();
  const auto taken = InheritedListener(number);
  ASSERT_TRUE(taken) << Describe(taken.error());
  EXPECT_EQ(taken->get(), number);
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) {
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  }
  const auto again = InheritedListener(number);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->valid());
}

TEST_F(Activation, WhatIsForSomebodyElseIsLeftAlone) {
  ASSERT_EQ(::listen(socket_.get(), 1), 0);
  for (const auto& [count, pid] :
       {std::pair<std::string, std::string>{"1", "1"}, {"1", ""}, {"0", own_}, {"x", own_}}) {
    Offer(count, pid);
    const auto taken = InheritedListener(socket_.get());
    ASSERT_TRUE(taken);
    EXPECT_FALSE(taken->valid()) << count << " " << pid;
  }
}

TEST_F(Activation, MoreThanOneOrOneThatDoesNotListenIsRefused) {
  Offer("1", own_);
  EXPECT_EQ(InheritedListener(socket_.get()).error().code, ErrorCode::kBadParameters);
  Offer("2", own_);
  const auto two = InheritedListener(700);
  EXPECT_EQ(two.error().code, ErrorCode::kBadParameters);
  EXPECT_THAT(two.error().detail, HasSubstr("2 sockets"));
}

}  // namespace
}  // namespace weir::app
