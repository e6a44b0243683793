#include "http/connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <span>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "http/range.h"
#include "http/target.h"
#include "os/file.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 does not see that coroutine frames are allocated by the promise's own operator new.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace weir::http {

using boost::asio::awaitable;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr auto kAsTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

constexpr std::size_t kReadSize = std::size_t{16} << 10U;
constexpr std::size_t kKeptBuffer = std::size_t{2} << 10U;  // capacity that an idle connection may hold
constexpr std::size_t kFileTurn = std::size_t{1} << 20U;    // bytes of a file before others have a turn
constexpr std::size_t kMostLingering = std::size_t{4} << 20U;
constexpr std::size_t kMostBehindStream = std::size_t{64} << 10U;
constexpr milliseconds kLingerTime{1000};
// A handler that takes longer is watched: most do not, and watching costs a system call.
constexpr milliseconds kUnwatched{50};
constexpr milliseconds kLeastSweep{5};
// How often the caller of a request that waits is looked at, and asked for a sign of life once it has said all.
constexpr milliseconds kWatchPeriod{1000};
constexpr milliseconds kLongestDoubt{60'000};
constexpr std::string_view kMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kHeartbeat = ": heartbeat\n\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

// A time so long that its sum with now would overflow means never.
IoTime After(milliseconds time) {
  const IoTime now = std::chrono::steady_clock::now();
  constexpr auto kLongest = std::chrono::hours(24 * 365);
  return time >= kLongest ? kNever : now + time;
}

// What co_spawn calls at the end. Written out, because a bound slot would be served by way of the lane, and so not at
// all once that is shut.
struct Done {
  using cancellation_slot_type = boost::asio::cancellation_slot;
  boost::asio::cancellation_slot slot;
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return slot; }
  void operator()(const std::exception_ptr& /*error*/) const {}
};

std::string AsChunk(std::string_view data, bool chunked) {
  if (!chunked) return std::string(data);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string size;
  for (std::size_t left = data.size(); left > 0; left /= 16) {
    size.insert(size.begin(), kDigits[left % 16]);
  }
  return size + "\r\n" + std::string(data) + "\r\n";
}

Error Defect() { return {.code = ErrorCode::kInternal, .detail = "the server has a defect; its log says more"}; }

bool HasHeader(const Response& response, std::string_view name) {
  return std::ranges::any_of(response.headers,
                             [&](const auto& header) { return EqualsIgnoreCase(header.first, name); });
}

class InFlight {
 public:
  explicit InFlight(Core& core) : core_(core) { ++core_.figures.in_flight; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  ~InFlight() { --core_.figures.in_flight; }

 private:
  Core& core_;  // the connection's, whose frame this is in
};

// Room for the body of one request: taken before it is read, given back with the body.
class BodyRoom {
 public:
  // nullptr: there is none.
  static std::shared_ptr<BodyRoom> Take(const std::shared_ptr<Core>& core, const Request& request) {
    const std::string* length = request.Header("content-length");
    const auto declared = length != nullptr ? ParseUnsigned(*length) : std::nullopt;
    const std::uint64_t most = core->settings.largest_body.count();
    const Bytes wanted(std::min(declared.value_or(most), most));
    if (core->in_bodies.count() > 0 && core->in_bodies + wanted > core->settings.most_in_bodies) return nullptr;
    return std::make_shared<BodyRoom>(core, wanted);
  }
  BodyRoom(std::shared_ptr<Core> core, Bytes taken) : core_(std::move(core)), taken_(taken) {
    core_->in_bodies += taken_;
  }
  BodyRoom(const BodyRoom&) = delete;
  BodyRoom& operator=(const BodyRoom&) = delete;
  ~BodyRoom() { core_->in_bodies -= taken_; }

  // What came may be less than what was to be feared.
  void ShrinkTo(Bytes size) {
    const Bytes left = std::min(size, taken_);
    core_->in_bodies -= taken_ - left;
    taken_ = left;
  }

 private:
  std::shared_ptr<Core> core_;
  Bytes taken_;
};

}  // namespace

// ---- Core

