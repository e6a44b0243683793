#include "app/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/text.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
using boost::asio::ip::tcp;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;
using Kind = ClientCommand::Kind;

struct Heard {
  std::string line;  // "GET /v1/jobs"
  std::string head;
  std::string body;
};

std::string Json(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}
std::string Problem(int status, const std::string& name, const std::string& detail, const std::string& more = {}) {
  return Json(status, R"({"type":"https://weir.invalid/problems/)" + name + R"(","title":"T","detail":")" + detail +
                          "\"" + more + "}");
}
std::string Events(const std::string& events) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + events;
}
std::string StateEvent(int id, const std::string& state) {
  return "id: " + std::to_string(id) + "\nevent: state\ndata: {\"job\":\"j1\",\"state\":\"" + state +
         "\",\"attempt\":1}\n\n";
}

// Answers each connection with one text, made by the script; a thread of its own.
class CannedServer {
 public:
  using Script = std::function<std::string(const Heard&)>;
  explicit CannedServer(Script script) : script_(std::move(script)), thread_([this] { Serve(); }) {}
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;
  ~CannedServer() {
    stopped_ = true;
    boost::asio::io_context loop;
    tcp::socket wake(loop);
    boost::system::error_code ignored;
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  [[nodiscard]] std::string address() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  std::vector<Heard> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> lines;
    for (const auto& one : heard()) {
      lines.push_back(one.line);
    }
    return lines;
  }

 private:
  void Serve() {
    while (true) {
      boost::system::error_code error;
      tcp::socket socket(loop_);
      acceptor_.accept(socket, error);
      if (stopped_ || error) {
        return;
      }
      Answer(socket);
    }
  }
  void Answer(tcp::socket& socket) {
    boost::system::error_code error;
    std::string text;
    std::array<char, 4096> chunk{};
    std::size_t end = std::string::npos;
    std::size_t length = 0;
    while (end == std::string::npos || text.size() < end + 4 + length) {
      const std::size_t got = socket.read_some(boost::asio::buffer(chunk), error);
      if (error) {
        return;
      }
      text.append(chunk.data(), got);
      end = text.find("\r\n\r\n");
      if (const auto at = text.find("Content-Length: "); end != std::string::npos && at < end) {
        length = ParseUnsigned(text.substr(at + 16, text.find("\r\n", at) - at - 16)).value_or(0);
      }
    }
    Heard one{
        .line = text.substr(0, text.find(" HTTP/1.1")), .head = text.substr(0, end), .body = text.substr(end + 4)};
    {
      const std::lock_guard lock(mutex_);
      heard_.push_back(one);
    }
    const std::string answer = script_(one);
    boost::asio::write(socket, boost::asio::buffer(answer), error);
    socket.shutdown(tcp::socket::shutdown_send, error);
    // Until the other end has read it: closing with unread bytes would take the answer back.
    while (!error) {
      socket.read_some(boost::asio::buffer(chunk), error);
    }
  }

  boost::asio::io_context loop_;
  tcp::acceptor acceptor_{loop_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  std::atomic<bool> stopped_ = false;
  Script script_;
  std::mutex mutex_;
  std::vector<Heard> heard_;
  std::thread thread_;
};

class Client : public testing::Test {
 protected:
  Result<int> Run(ClientCommand command, CannedServer& server) {
    command.server = server.address();
    return Run(std::move(command));
  }
  Result<int> Run(const ClientCommand& command) {
    out_.clear();
    err_.clear();
    return RunClient(command, {.print =
                                   [this](std::string_view text) {
                                     out_ += text;
                                     return true;
                                   },
                               .tell = [this](std::string_view text) { err_ += text; },
                               .output = {},
                               .errors = errors_,
                               .sleep = [this](std::chrono::milliseconds time) { slept_ += time; }});
  }
  static ClientCommand Of(Kind kind, std::vector<std::string> ids = {}) {
    ClientCommand command;
    command.kind = kind;
    command.ids = std::move(ids);
    return command;
  }

