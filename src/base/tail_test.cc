#include "base/tail.h"

#include <gtest/gtest.h>

#include <random>

namespace weir {
namespace {

TEST(TailTest, KeepsEverythingWhileItFits) {
  Tail tail(Bytes(10));
  tail.Append("abc");
  tail.Append("");
  tail.Append("defghij");
  EXPECT_EQ(tail.Text(), "abcdefghij");
  EXPECT_EQ(tail.total_bytes(), 10U);
  EXPECT_EQ(tail.dropped_bytes(), 0U);
}

TEST(TailTest, StartsAtALineOnceSomethingIsDropped) {
  Tail tail(Bytes(12));
  tail.Append("first line\nsecond\nlast");
  EXPECT_EQ(tail.Text(), "second\nlast");
  EXPECT_EQ(tail.dropped_bytes(), 10U);
}

TEST(TailTest, AWholeLineAtTheFrontIsKept) {
  Tail tail(Bytes(6));
  tail.Append("12\n");
  tail.Append("ab\ncd\n");
  EXPECT_EQ(tail.Text(), "ab\ncd\n");
}

TEST(TailTest, HalfOfAnEndlessLineIsBetterThanNothing) {
  Tail tail(Bytes(4));
  tail.Append("abcdefgh");
  EXPECT_EQ(tail.Text(), "efgh");
  tail.Append("\n");
  EXPECT_EQ(tail.Text(), "fgh\n");
}

TEST(TailTest, CapacityZeroOnlyCounts) {
  Tail tail(Bytes{});
  tail.Append("abc");
  EXPECT_EQ(tail.Text(), "");
  EXPECT_EQ(tail.total_bytes(), 3U);
  EXPECT_EQ(tail.dropped_bytes(), 3U);
}

// Without newlines the text must be exactly the last bytes of all that was written.
TEST(TailTest, RandomWritesAgainstAString) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const std::size_t capacity = 1 + random() % 40;
    Tail tail{Bytes(capacity)};
    std::string all;
    for (int step = 0; step < 40; ++step) {
      std::string piece(random() % 60, ' ');
      for (char& c : piece) {
        c = static_cast<char>('a' + random() % 26);
      }
      tail.Append(piece);
      all += piece;
      const std::size_t kept = std::min(capacity, all.size());
      ASSERT_EQ(tail.Text(), all.substr(all.size() - kept));
      ASSERT_EQ(tail.dropped_bytes(), all.size() - kept);
    }
  }
}

}  // namespace
}  // namespace weir
