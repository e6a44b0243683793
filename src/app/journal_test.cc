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

}  // namespace
}  // namespace weir::app
