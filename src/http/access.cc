#include "http/access.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/sha256.h"
#include "base/text.h"
#include "http/target.h"

namespace weir::http {
namespace {

constexpr std::uint64_t kMostPerSecond = 1'000'000;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::optional<boost::asio::ip::address> ParseAddress(std::string_view text) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string(text), error);
  return error ? std::nullopt : std::optional(address);
}

// "[::1]:80" is "::1", "name:80" is "name". nullopt: not such a thing.
std::optional<std::string_view> WithoutPort(std::string_view host) {
  std::string_view name = host;
  std::string_view rest;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    name = host.substr(1, end - 1);
    rest = host.substr(end + 1);
  } else if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
    name = host.substr(0, colon);
    rest = host.substr(colon);
  }
  if (name.empty()) return std::nullopt;
  if (rest.empty()) return name;
  const auto port = rest.starts_with(':') ? ParseUnsigned(rest.substr(1)) : std::nullopt;
  if (!port || *port > 65535) return std::nullopt;
  return name;
}

std::string_view BearerOf(const Request& request) {
  if (const std::string* header = request.Header("authorization")) {
    constexpr std::string_view kScheme = "bearer ";
    const std::string_view value = *header;
    if (value.size() > kScheme.size() && EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) {
      return Trim(value.substr(kScheme.size()));
    }
    return {};
  }
  const std::string* key = request.Header("x-api-key");
  return key == nullptr ? std::string_view() : Trim(*key);
}

}  // namespace

Sites::Sites(const ServerSettings& settings, const std::string& address, std::uint16_t port) {
  hosts_ = {Lower(address), "localhost"};
  const auto parsed = ParseAddress(address);
  any_address_ = parsed && parsed->is_unspecified();
  if (parsed && parsed->is_loopback()) {
    hosts_.emplace_back("127.0.0.1");
    hosts_.emplace_back("::1");
  }
  for (const std::string& host : settings.hosts) {
    hosts_.push_back(Lower(host));
  }
  for (const std::string& host : hosts_) {
    const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    for (const std::string_view scheme : {"http://", "https://"}) {
      origins_.push_back(std::string(scheme) + name + ":" + std::to_string(port));
    }
    if (port == 80) origins_.push_back("http://" + name);
  }
  for (const std::string& host : settings.hosts) {  // behind a proxy: on the usual ports
    origins_.push_back("http://" + Lower(host));
    origins_.push_back("https://" + Lower(host));
  }
  for (const std::string& origin : settings.origins) {
    origins_.push_back(Lower(origin));
  }
}

bool Sites::IsOurHost(std::string_view host) const {
  const auto name = WithoutPort(host);
  if (!name) return false;
  if (std::ranges::any_of(hosts_, [&](const std::string& ours) { return EqualsIgnoreCase(ours, *name); }))
    return true;
  return any_address_ && ParseAddress(*name).has_value();
}

bool Sites::IsOurOrigin(std::string_view origin) const {
  return std::ranges::any_of(origins_, [&](const std::string& ours) { return EqualsIgnoreCase(ours, origin); });
}

std::optional<Caller> Identify(const Request& request, const std::vector<Token>& tokens) {
  const std::string_view secret = BearerOf(request);
  if (secret.empty()) return std::nullopt;
  const std::string digest = ToHex(Sha256(secret));
  const Token* found = nullptr;
  for (const Token& token : tokens) {
    if (EqualInConstantTime(token.sha256, digest)) found = &token;
  }
  if (found == nullptr) return std::nullopt;
  return Caller{.token_name = found->name, .scopes = found->scopes};
}

RateLimit::RateLimit(unsigned per_second, std::size_t most_callers)
    : per_second_(per_second), most_callers_(std::max<std::size_t>(most_callers, 1)) {}

