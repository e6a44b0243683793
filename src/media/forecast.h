// Forecast of the memory of one ffmpeg process, from geometry, codecs and options. Pure arithmetic over one table
// of measured coefficients (forecast.cc); not a limit: the lease made from it is enforced by the kernel.
// Fitted on and checked with bench/forecast (Debian ffmpeg 5.1.9, libx264 164); errors are in docs/BENCHMARKS.md.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "media/facts.h"
#include "media/plan.h"

namespace weir::media {

// The x264 settings that decide its memory; the preset's own values with the rung's changes applied.
struct X264Shape {
  std::string preset = "veryfast";
  int threads = 1;
  bool sliced = false;
  int lookahead = 10;          // frames; counts only with mbtree
  bool sync_lookahead = true;  // a lookahead thread of its own (frame threads only)
  int bframes = 3;
  int refs = 1;
  bool mbtree = true;
  bool adapt_trellis = false;  // b-adapt 2
};
// The shape of a preset as x264 164 defines it. Unknown names count as "veryfast".
X264Shape ShapeOfPreset(const std::string& preset);
// The shape after "rc-lookahead=4:bframes=1:b-adapt=1:ref=1".
X264Shape Thrifty(X264Shape shape);
// The shape after "rc-lookahead=0:sync-lookahead=0:bframes=0:ref=1:mbtree=0".
X264Shape Lean(X264Shape shape);

struct Vp9Shape {
  int threads = 1;
  int lag = 0;  // frames
};

// Resident and virtual private memory, in MiB.
struct Need {
  double anonymous = 0;
  double data = 0;  // private writable address space
  Need& operator+=(const Need& other) {
    anonymous += other.anonymous;
    data += other.data;
    return *this;
  }
};

Need NeedOfProcess();                                            // ffmpeg with nothing open
Need NeedOfDecoder(const VideoStream& video, unsigned threads);  // demuxer, decoder, pictures in flight
Need NeedOfX264(Size output, const X264Shape& shape, std::int64_t frames);
Need NeedOfVp9(Size output, const Vp9Shape& shape, std::int64_t frames);
Need NeedOfStill(Size output, bool png);
Need NeedOfAudio(int encoders);
// Demuxer and muxer without a codec; `video` may be null.
Need NeedOfCopy(const VideoStream* video);
Need NeedOfProbe(const InputLimits& limits);  // ffprobe, first pictures decoded
Need NeedOfIndex(std::int64_t packets_read, std::int64_t packets_written);

// Fills anonymous, peak, prior, lease and data_limit; the rest is left alone.
void Settle(Need need, Forecast& forecast);
// A settled forecast, corrected. A safe factor replaces the margin; another one only ever raises the lease.
void Correct(const Experience& experience, Forecast& forecast);
// For ffprobe.
void Settle(Need need, HelperCommand& command);

}  // namespace weir::media
