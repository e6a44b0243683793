#include "memory/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "base/sha256.h"
#include "base/text.h"

namespace weir::memory {
namespace {

constexpr double kMillion = 1e6;
constexpr double kLeastRatio = 0.01;
constexpr double kMostRatio = 100;
constexpr int kMostHalfOctaves = 40;

constexpr std::size_t kFewPeaks = 8;
constexpr std::size_t kManySamples = 32;
constexpr double kAboveLargest = 1.01;
constexpr double kKillRaise = 3.0;
constexpr double kKillForgotten = 8;
// Many runs of one file differ by less than the next file will: a spread below these is not believed.
constexpr double kLeastSpread = 0.01;
constexpr double kLeastExcess = 0.005;

constexpr std::string_view kMagic = "weir-calibration ";
constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kDigestDigits = 64;

// One-sided tolerance factors for 99 % with 95 % confidence: noncentral t, integrated numerically; 8 and 10 agree
// with the published tables (4.353, 3.981). k is convex in n, so a straight line between two rows errs on the safe
// side.
struct ToleranceRow {
  double n;
  double k;
};
constexpr std::array<ToleranceRow, 9> kTolerance{{{8, 4.3539},
                                                  {9, 4.1430},
                                                  {10, 3.9811},
                                                  {12, 3.7471},
                                                  {14, 3.5845},
                                                  {16, 3.4639},
                                                  {20, 3.2952},
                                                  {24, 3.1811},
                                                  {32, 3.0338}}};

double ToleranceFactor(double n) {
  for (std::size_t i = 1; i < kTolerance.size(); ++i) {
    const auto& [left, high] = kTolerance[i - 1];
    const auto& [right, low] = kTolerance[i];
    if (n <= right) return high + (low - high) * (n - left) / (right - left);
  }
  return kTolerance.back().k;
}

// The 2.5 % quantile of chi-square (Wilson and Hilferty 1931): at most 1.3 % too low for the 8 to 32 degrees used
// here, which is the safe side.
double LowChiSquare(double degrees) {
  const double part = 2 / (9 * degrees);
  return degrees * std::pow(1 - part - 1.959964 * std::sqrt(part), 3);
}

double NormalBound(const std::vector<double>& logs) {
  const auto n = static_cast<double>(logs.size());
  double mean = 0;
  for (const double x : logs) mean += x / n;
  double squares = 0;
  for (const double x : logs) squares += (x - mean) * (x - mean);
  return mean + ToleranceFactor(n) * std::max(std::sqrt(squares / (n - 1)), kLeastSpread);
}

// From the largest `above` of the logarithms, which come largest first.
double TailBound(const std::vector<double>& logs, std::size_t above) {
  const auto m = static_cast<double>(above);
  double excess = 0;
  for (std::size_t i = 0; i < above; ++i) excess += (logs[i] - logs[above]) / m;
  excess = std::max(excess, kLeastExcess) * 2 * m / LowChiSquare(2 * m);
  return logs[above] + excess * std::log(100 * m / static_cast<double>(logs.size()));
}

// One alone is loose where two humps meet just at its threshold; each has 97.5 %, so the smaller has 95 %.
double TailBound(const std::vector<double>& logs) {
  return std::min(TailBound(logs, logs.size() / 4), TailBound(logs, logs.size() / 8));
}

// Rounded up: a corrected forecast must not lose by writing it down.
std::uint32_t Millionths(double value, double least, double most) {
  return static_cast<std::uint32_t>(std::ceil(std::clamp(value, least, most) * kMillion));
}
double FromMillionths(std::uint32_t millionths) { return millionths / kMillion; }

bool IsWord(std::string_view word, std::size_t longest) {
  return !word.empty() && word.size() <= longest &&
         std::ranges::all_of(word, [](char c) { return c >= ' ' && c <= '~'; });
}

bool IsBucket(PictureBucket bucket) {
  return bucket.half_octaves == PictureBucket::kNoPicture ||
         (bucket.half_octaves >= -kMostHalfOctaves && bucket.half_octaves <= kMostHalfOctaves);
}

bool IsValid(const CalibrationKey& key) {
  return IsWord(key.recipe, CalibrationKey::kLongestWord) && IsWord(key.codec, CalibrationKey::kLongestWord) &&
         IsWord(key.plan, CalibrationKey::kLongestPlan) && IsBucket(key.input) && IsBucket(key.output);
}

std::unexpected<Error> Damaged(const std::string& what) {
  return Fail(ErrorCode::kDamaged, "the calibration is damaged: " + what);
}

// What is before the next `separator`, which is taken too; nothing when there is none.
std::optional<std::string_view> Take(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return taken;
}

std::string ToText(PictureBucket bucket) {
  return bucket.half_octaves == PictureBucket::kNoPicture ? "none" : std::to_string(bucket.half_octaves);
}

std::optional<PictureBucket> ParseBucket(std::string_view text) {
  if (text == "none") return PictureBucket();
  const auto number = ParseSigned(text);
  if (!number || *number < -kMostHalfOctaves || *number > kMostHalfOctaves) return std::nullopt;
  return PictureBucket{static_cast<int>(*number)};
}

std::optional<std::uint32_t> ParseMillionths(std::string_view text, double least, double most) {
  const auto number = ParseUnsigned(text);
  if (!number || *number < Millionths(least, least, most) || *number > Millionths(most, least, most)) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*number);
}

CalibrationSummary::Band BandOf(std::vector<double>& errors) {
  if (errors.empty()) return {};
  std::ranges::sort(errors);
  const auto pick = [&errors](double share) {
    return errors[static_cast<std::size_t>(std::lround(share * static_cast<double>(errors.size() - 1)))];
  };
  return {.low = pick(0.025), .median = pick(0.5), .high = pick(0.975)};
}

}  // namespace

