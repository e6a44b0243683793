// The words of JSON Schema (2020-12) that the served document is written in. Pure.
//
// Objects are closed: a member that is not listed is wrong, and one that is listed is there unless it is Maybe().
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace weir::api {

struct Member {
  std::string_view name;
  boost::json::value schema;
  bool required = true;
};
using Members = std::vector<Member>;
Member Maybe(std::string_view name, boost::json::value schema);

inline constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

boost::json::object Object(const Members& members);
boost::json::object Ref(std::string_view name);  // of another schema of the document
boost::json::object OrNull(boost::json::object schema);
boost::json::object Text(std::int64_t shortest = 0, std::int64_t longest = kNoLimit);
boost::json::object Matching(std::string_view pattern);  // a text; an expression that Python and ECMAScript know
boost::json::object Whole(std::int64_t least = 0, std::int64_t most = kNoLimit);
boost::json::object Number(double least = 0);
boost::json::object Share();  // 0 to 1
boost::json::object Flag();
boost::json::object Always(boost::json::value value);
boost::json::object OneOf(const std::vector<std::string>& words);
boost::json::object List(boost::json::object items, std::int64_t fewest = 0, std::int64_t most = kNoLimit);
boost::json::object Described(boost::json::object schema, std::string_view description);

// The parts of the document, each added to `schemas` under its names.
void AddJobSchemas(boost::json::object& schemas);     // job_schemas.cc
void AddBatchSchemas(boost::json::object& schemas);   // batch_schemas.cc; after those of jobs
void AddRecipeSchemas(boost::json::object& schemas);  // recipe_schemas.cc
void AddSystemSchemas(boost::json::object& schemas);  // system_schemas.cc
void AddPeerSchemas(boost::json::object& schemas);    // peer_schemas.cc

// All members of a job as it is shown.
Members JobMembers();
// Typed members that errors may have beside their sentence.
Members ErrorMembers();
// Those that a job can be in.
std::vector<std::string> StateNames();
// Every `type` that a problem may have, without what stands before its name.
std::vector<std::string> ErrorNames();
// Labels of a job: at most 32 short texts.
boost::json::object LabelsSchema();

}  // namespace weir::api
