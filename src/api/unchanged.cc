#include "api/unchanged.h"

#include <utility>

namespace weir::api {

void Unchanged::Follow(std::uint64_t version) {
  if (version != version_) {
    version_ = version;
    LetGo();
  }
}

std::shared_ptr<const std::string> Unchanged::Find(const std::string& asked, std::uint64_t version) {
  Follow(version);
  const auto found = texts_.find(asked);
  return found == texts_.end() ? nullptr : found->second;
}

void Unchanged::Keep(const std::string& asked, std::uint64_t version, std::shared_ptr<const std::string> text) {
  Follow(version);
  const Bytes size(asked.size() + text->size());
  if (used_ + size <= most_ && texts_.emplace(asked, std::move(text)).second) {
    used_ += size;
  }
}

void Unchanged::LetGo() {
  texts_.clear();
  used_ = Bytes();
}

}  // namespace weir::api
