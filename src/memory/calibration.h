// What measured peaks taught about the formula's forecasts: per kind of child a factor that makes a forecast safe.
// Not a forecast itself, and it neither measures nor writes files: the caller hands in peaks and keeps the text.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::memory {

// The size of a picture in half octaves: round(2 log2(megapixels)), so that a bucket is a factor of sqrt(2) wide.
struct PictureBucket {
  static constexpr int kNoPicture = -100;
  int half_octaves = kNoPicture;  // -40 to 40, or kNoPicture
  auto operator<=>(const PictureBucket&) const = default;
};
// Zero, negative and not-a-number are no picture; beyond the ends counts as the end.
PictureBucket BucketOf(double megapixels);

// Children that are alike. Each word is 1 to kLongestWord bytes of printable ASCII; the plan 1 to kLongestPlan.
// Everything that changes how well the formula fits (preset, threads) belongs into `plan`.
struct CalibrationKey {
  static constexpr std::size_t kLongestWord = 64;
  static constexpr std::size_t kLongestPlan = 128;
  std::string recipe;
  std::string codec;
  std::string plan;
  PictureBucket input;
  PictureBucket output;
  auto operator<=>(const CalibrationKey&) const = default;
};

// How well the 99 % quantile of measured peaks is known.
enum class Confidence : std::uint8_t {
  kNone,  // nothing learned: the formula alone
  kLow,   // fewer than 8 peaks: the formula, raised where a peak or a kill was above it
  kFair,  // 8 to 31: holds if the logarithms of the ratios are about normal
  kGood,  // 32 or more: holds also for skewed, two-humped and (nearly) heavy-tailed ratios
};
// "none", "low", "fair", "good".
std::string_view ToWord(Confidence confidence);

struct Correction {
  double factor = 1.0;      // to multiply the prior with; Calibration::kFloor to kCeiling
  double median = 1.0;      // of the kept ratios measured / prior; 1 without any
  std::size_t samples = 0;  // peaks kept: children that ended by themselves
  std::size_t killed = 0;   // kills kept: children that reached their limit
  Confidence confidence = Confidence::kNone;
  bool at_ceiling = false;  // more would be needed: the formula does not know this kind of child

  // The prior times the factor, rounded up.
  [[nodiscard]] Bytes Apply(Bytes prior) const;
};

// The whole, for publication. Errors are forecast / measured - 1, as in docs/BENCHMARKS.md; kills have no known peak
// and are in no band.
struct CalibrationSummary {
  struct Band {
    double low = 0;  // 2.5 % of the errors are lower
    double median = 0;
    double high = 0;  // 2.5 % are higher
  };
  std::size_t keys = 0;
  std::size_t samples = 0;
  std::size_t killed = 0;
  Band prior;
  Band corrected;  // with the factor that held when the peak was learned, which did not know that peak
  std::size_t above_prior = 0;
  std::size_t above_corrected = 0;
  std::size_t killed_above_corrected = 0;  // kills at or above the corrected forecast; of the others it is unknown
};

// The rule. x are the natural logarithms of the kept ratios (a kill counts as limit / prior), n their number:
//   fewer than 8 peaks  factor 1
//   8 peaks             exp(mean + k s), k = t'(0.95; n-1, 2.326 sqrt(n)) / sqrt(n): the one-sided tolerance factor
//   of
//                       the normal distribution for 99 % with 95 % confidence (NIST/SEMATECH handbook 7.2.6.3), s at
//                       least 0.01
//   n = 32 and more     exp(u + g (2m / chi2(0.025; 2m)) ln(100 m / n)): m values lie above u, by g in the mean, at
//                       least 0.005; the smaller of m = n/4 and m = n/8, each with 97.5 % confidence. Exact for
//                       exponential tails (Weissman 1978), safe for lighter ones
// and in every case at least 1.01 times each kept ratio and each raised kill; then between floor and ceiling.
// A kill tells only the least, so it is raised by 3^(1 - j/8), j = peaks learned after it, until one of those is
// as large as the kill was (its retry, most likely, tells the rest) or j = 8.
//
// Of the next peak, whatever the distribution and as long as it does not change, at most one in n + 1 is above the
// largest kept one. What no kept sample resembles (new content after many runs of one file) cannot be foreseen.
//
// A value; one thread (the event loop). The learning calls take some microseconds; Of is a look-up.
class Calibration {
 public:
  static constexpr double kFloor = 0.6;
  static constexpr double kCeiling = 4.0;
  static constexpr std::size_t kRing = 64;               // newest samples kept of each key
  static constexpr std::size_t kMostKeysEver = 10'000;   // about 10 MB
  static constexpr Bytes kLargestText = Bytes::Mib(16);  // no text with so many keys is longer

  // `tool`: identity of the ffmpeg build, any bytes; only compared. `most_keys`: 1 to kMostKeysEver (brought into
  // that range); beyond it the key that learned longest ago leaves.
  Calibration(std::string_view tool, std::size_t most_keys);

  // `prior`: the formula's forecast of the peak, uncorrected. `measured`: the peak of a child that ended by itself.
  // Errors: kBadParameters for a key with a word that is empty, too long or not printable ASCII, and for zero bytes;
  // nothing is learned then. Ratios beyond 0.01 to 100 count as those.
  Status Learn(const CalibrationKey& key, Bytes prior, Bytes measured);
  // The child was ended at `limit` and would have used more. Errors as above.
  Status LearnKilled(const CalibrationKey& key, Bytes prior, Bytes limit);

  // Factor 1 for a key that is not known (or is not valid).
  [[nodiscard]] Correction Of(const CalibrationKey& key) const;

  // All that are known, in the order of their keys.
  void ForEach(const std::function<void(const CalibrationKey&, const Correction&)>& call) const;

  // Over all kept samples; needs some bytes for each while it runs.
  [[nodiscard]] CalibrationSummary Summary() const;
  [[nodiscard]] std::size_t keys() const { return records_.size(); }
  // Held on the heap and in this object, estimated from what is stored.
  [[nodiscard]] Bytes bytes() const;

  // The text of docs/formats/calibration.md.
  [[nodiscard]] std::string Serialize() const;
  // A text of another tool build gives an empty calibration: starts afresh. Of more than `most_keys` keys those that
  // learned last are kept. Errors: kTooNew for a later format; kDamaged for everything that Serialize did not write.
  // Only an attacker who computes the checksum can make a text that is taken and not ours, and its factors are
  // between floor and ceiling too.
  static Result<Calibration> Restore(std::string_view text, std::string_view tool, std::size_t most_keys);

 private:
  // Ratios and factors in millionths: exact on disk, and never NaN.
  struct Sample {
    std::uint32_t ratio = 0;
    std::uint32_t factor = 0;  // that held when the ratio was learned
    bool killed = false;
  };
  struct Record {
    std::vector<Sample> ring;   // oldest first
    std::uint64_t learned = 0;  // order of the last sample among all keys
    Correction correction;      // of the ring, kept because planners ask much more often than children end
  };
  using Records = std::map<CalibrationKey, Record>;

  static Correction Evaluate(const std::vector<Sample>& ring);
  static Result<Records::value_type> ParseKey(std::string_view line);
  Status Add(const CalibrationKey& key, Bytes prior, Bytes amount, bool killed);
  void DropOldest();

  std::string tool_;  // SHA-256 in hexadecimal
  std::size_t most_keys_;
  std::uint64_t learned_ = 0;
  Records records_;
};

}  // namespace weir::memory
