// The outcome of a job as the document that is stored with it: what was planned, measured, made, and why it failed.
// Written before the result appears, so that the next life can tell whether it did. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "jobs/retry.h"
#include "jobs/run.h"
#include "jobs/stored_request.h"

namespace weir::jobs {

struct ServiceSettings;

// An empty object for what is none.
boost::json::object ParsedObject(const std::string& document);

// As ErrorAsJson, with "cause".
boost::json::object FailureAsJson(const Error& error);
// `earlier`: the document before; what counts attempts is taken over from it, and what is known of those before
// `attempt`.
boost::json::object OutcomeOf(const std::string& earlier, const StoredRequest& stored, int attempt,
                              const Account& account);
// The same with the sentence of the last decision; "" changes nothing.
std::string WithDecision(const std::string& outcome, const std::string& decision);

// Which file was to appear.
struct Promised {
  std::string identity;  // store::IdentityOf
  std::uint64_t size = 0;
};
std::optional<Promised> PromisedIn(const std::string& outcome);

// How many attempts ask for a leaner plan now: those that failed so, and those that were ended to make room.
int LeanerTries(const std::string& outcome);
// How often it was tried again with a leaner plan after a failure, and how often after a pause.
int FailedTries(const std::string& outcome);
int LaterTries(const std::string& outcome);
// Counts that the work was ended to make room. No failure.
void CountYield(boost::json::object& outcome);
// How long the pause is that was decided last; zero: none was.
std::chrono::milliseconds LastPause(const std::string& outcome, const ServiceSettings& settings);
// Counts one more failure into `outcome`. The pause until the next attempt; nullopt: there is to be none.
std::optional<std::chrono::milliseconds> CountFailure(boost::json::object& outcome, Cause cause,
                                                      const ServiceSettings& settings);

}  // namespace weir::jobs
