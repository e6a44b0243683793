// What the user reads: results as text for people and as JSON for scripts. Computes nothing new.
#pragma once

#include <string>

#include "app/invocation.h"
#include "app/session.h"
#include "base/error.h"
#include "jobs/run.h"

namespace weir::app {

// One JSON document, ending in a newline.
std::string RunAsJson(const RunCommand& command, const Session& session, const jobs::Account& account);
std::string FailureAsJson(const Error& error, const jobs::Account* account);
std::string DoctorAsJson(const Session& session);

// Text, ending in a newline. The plan is printed before the work starts, the result after it.
std::string ProbeAsText(const std::string& path, const media::MediaFacts& facts);
std::string LadderAsText(const Session& session, const jobs::Account& account);
std::string PlanAsText(const RunCommand& command, const Session& session, const jobs::Account& account);
std::string ResultAsText(const RunCommand& command, const Session& session, const jobs::Account& account);
std::string DoctorAsText(const Session& session);

}  // namespace weir::app
