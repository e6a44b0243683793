// Plans: one concrete way to carry out a request, with its argv, its forecasts and what its output must be;
// and the ladder of such ways, fastest first, each leaner than the one before it. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "media/expectation.h"
#include "media/facts.h"
#include "media/recipe.h"

namespace weir::media {

// Bounds on what is accepted at all; every refusal names the limit and the number found.
struct InputLimits {
  std::int64_t max_pixels = 50'000'000;  // of one picture
  std::size_t max_streams = 64;
  Bytes max_alloc = Bytes::Mib(512);  // of one allocation in a child (-max_alloc)
  MediaTime max_duration = std::chrono::hours(24);
};

// The demuxers and protocols that children may use, as ffmpeg lists (comma separated).
extern const char* const kFormatAllowList;
extern const char* const kProtocolAllowList;

struct Forecast {
  Bytes anonymous;  // private memory at the peak
  Bytes peak;       // resident at the peak: anonymous plus library pages; compare with the measured peak
  Bytes prior;      // the same as the formula alone says it, whatever was learned
  Bytes lease;      // peak with the safety margin: what is reserved and enforced
  Bytes needed;  // what must be there to start: the lease, or that of the largest check of the output if it is more
  // Private writable address space with the safety margin. Encoders reserve about a quarter more than they touch,
  // so RLIMIT_DATA has to be this (never lease minus something), with RLIMIT_STACK at 1 MiB.
  Bytes data_limit;
  std::int64_t frames = 0;        // that the output will have; 0 when not a number of frames (copies of audio)
  std::int64_t frames_limit = 0;  // a child that passes this is stopped
  Bytes output_limit;             // no output of this plan can be larger: a child that passes it is stopped
  Bytes output_reserve;           // what is set aside on disk: more than ordinary pictures take, less than that limit
};

// What measured peaks of children alike say about the formula's forecast.
struct Experience {
  double factor = 1.0;                   // of Forecast::prior
  bool is_safe = false;                  // the factor has its own safety: no margin is needed
  bool at_ceiling = false;               // more would be needed than a factor may be
  std::size_t samples = 0;               // peaks of children that ended by themselves
  std::size_t killed = 0;                // children that reached their limit
  std::string_view confidence = "none";  // "none", "low", "fair", "good"; of static storage
};

struct Plan {
  std::string name;    // rung: "2 frame threads", "sliced, lookahead 4", "copy"
  std::string method;  // what else its memory depends on: "h264 veryfast, 2 decoder threads"
  std::vector<std::string>
      arguments;  // after argv[0]; input is descriptor 3, progress descriptor 4, output "out.<ext>" in the folder
  std::string output_file;  // "out.mp4", in the working folder
  Forecast forecast;
  Experience experience;
  Expectation expectation;
  double time_ratio = 1.0;               // against the first rung, as measured (docs/BENCHMARKS.md)
  double processors = 1.0;               // that it keeps busy while nothing else runs
  double larger = 0;                     // its output at the same quality: 0.12 for about 12 % larger
  std::string costs;                     // the same in words: "none", "about 12 % larger at the same quality"
  std::chrono::milliseconds deadline{};  // generous; see DeadlineFor
  bool stream_copy = false;
  bool in_company = false;  // as good as a way before it and slower: of use only beside other jobs
};

// The leanest plan at a smaller picture, for the sentence of a refusal.
struct SmallerPicture {
  std::string option;  // "--size 720x1280"
  Bytes lease;
};

struct Ladder {
  std::vector<Plan> plans;              // never empty; fastest first, leases strictly falling
  std::vector<std::string> notes;       // said to the user: what is dropped, kept, converted, and why
  std::vector<SmallerPicture> smaller;  // largest first; empty when the recipe has no size to choose
  // That a time_ratio of 1 takes on idle processors, about: to be held against that of other ladders, never shown.
  double seconds = 0;  // 0: not known
};

struct Machine {
  unsigned cpus = 1;
};

// Extra facts that only trim needs: times of keyframes around the cut, from BuildKeyframeProbe.
struct CutFacts {
  std::optional<MediaTime> keyframe_at_or_before;
  std::optional<MediaTime> keyframe_after;
};

// Of every child's memory, the pages of ffmpeg's libraries: children that run at the same time have them in common.
// Never more than was measured, so that what they have each for themselves is never taken for less.
Bytes SharedPages();

// Errors: kBadParameters, kInputNoVideo, kInputTooLarge, kInputDamaged (no length where one is needed),
// kOutputFormat.
Result<Ladder> BuildLadder(const Request& request, const MediaFacts& facts, const Machine& machine,
                           const InputLimits& limits, const CutFacts& cut = {});
// Forecasts of memory as experience says, of a ladder as BuildLadder made it: once, so that no correction is
// corrected. Leases stay strictly falling: plans that are no longer leaner go. `most` is what a single lease could
// ever have: where every plan fits it by the formula only, the leanest of those gets all of it, because who is never
// let in never teaches better.
void CorrectForecasts(Ladder& ladder, const MediaFacts& facts, Bytes most,
                      const std::function<Experience(const Plan&)>& of);
// True when BuildLadder wants CutFacts for this request.
bool NeedsCutFacts(const Request& request, const MediaFacts& facts);

// Index of the first plan from `first` on whose need is at most `available`, for a job that runs alone.
// Errors: kOverBudget with required_bytes (the leanest plan's need), available_bytes, and what would make it fit.
Result<std::size_t> ChoosePlan(const Ladder& ladder, Bytes available, std::size_t first = 0);

// Small children that run under a lease too.
struct HelperCommand {
  std::vector<std::string> arguments;  // after argv[0]
  Bytes lease;
  Bytes data_limit;  // for RLIMIT_DATA, as in Forecast
  std::chrono::milliseconds deadline{};
};
// ffprobe of the input on descriptor 3, JSON on standard output. Its lease is what a picture at the limit may need;
// with less available, run it in what there is: ordinary files are probed in 80 MiB.
HelperCommand BuildProbe(const InputLimits& limits);
// ffprobe that prints the video packets around `at`, for ParseKeyframes. `at` and the times of CutFacts count from
// the start of the file, as a user does. Containers without an index (MPEG-TS) are
// read from further ahead, and a file that does not start at 0 is understood.
HelperCommand BuildKeyframeProbe(const MediaFacts& facts, MediaTime at, const InputLimits& limits);
// `file_start`: MediaFacts::start.
CutFacts ParseKeyframes(std::string_view output, MediaTime at, MediaTime file_start = MediaTime(0));

}  // namespace weir::media
