#include "http/parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <utility>

#include "base/text.h"

namespace weir::http {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kMostHeaders = 100;
constexpr Bytes kLargestAnswerHeader = Bytes::Kib(64);

std::string LowerOf(beast::string_view text) {
  std::string out(text.data(), text.size());
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::uint32_t ToLimit(Bytes bytes) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(bytes.count() < kMost ? bytes.count() : kMost);
}

std::optional<Method> MethodOf(bhttp::verb verb) {
  switch (static_cast<unsigned>(verb)) {
    case static_cast<unsigned>(bhttp::verb::get):
      return Method::kGet;
    case static_cast<unsigned>(bhttp::verb::head):
      return Method::kHead;
    case static_cast<unsigned>(bhttp::verb::post):
      return Method::kPost;
    case static_cast<unsigned>(bhttp::verb::put):
      return Method::kPut;
    case static_cast<unsigned>(bhttp::verb::patch):
      return Method::kPatch;
    case static_cast<unsigned>(bhttp::verb::delete_):
      return Method::kDelete;
    case static_cast<unsigned>(bhttp::verb::options):
      return Method::kOptions;
    default:
      return std::nullopt;
  }
}

// What we refuse on top of the grammar is told by these.
error_code Stop() { return make_error_code(boost::system::errc::operation_canceled); }

class RequestGrammar final : public bhttp::basic_parser<true> {
 public:
  RequestGrammar(Request& request, std::optional<Refusal>& refusal) : request_(request), refusal_(refusal) {}
  [[nodiscard]] bool http_1_0() const { return version_ < 11; }

 private:
  void Refuse(int status, ErrorCode code, std::string detail, error_code& error) {
    refusal_ = Refusal{.status = status, .error = {.code = code, .detail = std::move(detail)}};
    error = Stop();
  }

  void on_request_impl(bhttp::verb verb, beast::string_view name, beast::string_view target, int version,
                       error_code& error) override {
    version_ = version;
    request_.target.assign(target.data(), target.size());
    const auto method = MethodOf(verb);
    if (!method)
      return Refuse(501, ErrorCode::kMethod, "unknown method " + Quoted({name.data(), name.size()}), error);
    request_.method = *method;
  }
  void on_response_impl(int /*code*/, beast::string_view /*reason*/, int /*version*/,
                        error_code& /*error*/) override {}
  void on_field_impl(bhttp::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    if (in_trailer_) return;  // nobody asked for any, and they must not pass for headers
    if (request_.headers.size() == kMostHeaders) {
      return Refuse(431, ErrorCode::kTooLarge, "more than " + std::to_string(kMostHeaders) + " headers", error);
    }
    if (field == bhttp::field::host && std::exchange(has_host_, true)) {
      return Refuse(400, ErrorCode::kMalformed, "more than one Host header", error);
    }
    if (field == bhttp::field::transfer_encoding && LowerOf(value) != "chunked") {
      return Refuse(501, ErrorCode::kMalformed, "a transfer encoding other than chunked", error);
    }
    if (field == bhttp::field::content_length && std::exchange(has_length_, true)) {
      return Refuse(400, ErrorCode::kMalformed, "more than one Content-Length header", error);
    }
    request_.headers.emplace_back(LowerOf(name), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code& error) override {
    in_trailer_ = true;
    if (chunked() && http_1_0()) return Refuse(400, ErrorCode::kMalformed, "a transfer encoding in HTTP/1.0", error);
    if (!has_host_ && !http_1_0()) return Refuse(400, ErrorCode::kMalformed, "no Host header", error);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/, error_code& /*error*/) override {}
  std::size_t on_body_impl(beast::string_view body, error_code& /*error*/) override {
    request_.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t /*size*/, beast::string_view /*extensions*/,
                            error_code& /*error*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, beast::string_view body, error_code& /*error*/) override {
    request_.body.append(body.data(), body.size());
    return body.size();
  }
  void on_finish_impl(error_code& /*error*/) override {}

  Request& request_;
  std::optional<Refusal>& refusal_;
  int version_ = 11;
  bool has_host_ = false;
  bool has_length_ = false;
  bool in_trailer_ = false;
};

}  // namespace

struct RequestParser::Impl {
  Bytes largest_header;
  Bytes largest_body;
  Request request;
  std::optional<Refusal> refusal;
  std::optional<RequestGrammar> grammar;
  std::size_t header_bytes = 0;
  bool told_header = false;

