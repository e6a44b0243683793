#include "app/journal.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 does not see that coroutine frames are allocated by the promise's own operator new.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace weir::app {
namespace {

namespace asio = boost::asio;

// Many changes in a row are looked at together.
constexpr std::chrono::milliseconds kPause{250};
constexpr std::chrono::hours kForEver{1};
constexpr std::size_t kEventsAtOnce = 100;
constexpr int kMostLooks = 10;  // before others have a turn

}  // namespace

std::string WorkText(const jobs::ServiceFigures& figures) {
  std::string text;
  const auto add = [&](std::size_t count, const char* what) {
    if (count > 0) {
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
    }
  };
  add(figures.scheduler.running, "running");
  add(figures.scheduler.queued, "waiting");
  add(figures.unsaved, "not written yet");
  if (text.empty()) {
    text = "idle";
  }
  return figures.draining ? text + ", draining" : text;
}

std::string EventText(const store::EventRecord& event) {
  boost::system::error_code error;
  const auto document = boost::json::parse(event.data, error);
  const auto* members = error ? nullptr : document.if_object();
  const auto member = [&](const char* name) { return members != nullptr ? members->if_contains(name) : nullptr; };
  const auto word = [&](const char* name) {
    const auto* value = member(name);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  std::string text = event.type == "state" ? word("state") : event.type;
  const auto* attempt = member("attempt");
  if (event.type == "state" && attempt != nullptr && attempt->is_int64() && attempt->as_int64() > 0) {
    text += ", attempt " + std::to_string(attempt->as_int64());
  }
  if (const auto note = word("note"); !note.empty()) {
    text += ": " + note;
  }
  return text;
}

struct Journal::State {
  asio::io_context& loop;
  jobs::JobService& service;
  std::int64_t after;
  std::function<void(const std::string&)> on_work;
  asio::steady_timer pause;
  std::string told{};
  std::uint64_t version = 0;
  bool closed = false;

  // False: there is more.
  bool Tell() {
    version = service.version();
    bool all = false;
    for (int look = 0; look < kMostLooks && !all; ++look) {
      const auto events = service.Events({}, after, kEventsAtOnce);
      if (!events) {
        return true;  // the disk's trouble is told where it hurts
      }
      for (const auto& event : *events) {
        log::Info(EventText(event), event.job);
        after = event.id;
      }
      all = events->size() < kEventsAtOnce;
    }
    if (auto work = WorkText(service.figures()); work != told) {
      told = std::move(work);
      on_work(told);
    }
    return all;
  }

  static asio::awaitable<void> Follow(std::shared_ptr<State> self) {
    const std::string any_job;
    while (true) {
      const bool all = self->Tell();
      boost::system::error_code ignored;
      self->pause.expires_after(kPause);
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await self->pause.async_wait(token);
      if (self->closed) {
        co_return;
      }
      if (all) {
        const SteadyTime until = std::chrono::steady_clock::now() + kForEver;
        co_await self->service.Changed(any_job, self->version, until);
      }
      if (self->closed) {
        co_return;
      }
    }
  }
};

Journal::Journal(asio::io_context& loop, jobs::JobService& service, std::int64_t after,
                 std::function<void(const std::string&)> on_work)
    : state_(std::make_shared<State>(State{.loop = loop,
                                           .service = service,
                                           .after = after,
                                           .on_work = std::move(on_work),
                                           .pause = asio::steady_timer(loop)})) {
  asio::co_spawn(loop, State::Follow(state_), asio::detached);
}

Journal::~Journal() {
  state_->closed = true;
  state_->pause.cancel();
}

void Journal::Tell() {
  while (!state_->Tell()) {
  }
}

}  // namespace weir::app
