// Requests as JSON: what callers send over HTTP and what is stored with a job. One table of parameters stands behind
// reading, writing and describing, so that the three agree; ranges and words are those of media/recipe.h, as on the
// command line. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "media/recipe.h"

namespace weir::media {

// "crop", "trim", "transcode", "thumbnail".
const std::vector<std::string>& RecipeNames();

// `params`: the text of one JSON object, at most 16 KiB, or "" for none. Names are snake_case; null stands for the
// default of a parameter that has no default value. `output_name` decides the container by its extension; "" means
// the recipe's first one. Errors: kBadParameters (unknown recipe or parameter, with the nearest name; wrong type; out
// of range, with the range; a name given twice; not an object, not JSON, not UTF-8), kOutputFormat (an extension that
// the recipe cannot make).
Result<Request> RequestFromJson(std::string_view recipe, std::string_view params, std::string_view output_name);

// All parameters with their values in a fixed order, without spaces: equal requests of one recipe give equal texts.
// Recipe and container are not in it: together with NameOf(request.recipe) and a name of that container, it reads
// back as the same request.
std::string ParamsToJson(const Request& request);

// {name, summary, params: [{name, type, range or values, default, unit, description}], outputs: [extensions],
// example: a whole job body}; "" when there is no such recipe. Types: aspect, focus, size, integer, time, word,
// boolean.
std::string DescribeRecipe(std::string_view name);

}  // namespace weir::media
