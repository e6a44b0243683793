// What a server answers, as text for people. Tolerant: whatever is missing or of a strange type is left out, and no
// text of the server's reaches a terminal with control characters in it. Pure; any thread.
#pragma once

#include <boost/json/value.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/result.h"
#include "http/client.h"

namespace weir::app {

// nullptr when there is no such member on the way.
const boost::json::value* At(const boost::json::value& document, std::initializer_list<std::string_view> path);
std::string TextAt(const boost::json::value& document, std::initializer_list<std::string_view> path);  // "" when none
std::optional<double> NumberAt(const boost::json::value& document, std::initializer_list<std::string_view> path);
std::optional<Bytes> BytesAt(const boost::json::value& document, std::initializer_list<std::string_view> path);
// The members of a list; none when it is no list.
std::vector<const boost::json::value*> ListAt(const boost::json::value& document,
                                              std::initializer_list<std::string_view> path);

// Errors: kMalformed.
Result<boost::json::value> ParseAnswer(std::string_view body);
// Of an answer with a status of 400 and above: the row that its problem type names, else kInternal.
Error ErrorOf(const http::Answer& answer);
// "not-found", also as the end of a URI; nullopt when no row has that name.
std::optional<ErrorCode> CodeOfType(std::string_view type);

bool HasEnded(std::string_view state);
// 0 when it succeeded; else the exit code of its failure's type, kInternal's when that is unknown.
int ExitCodeOf(const boost::json::value& job);
// The sentence about a job that did not succeed.
std::string FailureText(const boost::json::value& job);

// Each ends in a newline.
std::string JobsAsText(const std::vector<const boost::json::value*>& jobs);
std::string JobAsText(const boost::json::value& job);
// "running, paused, attempt 2, waits for memory"; no newline.
std::string StateAsText(const boost::json::value& job);
// `job`: why it failed is the last line then, where the log does not say it.
std::string LogAsText(const boost::json::value& log, const boost::json::value& job);
std::string BatchAsText(const boost::json::value& batch);
// What POST /v1/plan answers: every way, and which one would be taken.
std::string LadderAsText(const boost::json::value& plan);
// What GET /v1/calibration answers.
std::string CalibrationAsText(const boost::json::value& calibration);
// One line without its end: "running (attempt 2)", or what a note says; "" when there is nothing to say.
std::string EventAsText(std::string_view type, const boost::json::value& data);
// " 42 %  3 of 12 ended, 2 running, 7 queued".
std::string BatchProgressAsText(const boost::json::value& batch);
// " 42 %  frame 120, 1.5x, 30 s left"; "" without progress. Speed and time left from the first second and hundredth
// on: what is measured before that means nothing.
std::string ProgressAsText(const boost::json::value& progress);

// At most `columns` wide, whole characters.
std::string Fitted(std::string line, unsigned columns);
std::string AsTime(double seconds);  // "2 h 5 min", "30 s"

}  // namespace weir::app
