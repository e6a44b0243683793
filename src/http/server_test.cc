// The server over real sockets on loopback, with a client that sends bytes as it likes.
#include "http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <thread>

#include "base/sha256.h"
#include "http/client.h"
#include "os/socket.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace weir::http {
namespace {

using boost::asio::awaitable;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using namespace std::chrono_literals;

constexpr auto kPatience = 20s;  // for what must happen; nobody waits that long for what does

class Dialled {
 public:
  explicit Dialled(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  bool Put(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void DoNotBlock() { ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK); }
  std::size_t PutSome(std::string_view bytes) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  void SaidAll() { ::shutdown(fd_.get(), SHUT_WR); }
  void Reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    fd_.Close();
  }
  void Close() { fd_.Close(); }
  [[nodiscard]] bool Readable(std::chrono::milliseconds within) const {
    pollfd state{fd_.get(), POLLIN, 0};
    return ::poll(&state, 1, static_cast<int>(within.count())) > 0;
  }
  // All until the server ends it.
  std::string All() {
    std::string text;
    while (More(text)) {
    }
    return text;
  }
  std::string Until(std::string_view mark) {
    std::string text;
    while (text.find(mark) == std::string::npos && More(text)) {
    }
    return text;
  }
  // The next answer with a Content-Length.
  std::string Answer(bool head = false) {
    while (kept_.find("\r\n\r\n") == std::string::npos && More(kept_)) {
    }
    const std::size_t end = kept_.find("\r\n\r\n");
    if (end == std::string::npos) return std::exchange(kept_, {});
    std::size_t size = end + 4;
    const std::size_t length = kept_.find("Content-Length: ");
    if (!head && length != std::string::npos && length < end) {
      size += std::strtoull(kept_.c_str() + length + 16, nullptr, 10);
    }
    while (kept_.size() < size && More(kept_)) {
    }
    std::string answer = kept_.substr(0, size);
    kept_.erase(0, size);
    return answer;
  }
  [[nodiscard]] bool reset() const { return reset_; }
  // True once the server has ended it.
  bool Ended() {
    std::string text;
    return !More(text);
  }

 private:
  bool More(std::string& text) {
    if (!Readable(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience))) {
      ADD_FAILURE() << "the server says nothing; so far: " << text.substr(0, 300);
      return false;
    }
    char buffer[16384];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got < 0) reset_ = true;
    if (got <= 0) return false;
    text.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  os::UniqueFd fd_;
  bool connected_ = false;
  bool reset_ = false;
  std::string kept_;
};

