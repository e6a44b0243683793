// The state of the daemon in each of the shapes in which it is asked for. Pure: one reading in, text out.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "api/api.h"
#include "api/window.h"
#include "jobs/learning.h"
#include "media/facts.h"

namespace weir::api {

struct SystemView {
  SystemReading reading;
  const Facts& facts;
  jobs::ServiceFigures figures;
  const Window& window;
  SteadyTime now{};
  WallTime date{};
};

boost::json::object SystemAsJson(const SystemView& view);                // /v1/system
std::string Metrics(const SystemView& view);                             // /metrics, Prometheus text format 0.0.4
std::string ForecastMetrics(const memory::CalibrationSummary& summary);  // part of it
boost::json::object PerformanceAsJson(const SystemView& view);           // /performance/metrics
boost::json::object MemoryAsJson(const SystemView& view, const GovernanceHistory& history);  // /v1/memory
boost::json::array RecommendationsAsJson(const Governance& governance);                      // part of it
boost::json::object HealthAsJson(const SystemView& view);                                    // /health
boost::json::object HealthMemoryAsJson(const SystemView& view);                              // /health/memory
boost::json::object ResourcesAsJson(const SystemView& view);  // /api/diagnostics/resources
boost::json::object VideoInfoAsJson(const std::string& path, const media::MediaFacts& facts);  // /video/info
// "video/mp4" for "a.mp4"; application/octet-stream for what is not known.
std::string TypeOfName(const std::string& name);
// All that TypeOfName can say.
std::vector<std::string> MediaTypes();

}  // namespace weir::api
