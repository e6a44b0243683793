#include "api/schema.h"

#include <boost/json/string.hpp>
#include <utility>

namespace weir::api {

namespace json = boost::json;

Member Maybe(std::string_view name, json::value schema) {
  return {.name = name, .schema = std::move(schema), .required = false};
}

json::object Object(const Members& members) {
  json::object properties;
  json::array required;
  for (const auto& member : members) {
    properties[member.name] = member.schema;
    if (member.required) {
      required.emplace_back(json::string(member.name));
    }
  }
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required.empty()) {
    schema["required"] = std::move(required);
  }
  return schema;
}

json::object Ref(std::string_view name) { return {{"$ref", "#/components/schemas/" + std::string(name)}}; }

json::object OrNull(json::object schema) {
  const auto* type = schema.if_contains("type");
  if (type != nullptr && type->is_string() && !schema.contains("enum") && !schema.contains("const")) {
    schema["type"] = json::array{*type, "null"};
    return schema;
  }
  return {{"anyOf", json::array{std::move(schema), json::object{{"type", "null"}}}}};
}

json::object Text(std::int64_t shortest, std::int64_t longest) {
  json::object schema{{"type", "string"}};
  if (shortest > 0) {
    schema["minLength"] = shortest;
  }
  if (longest != kNoLimit) {
    schema["maxLength"] = longest;
  }
  return schema;
}

json::object Matching(std::string_view pattern) { return {{"type", "string"}, {"pattern", json::string(pattern)}}; }

json::object Whole(std::int64_t least, std::int64_t most) {
  json::object schema{{"type", "integer"}, {"format", "int64"}, {"minimum", least}};
  if (most != kNoLimit) {
    schema["maximum"] = most;
  }
  return schema;
}

json::object Number(double least) { return {{"type", "number"}, {"minimum", least}}; }
json::object Share() { return {{"type", "number"}, {"minimum", 0}, {"maximum", 1}}; }
json::object Flag() { return {{"type", "boolean"}}; }
json::object Always(json::value value) { return {{"const", std::move(value)}}; }

json::object OneOf(const std::vector<std::string>& words) {
  json::array values;
  for (const auto& word : words) {
    values.emplace_back(json::string(word));
  }
  return {{"type", "string"}, {"enum", std::move(values)}};
}

json::object List(json::object items, std::int64_t fewest, std::int64_t most) {
  json::object schema{{"type", "array"}, {"items", std::move(items)}};
  if (fewest > 0) {
    schema["minItems"] = fewest;
  }
  if (most != kNoLimit) {
    schema["maxItems"] = most;
  }
  return schema;
}

json::object Described(json::object schema, std::string_view description) {
  schema["description"] = json::string(description);
  return schema;
}

}  // namespace weir::api
