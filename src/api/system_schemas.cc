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
  schemas["System"] = Object(
      {{"version", Text(1)},
       {"uptime_seconds", Number()},
       {"ready", Flag()},
       {"draining", Flag()},
       {"memory", Object({{"budget_bytes", Whole()},
                          {"own_bytes", Described(Whole(), "Set aside for the daemon.")},
                          {"leased_bytes", Whole()},
                          {"available_bytes", Whole()},
                          {"backend", Ref("Backend")},
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
  schemas["Backend"] = Described(Text(1), "What keeps the limits of memory.");
  schemas["Draining"] = Object({{"draining", Flag()}});
  schemas["Alive"] = Object({{"status", Always("alive")}});
  schemas["Ready"] = Object({{"ready", Flag()}, {"reason", OrNull(Text(1))}, {"backend", Ref("Backend")}});
  schemas["Text"] = Text(1);
  schemas["EventStream"] = Described(Text(), "Server-sent events; x-events tells what their data are.");
  schemas["Document"] = json::object{{"type", "object"}, {"required", {"openapi", "info", "paths", "components"}}};
}

}  // namespace weir::api
