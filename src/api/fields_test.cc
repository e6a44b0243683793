#include "api/fields.h"

#include <gtest/gtest.h>

namespace weir::api {
namespace {

Result<Fields> Of(std::string_view body) { return Fields::Parse(body, {"recipe", "priority", "labels", "inputs"}); }

TEST(Fields, RefusesWhatIsNotAnObject) {
  for (const char* body : {"", "[]", "1", "\"x\"", "{", "{\"recipe\":}", "{\"recipe\":\"\xff\"}", "nul"}) {
    const auto fields = Of(body);
    ASSERT_FALSE(fields) << body;
    EXPECT_EQ(fields.error().code, ErrorCode::kMalformed) << body;
  }
  std::string deep;
  for (int i = 0; i < 40; ++i) {
    deep += "{\"labels\":";
  }
  EXPECT_EQ(Of(deep + "1" + std::string(40, '}')).error().code, ErrorCode::kMalformed);
}

TEST(Fields, NamesTheNearestKnownField) {
  const auto fields = Of(R"({"recipee":"crop"})");
  ASSERT_FALSE(fields);
  EXPECT_EQ(fields.error().code, ErrorCode::kBadParameters);
  EXPECT_NE(fields.error().detail.find("did you mean \"recipe\""), std::string::npos) << fields.error().detail;
}

TEST(Fields, RefusesANameGivenTwice) {
  EXPECT_FALSE(Of(R"({"recipe":"crop","recipe":"trim"})"));
  EXPECT_FALSE(Of(R"({"recipe":"crop","labels":{"a":"b"},"re\u0063ipe":"trim"})"));
  EXPECT_TRUE(Of(R"({"recipe":"crop, \"recipe\": x","labels":{"recipe":"b"}})"));
  EXPECT_FALSE(Of(R"({"recipe":"crop","labels":{"a":"b","a":"c"}})"));
  EXPECT_FALSE(Of(R"({"inputs":[{"a":1},{"a":1,"b":{},"a":2}]})"));
  EXPECT_TRUE(Of(R"({"inputs":["a","a",{"a":1},{"a":1}],"labels":{"a":"a"}})"));
}

TEST(Fields, KeepsToTypesAndRanges) {
  const auto fields = Of(R"({"recipe":7,"priority":101,"labels":{"a":1},"inputs":["a","b"]})");
  ASSERT_TRUE(fields);
  EXPECT_FALSE(fields->Text("recipe"));
  EXPECT_FALSE(fields->Integer("priority", 0, 100));
  EXPECT_FALSE(fields->Labels("labels"));
  EXPECT_FALSE(fields->Texts("inputs", 1));
  EXPECT_EQ(fields->Texts("inputs", 2)->value().size(), 2U);
}

TEST(Fields, ListsOfObjectsAreReadAsStrictly) {
  const auto fields = Of(R"({"inputs":[{"a":1},{"b":2}],"labels":[1]})");
  ASSERT_TRUE(fields);
  const auto objects = fields->Objects("inputs", 2);
  ASSERT_TRUE(objects);
  ASSERT_TRUE(*objects);
  EXPECT_EQ((**objects)[0].Integer("a", 0, 5).value(), 1);
  EXPECT_TRUE((**objects)[0].OnlyHas({"a"}));
  EXPECT_FALSE((**objects)[1].OnlyHas({"a"}));
  EXPECT_FALSE(fields->Objects("inputs", 1));
  EXPECT_FALSE(fields->Objects("labels", 5));
  EXPECT_EQ(fields->Objects("recipe", 5).value(), std::nullopt);
}

TEST(Fields, NullIsAbsent) {
  const auto fields = Of(R"({"recipe":null})");
  ASSERT_TRUE(fields);
  EXPECT_FALSE(fields->Has("recipe"));
  EXPECT_EQ(fields->Text("recipe").value(), std::nullopt);
}

}  // namespace
}  // namespace weir::api
