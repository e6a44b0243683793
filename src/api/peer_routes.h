// Routes of the systems that Weir replaces, where their scripts expect them, answered from the same facts.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply PostVideoCrop(Context& context, http::Request request);
Reply GetVideoInfo(Context& context, http::Request request);
Reply GetPerformance(Context& context, http::Request request);
Reply GetHealth(Context& context, http::Request request);
Reply GetHealthMemory(Context& context, http::Request request);
Reply GetResources(Context& context, http::Request request);
Reply PostCleanup(Context& context, http::Request request);

}  // namespace weir::api
