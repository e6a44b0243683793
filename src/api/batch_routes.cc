#include "api/batch_routes.h"

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "api/job_json.h"
#include "api/submission.h"

namespace weir::api {
namespace {

using boost::asio::awaitable;
using http::Request;

// Counting thousands of jobs is not done at every word of one of them.
constexpr std::chrono::milliseconds kBetweenLooks{250};

// The batch when it has ended, or as it is after `seconds`.
awaitable<Result<jobs::BatchView>> WaitForEnd(Context& context, std::string id, std::int64_t seconds) {
  const SteadyTime until = context.clock.Now() + std::chrono::seconds(seconds);
  const auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::steady_timer pause(executor);
  const std::string any_job;
  while (true) {
    const std::uint64_t version = context.service.version();
    auto view = context.service.FindBatch(id);
    if (!view || view->ended || context.clock.Now() >= until) {
      co_return view;
    }
    pause.expires_after(kBetweenLooks);
    boost::system::error_code cancelled;
    auto token = boost::asio::redirect_error(boost::asio::use_awaitable, cancelled);
    co_await pause.async_wait(token);
    co_await context.service.Changed(any_job, version, until);
  }
}

}  // namespace

Reply PostBatch(Context& context, Request request) {
  auto batch = BatchOf(request);
  request.DropBody();
  if (!batch) {
    co_return Fail(std::move(batch).error());
  }
  auto view = co_await Awaited<Result<jobs::BatchView>>(
      [&](auto done) { context.service.SubmitBatch(*std::move(batch), std::move(done)); });
  if (const std::int64_t wait = WaitOf(request); view && wait > 0) {
    const std::string id = view->record.id;
    view = co_await WaitForEnd(context, id, wait);
  }
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  auto response = JsonOf(view->ended ? 200 : 202, BatchAsJson(*view));
  response.headers.emplace_back("Location", "/v1/batches/" + view->record.id);
  co_return response;
}

Reply GetBatch(Context& context, Request request) {
  auto view = co_await WaitForEnd(context, request.path[2], WaitOf(request));
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  co_return JsonOf(200, BatchAsJson(*view));
}

Reply PostCancelBatch(Context& context, Request request) {
  auto view = co_await Awaited<Result<jobs::BatchView>>(
      [&](auto done) { context.service.CancelBatch(request.path[2], std::move(done)); });
  if (!view) {
    co_return Fail(std::move(view).error());
  }
  co_return JsonOf(200, BatchAsJson(*view));
}

}  // namespace weir::api
