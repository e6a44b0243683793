// Requests in, answers out, over a real service on a real database; nothing is listened on.
#include "api/api.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "api/job_json.h"
#include "api/lazy_text.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "http/target.h"
#include "os/cgroup.h"
#include "os/sandbox.h"

namespace weir::api {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using http::Method;
using http::Request;
using http::Response;
using namespace std::chrono_literals;
using Headers = std::vector<std::pair<std::string, std::string>>;

json::object Body(const Response& response) {
  return json::parse(response.shared_body ? *response.shared_body : response.body).as_object();
}
std::string Header(const Response& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) {
      return value;
    }
  }
  return {};
}

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    std::string pattern = (fs::temp_directory_path() / "weir-api-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const char* name : {"media", "data"}) {
      fs::create_directory(folder_ / name);
    }
    ::setenv("WEIR_STATE_DIR", (folder_ / "state").c_str(), 1);
    // No media: what is submitted waits for ever, because the service drains.
    std::ofstream(folder_ / "media" / "clip.mp4") << "not a clip";
    state_.emplace(*store::StateFolder::Open());
    process::Walls walls;
    walls.support = os::DetectSandbox();
    walls.cgroups = os::CgroupRoot::Detect();
    walls.seccomp = *os::BuildSeccomp();
    launcher_.emplace(loop_, std::move(walls), spawner_);
    roots_.emplace(*store::MediaRoots::Open({(folder_ / "media").string()}));
    artifacts_.emplace(*store::Artifacts::Open((folder_ / "data").string()));
    store_ = std::move(*store::JobStore::Open(
        (folder_ / "data").string(),
        [this](std::function<void()> call) { boost::asio::post(loop_, std::move(call)); }, {}));
    auto opened = jobs::JobService::Open({.loop = loop_,
                                          .clock = clock_,
                                          .ledger = ledger_,
                                          .launcher = *launcher_,
                                          .state = *state_,
                                          .aside = aside_,
                                          .store = *store_,
                                          .roots = *roots_,
                                          .artifacts = *artifacts_,
                                          .tools = {.ffmpeg = "/usr/bin/ffmpeg", .ffprobe = "/usr/bin/ffprobe"},
                                          .machine = {.cpus = 2},
                                          .limits = {}},
                                         {.most_queued = 20}, {});
    EXPECT_TRUE(opened) << Describe(opened.error());
    service_ = std::move(*opened);
    service_->SetDraining(true);
    api_ = std::make_unique<Api>(
        clock_, *service_, *artifacts_, Facts{.version = "1.2.3"},
        [] { return SystemReading{.budget = Bytes::Mib(500), .backend = "none", .not_ready = "a test"}; },
        [this] {
          api_->LetGo();
          return Bytes::Kib(3);
        });
  }
  ~ApiTest() override {
    api_.reset();
    service_.reset();
    store_.reset();
    ::unsetenv("WEIR_STATE_DIR");
    fs::remove_all(folder_);
  }

  Response Call(Method method, const std::string& target, std::string body = {}, Headers headers = {},
                std::uint8_t scopes = http::kAllScopes) {
    auto parsed = http::ParseTarget(target);
    EXPECT_TRUE(parsed) << target;
    Request request{.method = method, .target = target, .path = parsed->path, .query = parsed->query};
    request.headers = std::move(headers);
    request.body = std::move(body);
    request.scopes = scopes;
    std::optional<Response> response;
    auto answer = api_->Answer(std::move(request));
    boost::asio::co_spawn(loop_, std::move(answer), [&](const std::exception_ptr& failure, Response given) {
      EXPECT_FALSE(failure);
      response.emplace(std::move(given));
    });
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (!response && std::chrono::steady_clock::now() < until) {
      loop_.restart();
      loop_.run_one_for(100ms);
    }
    EXPECT_TRUE(response) << target;
    return response ? std::move(*response) : Response{};
  }
  Response Get(const std::string& target, Headers headers = {}) {
    return Call(Method::kGet, target, {}, std::move(headers));
  }
  Response Post(const std::string& target, const std::string& body = {}, Headers headers = {}) {
    return Call(Method::kPost, target, body, std::move(headers));
  }

  fs::path folder_;
  boost::asio::io_context loop_{1};
  boost::asio::thread_pool aside_{1};
  SystemClock clock_;
  process::RealSpawner spawner_;
  memory::Ledger ledger_{Bytes::Mib(500), Bytes::Mib(10)};
  std::optional<store::StateFolder> state_;
  std::optional<process::Launcher> launcher_;
  std::optional<store::MediaRoots> roots_;
  std::optional<store::Artifacts> artifacts_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<jobs::JobService> service_;
  std::unique_ptr<Api> api_;
};

