// Server-sent events: of one job until it ends, or of all jobs.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply GetJobEvents(Context& context, http::Request request);
Reply GetEvents(Context& context, http::Request request);

}  // namespace weir::api