  Parsed Refuse(int status, ErrorCode code, std::string detail) {
    refusal = Refusal{.status = status, .error = {.code = code, .detail = std::move(detail)}};
    return Parsed::kRefused;
  }
  Parsed RefuseHeader() {
    return Refuse(431, ErrorCode::kTooLarge, "a header of more than " + ToString(largest_header));
  }
};

RequestParser::RequestParser(Bytes largest_header, Bytes largest_body)
    : impl_(std::make_unique<Impl>(Impl{.largest_header = largest_header, .largest_body = largest_body})) {
  Reset();
}
RequestParser::~RequestParser() = default;

void RequestParser::Reset() {
  Impl& self = *impl_;
  self.request = Request();
  self.refusal.reset();
  self.grammar.emplace(self.request, self.refusal);
  // Ours is the sum over all lines, see Put.
  self.grammar->header_limit(ToLimit(self.largest_header + Bytes(1)));
  self.grammar->body_limit(self.largest_body.count());
  self.header_bytes = 0;
  self.told_header = false;
}

Parsed RequestParser::Put(std::string_view bytes, std::size_t& used) {
  Impl& self = *impl_;
  RequestGrammar& grammar = *self.grammar;
  used = 0;
  if (self.refusal) return Parsed::kRefused;
  // Empty lines before a request are to be forgiven, within reason: the bytes count as header.
  while (!grammar.got_some() && bytes.size() >= 2 && bytes.starts_with("\r\n")) {
    bytes.remove_prefix(2);
    used += 2;
    self.header_bytes += 2;
  }
  while (!grammar.is_done()) {
    const bool in_header = !grammar.is_header_done();
    error_code error;
    const std::size_t taken = grammar.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(taken);
    used += taken;
    if (self.refusal) return Parsed::kRefused;
    if (in_header) self.header_bytes += taken;
    const std::size_t pending = error == bhttp::error::need_more ? bytes.size() : 0;
    if ((in_header ? self.header_bytes : 0) + pending > self.largest_header.count()) {
      return self.RefuseHeader();
    }
    if (error == bhttp::error::need_more) return Parsed::kMore;
    if (error == bhttp::error::header_limit) return self.RefuseHeader();
    if (error == bhttp::error::body_limit) {
      return self.Refuse(413, ErrorCode::kTooLarge, "a body of more than " + ToString(self.largest_body));
    }
    if (error == bhttp::error::bad_version) {
      return self.Refuse(400, ErrorCode::kMalformed, "not a version of HTTP that we speak; use HTTP/1.1");
    }
    if (error) return self.Refuse(400, ErrorCode::kMalformed, "the request cannot be read: " + error.message());
    if (in_header && grammar.is_header_done() && !std::exchange(self.told_header, true)) return Parsed::kHeader;
    if (bytes.empty() && !grammar.is_done()) return Parsed::kMore;
  }
  return Parsed::kDone;
}

Request& RequestParser::request() { return impl_->request; }
bool RequestParser::keep_alive() const { return impl_->grammar->is_header_done() && impl_->grammar->keep_alive(); }
bool RequestParser::http_1_0() const { return impl_->grammar->http_1_0(); }
bool RequestParser::expects_body() const { return !impl_->grammar->is_done(); }
bool RequestParser::has_refusal() const { return impl_->refusal.has_value(); }
const Refusal& RequestParser::refusal() const { return *impl_->refusal; }

namespace {

class AnswerGrammar final : public bhttp::basic_parser<false> {
 public:
  AnswerGrammar(Answer& answer, std::optional<Error>& failure, const std::function<Status(std::string_view)>& take,
                std::uint64_t largest)
      : answer_(answer), failure_(failure), take_(take), left_(largest) {}

