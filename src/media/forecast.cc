#include "media/forecast.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace weir::media {
namespace {

// One table for everything that was measured: Debian 12, ffmpeg 5.1.9, libx264 164, glibc 2.36, x86-64; about 600
// runs of 1 to 3 s clips (bench/forecast), least squares on the relative error. MiB of anonymous memory; "MP" are
// megapixels (1e6) of the picture, for x264 those of its padded picture.
constexpr double kLibraryPages = 44.4;  // file pages of ffmpeg's 215 libraries: 43.9 to 45.0 in every run
constexpr double kMargin = 1.06;        // over the forecast; the worst forecast was 3 % short
constexpr double kMarginFloor = 4.0;    // MiB: page tables and other kernel memory that a group is charged for
constexpr double kDataMargin = 1.15;    // private address space is forecast less well: 10 % short at worst
constexpr double kDataMarginFloor = 8.0;
constexpr double kReservedPerResident = 1.25;  // encoders reserve up to a quarter more than they touch

constexpr double kBias = 1.03;  // the fit is centred; too high costs a little budget, too low a killed child

constexpr Need kProcess{.anonymous = 15.0, .data = 38};

// Decoders: anonymous = max(fixed + per_mp * MP, 0.75 * per_mp * MP) + (threads - 1) * (thread + thread_mp * MP).
struct DecoderRow {
  std::string_view codec;
  bool deep;  // more than 8 bits a sample
  double fixed;
  double per_mp;
  double per_mp_ref;  // for each reference picture, where the probe knows their number (H.264)
  double thread;
  double thread_mp;
  bool one_step;  // all threads beyond the first cost as much as one (dav1d)
};
constexpr std::array<DecoderRow, 15> kDecoders{{
    {"h264", false, -4.0, 3.1, 1.95, 2.2, 3.3, false},
    {"h264", true, 0.4, 1.8, 3.9, 2.2, 4.6, false},
    {"hevc", false, -4.1, 14.5, 0, 1.1, 2.9, false},
    {"hevc", true, -3.4, 23.5, 0, 1.1, 4.3, false},
    {"vp9", false, -3.9, 8.4, 0, 0.8, 1.8, false},
    {"vp9", true, -3.9, 16.8, 0, 0.8, 3.6, false},
    {"vp8", false, -3.8, 4.5, 0, 0.3, 1.5, false},
    {"av1", false, -3.3, 14.3, 0, 4.0, 8.9, true},
    {"av1", true, -3.3, 27.5, 0, 4.0, 16.1, true},
    {"mjpeg", false, -5.6, 1.6, 0, 0, 0, false},
    {"mpeg2video", false, -0.4, 4.2, 0, 0.7, 0.2, false},
    {"mpeg4", false, -3.9, 4.6, 0, 0.7, 2.8, false},
    {"prores", true, -0.2, 4.0, 0, 0.5, 4.1, false},
    {"png", false, -4.0, 6.0, 0, 0, 0, false},
    {"png", true, -4.0, 12.0, 0, 0, 0, false},
}};
constexpr DecoderRow kOtherDecoder{"", false, 0, 15, 0, 2.2, 4.0, false};
constexpr DecoderRow kOtherDeepDecoder{"", true, 0, 27, 0, 2.2, 8.0, false};

// x264 with one thread: the preset's own frames, buffers and the scaled picture on its way in. Per padded MP.
struct PresetRow {
  std::string_view preset;
  double per_mp;
};
constexpr std::array<PresetRow, 9> kPresets{{{"ultrafast", 15.3},
                                             {"superfast", 47.1},
                                             {"veryfast", 68.1},
                                             {"faster", 97.7},
                                             {"fast", 127.5},
                                             {"medium", 158.5},
                                             {"slow", 193.0},
                                             {"slower", 239.0},
                                             {"veryslow", 314.2}}};
constexpr double kLeanPerMp = 22.2;          // every preset but ultrafast, with the lean parameters
constexpr double kThriftyPerMp = 39.3;       // the same, with the thrifty ones
constexpr double kLookaheadPerMp = 3.0;      // per frame of lookahead
constexpr double kBidirectionalPerMp = 7.5;  // for each B-frame fewer than the preset has
constexpr double kSyncPerMp = 3.6;           // per frame between lookahead thread and encoder
constexpr double kFrameThreadPerMp = 9.0;    // per frame thread beyond the first
constexpr double kFirstPairPerMp = -1.8;     // once, with more than one frame thread
constexpr double kUltrafastThreadPerMp = 5.9;
constexpr double kPerPicture = 0.07;  // MiB for each picture held, whatever its size
constexpr double kSliceThreadPerMp = 1.0;

// x264 keeps each picture with 32 rows and columns of padding on every side, in whole macroblocks.
double Padded(Size size) {
  const auto up = [](int n) { return static_cast<double>((n + 15) / 16 * 16 + 64); };
  return up(size.width) * up(size.height) / 1e6;
}

}  // namespace

