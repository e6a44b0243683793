#include "jobs/learning.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/log.h"
#include "base/text.h"
#include "jobs/workplace.h"

namespace weir::jobs {
namespace {

using memory::CalibrationKey;

std::string CodecOf(const media::MediaFacts& facts) {
  if (!facts.video) {
    return "sound";
  }
  const auto& video = *facts.video;
  std::string word = Printable(video.codec);
  word += video.bit_depth > 8 ? ", deep" : "";
  word += video.chroma_420 ? "" : video.pixel_format.find("422") != std::string::npos ? ", 422" : ", 444";
  return word.substr(0, CalibrationKey::kLongestWord);
}

CalibrationKey KeyOf(const media::Request& request, const media::MediaFacts& facts, const media::Plan& plan) {
  const auto& output = plan.expectation.video;
  return {.recipe = media::NameOf(request.recipe),
          .codec = CodecOf(facts),
          .plan = (plan.method + ": " + plan.name).substr(0, CalibrationKey::kLongestPlan),
          .input = memory::BucketOf(facts.video ? facts.video->coded.megapixels() : 0),
          .output = memory::BucketOf(output ? output->size.megapixels() : 0)};
}

media::Experience ExperienceOf(const memory::Correction& correction) {
  return {.factor = correction.factor,
          .is_safe = correction.confidence >= memory::Confidence::kFair,
          .at_ceiling = correction.at_ceiling,
          .samples = correction.samples,
          .killed = correction.killed,
          .confidence = memory::ToWord(correction.confidence)};
}

bool EndedWell(const process::ChildReport& report) {
  const auto* exited = std::get_if<process::Exited>(&report.ending);
  return exited != nullptr && exited->status == 0;
}

}  // namespace

Learning::Learning(LearningSettings settings)
    : settings_(std::move(settings)), calibration_(settings_.tool, settings_.most_kinds) {}

void Learning::Correct(const media::Request& request, const media::MediaFacts& facts, Bytes most,
                       media::Ladder& ladder) const {
  media::CorrectForecasts(ladder, facts, most, [&](const media::Plan& plan) {
    return ExperienceOf(calibration_.Of(KeyOf(request, facts, plan)));
  });
}

std::size_t Learning::ToSkip(const media::Ladder& ladder, Bytes most, std::size_t failed) {
  std::size_t skip = 0;
  std::size_t left = failed + 1;
  for (std::size_t i = 0; i < ladder.plans.size() && left > 0; ++i) {
    const media::Plan& plan = ladder.plans[i];
    if (plan.in_company || plan.forecast.needed > most) {
      continue;
    }
    skip = i;
    if (plan.experience.killed > 0 && plan.experience.factor > 1) {
      break;
    }
    --left;
  }
  return failed > 0 ? skip : 0;
}

std::optional<Learning::Lesson> Learning::LessonOf(const media::Request& request, const media::MediaFacts& facts,
                                                   const media::Plan& plan, Bytes limit,
                                                   const process::ChildReport& report) const {
  Lesson lesson{.key = KeyOf(request, facts, plan), .prior = plan.forecast.prior, .amount = limit, .killed = true};
  if (std::holds_alternative<process::OomKilled>(report.ending)) {
    return lesson;
  }
  if (workplace::RanOutOfMemory(report)) {
    // Without RLIMIT_DATA it was ffmpeg's own limit of one allocation, or the machine.
    return settings_.limits_allocations ? std::optional(lesson) : std::nullopt;
  }
  // The kernel keeps the high-water mark of a process, exact however short its life: no sample has to have met it.
  // The sum over several processes is only sampled, so it may have missed the peak. And the mark begins at our own
  // size, as whose copy a child starts: not above that, it tells nothing of the child.
  if (!EndedWell(report) || report.most_processes > 1 ||
      (settings_.own_size && report.peak_tree <= settings_.own_size())) {
    return std::nullopt;
  }
  lesson.amount = report.peak_tree;
  lesson.killed = false;
  return lesson;
}

void Learning::Take(const Lesson& lesson) {
  const auto taken = lesson.killed ? calibration_.LearnKilled(lesson.key, lesson.prior, lesson.amount)
                                   : calibration_.Learn(lesson.key, lesson.prior, lesson.amount);
  if (!taken) {
    log::Debug("nothing is learned from a child: " + Describe(taken.error()));
    return;
  }
  summary_.reset();
  if (on_change_) {
    on_change_();
  }
}

void Learning::Forget() {
  calibration_ = memory::Calibration(settings_.tool, settings_.most_kinds);
  summary_.reset();
  if (on_change_) {
    on_change_();
  }
}

Status Learning::Restore(std::string_view text) {
  WEIR_ASSIGN(calibration_, memory::Calibration::Restore(text, settings_.tool, settings_.most_kinds));
  summary_.reset();
  return {};
}

const memory::CalibrationSummary& Learning::summary() const {
  if (!summary_) {
    summary_ = calibration_.Summary();
  }
  return *summary_;
}

}  // namespace weir::jobs
