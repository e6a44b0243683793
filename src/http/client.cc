#include "http/client.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "base/clock.h"
#include "base/text.h"
#include "http/events.h"
#include "http/parser.h"

namespace weir::http {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr Bytes kLargestAnswer = Bytes::Mib(16);
constexpr milliseconds kConnectTime{10'000};
constexpr milliseconds kSilence{90'000};  // several heartbeats of a server

// "Connection refused" in the middle of a sentence.
std::string ReasonOf(const error_code& error) {
  std::string text = error.message();
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

bool IsClean(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

// One connection for one request; everything it waits for has an end.
class Call {
 public:
  explicit Call(std::string where) : where_(std::move(where)), socket_(loop_) {}

  void Limit(milliseconds time) { until_ = std::chrono::steady_clock::now() + time; }

  Status Connect(const std::string& host, const std::string& port) {
    error_code error;
    tcp::resolver resolver(loop_);
    const auto endpoints = resolver.resolve(host, port, tcp::resolver::numeric_service, error);
    if (error) return Unreachable(ReasonOf(error));
    std::optional<error_code> done;
    boost::asio::async_connect(socket_, endpoints,
                               [&](const error_code& result, const tcp::endpoint&) { done = result; });
    WEIR_TRY(Wait([&] { return done.has_value(); }));
    return *done ? Unreachable(ReasonOf(*done)) : Status();
  }

  Status Write(std::string_view first, std::string_view second) {
    const std::array<boost::asio::const_buffer, 2> both{boost::asio::buffer(first.data(), first.size()),
                                                        boost::asio::buffer(second.data(), second.size())};
    std::optional<error_code> done;
    boost::asio::async_write(socket_, both, [&](const error_code& result, std::size_t) { done = result; });
    WEIR_TRY(Wait([&] { return done.has_value(); }));
    // A server that refuses may answer and close before it has read all: its answer is worth reading.
    return {};
  }

  // nullopt: it said all.
  Result<std::optional<std::string_view>> Read() {
    std::optional<error_code> done;
    std::size_t got = 0;
    socket_.async_read_some(boost::asio::buffer(chunk_), [&](const error_code& result, std::size_t size) {
      done = result;
      got = size;
    });
    WEIR_TRY(Wait([&] { return done.has_value(); }));
    if (*done == boost::asio::error::eof) return std::nullopt;
    if (*done) return Fail(ErrorCode::kUnreachable, "the connection to " + where_ + " broke: " + ReasonOf(*done));
    return std::string_view(chunk_.data(), got);
  }

  std::unexpected<Error> Unreachable(const std::string& reason) const {
    return Fail(ErrorCode::kUnreachable, "no answer from " + where_ + ": " + reason + "; is weir serve running?");
  }

 private:
  template <typename Condition>
  Status Wait(const Condition& done) {
    loop_.restart();
    while (!done() && loop_.run_one_until(until_) > 0) {
    }
    if (done()) return {};
    // Its handler points into the caller's frame: end it before that frame goes.
    error_code ignored;
    ignored = socket_.close(ignored);
    while (!done() && loop_.run_one() > 0) {
    }
    return Fail(ErrorCode::kTimedOut, where_ + " did not answer in time");
  }

  std::string where_;
  boost::asio::io_context loop_;
  tcp::socket socket_;
  std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::time_point::max();
  std::array<char, 16384> chunk_{};
};

struct Wire {
  const std::string& host;
  const std::string& port;
  const std::string& token;
};

std::string Where(const Wire& wire) {
  return (wire.host.find(':') == std::string::npos ? wire.host : "[" + wire.host + "]") + ":" + wire.port;
}

Result<std::string> MakeHead(const Wire& wire, Method method, const std::string& target, std::size_t body,
                             const std::vector<std::pair<std::string, std::string>>& headers) {
  if (!target.starts_with('/') || target.find(' ') != std::string::npos || !IsClean(target)) {
    return Fail(ErrorCode::kBadParameters, "not a path to ask for: " + Quoted(target));
  }
  std::string head(NameOf(method));
  head += ' ' + target + " HTTP/1.1\r\nHost: " + Where(wire) + "\r\nConnection: close\r\nUser-Agent: weir\r\n";
  if (!wire.token.empty()) head += "Authorization: Bearer " + wire.token + "\r\n";
  for (const auto& [name, value] : headers) {
    if (name.empty() || !IsClean(name) || !IsClean(value)) {
      return Fail(ErrorCode::kBadParameters, "not a header to send: " + Quoted(name));
    }
    head += name;
    head += ": " + value + "\r\n";
  }
  if (body > 0 || method == Method::kPost || method == Method::kPut || method == Method::kPatch) {
    head += "Content-Length: " + std::to_string(body) + "\r\n";
  }
  return head + "\r\n";
}

// Sends and reads until the answer is whole; `each` may end it sooner by an error.
Status Exchange(Call& call, AnswerParser& parser, std::string_view head, std::string_view body,
                milliseconds silence) {
  WEIR_TRY(call.Write(head, body));
  std::string pending;
  for (bool any = false;; any = true) {
    if (silence.count() > 0) call.Limit(silence);
    WEIR_ASSIGN(const std::optional<std::string_view> fresh, call.Read());
    if (!fresh) {
      if (parser.End()) return {};
      return any ? Fail(ErrorCode::kUnreachable, "the connection ended in the middle of an answer")
                 : call.Unreachable("it hung up");
    }
    pending += *fresh;
    for (Parsed parsed = Parsed::kHeader; parsed == Parsed::kHeader;) {
      std::size_t used = 0;
      auto put = parser.Put(pending, used);
      pending.erase(0, used);
      if (!put) return std::unexpected(std::move(put).error());
      if (*put == Parsed::kDone) return {};
      parsed = *put;
    }
  }
}

// The value of a string member in a JSON text of ours, with its simple escapes undone. For sentences alone.
std::string StringMember(std::string_view json, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":\"";
  const std::size_t start = json.find(key);
  if (start == std::string_view::npos) return {};
  std::string out;
  for (std::size_t i = start + key.size(); i < json.size() && json[i] != '"'; ++i) {
    if (json[i] == '\\' && i + 1 < json.size()) ++i;
    out += json[i];
  }
  return out;
}

Error ErrorOf(const Answer& answer) {
  const std::string type = StringMember(answer.body, "type");
  const std::string detail = StringMember(answer.body, "detail");
  Error error{.code = answer.status == 404 ? ErrorCode::kNotFound : ErrorCode::kInternal,
              .detail = detail.empty() ? "the server answered with status " + std::to_string(answer.status) : detail};
  const std::string name = type.substr(type.rfind('/') + 1);
  for (const ErrorInfo& info : ErrorTable()) {
    if (info.name == name) error.code = info.code;
  }
  return error;
}

}  // namespace

Result<Client> Client::For(const std::string& server, std::string token) {
  constexpr std::string_view kScheme = "http://";
  const auto bad = [&] {
    return Fail(ErrorCode::kBadParameters,
                Quoted(server) + " is not a server; give one such as http://127.0.0.1:4545");
  };
  if (!server.starts_with(kScheme)) return bad();
  std::string_view rest = std::string_view(server).substr(kScheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  Client client;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find("]:");
    if (end == std::string_view::npos) return bad();
    client.host_ = rest.substr(1, end - 1);
    client.port_ = rest.substr(end + 2);
  } else {
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos) return bad();
    client.host_ = rest.substr(0, colon);
    client.port_ = rest.substr(colon + 1);
  }
  const auto port = ParseUnsigned(client.port_);
  const bool odd_host =
      client.host_.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") !=
      std::string::npos;
  if (client.host_.empty() || odd_host || !port || *port == 0 || *port > 65535) return bad();
  if (!IsClean(token)) return Fail(ErrorCode::kBadParameters, "the token has a line break in it");
  client.token_ = std::move(token);
  return client;
}

Result<Answer> Client::Ask(Method method, const std::string& target, const std::string& body,
                           const std::vector<std::pair<std::string, std::string>>& headers,
                           milliseconds patience) const {
  const Wire wire{.host = host_, .port = port_, .token = token_};
  WEIR_ASSIGN(const std::string head, MakeHead(wire, method, target, body.size(), headers));
  Call call(Where(wire));
  call.Limit(patience);
  WEIR_TRY(call.Connect(host_, port_));
  AnswerParser parser(kLargestAnswer, method == Method::kHead);
  WEIR_TRY(Exchange(call, parser, head, body, milliseconds(0)));
  return std::move(parser.answer());
}

Status Client::Watch(
    const std::string& target, const std::string& last_event_id,
    const std::function<bool(std::string_view id, std::string_view type, std::string_view data)>& on_event) const {
  const Wire wire{.host = host_, .port = port_, .token = token_};
  std::vector<std::pair<std::string, std::string>> headers{{"Accept", "text/event-stream"}};
  if (!last_event_id.empty()) headers.emplace_back("Last-Event-ID", last_event_id);
  WEIR_ASSIGN(const std::string head, MakeHead(wire, Method::kGet, target, 0, headers));
  Call call(Where(wire));
  call.Limit(kConnectTime);
  WEIR_TRY(call.Connect(host_, port_));
  EventParser events;
  bool enough = false;
  AnswerParser parser(kLargestAnswer, false, [&](std::string_view bytes) -> Status {
    WEIR_ASSIGN(const bool more, events.Feed(bytes, on_event));
    enough = !more;
    return more ? Status() : Fail(ErrorCode::kInterrupted, "enough");
  });
  Status status = Exchange(call, parser, head, {}, kSilence);
  if (enough) return {};
  if (!status) return status;
  if (parser.answer().status != 200) return Fail(ErrorOf(parser.answer()));
  return {};
}

}  // namespace weir::http