PictureBucket BucketOf(double megapixels) {
  if (!(megapixels > 0)) return {};
  const double exact = std::clamp(2 * std::log2(megapixels), -1.0 * kMostHalfOctaves, 1.0 * kMostHalfOctaves);
  return {static_cast<int>(std::lround(exact))};
}

std::string_view ToWord(Confidence confidence) {
  switch (confidence) {
    case Confidence::kNone:
      return "none";
    case Confidence::kLow:
      return "low";
    case Confidence::kFair:
      return "fair";
    case Confidence::kGood:
      return "good";
  }
  return "none";
}

Bytes Correction::Apply(Bytes prior) const {
  const double product = std::ceil(static_cast<double>(prior.count()) * factor);
  constexpr double kMost = 9007199254740992.0;  // 2^53, far above any memory; keeps the conversion defined
  return Bytes(static_cast<std::uint64_t>(std::min(product, kMost)));
}

Calibration::Calibration(std::string_view tool, std::size_t most_keys)
    : tool_(ToHex(Sha256(tool))), most_keys_(std::clamp<std::size_t>(most_keys, 1, kMostKeysEver)) {}

Status Calibration::Learn(const CalibrationKey& key, Bytes prior, Bytes measured) {
  return Add(key, prior, measured, false);
}

Status Calibration::LearnKilled(const CalibrationKey& key, Bytes prior, Bytes limit) {
  return Add(key, prior, limit, true);
}

Status Calibration::Add(const CalibrationKey& key, Bytes prior, Bytes amount, bool killed) {
  if (!IsValid(key)) {
    return Fail(ErrorCode::kBadParameters, "a calibration key has a word that is empty, too long or not printable");
  }
  if (prior == Bytes() || amount == Bytes()) {
    return Fail(ErrorCode::kBadParameters, "a forecast or a peak of zero bytes teaches nothing");
  }
  Record& record = records_[key];
  const double ratio = static_cast<double>(amount.count()) / static_cast<double>(prior.count());
  if (record.ring.size() == kRing) record.ring.erase(record.ring.begin());
  record.ring.push_back({.ratio = Millionths(ratio, kLeastRatio, kMostRatio),
                         .factor = Millionths(record.correction.factor, kFloor, kCeiling),
                         .killed = killed});
  record.correction = Evaluate(record.ring);
  record.learned = ++learned_;
  if (records_.size() > most_keys_) DropOldest();
  return {};
}

// A walk over all keys, and only when a new one comes to a full table.
void Calibration::DropOldest() {
  records_.erase(std::ranges::min_element(records_, std::less(),
                                          [](const Records::value_type& entry) { return entry.second.learned; }));
}

