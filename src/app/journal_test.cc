#include "app/journal.h"

#include <gtest/gtest.h>

namespace weir::app {
namespace {

TEST(Journal, TellsTheWorkInAFewWords) {
  jobs::ServiceFigures figures;
  EXPECT_EQ(WorkText(figures), "idle");
  figures.draining = true;
  EXPECT_EQ(WorkText(figures), "idle, draining");
  figures.scheduler.running = 2;
  figures.scheduler.queued = 15;
  figures.draining = false;
  EXPECT_EQ(WorkText(figures), "2 running, 15 waiting");
  figures.scheduler.running = 0;
  figures.unsaved = 1;
  EXPECT_EQ(WorkText(figures), "15 waiting, 1 not written yet");
}

TEST(Journal, TellsAnEventInALine) {
  const auto text = [](const std::string& type, const std::string& data) {
    return EventText({.id = 1, .job = "x", .time = {}, .type = type, .data = data});
  };
  EXPECT_EQ(text("state", R"({"state":"queued","attempt":0,"paused":false})"), "queued");
  EXPECT_EQ(text("state", R"({"state":"queued","attempt":1,"note":"weir died while it ran"})"),
            "queued, attempt 1: weir died while it ran");
  EXPECT_EQ(text("note", R"({"state":"running","attempt":1,"note":"again, with a leaner plan"})"),
            "note: again, with a leaner plan");
  EXPECT_EQ(text("note", "no JSON at all"), "note");
  EXPECT_EQ(text("state", "[1]"), "");
}

TEST(Journal, TellsWhyAJobFailed) {
  const auto event = [](const std::string& type, const std::string& data) {
    return store::EventRecord{.id = 1, .job = "x", .time = {}, .type = type, .data = data};
  };
  store::JobRecord job;
  job.attempt = 1;
  job.state = store::JobState::kFailed;
  job.outcome =
      R"({"failure":{"type":"input-damaged","title":"Input is damaged","detail":"'a.mp4' ends\ntoo soon"}})";
  const auto failed = event("state", R"({"state":"failed","attempt":1,"paused":false})");
  EXPECT_TRUE(LacksReason(failed));
  EXPECT_EQ(EventText(failed, &job), "failed, attempt 1: 'a.mp4' ends\\ntoo soon") << "one line";
  EXPECT_EQ(EventText(failed), "failed, attempt 1");
  // The event's own word counts, and an attempt that is not the job's any more has no reason in it.
  const auto told = event("state", R"({"state":"failed","attempt":1,"note":"parked"})");
  EXPECT_FALSE(LacksReason(told));
  EXPECT_EQ(EventText(told, &job), "failed, attempt 1: parked");
  job.attempt = 2;
  EXPECT_EQ(EventText(failed, &job), "failed, attempt 1");
  job.attempt = 1;
  job.outcome = R"({"failure":{"title":"Input is damaged"}})";
  EXPECT_EQ(EventText(failed, &job), "failed, attempt 1: Input is damaged");
  for (const char* outcome : {"", "no JSON", "[]", R"({"failure":7})"}) {
    job.outcome = outcome;
    EXPECT_EQ(EventText(failed, &job), "failed, attempt 1") << outcome;
  }
  for (const auto& other : {event("state", R"({"state":"succeeded","attempt":1})"),
                            event("note", R"({"state":"failed"})"), event("state", "no JSON at all")}) {
    EXPECT_FALSE(LacksReason(other));
  }
}

}  // namespace
}  // namespace weir::app
