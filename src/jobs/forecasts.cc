#include "jobs/forecasts.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "base/id.h"

namespace weir::jobs {

Forecasts::Forecasts(World& world, std::size_t most, std::function<void()> on_change)
    : world_(world), most_(most), on_change_(std::move(on_change)) {}

void Forecasts::Start(Ask ask, std::function<void(Result<Account>)> answer) {
  if (runs_.size() >= most_) {
    boost::asio::post(world_.loop, [answer = std::move(answer)] {
      answer(Fail(Error{.code = ErrorCode::kBusy, .detail = "too many forecasts are being made; come again"}.With(
          "retry_after_seconds", std::uint64_t{1})));
    });
    return;
  }
  const std::string id = NewId();
  ask.job = id;
  auto on_end = alive_.Guard([this, id, answer = std::move(answer)](Outcome outcome) {
    // The run is in the middle of its last callback.
    auto ended = runs_.extract(id);
    boost::asio::post(world_.loop, [run = std::shared_ptr<Run>(std::move(ended.mapped()))] {});
    on_change_();
    answer(outcome.status ? Result<Account>(std::move(outcome.account)) : Fail(std::move(outcome.status).error()));
  });
  auto& run = runs_[id];
  run = std::make_unique<Run>(world_, std::move(ask), RunHooks{}, std::move(on_end));
  run->Start();
}

void Forecasts::AskFor(const Need& need, std::function<void(Result<Grant>)> granted) {
  waiting_.push_back({.job = need.job, .size = need.ways.front().memory, .granted = std::move(granted)});
  on_change_();
}

void Forecasts::Withdraw(const std::string& job) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.job == job; });
}

void Forecasts::Serve(const std::function<bool()>& hold) {
  while (!waiting_.empty()) {
    const bool possible = waiting_.front().size <= world_.ledger.largest_possible();
    if (possible && hold()) {
      break;
    }
    auto lease = world_.ledger.Acquire(waiting_.front().size, "forecast");
    if (!lease && possible) {
      break;
    }
    if (!lease) {
      boost::asio::post(world_.loop, [granted = std::move(waiting_.front().granted), why = std::move(lease).error()] {
        granted(Fail(why));
      });
      waiting_.pop_front();
      continue;
    }
    boost::asio::post(world_.loop, [granted = std::move(waiting_.front().granted),
                                    grant = std::make_shared<Grant>(Grant{.way = 0, .lease = *std::move(lease)})] {
      granted(std::move(*grant));
    });
    waiting_.pop_front();
  }
}

void Forecasts::CancelAll(const Error& why) {
  for (auto& [id, run] : runs_) {
    run->Cancel(why);
  }
}

}  // namespace weir::jobs
