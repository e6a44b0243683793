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
#include "base/text.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 does not see that coroutine frames are allocated by the promise's own operator new.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace weir::app {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

// Many changes in a row are looked at together.
constexpr std::chrono::milliseconds kPause{250};
constexpr std::chrono::hours kForEver{1};
constexpr std::size_t kEventsAtOnce = 100;
constexpr int kMostLooks = 10;  // before others have a turn

json::object ObjectOf(const std::string& document) {
  boost::system::error_code error;
  auto value = json::parse(document, error);
  return !error && value.is_object() ? std::move(value.as_object()) : json::object();
}

std::string WordIn(const json::object& members, const char* name) {
  const auto* value = members.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::int64_t AttemptIn(const json::object& members) {
  const auto* value = members.if_contains("attempt");
  return value != nullptr && value->is_int64() ? value->as_int64() : 0;
}

// The sentence of the failure in the outcome that is stored with a job; "" when there is none.
std::string ReasonIn(const store::JobRecord& job) {
  const auto outcome = ObjectOf(job.outcome);
  const auto* failure = outcome.if_contains("failure");
  if (failure == nullptr || !failure->is_object()) {
    return {};
  }
  const auto detail = WordIn(failure->get_object(), "detail");
  return detail.empty() ? WordIn(failure->get_object(), "title") : detail;
}

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

std::string EventText(const store::EventRecord& event, const store::JobRecord* job) {
  const auto members = ObjectOf(event.data);
  std::string text = event.type == "state" ? WordIn(members, "state") : event.type;
  const std::int64_t attempt = AttemptIn(members);
  if (event.type == "state" && attempt > 0) {
    text += ", attempt " + std::to_string(attempt);
  }
  auto note = WordIn(members, "note");
  // One that was tried again since has another reason, or none.
  if (job != nullptr && LacksReason(event) && job->attempt == attempt) {
    note = ReasonIn(*job);
  }
  return note.empty() ? text : text + ": " + Printable(note);
}

bool LacksReason(const store::EventRecord& event) {
  if (event.type != "state") {
    return false;
  }
  const auto members = ObjectOf(event.data);
  return WordIn(members, "state") == "failed" && WordIn(members, "note").empty();
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
        const auto job = LacksReason(event) ? service.Find(event.job) : Fail(ErrorCode::kNotFound, {});
        log::Info(EventText(event, job ? &job->record : nullptr), event.job);
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
