#include "api/lazy_text.h"

#include <chrono>
#include <utility>

#include "base/sha256.h"

namespace weir::api {

LazyText::LazyText(const Clock& clock, Duration idle, std::function<std::string()> make)
    : clock_(clock), idle_(idle), make_(std::move(make)) {}

std::shared_ptr<const LazyText::Text> LazyText::Get(const boost::asio::any_io_executor& executor) {
  used_ = clock_.Now();
  if (!text_) {
    Text made{.text = make_(), .etag = {}};
    made.etag = "\"" + ToHex(Sha256(made.text)).substr(0, 32) + "\"";
    text_ = std::make_shared<const Text>(std::move(made));
    made_ = clock_.WallNow();
    timer_.emplace(executor);
    AwaitIdle(idle_);
  }
  return text_;
}

// One wait for any number of uses: it looks at the end how long nobody has asked.
void LazyText::AwaitIdle(Duration wait) {
  timer_->expires_after(std::chrono::duration_cast<boost::asio::steady_timer::duration>(wait));
  timer_->async_wait(alive_.Guard([this](const boost::system::error_code& error) {
    // Let go meanwhile, though the timer had expired.
    if (error || !timer_) {
      return;
    }
    const Duration left = idle_ - (clock_.Now() - used_);
    if (left > Duration(0)) {
      return AwaitIdle(left);
    }
    LetGo();
  }));
}

void LazyText::LetGo() {
  text_.reset();
  timer_.reset();
}

DocumentState LazyText::state() const {
  if (!text_) {
    return {};
  }
  return {.loaded = true, .since = made_, .size = Bytes(text_->text.size())};
}

}  // namespace weir::api
