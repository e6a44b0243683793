// What each recipe takes, in the words of JSON Schema, out of its own description. There is no second list.
#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <utility>

#include "api/job_json.h"
#include "api/schema.h"
#include "media/request_json.h"

namespace weir::api {
namespace {

namespace json = boost::json;

// The range that holds for at least one container.
json::object Widest(const json::object& parameter) {
  const auto& range = parameter.at("range").as_object();
  auto low = range.at("low").to_number<std::int64_t>();
  auto high = range.at("high").to_number<std::int64_t>();
  if (const auto* others = parameter.if_contains("range_by_output")) {
    for (const auto& other : others->as_object()) {
      low = std::min(low, other.value().at("low").to_number<std::int64_t>());
      high = std::max(high, other.value().at("high").to_number<std::int64_t>());
    }
  }
  return Whole(low, high);
}

json::object Either(json::object first, json::object second) {
  return {{"anyOf", json::array{std::move(first), std::move(second)}}};
}

json::object TypeOf(const json::object& parameter) {
  const std::string_view type = parameter.at("type").as_string();
  if (type == "integer") {
    return Widest(parameter);
  }
  if (type == "boolean") {
    return Flag();
  }
  if (type == "word") {
    return {{"type", "string"}, {"enum", parameter.at("values")}};
  }
  if (type == "aspect") {
    return Matching("^[0-9]+:[0-9]+$");
  }
  if (type == "size") {
    return Matching("^[0-9]+[xX][0-9]+$");
  }
  if (type == "focus") {
    return Either(Text(1, 40), Object({{"x", Share()}, {"y", Share()}}));
  }
  const auto& range = parameter.at("range").as_object();
  return Either({{"type", "number"}, {"minimum", range.at("low")}, {"maximum", range.at("high")}},
                Matching("^([0-9]+:){0,2}[0-9]*\\.?[0-9]*(ms|s|m|h)?$"));
}

json::object ParamsOf(const json::object& recipe) {
  json::object properties;
  for (const auto& item : recipe.at("params").as_array()) {
    const auto& parameter = item.as_object();
    auto schema = TypeOf(parameter);
    if (parameter.at("default").is_null()) {
      schema = OrNull(std::move(schema));
    }
    std::string description(parameter.at("description").as_string());
    if (const auto* unit = parameter.if_contains("unit")) {
      description += " (" + std::string(unit->as_string()) + ")";
    }
    schema["description"] = description;
    schema["default"] = parameter.at("default");
    properties[parameter.at("name").as_string()] = std::move(schema);
  }
  return {{"type", json::array{"object", "null"}},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

json::object ParameterSchema() {
  const json::object range{{"type", "object"},
                           {"required", {"low", "high"}},
                           {"additionalProperties", false},
                           {"properties", {{"low", json::object()}, {"high", json::object()}}}};
  return Object({{"name", Text(1)},
                 {"type", OneOf({"aspect", "focus", "size", "integer", "time", "word", "boolean"})},
                 Maybe("range", range),
                 Maybe("range_by_output", {{"type", "object"}, {"additionalProperties", range}}),
                 Maybe("values", {{"type", "array"}}),
                 {"default", json::object()},
                 Maybe("unit", Text(1)),
                 {"description", Text(1)}});
}

}  // namespace

void AddRecipeSchemas(json::object& schemas) {
  json::array examples;
  for (const auto& name : media::RecipeNames()) {
    const auto recipe = Document(media::DescribeRecipe(name));
    auto params = ParamsOf(recipe);
    params["description"] = recipe.at("summary");
    schemas[name + "Params"] = std::move(params);
    examples.push_back(recipe.at("example"));
  }
  schemas["RecipeName"] = OneOf(media::RecipeNames());
  schemas["JobRequest"].as_object()["examples"] = std::move(examples);
  schemas["Recipe"] = Object({{"name", Ref("RecipeName")},
                              {"summary", Text(1)},
                              {"params", List(ParameterSchema())},
                              {"outputs", Described(List(Text(1), 1), "Extensions that a result may have.")},
                              {"example", Ref("JobRequest")}});
  schemas["Recipes"] = Object({{"recipes", List(Ref("Recipe"), 1)}});
}

}  // namespace weir::api