X264Shape ShapeOfPreset(const std::string& preset) {
  X264Shape shape;
  shape.preset = preset;
  if (preset == "ultrafast") {
    shape.lookahead = 0, shape.bframes = 0, shape.mbtree = false;
  } else if (preset == "superfast") {
    shape.lookahead = 0, shape.mbtree = false;
  } else if (preset == "faster") {
    shape.lookahead = 20, shape.refs = 2;
  } else if (preset == "fast") {
    shape.lookahead = 30, shape.refs = 2;
  } else if (preset == "medium") {
    shape.lookahead = 40, shape.refs = 3;
  } else if (preset == "slow") {
    shape.lookahead = 50, shape.refs = 5;
  } else if (preset == "slower") {
    shape.lookahead = 60, shape.refs = 8, shape.adapt_trellis = true;
  } else if (preset == "veryslow") {
    shape.lookahead = 60, shape.refs = 16, shape.bframes = 8, shape.adapt_trellis = true;
  } else {
    shape.preset = "veryfast";
  }
  return shape;
}

X264Shape Thrifty(X264Shape shape) {
  shape.lookahead = 4, shape.bframes = 1, shape.refs = 1;
  shape.mbtree = true, shape.adapt_trellis = false;
  return shape;
}

X264Shape Lean(X264Shape shape) {
  shape.lookahead = 0, shape.bframes = 0, shape.refs = 1;
  shape.mbtree = shape.sync_lookahead = shape.adapt_trellis = false;
  return shape;
}

Need NeedOfProcess() { return kProcess; }

Need NeedOfDecoder(const VideoStream& video, unsigned threads) {
  const bool deep = video.bit_depth > 8;
  const DecoderRow* row = deep ? &kOtherDeepDecoder : &kOtherDecoder;
  for (const DecoderRow& candidate : kDecoders) {
    if (candidate.codec != video.codec) continue;
    if (candidate.deep == deep || row->codec.empty()) row = &candidate;
  }
  double chroma = 1;
  if (!video.chroma_420 && video.codec != "mjpeg" && video.codec != "prores" && video.codec != "png") {
    chroma = video.pixel_format.find("422") != std::string::npos ? 1.28 : 1.9;
  }
  const double input = video.coded.megapixels();
  const double more = row->one_step ? (threads > 1 ? 1 : 0) : static_cast<double>(threads) - 1;
  // One reference and reordering do not go together: then the probe has not seen the number. Four is usual.
  const int refs = video.refs <= 1 && video.has_b_frames > 0 ? 4 : std::clamp(video.refs, 1, 16);
  const double pictures = chroma * input * (row->per_mp + row->per_mp_ref * refs);
  const double need =
      std::max(row->fixed + pictures, 0.75 * pictures) + more * (row->thread + chroma * row->thread_mp * input);
  return {.anonymous = need, .data = need + 2.1 * (static_cast<double>(threads) - 1)};
}

Need NeedOfX264(Size output, const X264Shape& shape, std::int64_t frames) {
  const double size = Padded(output);
  const X264Shape full = ShapeOfPreset(shape.preset);
  const bool ultrafast = shape.preset == "ultrafast";
  const bool lean = !ultrafast && shape.bframes == 0;
  const auto delay = [frames](const X264Shape& s) {
    const int ahead = std::max(s.bframes * (s.adapt_trellis ? 4 : 1), s.mbtree ? s.lookahead : 0);
    return static_cast<double>(std::min<std::int64_t>(ahead, std::max<std::int64_t>(frames, 1)));
  };
  const bool thrifty = shape.mbtree && shape.bframes == 1;
  double per_mp = thrifty ? kThriftyPerMp : kLeanPerMp;
  if (!lean && !thrifty) {
    for (const PresetRow& row : kPresets) {
      if (row.preset == shape.preset) per_mp = row.per_mp;
    }
    const int default_delay = std::max(full.bframes * (full.adapt_trellis ? 4 : 1), full.mbtree ? full.lookahead : 0);
    per_mp += kLookaheadPerMp * (delay(shape) - default_delay);
    per_mp -= kBidirectionalPerMp * (full.bframes - shape.bframes);
  }
  const double more = shape.threads - 1;
  double sync = 0;
  if (more > 0 && shape.sliced) {
    per_mp += kSliceThreadPerMp * more;
  } else if (more > 0) {
    sync = lean || ultrafast || !shape.sync_lookahead ? 0 : shape.bframes + 1;
    per_mp += (ultrafast ? kUltrafastThreadPerMp : kFrameThreadPerMp) * more + kFirstPairPerMp + kSyncPerMp * sync;
  }
  const double pictures_ahead = delay(shape) + sync;
  const double pictures = pictures_ahead + shape.refs + shape.bframes + (shape.sliced ? 0 : more);
  const double need = size * per_mp + kPerPicture * pictures;

  // x264 aligns large allocations to 2 MiB, which reserves up to 2 MiB of address space for each picture.
  double reserved = 10 * size + 3.5 * more + 0.25 * size * pictures_ahead;
  if (!shape.sliced) reserved += 2.8 * size * more;
  if (size > 0.55) reserved += 6 + 2.0 * pictures_ahead;
  if (size > 0.41) reserved += 2.7 * shape.bframes;
  return {.anonymous = need, .data = need + reserved};
}

