// Unchanged: answers that hold until anything about any job changes, by what was asked. So a crowd of readers costs
// the store nothing while nothing happens. Bounded by the bytes of its texts. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/bytes.h"

namespace weir::api {

class Unchanged {
 public:
  explicit Unchanged(Bytes most) : most_(most) {}

  // nullptr: not asked since the `version` (of all jobs together) came to be.
  std::shared_ptr<const std::string> Find(const std::string& asked, std::uint64_t version);
  // Only what does not change by itself, with time. Not kept when there is no room: the next version makes some.
  void Keep(const std::string& asked, std::uint64_t version, std::shared_ptr<const std::string> text);
  void LetGo();
  [[nodiscard]] Bytes bytes() const { return used_; }

 private:
  void Follow(std::uint64_t version);

  Bytes most_;
  Bytes used_;
  std::uint64_t version_ = 0;
  std::unordered_map<std::string, std::shared_ptr<const std::string>> texts_;
};

}  // namespace weir::api
