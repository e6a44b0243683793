// What every route has at hand, and what all of them do alike.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/api.h"
#include "api/lazy_text.h"
#include "api/rendered.h"
#include "api/request_headers.h"
#include "api/system_json.h"
#include "api/unchanged.h"
#include "api/window.h"
#include "base/result.h"
#include "http/message.h"
#include "jobs/service.h"

namespace weir::api {

// Outlives every call of a handler.
struct Context {
  const Clock& clock;
  jobs::JobService& service;
  const store::Artifacts& artifacts;
  Facts facts;
  std::function<SystemReading()> reading;
  std::function<Bytes()> clean_up;
  std::function<GovernanceHistory()> history;
  LazyText document;  // GET /openapi.json
  Window window{};
  Rendered rendered{Bytes::Mib(1)};
  Unchanged unchanged{Bytes::Mib(1)};

  [[nodiscard]] SystemView View() const;
};

using Reply = boost::asio::awaitable<Result<http::Response>>;
// On the loop's thread, any number of calls at a time.
using Handler = Reply (*)(Context& context, http::Request request);

http::Response JsonOf(int status, const boost::json::value& document);

// The call with a callback as an awaitable: `start` gets the callback, which is called once, later, from the loop. A
// caller who goes away meanwhile ends the wait, not the call.
template <typename T, typename Start>
boost::asio::awaitable<T> Awaited(Start start) {
  struct Meeting {
    explicit Meeting(const boost::asio::any_io_executor& executor)
        : arrived(executor, boost::asio::steady_timer::time_point::max()) {}
    boost::asio::steady_timer arrived;
    std::optional<T> value;
  };
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto meeting = std::make_shared<Meeting>(executor);
  start([meeting](T value) {
    meeting->value.emplace(std::move(value));
    meeting->arrived.cancel();
  });
  while (!meeting->value) {
    boost::system::error_code cancelled;
    auto token = boost::asio::redirect_error(boost::asio::use_awaitable, cancelled);
    co_await meeting->arrived.async_wait(token);
  }
  co_return std::move(*meeting->value);
}

}  // namespace weir::api
