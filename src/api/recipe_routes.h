// Routes of recipes, and of plans that are only looked at.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply PostPlan(Context& context, http::Request request);
Reply GetRecipes(Context& context, http::Request request);
Reply GetRecipe(Context& context, http::Request request);

}  // namespace weir::api
