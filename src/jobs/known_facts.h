// What probes found in files, for the next job on the same one: a probe takes as much processor time as a second of
// cropping, and keeps the job waiting for as long.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <utility>

#include "media/facts.h"

namespace weir::jobs {

// One thread. Of one build of the tools and one set of limits. `version`: see store::SettledVersionOf.
class KnownFacts {
 public:
  static constexpr std::size_t kMost = 32;

  [[nodiscard]] std::optional<media::MediaFacts> Find(const std::string& version) {
    for (auto known = known_.begin(); known != known_.end(); ++known) {
      if (known->first == version) {
        known_.splice(known_.begin(), known_, known);
        return known->second;
      }
    }
    return std::nullopt;
  }

  void Keep(const std::string& version, media::MediaFacts facts) {
    known_.remove_if([&](const auto& other) { return other.first == version; });
    known_.emplace_front(version, std::move(facts));
    if (known_.size() > kMost) {
      known_.pop_back();
    }
  }

 private:
  std::list<std::pair<std::string, media::MediaFacts>> known_;  // used last comes first
};

}  // namespace weir::jobs
