#include "api/rendered.h"

#include "api/job_json.h"
#include "media/json_text.h"

namespace weir::api {

std::shared_ptr<const std::string> Rendered::Of(const jobs::JobView& view) {
  const auto make = [&] { return std::make_shared<const std::string>(media::JsonText(JobAsJson(view))); };
  if (view.live || !store::IsFinal(view.record.state)) {
    return make();
  }
  const auto known = by_id_.find(view.record.id);
  if (known != by_id_.end()) {
    Entry& entry = *known->second;
    entries_.splice(entries_.begin(), entries_, known->second);
    if (entry.updated == view.record.updated && entry.state == view.record.state) {
      return entry.text;
    }
    used_ -= Bytes(entry.text->size());
    entries_.erase(known->second);
    by_id_.erase(known);
  }
  auto text = make();
  entries_.push_front({view.record.id, view.record.updated, view.record.state, text});
  by_id_.emplace(view.record.id, entries_.begin());
  used_ += Bytes(text->size());
  while (used_ > most_ && !entries_.empty()) {
    used_ -= Bytes(entries_.back().text->size());
    by_id_.erase(entries_.back().id);
    entries_.pop_back();
  }
  return text;
}

void Rendered::LetGo() {
  entries_.clear();
  by_id_.clear();
  used_ = Bytes();
}

}  // namespace weir::api
