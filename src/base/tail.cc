#include "base/tail.h"

#include <algorithm>

namespace weir {

void Tail::Append(std::string_view data) {
  total_ += data.size();
  if (capacity_ == 0 || data.empty()) {
    return;
  }
  if (buffer_.capacity() < capacity_) {
    buffer_.reserve(capacity_);
  }
  const std::size_t room = std::min(capacity_ - buffer_.size(), data.size());
  buffer_.append(data.substr(0, room));
  data.remove_prefix(room);
  if (data.empty()) {
    return;
  }
  if (data.size() >= capacity_) {
    const std::size_t skipped = data.size() - capacity_;
    last_dropped_ = skipped > 0 ? data[skipped - 1] : buffer_[(head_ + capacity_ - 1) % capacity_];
    buffer_.assign(data.substr(skipped));
    head_ = 0;
    return;
  }
  last_dropped_ = buffer_[(head_ + data.size() - 1) % capacity_];
  const std::size_t first = std::min(capacity_ - head_, data.size());
  buffer_.replace(head_, first, data.substr(0, first));
  buffer_.replace(0, data.size() - first, data.substr(first));
  head_ = (head_ + data.size()) % capacity_;
}

std::string Tail::Text() const {
  std::string text = buffer_.substr(head_) + buffer_.substr(0, head_);
  if (dropped_bytes() > 0 && last_dropped_ != '\n') {
    // A newline that ends the text is no start of a line: half a line is better than nothing.
    if (const std::size_t end = text.find('\n'); end != std::string::npos && end + 1 < text.size()) {
      text.erase(0, end + 1);
    }
  }
  return text;
}

}  // namespace weir
