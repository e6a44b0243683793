#include <algorithm>
#include <utility>

#include "base/id.h"
#include "base/text.h"
#include "jobs/service_impl.h"

namespace weir::jobs {
namespace {

using store::BatchRecord;
using store::JobState;

// Thousands are looked at in slices, so that others are answered in between.
constexpr std::size_t kSlice = 50;

}  // namespace

struct JobService::Impl::Acceptance {
  BatchSubmission submission;
  BatchRecord record;
  std::vector<store::Change> inserts;
  BatchAnswer answer;
};

void JobService::Impl::SubmitBatch(BatchSubmission submission, BatchAnswer answer) {
  const std::size_t jobs = submission.jobs.size();
  if (jobs < 1 || jobs > kMostInBatch) {
    return Answers(std::move(answer),
                   Fail(ErrorCode::kBadParameters,
                        "a batch has 1 to " + std::to_string(kMostInBatch) + " jobs, not " + std::to_string(jobs)));
  }
  auto work = std::make_shared<Acceptance>();
  work->record = {.id = NewId(),
                  .owner = submission.owner,
                  .labels = LabelsAsJson(submission.labels),
                  .jobs = static_cast<std::int64_t>(jobs),
                  .created = parts_.clock.WallNow(),
                  .idempotency_key = submission.idempotency_key,
                  .request_digest = submission.idempotency_key.empty() ? "" : submission.digest};
  if (auto earlier = EarlierBatch(work->record); !earlier) {
    return Answers(std::move(answer), Fail(std::move(earlier).error()));
  } else if (*earlier) {
    return Answers(std::move(answer), **std::move(earlier));
  }
  if (auto room = CheckRoom(jobs); !room) {
    return Answers(std::move(answer), Fail(std::move(room).error()));
  }
  // Thousands of jobs in memory, once.
  if (accepting_ + jobs > kMostInBatch) {
    return Answers(
        std::move(answer),
        Fail(Error{.code = ErrorCode::kBusy, .detail = "other batches are being looked at; come again"}.With(
            "retry_after_seconds", std::uint64_t{1})));
  }
  // Its places are taken while it is looked at.
  inserting_ += jobs;
  accepting_ += jobs;
  work->inserts.reserve(jobs);
  work->submission = std::move(submission);
  work->answer = std::move(answer);
  boost::asio::post(parts_.loop, alive_.Guard([this, work] { AcceptSlice(work); }));
}

void JobService::Impl::AcceptSlice(const std::shared_ptr<Acceptance>& work) {
  const auto all = work->submission.jobs.size();
  const auto refuse = [&](Error error) {
    inserting_ -= all;
    accepting_ -= all;
    CheckShutdown();
    work->answer(Fail(std::move(error)));
  };
  for (std::size_t i = 0; i < kSlice && work->inserts.size() < all; ++i) {
    const std::size_t index = work->inserts.size();
    const Submission submission = std::exchange(work->submission.jobs[index], {});
    auto stored = RequestOf(submission);
    const Status ends = stored ? CheckEnds(*stored) : Fail(stored.error());
    if (!ends) {
      Error error = ends.error();
      error.detail = "job " + std::to_string(index) + " of the batch: " + error.detail;
      return refuse(std::move(error).With("job", std::uint64_t{index}));
    }
    auto record = RecordOf(submission, *stored);
    record.batch = work->record.id;
    work->inserts.push_back(InsertionOf(std::move(record)));
  }
  if (work->inserts.size() < all) {
    return boost::asio::post(parts_.loop, alive_.Guard([this, work] { AcceptSlice(work); }));
  }
  work->submission.jobs.clear();
  std::vector<Place> places;
  places.reserve(all);
  for (const auto& insert : work->inserts) {
    places.push_back(PlaceOf(insert.job));
  }
  parts_.store.CommitBatch(
      work->record, std::exchange(work->inserts, {}),
      alive_.Guard([this, work, places = std::move(places)](const Result<store::Committed>& done) mutable {
        inserting_ -= places.size();
        accepting_ -= places.size();
        if (done) {
          if (!stopping_) {
            for (Place& place : places) {
              static_cast<void>(scheduler_.Enqueue(std::move(place), true));
            }
            TakeTurn();
          }
          book_.Touch();
          CheckShutdown();
          return work->answer(FindBatch(work->record.id));
        }
        CheckShutdown();
        // The same key twice at the same time: the other one was first.
        auto earlier = done.error().code == ErrorCode::kOutputExists ? EarlierBatch(work->record)
                                                                     : Result<std::optional<BatchView>>(std::nullopt);
        if (!earlier) {
          return work->answer(Fail(std::move(earlier).error()));
        }
        work->answer(*earlier ? Result<BatchView>(**std::move(earlier)) : Fail(done.error()));
      }));
}

Result<std::optional<BatchView>> JobService::Impl::EarlierBatch(const BatchRecord& record) {
  if (record.idempotency_key.empty()) {
    return std::nullopt;
  }
  WEIR_ASSIGN(auto earlier, parts_.store.FindBatchByKey(record.owner, record.idempotency_key));
  if (!earlier) {
    return std::nullopt;
  }
  if (earlier->request_digest != record.request_digest) {
    return Fail(Error{.code = ErrorCode::kConflict,
                      .detail = "the idempotency key " + Quoted(record.idempotency_key) +
                                " was used for another batch; take a new key for a new request"}
                    .With("batch", earlier->id));
  }
  WEIR_ASSIGN(auto view, FindBatch(earlier->id));
  return view;
}

Result<BatchView> JobService::Impl::FindBatch(const std::string& id) {
  WEIR_ASSIGN(auto record, parts_.store.FindBatch(id));
  if (!record) {
    return Fail(ErrorCode::kNotFound, "there is no batch " + Quoted(id) + "; it goes with the last of its jobs");
  }
  BatchView view;
  WEIR_ASSIGN(view.by_state, parts_.store.CountOfBatch(id));
  view.record = *std::move(record);
  std::int64_t going = 0;
  for (std::size_t i = 0; i < view.by_state.size(); ++i) {
    going += IsFinal(static_cast<JobState>(i)) ? 0 : view.by_state[i];
  }
  view.ended = going == 0;
  double done = static_cast<double>(view.record.jobs - going);
  for (const auto& [job_id, job] : book_.awake()) {
    if (job.record.batch != id) {
      continue;
    }
    if (!job.ending) {
      done += PartDone(job);
    } else if (const auto stored = parts_.store.Find(job_id); stored && *stored && !IsFinal((*stored)->state)) {
      done += 1;  // not counted as ended yet
    }
  }
  view.ratio = view.ended ? 1 : std::min(done / static_cast<double>(view.record.jobs), 1.0);
  return view;
}

struct JobService::Impl::Cancellation {
  std::string id;
  std::int64_t before = 0;
  std::size_t asked = 0;  // of the slice, not answered yet
  std::optional<Error> failure;
  BatchAnswer answer;
};

void JobService::Impl::CancelBatch(const std::string& id, BatchAnswer answer) {
  if (auto batch = FindBatch(id); !batch) {
    return Answers(std::move(answer), std::move(batch));
  }
  auto work = std::make_shared<Cancellation>();
  work->id = id;
  work->answer = std::move(answer);
  boost::asio::post(parts_.loop, alive_.Guard([this, work] { CancelSlice(work); }));
}

// The next slice when all of this one have answered: what waits for the disk stays bounded.
void JobService::Impl::CancelSlice(const std::shared_ptr<Cancellation>& work) {
  store::JobFilter filter;
  filter.batch = work->id;
  auto page = parts_.store.List(filter, work->before, kSlice);
  if (!page) {
    return work->answer(Fail(std::move(page).error()));
  }
  work->before = page->next;
  const auto go_on = [this, work] {
    if (work->asked == 0) {
      if (work->before != 0) {
        return CancelSlice(work);
      }
      work->answer(work->failure ? Fail(*work->failure) : FindBatch(work->id));
    }
  };
  // One more than there are, so that none of them is the last while others are still told.
  work->asked = 1;
  for (const auto& record : page->jobs) {
    if (!IsFinal(record.state)) {
      ++work->asked;
      Cancel(record.id, [work, go_on](const Result<JobView>& job) {
        // One that has ended or gone meanwhile is no failure.
        if (!job && job.error().code != ErrorCode::kConflict && job.error().code != ErrorCode::kNotFound) {
          work->failure = job.error();
        }
        --work->asked;
        go_on();
      });
    }
  }
  boost::asio::post(parts_.loop, alive_.Guard([work, go_on] {
    --work->asked;
    go_on();
  }));
}

}  // namespace weir::jobs
