// StoredRequest: what the store keeps of an accepted request, enough to carry it out again in another life. Pure.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "media/recipe.h"

namespace weir::jobs {

struct Submission;

struct StoredRequest {
  media::Request request;
  std::string input;   // below the media roots
  std::string output;  // below the media roots; "" for an artefact
  std::string artifact;
  bool overwrite = false;
};

// Errors: kBadParameters, kOutputFormat; of a document also when a version that knew other words wrote it.
Result<StoredRequest> RequestOf(const Submission& submission);
Result<StoredRequest> RequestFromDocument(const std::string& recipe, const std::string& document);
std::string DocumentOf(const StoredRequest& stored);

// The last part of a path: what a file is called, whichever folder it is in.
std::string FileName(const std::string& path);
// A JSON object of strings.
std::string LabelsAsJson(const std::map<std::string, std::string>& labels);

}  // namespace weir::jobs