Need NeedOfVp9(Size output, const Vp9Shape& shape, std::int64_t frames) {
  // libvpx 1.12: 160 pixels of border around each picture that waits, 6.2 MiB for each thread it really uses.
  const double bordered = static_cast<double>(output.width + 320) * (output.height + 320) / 1e6;
  const double ahead = static_cast<double>(std::min<std::int64_t>(shape.lag, std::max<std::int64_t>(frames, 1)));
  int used = 1;
  while (used * 2 <= shape.threads && output.width / (used * 2) >= 256) used *= 2;
  const double need = 15 + 76 * output.megapixels() + 1.4 * bordered * ahead + 6.2 * (used - 1);
  return {.anonymous = need, .data = need + 8 + 3.0 * shape.threads};
}

Need NeedOfStill(Size output, bool png) {
  const double need = 2 + output.megapixels() * (png ? 7.5 : 3.8);
  return {.anonymous = need, .data = need + 45};
}

Need NeedOfAudio(int encoders) { return {.anonymous = 1.0 * encoders, .data = 2.0 * encoders}; }

// No codec works, but the demuxer decodes a first picture where the container does not tell enough about the stream.
Need NeedOfCopy(const VideoStream* video) {
  double per_mp = 0;
  if (video != nullptr) {
    const bool deep = video->bit_depth > 8;
    per_mp = deep ? 4.0 : 3.0;
    // Between 1.6 and 3.6: how many pictures are decoded to learn the reordering depends on the file.
    if (video->codec == "h264") per_mp = deep ? 4.0 : 3.2;
    if (video->codec == "prores") per_mp = 3.2;
    if (video->codec == "vp9" || video->codec == "vp8") per_mp = deep ? 2.4 : 1.2;
    if (video->codec == "hevc" || video->codec == "av1" || video->codec == "mjpeg" || video->codec == "mpeg2video") {
      per_mp = 0.3;
    }
  }
  const double need = video == nullptr ? 0 : per_mp * video->coded.megapixels();
  return {.anonymous = need - 4, .data = need + 4};
}

// The largest picture that the limits allow is not decoded in less than 250 MiB; 4K needs 130.
Need NeedOfProbe(const InputLimits& limits) {
  const double pictures = 4.0 * static_cast<double>(limits.max_pixels) / 1e6;
  return {.anonymous = 20 + pictures, .data = 60 + pictures};
}

Need NeedOfIndex(std::int64_t packets_read, std::int64_t packets_written) {
  const double need =
      (60.0 * static_cast<double>(packets_read) + 100.0 * static_cast<double>(packets_written)) / 1048576;
  return {.anonymous = need, .data = need};
}

Bytes SharedPages() { return Bytes::FromMib(std::floor(kLibraryPages) - 1); }

void Settle(Need need, Forecast& forecast) {
  const double peak = (need.anonymous + kLibraryPages) * kBias;
  forecast.peak = forecast.prior = Bytes::FromMib(peak);
  forecast.anonymous = Bytes::FromMib(peak - kLibraryPages);
  forecast.lease = Bytes::FromMib(std::ceil(peak * kMargin + kMarginFloor));
  forecast.data_limit = Bytes::FromMib(std::ceil(need.data * kDataMargin + kDataMarginFloor));
}

void Correct(const Experience& experience, Forecast& forecast) {
  // The floor stays in any case: what a group is charged for beside resident pages is not in measured peaks.
  if (experience.samples + experience.killed == 0) return;
  const double peak = std::max(forecast.prior.mib() * experience.factor, kLibraryPages);
  const Bytes enough = Bytes::FromMib(std::ceil(peak + kMarginFloor));
  const Bytes formula = forecast.lease;
  forecast.peak = Bytes::FromMib(peak);
  forecast.anonymous = Bytes::FromMib(peak - kLibraryPages);
  forecast.lease = experience.is_safe ? enough : std::max(formula, enough);
  // What is more than the formula says is private, with what encoders reserve beside it. Less does not lower the
  // limit: address space that is never touched is in no measured peak.
  if (forecast.lease > formula) {
    forecast.data_limit += Bytes::FromMib(std::ceil(kReservedPerResident * (forecast.lease - formula).mib()));
  }
}

void Settle(Need need, HelperCommand& command) {
  Forecast forecast;
  Settle(need, forecast);
  command.lease = forecast.lease;
  command.data_limit = forecast.data_limit;
}

}  // namespace weir::media
