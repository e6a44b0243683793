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
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "api/job_json.h"
#include "api/lazy_text.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "api/system_json.h"
#include "base/text.h"
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
        },
        [] { return GovernanceHistory(); });
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

TEST_F(ApiTest, OneNameInTheQueryHasOneValue) {
  for (const char* target :
       {"/v1/jobs?state=queued&state=failed", "/v1/jobs?limit=5&owner=a&limit=5", "/v1/jobs?label=a=b&label=c=d",
        "/v1/events?after=1&after=2", "/video/info?path=a.mp4&path=b.mp4"}) {
    const auto refused = Get(target);
    EXPECT_EQ(refused.status, 400) << target;
    EXPECT_NE(Body(refused).at("detail").as_string().find("twice"), json::string::npos) << target;
  }
  EXPECT_EQ(Body(Get("/v1/jobs?state=queued&state=queued")).at("field").as_string(), "state");
  // What nobody reads may come as often as it likes, where callers may add things at all.
  EXPECT_EQ(Get("/healthz?_=1&_=2").status, 200);
}

TEST_F(ApiTest, WordsOfTheQueryAreCorrected) {
  for (const auto& [target, field, nearest] :
       {std::tuple{"/v1/jobs?recipe=crap", "recipe", "\"crop\""},
        std::tuple{"/v1/jobs?recipe=Crop", "recipe", "\"crop\""}, std::tuple{"/v1/jobs?recipe=", "recipe", "crop, "},
        std::tuple{"/v1/jobs?state=runing", "state", "\"running\""},
        std::tuple{"/v1/jobs?state=zzz", "state", "queued, "}}) {
    const auto refused = Get(target);
    EXPECT_EQ(refused.status, 400) << target;
    const auto body = Body(refused);
    EXPECT_EQ(body.at("type").as_string(), "https://weir.invalid/problems/bad-parameters");
    EXPECT_EQ(body.at("field").as_string(), field);
    EXPECT_NE(body.at("detail").as_string().find(nearest), json::string::npos) << refused.body;
  }
  EXPECT_EQ(Get("/v1/jobs?recipe=thumbnail").status, 200);
}

TEST_F(ApiTest, BodiesOfOtherTypesAreRefused) {
  const std::string body = R"({"recipe":"crop","inputs":["clip.mp4"]})";
  for (const char* type : {"multipart/form-data; boundary=x", "application/xml", "application/octet-stream", "json",
                           "text/html", "application/json2", "application/+json", "video/mp4", "text/+json"}) {
    const auto refused = Post("/v1/jobs", body, {{"content-type", type}});
    EXPECT_EQ(refused.status, 415) << type;
    EXPECT_EQ(Body(refused).at("type").as_string(), "https://weir.invalid/problems/media-type");
  }
  for (const char* type :
       {"application/json", "APPLICATION/JSON;charset=utf-8", "application/json ; x=y", "application/vnd.weir+json",
        "application/x-www-form-urlencoded", "text/plain", "", "text/plain;charset=UTF-8"}) {
    EXPECT_EQ(Post("/v1/jobs", body, {{"content-type", type}}).status, 202) << type;
  }
  // Of what nobody reads, the type does not matter.
  EXPECT_EQ(Post("/v1/drain", "<x/>", {{"content-type", "application/xml"}}).status, 200);
  EXPECT_EQ(Post("/v1/jobs/x/retry", "", {{"content-type", "application/xml"}}).status, 404);
  EXPECT_EQ(Post("/v1/jobs/x/retry", "{}", {{"content-type", "application/xml"}}).status, 415);
  EXPECT_EQ(Call(Method::kPatch, "/v1/jobs/x", "{}", {{"content-type", "application/xml"}}).status, 415);
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
    EXPECT_EQ(answers.contains("415"), !route.body.empty()) << route.id;
  }
  // A submission starts nothing, so it cannot end as a child does.
  EXPECT_FALSE(document.at("paths").at("/v1/jobs").at("post").at("responses").as_object().contains("503"));
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
  EXPECT_EQ(too_many.status, 400);
  EXPECT_EQ(Body(too_many).at("limit").as_int64(), 20);
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

