#include "api/unchanged.h"

#include <gtest/gtest.h>

namespace weir::api {
namespace {

std::shared_ptr<const std::string> Text(std::size_t size) { return std::make_shared<const std::string>(size, 'x'); }

TEST(Unchanged, HoldsUntilTheVersionChanges) {
  Unchanged answers(Bytes::Kib(64));
  EXPECT_EQ(answers.Find("/a", 1), nullptr);
  const auto text = Text(100);
  answers.Keep("/a", 1, text);
  EXPECT_EQ(answers.Find("/a", 1), text);
  EXPECT_EQ(answers.Find("/b", 1), nullptr);
  EXPECT_EQ(answers.Find("/a", 2), nullptr);
  EXPECT_EQ(answers.Find("/a", 1), nullptr) << "an older version does not come back";
}

TEST(Unchanged, KeepsNoMoreThanItMay) {
  Unchanged answers(Bytes(1000));
  for (int i = 0; i < 100; ++i) answers.Keep("/" + std::to_string(i), 1, Text(90));
  int kept = 0;
  for (int i = 0; i < 100; ++i) kept += answers.Find("/" + std::to_string(i), 1) != nullptr ? 1 : 0;
  EXPECT_EQ(kept, 10);
  answers.Keep("/large", 2, Text(2000));
  EXPECT_EQ(answers.Find("/large", 2), nullptr);
  answers.Keep("/small", 2, Text(10));
  EXPECT_NE(answers.Find("/small", 2), nullptr) << "room again with the next version";
}

}  // namespace
}  // namespace weir::api
