#include "jobs/known_facts.h"

#include <gtest/gtest.h>

namespace weir::jobs {
namespace {

media::MediaFacts Facts(const std::string& container) {
  media::MediaFacts facts;
  facts.container = container;
  return facts;
}

TEST(KnownFacts, KnowsAContentAndNoOther) {
  KnownFacts known;
  known.Keep("a 1", Facts("mp4"));
  ASSERT_TRUE(known.Find("a 1"));
  EXPECT_EQ(known.Find("a 1")->container, "mp4");
  EXPECT_FALSE(known.Find("a 2"));
  known.Keep("a 1", Facts("webm"));
  EXPECT_EQ(known.Find("a 1")->container, "webm");
}

TEST(KnownFacts, ForgetsWhatWasUsedLongestAgo) {
  KnownFacts known;
  for (std::size_t i = 0; i < KnownFacts::kMost; ++i) {
    known.Keep(std::to_string(i), Facts("mp4"));
  }
  ASSERT_TRUE(known.Find("0"));
  known.Keep("another", Facts("mp4"));
  EXPECT_TRUE(known.Find("0"));
  EXPECT_FALSE(known.Find("1"));
  EXPECT_TRUE(known.Find("another"));
}

}  // namespace
}  // namespace weir::jobs