Core::Core(boost::asio::io_context& the_loop, const Clock& the_clock, ServerSettings the_settings,
           Handler the_handler, const os::Endpoint& endpoint)
    : loop(the_loop),
      lane(the_loop),
      clock(the_clock),
      settings(std::move(the_settings)),
      handler(std::move(the_handler)),
      sites(settings, endpoint.address, endpoint.port),
      rate(settings.requests_per_second),
      route_limits(settings.route_rates),
      endpoint_(endpoint),
      timer_(the_loop) {}

std::string_view Core::Date() {
  const auto now = std::chrono::floor<std::chrono::seconds>(clock.WallNow());
  if (date_.empty() || now != date_second_) {
    date_second_ = now;
    date_ = ToHttpDate(now);
  }
  return date_;
}

void Core::Expect(IoTime deadline) {
  if (deadline >= next_sweep_ || lane.is_shut()) return;
  next_sweep_ = deadline;
  timer_.expires_at(deadline);
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self && !self->lane.is_shut()) self->Sweep();
  });
}

void Core::Sweep() {
  const IoTime now = std::chrono::steady_clock::now();
  next_sweep_ = kNever;
  std::vector<std::shared_ptr<Connection>> late;  // held: ending one may change the list
  for (Connection* connection : connections) {
    if (connection->deadline() <= now) late.push_back(connection->shared_from_this());
  }
  for (const auto& connection : late) {
    connection->DeadlinePassed();
  }
  IoTime next = kNever;
  for (const Connection* connection : connections) {
    next = std::min(next, connection->deadline());
  }
  if (next != kNever) Expect(std::max(next, now + kLeastSweep));
}

void Core::Start(os::Connection accepted) {
  const auto connection = std::make_shared<Connection>(shared_from_this(), std::move(accepted));
  boost::asio::co_spawn(boost::asio::any_io_executor(lane), Connection::Run(connection), Done{connection->slot()});
}

void Core::ForAll(void (Connection::*action)()) {
  std::vector<std::shared_ptr<Connection>> all;
  for (Connection* connection : connections) {
    all.push_back(connection->shared_from_this());
  }
  for (const auto& connection : all) {
    ((*connection).*action)();
  }
}

bool Core::MakeRoom() {
  Connection* longest = nullptr;
  IoTime since = std::chrono::steady_clock::now() - settings.least_idle;
  for (Connection* connection : connections) {
    if (connection->IdleSince() <= since) {
      since = connection->IdleSince();
      longest = connection;
    }
  }
  // What has come in and was not read yet is seen by the system only, and asked for one of them only.
  if (longest == nullptr || longest->HasInput()) return false;
  ++figures.displaced;
  longest->shared_from_this()->Finish();
  return true;
}

void Core::Shut() {
  lane.Shut();
  timer_.cancel();
  ForAll(&Connection::Abort);
}

void Core::Reload(const ServerSettings& fresh) {
  settings.tokens = fresh.tokens;
  settings.hosts = fresh.hosts;
  settings.origins = fresh.origins;
  settings.most_connections = fresh.most_connections;
  settings.largest_body = fresh.largest_body;
  settings.most_in_bodies = fresh.most_in_bodies;
  sites = Sites(settings, endpoint_.address, endpoint_.port);
  // What callers have used up stays used up, unless there is another limit.
  if (std::exchange(settings.requests_per_second, fresh.requests_per_second) != fresh.requests_per_second) {
    rate = RateLimit(fresh.requests_per_second);
  }
  if (settings.route_rates != fresh.route_rates) {
    settings.route_rates = fresh.route_rates;
    route_limits = RouteLimits(fresh.route_rates);
  }
}

// ---- Connection: life

Connection::Connection(std::shared_ptr<Core> core, os::Connection accepted)
    : core_(std::move(core)),
      socket_(core_->loop),
      remote_(std::move(accepted.remote.address)),
      parser_(core_->settings.largest_header, core_->settings.largest_body),
      index_(core_->connections.size()) {
  const bool is_v6 = remote_.find(':') != std::string::npos;
  error_code error;
  const int fd = accepted.fd.release();
  error = socket_.assign(is_v6 ? boost::asio::ip::tcp::v6() : boost::asio::ip::tcp::v4(), fd, error);
  if (error) os::UniqueFd(fd).Close();
  error = socket_.non_blocking(true, error);
  core_->connections.push_back(this);
}