std::string Get(const std::string& target, const std::string& more = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}
std::string Post(const std::string& body, const std::string& more = {}) {
  return "POST /echo HTTP/1.1\r\nHost: localhost\r\n" + more + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

struct Counts {
  std::atomic<int> started = 0;
  std::atomic<int> finished = 0;
  std::atomic<int> gone = 0;  // frames and sources that were destroyed
  std::atomic<int> at_once = 0;
  std::atomic<int> most_at_once = 0;
  std::atomic<bool> has_secret = false;
};
struct Leaves {
  std::atomic<int>& count;
  explicit Leaves(std::atomic<int>& c) : count(c) {}
  Leaves(const Leaves&) = delete;
  Leaves& operator=(const Leaves&) = delete;
  ~Leaves() { ++count; }
};

class Ticks final : public EventSource {
 public:
  Ticks(Counts& counts, int events, std::chrono::milliseconds pause, std::size_t size)
      : leaves_(counts.gone), left_(events), pause_(pause), size_(size) {}
  awaitable<std::optional<std::string>> Next() override {
    if (left_ == 0) co_return std::nullopt;
    --left_;
    if (pause_.count() > 0) {
      boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, pause_);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    co_return "id: " + std::to_string(left_) + "\nevent: tick\ndata: " + std::string(size_, 'x') + "\n\n";
  }

 private:
  Leaves leaves_;
  int left_;
  std::chrono::milliseconds pause_;
  std::size_t size_;
};

os::UniqueFd FileOf(const std::string& content) {
  os::UniqueFd fd(static_cast<int>(::memfd_create("file", MFD_CLOEXEC)));
  EXPECT_EQ(::write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return fd;
}

std::string Pattern(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

// A loop on a thread of its own, as a daemon has it on its first.
class Http : public testing::Test {
 protected:
  void TearDown() override { End(); }

  void Start(ServerSettings settings = {}, const Clock* clock = nullptr) {
    settings.port = 0;
    auto made = Server::Listen(*loop_, clock == nullptr ? clock_ : *clock, settings,
                               [this](Request r) { return Handle(std::move(r)); });
    ASSERT_TRUE(made) << made.error().detail;
    server_ = *std::move(made);
    port_ = server_->port();
    work_.emplace(loop_->get_executor());
    thread_ = std::thread([this] { loop_->run(); });
  }
  void End() {
    if (!thread_.joinable()) return;
    OnLoop([this] { server_.reset(); });
    work_.reset();
    loop_->stop();
    thread_.join();
    loop_.reset();
  }
  // Runs it there and waits for it.
  void OnLoop(const std::function<void()>& what) {
    std::atomic<bool> done = false;
    boost::asio::post(*loop_, [&] {
      what();
      done = true;
      done.notify_all();
    });
    done.wait(false);
  }
  ServerFigures Figures() {
    ServerFigures figures;
    OnLoop([&] { figures = server_->figures(); });
    return figures;
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(2ms);
    }
    return true;
  }
  Dialled Dial(int receive_buffer = 0) {
    Dialled dialled(port_, receive_buffer);
    EXPECT_TRUE(dialled.connected());
    return dialled;
  }
  std::string Ask(const std::string& bytes) {
    Dialled dialled = Dial();
    dialled.Put(bytes);
    dialled.SaidAll();
    return dialled.All();
  }

  awaitable<Response> Handle(Request request) {
    const Leaves leaves(counts_.gone);
    ++counts_.started;
    const int now = ++counts_.at_once;
    if (now > counts_.most_at_once) counts_.most_at_once = now;
    if (request.Header("authorization") != nullptr || request.Header("x-api-key") != nullptr)
      counts_.has_secret = true;
    Response response;
    const std::string what = request.path.empty() ? std::string() : request.path[0];
    if (what == "slow") {
      boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor,
                                      std::chrono::milliseconds(std::stoi(*request.Query("ms"))));
      co_await timer.async_wait(boost::asio::use_awaitable);
      response.body = "slow";
    } else if (what == "echo") {
      response.status = 201;
      response.body = request.body;
    } else if (what == "who") {
      response.body = request.token_name + " " + std::to_string(request.scopes) + " " + request.remote;
    } else if (what == "big") {
      response.shared_body = big_;
    } else if (what == "empty") {
      response.status = 204;
    } else if (what == "file") {
      response.file = FileBody{.fd = FileOf(file_), .size = Bytes(file_.size() + missing_), .etag = "\"v1\""};
    } else if (what == "events") {
      const auto number = [&](const char* name) { return std::stoi(*request.Query(name)); };
      response.events = std::make_unique<Ticks>(counts_, number("n"), std::chrono::milliseconds(number("ms")),
                                                static_cast<std::size_t>(number("size")));
    } else if (what == "end") {
      server_.reset();
      response.body = "nobody reads this";
    } else if (what == "throw") {
      --counts_.at_once;
      throw std::runtime_error("inner words");
    } else if (what == "missing") {
      response = Problem({.code = ErrorCode::kNotFound, .detail = "no such thing"}, request.target);
    } else {
      response.headers.emplace_back("Content-Type", "text/plain");
      response.body = "hello " + request.target;
    }
    --counts_.at_once;
    ++counts_.finished;
    co_return response;
  }

  SystemClock clock_;
  Counts counts_;
  std::shared_ptr<const std::string> big_ = std::make_shared<const std::string>(Pattern(std::size_t{32} << 20U));
  std::string file_ = Pattern(300000);
  std::size_t missing_ = 0;
  std::unique_ptr<boost::asio::io_context> loop_ = std::make_unique<boost::asio::io_context>(1);
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(Http, AnswersAndKeepsTheConnection) {
  Start();
  Dialled dialled = Dial();
  for (int i = 0; i < 3; ++i) {
    dialled.Put(Get("/a?b=" + std::to_string(i)));
    const std::string answer = dialled.Answer();
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 OK\r\nDate: "),
                              HasSubstr("GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n"),
                              EndsWith("hello /a?b=" + std::to_string(i)), Not(HasSubstr("Connection:"))));
  }
  dialled.Put(Get("/a", "Connection: close\r\n"));
  EXPECT_THAT(dialled.Answer(), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(dialled.Ended());
  EXPECT_EQ(Figures().requests, 4U);
  EXPECT_EQ(Figures().accepted, 1U);
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0 && Figures().in_flight == 0; }));
}

