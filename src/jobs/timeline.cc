#include "jobs/timeline.h"

#include <algorithm>
#include <boost/json.hpp>

#include "jobs/account_json.h"
#include "media/json_text.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kFirstPeriod{250};

}  // namespace

void Timeline::Begin(int attempt, SteadyTime now) {
  attempt_ = attempt;
  began_ = now;
  period_ = kFirstPeriod;
  samples_.clear();
}

void Timeline::Add(SteadyTime now, Bytes resident, Bytes lease) {
  const std::int64_t slot = std::max(now - began_, Duration(0)) / period_;
  if (!samples_.empty() && samples_.back().slot >= slot) {
    Sample& last = samples_.back();
    last.resident = std::max(last.resident, resident);
    last.lease = std::max(last.lease, lease);
    return;
  }
  samples_.push_back({.slot = slot, .resident = resident, .lease = lease});
  if (samples_.size() <= most_) {
    return;
  }
  period_ *= 2;
  std::vector<Sample> fewer;
  for (Sample sample : samples_) {
    sample.slot /= 2;
    if (!fewer.empty() && fewer.back().slot == sample.slot) {
      fewer.back().resident = std::max(fewer.back().resident, sample.resident);
      fewer.back().lease = std::max(fewer.back().lease, sample.lease);
    } else {
      fewer.push_back(sample);
    }
  }
  samples_ = std::move(fewer);
}

std::string Timeline::AsJson() const {
  json::array samples;
  for (const Sample& sample : samples_) {
    samples.push_back(json::object{{"seconds", Seconds3(sample.slot * period_)},
                                   {"resident_bytes", sample.resident.count()},
                                   {"lease_bytes", sample.lease.count()}});
  }
  return media::JsonText(json::object{{"attempt", attempt_}, {"samples", std::move(samples)}});
}

}  // namespace weir::jobs
