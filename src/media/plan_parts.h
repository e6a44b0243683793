// What the four kinds of plan have in common: the geometry of pictures, the encoder rungs, audio and subtitle
// choices, the argument vector around them, and what the output of it must be. Private to the plan files. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "media/commands.h"
#include "media/facts.h"
#include "media/forecast.h"
#include "media/plan.h"
#include "media/recipe.h"

namespace weir::media {

// The largest even number not above `value`, at least 2.
int EvenDown(double value);
// The nearest even number, the lower of two, at least 2.
int EvenNear(double value);

// A picture as the filters get it (turned upright, still with its own pixel shape) and as a player shows it.
struct Picture {
  Size stored;
  Size shown;
  [[nodiscard]] double across() const { return static_cast<double>(shown.width) / stored.width; }
  [[nodiscard]] double down() const { return static_cast<double>(shown.height) / stored.height; }
};
Picture PictureOf(const VideoStream& video);

// Common to every request.
struct Source {
  const MediaFacts& facts;
  const InputLimits& limits;
  unsigned cpus;  // 1..16
};

// Part of the source that an output shows.
struct Span {
  MediaTime from{0};
  MediaTime length{0};
  bool whole = true;
};

// Length of the streams that are carried over; the container's when a stream does not tell its own.
// Errors: kInputDamaged when nothing tells it.
Result<MediaTime> LengthOf(const MediaFacts& facts, bool with_video, bool with_audio);

struct AudioChoice {
  std::vector<std::string> arguments;  // output options, per audio stream in order
  std::vector<ExpectedAudio> expected;
  std::vector<std::string> notes;
  int encoders = 0;            // streams that are encoded
  double bits_per_second = 0;  // upper bound over all streams
  bool all_copied = true;
};
enum class AudioPolicy : std::uint8_t {
  kEncode,    // times change: AAC, or Opus in webm
  kCopySame,  // copy what already is AAC (Opus in webm), encode the rest
  kCopyHeld,  // copy whatever the container holds, encode the rest
};
// Every audio stream, in order.
AudioChoice ChooseAudio(const MediaFacts& facts, Container container, AudioPolicy policy);
bool HoldsAudio(Container container, std::string_view codec);
bool HoldsVideo(Container container, std::string_view codec);

// "-f" name of the muxer, the word ffprobe must report, and the file name in the working folder.
struct Muxer {
  std::string format;
  std::string word;
  std::string file;
  bool faststart = false;
};
Muxer MuxerOf(Container container);

struct SubtitleChoice {
  std::vector<std::string> maps;
  std::vector<std::string> arguments;
  std::size_t count = 0;
};

// A picture to be encoded, the same for every rung.
struct VideoJob {
  const VideoStream* input = nullptr;
  std::string filters;  // "crop=...,scale=...,setsar=1,format=yuv420p"
  Size output;
  std::string codec = "h264";  // or "vp9"
  int crf = 23;
  std::string preset = "veryfast";
  std::string size_option;  // "--size" or "--fit" where the recipe has one
};

// The plans for encoding `job` over `span`: one per rung.
Ladder EncodeLadder(const Source& source, const Request& request, const VideoJob& job, const Span& span,
                    const AudioChoice& audio, const SubtitleChoice& subtitles, std::vector<std::string> notes);

// How to get to a time: options before and after the input.
struct Seek {
  std::optional<MediaTime> before;
  std::optional<MediaTime> after;
};
// Containers without an index land anywhere, also between key pictures; there the input is read from well before,
// and what comes too early is thrown away after decoding.
Seek SeekTo(const MediaFacts& facts, std::optional<MediaTime> time);

// Front of every ffmpeg argv, up to and with the input.
std::vector<std::string> InputArguments(const Source& source, unsigned decoder_threads,
                                        std::optional<MediaTime> seek);
// Tags: dropped, or kept; language of audio kept either way.
std::vector<std::string> MetadataArguments(const Request& request, const MediaFacts& facts);
// Container options, and the output file as the last word.
std::vector<std::string> MuxerArguments(const Muxer& muxer, const Request& request);

// What is not carried over, and conversions that the user should know.
std::vector<std::string> NotesOnVideo(const VideoStream& video);
std::vector<std::string> NotesOnDropped(const MediaFacts& facts, bool with_video, bool with_subtitles);

// Rate to expect and arguments that keep every frame exactly once.
std::vector<std::string> RateArguments(const VideoStream& video);
double FramesPerSecond(const VideoStream& video);
MediaTime FrameTime(const VideoStream& video);
Rational TidyRate(const VideoStream& video);

std::chrono::milliseconds DeadlineFor(MediaTime length);
// "12.3 s" for people.
std::string Shown(MediaTime time);
std::string Shown(Size size);

// Packets of the streams that are carried over, for the size of the container's index.
std::int64_t PacketsOf(const MediaFacts& facts, MediaTime length);

// Drops each plan whose lease is not below that of every faster plan kept; only those for company keep out none that
// is of use to a lone job, but come behind it. Leases fall down the result.
void KeepStrictlyLeaner(std::vector<Plan>& plans);

Result<Ladder> PlanCrop(const Source& source, const Request& request, const Crop& crop);
Result<Ladder> PlanTrim(const Source& source, const Request& request, const Trim& trim, const CutFacts& cut);
Result<Ladder> PlanTranscode(const Source& source, const Request& request, const Transcode& transcode);
Result<Ladder> PlanThumbnail(const Source& source, const Request& request, const Thumbnail& thumbnail);

}  // namespace weir::media
