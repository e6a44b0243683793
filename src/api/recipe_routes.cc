#include "api/recipe_routes.h"

#include <boost/json.hpp>
#include <utility>

#include "api/job_json.h"
#include "api/submission.h"
#include "base/text.h"
#include "jobs/account_json.h"
#include "media/request_json.h"

namespace weir::api {

namespace json = boost::json;
using http::Request;

Reply PostPlan(Context& context, Request request) {
  auto submission = SubmissionOf(request);
  request.DropBody();
  if (!submission) {
    co_return Fail(std::move(submission).error());
  }
  auto account = co_await Awaited<Result<jobs::Account>>(
      [&](auto done) { context.service.Forecast(*submission, std::move(done)); });
  if (!account) {
    co_return Fail(std::move(account).error());
  }
  json::array ladder;
  for (const auto& plan : account->ladder.plans) {
    ladder.push_back(jobs::PlanAsJson(plan));
  }
  json::object out{{"ladder", std::move(ladder)},
                   {"notes", jobs::Strings(account->ladder.notes)},
                   {"input", jobs::FactsAsJson(account->source)},
                   {"budget_bytes", context.reading().budget.count()}};
  out["chosen"] =
      account->chosen ? json::value(jobs::Text(account->ladder.plans[*account->chosen].name)) : json::value();
  out["refusal"] = account->refusal ? json::value(jobs::ErrorAsJson(*account->refusal)) : json::value();
  co_return JsonOf(200, out);
}

Reply GetRecipes(Context& /*context*/, Request /*request*/) {
  json::array recipes;
  for (const auto& name : media::RecipeNames()) {
    recipes.push_back(Document(media::DescribeRecipe(name)));
  }
  co_return JsonOf(200, json::object{{"recipes", std::move(recipes)}});
}

Reply GetRecipe(Context& /*context*/, Request request) {
  const std::string text = media::DescribeRecipe(request.path[2]);
  if (text.empty()) {
    const auto nearest = NearestName(request.path[2], media::RecipeNames());
    co_return Fail(ErrorCode::kNotFound, "there is no recipe " + Quoted(request.path[2]) +
                                             (nearest ? "; did you mean \"" + *nearest + "\"?" : ""));
  }
  co_return JsonOf(200, Document(text));
}

}  // namespace weir::api
