#include "api/calibration_routes.h"

#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "jobs/account_json.h"
#include "jobs/learning.h"

namespace weir::api {
namespace {

namespace json = boost::json;
using http::Request;

json::value BandAsJson(const memory::CalibrationSummary& summary, const memory::CalibrationSummary::Band& band) {
  if (summary.samples == 0) {
    return nullptr;
  }
  return json::object{{"low", band.low}, {"median", band.median}, {"high", band.high}};
}

// The middle of the bucket.
json::value Megapixels(memory::PictureBucket bucket) {
  if (bucket == memory::PictureBucket()) {
    return nullptr;
  }
  return std::exp2(bucket.half_octaves / 2.0);
}

json::object CalibrationAsJson(const Context& context) {
  const auto* learning = context.service.learning();
  const auto summary = learning != nullptr ? learning->summary() : memory::CalibrationSummary();
  json::array kinds;
  if (learning != nullptr) {
    learning->calibration().ForEach([&](const memory::CalibrationKey& key, const memory::Correction& correction) {
      kinds.push_back(json::object{{"recipe", key.recipe},
                                   {"codec", key.codec},
                                   {"plan", key.plan},
                                   {"input_megapixels", Megapixels(key.input)},
                                   {"output_megapixels", Megapixels(key.output)},
                                   {"factor", correction.factor},
                                   {"median", correction.median},
                                   {"samples", correction.samples},
                                   {"killed", correction.killed},
                                   {"confidence", memory::ToWord(correction.confidence)},
                                   {"at_ceiling", correction.at_ceiling}});
    });
  }
  return {{"ffmpeg_version", jobs::Text(context.facts.ffmpeg_version)},
          {"samples", summary.samples},
          {"killed", summary.killed},
          {"errors", json::object{{"prior", BandAsJson(summary, summary.prior)},
                                  {"corrected", BandAsJson(summary, summary.corrected)}}},
          {"above_prior", summary.above_prior},
          {"above_corrected", summary.above_corrected},
          {"killed_above_corrected", summary.killed_above_corrected},
          {"most_kinds", learning != nullptr ? learning->most_kinds() : 0},
          {"kinds", std::move(kinds)}};
}

}  // namespace

Reply GetCalibration(Context& context, Request /*request*/) { co_return JsonOf(200, CalibrationAsJson(context)); }

Reply PostCalibrationReset(Context& context, Request /*request*/) {
  if (auto* learning = context.service.learning()) {
    learning->Forget();
  }
  co_return JsonOf(200, CalibrationAsJson(context));
}

}  // namespace weir::api
