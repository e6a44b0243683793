#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "base/result.h"

namespace weir {
namespace {

TEST(ErrorTableTest, RowsAreInTheOrderOfTheEnumAndComplete) {
  const auto& table = ErrorTable();
  ASSERT_EQ(table.size(), static_cast<std::size_t>(ErrorCode::kTerminated) + 1);
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(table[i].code), i) << table[i].name;
    EXPECT_EQ(&InfoOf(table[i].code), &table[i]);
  }
}

TEST(ErrorTableTest, NamesAndExitCodesAreUniqueAndExitCodesPossible) {
  std::set<std::string_view> names;
  std::set<int> codes;
  for (const ErrorInfo& row : ErrorTable()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(codes.insert(row.exit_code).second) << row.name;
    EXPECT_GT(row.exit_code, 0) << row.name;
    EXPECT_LE(row.exit_code, 255) << row.name;
    EXPECT_GE(row.http_status, 400) << row.name;
    EXPECT_LE(row.http_status, 599) << row.name;
    EXPECT_FALSE(row.title.empty()) << row.name;
    EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos) << row.name;
  }
}

// Scripts depend on these numbers.
TEST(ErrorTableTest, ExitCodesAreStable) {
  const auto code = [](std::string_view name) {
    const auto row = std::ranges::find(ErrorTable(), name, &ErrorInfo::name);
    return row == ErrorTable().end() ? -1 : row->exit_code;
  };
  int expected = 0;
  for (const std::string_view name :
       {"internal",      "bad-parameters",  "input-missing", "input-not-a-file",  "input-unreadable",
        "input-empty",   "input-not-media", "input-damaged", "input-no-video",    "input-too-large",
        "disk-full",     "over-budget",     "out-of-memory", "timed-out",         "stalled",
        "output-exists", "output-is-input", "output-folder", "output-unwritable", "output-format",
        "tool-missing",  "tool-unusable",   "child-failed",  "crashed",           "runaway",
        "verification",  "sandbox",         "system"}) {
    EXPECT_EQ(code(name), ++expected) << name;
  }
  EXPECT_EQ(code("interrupted"), 130);
  EXPECT_EQ(code("terminated"), 143);
}

TEST(DescribeTest, ChainsCausesNewestFirst) {
  const Error error = Error{.code = ErrorCode::kSystem, .detail = "cannot publish"}.From(
      Error{.code = ErrorCode::kDiskFull, .detail = "cannot flush"}.From(
          SystemError("fsync", ENOSPC, ErrorCode::kDiskFull)));
  EXPECT_EQ(Describe(error), "cannot publish: cannot flush: fsync: No space left on device (ENOSPC)");
}

TEST(DescribeTest, IsOneSafeLineWhateverTheDetailHolds) {
  const Error error = Error{.code = ErrorCode::kChildFailed, .detail = "it said \x1b[31mred\nand more"}.From(
      Error{.code = ErrorCode::kInternal, .detail = ""});
  EXPECT_EQ(Describe(error), "it said \\x1b[31mred\\nand more: Internal error");
}

TEST(DescribeTest, StopsAtAnEndlessChain) {
  Error error{.code = ErrorCode::kInternal, .detail = "x"};
  for (int i = 0; i < 1000; ++i) {
    error = Error{.code = ErrorCode::kInternal, .detail = "x"}.From(std::move(error));
  }
  EXPECT_LT(Describe(error).size(), 200U);
  EXPECT_THAT(Describe(error), ::testing::EndsWith("..."));
}

TEST(SystemErrorTest, KeepsTheGivenCodeAndSurvivesUnknownNumbers) {
  EXPECT_EQ(SystemError("open", EACCES).code, ErrorCode::kSystem);
  EXPECT_EQ(SystemError("open", EACCES, ErrorCode::kInputUnreadable).code, ErrorCode::kInputUnreadable);
  EXPECT_EQ(SystemError("open", 99999).detail, "open: unknown error (errno 99999)");
}

Status Refuse(bool refuse) { return refuse ? Fail(ErrorCode::kStalled, "refused") : Status(); }
Result<int> Twice(const Result<int>& input) {
  WEIR_ASSIGN(const int value, input);
  WEIR_TRY(Refuse(value > 100));
  return value * 2;
}

TEST(ResultTest, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(Twice(21).value_or(0), 42);
  EXPECT_EQ(Twice(Fail(ErrorCode::kCrashed, "dead")).error().code, ErrorCode::kCrashed);
  EXPECT_EQ(Twice(101).error().code, ErrorCode::kStalled);
}

// The README promises these numbers to scripts.
TEST(ErrorTable, IsTheTableOfExitCodesInTheReadme) {
  const char* top = std::getenv("WEIR_SOURCE_DIR");
  ASSERT_NE(top, nullptr);
  std::ifstream file(std::string(top) + "/README.md");
  const std::string readme{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<ErrorInfo> rows = ErrorTable();
  std::ranges::sort(rows, {}, &ErrorInfo::exit_code);
  std::string table = "<!-- exit-codes -->\n| Code | Name | Meaning |\n|---|---|---|\n| 0 | | Success |\n";
  for (const ErrorInfo& row : rows) {
    table += "| " + std::to_string(row.exit_code) + " | `" + std::string(row.name) + "` | " + std::string(row.title) +
             " |\n";
  }
  EXPECT_NE(readme.find(table + "<!-- /exit-codes -->"), std::string::npos) << "the README should say:\n" << table;
}

}  // namespace
}  // namespace weir
