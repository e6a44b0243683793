// Bodies that ask for work, as the service takes them. Pure.
#pragma once

#include "api/fields.h"
#include "base/result.h"
#include "http/message.h"
#include "jobs/service.h"

namespace weir::api {

// The body of POST /v1/jobs and POST /v1/plan with its headers. Errors: those of Fields, and kBadParameters for what
// is missing.
Result<jobs::Submission> SubmissionOf(const http::Request& request);
// The body of POST /v1/batches with its headers. Errors: as above; those of one job have its index ("job", from 0).
Result<jobs::BatchSubmission> BatchOf(const http::Request& request);
// The body of POST /video/crop. Errors: as above.
Result<jobs::Submission> CropOf(const Fields& fields);

}  // namespace weir::api
