// Looks at one produced file before it may be called a result: probe, packet scan, decode windows, each a
// supervised child under a lease, as many at once as memory and processors allow. Changes nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/result.h"
#include "jobs/run.h"
#include "media/expectation.h"
#include "store/endpoints.h"
#include "store/work_folder.h"

namespace weir::jobs {

struct Verified {
  media::CheckReport report;
  media::MediaFacts facts;
  std::chrono::microseconds cpu_time{};
};

// Loop thread only. `work` and `produced` must outlive it. Destroying it kills its children; `on_end` is called once,
// from the loop. `on_memory`, of all its children together, may be empty.
class Verification {
 public:
  Verification(World& world, const store::WorkFolder& work, const store::Produced& produced,
               const media::Expectation& expectation, const media::MediaFacts& source, media::VerifyDepth depth,
               std::function<void(Bytes resident, Bytes lease)> on_memory,
               std::function<void(Result<Verified>)> on_end);
  ~Verification();
  Verification(const Verification&) = delete;
  Verification& operator=(const Verification&) = delete;

  // The most that a single one of its children is given.
  [[nodiscard]] Bytes needed() const;
  // `lease`: at least that; one child after the other runs on it, further ones beside it while the ledger has more.
  void Start(memory::Lease lease);
  void Kill();
  void Pause(bool paused);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::jobs