Connection::~Connection() {
  auto& all = core_->connections;
  all[index_] = all.back();
  all[index_]->index_ = index_;
  all.pop_back();
}

awaitable<void> Connection::Run(std::shared_ptr<Connection> self) {
  try {
    self->Enter(Stage::kIdle, std::min(self->core_->settings.header_time, self->core_->settings.idle_time));
    bool more = true;
    while (more) {
      more = co_await self->ServeOne();
      if (more) self->Enter(Stage::kIdle, self->core_->settings.idle_time);
    }
  } catch (const boost::system::system_error&) {  // cancelled: whoever did it knows
  } catch (const std::exception& e) {
    log::Error(std::string("a connection ended by an exception: ") + Printable(e.what()));
  }
  self->Close();
}

void Connection::Enter(Stage stage, milliseconds time) {
  stage_ = stage;
  entered_ = std::chrono::steady_clock::now();
  deadline_ = After(time);
  core_->Expect(deadline_);
}

void Connection::Close() {
  deadline_ = kNever;
  error_code ignored;
  ignored = socket_.close(ignored);
}

void Connection::Abort() {
  if (socket_.is_open()) os::DiscardOnClose(socket_.native_handle());
  Close();
  cancel_.emit(boost::asio::cancellation_type::terminal);
}

IoTime Connection::IdleSince() const {
  return stage_ == Stage::kIdle && input_.empty() && socket_.is_open() ? entered_ : kNever;
}

bool Connection::HasInput() const {
  error_code error;
  return socket_.available(error) > 0;
}

void Connection::DeadlinePassed() {
  deadline_ = kNever;
  error_code ignored;
  switch (stage_) {
    case Stage::kIdle:
    case Stage::kHeader:
    case Stage::kBody:
    case Stage::kLinger:
      expired_ = true;
      ignored = socket_.cancel(ignored);
      break;
    case Stage::kHandler:
      WatchCaller();
      break;
    case Stage::kWrite:
      log::Debug("a reader at " + remote_ + " took nothing for too long");
      Abort();
      break;
    case Stage::kStream:
      Heartbeat();
      break;
  }
}

void Connection::Finish() {
  std::string_view last = kLastChunk;
  std::string_view none;
  switch (stage_) {
    case Stage::kIdle:
      if (input_.empty()) {
        expired_ = true;
        Close();
      }
      break;
    case Stage::kStream:
      if (heartbeat_.empty() && !http_1_0_) (void)TryWrite(last, none);
      Close();
      cancel_.emit(boost::asio::cancellation_type::terminal);
      break;
    case Stage::kHeader:
    case Stage::kBody:
    case Stage::kHandler:
    case Stage::kWrite:
    case Stage::kLinger:
      break;
  }
}

// ---- Connection: reading

awaitable<bool> Connection::WaitReadable() {
  const auto [error] = co_await socket_.async_wait(Socket::wait_read, kAsTuple);
  co_return !error && !expired_ && socket_.is_open();
}

awaitable<bool> Connection::WaitWritable() {
  const auto [error] = co_await socket_.async_wait(Socket::wait_write, kAsTuple);
  co_return !error && socket_.is_open();
}

