// What happened to a job and why, for people: its history, what its children were allowed and used, and what it waits
// for. As tolerant as client_render.h. Pure; any thread.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string>
#include <vector>

namespace weir::app {

// `job`, `log`, `timeline`: as the server answers /v1/jobs/{id} and its /log and /memory; null where it has none. The
// chart of memory takes at most `columns`. Ends in a newline.
std::string ExplanationAsText(const boost::json::value& job, const boost::json::value& log,
                              const boost::json::value& timeline, unsigned columns);

// The lines of a chart, the highest first: '#' is what was used, '-' what was allowed. None without samples.
// `columns`: of all of it, at least 30.
std::vector<std::string> MemoryChart(const boost::json::value& timeline, unsigned columns, std::size_t rows);

}  // namespace weir::app
