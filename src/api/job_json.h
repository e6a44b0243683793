// A job as the contract shows it. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "jobs/service.h"
#include "media/progress.h"

namespace weir::api {

boost::json::object JobAsJson(const jobs::JobView& view);
boost::json::object BatchAsJson(const jobs::BatchView& view);
// {ratio, frame, fps, speed, eta_seconds}, or null.
boost::json::value ProgressAsJson(const jobs::JobView& view);
// One server-sent event; `id` 0: without one, so that it does not move the reader's place.
std::string EventText(std::int64_t id, std::string_view type, const boost::json::object& data);
boost::json::object EventData(const store::EventRecord& event);
// The digest of an artefact, 64 hexadecimal digits; "" when none is stored.
std::string DigestOf(const store::JobRecord& record, std::string_view artifact);
// The object in a stored document; empty when there is none.
boost::json::object Document(const std::string& text);

}  // namespace weir::api