awaitable<std::optional<Parsed>> Connection::Read() {
  for (;;) {
    if (input_at_ < input_.size()) {
      if (stage_ == Stage::kIdle) Enter(Stage::kHeader, core_->settings.header_time);
      std::size_t used = 0;
      const Parsed parsed = parser_.Put(std::string_view(input_).substr(input_at_), used);
      input_at_ += used;
      if (input_at_ == input_.size()) {
        input_.clear();
        input_at_ = 0;
        if (input_.capacity() > kKeptBuffer) std::string().swap(input_);
      }
      if (parsed != Parsed::kMore) co_return parsed;
    }
    const bool readable = co_await WaitReadable();
    if (!readable) co_return std::nullopt;
    error_code error;
    const std::size_t got = socket_.read_some(boost::asio::buffer(core_->scratch.data(), kReadSize), error);
    if (error == boost::asio::error::would_block) continue;
    if (error || got == 0) co_return std::nullopt;
    if (stage_ == Stage::kIdle) Enter(Stage::kHeader, core_->settings.header_time);
    const std::string_view fresh(core_->scratch.data(), got);
    if (input_.empty()) {
      // The usual case: a whole request at once, parsed where it lies.
      std::size_t used = 0;
      const Parsed parsed = parser_.Put(fresh, used);
      input_.assign(fresh.substr(used));
      if (parsed != Parsed::kMore) co_return parsed;
    } else {
      input_.erase(0, std::exchange(input_at_, 0));
      input_.append(fresh);
    }
  }
}

awaitable<bool> Connection::ReadBody() {
  Enter(Stage::kBody, core_->settings.body_time);
  for (;;) {
    const std::optional<Parsed> parsed = co_await Read();
    if (!parsed) co_return false;
    if (*parsed == Parsed::kDone) co_return true;
    if (*parsed == Parsed::kRefused) co_return false;
  }
}

// What has arrived but will not be read would turn our closing into a reset, and that may overtake the answer. So we
// say that we are done, and wait a moment for the other side to see it.
awaitable<void> Connection::Linger() {
  error_code error;
  error = socket_.shutdown(Socket::shutdown_send, error);
  if (error) co_return;
  Enter(Stage::kLinger, kLingerTime);
  for (std::size_t dropped = 0; dropped < kMostLingering;) {
    const bool readable = co_await WaitReadable();
    if (!readable) co_return;
    const std::size_t got =
        socket_.read_some(boost::asio::buffer(core_->scratch.data(), core_->scratch.size()), error);
    if (error == boost::asio::error::would_block) continue;
    if (error || got == 0) co_return;
    dropped += got;
  }
}

// ---- Connection: one request

struct Connection::Facts {
  bool keep_alive = false;
  bool http_1_0 = false;
  bool head_only = false;
  std::string target;
  Request conditions;  // its method and the headers that a file's answer depends on
};

// True: the next one may come.
awaitable<bool> Connection::ServeOne() {
  Core& core = *core_;
  parser_.Reset();
  origin_.clear();
  expired_ = false;
  Facts facts;
  std::optional<Response> refusal;
  const std::optional<Parsed> parsed = co_await Read();
  if (!parsed) {
    if (!expired_ || stage_ != Stage::kHeader || !socket_.is_open()) co_return false;
    expired_ = false;
    refusal = ProblemAs(408, {.code = ErrorCode::kTimedOut, .detail = "the header took too long to come"}, "");
  } else if (*parsed == Parsed::kRefused) {
    refusal = ProblemAs(parser_.refusal().status, parser_.refusal().error, "");
  }
  facts.http_1_0 = http_1_0_ = parser_.http_1_0();
  if (refusal) {
    facts.head_only = parser_.request().method == Method::kHead;
    const bool sent = co_await Send(*refusal, facts);
    if (sent) co_await Linger();
    co_return false;
  }

  ++core.figures.requests;
  const InFlight in_flight(core);
  facts.keep_alive = parser_.keep_alive() && !core.stopping;
  facts.head_only = parser_.request().method == Method::kHead;
  facts.target = parser_.request().target;
  refusal = Admit(parser_.request());
  std::shared_ptr<BodyRoom> room;
  if (!refusal && parser_.expects_body()) {
    room = BodyRoom::Take(core_, parser_.request());
    if (!room) {
      refusal = Problem(Error{.code = ErrorCode::kBusy, .detail = "too much is being sent at once; come again"}.With(
                            "retry_after_seconds", std::uint64_t{1}),
                        facts.target);
    }
  }
  if (refusal && refusal->status == 400) facts.keep_alive = false;
  if (parser_.expects_body()) {
    if (refusal) {
      facts.keep_alive = false;  // the body is in the way of the next request
    } else {
      const std::string* expectation = parser_.request().Header("expect");
      if (expectation != nullptr && input_at_ == input_.size() && !http_1_0_) {
        const bool written = co_await Write(kContinue, {});
        if (!written) co_return false;
      }
      const bool read = co_await ReadBody();
      if (!read) {
        facts.keep_alive = false;
        if (expired_ && socket_.is_open()) {
          expired_ = false;
          refusal = ProblemAs(408, {.code = ErrorCode::kTimedOut, .detail = "the body took too long to come"},
                              facts.target);
        } else if (parser_.has_refusal()) {
          refusal = ProblemAs(parser_.refusal().status, parser_.refusal().error, facts.target);
        } else {
          co_return false;
        }
      }
    }
  }

  Response response;
  if (refusal) {
    response = *std::move(refusal);
  } else {
    Request request = std::move(parser_.request());
    if (room) {
      room->ShrinkTo(Bytes(request.body.size()));
      request.room = std::move(room);
    }
    facts.conditions.method = request.method;
    for (const std::string_view name : {"range", "if-range", "if-none-match"}) {
      if (const std::string* value = request.Header(name)) facts.conditions.headers.emplace_back(name, *value);
    }
    looked_ = false;
    doubt_ = milliseconds(0);
    Enter(Stage::kHandler, kUnwatched);
    std::exception_ptr failure;
    try {
      response = co_await core.handler(std::move(request));
    } catch (...) {
      failure = std::current_exception();
    }
    if (core.lane.is_shut() || !socket_.is_open()) co_return false;
    if (failure) {
      log::Error("a handler ended by an exception: " + Printable(facts.target));
      response = ProblemAs(500, Defect(), facts.target);
    }
  }
  if (core.stopping || response.events) facts.keep_alive = false;
  const bool sent = co_await Send(response, facts);
  const bool more = sent && facts.keep_alive;
  if (sent && !more) co_await Linger();
  co_return more;
}

