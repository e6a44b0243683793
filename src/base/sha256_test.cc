#include "base/sha256.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

std::string Hash(std::string_view data) { return ToHex(Sha256(data)); }

TEST(Sha256, GivesTheValuesOfTheStandard) {
  EXPECT_EQ(Hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Hash(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, EveryLengthAroundABlockIsPaddedApart) {
  std::string before;
  for (std::size_t size = 50; size < 140; ++size) {
    const std::string now = Hash(std::string(size, '\0'));
    EXPECT_NE(now, before);
    before = now;
  }
  EXPECT_EQ(Hash(std::string(64, '\0')), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
}

TEST(Sha256, OfPartsIsThatOfTheWhole) {
  Sha256Hasher hasher;
  for (const char* part : {"abcdbcde", "", "cdefdefgefghfghighijhijkijkljklmklmnlmnomnopnop", "q"}) hasher.Add(part);
  EXPECT_EQ(ToHex(hasher.Digest()), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, ComparesWholeStrings) {
  EXPECT_TRUE(EqualInConstantTime("", ""));
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "xbc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "ab"));
}

}  // namespace
}  // namespace weir
