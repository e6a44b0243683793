// How batches look in the served document.
#include <boost/json.hpp>
#include <utility>

#include "api/schema.h"
#include "jobs/service.h"

namespace weir::api {

namespace json = boost::json;

void AddBatchSchemas(json::object& schemas) {
  const auto most = static_cast<std::int64_t>(jobs::kMostInBatch);
  // As a job that is submitted alone; the batch says what it does not say itself, and whose it is.
  const auto alone = schemas.at("JobRequest").at("properties").as_object();
  Members members;
  for (const auto& member : alone) {
    if (member.key() != "owner") {
      members.push_back({.name = member.key(), .schema = member.value(), .required = member.key() == "inputs"});
    }
  }
  schemas["BatchJob"] = Object(members);
  const auto shared = [&](const char* name) { return Maybe(name, alone.at(name)); };
  schemas["BatchRequest"] = Object(
      {{"jobs", List(Ref("BatchJob"), 1, most)},
       shared("recipe"),
       Maybe("params", Described(alone.at("params").as_object(), "Of jobs that have none of their own.")),
       shared("priority"),
       shared("overwrite"),
       Maybe("labels", Described(alone.at("labels").as_object(), "Of the batch, and of each job beside its own.")),
       shared("owner")});
  schemas["BatchRequest"].as_object()["examples"] = json::array{
      json::parse(R"({"recipe":"crop","params":{"size":"1080x1920"},"labels":{"event":"spring"},)"
                  R"("jobs":[{"inputs":["a.mp4"]},{"inputs":["b.mp4"],"labels":{"camera":"2"},"priority":80}]})")};
  schemas["Batch"] = Object({{"id", Ref("Id")},
                             {"owner", OrNull(Text(1, 128))},
                             {"labels", Ref("Labels")},
                             {"created", Ref("Time")},
                             {"jobs", Described(Whole(1, most), "How many it came with.")},
                             {"states", Ref("CountByState")},
                             {"removed", Described(Whole(0, most), "Those that are in no state any more.")},
                             {"ratio", Share()},
                             {"ended", Described(Flag(), "None of its jobs will change any more.")},
                             {"jobs_url", Matching("^/v1/jobs\\?batch=[0-9a-z]{16}$")}});
}

}  // namespace weir::api
