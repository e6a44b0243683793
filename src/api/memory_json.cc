#include <boost/json.hpp>

#include "api/system_json.h"
#include "jobs/account_json.h"

namespace weir::api {
namespace {

namespace json = boost::json;

json::value OrNull(const std::optional<Bytes>& bytes) { return bytes ? json::value(bytes->count()) : json::value(); }
json::value OrNull(const std::optional<double>& number) { return number ? json::value(*number) : json::value(); }
json::value OrNull(const std::string& text) { return text.empty() ? json::value() : json::value(text); }

}  // namespace

json::array RecommendationsAsJson(const Governance& governance) {
  json::array all;
  for (const auto& one : governance.recommendations) {
    all.push_back(json::object{
        {"priority", one.priority}, {"action", jobs::Text(one.action)}, {"setting", OrNull(one.setting)}});
  }
  return all;
}

json::object MemoryAsJson(const SystemView& view, const GovernanceHistory& history) {
  const auto& reading = view.reading;
  const auto& governance = reading.governance;
  json::array remedies;
  for (const auto& remedy : governance.remedies) {
    remedies.push_back(
        json::object{{"name", remedy.name}, {"uses", remedy.uses}, {"freed_bytes", remedy.freed.count()}});
  }
  json::array uses;
  for (const auto& use : history.uses) {
    uses.push_back(json::object{{"time", ToRfc3339(use.at)},
                                {"name", use.name},
                                {"level", use.level},
                                {"reason", jobs::Text(use.reason)},
                                {"freed_bytes", use.freed.count()},
                                {"undone", use.undone},
                                {"times", use.times}});
  }
  json::array growing;
  for (const auto& one : governance.growth) {
    growing.push_back(json::object{{"what", one.what},
                                   {"per_hour", one.per_hour},
                                   {"over_seconds", Seconds(one.over)},
                                   {"suspect", OrNull(one.suspect)},
                                   {"sentence", jobs::Text(one.sentence)}});
  }
  json::array timeline;
  for (const auto& series : history.series) {
    json::array points;
    for (const auto& point : series.points) {
      points.push_back(json::object{{"time", ToRfc3339(point.at)},
                                    {"tree_bytes", point.tree.count()},
                                    {"leased_bytes", point.leased.count()},
                                    {"budget_bytes", point.budget.count()},
                                    {"level", point.level}});
    }
    timeline.push_back(json::object{{"period_seconds", Seconds(series.period)}, {"points", std::move(points)}});
  }
  return {{"level", governance.level},
          {"reason", jobs::Text(governance.reason)},
          {"since", governance.since ? json::value(ToRfc3339(*governance.since)) : json::value()},
          {"budget_bytes", reading.budget.count()},
          {"leased_bytes", reading.leased.count()},
          {"tree_bytes", reading.tree_memory.count()},
          {"own_pss_bytes", reading.own_memory.count()},
          {"machine", json::object{{"total_bytes", OrNull(governance.machine_total)},
                                   {"available_bytes", OrNull(governance.machine_available)},
                                   {"swap_free_bytes", OrNull(governance.swap_free)},
                                   {"stall_percent", OrNull(governance.stall_percent)}}},
          {"held", view.figures.held},
          {"suspended_jobs", view.figures.suspended},
          {"yielded_jobs", view.figures.yielded},
          {"given_back_bytes", view.figures.given_back.count()},
          {"remedies", std::move(remedies)},
          {"uses", std::move(uses)},
          {"growth", json::object{{"bytes_per_hour", OrNull(governance.growth_bytes_per_hour)},
                                  {"findings", std::move(growing)}}},
          {"warnings", jobs::Strings(governance.warnings)},
          {"recommendations", RecommendationsAsJson(governance)},
          {"timeline", std::move(timeline)}};
}

}  // namespace weir::api