std::optional<Response> Connection::Admit(Request& request) {
  Core& core = *core_;
  request.remote = remote_;
  const bool asks_server = request.method == Method::kOptions && request.target == "*";
  if (!asks_server) {
    auto target = ParseTarget(request.target);
    if (!target) return ProblemAs(400, target.error(), request.target);
    request.path = std::move(target->path);
    request.query = std::move(target->query);
  }
  const std::string* host = request.Header("host");
  if (host != nullptr && !core.sites.IsOurHost(*host)) {
    return Problem({.code = ErrorCode::kForbidden, .detail = "the Host header names somebody else: " + Quoted(*host)},
                   request.target);
  }
  if (const std::string* origin = request.Header("origin")) {
    if (!core.sites.IsOurOrigin(*origin)) {
      return Problem(
          {.code = ErrorCode::kForbidden, .detail = "pages of " + Quoted(*origin) + " may not call this server"},
          request.target);
    }
    origin_ = *origin;
  }
  if (request.method == Method::kOptions &&
      (asks_server || request.Header("access-control-request-method") != nullptr)) {
    return Preflight(request);
  }
  if (auto refusal = CheckCaller(request)) return refusal;
  const std::string* expectation = request.Header("expect");
  if (expectation != nullptr && !EqualsIgnoreCase(*expectation, "100-continue")) {
    return ProblemAs(417,
                     {.code = ErrorCode::kMalformed, .detail = "expectations other than 100-continue are not met"},
                     request.target);
  }
  return std::nullopt;
}

Response Connection::Preflight(const Request& request) {
  Response response;
  response.status = 204;
  response.headers.emplace_back("Allow", kMethods);
  if (!origin_.empty() && request.Header("access-control-request-method") != nullptr) {
    response.headers.emplace_back("Access-Control-Allow-Methods", kMethods);
    response.headers.emplace_back(
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Last-Event-ID, "
        "Prefer, Range, X-API-Key");
    response.headers.emplace_back("Access-Control-Max-Age", "600");
  }
  return response;
}

