// How the daemon's own state looks in the served document.
#include <boost/json.hpp>

#include "api/schema.h"
#include "jobs/service.h"

namespace weir::api {

namespace json = boost::json;

void AddSystemSchemas(json::object& schemas) {
  Members states;
  for (std::size_t i = 0; i < store::kJobStates; ++i) {
    states.push_back({.name = store::NameOf(static_cast<store::JobState>(i)), .schema = Whole()});
  }
  schemas["CountByState"] = Object(states);
  schemas["Level"] = Described(OneOf({"normal", "elevated", "high", "critical"}), "How short memory is.");
  schemas["Recommendation"] =
      Object({{"priority", OneOf({"high", "medium", "low"})},
              {"action", Text(1)},
              {"setting", Described(OrNull(Text(1)), "What the sentence wants to be changed.")}});
  schemas["Memory"] = Object(
      {{"level", Ref("Level")},
       {"reason", Text(1)},
       {"since", OrNull(Ref("Time"))},
       {"budget_bytes", Whole()},
       {"leased_bytes", Whole()},
       {"tree_bytes", Whole()},
       {"own_pss_bytes", Whole()},
       {"machine",
        Object({{"total_bytes", OrNull(Whole())},
                {"available_bytes", OrNull(Whole())},
                {"swap_free_bytes", OrNull(Whole())},
                {"stall_percent", Described(OrNull(Number()), "Of the last 10 s: all work waited for memory.")}})},
       {"held", Described(Flag(), "Nothing new begins, for want of memory.")},
       {"suspended_jobs", Whole()},
       {"yielded_jobs", Described(Whole(), "Times that a job's work was ended to make room, since the start.")},
       {"given_back_bytes", Described(Whole(), "By leases whose children went on, since the start.")},
       {"remedies", Described(List(Object({{"name", Text(1)}, {"uses", Whole()}, {"freed_bytes", Whole()}})),
                              "In the order of their use, counted since the start.")},
       {"uses", Described(List(Object({{"time", Ref("Time")},
                                       {"name", Text(1)},
                                       {"level", Ref("Level")},
                                       {"reason", Text()},
                                       {"freed_bytes", Whole()},
                                       {"undone", Described(Flag(), "Its end, where it is a state.")},
                                       {"times", Described(Whole(),
                                                           "In a row, where they freed nothing; the rest is "
                                                           "of the last time.")}})),
                          "The last ones, oldest first.")},
       {"growth", Object({{"bytes_per_hour",
                           Described(OrNull(Number(-1e12)), "Of the daemon's memory; null in the first hours.")},
                          {"findings", List(Object({{"what", OneOf({"memory", "handles", "threads"})},
                                                    {"per_hour", Number()},
                                                    {"over_seconds", Number()},
                                                    {"suspect", OrNull(Text(1))},
                                                    {"sentence", Text(1)}}))}})},
       {"warnings", List(Text(1))},
       {"recommendations", List(Ref("Recommendation"))},
       {"timeline", Described(List(Object({{"period_seconds", Number()},
                                           {"points", List(Object({{"time", Ref("Time")},
                                                                   {"tree_bytes", Whole()},
                                                                   {"leased_bytes", Whole()},
                                                                   {"budget_bytes", Whole()},
                                                                   {"level", Ref("Level")}}))}})),
                              "The highest of each period, oldest first; periods without a look are missing.")}});
  schemas["System"] = Object(
      {{"version", Text(1)},
       {"uptime_seconds", Number()},
       {"ready", Flag()},
       {"draining", Flag()},
       {"memory", Object({{"level", Ref("Level")},
                          {"reason", Text(1)},
                          {"budget_bytes", Whole()},
                          {"own_bytes", Described(Whole(), "Set aside for the daemon.")},
                          {"leased_bytes", Whole()},
                          {"available_bytes", Whole()},
                          {"backend", Ref("Backend")},
                          {"enclosed", Ref("Enclosed")},
                          {"group", OrNull(Ref("MemoryGroup"))},
                          {"own_pss_bytes", Described(Whole(), "Measured: the daemon.")},
                          {"tree_bytes", Described(Whole(), "Measured: the daemon and all its children.")}})},
       {"running", List(Object({{"job", Ref("Id")},
                                {"recipe", Ref("RecipeName")},
                                {"plan", Text()},
                                {"lease_bytes", Described(Whole(), "0 while its next step waits.")},
                                {"memory_bytes", Described(Whole(), "Measured last; 0 while its next step waits.")},
                                {"seconds", Number()},
                                {"waiting", Described(OrNull(Ref("Waiting")),
                                                      "Its next step, for memory or disk or a "
                                                      "processor.")}}))},
       {"queue", Object({{"waiting", Whole()},
                         {"running", Whole()},
                         {"needs_waiting", Described(Whole(), "Steps that wait for memory or disk.")},
                         {"limit", Whole()},
                         {"slots", Whole()},
                         {"unsaved", Described(Whole(), "Jobs whose last change could not be written yet.")}})},
       {"jobs", Ref("CountByState")},
       {"requests", Object({{"total", Whole()}, {"in_flight", Whole()}, {"connections", Whole()}})},
       {"tools", Object({{"ffmpeg", Text()}, {"ffprobe", Text()}, {"version", Text()}})},
       {"sandbox", Object({{"missing", List(Text(1))}})},
       {"services",
        Described(
            List(Object(
                {{"name", Text(1)}, {"loaded", Flag()}, {"since", OrNull(Ref("Time"))}, {"bytes", OrNull(Whole())}})),
            "The parts of the daemon: what is loaded, since when, and with how much memory.")}});
  const auto band = Object({{"low", Described(Number(-1), "2.5 % of the errors are lower.")},
                            {"median", Number(-1)},
                            {"high", Described(Number(-1), "2.5 % are higher.")}});
  schemas["Calibration"] = Object(
      {{"ffmpeg_version", Text()},
       {"samples", Described(Whole(), "Peaks of children that ended by themselves, the newest of each kind.")},
       {"killed", Described(Whole(), "Children that reached their limit.")},
       {"errors", Described(Object({{"prior", OrNull(band)}, {"corrected", OrNull(band)}}),
                            "Forecast / measured - 1: by the formula alone, and as corrected when the child ran.")},
       {"above_prior", Described(Whole(), "Peaks above the formula's forecast.")},
       {"above_corrected", Whole()},
       {"killed_above_corrected", Described(Whole(), "Limits that were reached at or above the corrected forecast.")},
       {"most_kinds", Whole()},
       {"kinds", List(Object({{"recipe", Ref("RecipeName")},
                              {"codec", Described(Text(1), "Of the input.")},
                              {"plan", Described(Text(1), "Encoder, preset, threads, and the plan's name.")},
                              {"input_megapixels", Described(OrNull(Number()), "About: sizes are put together.")},
                              {"output_megapixels", OrNull(Number())},
                              {"factor", Described(Number(), "Of the formula's forecast, for the next one.")},
                              {"median", Described(Number(), "Measured / formula.")},
                              {"samples", Whole()},
                              {"killed", Whole()},
                              {"confidence", Ref("Confidence")},
                              {"at_ceiling", Flag()}}),
                      0, 1000)}});
  schemas["Backend"] = Described(Text(1), "What keeps the limits of memory.");
  schemas["Enclosed"] = Described(OneOf({"tree", "children", "none"}),
                                  "What one limit keeps together: the daemon and its children, the children, or "
                                  "nothing, where each child has its own limit only.");
  schemas["MemoryGroup"] =
      Described(Object({{"used_bytes", Whole()},
                        {"limit_bytes", OrNull(Whole())},
                        {"peak_bytes", OrNull(Whole())},
                        {"page_cache_bytes", Described(Whole(), "Given up before anything else.")},
                        {"tmpfs_bytes", Described(Whole(), "Added to the limit: there until the files are removed.")},
                        {"oom_kills", Whole()}}),
                "What the control group around everything is charged with.");
  schemas["Draining"] = Object({{"draining", Flag()}});
  schemas["Alive"] = Object({{"status", Always("alive")}});
  schemas["Ready"] = Object(
      {{"ready", Flag()}, {"reason", OrNull(Text(1))}, {"backend", Ref("Backend")}, {"enclosed", Ref("Enclosed")}});
  schemas["Text"] = Text(1);
  schemas["EventStream"] = Described(Text(), "Server-sent events; x-events tells what their data are.");
  schemas["Document"] = json::object{{"type", "object"}, {"required", {"openapi", "info", "paths", "components"}}};
}

}  // namespace weir::api
