#include "jobs/stored_request.h"

#include <boost/json.hpp>
#include <string_view>

#include "jobs/account_json.h"
#include "jobs/outcome_json.h"
#include "jobs/service.h"
#include "media/request_json.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;

std::string ArtifactName(const std::string& recipe, const media::Request& request) {
  return recipe + "." + std::string(media::ExtensionOf(request.output));
}

}  // namespace

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<StoredRequest> RequestOf(const Submission& submission) {
  StoredRequest stored{.request = {},
                       .input = submission.input,
                       .output = submission.output,
                       .artifact = {},
                       .overwrite = submission.overwrite};
  WEIR_ASSIGN(stored.request,
              media::RequestFromJson(submission.recipe, submission.params, FileName(submission.output)));
  stored.artifact = ArtifactName(submission.recipe, stored.request);
  return stored;
}

Result<StoredRequest> RequestFromDocument(const std::string& recipe, const std::string& document) {
  const auto fields = ParsedObject(document);
  const auto text = [&](const char* key) {
    const auto* value = fields.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  const auto* overwrite = fields.if_contains("overwrite");
  const auto* params = fields.if_contains("params");
  return RequestOf({.recipe = recipe,
                    .params = params != nullptr ? json::serialize(*params) : "",
                    .input = text("input"),
                    .output = text("output"),
                    .overwrite = overwrite != nullptr && overwrite->is_bool() && overwrite->as_bool()});
}

std::string DocumentOf(const StoredRequest& stored) {
  return json::serialize(json::object{{"params", ParsedObject(media::ParamsToJson(stored.request))},
                                      {"input", Text(stored.input)},
                                      {"output", Text(stored.output)},
                                      {"overwrite", stored.overwrite}});
}

std::string LabelsAsJson(const std::map<std::string, std::string>& labels) {
  json::object out;
  for (const auto& [key, value] : labels) {
    out[key] = value;
  }
  return json::serialize(out);
}

}  // namespace weir::jobs
