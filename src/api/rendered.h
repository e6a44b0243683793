// Rendered: jobs that have ended, as the JSON text that callers get, for as long as nothing about them changes.
// Bounded by the bytes of its texts; the least recently asked for go first. One thread.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/bytes.h"
#include "jobs/service.h"

namespace weir::api {

class Rendered {
 public:
  explicit Rendered(Bytes most) : most_(most) {}

  // The text of the job as it is in `view`; of a job that goes on, it is made anew each time.
  std::shared_ptr<const std::string> Of(const jobs::JobView& view);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  void LetGo();
  [[nodiscard]] Bytes bytes() const { return used_; }

 private:
  struct Entry {
    std::string id;
    WallTime updated;
    store::JobState state;
    std::shared_ptr<const std::string> text;
  };
  Bytes most_;
  Bytes used_;
  std::list<Entry> entries_;  // most recently asked for first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_id_;
};

}  // namespace weir::api
