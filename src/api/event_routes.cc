#include "api/event_routes.h"

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "api/job_json.h"
#include "base/text.h"

namespace weir::api {
namespace {

using boost::asio::awaitable;
using http::Request;
using http::Response;

constexpr std::size_t kEventsAtOnce = 100;
constexpr std::uint64_t kLargestId = 9'000'000'000'000'000'000U;
constexpr std::chrono::hours kForEver{1};

// The events of one job, or of all. Stored ones have ids and are never left out; progress has none.
class Feed final : public http::EventSource {
 public:
  // With `tell_place`, its reader knows from the start where it begins, and can come again before anything happened.
  Feed(jobs::JobService& service, const Clock& clock, std::string job, std::int64_t after, bool tell_place)
      : service_(service), clock_(clock), job_(std::move(job)), after_(after), tell_place_(tell_place) {}

  awaitable<std::optional<std::string>> Next() override {
    if (std::exchange(tell_place_, false)) {
      // Without data it is no event, and its id counts.
      co_return "id: " + std::to_string(after_) + "\n\n";
    }
    while (true) {
      const std::uint64_t all = service_.version();
      auto events = service_.Events(job_, after_, kEventsAtOnce);
      if (!events) {
        co_return std::nullopt;
      }
      if (!events->empty()) {
        std::string text;
        for (const auto& event : *events) {
          text += EventText(event.id, event.type, EventData(event));
          after_ = event.id;
        }
        co_return text;
      }
      if (job_.empty()) {
        const SteadyTime until = clock_.Now() + kForEver;
        co_await service_.Changed(job_, all, until);
        continue;
      }
      const auto view = service_.Find(job_);
      if (!view) {
        co_return std::nullopt;
      }
      if (store::IsFinal(view->record.state)) {
        // Its last event may have come between the two looks.
        if (std::exchange(ended_, true)) {
          co_return std::nullopt;
        }
        continue;
      }
      if (view->live && view->live->progress && view->version != told_) {
        told_ = view->version;
        if (view->live->progress->out_time != shown_) {
          shown_ = view->live->progress->out_time;
          co_return EventText(
              0, "progress",
              {{"job", job_}, {"state", store::NameOf(view->record.state)}, {"progress", ProgressAsJson(*view)}});
        }
      }
      const std::uint64_t version = view->version;
      const SteadyTime until = clock_.Now() + kForEver;
      co_await service_.Changed(job_, version, until);
    }
  }

 private:
  jobs::JobService& service_;
  const Clock& clock_;
  std::string job_;
  std::int64_t after_;
  bool tell_place_;
  std::uint64_t told_ = 0;
  MediaTime shown_{-1};
  bool ended_ = false;
};

bool BeginsNow(const Request& request) {
  const auto* query = request.Query("after");
  return request.Header("last-event-id") == nullptr && query != nullptr && *query == "now";
}

Result<std::int64_t> PlaceIn(Context& context, const Request& request) {
  const auto* header = request.Header("last-event-id");
  const auto* query = request.Query("after");
  if (BeginsNow(request)) {
    return context.service.LastEventId();
  }
  if (header == nullptr && query == nullptr) {
    return 0;
  }
  const auto id = ParseUnsigned(header != nullptr ? *header : *query);
  if (!id || *id > kLargestId) {
    return Fail(ErrorCode::kBadParameters, header != nullptr
                                               ? "Last-Event-ID is the id of an event that was sent before"
                                               : "after is the id of an event that was sent before, or now");
  }
  return static_cast<std::int64_t>(*id);
}

Result<Response> FeedOf(Context& context, const Request& request, const std::string& job) {
  WEIR_ASSIGN(const std::int64_t after, PlaceIn(context, request));
  Response response;
  response.events = std::make_unique<Feed>(context.service, context.clock, job, after, BeginsNow(request));
  return response;
}

}  // namespace

Reply GetJobEvents(Context& context, Request request) {
  if (auto view = context.service.Find(request.path[2]); !view) {
    co_return Fail(std::move(view).error());
  }
  co_return FeedOf(context, request, request.path[2]);
}

Reply GetEvents(Context& context, Request request) { co_return FeedOf(context, request, {}); }

}  // namespace weir::api
