#include "api/context.h"

#include "media/json_text.h"

namespace weir::api {

SystemView Context::View() const {
  return {.reading = reading(),
          .facts = facts,
          .figures = service.figures(),
          .window = window,
          .now = clock.Now(),
          .date = clock.WallNow()};
}

http::Response JsonOf(int status, const boost::json::value& document) {
  http::Response response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}};
  response.body = media::JsonText(document) + "\n";
  return response;
}

}  // namespace weir::api
