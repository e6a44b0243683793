#include "http/server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "http/connection.h"
#include "os/socket.h"

namespace weir::http {
namespace {

using boost::system::error_code;

constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};  // when descriptors or memory have run out

Status Check(const ServerSettings& settings) {
  if (settings.most_connections == 0)
    return Fail(ErrorCode::kBadParameters, "a server needs at least one connection");
  if (settings.largest_header < Bytes(256)) return Fail(ErrorCode::kBadParameters, "headers need at least 256 bytes");
  return {};
}

class Listening final : public Server {
 public:
  Listening(boost::asio::io_context& loop, const Clock& clock, ServerSettings settings, Handler handler,
            os::UniqueFd socket, const os::Endpoint& endpoint)
      : core_(std::make_shared<Core>(loop, clock, std::move(settings), std::move(handler), endpoint)),
        acceptor_(loop),
        pause_(loop),
        port_(endpoint.port) {
    const bool is_v6 = endpoint.address.find(':') != std::string::npos;
    error_code error;
    const int fd = socket.release();
    error = acceptor_.assign(is_v6 ? boost::asio::ip::tcp::v6() : boost::asio::ip::tcp::v4(), fd, error);
    if (error) os::UniqueFd(fd).Close();
    AwaitCaller();
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() override {
    Close();
    core_->Shut();
  }

  [[nodiscard]] bool good() const { return acceptor_.is_open(); }
  [[nodiscard]] std::uint16_t port() const override { return port_; }
  [[nodiscard]] ServerFigures figures() const override {
    ServerFigures figures = core_->figures;
    figures.connections = core_->connections.size();
    return figures;
  }
  void StopAccepting() override {
    Close();
    core_->stopping = true;
    core_->ForAll(&Connection::Finish);
  }
  void Reload(const ServerSettings& settings) override { core_->Reload(settings); }

 private:
  // The callbacks are silenced by the alive token: the acceptor's ends with this object, the core may live on.
  void AwaitCaller() {
    acceptor_.async_wait(Acceptor::wait_read, [this, alive = std::weak_ptr<int>(alive_)](const error_code& error) {
      if (!error && !alive.expired() && acceptor_.is_open()) TakeCallers();
    });
  }
  void TakeCallers() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      auto taken = os::Accept(acceptor_.native_handle());
      if (!taken) return Pause(taken.error());
      if (!taken->has_value()) break;
      ++core_->figures.accepted;
      if (core_->connections.size() >= core_->settings.most_connections && !core_->MakeRoom()) {
        ++core_->figures.refused;
        continue;
      }
      core_->Start(**std::move(taken));
    }
    AwaitCaller();
  }
  void Pause(const Error& error) {
    log::Warning(Describe(error));
    if (error.code != ErrorCode::kBusy) return Close();
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const error_code& cancelled) {
      if (!cancelled && !alive.expired() && acceptor_.is_open()) TakeCallers();
    });
  }
  void Close() {
    error_code ignored;
    ignored = acceptor_.close(ignored);
    pause_.cancel();
  }

  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

  std::shared_ptr<Core> core_;
  Acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::uint16_t port_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Listen(boost::asio::io_context& loop, const Clock& clock,
                                               ServerSettings settings, Handler handler, os::UniqueFd inherited) {
  WEIR_TRY(Check(settings));
  if (!inherited) {
    WEIR_TRY(MayListen(settings.address, !settings.tokens.empty()));
    WEIR_ASSIGN(inherited, os::ListenTcp(settings.address, settings.port));
  }
  WEIR_ASSIGN(const os::Endpoint endpoint, os::ListeningEndpoint(inherited.get()));
  WEIR_TRY(MayListen(endpoint.address, !settings.tokens.empty()));
  auto server = std::make_unique<Listening>(loop, clock, std::move(settings), std::move(handler),
                                            std::move(inherited), endpoint);
  if (!server->good()) return Fail(ErrorCode::kSystem, "cannot wait for callers on " + endpoint.address);
  return server;
}

}  // namespace weir::http
