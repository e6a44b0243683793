#include "app/calibration_file.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "memory/calibration.h"
#include "os/file.h"

namespace weir::app {
namespace {

constexpr const char* kName = "calibration";
constexpr const char* kSetAside = "calibration.damaged";
// At most once a minute; the first lesson of a life a second after it came.
constexpr std::chrono::seconds kPeriod{60};
constexpr std::chrono::seconds kSoon{1};

}  // namespace

CalibrationFile::CalibrationFile(boost::asio::io_context& loop, boost::asio::thread_pool& aside, int folder,
                                 jobs::LearningSettings settings)
    : loop_(loop), aside_(aside), folder_(folder), learning_(std::move(settings)), timer_(loop) {
  Read();
  learning_.OnChange([this] {
    unsaved_ = true;
    Plan();
  });
}

void CalibrationFile::Read() {
  // Left by a life that died while it wrote.
  if (const auto names = os::ListFolder(folder_)) {
    for (const auto& name : *names) {
      if (name.starts_with(".new-")) {
        static_cast<void>(os::RemoveTree(folder_, name));
      }
    }
  }
  // One byte more than any, so that a longer one is seen to be none.
  const auto text = os::ReadSmallFileAt(folder_, kName, memory::Calibration::kLargestText + Bytes(1));
  if (!text) {
    if (text.error().code != ErrorCode::kInputMissing) {
      may_write_ = false;
      log::Warning("forecasts begin anew, and what is learned is not kept: " + Describe(text.error()));
    }
    return;
  }
  if (const auto restored = learning_.Restore(*text); !restored) {
    if (restored.error().code == ErrorCode::kTooNew) {
      may_write_ = false;
      log::Warning("forecasts begin anew, and what is learned is not kept: " + Describe(restored.error()) +
                   "; remove the file \"calibration\" of the data folder to keep it again");
      return;
    }
    const auto moved = os::Rename(folder_, kName, folder_, kSetAside, os::Replace::kYes);
    log::Warning("forecasts begin anew: " + Describe(restored.error()) +
                 (moved ? std::string("; the file is now \"") + kSetAside + "\""
                        : "; it cannot be set aside: " + Describe(moved.error())));
    return;
  }
  if (learning_.calibration().keys() == 0 && !text->contains("\nkeys 0\n")) {
    log::Info("forecasts begin anew: what was learned is of another ffmpeg");
  } else {
    log::Debug("forecasts of " + std::to_string(learning_.calibration().keys()) + " kinds of children are corrected");
  }
}

void CalibrationFile::Plan() {
  if (!may_write_ || !unsaved_ || std::exchange(planned_, true)) {
    return;
  }
  const SteadyTime now = std::chrono::steady_clock::now();
  const SteadyTime due = written_ ? std::max(now + kSoon, *written_ + kPeriod) : now + kSoon;
  timer_.expires_at(std::chrono::time_point_cast<boost::asio::steady_timer::duration>(due));
  timer_.async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    if (!error) {
      Write();
    }
  }));
}

void CalibrationFile::Write() {
  unsaved_ = false;
  written_ = std::chrono::steady_clock::now();
  auto done = alive_.Guard([this](const Status& status) {
    planned_ = false;
    if (!status) {
      unsaved_ = true;
      if (!std::exchange(told_, true)) {
        log::Warning("what was learned about memory cannot be kept: " + Describe(status.error()));
      }
    } else {
      told_ = false;
    }
    Plan();
  });
  // A copy, because making the text of many kinds takes milliseconds, too.
  auto copy = std::make_shared<const memory::Calibration>(learning_.calibration());
  boost::asio::post(aside_, [folder = folder_, copy, done, busy = boost::asio::make_work_guard(loop_)]() mutable {
    boost::asio::post(busy.get_executor(), [status = os::WriteFileAtomically(folder, kName, copy->Serialize()),
                                            done]() mutable { done(status); });
  });
}

void CalibrationFile::Save() {
  timer_.cancel();
  if (!may_write_ || (!unsaved_ && !planned_)) {
    return;
  }
  // Behind what may be on its way, whose success nobody would hear of any more: there is one thread.
  std::promise<Status> written;
  boost::asio::post(aside_, [&] {
    written.set_value(os::WriteFileAtomically(folder_, kName, learning_.calibration().Serialize()));
  });
  const Status status = written.get_future().get();
  if (!status) {
    log::Warning("what was learned about memory cannot be kept: " + Describe(status.error()));
    return;
  }
  unsaved_ = planned_ = false;
}

}  // namespace weir::app
