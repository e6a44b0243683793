// Routes about what measured peaks taught: how good forecasts of memory are, and a way to forget it.
#pragma once

#include "api/context.h"

namespace weir::api {

Reply GetCalibration(Context& context, http::Request request);
Reply PostCalibrationReset(Context& context, http::Request request);

}  // namespace weir::api
