// Routes of the daemon itself: what it is doing, whether it takes work, and the document that describes its routes.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply GetSystem(Context& context, http::Request request);
Reply GetMemory(Context& context, http::Request request);
Reply GetHealthz(Context& context, http::Request request);
Reply GetReadyz(Context& context, http::Request request);
Reply GetMetrics(Context& context, http::Request request);
Reply GetDocument(Context& context, http::Request request);
Reply PostDrain(Context& context, http::Request request);
Reply PostUndrain(Context& context, http::Request request);

}  // namespace weir::api
