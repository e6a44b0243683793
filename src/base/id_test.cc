#include "base/id.h"

#include <gtest/gtest.h>

#include <set>

namespace weir {
namespace {

TEST(IdTest, AreDifferentAndRecognised) {
  std::set<std::string> seen;
  std::set<char> characters;
  for (int i = 0; i < 5000; ++i) {
    const std::string id = NewId();
    EXPECT_TRUE(IsId(id)) << id;
    EXPECT_TRUE(seen.insert(id).second) << id;
    characters.insert(id.begin(), id.end());
  }
  EXPECT_EQ(characters.size(), 32U);
}

TEST(IdTest, NothingElseIsAnId) {
  for (const char* text : {"", "aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaA", "aaaaaaaaaaaaaaa1",
                           "../../../../../a", "aaaaaaaaaaaaaaa\n", "aaaaaaaa/aaaaaaa", "aaaaaaaaaaaaaaa."}) {
    EXPECT_FALSE(IsId(text)) << text;
  }
  EXPECT_FALSE(IsId(std::string_view("aaaaaaaaaaaaaaa\0", 16)));
}

}  // namespace
}  // namespace weir
