// The rungs: ways to encode the same request with less and less memory.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "media/plan_parts.h"

namespace weir::media {
namespace {

// One bidirectional picture between two others, one reference, a short look ahead: what keeps most of the quality.
constexpr const char* kThriftyParameters = "rc-lookahead=4:bframes=1:b-adapt=1:ref=1";
constexpr const char* kLeanParameters = "rc-lookahead=0:sync-lookahead=0:bframes=0:ref=1:mbtree=0";

// Wall time of one thread over that of one for each of two processors, 854x480.
constexpr double kVp9SingleTime = 1.7;

struct Rung {
  std::string name;
  unsigned decoder_threads = 1;
  std::vector<std::string> encoder;               // "-c:v" and all that belongs to it
  std::function<Need(std::int64_t frames)> need;  // of the encoder
  double time_ratio = 1;
  double processors = 1;
  double larger = 0;
  bool in_company = false;
};

std::string Threads(int count, const char* kind) {
  return count == 1 ? "1 thread" : std::to_string(count) + " " + kind + " threads";
}

std::string Costs(double larger) {
  if (larger <= 0) return "none";
  if (larger >= 1) return "about four times as large at the same quality";
  return "about " + std::to_string(std::lround(100 * larger)) + " % larger at the same quality";
}

// Wall time over that of the first rung, for preset veryfast on two processors; method and figures, also of how much
// larger, in docs/BENCHMARKS.md, "The ladder of plans".
struct X264Times {
  double as_many_threads = 1.06;  // frame threads, one for each processor
  double slices = 1.09;
  double single = 1.85;
  double thrifty_slices = 1.0;
  double thrifty_single = 1.6;
  double lean_slices = 0.95;
  double lean_single = 1.65;
  double ultrafast = 0.82;
};
constexpr X264Times kTime;

// Processors that the parallel ways keep busy: measured with two, carried on to eight, where pictures of ordinary
// size have no more rows to work on at once.
double Parallel(unsigned cpus) { return 1 + (kTime.single - 1) * (std::min(cpus, 8U) - 1.0); }

std::vector<Rung> X264Rungs(const VideoJob& job, unsigned cpus) {
  std::vector<Rung> rungs;
  const X264Shape full = ShapeOfPreset(job.preset);
  const double busy = Parallel(cpus);
  const double slices_busy = std::max(1.0, busy / kTime.slices);
  const auto add = [&](std::string name, unsigned decoders, const X264Shape& shape, std::string parameters,
                       double ratio, double larger) {
    Rung rung{.name = std::move(name), .decoder_threads = decoders, .time_ratio = ratio, .larger = larger};
    if (shape.threads > 1) rung.processors = shape.sliced ? slices_busy : std::min<double>(shape.threads, busy);
    rung.encoder = {"-c:v",     "libx264",
                    "-preset",  shape.preset,
                    "-crf",     std::to_string(job.crf),
                    "-threads", std::to_string(shape.threads)};
    if (!parameters.empty()) rung.encoder.insert(rung.encoder.end(), {"-x264-params", std::move(parameters)});
    rung.need = [size = job.output, shape](std::int64_t frames) { return NeedOfX264(size, shape, frames); };
    rungs.push_back(std::move(rung));
  };
  const auto with_threads = [](X264Shape shape, int threads, bool sliced) {
    shape.threads = threads;
    shape.sliced = sliced && threads > 1;
    return shape;
  };
  const auto join = [](const char* first, const std::string& second) {
    return *first == '\0' ? second : std::string(first) + ":" + second;
  };

  const int many = static_cast<int>(cpus);
  const unsigned decoders = std::min(cpus, 4U);
  const char* slices = cpus > 1 ? "sliced-threads=1" : "";
  const bool parallel = cpus > 1;
  // Of one thread over the first rung. What was measured on two processors grows with them.
  const double single = Parallel(cpus);
  const double more = single / kTime.single;
  if (parallel) {
    std::vector<int> counts{many * 3 / 2, many, many / 2, 2};
    std::erase_if(counts, [](int count) { return count < 2; });
    counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
    for (const int count : counts) {
      const double ratio = count > many ? 1.0 : count == many ? kTime.as_many_threads : std::max(1.0, single / count);
      add(Threads(count, "frame"), decoders, with_threads(full, count, false), "", ratio, 0);
    }
  }
  add(Threads(many, "slice"), decoders, with_threads(full, many, true), slices, parallel ? kTime.slices : 1.0,
      parallel ? 0.02 : 0);
  if (parallel) {
    add("1 thread", 1, with_threads(full, 1, false), "", single, 0);
    rungs.back().in_company = true;
  }

  const bool brief = full.lookahead <= 10;  // short already: less is lost by cutting it
  for (const int lookahead : {20, 10, 4}) {
    if (!full.mbtree || lookahead >= full.lookahead) continue;
    X264Shape shape = with_threads(full, many, true);
    shape.lookahead = lookahead;
    std::string parameters = "rc-lookahead=" + std::to_string(lookahead);
    if (shape.adapt_trellis) {
      shape.adapt_trellis = false, shape.bframes = 3;
      parameters += ":b-adapt=1:bframes=3";
    }
    const std::string name = ", lookahead " + std::to_string(lookahead);
    const double larger = lookahead == 20 ? 0.04 : lookahead == 10 ? 0.10 : brief ? 0.13 : 0.25;
    add(Threads(many, "slice") + name, decoders, shape, join(slices, parameters), parallel ? kTime.slices : 1.0,
        larger);
    if (parallel) {
      add("1 thread" + name, 1, with_threads(shape, 1, false), parameters, single, larger);
      rungs.back().in_company = lookahead > 4;
    }
  }
  if (full.mbtree) {
    const X264Shape thrifty = Thrifty(full);
    const double larger = brief ? 0.15 : 0.30;
    if (parallel) {
      add("thrifty, " + Threads(many, "slice"), decoders, with_threads(thrifty, many, true),
          join(slices, kThriftyParameters), kTime.thrifty_slices, larger);
    }
    add("thrifty, 1 thread", 1, with_threads(thrifty, 1, false), kThriftyParameters,
        parallel ? kTime.thrifty_single * more : kTime.thrifty_single / kTime.single, larger);
  }
  const double lean_larger = brief ? 0.45 : 0.55;
  if (parallel) {
    add("lean, " + Threads(many, "slice"), decoders, with_threads(Lean(full), many, true),
        join(slices, kLeanParameters), kTime.lean_slices, lean_larger);
  }
  add("lean, 1 thread", 1, with_threads(Lean(full), 1, false), kLeanParameters,
      parallel ? kTime.lean_single * more : kTime.lean_single / kTime.single, lean_larger);
  if (job.preset != "ultrafast") {
    add("lean ultrafast, 1 thread", 1, with_threads(Lean(ShapeOfPreset("ultrafast")), 1, false), kLeanParameters,
        parallel ? kTime.ultrafast * more : kTime.ultrafast / kTime.single, 3.0);
  }
  return rungs;
}

// Pictures in waiting (-lag-in-frames) serve only VP9's second pass: in one pass the output is the same to the byte,
// and 25 of them cost 110 MiB at 1080x1920. Realtime mode needs as much memory as the good one.
std::vector<Rung> Vp9Rungs(const VideoJob& job, unsigned cpus) {
  std::vector<Rung> rungs;
  const auto add = [&](std::string name, unsigned decoders, int threads, double ratio) {
    Rung rung{.name = std::move(name), .decoder_threads = decoders, .time_ratio = ratio};
    if (threads > 1) rung.processors = kVp9SingleTime;
    rung.encoder = {"-c:v",           "libvpx-vp9",
                    "-b:v",           "0",
                    "-crf",           std::to_string(job.crf),
                    "-deadline",      "good",
                    "-cpu-used",      "5",
                    "-row-mt",        threads > 1 ? "1" : "0",
                    "-threads",       std::to_string(threads),
                    "-lag-in-frames", "0",
                    "-auto-alt-ref",  "0"};
    rung.need = [size = job.output, threads](std::int64_t frames) {
      return NeedOfVp9(size, {.threads = threads, .lag = 0}, frames);
    };
    rungs.push_back(std::move(rung));
  };
  const int many = static_cast<int>(std::min(cpus, 8U));
  add(Threads(many, "row"), std::min(cpus, 4U), many, 1.0);
  if (many > 1) add("1 thread", 1, 1, kVp9SingleTime);
  return rungs;
}

std::vector<Rung> RungsOf(const VideoJob& job, unsigned cpus) {
  return job.codec == "vp9" ? Vp9Rungs(job, cpus) : X264Rungs(job, cpus);
}

// Processor seconds for a megapixel (1e6) of one picture, from the crops of noisy clips that the forecast of memory
// was measured with; what is in a picture can change it threefold, equally for jobs alike.
constexpr double kDecodeSeconds = 0.0034;
constexpr double kVp9Seconds = 0.06;
double X264Seconds(const std::string& preset) {
  constexpr double kVeryfast = 0.023;
  // Time against veryfast; presets between the measured ones (ultrafast, veryfast, medium) and beyond are drawn on.
  static const std::map<std::string, double, std::less<>> kTimes{
      {"ultrafast", 0.44}, {"superfast", 0.75}, {"veryfast", 1}, {"faster", 1.4}, {"fast", 1.8},
      {"medium", 2.3},     {"slow", 3.5},       {"slower", 6},   {"veryslow", 10}};
  const auto found = kTimes.find(preset);
  return kVeryfast * (found == kTimes.end() ? 1 : found->second);
}

double SecondsOf(const VideoJob& job, std::int64_t frames, unsigned cpus) {
  const bool vp9 = job.codec == "vp9";
  const double one = kDecodeSeconds * job.input->coded.megapixels() +
                     (vp9 ? kVp9Seconds : X264Seconds(job.preset)) * job.output.megapixels();
  const double single = cpus < 2 ? 1 : vp9 ? kVp9SingleTime : Parallel(cpus);
  return static_cast<double>(frames) * one / single;
}

// At crf 23 (VP9: 33). Big Buck Bunny takes 0.06 at 480p; four times that leaves room for grain and fast motion. Six
// steps of crf double it.
constexpr double kBitsPerPixel = 0.25;

}  // namespace

Ladder EncodeLadder(const Source& source, const Request& request, const VideoJob& job, const Span& span,
                    const AudioChoice& audio, const SubtitleChoice& subtitles, std::vector<std::string> notes) {
  const VideoStream& video = *job.input;
  const Muxer muxer = MuxerOf(request.output);
  const double rate = FramesPerSecond(video);
  const MediaTime frame = FrameTime(video);

  // Where a stream ends within the span: the sound may outlast the pictures, or the other way round.
  const auto shown_of = [&](const std::optional<MediaTime>& start, const std::optional<MediaTime>& duration) {
    if (!duration) return std::optional<MediaTime>();
    const MediaTime late =
        start && source.facts.start ? std::max(MediaTime(0), *start - *source.facts.start) : MediaTime(0);
    return std::optional(std::clamp(late + *duration - span.from, MediaTime(0), span.length));
  };
  const std::optional<MediaTime> pictures = shown_of(video.start, video.duration);
  const double shown = Seconds(pictures.value_or(span.length));
  double most = Seconds(span.length) * rate;
  double least = shown * rate;
  if (span.whole && video.frames && *video.frames > 0) {
    most = std::max(shown * rate, static_cast<double>(*video.frames));
    least = std::min(least, static_cast<double>(*video.frames));
  } else if (!video.frames) {
    least *= 0.9;  // the container does not count its pictures; gaps are kept as gaps
  }
  if (video.variable_rate && !span.whole) least = 0;  // the rate of a part is not known

  Forecast forecast;
  forecast.frames = std::llround(span.whole && video.frames ? static_cast<double>(*video.frames) : shown * rate);
  const double limit = std::max(most, static_cast<double>(forecast.frames));
  forecast.frames_limit = static_cast<std::int64_t>(limit * (video.variable_rate ? 2 : 1.05)) + 50;
  forecast.output_limit = Bytes(static_cast<std::uint64_t>(1.6 * static_cast<double>(forecast.frames_limit) *
                                                               job.output.megapixels() * 1e6 +
                                                           Seconds(span.length) * audio.bits_per_second / 8)) +
                          Bytes::Mib(16);
  const double bits = kBitsPerPixel * std::exp2(((job.codec == "vp9" ? 33.0 : 23.0) - job.crf) / 6.0) *
                      static_cast<double>(forecast.frames) * job.output.megapixels() * 1e6;
  forecast.output_reserve = std::min(
      forecast.output_limit,
      Bytes(static_cast<std::uint64_t>((bits + Seconds(span.length) * audio.bits_per_second) / 8)) + Bytes::Mib(16));

  Expectation expectation;
  expectation.container = muxer.word;
  expectation.video = ExpectedVideo{.codec = job.codec, .size = job.output, .pixel_format = "yuv420p"};
  if (!video.variable_rate) {
    expectation.video->rate = TidyRate(video);
    // Gaps stay gaps, such as the one that a cut without encoding leaves at its end, and lower the mean.
    const std::int64_t length = span.whole && video.duration ? video.duration->count() : 0;
    if (length <= 0 || !video.frames) {
      expectation.video->rate_tolerance = 0.05;
    } else if (const double mean = 1e6 * static_cast<double>(*video.frames) / static_cast<double>(length);
               mean < 0.995 * expectation.video->rate.value()) {
      expectation.video->rate = {*video.frames * 1'000'000, length};
      expectation.video->rate_tolerance = 0.02;
    }
  }
  expectation.video->duration = pictures;
  expectation.audio = audio.expected;
  for (std::size_t i = 0; i < expectation.audio.size(); ++i) {
    expectation.audio[i].duration = shown_of(source.facts.audio[i].start, source.facts.audio[i].duration);
    // MPEG-TS states no lengths; ffprobe's guess from the last packets is off by several blocks of audio.
    if (source.facts.container.find("mpegts") != std::string::npos) {
      expectation.audio[i].duration_slack = std::chrono::milliseconds(500);
    }
  }
  expectation.subtitles = subtitles.count;
  expectation.duration = span.length;
  expectation.duration_tolerance = frame + std::chrono::milliseconds(5);
  for (const AudioStream& stream : source.facts.audio) {
    const MediaTime block(1'024'000'000LL / std::max(stream.sample_rate, 7350));
    expectation.duration_tolerance = std::max(expectation.duration_tolerance, frame + 2 * block);
  }
  expectation.min_frames = std::max<std::int64_t>(1, static_cast<std::int64_t>(least) - 2);
  expectation.max_frames = static_cast<std::int64_t>(std::ceil(video.variable_rate ? limit * 1.5 : limit)) + 2;
  expectation.faststart = muxer.faststart;
  expectation.no_identifying_tags = !request.keep_metadata;

  const std::int64_t written = PacketsOf(source.facts, span.length);
  Need rest = NeedOfProcess();
  rest += NeedOfAudio(audio.encoders);
  rest += NeedOfIndex(PacketsOf(source.facts, source.facts.length()), written);

  const Seek seek = SeekTo(source.facts, span.from);
  std::vector<std::string> tail;
  const auto append = [](std::vector<std::string>& to, const std::vector<std::string>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(tail, RateArguments(video));
  append(tail, audio.arguments);
  append(tail, subtitles.arguments);
  append(tail, MetadataArguments(request, source.facts));
  tail.emplace_back("-dn");
  if (subtitles.count == 0) tail.emplace_back("-sn");
  if (seek.after) append(tail, {"-ss", SecondsText(*seek.after)});
  if (!span.whole) append(tail, {"-t", SecondsText(span.length)});
  append(tail, MuxerArguments(muxer, request));

  Ladder ladder{
      .plans = {}, .notes = std::move(notes), .smaller = {}, .seconds = SecondsOf(job, forecast.frames, source.cpus)};
  for (Rung& rung : RungsOf(job, source.cpus)) {
    Plan plan;
    plan.name = std::move(rung.name);
    plan.method = job.codec + (job.codec == "h264" ? " " + ShapeOfPreset(job.preset).preset : "") + ", " +
                  std::to_string(rung.decoder_threads) + " decoder threads";
    plan.arguments = InputArguments(source, rung.decoder_threads, seek.before);
    append(plan.arguments, {"-map", "0:" + std::to_string(video.index)});
    for (const AudioStream& stream : source.facts.audio) {
      append(plan.arguments, {"-map", "0:" + std::to_string(stream.index)});
    }
    append(plan.arguments, subtitles.maps);
    append(plan.arguments, {"-vf", job.filters});
    append(plan.arguments, rung.encoder);
    append(plan.arguments, tail);
    plan.output_file = muxer.file;
    plan.forecast = forecast;
    Need need = rest;
    need += NeedOfDecoder(video, rung.decoder_threads);
    need += rung.need(forecast.frames);
    Settle(need, plan.forecast);
    plan.expectation = expectation;
    plan.time_ratio = rung.time_ratio;
    plan.processors = rung.processors;
    plan.larger = rung.larger;
    plan.in_company = rung.in_company;
    plan.costs = Costs(rung.larger);
    plan.deadline = DeadlineFor(span.length);
    ladder.plans.push_back(std::move(plan));
  }
  KeepStrictlyLeaner(ladder.plans);

  if (!job.size_option.empty()) {
    for (const double scale : {0.75, 2.0 / 3, 0.5, 1.0 / 3, 0.25}) {
      VideoJob smaller = job;
      smaller.output = {EvenNear(job.output.width * scale), EvenNear(job.output.height * scale)};
      if (std::min(smaller.output.width, smaller.output.height) < 16) break;
      const std::vector<Rung> rungs = RungsOf(smaller, source.cpus);
      Need need = rest;
      need += NeedOfDecoder(video, rungs.back().decoder_threads);
      need += rungs.back().need(forecast.frames);
      Forecast leanest;
      Settle(need, leanest);
      ladder.smaller.push_back({.option = job.size_option + " " + Shown(smaller.output), .lease = leanest.lease});
    }
  }
  return ladder;
}

// A plan whose output could not be checked within the budget must not start.
static Bytes NeededFor(const Plan& plan, const MediaFacts& facts) {
  Bytes needed = plan.forecast.lease;
  const MediaTime length = plan.expectation.duration.value_or(facts.length());
  for (const auto& check : BuildVerification(plan.expectation, facts, VerifyDepth::kSample, length)) {
    needed = std::max(needed, check.lease);
  }
  return needed;
}

void CorrectForecasts(Ladder& ladder, const MediaFacts& facts, Bytes most,
                      const std::function<Experience(const Plan&)>& of) {
  bool any = false;
  Plan* leanest = nullptr;          // that fits by the formula
  Bytes formula;                    // its lease
  std::optional<Bytes> least_safe;  // of the plans so far
  for (Plan& plan : ladder.plans) {
    if (!plan.in_company && plan.forecast.needed <= most) {
      leanest = &plan;
      formula = plan.forecast.lease;
    }
    const Experience& experience = plan.experience = of(plan);
    Correct(experience, plan.forecast);
    // One thread needs no more than several do with the same settings. It may never have run, and were it dropped for
    // that, it never would.
    if (plan.in_company && !experience.is_safe && experience.factor <= 1 && least_safe) {
      plan.forecast.lease = std::min(plan.forecast.lease, *least_safe - Bytes::Mib(1));
    }
    if (experience.is_safe) {
      least_safe = std::min(plan.forecast.lease, least_safe.value_or(plan.forecast.lease));
    }
    plan.forecast.needed = NeededFor(plan, facts);
    any = any || (!plan.in_company && plan.forecast.needed <= most);
  }
  if (!any && leanest != nullptr) {
    leanest->forecast.lease = std::max(formula, std::min(leanest->forecast.lease, most));
    leanest->forecast.needed = NeededFor(*leanest, facts);
  }
  KeepStrictlyLeaner(ladder.plans);
}

Result<Ladder> BuildLadder(const Request& request, const MediaFacts& facts, const Machine& machine,
                           const InputLimits& limits, const CutFacts& cut) {
  const Source source{.facts = facts, .limits = limits, .cpus = std::clamp(machine.cpus, 1U, 16U)};
  const std::size_t streams = facts.audio.size() + facts.others.size() + (facts.video ? 1 : 0);
  if (streams > limits.max_streams) {
    return Fail(Error{.code = ErrorCode::kInputTooLarge,
                      .detail = "the input has " + std::to_string(streams) + " streams; the limit is " +
                                std::to_string(limits.max_streams)}
                    .With("streams", streams)
                    .With("limit_streams", limits.max_streams));
  }
  if (facts.video) {
    const Size size = facts.video->coded;
    const std::int64_t pixels = static_cast<std::int64_t>(size.width) * size.height;
    if (size.width <= 0 || size.height <= 0) {
      return Fail(ErrorCode::kInputDamaged, "the input does not tell the size of its pictures");
    }
    if (pixels > limits.max_pixels) {
      return Fail(Error{.code = ErrorCode::kInputTooLarge,
                        .detail = "the input's pictures are " + Shown(size) + ", " + std::to_string(pixels) +
                                  " pixels; the limit is " + std::to_string(limits.max_pixels) + " (--max-pixels)"}
                      .With("pixels", static_cast<std::uint64_t>(pixels))
                      .With("limit_pixels", static_cast<std::uint64_t>(limits.max_pixels)));
    }
  }
  if (facts.length() > limits.max_duration) {
    const auto whole = [](std::chrono::seconds time) { return static_cast<std::uint64_t>(time.count()); };
    return Fail(
        Error{.code = ErrorCode::kInputTooLarge,
              .detail = "the input is " + Shown(facts.length()) + " long; the limit is " + Shown(limits.max_duration)}
            .With("duration_seconds", whole(std::chrono::ceil<std::chrono::seconds>(facts.length())))
            .With("limit_seconds", whole(std::chrono::floor<std::chrono::seconds>(limits.max_duration))));
  }
  auto ladder = std::visit(
      [&](const auto& recipe) -> Result<Ladder> {
        using T = std::decay_t<decltype(recipe)>;
        if constexpr (std::is_same_v<T, Crop>) return PlanCrop(source, request, recipe);
        if constexpr (std::is_same_v<T, Trim>) return PlanTrim(source, request, recipe, cut);
        if constexpr (std::is_same_v<T, Transcode>) return PlanTranscode(source, request, recipe);
        if constexpr (std::is_same_v<T, Thumbnail>) return PlanThumbnail(source, request, recipe);
      },
      request.recipe);
  if (ladder) {
    for (Plan& plan : ladder->plans) plan.forecast.needed = NeededFor(plan, facts);
  }
  return ladder;
}

Result<std::size_t> ChoosePlan(const Ladder& ladder, Bytes available, std::size_t first) {
  for (std::size_t i = first; i < ladder.plans.size(); ++i) {
    if (ladder.plans[i].forecast.needed <= available && !ladder.plans[i].in_company) return i;
  }
  if (first >= ladder.plans.size()) {
    return Fail(Error{.code = ErrorCode::kOverBudget,
                      .detail = "no leaner way is left to do this within " + ToString(available)}
                    .With("available_bytes", available.count()));
  }
  const Plan& leanest = ladder.plans.back();
  const Bytes missing = leanest.forecast.needed - available;
  std::string remedy = "allow " + ToString(missing) + " more";
  const auto fits =
      std::ranges::find_if(ladder.smaller, [&](const SmallerPicture& s) { return s.lease <= available; });
  if (fits != ladder.smaller.end()) {
    remedy += ", or make a smaller picture with " + fits->option + " (" + ToString(fits->lease) + ")";
  }
  return Fail(Error{.code = ErrorCode::kOverBudget,
                    .detail = "the leanest way (" + leanest.name + ") needs " + ToString(leanest.forecast.needed) +
                              " and " + ToString(available) + " is available: " + remedy}
                  .With("required_bytes", leanest.forecast.needed.count())
                  .With("available_bytes", available.count()));
}

}  // namespace weir::media