// --- The table

TEST_F(ApiTest, WhatIsNotInTheTableIsNotThere) {
  for (const char* target : {"/", "/v1", "/v1/jobs/x/y", "/V1/jobs", "/openapi"}) {
    EXPECT_EQ(Get(target).status, 404) << target;
  }
  const auto wrong = Call(Method::kPut, "/v1/jobs/x");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(Header(wrong, "Allow"), "GET, HEAD, PATCH, DELETE");
  EXPECT_EQ(Call(Method::kHead, "/v1/system").status, 200);
}

TEST_F(ApiTest, ScopesAreThoseOfTheTable) {
  for (const auto& route : Routes()) {
    std::string target(route.path);
    for (auto open = target.find('{'); open != std::string::npos; open = target.find('{')) {
      target.replace(open, target.find('}') - open + 1, "x");
    }
    const auto others = static_cast<std::uint8_t>(http::kAllScopes & ~route.scope);
    EXPECT_EQ(Call(route.method, target, {}, {}, others).status, 403) << route.id;
    EXPECT_NE(Call(route.method, target, {}, {}, route.scope).status, 403) << route.id;
  }
}

TEST_F(ApiTest, WhoIsSentAwayIsToldWhenToComeAgain) {
  const auto health = Get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(Header(health, "Retry-After"), "10");
}

// --- The document

TEST_F(ApiTest, EveryRouteIsInTheDocument) {
  const auto document = Body(Get("/openapi.json"));
  std::set<std::string> ids;
  for (const auto& route : Routes()) {
    const auto& item = document.at("paths").at(route.path).as_object();
    const std::string method(NameOf(route.method));
    const auto operation = std::ranges::find_if(item, [&](const auto& entry) {
      return std::ranges::equal(entry.key(), method, [](char low, char high) { return low == high - 'A' + 'a'; });
    });
    ASSERT_NE(operation, item.end()) << method << " " << route.path;
    EXPECT_EQ(operation->value().at("operationId").as_string(), std::string(route.id));
    EXPECT_TRUE(ids.insert(std::string(route.id)).second) << route.id;
    const auto& answers = operation->value().at("responses").as_object();
    for (const auto& answer : route.answers) {
      EXPECT_TRUE(answers.contains(std::to_string(answer.status))) << route.id;
    }
    for (const auto code : route.errors) {
      EXPECT_TRUE(answers.contains(std::to_string(InfoOf(code).http_status))) << route.id;
    }
  }
}

// Whoever reads the document finds everything that it speaks of.
void CheckReferences(const json::value& part, const json::object& components) {
  if (part.is_array()) {
    for (const auto& item : part.as_array()) {
      CheckReferences(item, components);
    }
  } else if (part.is_object()) {
    for (const auto& member : part.as_object()) {
      if (member.key() == "$ref") {
        const std::string name(member.value().as_string());
        const auto kind_end = name.rfind('/');
        const auto kind = name.substr(13, kind_end - 13);
        EXPECT_TRUE(components.at(kind).as_object().contains(name.substr(kind_end + 1))) << name;
      }
      CheckReferences(member.value(), components);
    }
  }
}

TEST(Document, ReferencesLeadSomewhere) {
  const auto document = json::parse(DocumentOf("1.2.3")).as_object();
  EXPECT_EQ(document.at("info").at("version").as_string(), "1.2.3");
  CheckReferences(document, document.at("components").as_object());
}