std::optional<std::uint64_t> RateLimit::Take(const std::string& caller, SteadyTime now) {
  if (per_second_ <= 0) return std::nullopt;
  const auto known = by_caller_.find(caller);
  if (known != by_caller_.end()) {
    buckets_.splice(buckets_.begin(), buckets_, known->second);
  } else {
    if (buckets_.size() >= most_callers_) {
      by_caller_.erase(buckets_.back().caller);
      buckets_.pop_back();
    }
    buckets_.push_front({.caller = caller, .left = per_second_, .filled = now});
    by_caller_.emplace(buckets_.front().caller, buckets_.begin());
  }
  Bucket& bucket = buckets_.front();
  const double passed = std::max(0.0, Seconds(now - bucket.filled));
  bucket.left = std::min(per_second_, bucket.left + passed * per_second_);
  bucket.filled = now;
  if (bucket.left >= 1) {
    bucket.left -= 1;
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(std::max(1.0, std::ceil((1 - bucket.left) / per_second_)));
}

Result<RouteRate> ParseRouteRate(const std::string& text) {
  const auto wrong = [&](const std::string& why) {
    return Fail(ErrorCode::kBadParameters, Quoted(text) + " is not a rate of a route: " + why +
                                               "; write a method or *, a path, and requests per second, such as "
                                               "\"POST /v1/jobs 20\"");
  };
  const std::size_t first = text.find(' ');
  const std::size_t last = text.rfind(' ');
  if (first == std::string::npos || first == last) {
    return wrong("it has not three words");
  }
  RouteRate rate{.method = text.substr(0, first), .path = {}, .per_second = 0};
  constexpr std::array<std::string_view, 8> kMethods{"*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  if (std::ranges::find(kMethods, rate.method) == kMethods.end()) {
    return wrong(Quoted(rate.method) + " is not a method");
  }
  const std::string path = text.substr(first + 1, last - first - 1);
  auto target = ParseTarget(path);
  if (!target || !target->query.empty()) {
    return wrong(Quoted(path) + " is not a path");
  }
  rate.path = std::move(target->path);
  const auto number = ParseUnsigned(text.substr(last + 1));
  if (!number || *number < 1 || *number > kMostPerSecond) {
    return wrong("requests per second are a number from 1 to " + std::to_string(kMostPerSecond));
  }
  rate.per_second = static_cast<unsigned>(*number);
  return rate;
}

std::string NameOf(const RouteRate& rate) {
  std::string name = rate.method == "*" ? std::string() : rate.method + " ";
  if (rate.path.empty()) {
    return name + "/";
  }
  for (const auto& segment : rate.path) {
    name += "/" + Printable(segment);
  }
  return name;
}

RouteLimits::RouteLimits(std::vector<RouteRate> rates) : rates_(std::move(rates)) {
  for (const auto& rate : rates_) {
    limits_.emplace_back(rate.per_second);
  }
}

std::optional<RouteLimits::Refusal> RouteLimits::Take(const Request& request, const std::string& caller,
                                                      SteadyTime now) {
  for (std::size_t i = 0; i < rates_.size(); ++i) {
    const RouteRate& rate = rates_[i];
    const bool below = rate.path.size() <= request.path.size() &&
                       std::equal(rate.path.begin(), rate.path.end(), request.path.begin());
    // HEAD costs what GET does.
    const bool meant = rate.method == "*" || rate.method == NameOf(request.method) ||
                       (rate.method == "GET" && request.method == Method::kHead);
    if (!below || !meant) {
      continue;
    }
    if (const auto wait = limits_[i].Take(caller, now)) {
      return Refusal{.after = *wait, .rate = rate};
    }
  }
  return std::nullopt;
}

std::string CallerKey(const std::string& remote, const std::string& token_name) {
  std::string key = remote;
  const auto address = remote.find(':') == std::string::npos ? std::nullopt : ParseAddress(remote);
  if (address && address->is_v6()) {
    const auto bytes = address->to_v6().to_bytes();
    key.assign(bytes.begin(), bytes.begin() + 8);
  }
  return key + '\n' + token_name;
}

Status MayListen(const std::string& address, bool has_tokens) {
  const auto parsed = ParseAddress(address);
  if (!parsed) {
    return Fail(ErrorCode::kBadParameters, Quoted(address) + " is not an address; give one such as 127.0.0.1 or ::1");
  }
  if (!parsed->is_loopback() && !has_tokens) {
    return Fail(ErrorCode::kForbidden, "listening on " + address +
                                           " lets others in, and there are no tokens; make a token or "
                                           "listen on 127.0.0.1");
  }
  return {};
}

}  // namespace weir::http
