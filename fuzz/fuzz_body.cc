// Any bytes as the body of a request that asks for work: what is understood is within its bounds, and what is not has
// a sentence that is safe to print. The first byte chooses whose body it is.
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/submission.h"
#include "require.h"

namespace {

void CheckSubmission(const weir::jobs::Submission& submission) {
  Require(submission.priority >= 0 && submission.priority <= 100);
  Require(submission.recipe.size() <= 64);
  Require(submission.owner.size() <= 128);
  Require(submission.input.find('\0') == std::string::npos && submission.output.find('\0') == std::string::npos);
  Require(submission.labels.size() <= 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  if (size == 0) return 0;
  http::Request request{.method = http::Method::kPost, .target = "/v1/jobs", .path = {"v1", "jobs"}};
  request.body.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto check = [](const Error& error) {
    Require(!error.detail.empty() && error.detail.size() < 4000);
    for (const char c : error.detail) Require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  };
  if (*data % 2 == 0) {
    const auto submission = api::SubmissionOf(request);
    submission ? CheckSubmission(*submission) : check(submission.error());
    return 0;
  }
  const auto batch = api::BatchOf(request);
  if (!batch) {
    check(batch.error());
    return 0;
  }
  Require(!batch->jobs.empty() && batch->jobs.size() <= 5000);
  for (const auto& submission : batch->jobs) CheckSubmission(submission);
  return 0;
}
