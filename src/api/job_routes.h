// Routes of jobs: accepted, looked at, changed, stopped and tried again.
#pragma once

#include <string>

#include "api/context.h"

namespace weir::api {

Reply PostJob(Context& context, http::Request request);
Reply GetJob(Context& context, http::Request request);
Reply GetJobs(Context& context, http::Request request);
Reply PatchJob(Context& context, http::Request request);
Reply DeleteJob(Context& context, http::Request request);
Reply PostCancel(Context& context, http::Request request);
Reply PostPause(Context& context, http::Request request);
Reply PostResume(Context& context, http::Request request);
Reply PostRetry(Context& context, http::Request request);

// Accepted, and as it is when it has ended or after `wait` seconds.
boost::asio::awaitable<Result<jobs::JobView>> Submit(Context& context, jobs::Submission submission,
                                                     std::int64_t wait);
// 202 as long as it goes on.
int StatusOf(const jobs::JobView& view);

}  // namespace weir::api