TEST_F(ApiTest, PlacesInTheLineAreThoseOfSingleJobs) {
  const auto batch = Body(Post("/v1/batches", kThree));
  std::set<std::int64_t> places;
  const auto page = Body(Get("/v1/jobs"));
  for (const auto& job : page.at("jobs").as_array()) {
    EXPECT_TRUE(job.at("position").is_null());
    const auto single = Body(Get("/v1/jobs/" + std::string(job.at("id").as_string())));
    places.insert(single.at("position").to_number<std::int64_t>());
    EXPECT_TRUE(single.at("plan").is_null());
    EXPECT_TRUE(single.at("memory").is_null());
  }
  EXPECT_EQ(places, (std::set<std::int64_t>{1, 2, 3}));
  // One that was woken, to be paused, is no exception.
  const auto jobs = Body(Get("/v1/jobs")).at("jobs").as_array();
  EXPECT_EQ(Post("/v1/jobs/" + std::string(jobs[0].at("id").as_string()) + "/pause").status, 200);
  EXPECT_TRUE(Body(Get("/v1/jobs")).at("jobs").at(0).at("position").is_null());
}

jobs::JobView AtWork(store::JobState state) {
  jobs::JobView view;
  view.record.id = "0123456789abcdef";
  view.record.recipe = "crop";
  view.record.state = state;
  // Of the attempt before.
  view.record.outcome = R"({"plan":{"name":"old"},"memory":{"lease_bytes":1},"failure":{"type":"crashed"}})";
  view.live.emplace();
  return view;
}

TEST(Job, AtWorkShowsWhatIsKnownSoFar) {
  for (const auto state : {store::JobState::kRunning, store::JobState::kVerifying}) {
    auto view = AtWork(state);
    EXPECT_TRUE(JobAsJson(view).at("plan").is_null());
    EXPECT_TRUE(JobAsJson(view).at("memory").is_null());
    view.live->lease = Bytes::Mib(96);  // to look at the input
    EXPECT_TRUE(JobAsJson(view).at("plan").is_null());
    EXPECT_EQ(JobAsJson(view).at("memory"), (json::object{{"lease_bytes", 96 << 20}, {"measured_peak_bytes", 0}}));
    view.live->lease = Bytes();  // between two steps
    view.live->plan = "2 slice threads";
    view.live->frames = 250;
    view.live->memory = Bytes(7);
    const auto job = JobAsJson(view);
    EXPECT_EQ(job.at("plan"), (json::object{{"name", "2 slice threads"}, {"forecast_frames", 250}}));
    EXPECT_EQ(job.at("memory"), (json::object{{"lease_bytes", 0}, {"measured_peak_bytes", 7}}));
    EXPECT_TRUE(job.at("failure").is_object());
  }
}

TEST(Job, NotAtWorkShowsItsOutcome) {
  for (const auto state : {store::JobState::kQueued, store::JobState::kPublishing, store::JobState::kFailed}) {
    EXPECT_EQ(JobAsJson(AtWork(state)).at("plan").at("name").as_string(), "old");
    EXPECT_EQ(JobAsJson(AtWork(state)).at("memory").at("lease_bytes").as_int64(), 1);
  }
}

TEST(Job, ArtefactsTellTheTypeThatTheyAreServedAs) {
  auto view = AtWork(store::JobState::kSucceeded);
  view.record.outcome = R"({"artifacts":[{"name":"crop.mp4","size_bytes":1,"identity":"x"},
      {"name":"t.jpg","path":"out/t.jpg","size_bytes":1},{"name":"what","size_bytes":1}]})";
  const auto job = JobAsJson(view);
  const auto& artifacts = job.at("artifacts").as_array();
  ASSERT_EQ(artifacts.size(), 3U);
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    EXPECT_EQ(artifacts[i].at("type").as_string(), TypeOfName(std::string(artifacts[i].at("name").as_string())));
    EXPECT_EQ(artifacts[i].as_object().contains("url"), i != 1);
  }
  EXPECT_EQ(artifacts[0].at("type").as_string(), "video/mp4");
  EXPECT_EQ(artifacts[1].at("type").as_string(), "image/jpeg");
  EXPECT_EQ(artifacts[2].at("type").as_string(), "application/octet-stream");
}

