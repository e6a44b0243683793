#include "api/rendered.h"

#include <gtest/gtest.h>

namespace weir::api {
namespace {

using namespace std::chrono_literals;

jobs::JobView Ended(const std::string& id) {
  jobs::JobView view;
  view.record.id = id;
  view.record.recipe = "crop";
  view.record.labels = "{}";
  view.record.state = store::JobState::kSucceeded;
  return view;
}

TEST(Rendered, ATextIsMadeOnceAndAgainAfterAChange) {
  Rendered rendered(Bytes::Mib(1));
  auto view = Ended("aaaaaaaaaaaaaaaa");
  const auto text = rendered.Of(view);
  EXPECT_EQ(rendered.Of(view), text);
  view.record.labels = R"({"a":"b"})";
  view.record.updated += 1ms;
  const auto changed = rendered.Of(view);
  EXPECT_NE(changed->find(R"("a":"b")"), std::string::npos);
  EXPECT_EQ(rendered.size(), 1U);
}

TEST(Rendered, JobsThatGoOnAreNotKept) {
  Rendered rendered(Bytes::Mib(1));
  auto view = Ended("aaaaaaaaaaaaaaaa");
  view.record.state = store::JobState::kQueued;
  view.live.emplace();
  EXPECT_NE(rendered.Of(view), rendered.Of(view));
  EXPECT_EQ(rendered.size(), 0U);
}

TEST(Rendered, KeepsToItsBoundAndLetsTheOldestGo) {
  Rendered rendered(Bytes::Kib(8));
  const auto first = rendered.Of(Ended("first"));
  for (int i = 0; i < 1000; ++i) {
    rendered.Of(Ended("job" + std::to_string(i)));
  }
  EXPECT_LT(rendered.size() * first->size(), 8192U + first->size());
  EXPECT_NE(rendered.Of(Ended("first")), first);
}

}  // namespace
}  // namespace weir::api
