#include "api/submission.h"

#include <boost/json.hpp>
#include <map>
#include <string>
#include <utility>

#include "api/context.h"

namespace weir::api {

namespace json = boost::json;

Result<jobs::Submission> SubmissionOf(const http::Request& request) {
  WEIR_ASSIGN(const auto fields, Fields::Parse(request.body, {"recipe", "inputs", "params", "outputs", "overwrite",
                                                              "priority", "owner", "labels"}));
  jobs::Submission submission;
  WEIR_ASSIGN(const auto recipe, fields.Text("recipe", 64));
  WEIR_ASSIGN(const auto inputs, fields.Texts("inputs", 1));
  WEIR_ASSIGN(const auto outputs, fields.Texts("outputs", 1));
  WEIR_ASSIGN(const auto params, fields.Object("params"));
  WEIR_ASSIGN(const auto overwrite, fields.Boolean("overwrite"));
  WEIR_ASSIGN(const auto priority, fields.Integer("priority", 0, 100));
  WEIR_ASSIGN(const auto owner, fields.Text("owner", 128));
  WEIR_ASSIGN(auto labels, fields.Labels("labels"));
  if (!recipe) {
    return Fail(ErrorCode::kBadParameters, "\"recipe\" is missing; GET /v1/recipes lists them");
  }
  if (!inputs || inputs->empty()) {
    return Fail(ErrorCode::kBadParameters, "\"inputs\" is missing: a list of one path");
  }
  submission.recipe = *recipe;
  submission.input = inputs->front();
  submission.output = outputs && !outputs->empty() ? outputs->front() : std::string();
  submission.params = params.value_or("");
  submission.overwrite = overwrite.value_or(false);
  submission.priority = static_cast<int>(priority.value_or(50));
  submission.owner = owner.value_or(request.token_name);
  submission.labels = std::move(labels).value_or(std::map<std::string, std::string>());
  WEIR_ASSIGN(submission.idempotency_key, KeyOf(request));
  return submission;
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
