#include "media/progress.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace weir::media {
namespace {

constexpr std::size_t kMaxLine = 256;
// Past these a number is noise. They keep every later sum and product far from overflow.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 53U;

// -1: not a number of this kind. ffmpeg writes "N/A" while it does not know, and small negative times before the
// first packet.
std::int64_t Count(std::string_view value) {
  const std::optional<std::int64_t> number = ParseSigned(value);
  return number ? std::clamp<std::int64_t>(*number, 0, kMaxCount) : -1;
}

bool IsKey(std::string_view key) {
  return !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

bool ProgressParser::Feed(std::string_view chunk) {
  advanced_ = false;
  while (!chunk.empty()) {
    const std::size_t end = chunk.find('\n');
    const std::string_view piece = chunk.substr(0, end);
    if (!overlong_ && partial_.size() + piece.size() > kMaxLine) {
      overlong_ = true;
      partial_.clear();
    }
    if (!overlong_) partial_ += piece;
    if (end == std::string_view::npos) break;
    if (overlong_) {
      ++bad_lines_;
    } else {
      Line(partial_);
    }
    overlong_ = false;
    partial_.clear();
    chunk.remove_prefix(end + 1);
  }
  return advanced_;
}

void ProgressParser::Line(std::string_view line) {
  line = Trim(line);
  if (line.empty()) return;
  const std::size_t equals = line.find('=');
  const std::string_view key = line.substr(0, equals);
  if (equals == std::string_view::npos || !IsKey(key)) {
    ++bad_lines_;
    return;
  }
  const std::string_view value = Trim(line.substr(equals + 1));
  if (value == "N/A") return;
  const auto keep = [&](std::int64_t& field) {
    const std::int64_t number = Count(value);
    if (number < 0) {
      ++bad_lines_;
    } else {
      field = number;
    }
  };
  const auto keep_real = [&](double& field, std::string_view text) {
    const std::optional<double> number = ParseDecimal(text);
    if (number && std::isfinite(*number) && *number >= 0) {
      field = *number;
    } else {
      ++bad_lines_;
    }
  };
  if (key == "frame") {
    keep(next_.frame);
  } else if (key == "fps") {
    keep_real(next_.fps, value);
  } else if (key == "out_time_us" || key == "out_time_ms") {
    // Both are microseconds: the second was named wrongly and is kept so by ffmpeg. out_time says it a third time.
    std::int64_t microseconds = next_.out_time.count();
    keep(microseconds);
    next_.out_time = MediaTime(microseconds);
  } else if (key == "total_size") {
    std::int64_t bytes = static_cast<std::int64_t>(next_.total_size.count());
    keep(bytes);
    next_.total_size = Bytes(static_cast<std::uint64_t>(bytes));
  } else if (key == "speed") {
    std::string_view number = value;
    if (number.ends_with('x')) number.remove_suffix(1);
    // From 1000 on it is written with an exponent ("1.01e+03x"): a speed worth nothing, not a broken line.
    if (number.find('e') == std::string_view::npos) keep_real(next_.speed, Trim(number));
  } else if (key == "dup_frames") {
    keep(next_.duplicated);
  } else if (key == "drop_frames") {
    keep(next_.dropped);
  } else if (key == "progress") {
    if (value != "continue" && value != "end") {
      ++bad_lines_;
      return;
    }
    next_.finished = current_.finished || value == "end";
    if (next_.frame > current_.frame || next_.out_time > current_.out_time ||
        next_.total_size > current_.total_size || (next_.finished && !current_.finished)) {
      advanced_ = true;
    }
    current_ = next_;
    ++blocks_;
  }
}

}  // namespace weir::media