TEST_F(Http, OldClientsAndBareMethodsAreServed) {
  Start();
  EXPECT_THAT(Ask("GET / HTTP/1.0\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Connection: close"), EndsWith("hello /")));
  Dialled old = Dial();
  old.Put("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(old.Answer(), HasSubstr("Connection: keep-alive"));
  old.Put("HEAD /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(old.Answer(true), AllOf(HasSubstr("Content-Length: 33554432"), EndsWith("\r\n\r\n")));
  old.Put("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(old.Answer(),
              AllOf(StartsWith("HTTP/1.1 204"), HasSubstr("Allow: GET"), Not(HasSubstr("Content-Length"))));
  old.Put(Get("/empty"));
  EXPECT_THAT(old.Answer(), AllOf(StartsWith("HTTP/1.1 204"), Not(HasSubstr("Content-Length"))));
  old.Put("\r\n" + Get("/after-an-empty-line"));
  EXPECT_THAT(old.Answer(), StartsWith("HTTP/1.1 200"));
  old.Put(Get("/throw"));
  EXPECT_THAT(old.Answer(),
              AllOf(StartsWith("HTTP/1.1 500"), HasSubstr("problems/internal"), Not(HasSubstr("inner words"))));
  old.Put(Get("/missing"));
  EXPECT_THAT(old.Answer(), AllOf(StartsWith("HTTP/1.1 404 Not Found"), HasSubstr("application/problem+json"),
                                  HasSubstr("\"instance\":\"/missing\"")));
}

TEST_F(Http, PipelinedRequestsAreAnsweredInOrderOneAtATime) {
  Start();
  std::string all;
  for (int i = 0; i < 500; ++i)
    all += i % 100 == 0 ? Get("/slow?ms=5")
           : i % 3 == 0 ? Post("body " + std::to_string(i))
                        : Get("/" + std::to_string(i));
  Dialled dialled = Dial();
  std::thread writer([&] { dialled.Put(all); });
  for (int i = 0; i < 500; ++i) {
    const std::string expected = i % 100 == 0 ? "slow"
                                 : i % 3 == 0 ? "body " + std::to_string(i)
                                              : "hello /" + std::to_string(i);
    ASSERT_THAT(dialled.Answer(), EndsWith("\r\n\r\n" + expected));
  }
  writer.join();
  EXPECT_EQ(counts_.most_at_once, 1);
}

TEST_F(Http, RequestsComeInPieces) {
  Start();
  Dialled dialled = Dial();
  const std::string all = Post("hello") +
                          "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                          "chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n" +
                          Get("/x");
  for (const char c : all) {
    ASSERT_TRUE(dialled.Put({&c, 1}));
    if (std::rand() % 8 == 0) std::this_thread::sleep_for(100us);
  }
  EXPECT_THAT(dialled.Answer(), EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(dialled.Answer(), EndsWith("\r\n\r\nabcdefg"));
  EXPECT_THAT(dialled.Answer(), EndsWith("\r\n\r\nhello /x"));
}

TEST_F(Http, AHalfClosedReaderGetsItsAnswer) {
  Start();
  EXPECT_THAT(Ask(Get("/slow?ms=150")), EndsWith("slow"));
}

TEST_F(Http, WhatCannotBeReadIsRefusedAndTheConnectionEnds) {
  Start();
  const std::string host = "Host: localhost\r\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"hello\r\n\r\n", "400"},
      {"GET /\r\n\r\n", "400"},
      {"GET / HTTP/2.0\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + host + "\r\n", "400"},
      {"GET /../x HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"GET /%00 HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"GET http://localhost/ HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"GET / HTTP/1.1\r\nBad Header: x\r\n" + host + "\r\n", "400"},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "501"},
      {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"BREW / HTTP/1.1\r\n" + host + "\r\n", "501"},
      {"TRACE / HTTP/1.1\r\n" + host + "\r\n", "501"},
      {"CONNECT localhost:1 HTTP/1.1\r\n" + host + "\r\n", "501"},
      {"POST /echo HTTP/1.1\r\n" + host + "Expect: tea\r\nContent-Length: 1\r\n\r\nx", "417"},
  };
  for (const auto& [bytes, status] : cases) {
    Dialled dialled = Dial();
    dialled.Put(bytes);
    const std::string answer = dialled.All();
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 " + status), HasSubstr("application/problem+json"),
                              HasSubstr("Connection: close")))
        << bytes;
    EXPECT_FALSE(dialled.reset());
  }
  EXPECT_EQ(counts_.started, 0);
}

TEST_F(Http, SizesAreLimited) {
  ServerSettings settings;
  settings.largest_header = Bytes::Kib(4);
  settings.largest_body = Bytes(1000);
  Start(settings);
  EXPECT_THAT(Ask(Get("/", "X: " + std::string(3900, 'x') + "\r\n")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Get("/", "X: " + std::string(4200, 'x') + "\r\n")), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask(Get("/" + std::string(5000, 'x'))), StartsWith("HTTP/1.1 431"));
  std::string many;
  for (int i = 0; i < 101; ++i) many += "A: b\r\n";
  EXPECT_THAT(Ask(Get("/", many)), StartsWith("HTTP/1.1 431"));
  {  // line by line, so that no single piece is large
    Dialled dialled = Dial();
    dialled.Put("GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 60; ++i) {
      if (!dialled.Put("X: " + std::string(90, 'x') + "\r\n")) break;
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_THAT(dialled.All(), StartsWith("HTTP/1.1 431"));
  }
  EXPECT_THAT(Ask(Post(std::string(1000, 'x'))), StartsWith("HTTP/1.1 201"));
  {  // refused by its length alone
    Dialled dialled = Dial();
    dialled.Put("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_THAT(dialled.All(), AllOf(StartsWith("HTTP/1.1 413"), HasSubstr("request-too-large")));
  }
  std::string chunks = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunks += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_THAT(Ask(chunks), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(
      Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(9000, 'x')),
      StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " +
                  std::string(9000, 'x')),
              StartsWith("HTTP/1.1 4"));
  {  // an upload that does not stop for the refusal still gets to read it
    Dialled dialled = Dial();
    dialled.Put(Post(std::string(500000, 'x')));
    EXPECT_THAT(dialled.All(), StartsWith("HTTP/1.1 413"));
    EXPECT_FALSE(dialled.reset());
  }
}

TEST_F(Http, AnExpectationIsMetBeforeTheBody) {
  Start();
  Dialled dialled = Dial();
  dialled.Put("POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(dialled.Answer(), "HTTP/1.1 100 Continue\r\n\r\n");
  dialled.Put("hello");
  EXPECT_THAT(dialled.Answer(), AllOf(StartsWith("HTTP/1.1 201"), EndsWith("hello")));
}

TEST_F(Http, SlowWritersAreCutOff) {
  ServerSettings settings;
  settings.header_time = 200ms;
  settings.body_time = 200ms;
  settings.idle_time = 300ms;
  Start(settings);
  Dialled silent = Dial();
  Dialled dripping = Dial();
  Dialled idle = Dial();
  Dialled bodiless = Dial();
  idle.Put(Get("/"));
  EXPECT_THAT(idle.Answer(), StartsWith("HTTP/1.1 200"));
  bodiless.Put("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx");
  const std::string slow = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + std::string(1000, 'x');
  for (std::size_t i = 0; i < slow.size() && !dripping.Readable(0ms); ++i) {
    dripping.Put(slow.substr(i, 1));
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_THAT(dripping.All(), AllOf(StartsWith("HTTP/1.1 408"), HasSubstr("timed-out")));
  EXPECT_THAT(bodiless.All(), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(silent.All(), IsEmpty());
  EXPECT_THAT(idle.All(), IsEmpty());
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
  EXPECT_EQ(counts_.started, 1);
}

TEST_F(Http, SlowReadersAreCutOffAndPatientOnesServed) {
  ServerSettings settings;
  settings.write_time = 300ms;
  Start(settings);
  Dialled stuck = Dial(4096);
  stuck.Put(Get("/big"));
  Dialled patient = Dial();
  patient.Put(Get("/big"));
  const std::string answer = patient.Answer();
  EXPECT_EQ(answer.substr(answer.find("\r\n\r\n") + 4), *big_);
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 1; }));
}

TEST_F(Http, ConnectionsBeyondTheCapAreClosedAtOnce) {
  ServerSettings settings;
  settings.most_connections = 64;
  Start(settings);
  std::vector<std::unique_ptr<Dialled>> held;
  std::uint64_t most = 0;
  for (int i = 0; i < 2000; ++i) {
    auto dialled = std::make_unique<Dialled>(port_);
    ASSERT_TRUE(dialled->connected());
    if (i < 64) {
      held.push_back(std::move(dialled));
      if (i == 63) {
        ASSERT_TRUE(Eventually([&] { return Figures().connections == 64; }));
      }
    } else if (i % 100 == 0) {
      EXPECT_TRUE(dialled->Ended());
      most = std::max(most, Figures().connections);
    }
  }
  EXPECT_EQ(most, 64U);
  EXPECT_TRUE(Eventually([&] { return Figures().accepted == 2000; }));
  EXPECT_EQ(Figures().refused, 1936U);
  held[7]->Put(Get("/x"));
  EXPECT_THAT(held[7]->Answer(), EndsWith("hello /x"));
  held.clear();
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
  EXPECT_THAT(Ask(Get("/y")), EndsWith("hello /y"));
}

TEST_F(Http, IdleConnectionsMakeRoomForNewOnes) {
  ServerSettings settings;
  settings.most_connections = 4;
  settings.least_idle = 5s;
  Start(settings);
  Dialled first = Dial();
  ASSERT_TRUE(Eventually([&] { return Figures().connections == 1; }));
  Dialled second = Dial();
  Dialled half = Dial();
  half.Put("GET / HT");
  Dialled busy = Dial();
  busy.Put(Get("/slow?ms=8000"));
  ASSERT_TRUE(Eventually([&] { return Figures().connections == 4 && counts_.started == 1; }));
  EXPECT_TRUE(Dial().Ended()) << "nobody has been idle for long";
  std::this_thread::sleep_for(5100ms);
  Dialled third = Dial();
  EXPECT_TRUE(first.Ended()) << "the longest idle goes first";
  Dialled fourth = Dial();
  EXPECT_TRUE(second.Ended());
  third.Put(Get("/x"));
  EXPECT_THAT(third.Answer(), EndsWith("hello /x"));
  fourth.Put(Get("/y"));
  EXPECT_THAT(fourth.Answer(), EndsWith("hello /y"));
  half.Put("TP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(half.Answer(), EndsWith("hello /"));
  EXPECT_THAT(busy.Answer(), EndsWith("slow"));
  EXPECT_EQ(Figures().refused, 1U);
  EXPECT_EQ(Figures().displaced, 2U);
}

TEST_F(Http, CallersHaveARate) {
  ManualClock still;
  ServerSettings settings;
  settings.requests_per_second = 5;
  Start(settings, &still);
  Dialled dialled = Dial();
  for (int i = 0; i < 8; ++i) {
    dialled.Put(Get("/"));
    const std::string answer = dialled.Answer();
    if (i < 5) {
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    } else {
      EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 429 Too Many Requests"), HasSubstr("Retry-After: 1\r\n"),
                                HasSubstr("\"retry_after_seconds\":1"), Not(HasSubstr("Connection: close"))));
    }
  }
  OnLoop([&] { still.Advance(1s); });
  dialled.Put(Get("/"));
  EXPECT_THAT(dialled.Answer(), StartsWith("HTTP/1.1 200"));
}

TEST_F(Http, RoutesHaveRatesOfTheirOwn) {
  ManualClock still;
  ServerSettings settings;
  settings.route_rates = {ParseRouteRate("POST /v1/jobs 2").value(), ParseRouteRate("* / 6").value()};
  Start(settings, &still);
  Dialled dialled = Dial();
  const auto answered = [&](const std::string& request) {
    dialled.Put(request);
    return dialled.Answer();
  };
  const auto post = [](const std::string& path) {
    return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
  };
  EXPECT_THAT(answered(post("/v1/jobs")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answered(post("/v1/jobs/x/cancel")), StartsWith("HTTP/1.1 200"));  // below it
  EXPECT_THAT(answered(post("/v1/jobs")),
              AllOf(StartsWith("HTTP/1.1 429"), HasSubstr("Retry-After: 1\r\n"), HasSubstr("the 2 requests a second"),
                    HasSubstr("to POST /v1/jobs\"")));
  EXPECT_THAT(answered(post("/v1/jobsx")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answered(Get("/v1/jobs")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answered(Get("/")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answered(Get("/")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answered(Get("/")), StartsWith("HTTP/1.1 429"));  // the seventh that the first rate let through
  OnLoop([&] { still.Advance(1s); });
  EXPECT_THAT(answered(post("/v1/jobs")), StartsWith("HTTP/1.1 200"));
}

TEST_F(Http, ARateForGetIsOneForHead) {
  ManualClock still;
  ServerSettings settings;
  settings.route_rates = {ParseRouteRate("GET /v1/jobs 1").value()};
  Start(settings, &still);
  EXPECT_THAT(Ask(Get("/v1/jobs")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask("HEAD /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 429"));
}

TEST(RouteRate, IsThreeWords) {
  const auto rate = ParseRouteRate("PATCH /a/b%20c 7").value();
  EXPECT_EQ(rate, (RouteRate{.method = "PATCH", .path = {"a", "b c"}, .per_second = 7}));
  EXPECT_TRUE(ParseRouteRate("* / 1")->path.empty());
  for (const char* text : {"", "POST", "POST /x", "post /x 3", "POST x 3", "POST /x 0", "POST /x -1", "POST /x 3.5",
                           "POST /x?y 3", "POST /../x 3", "POST /x 99999999999", "POST /x ", " /x 3"}) {
    const auto refused = ParseRouteRate(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kBadParameters);
  }
}

TEST_F(Http, TokensDecideWhoMayCall) {
  ServerSettings settings;
  settings.tokens = {{.name = "ci", .sha256 = ToHex(Sha256("secret")), .scopes = kRead}};
  Start(settings);
  EXPECT_THAT(Ask(Get("/who")), AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("WWW-Authenticate: Bearer")));
  EXPECT_THAT(Ask(Get("/who", "Authorization: Bearer wrong\r\n")),
              AllOf(StartsWith("HTTP/1.1 401"), Not(HasSubstr("wrong"))));
  EXPECT_EQ(counts_.started, 0);
  EXPECT_THAT(Ask(Get("/who", "Authorization: Bearer secret\r\n")), EndsWith("ci 1 127.0.0.1"));
  EXPECT_THAT(Ask(Get("/who", "X-API-Key: secret\r\n")), EndsWith("ci 1 127.0.0.1"));
  EXPECT_FALSE(counts_.has_secret);
  settings.tokens = {{.name = "new", .sha256 = ToHex(Sha256("other")), .scopes = kAdmin}};
  OnLoop([&] { server_->Reload(settings); });
  EXPECT_THAT(Ask(Get("/who", "X-API-Key: secret\r\n")), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(Ask(Get("/who", "X-API-Key: other\r\n")), EndsWith("new 4 127.0.0.1"));
  // The refused body does not become the next request.
  EXPECT_THAT(Ask(Post(Get("/who", "X-API-Key: other\r\n"))),
              AllOf(StartsWith("HTTP/1.1 401"), Not(HasSubstr("HTTP/1.1 200"))));
}

TEST_F(Http, PagesOfOthersAreRefused) {
  ServerSettings settings;
  settings.origins = {"https://app.example"};
  Start(settings);
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("problems/forbidden")));
  EXPECT_THAT(Ask(Get("/", "Origin: https://evil.example\r\n")),
              AllOf(StartsWith("HTTP/1.1 403"), Not(HasSubstr("Access-Control"))));
  EXPECT_THAT(Ask(Get("/", "Origin: null\r\n")), StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(counts_.started, 0);
  EXPECT_THAT(Ask(Get("/", "Origin: https://app.example\r\n")),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Access-Control-Allow-Origin: https://app.example\r\n"),
                    HasSubstr("Vary: Origin")));
  EXPECT_THAT(Ask(Get("/", "Origin: http://localhost:" + std::to_string(port_) + "\r\n")),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask("OPTIONS /v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                  "https://app.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 204"), HasSubstr("Access-Control-Allow-Methods: GET, "),
                    HasSubstr("Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, "
                              "If-None-Match, If-Range, Last-Event-ID, Prefer, Range, X-API-Key\r\n")));
  EXPECT_EQ(counts_.started, 2);
}

std::string BodyOf(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

TEST_F(Http, FilesAreServedWholeAndInParts) {
  Start();
  Dialled dialled = Dial();
  dialled.Put(Get("/file"));
  std::string answer = dialled.Answer();
  EXPECT_THAT(answer.substr(0, 300),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ETag: \"v1\"\r\n"), HasSubstr("Accept-Ranges: bytes")));
  EXPECT_EQ(BodyOf(answer), file_);
  dialled.Put(Get("/file", "Range: bytes=100000-249999\r\n"));
  answer = dialled.Answer();
  EXPECT_THAT(answer.substr(0, 300),
              AllOf(StartsWith("HTTP/1.1 206"), HasSubstr("Content-Range: bytes 100000-249999/300000\r\n")));
  EXPECT_EQ(BodyOf(answer), file_.substr(100000, 150000));
  dialled.Put(Get("/file", "Range: bytes=300000-\r\n"));
  EXPECT_THAT(dialled.Answer(), AllOf(StartsWith("HTTP/1.1 416"), HasSubstr("Content-Range: bytes */300000\r\n")));
  dialled.Put(Get("/file", "If-None-Match: \"v1\"\r\n"));
  EXPECT_THAT(dialled.Answer(),
              AllOf(StartsWith("HTTP/1.1 304"), HasSubstr("ETag: \"v1\""), Not(HasSubstr("Content-Length"))));
  dialled.Put(Get("/file", "Range: bytes=0-9\r\nIf-Range: \"v0\"\r\n"));
  EXPECT_EQ(BodyOf(dialled.Answer()), file_);
  dialled.Put("HEAD /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(dialled.Answer(true),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 300000"), EndsWith("\r\n\r\n")));
  dialled.Put(Get("/x"));
  EXPECT_THAT(dialled.Answer(), EndsWith("hello /x"));
  OnLoop([&] { file_ = Pattern(std::size_t{24} << 20U); });
  Dialled slow = Dial(8192);  // a socket that takes little at a time
  slow.Put(Get("/file"));
  EXPECT_EQ(BodyOf(slow.Answer()), file_);
  OnLoop([&] { file_.clear(); });
  slow.Put(Get("/file"));
  EXPECT_THAT(slow.Answer(), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 0")));
}

TEST_F(Http, AFileThatShrankEndsTheConnection) {
  missing_ = 10;
  Start();
  Dialled dialled = Dial();
  dialled.Put(Get("/file"));
  EXPECT_LT(dialled.All().size(), file_.size() + 400);
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
}

TEST_F(Http, EventsAreStreamed) {
  Start();
  const std::string answer = [&] {
    Dialled dialled = Dial();
    dialled.Put(Get("/events?n=3&ms=20&size=2"));
    return dialled.All();
  }();
  EXPECT_THAT(answer, AllOf(HasSubstr("Content-Type: text/event-stream\r\n"),
                            HasSubstr("Transfer-Encoding: chunked\r\n"), HasSubstr("Connection: close\r\n"),
                            HasSubstr("\r\n\r\n1c\r\nid: 2\nevent: tick\ndata: xx\n\n\r\n"),
                            EndsWith("data: xx\n\n\r\n0\r\n\r\n")));
  Dialled old = Dial();
  old.Put("GET /events?n=1&ms=1&size=2 HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.All(), AllOf(Not(HasSubstr("chunked")), EndsWith("\r\n\r\nid: 0\nevent: tick\ndata: xx\n\n")));
}

TEST_F(Http, StreamsBeatWhileNothingHappens) {
  ServerSettings settings;
  settings.heartbeat = 30ms;
  Start(settings);
  Dialled dialled = Dial();
  dialled.Put(Get("/events?n=2&ms=400&size=1"));
  const std::string answer = dialled.All();
  const std::size_t first = answer.find(": heartbeat\n\n");
  ASSERT_NE(first, std::string::npos);
  EXPECT_LT(first, answer.find("id: 1"));
  EXPECT_THAT(answer, AllOf(HasSubstr("id: 0"), EndsWith("0\r\n\r\n")));
}

TEST_F(Http, TheSourceEndsWithItsReader) {
  Start();
  for (const bool reset : {false, true}) {
    Dialled dialled = Dial();
    dialled.Put(Get("/events?n=5&ms=3600000&size=1"));
    EXPECT_THAT(dialled.Until("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
    const int before = counts_.gone;
    if (reset) {
      dialled.Reset();
    } else {
      dialled.Close();
    }
    EXPECT_TRUE(Eventually([&] { return counts_.gone > before && Figures().connections == 0; }));
  }
  Dialled talkative = Dial();
  talkative.Put(Get("/events?n=5&ms=3600000&size=1"));
  talkative.Until("\r\n\r\n");
  const std::string noise(1000, 'x');
  EXPECT_TRUE(Eventually([&] { return !talkative.Put(noise); })) << "what comes behind a stream has a bound";
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
}

TEST_F(Http, AStreamsSlowReaderIsCutOff) {
  ServerSettings settings;
  settings.write_time = 200ms;
  settings.heartbeat = 20ms;
  Start(settings);
  Dialled events = Dial(4096);
  events.Put(Get("/events?n=1000000&ms=0&size=60000"));
  EXPECT_TRUE(Eventually([&] { return counts_.gone == 2; })) << "handler's frame and source";
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
}

TEST_F(Http, AHandlerIsCancelledWhenItsCallerIsGone) {
  Start();
  int started = 0;
  // What was sent behind the request lies in front of the end, and must not hide it.
  for (const std::string& behind : {std::string(), std::string(5000, 'x'), Get("/") + Get("/")}) {
    for (const bool reset : {false, true}) {
      Dialled dialled = Dial();
      dialled.Put(Get("/slow?ms=3600000") + behind);
      ASSERT_TRUE(Eventually([&] { return counts_.started == started + 1; }));
      ++started;
      const auto begun = std::chrono::steady_clock::now();
      if (reset) {
        dialled.Reset();
      } else {
        dialled.Close();
      }
      EXPECT_TRUE(Eventually(
          [&] { return counts_.gone == started && Figures().connections == 0 && Figures().in_flight == 0; }));
      EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
    }
  }
  EXPECT_EQ(counts_.finished, 0);
}

TEST_F(Http, ACallerThatHasSaidAllIsWaitedFor) {
  Start();
  const std::string sign = "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_THAT(Ask(Get("/slow?ms=2500")), AllOf(StartsWith(sign), HasSubstr("HTTP/1.1 200 OK\r\n"), EndsWith("slow")));
  EXPECT_THAT(Ask("GET /slow?ms=1500 HTTP/1.0\r\n\r\n"), AllOf(StartsWith("HTTP/1.1 200 OK"), EndsWith("slow")))
      << "not for those who know no such signs";
  // Pipelined before the end: all of them are answered.
  const std::string both = Ask(Get("/slow?ms=1500") + Get("/last"));
  EXPECT_THAT(both, AllOf(StartsWith(sign), HasSubstr("slow"), EndsWith("hello /last")));
  // It may still go away later.
  Dialled dialled = Dial();
  dialled.Put(Get("/slow?ms=3600000"));
  dialled.SaidAll();
  EXPECT_THAT(dialled.Until("\r\n\r\n"), testing::StrEq(sign));
  EXPECT_EQ(Figures().connections, 1U);
  dialled.Close();
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0 && Figures().in_flight == 0; }));
}

TEST_F(Http, WhatComesBehindAWaitingRequestStaysOutside) {
  Start();
  Dialled dialled = Dial();
  dialled.Put(Get("/slow?ms=3600000"));
  ASSERT_TRUE(Eventually([&] { return counts_.started == 1; }));
  const std::string noise(1U << 20U, 'x');
  std::size_t sent = 0;
  dialled.DoNotBlock();
  for (int idle = 0; idle < 100 && sent < (64U << 20U); ++idle) {
    if (const std::size_t more = dialled.PutSome(noise); more > 0) {
      sent += more;
      idle = 0;
    }
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_LT(sent, 32U << 20U) << "the kernel's buffers, and no more";
  EXPECT_EQ(Figures().connections, 1U);
}

TEST_F(Http, SettingsCanBeChangedWhileItRuns) {
  ServerSettings settings;
  Start(settings);
  Dialled kept = Dial();
  kept.Put(Get("/"));
  EXPECT_THAT(kept.Answer(), StartsWith("HTTP/1.1 200"));
  settings.hosts = {"video.example"};
  settings.most_connections = 1;
  settings.requests_per_second = 1;
  settings.largest_body = Bytes(10);
  const std::string named = "GET / HTTP/1.1\r\nHost: video.example\r\n\r\n";
  kept.Put(named);
  EXPECT_THAT(kept.Answer(), StartsWith("HTTP/1.1 403"));
  OnLoop([&] { server_->Reload(settings); });
  kept.Put(named);
  EXPECT_THAT(kept.Answer(), StartsWith("HTTP/1.1 200"));
  kept.Put(named);
  EXPECT_THAT(kept.Answer(), StartsWith("HTTP/1.1 429"));
  EXPECT_TRUE(Dial().Ended()) << "one connection at once";
  settings.most_connections = 10;
  settings.requests_per_second = 0;
  OnLoop([&] { server_->Reload(settings); });
  kept.Put(named);
  EXPECT_THAT(kept.Answer(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Post(std::string(11, 'x'))), StartsWith("HTTP/1.1 413"));
}

TEST_F(Http, StoppingLetsRequestsEnd) {
  Start();
  Dialled idle = Dial();
  idle.Put(Get("/"));
  idle.Answer();
  Dialled busy = Dial();
  busy.Put(Get("/slow?ms=300"));
  Dialled stream = Dial();
  stream.Put(Get("/events?n=5&ms=3600000&size=1"));
  stream.Until("\r\n\r\n");
  ASSERT_TRUE(Eventually([&] { return counts_.started == 3; }));
  OnLoop([&] { server_->StopAccepting(); });
  EXPECT_THAT(idle.All(), IsEmpty());
  EXPECT_THAT(stream.All(), EndsWith("0\r\n\r\n"));
  EXPECT_FALSE(Dialled(port_).connected());
  EXPECT_THAT(busy.All(), AllOf(HasSubstr("Connection: close"), EndsWith("slow")));
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
}

TEST_F(Http, DestructionEndsEverythingAndNothingRunsAfterwards) {
  Start();
  std::vector<std::unique_ptr<Dialled>> all;
  for (const std::string target : {"/slow?ms=50", "/slow?ms=3600000", "/events?n=100&ms=20&size=1", "/big", "/x"}) {
    all.push_back(std::make_unique<Dialled>(port_, 4096));
    all.back()->Put(Get(target));
  }
  all.push_back(std::make_unique<Dialled>(port_));
  all.back()->Put("GET / HT");
  ASSERT_TRUE(Eventually([&] { return counts_.started == 5; }));
  int finished = 0;
  OnLoop([&] {
    server_.reset();
    finished = counts_.finished;
  });
  for (const auto& dialled : all) EXPECT_TRUE(Eventually([&] { return dialled->Ended(); }));
  EXPECT_TRUE(Eventually([&] { return counts_.gone == 6; })) << "five frames and a source";
  std::this_thread::sleep_for(150ms);
  EXPECT_EQ(counts_.finished, finished);
}

TEST_F(Http, AHandlerMayDestroyTheServer) {
  Start();
  Dialled other = Dial();
  other.Put(Get("/slow?ms=3600000"));
  ASSERT_TRUE(Eventually([&] { return counts_.started == 1; }));
  Dialled dialled = Dial();
  dialled.Put(Get("/end"));
  EXPECT_THAT(dialled.All(), IsEmpty());
  EXPECT_TRUE(other.Ended());
  EXPECT_TRUE(Eventually([&] { return counts_.gone == 2; }));
}

TEST_F(Http, GarbageHurtsNobody) {
  ServerSettings settings;
  settings.largest_header = Bytes::Kib(2);
  settings.header_time = 500ms;
  Start(settings);
  std::mt19937 random(4545);
  const std::vector<std::string> words{"GET ",
                                       "POST ",
                                       "/",
                                       " HTTP/1.1",
                                       "\r\n",
                                       "\r\n\r\n",
                                       "Host: localhost",
                                       "Content-Length: ",
                                       "5",
                                       "999999999999999999999",
                                       "Transfer-Encoding: chunked",
                                       "\r\n0\r\n\r\n",
                                       "ffffffffffffffff\r\n",
                                       "5;a=b\r\n",
                                       "%",
                                       "?",
                                       "&",
                                       ":",
                                       " ",
                                       "\t",
                                       "\r",
                                       "\n",
                                       std::string(1, '\0'),
                                       "\xFF",
                                       std::string(300, 'x'),
                                       "Connection: ",
                                       "Expect: 100-continue",
                                       "Range: bytes=",
                                       "Trailer: x"};
  for (int i = 0; i < 400; ++i) {
    std::string bytes;
    const std::size_t parts = random() % 30;
    const bool well_begun = random() % 2 == 0;
    if (well_begun) bytes = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
    for (std::size_t k = 0; k < parts; ++k) {
      if (random() % 4 == 0) {
        bytes += static_cast<char>(random());
      } else {
        bytes += words[random() % words.size()];
      }
    }
    Dialled dialled = Dial();
    dialled.Put(bytes);
    if (random() % 4 == 0) {
      dialled.Reset();
    } else {
      dialled.SaidAll();
      EXPECT_THAT(dialled.All(), testing::AnyOf(IsEmpty(), StartsWith("HTTP/1.1 ")));
    }
  }
  EXPECT_THAT(Ask(Get("/still-here")), EndsWith("hello /still-here"));
  EXPECT_TRUE(Eventually([&] { return Figures().connections == 0; }));
}

TEST_F(Http, ListeningIsRefusedWhenItMustBe) {
  Start();
  const auto code = [&](ServerSettings settings) {
    boost::asio::io_context loop;
    const auto made = Server::Listen(loop, clock_, std::move(settings), {});
    return made ? ErrorCode::kInternal : made.error().code;
  };
  EXPECT_EQ(code({.address = "0.0.0.0", .port = 0}), ErrorCode::kForbidden);
  EXPECT_EQ(code({.address = "nowhere", .port = 0}), ErrorCode::kBadParameters);
  EXPECT_EQ(code({.port = port_}), ErrorCode::kSystem);
  EXPECT_EQ(code({.port = 0, .most_connections = 0}), ErrorCode::kBadParameters);
}

TEST_F(Http, ASocketMayBeHandedOver) {
  boost::asio::io_context loop;
  auto socket = os::ListenTcp("127.0.0.1", 0);
  ASSERT_TRUE(socket);
  const std::uint16_t port = os::ListeningEndpoint(socket->get())->port;
  const auto made = Server::Listen(loop, clock_, {}, {}, *std::move(socket));
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->port(), port);
  auto open = os::ListenTcp("0.0.0.0", 0);
  ASSERT_TRUE(open);
  EXPECT_EQ(Server::Listen(loop, clock_, {}, {}, *std::move(open)).error().code, ErrorCode::kForbidden);
  EXPECT_EQ(Server::Listen(loop, clock_, {}, {}, FileOf("x")).error().code, ErrorCode::kSystem)
      << "not a socket at all";
}

Result<Client> ClientOf(std::uint16_t port, std::string token = {}) {
  return Client::For("http://127.0.0.1:" + std::to_string(port), std::move(token));
}

TEST_F(Http, TheClientAsks) {
  ServerSettings settings;
  settings.tokens = {{.name = "me", .sha256 = ToHex(Sha256("secret")), .scopes = kAllScopes}};
  Start(settings);
  const auto client = ClientOf(port_, "secret");
  ASSERT_TRUE(client);
  const auto answer = client->Ask(Method::kPost, "/echo", "body", {{"Content-Type", "text/plain"}});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "body");
  EXPECT_THAT(answer->headers, testing::Contains(testing::Pair("content-length", "4")));
  EXPECT_EQ(client->Ask(Method::kHead, "/big")->body, "");
  EXPECT_EQ(client->Ask(Method::kGet, "/missing")->status, 404);
  EXPECT_EQ(ClientOf(port_)->Ask(Method::kGet, "/")->status, 401);
  EXPECT_EQ(client->Ask(Method::kGet, "/big").error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(client->Ask(Method::kGet, "/slow?ms=60000", {}, {}, 100ms).error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(client->Ask(Method::kGet, "no path").error().code, ErrorCode::kBadParameters);
  EXPECT_EQ(client->Ask(Method::kGet, "/", {}, {{"X", "a\r\nY: b"}}).error().code, ErrorCode::kBadParameters);
}

TEST_F(Http, TheClientWatches) {
  Start();
  const auto client = ClientOf(port_);
  std::vector<std::string> seen;
  const auto take = [&](std::string_view id, std::string_view type, std::string_view data) {
    seen.push_back(std::string(id) + "|" + std::string(type) + "|" + std::string(data));
    return seen.size() < 4;
  };
  EXPECT_TRUE(client->Watch("/events?n=2&ms=5&size=1", "7", take));
  EXPECT_THAT(seen, testing::ElementsAre("1|tick|x", "0|tick|x"));
  seen.clear();
  EXPECT_TRUE(client->Watch("/events?n=1000000&ms=1&size=1", "", take)) << "ends when told";
  EXPECT_EQ(seen.size(), 4U);
  const Status missing = client->Watch("/missing", "", take);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().detail, "no such thing");
}

TEST(Client, SaysWhoDidNotAnswer) {
  const auto refused = Client::For("http://127.0.0.1:1", "")->Ask(Method::kGet, "/");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnreachable);
  EXPECT_EQ(refused.error().detail, "no answer from 127.0.0.1:1: connection refused; is weir serve running?");
  EXPECT_TRUE(Client::For("http://[::1]:4545/", ""));
  for (const char* bad :
       {"", "127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1", "http://127.0.0.1:0", "http://127.0.0.1:99999",
        "http://[::1", "http://:1", "http://a b:1", "http://user@host:1", "http://127.0.0.1:1/path"}) {
    const auto made = Client::For(bad, "");
    ASSERT_FALSE(made) << bad;
    EXPECT_EQ(made.error().code, ErrorCode::kBadParameters);
  }
}

}  // namespace
}  // namespace weir::http