  std::string out_, err_;
  os::Terminal errors_{};
  std::chrono::milliseconds slept_{0};
};

TEST_F(Client, ASubmissionIsOneRequestAndItsIdIsPrinted) {
  CannedServer server([](const Heard&) { return Json(202, R"({"id":"j1","state":"queued"})"); });
  auto command = Of(Kind::kSubmit);
  command.recipe = "crop";
  command.input = "/nonexistent/in.mp4";
  command.output = "out.mp4";
  command.params = R"({"crf":20})";
  command.priority = 70;
  command.owner = "me";
  command.labels = {{"a", "\"b\""}};
  command.key = "once";
  command.overwrite = true;
  command.token = "secret";
  const auto code = Run(command, server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, 0);
  EXPECT_EQ(out_, "j1\n");
  const auto heard = server.heard();
  ASSERT_THAT(heard, SizeIs(1));
  EXPECT_EQ(heard[0].line, "POST /v1/jobs");
  EXPECT_THAT(heard[0].head, AllOf(HasSubstr("Idempotency-Key: once"), HasSubstr("Authorization: Bearer secret"),
                                   HasSubstr("Content-Type: application/json")));
  EXPECT_EQ(heard[0].body,
            R"({"recipe":"crop","inputs":["/nonexistent/in.mp4"],"outputs":["out.mp4"],"params":{"crf":20},)"
            R"("overwrite":true,"priority":70,"owner":"me","labels":{"a":"\"b\""}})");
  EXPECT_THAT(out_ + err_, Not(HasSubstr("secret")));
}

TEST_F(Client, PathsThatAreHereAreMadeAbsolute) {
  const fs::path folder = fs::temp_directory_path() / ("weir-client-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  std::ofstream("in.mp4") << "x";
  CannedServer server([](const Heard&) { return Json(202, R"({"id":"j1"})"); });
  auto command = Of(Kind::kSubmit);
  command.recipe = "crop";
  command.input = "in.mp4";
  command.output = "out.mp4";
  EXPECT_TRUE(Run(command, server));
  command.output = "missing/out.mp4";
  EXPECT_TRUE(Run(command, server));
  const auto here = fs::current_path().string();
  fs::current_path(before);
  fs::remove_all(folder);
  EXPECT_THAT(server.heard()[0].body,
              AllOf(HasSubstr("\"" + here + "/in.mp4\""), HasSubstr("\"" + here + "/out.mp4\"")));
  EXPECT_THAT(server.heard()[1].body, HasSubstr("\"missing/out.mp4\""));
}

TEST_F(Client, ARefusalIsTheServersSentenceWithTheCodeOfItsType) {
  std::string answer = Problem(422, "over-budget", "no plan fits", R"(,"required_bytes":300,"x":[1])");
  CannedServer server([&](const Heard&) { return answer; });
  auto refused = Run(Of(Kind::kShow, {"j1"}), server);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverBudget);
  EXPECT_EQ(refused.error().detail, "no plan fits");
  ASSERT_THAT(refused.error().members, SizeIs(1));
  EXPECT_EQ(refused.error().members[0].number, 300U);
  answer = Problem(418, "teapot", "short and stout");
  EXPECT_EQ(Run(Of(Kind::kDrain), server).error().code, ErrorCode::kInternal);
  answer = Json(500, "<html>");
  EXPECT_THAT(Run(Of(Kind::kDrain), server).error().detail, HasSubstr("status 500"));
  answer = Json(200, "<html>");
  EXPECT_EQ(Run(Of(Kind::kDrain), server).error().code, ErrorCode::kMalformed);
  answer = Json(302, "{}");
  EXPECT_EQ(Run(Of(Kind::kDrain), server).error().code, ErrorCode::kMalformed);
}

