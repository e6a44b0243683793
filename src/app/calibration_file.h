// CalibrationFile: keeps what jobs::Learning knows in the file `calibration` of the data folder, from one life of the
// daemon to the next (docs/formats/calibration.md). Learns nothing itself.
//
// The loop's thread; files are written beside it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"
#include "jobs/alive.h"
#include "jobs/learning.h"

namespace weir::app {

class CalibrationFile {
 public:
  // Reads what is there. What is damaged is renamed to `calibration.damaged`; of a later version, or unreadable, it
  // is left as it is, and nothing is written then. Each with one warning, and forecasts are the formula's: never a
  // reason not to start. `loop`, `aside` (one thread) and the descriptor `folder` outlive this and what it has
  // posted.
  CalibrationFile(boost::asio::io_context& loop, boost::asio::thread_pool& aside, int folder,
                  jobs::LearningSettings settings);
  CalibrationFile(const CalibrationFile&) = delete;
  CalibrationFile& operator=(const CalibrationFile&) = delete;
  ~CalibrationFile() = default;

  [[nodiscard]] jobs::Learning& learning() { return learning_; }
  [[nodiscard]] const jobs::Learning& learning() const { return learning_; }
  // At a clean end: writes what is not on disk yet, and waits for it.
  void Save();

 private:
  void Read();
  void Plan();
  void Write();

  boost::asio::io_context& loop_;
  boost::asio::thread_pool& aside_;
  int folder_;
  jobs::Learning learning_;
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> written_;  // when that was begun
  bool may_write_ = true;
  bool planned_ = false;
  bool unsaved_ = false;
  bool told_ = false;  // that it cannot be written
  jobs::Alive alive_;
};

}  // namespace weir::app
