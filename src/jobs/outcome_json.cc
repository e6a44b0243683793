#include "jobs/outcome_json.h"

#include <boost/json.hpp>
#include <utility>

#include "jobs/account_json.h"
#include "jobs/service.h"

namespace weir::jobs {

namespace json = boost::json;

json::object ParsedObject(const std::string& document) {
  boost::system::error_code error;
  auto value = json::parse(document, error);
  return !error && value.is_object() ? std::move(value.as_object()) : json::object();
}

json::object FailureAsJson(const Error& error) {
  auto failure = ErrorAsJson(error);
  failure["cause"] = NameOf(CauseOf(error.code));
  return failure;
}

namespace {

constexpr std::size_t kMostRuns = 8;  // kept of all attempts, the last ones

// Of the attempts before, and of this one.
json::array RunsOf(const json::object& earlier, int attempt, const Account& account) {
  json::array runs;
  const auto* before = earlier.if_contains("runs");
  if (before != nullptr && before->is_array()) {
    for (const auto& run : before->as_array()) {
      const auto* of = run.is_object() ? run.as_object().if_contains("attempt") : nullptr;
      // The outcome of an attempt is made anew while it goes on.
      if (of != nullptr && of->is_int64() && of->as_int64() != attempt) {
        runs.push_back(run);
      }
    }
  }
  for (auto& run : AttemptsAsJson(account)) {
    run.as_object()["attempt"] = attempt;
    runs.push_back(std::move(run));
  }
  while (runs.size() > kMostRuns) {
    runs.erase(runs.begin());
  }
  return runs;
}

}  // namespace

std::string WithDecision(const std::string& outcome, const std::string& decision) {
  if (decision.empty()) {
    return outcome;
  }
  auto document = ParsedObject(outcome);
  document["decision"] = Text(decision);
  return json::serialize(document);
}

json::object OutcomeOf(const std::string& earlier, const StoredRequest& stored, int attempt, const Account& account) {
  json::object out;
  const auto before = ParsedObject(earlier);
  for (const char* kept : {"retries", "decision"}) {
    if (before.contains(kept)) {
      out[kept] = before.at(kept);
    }
  }
  if (auto runs = RunsOf(before, attempt, account); !runs.empty()) {
    out["runs"] = std::move(runs);
  }
  if (account.chosen) {
    // Stored for a hundred thousand jobs: what can be made again from the request stays out.
    auto plan = PlanAsJson(account.ladder.plans[*account.chosen]);
    plan.erase("arguments");
    out["plan"] = std::move(plan);
    out["notes"] = Strings(account.ladder.notes);
    out["source"] = FactsAsJson(account.source);
  }
  if (!account.attempts.empty()) {
    const auto& last = account.attempts.back();
    out["memory"] = json::object{{"forecast_peak_bytes", last.forecast.peak.count()},
                                 {"prior_peak_bytes", last.forecast.prior.count()},
                                 {"lease_bytes", last.forecast.lease.count()},
                                 {"measured_peak_bytes", last.measured_peak.count()}};
  }
  if (account.checks.ok() && !account.output_identity.empty()) {
    json::object artifact{{"name", Text(stored.output.empty() ? stored.artifact : FileName(stored.output))},
                          {"size_bytes", account.output_size.count()},
                          {"identity", account.output_identity}};
    if (!account.output_sha256.empty()) {
      artifact["sha256"] = account.output_sha256;
    }
    if (!stored.output.empty()) {
      artifact["path"] = Text(stored.output);
    }
    out["artifacts"] = json::array{std::move(artifact)};
    out["output"] = FactsAsJson(account.output);
    out["checks"] = account.checks.lines.size();
    out["time"] = TimesAsJson(account);
  }
  return out;
}

std::optional<Promised> PromisedIn(const std::string& outcome) {
  const auto document = ParsedObject(outcome);
  const auto* artifacts = document.if_contains("artifacts");
  if (artifacts == nullptr || !artifacts->is_array() || artifacts->as_array().empty()) {
    return std::nullopt;
  }
  const auto* artifact = artifacts->as_array().front().if_object();
  const auto* identity = artifact != nullptr ? artifact->if_contains("identity") : nullptr;
  const auto* size = artifact != nullptr ? artifact->if_contains("size_bytes") : nullptr;
  if (identity == nullptr || size == nullptr || !identity->is_string() || !size->is_number()) {
    return std::nullopt;
  }
  boost::system::error_code error;
  const auto bytes = size->to_number<std::uint64_t>(error);
  return error ? std::nullopt
               : std::optional(Promised{.identity = std::string(identity->as_string()), .size = bytes});
}

namespace {

int Tries(const std::string& outcome, const char* kind) {
  const auto document = ParsedObject(outcome);
  const auto* retries = document.if_contains("retries");
  const auto* tries = retries != nullptr && retries->is_object() ? retries->as_object().if_contains(kind) : nullptr;
  return tries != nullptr && tries->is_int64() ? static_cast<int>(tries->as_int64()) : 0;
}

}  // namespace

int LeanerTries(const std::string& outcome) { return Tries(outcome, "leaner") + Tries(outcome, "yielded"); }

int FailedTries(const std::string& outcome) { return Tries(outcome, "leaner"); }
int LaterTries(const std::string& outcome) { return Tries(outcome, "later"); }

void CountYield(json::object& outcome) {
  auto& retries = outcome["retries"];
  if (!retries.is_object()) {
    retries = json::object();
  }
  auto& count = retries.as_object()["yielded"];
  count = (count.is_int64() ? count.as_int64() : 0) + 1;
}

std::chrono::milliseconds LastPause(const std::string& outcome, const ServiceSettings& settings) {
  const int tries = Tries(outcome, "later");
  return tries > 0 ? BackoffFor(tries - 1, settings.first_backoff) : std::chrono::milliseconds(0);
}

std::optional<std::chrono::milliseconds> CountFailure(json::object& outcome, Cause cause,
                                                      const ServiceSettings& settings) {
  auto& retries = outcome["retries"];
  if (!retries.is_object()) {
    retries = json::object();
  }
  const auto tried = [&](const char* kind) {
    auto& count = retries.as_object()[kind];
    const std::int64_t before = count.is_int64() ? count.as_int64() : 0;
    count = before + 1;
    return static_cast<int>(before);
  };
  switch (AgainAfter(cause)) {
    case Again::kNever:
      return std::nullopt;
    case Again::kLeaner:
      return tried("leaner") < settings.retries ? std::optional(std::chrono::milliseconds(0)) : std::nullopt;
    case Again::kLater: {
      const int before = tried("later");
      return before < settings.infrastructure_retries ? std::optional(BackoffFor(before, settings.first_backoff))
                                                      : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace weir::jobs