TEST_F(Client, NobodyThereIsUnreachable) {
  auto command = Of(Kind::kJobs);
  command.server = "http://127.0.0.1:1";
  EXPECT_EQ(Run(command).error().code, ErrorCode::kUnreachable);
  command.server = "elsewhere";
  EXPECT_EQ(Run(command).error().code, ErrorCode::kBadParameters);
}

TEST_F(Client, ListsAreReadPageByPage) {
  CannedServer server([](const Heard& heard) {
    return heard.line.find("cursor=a%2Fb") == std::string::npos
               ? Json(
                     200,
                     R"({"jobs":[{"id":"j2","state":"running","recipe":"crop","inputs":["a\u001b[31m.mp4"]}],"next":"a/b"})")
               : Json(200, R"({"jobs":[{"id":"j1","state":"failed"},7,{"id":"j0"}],"next":"a/b"})");
  });
  auto command = Of(Kind::kJobs);
  command.limit = 3;
  command.state = "running";
  command.owner = "a&b";
  EXPECT_TRUE(Run(command, server));
  EXPECT_THAT(out_, AllOf(HasSubstr("j2"), HasSubstr("j1"), Not(HasSubstr("j0")), HasSubstr("there are more")));
  EXPECT_THAT(out_, Not(HasSubstr("\x1b"))) << "a name must not reach the terminal as it is";
  EXPECT_THAT(server.lines(), ElementsAre("GET /v1/jobs?limit=3&state=running&owner=a%26b",
                                          "GET /v1/jobs?limit=3&state=running&owner=a%26b&cursor=a%2Fb"));
  command.limit = 100;
  EXPECT_TRUE(Run(command, server)) << "a server that sends us in circles";
  EXPECT_THAT(server.lines(), SizeIs(4));
  command.json = true;
  EXPECT_TRUE(Run(command, server));
  EXPECT_THAT(out_, AllOf(StartsWith(R"({"jobs":[)"), EndsWith("}\n")));
}

TEST_F(Client, StrangeAnswersAreNoReasonToCrash) {
  std::string answer;
  CannedServer server([&](const Heard&) { return Json(200, answer); });
  for (
      const char* strange :
      {"null", "7", "[]", "{}", R"("text")", R"({"jobs":{"a":1},"next":{}})", R"({"lines":[1,{"text":7}]})",
       R"({"id":7,"state":[],"progress":{"ratio":"x","eta_seconds":1e300},"memory":7,"labels":[1],"failure":"x",)"
       R"("artifacts":[7,{"size_bytes":-1}],"attempt":1e300,"params":[]})",
       R"({"memory":{"budget_bytes":0,"leased_bytes":-5},"running":[{"seconds":-1,"lease_bytes":1e30}],"queue":[]})"}) {
    answer = strange;
    for (const auto kind :
         {Kind::kJobs, Kind::kShow, Kind::kLogs, Kind::kCancel, Kind::kRemove, Kind::kDrain, Kind::kTop}) {
      EXPECT_TRUE(Run(Of(kind, {"j1"}), server)) << strange;
    }
    EXPECT_FALSE(Run(Of(Kind::kSubmit), server)) << "no id: " << strange;
  }
}

TEST_F(Client, WatchingEndsWithTheJobAndItsExitCode) {
  std::string last = "succeeded";
  std::string failure = "null";
  CannedServer server([&](const Heard& heard) {
    if (heard.line.ends_with("/events")) {
      return Events(
          ": hello\n\n" + StateEvent(1, "queued") + StateEvent(2, "running") +
          "event: progress\ndata: {\"progress\":{\"ratio\":0.42,\"frame\":9,\"speed\":2.0,\"eta_seconds\":7}}\n\n" +
          "event: progress\ndata: no json\n\n" + "id: 3\nevent: note\ndata: {\"note\":\"leaner\"}\n\n" +
          StateEvent(4, last));
    }
    return Json(200, R"({"id":"j1","state":")" + last + R"(","failure":)" + failure + "}");
  });
  auto code = Run(Of(Kind::kWatch, {"j1"}), server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, 0);
  EXPECT_THAT(err_, AllOf(HasSubstr("queued"), HasSubstr("running"), HasSubstr("42 %"), HasSubstr("leaner")));
  EXPECT_THAT(out_, HasSubstr("succeeded"));
  EXPECT_THAT(server.lines(), ElementsAre("GET /v1/jobs/j1/events", "GET /v1/jobs/j1"));

  last = "failed";
  failure = R"({"type":"input-damaged","detail":"it is broken"})";
  code = Run(Of(Kind::kWatch, {"j1"}), server);
  ASSERT_TRUE(code);
  EXPECT_EQ(*code, InfoOf(ErrorCode::kInputDamaged).exit_code);
  EXPECT_THAT(err_, HasSubstr("weir: job j1: it is broken"));
  failure = R"({"type":"unheard-of"})";
  EXPECT_EQ(*Run(Of(Kind::kWatch, {"j1"}), server), 1);
  last = "cancelled";
  failure = "null";
  EXPECT_EQ(*Run(Of(Kind::kWatch, {"j1"}), server), InfoOf(ErrorCode::kInterrupted).exit_code);

  auto command = Of(Kind::kWatch, {"j1"});
  command.json = true;
  EXPECT_TRUE(Run(command, server));
  EXPECT_THAT(out_,
              AllOf(StartsWith(R"({"event":"state","data":{)"), HasSubstr(R"({"event":"job","data":{"id":"j1")")));
  EXPECT_THAT(err_, IsEmpty());

  errors_.interactive = true;
  EXPECT_TRUE(Run(Of(Kind::kWatch, {"j1"}), server));
  EXPECT_THAT(err_, HasSubstr("\r  [##########..............]  42 %"));
}

TEST_F(Client, WatchingGoesOnWhereTheConnectionBroke) {
  std::atomic<int> feeds = 0;
  CannedServer server([&](const Heard& heard) {
    if (heard.line.ends_with("/events")) {
      ++feeds;
      return feeds == 1 ? Events(StateEvent(5, "running")) : Events(StateEvent(6, "succeeded"));
    }
    return Json(200, R"({"id":"j1","state":")" + std::string(feeds < 2 ? "running" : "succeeded") + "\"}");
  });
  const auto code = Run(Of(Kind::kWatch, {"j1"}), server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, 0);
  const auto heard = server.heard();
  ASSERT_GE(heard.size(), 3U);
  EXPECT_THAT(heard[2].head, HasSubstr("Last-Event-ID: 5"));
  EXPECT_EQ(slept_, std::chrono::seconds(1));
}