TEST(Document, NumbersAreWrittenTheOrdinaryWay) {
  auto view = AtWork(store::JobState::kRunning);
  view.live->progress = media::Progress{.frame = 48, .fps = 24, .out_time = MediaTime(2'000'000), .speed = 2.5};
  view.live->length = MediaTime(30'000'000);
  const auto response = JsonOf(200, JobAsJson(view));
  EXPECT_NE(
      response.body.find(R"("progress":{"frame":48,"fps":24,"ratio":0.0666666667,"eta_seconds":11.2,"speed":2.5})"),
      std::string::npos)
      << response.body;
  EXPECT_NE(DocumentOf("1.2.3").find(R"("minimum":0)"), std::string::npos);
  EXPECT_EQ(DocumentOf("1.2.3").find(R"("minimum":0E0)"), std::string::npos);
  EXPECT_NE(EventText(0, "progress", {{"progress", ProgressAsJson(view)}}).find(R"("fps":24,)"), std::string::npos);
}

TEST_F(ApiTest, EventsCanBeginWithWhatComesNext) {
  const auto next_of = [&](http::EventSource& events) {
    std::optional<std::string> text;
    auto next = events.Next();
    boost::asio::co_spawn(loop_, std::move(next),
                          [&](const std::exception_ptr& failure, std::optional<std::string> told) {
                            EXPECT_FALSE(failure);
                            text = std::move(told);
                          });
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (!text && std::chrono::steady_clock::now() < until) {
      loop_.restart();
      loop_.run_one_for(100ms);
    }
    return text.value_or("");
  };
  const auto submit = [&] {
    return std::string(Body(Post("/v1/jobs", R"({"recipe":"crop","inputs":["clip.mp4"]})")).at("id").as_string());
  };
  for (int stored = 0; stored < 20; ++stored) {
    auto now = Get("/v1/events?after=now");
    ASSERT_EQ(now.status, 200);
    const std::string job = submit();
    EXPECT_EQ(next_of(*now.events), "id: " + std::to_string(stored) + "\n\n") << "the place to come again from";
    const std::string text = next_of(*now.events);
    EXPECT_NE(text.find(job), std::string::npos) << text;
    EXPECT_TRUE(text.starts_with("id: " + std::to_string(stored + 1) + "\n")) << text;
    EXPECT_EQ(text.find("id: ", 1), std::string::npos) << "more than what came";
  }
  // Who comes again is told what happened meanwhile.
  EXPECT_TRUE(next_of(*Get("/v1/events?after=now", {{"last-event-id", "3"}}).events).starts_with("id: 4\n"));
  EXPECT_TRUE(next_of(*Get("/v1/events").events).starts_with("id: 1\n"));
  EXPECT_EQ(Get("/v1/events?after=then").status, 400);
  EXPECT_EQ(Get("/v1/events", {{"last-event-id", "now"}}).status, 400);
}

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

// --- The system

// The daemon as it may be found, in the shapes in which it is asked for.
struct Found {
  SystemReading reading{.budget = Bytes(1'000'000)};
  Facts facts{.version = "1.2.3", .ffmpeg = "/x/ffmpeg", .ffprobe = "/x/ffprobe"};
  Window window{};

  [[nodiscard]] SystemView View() const { return {.reading = reading, .facts = facts, .window = window}; }
  [[nodiscard]] std::vector<std::string> Warnings() const {
    std::vector<std::string> warnings;
    const auto resources = ResourcesAsJson(View());
    for (const auto& warning : resources.at("warnings").as_array()) {
      warnings.emplace_back(warning.as_string());
    }
    return warnings;
  }
};