TEST_F(ApiTest, TheDocumentIsMadeAtItsFirstUse) {
  EXPECT_FALSE(api_->document().loaded);
  EXPECT_EQ(api_->document().size, Bytes());
  const auto served = Get("/openapi.json");
  const auto state = api_->document();
  EXPECT_TRUE(state.loaded);
  EXPECT_EQ(state.size, Bytes(served.shared_body->size()));
  EXPECT_LE(state.since, clock_.WallNow());
  const std::string etag = Header(served, "ETag");
  const auto again = Get("/openapi.json", {{"if-none-match", "W/\"x\", " + etag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(Header(again, "ETag"), etag);
}

TEST(LazyText, IsLetGoWhenNobodyAsks) {
  boost::asio::io_context loop;
  const SystemClock clock;
  int made = 0;
  LazyText text(clock, 60ms, [&] { return "text " + std::to_string(++made); });
  EXPECT_FALSE(text.state().loaded);
  const auto held = text.Get(loop.get_executor());
  EXPECT_EQ(held->text, "text 1");
  // Used now and then it stays, longer than it would alone.
  for (int i = 0; i < 8; ++i) {
    loop.restart();
    loop.run_for(20ms);
    EXPECT_EQ(text.Get(loop.get_executor()), held);
  }
  EXPECT_TRUE(text.state().loaded);
  loop.restart();
  loop.run_for(300ms);
  EXPECT_FALSE(text.state().loaded);
  EXPECT_EQ(held->text, "text 1") << "whoever has it keeps it";
  EXPECT_EQ(text.Get(loop.get_executor())->text, "text 2");
}

TEST(LazyText, MayGoBeforeItsLoop) {
  boost::asio::io_context loop;
  const SystemClock clock;
  {
    LazyText text(clock, 1ms, [] { return std::string("x"); });
    text.Get(loop.get_executor());
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_NO_THROW(loop.run());
}

// --- Batches

constexpr const char* kThree =
    R"({"recipe":"crop","labels":{"a":"b"},"jobs":[{"inputs":["clip.mp4"]},{"inputs":["clip.mp4"]},{"inputs":["clip.mp4"]}]})";

TEST_F(ApiTest, ABatchIsAcceptedWholeAndFoundAgain) {
  const auto accepted = Post("/v1/batches", kThree);
  ASSERT_EQ(accepted.status, 202) << accepted.body;
  const auto batch = Body(accepted);
  const std::string id(batch.at("id").as_string());
  EXPECT_EQ(Header(accepted, "Location"), "/v1/batches/" + id);
  EXPECT_EQ(batch.at("jobs").as_int64(), 3);
  EXPECT_EQ(batch.at("removed").as_int64(), 0);
  EXPECT_EQ(batch.at("states").at("queued").as_int64(), 3);
  EXPECT_FALSE(batch.at("ended").as_bool());
  EXPECT_EQ(Body(Get("/v1/batches/" + id)), batch);
  const auto page = Body(Get("/v1/jobs?limit=2&batch=" + id));
  EXPECT_EQ(page.at("jobs").as_array().size(), 2U);
  EXPECT_EQ(page.at("jobs").as_array().front().at("batch").as_string(), id);
  ASSERT_TRUE(page.at("next").is_string());
  const auto rest = Body(Get("/v1/jobs?batch=" + id + "&cursor=" + std::string(page.at("next").as_string())));
  EXPECT_EQ(rest.at("jobs").as_array().size(), 1U);
  EXPECT_TRUE(rest.at("next").is_null());
  EXPECT_EQ(Get("/v1/batches/nonesuch").status, 404);
}

TEST_F(ApiTest, ABatchWithAJobThatIsWrongLeavesNothing) {
  const auto refused =
      Post("/v1/batches", R"({"recipe":"crop","jobs":[{"inputs":["clip.mp4"]},{"inputs":["x.mp4"]}]})");
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(Body(refused).at("job").as_int64(), 1);
  std::string many = R"({"recipe":"crop","jobs":[{"inputs":["clip.mp4"]})";
  for (int i = 0; i < 20; ++i) {
    many += R"(,{"inputs":["clip.mp4"]})";
  }
  const auto too_many = Post("/v1/batches", many + "]}");
  EXPECT_EQ(too_many.status, 429);
  EXPECT_NE(Header(too_many, "Retry-After"), "");
  EXPECT_TRUE(Body(Get("/v1/jobs")).at("jobs").as_array().empty());
}

TEST_F(ApiTest, AKeyStandsForOneBatch) {
  const Headers key{{"idempotency-key", "k"}};
  const auto first = Body(Post("/v1/batches", kThree, key));
  EXPECT_EQ(Body(Post("/v1/batches", kThree, key)).at("id"), first.at("id"));
  const auto other = Post("/v1/batches", R"({"recipe":"crop","jobs":[{"inputs":["clip.mp4"]}]})", key);
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(Body(other).at("batch"), first.at("id"));
  EXPECT_EQ(Body(Get("/v1/jobs")).at("jobs").as_array().size(), 3U);
}

TEST_F(ApiTest, ACancelledBatchEndsAndItsRemovedJobsAreCounted) {
  const auto batch = Body(Post("/v1/batches", kThree));
  const std::string url = "/v1/batches/" + std::string(batch.at("id").as_string());
  EXPECT_EQ(Post(url + "/cancel").status, 200);
  const auto ended = Body(Get(url, {{"prefer", "wait=20"}}));
  EXPECT_TRUE(ended.at("ended").as_bool());
  EXPECT_EQ(ended.at("states").at("cancelled").as_int64(), 3);
  const auto jobs = Body(Get(std::string(batch.at("jobs_url").as_string()))).at("jobs").as_array();
  ASSERT_EQ(jobs.size(), 3U);
  EXPECT_EQ(Call(Method::kDelete, "/v1/jobs/" + std::string(jobs[0].at("id").as_string())).status, 204);
  EXPECT_EQ(Body(Get(url)).at("removed").as_int64(), 1);
}

// --- Jobs

TEST_F(ApiTest, MemoryBeforeTheFirstAttemptHasNoSamples) {
  const auto job = Body(Post("/v1/jobs", R"({"recipe":"crop","inputs":["clip.mp4"]})"));
  EXPECT_TRUE(job.at("batch").is_null());
  const auto timeline = Body(Get("/v1/jobs/" + std::string(job.at("id").as_string()) + "/memory"));
  EXPECT_EQ(timeline.at("attempt").as_int64(), 0);
  EXPECT_TRUE(timeline.at("samples").as_array().empty());
  EXPECT_EQ(Get("/v1/jobs/nonesuch/memory").status, 404);
}

TEST_F(ApiTest, ARetryNamesOutputsOfTheJob) {
  for (const auto& [more, name] :
       {std::pair{R"(})", "crop.mp4"}, std::pair{R"(,"outputs":["x/named.mkv"]})", "named.mkv"}}) {
    fs::create_directories(folder_ / "media" / "x");
    const auto job = Body(Post("/v1/jobs", R"({"recipe":"crop","inputs":["clip.mp4"])" + std::string(more)));
    const std::string url = "/v1/jobs/" + std::string(job.at("id").as_string());
    EXPECT_EQ(Post(url + "/cancel").status, 200);
    const auto refused = Post(url + "/retry", R"({"outputs":["other.mp4"]})");
    EXPECT_EQ(refused.status, 422);
    EXPECT_EQ(Body(refused).at("output").as_string(), "other.mp4");
    EXPECT_EQ(Post(url + "/retry", R"({"outputs":[")" + std::string(name) + "\"]}").status, 200);
    EXPECT_EQ(Post(url + "/cancel").status, 200);
  }
}

TEST(Digest, IsThatOfTheArtefactsName) {
  store::JobRecord record;
  EXPECT_EQ(DigestOf(record, "a.mp4"), "");
  record.outcome = R"({"artifacts":[{"name":"a.mp4","sha256":"abc"},{"name":"b.mp4"},7]})";
  EXPECT_EQ(DigestOf(record, "a.mp4"), "abc");
  EXPECT_EQ(DigestOf(record, "b.mp4"), "");
  EXPECT_EQ(DigestOf(record, "c.mp4"), "");
}

}  // namespace
}  // namespace weir::api