 private:
  void on_request_impl(bhttp::verb /*verb*/, beast::string_view /*name*/, beast::string_view /*target*/,
                       int /*version*/, error_code& /*error*/) override {}
  void on_response_impl(int code, beast::string_view /*reason*/, int /*version*/, error_code& /*error*/) override {
    answer_.status = code;
  }
  void on_field_impl(bhttp::field /*field*/, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    if (in_trailer_) return;
    if (answer_.headers.size() == kMostHeaders) {
      error = bhttp::error::header_limit;
      return;
    }
    answer_.headers.emplace_back(LowerOf(name), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code& /*error*/) override { in_trailer_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/, error_code& /*error*/) override {}
  std::size_t Take(beast::string_view body, error_code& error) {
    const std::string_view bytes(body.data(), body.size());
    if (take_ && answer_.status == 200) {
      if (Status status = take_(bytes); !status) {
        failure_ = std::move(status).error();
        error = Stop();
      }
      return body.size();
    }
    if (bytes.size() > left_) {
      error = bhttp::error::body_limit;
      return body.size();
    }
    left_ -= bytes.size();
    answer_.body += bytes;
    return body.size();
  }
  std::size_t on_body_impl(beast::string_view body, error_code& error) override { return Take(body, error); }
  void on_chunk_header_impl(std::uint64_t /*size*/, beast::string_view /*extensions*/,
                            error_code& /*error*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, beast::string_view body, error_code& error) override {
    return Take(body, error);
  }
  void on_finish_impl(error_code& /*error*/) override {}

  Answer& answer_;
  std::optional<Error>& failure_;
  const std::function<Status(std::string_view)>& take_;
  std::uint64_t left_;
  bool in_trailer_ = false;
};

}  // namespace

struct AnswerParser::Impl {
  std::uint64_t largest_body;
  bool has_no_body;
  std::function<Status(std::string_view)> take;
  Answer answer;
  std::optional<Error> failure;
  std::optional<AnswerGrammar> grammar;
  bool told_header = false;

  void Begin() {
    answer = Answer();
    grammar.emplace(answer, failure, take, largest_body);
    grammar->header_limit(ToLimit(kLargestAnswerHeader));
    grammar->body_limit(boost::none);
    grammar->skip(has_no_body);
  }
};

AnswerParser::AnswerParser(Bytes largest_body, bool has_no_body, std::function<Status(std::string_view)> take_body)
    : impl_(std::make_unique<Impl>(
          Impl{.largest_body = largest_body.count(), .has_no_body = has_no_body, .take = std::move(take_body)})) {
  impl_->Begin();
}
AnswerParser::~AnswerParser() = default;

Result<Parsed> AnswerParser::Put(std::string_view bytes, std::size_t& used) {
  Impl& self = *impl_;
  used = 0;
  while (!self.grammar->is_done()) {
    const bool in_header = !self.grammar->is_header_done();
    error_code error;
    const std::size_t taken = self.grammar->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(taken);
    used += taken;
    if (self.failure) return Fail(*self.failure);
    if (error == bhttp::error::body_limit) {
      return Fail(ErrorCode::kTooLarge, "the server's answer is larger than " + ToString(Bytes(self.largest_body)));
    }
    if (error == bhttp::error::header_limit ||
        (error == bhttp::error::need_more && bytes.size() > kLargestAnswerHeader.count())) {
      return Fail(ErrorCode::kTooLarge, "the header of the server's answer is too large");
    }
    if (error == bhttp::error::need_more) return Parsed::kMore;
    if (error) return Fail(ErrorCode::kMalformed, "the server's answer cannot be read: " + error.message());
    if (in_header && self.grammar->is_header_done()) {
      if (self.answer.status >= 100 && self.answer.status < 200) {  // an interim answer: the real one follows
        self.Begin();
        if (bytes.empty()) return Parsed::kMore;
        continue;
      }
      if (!std::exchange(self.told_header, true)) return Parsed::kHeader;
    }
    if (bytes.empty() && !self.grammar->is_done()) return Parsed::kMore;
  }
  return Parsed::kDone;
}

bool AnswerParser::End() {
  if (!impl_->grammar->got_some()) return false;
  error_code error;
  if (!impl_->grammar->is_done()) impl_->grammar->put_eof(error);
  return !error;
}
Answer& AnswerParser::answer() { return impl_->answer; }

}  // namespace weir::http
