#include "api/system_routes.h"

#include <boost/json.hpp>
#include <memory>
#include <string>
#include <utility>

#include "http/range.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using http::Request;
using http::Response;

Response Drain(Context& context, bool draining) {
  context.service.SetDraining(draining);
  return JsonOf(200, json::object{{"draining", draining}});
}

bool HasAlready(const Request& request, const LazyText::Text& document) {
  Request conditions;
  if (const auto* tags = request.Header("if-none-match")) {
    conditions.headers.emplace_back("if-none-match", *tags);
  }
  return http::ChoosePart(conditions, Bytes(document.text.size()), document.etag).status == 304;
}

}  // namespace

Reply GetSystem(Context& context, Request /*request*/) { co_return JsonOf(200, SystemAsJson(context.View())); }

Reply GetMemory(Context& context, Request /*request*/) {
  co_return JsonOf(200, MemoryAsJson(context.View(), context.history()));
}

Reply GetHealthz(Context& /*context*/, Request /*request*/) {
  co_return JsonOf(200, json::object{{"status", "alive"}});
}

Reply GetReadyz(Context& context, Request /*request*/) {
  const auto view = context.View();
  const std::string why = view.figures.draining ? "draining" : view.reading.not_ready;
  co_return JsonOf(why.empty() ? 200 : 503, json::object{{"ready", why.empty()},
                                                         {"reason", why.empty() ? json::value() : json::value(why)},
                                                         {"backend", view.reading.backend},
                                                         {"enclosed", view.reading.enclosed}});
}

Reply GetMetrics(Context& context, Request /*request*/) {
  Response response;
  response.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}};
  response.body = Metrics(context.View());
  if (const auto* learning = context.service.learning()) {
    response.body += ForecastMetrics(learning->summary());
  }
  co_return response;
}

Reply GetDocument(Context& context, Request request) {
  const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  const auto document = context.document.Get(executor);
  Response response;
  response.headers = {{"ETag", document->etag}, {"Cache-Control", "no-cache"}};
  if (HasAlready(request, *document)) {
    response.status = 304;
    co_return response;
  }
  response.headers.emplace_back("Content-Type", "application/json");
  response.shared_body = std::shared_ptr<const std::string>(document, &document->text);
  co_return response;
}

Reply PostDrain(Context& context, Request /*request*/) { co_return Drain(context, true); }
Reply PostUndrain(Context& context, Request /*request*/) { co_return Drain(context, false); }

}  // namespace weir::api