Correction Calibration::Evaluate(const std::vector<Sample>& ring) {
  Correction result;
  if (ring.empty()) return result;
  double least = 0;          // that the factor must reach, from single samples
  double largest_newer = 0;  // of the peaks newer than the one looked at
  std::vector<double> logs;
  logs.reserve(ring.size());
  for (auto sample = ring.rbegin(); sample != ring.rend(); ++sample) {
    const double ratio = FromMillionths(sample->ratio);
    logs.push_back(std::log(ratio));
    double taken_for = ratio;
    if (sample->killed) {
      const auto newer = static_cast<double>(result.samples);
      if (largest_newer < ratio && newer < kKillForgotten) {
        taken_for *= std::pow(kKillRaise, 1 - newer / kKillForgotten);
      }
      ++result.killed;
    } else {
      largest_newer = std::max(largest_newer, ratio);
      ++result.samples;
    }
    least = std::max(least, taken_for * kAboveLargest);
  }
  std::ranges::sort(logs, std::greater());
  const std::size_t half = logs.size() / 2;
  result.median = std::exp(logs.size() % 2 == 1 ? logs[half] : (logs[half - 1] + logs[half]) / 2);

  double factor = 1;
  result.confidence = Confidence::kLow;
  if (result.samples >= kFewPeaks) {
    const bool many = logs.size() >= kManySamples;
    factor = std::exp(many ? TailBound(logs) : NormalBound(logs));
    result.confidence = many ? Confidence::kGood : Confidence::kFair;
  }
  factor = std::max(factor, least);
  result.at_ceiling = factor > kCeiling;
  result.factor = FromMillionths(Millionths(factor, kFloor, kCeiling));
  return result;
}

Correction Calibration::Of(const CalibrationKey& key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? Correction() : found->second.correction;
}

void Calibration::ForEach(const std::function<void(const CalibrationKey&, const Correction&)>& call) const {
  for (const auto& [key, record] : records_) call(key, record.correction);
}

CalibrationSummary Calibration::Summary() const {
  CalibrationSummary summary;
  summary.keys = records_.size();
  std::vector<double> prior_errors;
  std::vector<double> corrected_errors;
  for (const auto& [key, record] : records_) {
    for (const Sample& sample : record.ring) {
      if (sample.killed) {
        ++summary.killed;
        summary.killed_above_corrected += sample.ratio >= sample.factor ? 1 : 0;
        continue;
      }
      ++summary.samples;
      summary.above_prior += sample.ratio > kMillion ? 1 : 0;
      summary.above_corrected += sample.ratio > sample.factor ? 1 : 0;
      prior_errors.push_back(kMillion / sample.ratio - 1);
      corrected_errors.push_back(static_cast<double>(sample.factor) / sample.ratio - 1);
    }
  }
  summary.prior = BandOf(prior_errors);
  summary.corrected = BandOf(corrected_errors);
  return summary;
}

Bytes Calibration::bytes() const {
  constexpr std::size_t kNode = 48;     // pointers and colour of a tree node, and malloc's own words
  constexpr std::size_t kInPlace = 15;  // characters that a string holds without the heap
  std::size_t held = sizeof(*this) + tool_.capacity();
  const auto heap = [](const std::string& word) {
    return word.capacity() > kInPlace ? word.capacity() + 1 + sizeof(void*) : 0;
  };
  for (const auto& [key, record] : records_) {
    held += kNode + sizeof(Records::value_type) + heap(key.recipe) + heap(key.codec) + heap(key.plan) +
            record.ring.capacity() * sizeof(Sample) + sizeof(void*);
  }
  return Bytes(held);
}

std::string Calibration::Serialize() const {
  std::vector<const Records::value_type*> order;
  order.reserve(records_.size());
  for (const auto& entry : records_) order.push_back(&entry);
  std::ranges::sort(order, std::less(), [](const Records::value_type* entry) { return entry->second.learned; });

  std::string text = std::string(kMagic) + std::to_string(kFormat) + "\ntool " + tool_ + "\nkeys " +
                     std::to_string(order.size()) + "\n";
  for (const Records::value_type* entry : order) {
    const auto& [key, record] = *entry;
    text +=
        key.recipe + "\t" + key.codec + "\t" + key.plan + "\t" + ToText(key.input) + "\t" + ToText(key.output) + "\t";
    for (const Sample& sample : record.ring) {
      text += sample.killed ? "k" : "p";
      text += std::to_string(sample.ratio) + ":" + std::to_string(sample.factor) + ";";
    }
    text += "\n";
  }
  return text + "end " + ToHex(Sha256(text)) + "\n";
}

