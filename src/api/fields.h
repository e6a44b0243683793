// Fields: the members of one JSON object that a caller sent, read strictly: nothing unknown, nothing of another type,
// nothing twice. Every refusal names the field and what is allowed. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::api {

inline constexpr std::size_t kMostLabels = 32;

class Fields {
 public:
  // `body`: one JSON object; at most 16 levels deep. Errors: kMalformed (not JSON, not UTF-8, too deep, not an
  // object), kBadParameters (a name that is not among `known`, with the nearest of them; a name given twice in one
  // object, however deep).
  static Result<Fields> Parse(std::string_view body, const std::vector<std::string>& known);
  // Errors: kBadParameters, as of Parse.
  [[nodiscard]] Status OnlyHas(const std::vector<std::string>& known) const;

  [[nodiscard]] bool Has(std::string_view name) const;  // and is not null
  // Each answers nullopt when the field is absent or null. Errors: kBadParameters.
  [[nodiscard]] Result<std::optional<std::string>> Text(std::string_view name, std::size_t longest = 4096) const;
  [[nodiscard]] Result<std::optional<std::int64_t>> Integer(std::string_view name, std::int64_t least,
                                                            std::int64_t most) const;
  [[nodiscard]] Result<std::optional<bool>> Boolean(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> Texts(std::string_view name, std::size_t most) const;
  // Objects; what they may have is for OnlyHas to say.
  [[nodiscard]] Result<std::optional<std::vector<Fields>>> Objects(std::string_view name, std::size_t most) const;
  // An object of at most 32 short texts.
  [[nodiscard]] Result<std::optional<std::map<std::string, std::string>>> Labels(std::string_view name) const;
  // The object under a name as JSON text, for whoever knows what belongs in it.
  [[nodiscard]] Result<std::optional<std::string>> Object(std::string_view name) const;

 private:
  [[nodiscard]] const boost::json::value* Find(std::string_view name) const;
  boost::json::object object_;
};

}  // namespace weir::api