TEST_F(Client, WatchingDoesNotWaitForEver) {
  CannedServer server([&](const Heard& heard) {
    return heard.line.ends_with("/events") ? Events("") : Json(200, R"({"id":"j1","state":"running"})");
  });
  EXPECT_EQ(Run(Of(Kind::kWatch, {"j1"}), server).error().code, ErrorCode::kUnreachable);
  EXPECT_GE(slept_, std::chrono::seconds(30));
  CannedServer none([&](const Heard&) { return Problem(404, "not-found", "no such job"); });
  EXPECT_EQ(Run(Of(Kind::kWatch, {"j1"}), none).error().code, ErrorCode::kNotFound);
}

TEST_F(Client, OrdersGoToEveryJobAndTheFirstRefusalCounts) {
  CannedServer server([](const Heard& heard) {
    return heard.line.find("bad") != std::string::npos ? Problem(409, "conflict", "it has ended")
           : heard.line.starts_with("DELETE")          ? std::string("HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")
                                                       : Json(200, R"({"id":"j1"})");
  });
  auto code = Run(Of(Kind::kCancel, {"bad", "j/1"}), server);
  ASSERT_TRUE(code);
  EXPECT_EQ(*code, InfoOf(ErrorCode::kConflict).exit_code);
  EXPECT_EQ(out_, "j/1  cancelled\n");
  EXPECT_EQ(err_, "weir: it has ended\n");
  EXPECT_THAT(server.lines(), ElementsAre("POST /v1/jobs/bad/cancel", "POST /v1/jobs/j%2F1/cancel"));
  EXPECT_EQ(Run(Of(Kind::kPause, {"bad"}), server).error().code, ErrorCode::kConflict);
  EXPECT_EQ(*Run(Of(Kind::kRemove, {"j1"}), server), 0);
  EXPECT_EQ(server.lines().back(), "DELETE /v1/jobs/j1");
}

