#include <algorithm>
#include <utility>

#include "jobs/service_impl.h"

namespace weir::jobs {

void JobService::Impl::SetHeld(bool held) {
  scheduler_.SetHeld(held);
  TakeTurn();
}

// What working children hold and do not need.
Bytes JobService::Impl::TakeBack(const std::string& why) {
  Bytes all;
  for (auto& [id, job] : book_.awake()) {
    const Bytes back = job.run ? job.run->GiveBack(why) : Bytes();
    if (back.count() > 0) {
      scheduler_.Shrunk(id, back);
      job.lease -= back;
      all += back;
    }
  }
  given_back_ += all;
  return all;
}

bool JobService::Impl::MayTakeBack() const {
  return std::ranges::any_of(book_.awake(),
                             [](const auto& entry) { return entry.second.run && entry.second.run->MayGiveBack(); });
}

Bytes JobService::Impl::GiveBack() {
  const Bytes back = TakeBack("memory is short");
  if (back.count() > 0) {
    TakeTurn();
  }
  return back;
}

ActiveJob* JobService::Impl::Youngest(bool standing_too) {
  std::size_t working = 0;
  ActiveJob* youngest = nullptr;
  for (auto& [id, job] : book_.awake()) {
    const bool stands = job.suspended || job.record.paused;
    if (!job.run || !job.run->working() || !job.yields.empty()) {
      continue;
    }
    working += stands ? 0U : 1U;
    if ((!stands || standing_too) && (youngest == nullptr || job.began > youngest->began)) {
      youngest = &job;
    }
  }
  if (youngest == nullptr) {
    return nullptr;
  }
  const bool stands = youngest->suspended || youngest->record.paused;
  return working > (stands ? 0U : 1U) ? youngest : nullptr;
}

// Stands still or works, as everybody who has a say in it wants.
void JobService::Impl::Rule(ActiveJob& job) {
  const bool stands = job.record.paused || job.suspended;
  job.advanced = parts_.clock.Now();
  scheduler_.SetPaused(job.record.id, stands);
  if (job.run) {
    stands ? job.run->Pause() : job.run->Resume();
  }
}

void JobService::Impl::GoOn(ActiveJob& job, const std::string& note) {
  job.suspended = false;
  Rule(job);
  book_.Save(job, "note", note);
}

// Of what works, one always keeps going: it may have ended, or been paused, since the others were suspended.
void JobService::Impl::KeepOneGoing() {
  ActiveJob* oldest = nullptr;
  for (auto& [id, job] : book_.awake()) {
    if (!job.run || job.record.paused || !job.yields.empty() || job.cancelled || job.leaving) {
      continue;
    }
    if (!job.suspended && job.run->working()) {
      return;
    }
    if (job.suspended && (oldest == nullptr || job.began < oldest->began)) {
      oldest = &job;
    }
  }
  if (oldest != nullptr) {
    GoOn(*oldest, "goes on: nothing else works any more");
  }
}

std::string JobService::Impl::SuspendYoungest(const std::string& why) {
  ActiveJob* const job = Youngest(false);
  if (job == nullptr) {
    return {};
  }
  job->suspended = true;
  Rule(*job);
  book_.Save(*job, "note", "stands still: " + why);
  return job->record.id;
}

void JobService::Impl::ResumeSuspended() {
  for (auto& [id, job] : book_.awake()) {
    if (job.suspended) {
      GoOn(job, "goes on");
    }
  }
  TakeTurn();
}

Bytes JobService::Impl::EndYoungest(const std::string& why) {
  ActiveJob* const job = Youngest(true);
  if (job == nullptr) {
    return {};
  }
  job->yields = "ended to make room, and goes back to the queue: " + why;
  ++yielded_;
  const Bytes lease = job->lease;
  job->run->Cancel({.code = ErrorCode::kOutOfMemory, .detail = job->yields});
  return lease;
}

double JobService::IdleProcessors() const { return impl_->IdleProcessors(); }
void JobService::OnWork(std::function<void()> on_work) { impl_->OnWork(std::move(on_work)); }
void JobService::SetHeld(bool held) { impl_->SetHeld(held); }
Bytes JobService::GiveBack() { return impl_->GiveBack(); }
std::string JobService::SuspendYoungest(const std::string& why) { return impl_->SuspendYoungest(why); }
void JobService::ResumeSuspended() { impl_->ResumeSuspended(); }
Bytes JobService::EndYoungest(const std::string& why) { return impl_->EndYoungest(why); }

}  // namespace weir::jobs
