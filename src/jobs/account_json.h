// What a run knows, as JSON objects: for the command line's --json, for stored jobs and for HTTP alike, so that a
// fact has one name. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "jobs/run.h"

namespace weir::jobs {

// File names are bytes; JSON is UTF-8. Names that are not are shown escaped.
boost::json::string Text(std::string_view text);
boost::json::array Strings(const std::vector<std::string>& words);
// In seconds, exact to the millisecond.
boost::json::value Seconds3(Duration duration);
boost::json::value Seconds3(MediaTime time);

boost::json::object FactsAsJson(const media::MediaFacts& facts);
boost::json::object PlanAsJson(const media::Plan& plan);
// {type, title, detail, exit_code, members...}
boost::json::object ErrorAsJson(const Error& error);
boost::json::array AttemptsAsJson(const Account& account);
boost::json::array ChecksAsJson(const Account& account);
boost::json::object TimesAsJson(const Account& account);

}  // namespace weir::jobs
