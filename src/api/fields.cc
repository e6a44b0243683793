#include "api/fields.h"

#include <boost/json.hpp>
#include <set>
#include <utility>

#include "base/text.h"

namespace weir::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kDeepest = 16;
constexpr std::size_t kLongestLabel = 256;

std::unexpected<Error> Wrong(std::string_view name, const std::string& what) {
  return Fail(Error{.code = ErrorCode::kBadParameters, .detail = "\"" + std::string(name) + "\" " + what}.With(
      "field", std::string(name)));
}

// The parser keeps the last of two members of one name; a caller who sends two means something that we cannot know.
// `text` is JSON, not deeper than kDeepest.
std::optional<std::string> NameGivenTwice(std::string_view text) {
  struct Open {
    bool is_object = false;
    bool expects_name = false;
    std::set<std::string, std::less<>> seen;
  };
  std::vector<Open> open;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      std::size_t end = at + 1;
      while (end < text.size() && text[end] != '"') {
        end += text[end] == '\\' ? 2U : 1U;
      }
      if (!open.empty() && std::exchange(open.back().expects_name, false)) {
        boost::system::error_code error;
        const auto name = json::parse(text.substr(at, end + 1 - at), error);
        if (!error && name.is_string() && !open.back().seen.insert(std::string(name.as_string())).second) {
          return std::string(name.as_string());
        }
      }
      at = end;
    } else if (c == '{' || c == '[') {
      open.push_back({.is_object = c == '{', .expects_name = c == '{', .seen = {}});
    } else if ((c == '}' || c == ']') && !open.empty()) {
      open.pop_back();
    } else if (c == ',' && !open.empty()) {
      open.back().expects_name = open.back().is_object;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Fields> Fields::Parse(std::string_view body, const std::vector<std::string>& known) {
  json::parse_options options;
  options.max_depth = kDeepest;
  boost::system::error_code error;
  auto value = json::parse(body, error, {}, options);
  if (error) {
    return Fail(ErrorCode::kMalformed, body.empty() ? std::string("the body is empty; a JSON object is expected")
                                                    : "the body is not JSON that can be read: " + error.message());
  }
  if (!value.is_object()) {
    return Fail(ErrorCode::kMalformed, "the body is JSON, but not an object");
  }
  Fields fields;
  fields.object_ = std::move(value.as_object());
  WEIR_TRY(fields.OnlyHas(known));
  if (const auto twice = NameGivenTwice(body)) {
    return Wrong(Printable(*twice), "is given twice");
  }
  return fields;
}

Status Fields::OnlyHas(const std::vector<std::string>& known) const {
  for (const auto& member : object_) {
    const std::string name(member.key());
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const auto nearest = NearestName(name, known);
      std::string all;
      for (const auto& word : known) {
        all += (all.empty() ? "" : ", ") + word;
      }
      return Fail(Error{.code = ErrorCode::kBadParameters,
                        .detail = Quoted(name) + " is not known here; " +
                                  (nearest ? "did you mean \"" + *nearest + "\"?" : "known are: " + all)}
                      .With("field", Printable(name)));
    }
  }
  return {};
}

const json::value* Fields::Find(std::string_view name) const {
  const auto* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool Fields::Has(std::string_view name) const { return Find(name) != nullptr; }

Result<std::optional<std::string>> Fields::Text(std::string_view name, std::size_t longest) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_string()) {
    return Wrong(name, "is a text");
  }
  if (value->as_string().size() > longest) {
    return Wrong(name, "is a text of at most " + std::to_string(longest) + " bytes");
  }
  if (std::string_view(value->as_string()).find('\0') != std::string_view::npos) {
    return Wrong(name, "has a NUL in it");
  }
  return std::string(value->as_string());
}

Result<std::optional<std::int64_t>> Fields::Integer(std::string_view name, std::int64_t least,
                                                    std::int64_t most) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto range = "is a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  if (!value->is_int64() || value->as_int64() < least || value->as_int64() > most) {
    return Wrong(name, range);
  }
  return value->as_int64();
}

Result<std::optional<bool>> Fields::Boolean(std::string_view name) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_bool()) {
    return Wrong(name, "is true or false");
  }
  return value->as_bool();
}

Result<std::optional<std::vector<std::string>>> Fields::Texts(std::string_view name, std::size_t most) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::string what = "is a list of at most " + std::to_string(most) + (most == 1 ? " text" : " texts");
  if (!value->is_array() || value->as_array().size() > most) {
    return Wrong(name, what);
  }
  std::vector<std::string> texts;
  for (const auto& item : value->as_array()) {
    if (!item.is_string() || std::string_view(item.as_string()).find('\0') != std::string_view::npos) {
      return Wrong(name, what);
    }
    texts.emplace_back(item.as_string());
  }
  return texts;
}

Result<std::optional<std::vector<Fields>>> Fields::Objects(std::string_view name, std::size_t most) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::string what = "is a list of at most " + std::to_string(most) + " objects";
  if (!value->is_array() || value->as_array().size() > most) {
    return Wrong(name, what);
  }
  std::vector<Fields> objects;
  objects.reserve(value->as_array().size());
  for (const auto& item : value->as_array()) {
    if (!item.is_object()) {
      return Wrong(name, what);
    }
    objects.emplace_back().object_ = item.as_object();
  }
  return objects;
}

Result<std::optional<std::map<std::string, std::string>>> Fields::Labels(std::string_view name) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::string what = "is an object of at most " + std::to_string(kMostLabels) +
                           " texts, names and texts of at most " + std::to_string(kLongestLabel) + " bytes";
  if (!value->is_object() || value->as_object().size() > kMostLabels) {
    return Wrong(name, what);
  }
  std::map<std::string, std::string> labels;
  for (const auto& member : value->as_object()) {
    if (!member.value().is_string() || member.value().as_string().size() > kLongestLabel ||
        member.key().size() > kLongestLabel || member.key().empty()) {
      return Wrong(name, what);
    }
    labels.emplace(std::string(member.key()), std::string(member.value().as_string()));
  }
  return labels;
}

Result<std::optional<std::string>> Fields::Object(std::string_view name) const {
  const auto* value = Find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_object()) {
    return Wrong(name, "is an object");
  }
  return json::serialize(*value);
}

}  // namespace weir::api
