// LazyText: a text that is too large to keep for nobody. Made at its first use, let go when it was not asked for
// during a while. One thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/api.h"
#include "base/clock.h"
#include "jobs/alive.h"

namespace weir::api {

class LazyText {
 public:
  struct Text {
    std::string text;
    std::string etag;  // strong, with its quotes
  };

  // `make` is called again each time that the text was let go, and gives the same text. The clock outlives this.
  LazyText(const Clock& clock, Duration idle, std::function<std::string()> make);
  LazyText(const LazyText&) = delete;
  LazyText& operator=(const LazyText&) = delete;
  ~LazyText() = default;

  // `executor`: of the loop that is to let it go. Whoever holds the answer keeps the text for as long as that.
  std::shared_ptr<const Text> Get(const boost::asio::any_io_executor& executor);
  [[nodiscard]] DocumentState state() const;
  void LetGo();

 private:
  void AwaitIdle(Duration wait);

  const Clock& clock_;
  Duration idle_;
  std::function<std::string()> make_;
  std::shared_ptr<const Text> text_;
  WallTime made_{};
  SteadyTime used_{};
  std::optional<boost::asio::steady_timer> timer_;  // only while there is a text
  jobs::Alive alive_;
};

}  // namespace weir::api
