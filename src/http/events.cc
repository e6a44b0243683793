#include "http/events.h"

#include <utility>

namespace weir::http {

Result<bool> EventParser::Feed(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    if (std::exchange(after_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + data_.size() + part.size() > largest_.count()) {
      return Fail(ErrorCode::kTooLarge, "an event of more than " + ToString(largest_));
    }
    line_ += part;
    if (end == std::string_view::npos) return true;
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    const bool more = EndLine(take);
    line_.clear();
    if (!more) return false;
  }
  return true;
}

bool EventParser::EndLine(const Take& take) {
  std::string_view line = line_;
  if (std::exchange(first_line_, false) && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  if (line.empty()) {
    bool more = true;
    if (std::exchange(has_data_, false)) {
      data_.pop_back();  // the line feed of its last line
      more = take(id_, type_.empty() ? std::string_view("message") : std::string_view(type_), data_);
    }
    data_.clear();
    type_.clear();
    return more;
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    data_ += value;
    data_ += '\n';
    has_data_ = true;
  } else if (field == "event") {
    type_ = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    id_ = value;
  }
  return true;
}

}  // namespace weir::http
