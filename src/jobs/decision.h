// Why a step got what it got, and what a job waits for: the scheduler's numbers as one sentence and as JSON. The only
// place where they become words. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/clock.h"
#include "jobs/scheduler.h"
#include "media/plan.h"

namespace weir::jobs {

// The name of a way of the step.
using WayName = std::function<std::string(std::size_t way)>;

// What was decided about some ways of a ladder, from the one numbered `first` on, as a decision about all of them.
// `most`: the largest lease that there could ever be; `failed`: of a way before `first`, see PassedFor.
Reason InLadder(Reason reason, std::size_t first, std::span<const media::Plan> plans, Bytes most,
                const std::function<bool(std::size_t way)>& failed);

// `started with 1 thread (198.0 MiB, way 4 of 11) because 212.0 MiB were free and 1 of 2 processors idle; "2 frame
// threads" needs 305.0 MiB`. Of the ways that were passed over the first is named that could have been had.
std::string Sentence(const Reason& reason, const WayName& name);
// "it needs 305.0 MiB of memory (105.5 MiB at the least), 212.0 MiB are free, held by 2 leases"; "" for kNothing.
std::string Sentence(const Wait& wait);

// {"plan", "way" (from 1), "ways", "lease_bytes", "available_bytes", "processors", "idle_processors", "leases",
// "working", "alike", "wanting", "waited_seconds", "waited_for", "out_of_patience", "overtaken", "passed": [{"plan",
// "required_bytes", "why"}]}; see Reason. Of the ways that were passed over the first sixteen.
boost::json::object ReasonAsJson(const Reason& reason, const WayName& name);
// {"for", "reason" (the sentence), "since"} and what belongs to that; with the dates of its instants. nullopt for
// kNothing.
std::optional<boost::json::object> WaitAsJson(const Wait& wait, std::optional<WallTime> since,
                                              std::optional<WallTime> until);

}  // namespace weir::jobs
