// Reads ffmpeg's -progress stream: key=value lines in blocks that end with progress=continue or progress=end.
// Bounded: a line longer than 256 bytes is dropped and counted. Pure; feed it bytes in any pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"

namespace weir::media {

struct Progress {
  std::int64_t frame = 0;
  double fps = 0;
  MediaTime out_time{};  // how much of the output is written
  Bytes total_size;      // of the output so far
  double speed = 0;      // times real time; 0 when unknown
  std::int64_t duplicated = 0;
  std::int64_t dropped = 0;
  bool finished = false;  // progress=end was seen
};

class ProgressParser {
 public:
  // True when a whole block arrived that shows more than the one before it (frame, time or size grew, or the end).
  bool Feed(std::string_view chunk);
  [[nodiscard]] const Progress& current() const { return current_; }
  [[nodiscard]] std::uint64_t blocks() const { return blocks_; }
  [[nodiscard]] std::uint64_t bad_lines() const { return bad_lines_; }

 private:
  void Line(std::string_view line);
  std::string partial_;
  bool overlong_ = false;
  Progress next_;
  Progress current_;
  std::uint64_t blocks_ = 0;
  std::uint64_t bad_lines_ = 0;
  bool advanced_ = false;
};

}  // namespace weir::media