std::optional<Response> Connection::CheckCaller(Request& request) {
  Core& core = *core_;
  std::optional<Caller> caller;
  if (core.settings.tokens.empty()) {
    caller = Caller{.token_name = {}, .scopes = kAllScopes};
  } else {
    caller = Identify(request, core.settings.tokens);
  }
  if (core.settings.requests_per_second > 0 || !core.settings.route_rates.empty()) {
    const std::string key = CallerKey(remote_, caller ? caller->token_name : std::string());
    const auto refuse = [&](std::uint64_t after, unsigned per_second, const std::string& where) {
      return ProblemAs(429,
                       Error{.code = ErrorCode::kBusy,
                             .detail = "more than the " + std::to_string(per_second) +
                                       " requests a second that one caller may make" + where}
                           .With("retry_after_seconds", after),
                       request.target);
    };
    if (const auto wait = core.rate.Take(key, core.clock.Now())) {
      return refuse(*wait, core.settings.requests_per_second, {});
    }
    if (const auto limit = core.route_limits.Take(request, key, core.clock.Now())) {
      return refuse(limit->after, limit->rate.per_second, " to " + NameOf(limit->rate));
    }
  }
  if (!caller) {
    const bool named = request.Header("authorization") != nullptr || request.Header("x-api-key") != nullptr;
    return Problem(
        {.code = ErrorCode::kUnauthorized,
         .detail = named ? "that token is not known here" : "a token is needed: Authorization: Bearer <token>"},
        request.target);
  }
  request.token_name = std::move(caller->token_name);
  request.scopes = caller->scopes;
  // Nobody above needs the secret, so nobody above can log it.
  std::erase_if(request.headers,
                [](const auto& header) { return header.first == "authorization" || header.first == "x-api-key"; });
  return std::nullopt;
}

// ---- Connection: answering

Connection::Written Connection::TryWrite(std::string_view& first, std::string_view& second) {
  while (!first.empty() || !second.empty()) {
    const std::array<boost::asio::const_buffer, 2> both{boost::asio::buffer(first.data(), first.size()),
                                                        boost::asio::buffer(second.data(), second.size())};
    error_code error;
    const std::size_t sent = socket_.write_some(both, error);
    if (error == boost::asio::error::would_block) return Written::kInPart;
    if (error) return Written::kFailed;
    const std::size_t of_first = std::min(sent, first.size());
    first.remove_prefix(of_first);
    second.remove_prefix(sent - of_first);
  }
  return Written::kAll;
}

awaitable<bool> Connection::Write(std::string_view first, std::string_view second) {
  for (;;) {
    const std::size_t before = first.size() + second.size();
    const Written written = TryWrite(first, second);
    if (written != Written::kInPart) co_return written == Written::kAll;
    // Every byte that the reader takes gives it the whole time again.
    if (stage_ != Stage::kWrite || first.size() + second.size() < before)
      Enter(Stage::kWrite, core_->settings.write_time);
    const bool writable = co_await WaitWritable();
    if (!writable) co_return false;
  }
}

void Connection::MakeHead(Response& response, const Facts& facts, std::optional<std::uint64_t> length, bool chunked) {
  if (!origin_.empty()) {
    response.headers.emplace_back("Access-Control-Allow-Origin", origin_);
    response.headers.emplace_back("Access-Control-Expose-Headers", "ETag, Location, Retry-After");
    response.headers.emplace_back("Vary", "Origin");
  }
  head_ = std::exchange(interim_, {});
  const HeadFacts head{.date = core_->Date(),
                       .http_1_0 = facts.http_1_0,
                       .keep_alive = facts.keep_alive,
                       .chunked = chunked,
                       .length = length};
  AppendHead(head_, response, head);
}

awaitable<bool> Connection::Send(Response& response, const Facts& facts) {
  deadline_ = kNever;
  bool sent = false;
  if (response.status < 200 || response.status > 599) {
    log::Error("an answer of status " + std::to_string(response.status) + " to " + Printable(facts.target));
    response = ProblemAs(500, Defect(), facts.target);
  }
  if (response.events) {
    sent = co_await Stream(response, facts);
    co_return sent;
  }
  if (response.file) {
    sent = co_await SendFile(response, facts);
    co_return sent;
  }
  const std::string& body = response.shared_body ? *response.shared_body : response.body;
  const bool has_body = HasBody(response.status);
  MakeHead(response, facts, has_body ? std::optional<std::uint64_t>(body.size()) : std::nullopt, false);
  std::string_view first = head_;
  std::string_view second = has_body && !facts.head_only ? std::string_view(body) : std::string_view();
  const Written written = TryWrite(first, second);
  sent = written == Written::kAll;
  if (written == Written::kInPart) sent = co_await Write(first, second);
  if (head_.capacity() > kKeptBuffer) std::string().swap(head_);
  co_return sent;
}

