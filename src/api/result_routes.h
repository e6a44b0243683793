// Routes of what a job has said, used and made.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply GetLog(Context& context, http::Request request);
Reply GetTimeline(Context& context, http::Request request);
Reply GetArtifacts(Context& context, http::Request request);
Reply GetArtifact(Context& context, http::Request request);

}  // namespace weir::api
