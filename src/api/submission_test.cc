#include "api/submission.h"

#include <gtest/gtest.h>

#include <tuple>

namespace weir::api {
namespace {

http::Request Of(std::string body, const std::string& key = {}) {
  http::Request request;
  request.body = std::move(body);
  request.token_name = "caller";
  if (!key.empty()) {
    request.headers.emplace_back("idempotency-key", key);
  }
  return request;
}

std::uint64_t IndexOf(const Error& error) {
  for (const auto& member : error.members) {
    if (member.key == "job") {
      return member.number;
    }
  }
  return 999;
}

TEST(Submission, WhatIsNotSaidHasItsDefault) {
  const auto job = SubmissionOf(Of(R"({"recipe":"crop","inputs":["a.mp4"]})"));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->owner, "caller");
  EXPECT_EQ(job->priority, 50);
  EXPECT_EQ(job->output, "");
  EXPECT_FALSE(job->overwrite);
  EXPECT_FALSE(SubmissionOf(Of(R"({"inputs":["a.mp4"]})")));
  EXPECT_FALSE(SubmissionOf(Of(R"({"recipe":"crop","inputs":[]})")));
}

TEST(Batch, SaysForItsJobsWhatTheyDoNotSay) {
  const auto batch = BatchOf(Of(
      R"({"recipe":"crop","params":{"crf":40},"priority":7,"overwrite":true,"labels":{"a":"1","b":"1"},"owner":"ann",
          "jobs":[{"inputs":["a"]},
                  {"inputs":["b"],"recipe":"trim","params":{},"priority":9,"overwrite":false,"labels":{"b":"2"}}]})"));
  ASSERT_TRUE(batch) << Describe(batch.error());
  ASSERT_EQ(batch->jobs.size(), 2U);
  const auto& [first, second] = std::tie(batch->jobs[0], batch->jobs[1]);
  EXPECT_EQ(first.recipe, "crop");
  EXPECT_EQ(first.params, R"({"crf":40})");
  EXPECT_EQ(first.priority, 7);
  EXPECT_TRUE(first.overwrite);
  EXPECT_EQ(first.labels, batch->labels);
  EXPECT_EQ(second.recipe, "trim");
  EXPECT_EQ(second.params, "{}");
  EXPECT_EQ(second.priority, 9);
  EXPECT_FALSE(second.overwrite);
  EXPECT_EQ(second.labels, (std::map<std::string, std::string>{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(second.owner, "ann");
  EXPECT_EQ(batch->owner, "ann");
}

TEST(Batch, ErrorsNameTheJob) {
  for (const char* wrong : {R"({"inputs":[]})", R"({"inputs":["x"],"owner":"me"})",
                            R"({"inputs":["x"],"priority":101})", R"({"inputs":["x"],"params":7})"}) {
    const auto batch =
        BatchOf(Of(R"({"recipe":"crop","jobs":[{"inputs":["x"]},{"inputs":["x"]},)" + std::string(wrong) + "]}"));
    ASSERT_FALSE(batch) << wrong;
    EXPECT_EQ(batch.error().code, ErrorCode::kBadParameters);
    EXPECT_EQ(IndexOf(batch.error()), 2U) << wrong;
  }
}

TEST(Batch, HasOneJobAtLeastAndKeepsToItsBound) {
  EXPECT_FALSE(BatchOf(Of(R"({"jobs":[]})")));
  EXPECT_FALSE(BatchOf(Of("{}")));
  std::string many = R"({"recipe":"crop","jobs":[{"inputs":["x"]})";
  for (std::size_t i = 1; i < jobs::kMostInBatch; ++i) {
    many += R"(,{"inputs":["x"]})";
  }
  const auto most = BatchOf(Of(many + "]}"));
  ASSERT_TRUE(most);
  EXPECT_EQ(most->jobs.size(), jobs::kMostInBatch);
  EXPECT_FALSE(BatchOf(Of(many + R"(,{"inputs":["x"]}]})")));
}

TEST(Batch, DigestsAreEqualForTheSameInOtherWords) {
  const auto digest = [](const std::string& body) { return BatchOf(Of(body, "key")).value().digest; };
  const std::string one = digest(R"({"recipe":"crop","jobs":[{"inputs":["a"]},{"inputs":["b"]}]})");
  EXPECT_EQ(one.size(), 64U);
  EXPECT_EQ(one, digest(R"({"jobs":[{"recipe":"crop","inputs":["a"],"params":{"crf":23}},
                                    {"priority":50,"recipe":"crop","inputs":["b"]}]})"));
  for (const char* other : {R"({"recipe":"crop","jobs":[{"inputs":["b"]},{"inputs":["a"]}]})",
                            R"({"recipe":"crop","jobs":[{"inputs":["a"]}]})",
                            R"({"recipe":"crop","jobs":[{"inputs":["a"]},{"inputs":["b"],"params":{"crf":24}}]})",
                            R"({"recipe":"crop","labels":{"a":"b"},"jobs":[{"inputs":["a"]},{"inputs":["b"]}]})",
                            R"({"recipe":"crop","jobs":[{"inputs":["a"]},{"inputs":["b"],"outputs":["c.mp4"]}]})"}) {
    EXPECT_NE(one, digest(other)) << other;
  }
}

}  // namespace
}  // namespace weir::api