class Batch : public Client {
 protected:
  ~Batch() override {
    std::error_code ignored;
    fs::remove(file_, ignored);
  }
  ClientCommand With(const std::string& text) const {
    std::ofstream(file_) << text;
    auto command = Of(Kind::kBatch);
    command.file = file_.string();
    return command;
  }
  fs::path file_ = fs::temp_directory_path() / ("weir-batch-" + std::to_string(::getpid()));
};

TEST_F(Batch, EveryLineIsAJobAndABusyServerIsWaitedFor) {
  std::atomic<int> posts = 0;
  CannedServer server([&](const Heard& heard) {
    if (heard.body.find("bad") != std::string::npos) {
      return Problem(400, "bad-parameters", "no such recipe");
    }
    ++posts;
    return posts == 2 ? Problem(429, "busy", "full", R"(,"retry_after_seconds":7)")
                      : Json(202, R"({"id":"j)" + std::to_string(posts) + "\"}");
  });
  const auto code = Run(With("{\"recipe\":\"a\"}\n\n{\"recipe\":\"bad\"}\r\n{\"recipe\":\"b\"}"), server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, InfoOf(ErrorCode::kBadParameters).exit_code);
  EXPECT_EQ(out_, "j1\nj3\n");
  EXPECT_THAT(err_, HasSubstr("line 3: no such recipe"));
  EXPECT_EQ(slept_, std::chrono::seconds(7));
  const auto heard = server.heard();
  ASSERT_THAT(heard, SizeIs(4));
  const auto key = [](const Heard& one) {
    const auto at = one.head.find("Idempotency-Key: ");
    return one.head.substr(at, one.head.find("\r\n", at) - at);
  };
  EXPECT_EQ(key(heard[2]), key(heard[3])) << "again means the same job";
  EXPECT_NE(key(heard[0]), key(heard[3]));
}

TEST_F(Batch, ABadFileIsRefusedBeforeAnythingIsSent) {
  CannedServer server([](const Heard&) { return Json(202, R"({"id":"j1"})"); });
  const auto refused = Run(With("{}\n[1]\n"), server);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, HasSubstr("line 2: not a JSON object"));
  EXPECT_THAT(server.heard(), IsEmpty());
  auto command = Of(Kind::kBatch);
  command.file = "/nonexistent/batch";
  EXPECT_EQ(Run(command, server).error().code, ErrorCode::kInputMissing);
}

TEST_F(Batch, WaitingFollowsAllOfThem) {
  CannedServer server([](const Heard& heard) {
    if (heard.line.starts_with("POST")) {
      return Json(202, R"({"id":)" + heard.body.substr(heard.body.find(':') + 1));
    }
    const std::string state = heard.line.find("good") != std::string::npos ? "succeeded" : "failed";
    return heard.line.ends_with("/events")
               ? Events(StateEvent(1, state))
               : Json(200, R"({"id":"x","state":")" + state + R"(","failure":{"type":"stalled"}})");
  });
  auto command = With("{\"a\":\"poor\"}\n{\"a\":\"good\"}\n");
  command.wait = true;
  const auto code = Run(command, server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, InfoOf(ErrorCode::kStalled).exit_code);
  EXPECT_EQ(out_, "poor\ngood\npoor  failed\ngood  succeeded\n");
}

}  // namespace
}  // namespace weir::app