awaitable<bool> Connection::SendFile(Response& response, const Facts& facts) {
  const FileBody file = *std::move(response.file);
  response.file.reset();
  bool sent = false;
  FilePart part{.status = response.status, .first = 0, .count = file.size.count()};
  if (response.status == 200) part = ChoosePart(facts.conditions, file.size, file.etag);
  const std::string size = std::to_string(file.size.count());
  if (part.status == 416) {
    Response problem = ProblemAs(
        416, {.code = ErrorCode::kBadParameters, .detail = "the file has " + size + " bytes"}, facts.target);
    problem.headers.emplace_back("Content-Range", "bytes */" + size);
    problem.headers.emplace_back("Accept-Ranges", "bytes");
    sent = co_await Send(problem, facts);
    co_return sent;
  }
  response.status = part.status;
  response.headers.emplace_back("ETag", file.etag);
  response.headers.emplace_back("Accept-Ranges", "bytes");
  if (part.status == 206) {
    response.headers.emplace_back("Content-Range", "bytes " + std::to_string(part.first) + "-" +
                                                       std::to_string(part.first + part.count - 1) + "/" + size);
  }
  const bool has_body = HasBody(part.status);
  MakeHead(response, facts, has_body ? std::optional(part.count) : std::nullopt, false);
  if (!has_body || facts.head_only || part.count == 0) {
    sent = co_await Write(head_, {});
    co_return sent;
  }
  std::string_view head = head_;
  std::uint64_t at = part.first;
  const std::uint64_t end = part.first + part.count;
  std::size_t turn = 0;
  // Nothing is kept while waiting: what the socket did not take is read again, from the page cache.
  while (at < end || !head.empty()) {
    const std::size_t want = std::min<std::uint64_t>(core_->scratch.size(), end - at);
    const auto got = os::ReadAt(file.fd.get(), at, std::span<char>(core_->scratch).first(want));
    if (!got || *got < want) {
      log::Warning("a file changed while it was sent: " + Printable(facts.target));
      Abort();  // a length was promised; only this tells the reader that it is not kept
      co_return false;
    }
    std::string_view piece(core_->scratch.data(), want);
    const std::size_t head_before = head.size();
    const Written written = TryWrite(head, piece);
    if (written == Written::kFailed) co_return false;
    const std::size_t done = want - piece.size();
    at += done;
    turn += done;
    if (written == Written::kInPart) {
      if (stage_ != Stage::kWrite || done > 0 || head.size() < head_before)
        Enter(Stage::kWrite, core_->settings.write_time);
      const bool writable = co_await WaitWritable();
      if (!writable) co_return false;
    } else if (turn >= kFileTurn) {
      turn = 0;
      co_await boost::asio::post(boost::asio::use_awaitable);
      if (!socket_.is_open()) co_return false;
    }
  }
  co_return true;
}

