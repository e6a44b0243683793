#include "api/submission.h"

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "api/request_headers.h"
#include "base/sha256.h"
#include "media/request_json.h"

namespace weir::api {

namespace json = boost::json;

namespace {

using Labels = std::map<std::string, std::string>;

// What holds where a job itself says nothing.
struct Defaults {
  std::optional<std::string> recipe;
  std::optional<std::string> params;
  std::optional<std::int64_t> priority;
  std::optional<bool> overwrite;
  Labels labels;  // and those of the job
};

Result<Defaults> DefaultsIn(const Fields& fields) {
  Defaults defaults;
  WEIR_ASSIGN(defaults.recipe, fields.Text("recipe", 64));
  WEIR_ASSIGN(defaults.params, fields.Object("params"));
  WEIR_ASSIGN(defaults.priority, fields.Integer("priority", 0, 100));
  WEIR_ASSIGN(defaults.overwrite, fields.Boolean("overwrite"));
  WEIR_ASSIGN(auto labels, fields.Labels("labels"));
  defaults.labels = std::move(labels).value_or(Labels());
  return defaults;
}

Result<jobs::Submission> JobIn(const Fields& fields, const Defaults& defaults) {
  WEIR_ASSIGN(auto own, DefaultsIn(fields));
  WEIR_ASSIGN(const auto inputs, fields.Texts("inputs", 1));
  WEIR_ASSIGN(const auto outputs, fields.Texts("outputs", 1));
  const auto recipe = own.recipe ? own.recipe : defaults.recipe;
  if (!recipe) {
    return Fail(ErrorCode::kBadParameters, "\"recipe\" is missing; GET /v1/recipes lists them");
  }
  if (!inputs || inputs->empty()) {
    return Fail(ErrorCode::kBadParameters, "\"inputs\" is missing: a list of one path");
  }
  own.labels.insert(defaults.labels.begin(), defaults.labels.end());
  if (own.labels.size() > kMostLabels) {
    return Fail(ErrorCode::kBadParameters, "\"labels\" are more than " + std::to_string(kMostLabels) +
                                               " with those that are given for all jobs");
  }
  const auto params = own.params ? own.params : defaults.params;
  const auto priority = own.priority ? own.priority : defaults.priority;
  const auto overwrite = own.overwrite ? own.overwrite : defaults.overwrite;
  return jobs::Submission{.recipe = *recipe,
                          .params = params.value_or(""),
                          .input = inputs->front(),
                          .output = outputs && !outputs->empty() ? outputs->front() : std::string(),
                          .overwrite = overwrite.value_or(false),
                          .priority = static_cast<int>(priority.value_or(50)),
                          .labels = std::move(own.labels)};
}

json::object AsJson(const Labels& labels) {
  json::object out;
  for (const auto& [key, value] : labels) {
    out[key] = value;
  }
  return out;
}

// Equal for requests that ask for the same, also in other words.
std::string DigestOf(const jobs::BatchSubmission& batch) {
  std::string all = json::serialize(AsJson(batch.labels));
  for (const auto& job : batch.jobs) {
    const auto read = media::RequestFromJson(job.recipe, job.params, job.output);
    all += json::serialize(json::array{job.recipe, read ? media::ParamsToJson(*read) : job.params, job.input,
                                       job.output, job.overwrite, job.priority, AsJson(job.labels)});
  }
  return ToHex(Sha256(all));
}

}  // namespace

Result<jobs::Submission> SubmissionOf(const http::Request& request) {
  WEIR_ASSIGN(const auto fields, Fields::Parse(request.body, {"recipe", "inputs", "params", "outputs", "overwrite",
                                                              "priority", "owner", "labels"}));
  WEIR_ASSIGN(const auto owner, fields.Text("owner", 128));
  WEIR_ASSIGN(auto submission, JobIn(fields, {}));
  submission.owner = owner.value_or(request.token_name);
  WEIR_ASSIGN(submission.idempotency_key, KeyOf(request));
  return submission;
}

Result<jobs::BatchSubmission> BatchOf(const http::Request& request) {
  WEIR_ASSIGN(const auto fields,
              Fields::Parse(request.body, {"jobs", "recipe", "params", "priority", "overwrite", "labels", "owner"}));
  WEIR_ASSIGN(auto defaults, DefaultsIn(fields));
  WEIR_ASSIGN(const auto owner, fields.Text("owner", 128));
  WEIR_ASSIGN(const auto items, fields.Objects("jobs", jobs::kMostInBatch));
  if (!items || items->empty()) {
    return Fail(Error{.code = ErrorCode::kBadParameters,
                      .detail = "\"jobs\" is missing: a list of 1 to " + std::to_string(jobs::kMostInBatch) + " jobs"}
                    .With("field", "jobs"));
  }
  jobs::BatchSubmission batch;
  batch.owner = owner.value_or(request.token_name);
  batch.jobs.reserve(items->size());
  for (const auto& item : *items) {
    const Status known = item.OnlyHas({"recipe", "inputs", "params", "outputs", "overwrite", "priority", "labels"});
    auto job = known ? JobIn(item, defaults) : Fail(known.error());
    if (!job) {
      const std::size_t index = batch.jobs.size();
      Error error = std::move(job).error();
      error.detail = "job " + std::to_string(index) + " of the batch: " + error.detail;
      return Fail(std::move(error).With("job", std::uint64_t{index}));
    }
    job->owner = batch.owner;
    batch.jobs.push_back(*std::move(job));
  }
  batch.labels = std::move(defaults.labels);
  WEIR_ASSIGN(batch.idempotency_key, KeyOf(request));
  if (!batch.idempotency_key.empty()) {
    batch.digest = DigestOf(batch);
  }
  return batch;
}

Result<jobs::Submission> CropOf(const Fields& fields) {
  WEIR_ASSIGN(const auto input, fields.Text("inputPath"));
  WEIR_ASSIGN(const auto output, fields.Text("outputPath"));
  WEIR_ASSIGN(const auto aspect, fields.Text("aspectRatio", 16));
  WEIR_ASSIGN(const auto focus, fields.Text("focusPoint", 32));
  WEIR_ASSIGN(const auto smart, fields.Boolean("smartCrop"));
  if (!input) {
    return Fail(ErrorCode::kBadParameters, "\"inputPath\" is missing");
  }
  if (smart.value_or(false)) {
    return Fail(ErrorCode::kBadParameters,
                "\"smartCrop\" cannot be done here: nothing in this installation finds subjects; give a focusPoint");
  }
  json::object params{{"aspect", aspect.value_or("9:16")}, {"focus", focus.value_or("center")}};
  // The system that this route comes from replaced whatever stood at the output.
  return jobs::Submission{.recipe = "crop",
                          .params = json::serialize(params),
                          .input = *input,
                          .output = output.value_or(""),
                          .overwrite = output.has_value()};
}

}  // namespace weir::api
