#include "app/tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::app {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrackerReading Healthy() {
  return {.handles = 40,
          .children = 2,
          .running = {{.job = "a", .recipe = "crop", .age = minutes(5), .quiet = minutes(0)}},
          .own_memory = Bytes::Mib(8),
          .own_use = Bytes::Mib(37),
          .waiting = 10,
          .most_queued = 10'000,
          .slots = 4,
          .slots_taken = 2,
          .available = Bytes::Mib(100),
          .budget = Bytes::Mib(500)};
}

std::vector<std::string> Keys(const TrackerReading& reading, const TrackerSettings& settings = {}) {
  std::vector<std::string> keys;
  for (const auto& warning : WarningsOf(settings, reading)) {
    keys.push_back(warning.key);
  }
  return keys;
}

std::vector<std::string> Settings(const TrackerReading& reading) {
  std::vector<std::string> settings;
  for (const auto& recommendation : RecommendationsOf({}, reading)) {
    EXPECT_THAT(recommendation.action, HasSubstr(recommendation.setting)) << "the sentence names what to change";
    settings.push_back(recommendation.setting);
  }
  return settings;
}

TEST(Tracker, SaysNothingOnAHealthyDay) {
  EXPECT_THAT(Keys(Healthy()), IsEmpty());
  EXPECT_THAT(Settings(Healthy()), IsEmpty());
}

TEST(Tracker, ThresholdsAreWhereTheySay) {
  auto reading = Healthy();
  reading.handles = 1000;
  reading.children = 10;
  reading.running[0].quiet = minutes(10) - Duration(1);
  reading.running[0].age = minutes(60) - Duration(1);
  EXPECT_THAT(Keys(reading), IsEmpty());
  ++reading.handles;
  ++reading.children;
  reading.running[0].quiet += Duration(1);
  reading.running[0].age += Duration(1);
  reading.level = memory::Level::kHigh;
  EXPECT_THAT(Keys(reading), ElementsAre("handles", "children", "memory", "stuck a", "age a"));
}

TEST(Tracker, NobodyIsSaidToWorkWhoWaitedForMostOfIt) {
  auto reading = Healthy();
  reading.running[0].age = minutes(61);
  reading.running[0].quiet = minutes(11);
  auto warnings = WarningsOf({}, reading);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_THAT(warnings[0].text, HasSubstr("no progress for 11 min; jobs.stall_seconds sets when an encoder"));
  EXPECT_EQ(warnings[1].text,
            "job a (crop) has had its slot for 61 min, waiting included; jobs.timeout_seconds limits its work");
  reading.running[0].quiet = {};
  reading.running[0].waiting = "memory";
  warnings = WarningsOf({}, reading);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].text, "job a (crop) has had its slot for 61 min, and waits for memory");
}

TEST(Tracker, ARecipeMayHaveAnAgeOfItsOwn) {
  auto reading = Healthy();
  reading.running[0].age = minutes(90);
  EXPECT_THAT(Keys(reading, {.over_age_of = {{"crop", hours(2)}}}), IsEmpty());
  EXPECT_THAT(Keys(reading, {.over_age_of = {{"trim", hours(2)}}}), ElementsAre("age a"));
}

TEST(Tracker, ARecipeMayBeQuietForATimeOfItsOwn) {
  auto reading = Healthy();
  reading.running[0].quiet = minutes(15);
  EXPECT_THAT(Keys(reading), ElementsAre("stuck a"));
  EXPECT_THAT(Keys(reading, {.stuck_of = {{"crop", minutes(20)}}}), IsEmpty());
  EXPECT_THAT(Keys(reading, {.stuck_of = {{"trim", minutes(20)}}}), ElementsAre("stuck a"));
}

TEST(Tracker, ThereAreNeverTooManyAndTheOldestComeFirst) {
  auto reading = Healthy();
  reading.running.clear();
  for (int i = 0; i < 500; ++i) {
    reading.running.push_back({.job = std::to_string(i), .recipe = "crop", .age = hours(2) + minutes(i)});
  }
  const auto keys = Keys(reading);
  EXPECT_EQ(keys.size(), kMostWarnings);
  EXPECT_EQ(keys.front(), "age 499");
}

TEST(Tracker, BeginningsAndEndsAreToldOnce) {
  Tracker tracker;
  const auto told = [&](std::vector<Warning> now) {
    std::vector<std::string> words;
    for (const auto& change : tracker.Update(std::move(now))) {
      words.push_back((change.began ? "+" : "-") + change.warning.key);
    }
    return words;
  };
  EXPECT_THAT(told({{.key = "a", .text = "1"}}), ElementsAre("+a"));
  EXPECT_THAT(told({{.key = "a", .text = "2"}, {.key = "b", .text = "1"}}), ElementsAre("+b"));
  EXPECT_EQ(tracker.warnings()[0].text, "2") << "the newest numbers";
  EXPECT_THAT(told({{.key = "b", .text = "1"}}), ElementsAre("-a"));
  EXPECT_THAT(told({}), ElementsAre("-b"));
}

TEST(Recommendations, NameWhatIsInTheWay) {
  auto reading = Healthy();
  reading.idle_processors = 1;
  reading.steps_waiting_for_memory = 1;
  EXPECT_THAT(Settings(reading), ElementsAre("memory.budget"));
  reading.steps_waiting_for_memory = 0;
  EXPECT_THAT(Settings(reading), IsEmpty()) << "there are slots";
  reading.slots_taken = 4;
  EXPECT_THAT(Settings(reading), ElementsAre("queue.slots"));
  reading.idle_processors = 0.5;
  EXPECT_THAT(Settings(reading), IsEmpty()) << "more at once would end no sooner";
  reading.waiting = 8000;
  EXPECT_THAT(Settings(reading), ElementsAre("queue.most_queued"));
}

TEST(Recommendations, PressureComesFirstAndSaysWhose) {
  auto reading = Healthy();
  reading.level = memory::Level::kCritical;
  reading.waiting = 9000;
  auto all = RecommendationsOf({}, reading);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].urgency, Urgency::kHigh);
  EXPECT_THAT(all[0].action, HasSubstr("raise memory.budget"));
  reading.machine_is_short = true;
  all = RecommendationsOf({}, reading);
  EXPECT_THAT(all[0].action, HasSubstr("lower memory.budget"));
  EXPECT_STREQ(NameOf(all[0].urgency), "high");
  EXPECT_STREQ(NameOf(all[1].urgency), "medium");
}

TEST(Recommendations, ManyProcessesMayBeMeant) {
  auto reading = Healthy();
  reading.children = 11;
  EXPECT_THAT(Settings(reading), ElementsAre("queue.slots"));
}

TEST(Recommendations, OurOwnSizeIsOurBusiness) {
  auto reading = Healthy();
  reading.own_memory = Bytes::Mib(38);
  EXPECT_THAT(Settings(reading), Contains("server.connections"));
}

}  // namespace
}  // namespace weir::app
