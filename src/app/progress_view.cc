#include "app/progress_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "app/speak.h"

namespace weir::app {
namespace {

constexpr unsigned kBarWidth = 24;

// How much is done, 0 to 1, by time where the length is known, else by frames; negative when neither is.
double Share(const media::Progress& progress, const media::Plan& plan) {
  if (plan.expectation.duration && plan.expectation.duration->count() > 0) {
    return std::clamp(Seconds(progress.out_time) / Seconds(*plan.expectation.duration), 0.0, 1.0);
  }
  if (plan.forecast.frames > 0) {
    return std::clamp(static_cast<double>(progress.frame) / static_cast<double>(plan.forecast.frames), 0.0, 1.0);
  }
  return -1;
}

}  // namespace

void ProgressView::Show(const media::Progress& progress, const media::Plan& plan, Bytes memory) {
  if (quiet_) {
    return;
  }
  const double share = Share(progress, plan);
  std::string tail = fmt::format("{:.1f} s done", Seconds(progress.out_time));
  // What is measured before the first second (ffmpeg tells no frame rate until then) and hundredth means nothing.
  if (progress.speed > 0 && progress.fps > 0 && (share < 0 || share >= 0.01)) {
    tail += fmt::format(", {:.2f}x", progress.speed);
    if (share >= 0 && plan.expectation.duration) {
      const double left = Seconds(*plan.expectation.duration) - Seconds(progress.out_time);
      tail += fmt::format(", {:.0f} s left", std::max(0.0, left) / progress.speed);
    }
  }
  tail += fmt::format(", {} of {}", ToString(memory), ToString(plan.forecast.lease));
  if (terminal_.interactive) {
    const auto filled = static_cast<unsigned>(std::max(0.0, share) * kBarWidth);
    std::string line = share < 0 ? tail
                                 : fmt::format("  [{}{}] {:3.0f} %  {}", std::string(filled, '#'),
                                               std::string(kBarWidth - filled, '.'), share * 100, tail);
    if (line.size() >= terminal_.columns) {
      line.resize(terminal_.columns > 0 ? terminal_.columns - 1 : 0);
    }
    Tell(fmt::format("\r{}\x1b[K", line));
    drawn_ = true;
    return;
  }
  const int tenth = static_cast<int>(share * 10);
  if (share >= 0 && tenth > last_tenth_) {
    last_tenth_ = tenth;
    Tell(fmt::format("  {:3.0f} %  {}\n", share * 100, tail));
  }
}

void ProgressView::Phase(const char* what) {
  if (!quiet_ && terminal_.interactive) {
    Tell(fmt::format("\r  {}\x1b[K", what));
    drawn_ = true;
  }
}

void ProgressView::Clear() {
  if (drawn_) {
    Tell(fmt::format("\r\x1b[K"));
    drawn_ = false;
  }
  last_tenth_ = -1;
}

}  // namespace weir::app
