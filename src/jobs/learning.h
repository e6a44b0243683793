// Learned forecasts: measured peaks and kills of working children correct the forecasts of the next ones alike. Takes
// lessons and corrects ladders; it forecasts nothing itself, runs nothing and keeps nothing on disk.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "media/facts.h"
#include "media/plan.h"
#include "media/recipe.h"
#include "memory/calibration.h"
#include "process/child.h"

namespace weir::jobs {

struct LearningSettings {
  std::string tool;                   // identity of the ffmpeg build; another one starts afresh
  std::size_t most_kinds = 500;       // of children; beyond it the one that learned longest ago is forgotten
  bool limits_allocations = false;    // children have RLIMIT_DATA, so that a refused allocation is a limit reached
  std::function<Bytes()> own_size{};  // resident, of this process; empty: not asked
};

// The loop's thread. Outlives every run.
class Learning {
 public:
  explicit Learning(LearningSettings settings);
  Learning(const Learning&) = delete;
  Learning& operator=(const Learning&) = delete;
  ~Learning() = default;

  // `ladder` as media::BuildLadder made it; `most` as for media::CorrectForecasts.
  void Correct(const media::Request& request, const media::MediaFacts& facts, Bytes most,
               media::Ladder& ladder) const;

  // How many plans at the head of a corrected ladder to leave out when so many `failed` before: of those that fit
  // into `most` and may run alone, one for each, but never the last; none from the first one on that a kill has given
  // more room since.
  static std::size_t ToSkip(const media::Ladder& ladder, Bytes most, std::size_t failed);

  struct Lesson {
    memory::CalibrationKey key;
    Bytes prior;   // the formula's forecast, uncorrected
    Bytes amount;  // measured peak; of a kill the limit that it had
    bool killed = false;
  };
  // What the end of a working child teaches; nullopt: nothing. `limit`: its lease when it ended. A peak should be
  // taken only when the output was found right: a child that stopped early has a low one.
  [[nodiscard]] std::optional<Lesson> LessonOf(const media::Request& request, const media::MediaFacts& facts,
                                               const media::Plan& plan, Bytes limit,
                                               const process::ChildReport& report) const;
  void Take(const Lesson& lesson);
  void Forget();  // everything

  // Instead of what is known. Errors: those of memory::Calibration::Restore; nothing changes then.
  Status Restore(std::string_view text);
  [[nodiscard]] const memory::Calibration& calibration() const { return calibration_; }
  [[nodiscard]] std::size_t most_kinds() const { return settings_.most_kinds; }
  // Made anew only after something was learned.
  [[nodiscard]] const memory::CalibrationSummary& summary() const;
  // Called after each Take and Forget.
  void OnChange(std::function<void()> call) { on_change_ = std::move(call); }

 private:
  LearningSettings settings_;
  memory::Calibration calibration_;
  std::function<void()> on_change_;
  mutable std::optional<memory::CalibrationSummary> summary_;
};

}  // namespace weir::jobs
