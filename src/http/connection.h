// Connection: one accepted socket, from its first request to its end, and Core, what all connections share.
// A connection belongs to its coroutine; whoever else wants it holds it weakly or asks the Core. All on the loop's
// thread.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/access.h"
#include "http/answer.h"
#include "http/lane.h"
#include "http/message.h"
#include "http/parser.h"
#include "http/server.h"
#include "os/socket.h"

namespace weir::http {

using IoTime = std::chrono::steady_clock::time_point;
inline constexpr IoTime kNever = IoTime::max();

class Connection;

struct Core : std::enable_shared_from_this<Core> {
  Core(boost::asio::io_context& the_loop, const Clock& the_clock, ServerSettings the_settings, Handler the_handler,
       const os::Endpoint& endpoint);

  std::string_view Date();       // as of this second
  void Expect(IoTime deadline);  // a sweep no later than this
  void Start(os::Connection accepted);
  void ForAll(void (Connection::*action)());
  // Ends the connection that has been idle for longest, if any has been for a while. Whether it did.
  bool MakeRoom();
  void Shut();  // ends everything; nothing runs on the lane afterwards
  void Reload(const ServerSettings& fresh);

  boost::asio::io_context& loop;
  Lane lane;
  const Clock& clock;
  ServerSettings settings;
  Handler handler;
  Sites sites;
  RateLimit rate;
  RouteLimits route_limits;
  ServerFigures figures;
  Bytes in_bodies;
  bool stopping = false;
  std::vector<Connection*> connections;
  // One for all, because nobody keeps anything in it while waiting.
  std::array<char, 65536> scratch{};

 private:
  void Sweep();

  os::Endpoint endpoint_;
  boost::asio::steady_timer timer_;  // one for all deadlines; they are looked at together
  IoTime next_sweep_ = kNever;
  std::chrono::sys_seconds date_second_{};
  std::string date_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, os::Connection accepted);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  static boost::asio::awaitable<void> Run(std::shared_ptr<Connection> self);

  boost::asio::cancellation_slot slot() { return cancel_.slot(); }
  [[nodiscard]] IoTime deadline() const { return deadline_; }
  // Between requests since then, with nothing read; kNever: not so.
  [[nodiscard]] IoTime IdleSince() const;
  [[nodiscard]] bool HasInput() const;  // that was not read yet
  void DeadlinePassed();
  // The server takes no more connections, or another needs the place: ends what is idle or endless.
  void Finish();
  // At once, with everything that it does.
  void Abort();

 private:
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;
  enum class Stage : std::uint8_t { kIdle, kHeader, kBody, kHandler, kWrite, kStream, kLinger };
  enum class Written : std::uint8_t { kAll, kInPart, kFailed };
  struct Facts;  // what answering needs to know of a request whose handler has it

  void Enter(Stage stage, std::chrono::milliseconds time);
  boost::asio::awaitable<bool> WaitReadable();
  boost::asio::awaitable<bool> WaitWritable();
  // What the parser says once it says anything. nullopt: the other side ended, or its time is over (`expired_`).
  boost::asio::awaitable<std::optional<Parsed>> Read();
  boost::asio::awaitable<bool> ServeOne();
  boost::asio::awaitable<bool> ReadBody();
  boost::asio::awaitable<void> Linger();

  // An answer that needs no handler, or nullopt. Fills in who calls.
  std::optional<Response> Admit(Request& request);
  Response Preflight(const Request& request);
  std::optional<Response> CheckCaller(Request& request);

  Written TryWrite(std::string_view& first, std::string_view& second);
  boost::asio::awaitable<bool> Write(std::string_view first, std::string_view second);
  boost::asio::awaitable<bool> Send(Response& response, const Facts& facts);
  boost::asio::awaitable<bool> SendFile(Response& response, const Facts& facts);
  boost::asio::awaitable<bool> Stream(Response& response, const Facts& facts);
  void MakeHead(Response& response, const Facts& facts, std::optional<std::uint64_t> length, bool chunked);

  void WatchCaller();
  bool AskForLife();
  void WatchForReset();
  void WatchReader();
  void DropInput();
  void Heartbeat();
  void Close();

  std::shared_ptr<Core> core_;
  Socket socket_;
  std::string remote_;
  boost::asio::cancellation_signal cancel_;
  RequestParser parser_;
  std::string input_;  // received and not yet consumed, from input_at_ on
  std::size_t input_at_ = 0;
  std::string head_;
  std::string origin_;     // of the request, when allowed: the answer repeats it
  std::string heartbeat_;  // what of the last one the reader has not taken yet
  std::string interim_;    // what of a sign to a waiting caller has not been taken yet; goes before the answer
  std::chrono::milliseconds doubt_{};  // pause after the last such sign
  Stage stage_ = Stage::kIdle;
  IoTime entered_ = kNever;  // the stage
  IoTime deadline_ = kNever;
  IoTime heartbeat_due_ = kNever;  // by when the rest of a heartbeat must have been taken
  std::size_t dropped_ = 0;
  std::size_t index_;  // in core_->connections
  bool expired_ = false;
  bool watched_ = false;
  bool looked_ = false;  // at the caller of the request that waits
  bool http_1_0_ = false;
};

}  // namespace weir::http