// The line without its newline.
Result<Calibration::Records::value_type> Calibration::ParseKey(std::string_view line) {
  const auto recipe = Take(line, '\t');
  const auto codec = Take(line, '\t');
  const auto plan = Take(line, '\t');
  const auto input = Take(line, '\t');
  const auto output = Take(line, '\t');
  if (!output) return Damaged("a line has too few fields");
  const auto input_bucket = ParseBucket(*input);
  const auto output_bucket = ParseBucket(*output);
  if (!input_bucket || !output_bucket) return Damaged("a size is not one");
  CalibrationKey key{.recipe = std::string(recipe->substr(0, CalibrationKey::kLongestWord + 1)),
                     .codec = std::string(codec->substr(0, CalibrationKey::kLongestWord + 1)),
                     .plan = std::string(plan->substr(0, CalibrationKey::kLongestPlan + 1)),
                     .input = *input_bucket,
                     .output = *output_bucket};
  if (!IsValid(key)) return Damaged("a key is empty, too long or not printable");
  Record record;
  while (!line.empty()) {
    const bool killed = line.starts_with('k');
    if (!killed && !line.starts_with('p')) return Damaged("a sample is of no known kind");
    line.remove_prefix(1);
    const auto ratio_text = Take(line, ':');
    const auto factor_text = Take(line, ';');
    if (!ratio_text || !factor_text) return Damaged("a sample is cut short");
    const auto ratio = ParseMillionths(*ratio_text, kLeastRatio, kMostRatio);
    const auto factor = ParseMillionths(*factor_text, kFloor, kCeiling);
    if (!ratio || !factor) return Damaged("a sample is not a number in its range");
    if (record.ring.size() == kRing) return Damaged("a key has too many samples");
    record.ring.push_back({.ratio = *ratio, .factor = *factor, .killed = killed});
  }
  if (record.ring.empty()) return Damaged("a key has no samples");
  record.correction = Evaluate(record.ring);
  return Records::value_type(std::move(key), std::move(record));
}

Result<Calibration> Calibration::Restore(std::string_view text, std::string_view tool, std::size_t most_keys) {
  Calibration empty(tool, most_keys);
  if (text.size() > kLargestText.count()) return Damaged("it is larger than any");
  std::string_view rest = text;
  const auto head = Take(rest, '\n');
  if (!head || !head->starts_with(kMagic)) return Damaged("it does not begin like one");
  const auto format = ParseUnsigned(head->substr(kMagic.size()));
  if (!format || *format == 0) return Damaged("its format is not a number");
  if (*format > kFormat) {
    return Fail(ErrorCode::kTooNew, "the calibration was written by a later weir (format " + std::to_string(*format) +
                                        ", this one knows " + std::to_string(kFormat) + ")");
  }

  // "end ", the digest and a newline, over everything before.
  constexpr std::size_t kEnd = 4 + kDigestDigits + 1;
  if (rest.size() < kEnd) return Damaged("it is cut short");
  const std::string_view whole = text.substr(0, text.size() - kEnd);
  if (text.substr(whole.size()) != "end " + ToHex(Sha256(whole)) + "\n") {
    return Damaged("its checksum does not match");
  }
  rest.remove_suffix(kEnd);

  const auto tool_line = Take(rest, '\n');
  const auto keys_line = Take(rest, '\n');
  if (!tool_line || !keys_line || !tool_line->starts_with("tool ") || !keys_line->starts_with("keys ")) {
    return Damaged("its head is not whole");
  }
  if (tool_line->substr(5) != empty.tool_) return empty;
  const auto keys = ParseUnsigned(keys_line->substr(5));
  if (!keys || *keys > kMostKeysEver) return Damaged("its number of keys is not one");

  Calibration all(tool, kMostKeysEver);
  while (!rest.empty()) {
    const auto line = Take(rest, '\n');
    if (!line) return Damaged("a line does not end");
    if (all.records_.size() == *keys) return Damaged("it has more keys than it says");
    WEIR_ASSIGN(Records::value_type entry, ParseKey(*line));
    entry.second.learned = ++all.learned_;
    if (!all.records_.insert(std::move(entry)).second) return Damaged("a key comes twice");
  }
  if (all.records_.size() != *keys) return Damaged("it has fewer keys than it says");
  // One spelling only: leading zeros and the like were not written by us.
  if (all.Serialize() != text) return Damaged("it is not written as it should be");
  all.most_keys_ = empty.most_keys_;
  std::erase_if(all.records_, [&all](const Records::value_type& entry) {
    return entry.second.learned + all.most_keys_ <= all.learned_;
  });
  return all;
}

}  // namespace weir::memory