TEST(System, MemoryHasThreeLevelsForThoseWhoKnowThree) {
  struct Row {
    const char* level;
    const char* status;
    const char* told;
  };
  for (const Row& row : {Row{"normal", "healthy", "normal"}, Row{"elevated", "healthy", "normal"},
                         Row{"high", "warning", "warning"}, Row{"critical", "critical", "critical"}}) {
    Found found;
    found.reading.tree_memory = Bytes(990'000);
    found.reading.governance.level = row.level;
    const auto health = HealthMemoryAsJson(found.View());
    EXPECT_EQ(health.at("status").as_string(), row.status);
    EXPECT_EQ(health.at("memory").at("level").as_string(), row.told);
    EXPECT_DOUBLE_EQ(health.at("memory").at("percentage").as_double(), 99);
    EXPECT_EQ(PerformanceAsJson(found.View()).at("memory").at("level").as_string(), row.told);
  }
}

TEST(System, WhatTheGovernorSaysIsPassedOn) {
  Found found;
  found.reading.governance = {
      .level = "high",
      .reason = "the machine has little",
      .warnings = {"job a is stuck"},
      .recommendations = {{.priority = "high", .setting = "memory.budget", .action = "lower it"}}};
  EXPECT_EQ(found.Warnings(), std::vector<std::string>{"job a is stuck"});
  const auto health = HealthMemoryAsJson(found.View());
  const auto& recommended = health.at("recommendations").as_array();
  ASSERT_EQ(recommended.size(), 1U);
  EXPECT_EQ(recommended[0].at("setting").as_string(), "memory.budget");
  const auto memory =
      MemoryAsJson(found.View(), {.uses = {{.name = "sweep", .level = "high", .reason = "why", .times = 3}},
                                  .series = {{.period = std::chrono::seconds(10)}}});
  EXPECT_EQ(memory.at("level").as_string(), "high");
  EXPECT_TRUE(memory.at("since").is_null());
  EXPECT_TRUE(memory.at("machine").at("total_bytes").is_null()) << "what is not known is no zero";
  ASSERT_EQ(memory.at("uses").as_array().size(), 1U);
  EXPECT_EQ(memory.at("uses").as_array()[0].at("times").to_number<int>(), 3);
  EXPECT_EQ(memory.at("timeline").as_array()[0].at("period_seconds").to_number<double>(), 10);
}

TEST(System, ToolsThatAreGoneAreNotThere) {
  Found found;
  auto health = HealthAsJson(found.View());
  EXPECT_EQ(health.at("status").as_string(), "ok");
  EXPECT_TRUE(health.at("tools").at("ffmpeg").as_bool());
  EXPECT_TRUE(health.at("tools").at("ffprobe").as_bool());
  found.reading.ffprobe = false;
  found.reading.not_ready = "ffprobe is gone";
  health = HealthAsJson(found.View());
  EXPECT_EQ(health.at("status").as_string(), "unusable");
  EXPECT_EQ(health.at("reason").as_string(), "ffprobe is gone");
  EXPECT_TRUE(health.at("tools").at("ffmpeg").as_bool());
  EXPECT_FALSE(health.at("tools").at("ffprobe").as_bool());
}

TEST(System, MetricsAreOfTheTextFormat) {
  Found found;
  found.window.Add(std::chrono::milliseconds(250), true);
  jobs::ServiceFigures figures;
  figures.work_waits.Add(std::chrono::milliseconds(20));
  figures.work_waits.Add(std::chrono::seconds(2));
  figures.running.push_back({.job = "j", .wait = {.what = jobs::WaitingFor::kMemory}});
  found.reading.governance.growth = {{.what = "handles", .per_hour = 30}};
  auto view = found.View();
  view.figures = figures;
  const std::string text = Metrics(view);
  std::set<std::string> described;
  std::map<std::string, std::string> values;
  for (const auto line : SplitLines(text)) {
    const std::string words(line);
    if (words.starts_with("# TYPE ")) {
      EXPECT_TRUE(described.insert(words.substr(7, words.find(' ', 7) - 7)).second) << words;
    } else if (!words.starts_with("#")) {
      EXPECT_TRUE(values.emplace(words.substr(0, words.rfind(' ')), words.substr(words.rfind(' ') + 1)).second)
          << words;
    }
  }
  EXPECT_EQ(values["weir_work_wait_seconds_bucket{le=\"0.01\"}"], "0");
  EXPECT_EQ(values["weir_work_wait_seconds_bucket{le=\"0.05\"}"], "1");
  EXPECT_EQ(values["weir_work_wait_seconds_bucket{le=\"1\"}"], "1");
  EXPECT_EQ(values["weir_work_wait_seconds_bucket{le=\"2.5\"}"], "2");
  EXPECT_EQ(values["weir_work_wait_seconds_bucket{le=\"+Inf\"}"], "2");
  EXPECT_EQ(values["weir_work_wait_seconds_sum"], "2.02");
  EXPECT_EQ(values["weir_work_wait_seconds_count"], "2");
  EXPECT_EQ(values["weir_steps_waiting_for{reason=\"memory\"}"], "1");
  EXPECT_EQ(values["weir_steps_waiting_for{reason=\"disk\"}"], "0");
  EXPECT_EQ(values["weir_http_requests_failed_total"], "1");
  EXPECT_EQ(values["weir_growth_findings{what=\"handles\"}"], "1");
  EXPECT_EQ(values["weir_growth_findings{what=\"memory\"}"], "0");
  EXPECT_EQ(values["weir_http_recent_request_seconds{quantile=\"0.95\"}"], "0.25");
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
