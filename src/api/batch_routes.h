// Routes of batches: many jobs that were accepted together.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply PostBatch(Context& context, http::Request request);
Reply GetBatch(Context& context, http::Request request);
Reply PostCancelBatch(Context& context, http::Request request);

}  // namespace weir::api