awaitable<bool> Connection::Stream(Response& response, const Facts& facts) {
  const std::unique_ptr<EventSource> source = std::move(response.events);
  if (!HasHeader(response, "content-type")) response.headers.emplace_back("Content-Type", "text/event-stream");
  if (!HasHeader(response, "cache-control")) response.headers.emplace_back("Cache-Control", "no-store");
  // It is the last answer of its connection, so whatever else the reader says is of no interest, but that it ends is.
  const bool chunked = !facts.http_1_0;
  MakeHead(response, facts, std::nullopt, chunked);
  bool written = co_await Write(head_, {});
  if (!written || facts.head_only) co_return written;
  std::string().swap(input_);
  input_at_ = 0;
  WatchReader();
  for (;;) {
    Enter(Stage::kStream, core_->settings.heartbeat);
    if (core_->stopping) Finish();
    if (!socket_.is_open()) co_return false;
    std::optional<std::string> piece = co_await source->Next();
    if (core_->lane.is_shut() || !socket_.is_open()) co_return false;
    Enter(Stage::kWrite, core_->settings.write_time);
    const std::string rest = std::exchange(heartbeat_, {});
    const std::string text = piece ? (piece->empty() ? std::string() : AsChunk(*piece, chunked))
                                   : std::string(chunked ? kLastChunk : std::string_view());
    written = co_await Write(rest, text);
    if (!written) co_return false;
    if (!piece) co_return true;
  }
}

// The reader has `write_time` to take one; further ones are not written behind it.
void Connection::Heartbeat() {
  const milliseconds pause = std::min(core_->settings.heartbeat, core_->settings.write_time);
  if (heartbeat_.empty()) {
    heartbeat_ = AsChunk(kHeartbeat, !http_1_0_);
    heartbeat_due_ = After(core_->settings.write_time);
  } else if (std::chrono::steady_clock::now() >= heartbeat_due_) {
    return Abort();
  }
  std::string_view rest = heartbeat_;
  std::string_view none;
  const Written written = TryWrite(rest, none);
  if (written == Written::kFailed) return Abort();
  heartbeat_.erase(0, heartbeat_.size() - rest.size());
  deadline_ = After(written == Written::kAll ? core_->settings.heartbeat : pause);
}

// ---- Connection: is anybody there

// A caller that has said all that it has to say may still want its answer: such a connection is half closed, and
// looks the same as one that its owner has left. What tells them apart is a word of ours, to which a kernel without
// an owner for it answers with a reset. "100 Continue" may come before any answer, and is dropped by whoever did not
// ask for it. What arrives meanwhile stays in the kernel, within its own bounds.
void Connection::WatchCaller() {
  if (!socket_.is_open()) return;
  milliseconds pause = kWatchPeriod;
  switch (os::LookAtPeer(socket_.native_handle())) {
    case os::Peer::kGone:
      return Abort();
    case os::Peer::kSaidAll:
      WatchForReset();
      // Most answers come before it is worth asking.
      if (!looked_) break;
      if (!AskForLife()) return Abort();
      // It may leave later as well, but is not asked every second for as long as it waits.
      doubt_ = std::clamp(2 * doubt_, kWatchPeriod, kLongestDoubt);
      pause = doubt_;
      break;
    case os::Peer::kThere:
      WatchForReset();
      break;
  }
  looked_ = true;
  Enter(Stage::kHandler, pause);
}

// False: it cannot be reached any more.
bool Connection::AskForLife() {
  if (http_1_0_) return true;  // knows no answers before the answer
  if (interim_.empty()) interim_ = kContinue;
  std::string_view rest = interim_;
  std::string_view none;
  const Written written = TryWrite(rest, none);
  interim_.erase(0, interim_.size() - rest.size());
  return written != Written::kFailed;
}

void Connection::WatchForReset() {
  if (std::exchange(watched_, true)) return;
  socket_.async_wait(Socket::wait_error, [weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->core_->lane.is_shut()) return;
    self->watched_ = false;
    if (self->stage_ == Stage::kHandler && os::LookAtPeer(self->socket_.native_handle()) == os::Peer::kGone)
      self->Abort();
  });
}

void Connection::WatchReader() {
  socket_.async_wait(Socket::wait_read, [weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self && !self->core_->lane.is_shut() && self->socket_.is_open()) self->DropInput();
  });
}

void Connection::DropInput() {
  if (stage_ == Stage::kLinger) return;
  for (;;) {
    error_code error;
    const std::size_t got = socket_.read_some(boost::asio::buffer(core_->scratch.data(), kReadSize), error);
    if (error == boost::asio::error::would_block) return WatchReader();
    if (error || got == 0) return Abort();
    dropped_ += got;
    if (dropped_ > kMostBehindStream) return Abort();
  }
}

}  // namespace weir::http
