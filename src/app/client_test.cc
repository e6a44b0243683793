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
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/sha256.h"
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

TEST_F(Batch, AllLinesAreOneRequestAndABusyServerIsWaitedFor) {
  std::atomic<int> posts = 0;
  CannedServer server([&](const Heard&) {
    return ++posts == 1 ? Problem(429, "busy", "full", R"(,"limit":10,"retry_after_seconds":7)")
                        : Json(202, R"({"id":"b1","jobs":2,"ended":false})");
  });
  auto command =
      With("{\"recipe\":\"crop\",\"inputs\":[\"x\"]}\n\n{\"recipe\":\"crop\",\"inputs\":[\"y\"],\"priority\":9}\r\n");
  command.priority = 60;
  command.owner = "ann";
  command.labels = {{"event", "spring"}};
  command.overwrite = true;
  const auto code = Run(command, server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, 0);
  EXPECT_EQ(out_, "b1\n");
  EXPECT_THAT(err_, HasSubstr("full"));
  EXPECT_EQ(slept_, std::chrono::seconds(7));
  const auto heard = server.heard();
  ASSERT_THAT(heard, SizeIs(2));
  EXPECT_EQ(heard[0].line, "POST /v1/batches");
  EXPECT_EQ(heard[0].body, heard[1].body);
  EXPECT_EQ(heard[1].body,
            R"({"priority":60,"overwrite":true,"labels":{"event":"spring"},"owner":"ann","recipe":"crop",)"
            R"("jobs":[{"inputs":["x"]},{"inputs":["y"],"priority":9}]})");
  const auto key = [](const Heard& one) {
    const auto at = one.head.find("Idempotency-Key: ");
    return one.head.substr(at, one.head.find("\r\n", at) - at);
  };
  EXPECT_EQ(key(heard[0]), key(heard[1])) << "again means the same batch";
  command.key = "mine";
  command.json = true;
  EXPECT_TRUE(Run(command, server));
  EXPECT_EQ(key(server.heard().back()), "Idempotency-Key: mine");
  EXPECT_EQ(out_, "{\"id\":\"b1\",\"jobs\":2,\"ended\":false}\n");
}

TEST_F(Batch, AnErrorOfOneJobIsToldByItsLine) {
  std::string answer = Problem(422, "input-missing", "job 1 of the batch: no such file", R"(,"job":1)");
  CannedServer server([&](const Heard&) { return answer; });
  auto refused = Run(With("{\"inputs\":[\"x\"]}\n\n\n{\"inputs\":[\"y\"]}\n{\"inputs\":[\"z\"]}"), server);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInputMissing);
  EXPECT_EQ(refused.error().detail, Quoted(file_.string()) + ", line 4: no such file");
  answer = Problem(400, "bad-parameters", "3 jobs never fit; send fewer at a time", R"(,"limit":2)");
  refused = Run(With("{}\n{}\n{}\n"), server);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().detail, HasSubstr("send fewer")) << "waiting for what cannot be";
  EXPECT_EQ(slept_, std::chrono::seconds(0));
  answer = Problem(413, "request-too-large", "a body of more than 1.0 MiB");
  EXPECT_THAT(Run(With("{}"), server).error().detail, HasSubstr("server.largest_body"));
}

TEST_F(Batch, ABadFileIsRefusedBeforeAnythingIsSent) {
  CannedServer server([](const Heard&) { return Json(202, R"({"id":"b1"})"); });
  std::string many;
  for (int line = 0; line < 5001; ++line) {
    many += "{}\n";
  }
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"{}\n[1]\n", "line 2: not a JSON object"},
           {"{}\n\n{\"inputs\":[\"x\"],\"inputs\":[\"y\"]}\n", "line 3: \"inputs\" is given twice"},
           {"{\"owner\":\"a\"}\n{\"owner\":\"b\"}\n", "line 2: all jobs of a batch have the same owner"},
           {"{\"owner\":\"a\"}\n{}\n", "line 2: all jobs of a batch have the same owner"},
           {"{\"owner\":7}\n", "line 1: \"owner\" is a text"},
           {"\n \n", "no jobs"},
           {many, "5001 jobs"}}) {
    const auto refused = Run(With(text), server);
    ASSERT_FALSE(refused) << words;
    EXPECT_EQ(refused.error().code, ErrorCode::kBadParameters);
    EXPECT_THAT(refused.error().detail, HasSubstr(words));
  }
  auto other = With("{\"owner\":\"a\"}\n");
  other.owner = "b";
  EXPECT_THAT(Run(other, server).error().detail, HasSubstr("line 1"));
  EXPECT_THAT(server.heard(), IsEmpty());
  auto command = Of(Kind::kBatch);
  command.file = "/nonexistent/batch";
  EXPECT_EQ(Run(command, server).error().code, ErrorCode::kInputMissing);
  other.owner = "a";
  EXPECT_TRUE(Run(other, server));
  EXPECT_THAT(server.heard().back().body, AllOf(HasSubstr(R"({"owner":"a","jobs":[{}]})")));
}

TEST_F(Batch, PathsAreNamedAsBySubmit) {
  const fs::path folder = fs::temp_directory_path() / ("weir-batch-here-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  std::ofstream("in.mp4") << "x";
  const auto here = fs::current_path().string();
  CannedServer server([](const Heard&) { return Json(202, R"({"id":"b1"})"); });
  EXPECT_TRUE(Run(With("{\"inputs\":[\"in.mp4\"],\"outputs\":[\"out.mp4\"]}\n"
                       "{\"inputs\":[\"elsewhere.mp4\"],\"outputs\":[\"out.mp4\"]}\n"
                       "{\"inputs\":\"in.mp4\",\"outputs\":[7]}\n"),
                  server));
  fs::current_path(before);
  fs::remove_all(folder);
  EXPECT_EQ(server.heard().back().body, R"({"jobs":[{"inputs":[")" + here + R"(/in.mp4"],"outputs":[")" + here +
                                            R"(/out.mp4"]},{"inputs":["elsewhere.mp4"],"outputs":["out.mp4"]},)"
                                            R"({"inputs":"in.mp4","outputs":[7]}]})");
}

TEST_F(Batch, WaitingIsOneProgressAndTheFirstFailureCounts) {
  std::atomic<int> looks = 0;
  CannedServer server([&](const Heard& heard) {
    if (heard.line.starts_with("POST")) {
      return Json(202, R"({"id":"b1","ended":false})");
    }
    if (heard.line.starts_with("GET /v1/jobs?")) {
      // Newest first.
      return Json(200,
                  R"({"jobs":[{"id":"j3","state":"failed","failure":{"type":"crashed","detail":"it died"}},)"
                  R"({"id":"j1","state":"failed","failure":{"type":"stalled","detail":"it slept"}}],"next":null})");
    }
    const bool ended = ++looks >= 3;
    return Json(200, R"({"id":"b1","jobs":3,"removed":0,"ratio":)" +
                         std::string(ended       ? "1"
                                     : looks < 2 ? "0.1"
                                                 : "0.55") +
                         R"(,"ended":)" + (ended ? "true" : "false") + R"(,"states":{"queued":0,"running":)" +
                         (ended ? "0" : "2") + R"(,"succeeded":1,"failed":)" + (ended ? "2" : "0") + "}}");
  });
  auto command = With("{}\n{}\n{}\n");
  command.wait = true;
  const auto code = Run(command, server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(*code, InfoOf(ErrorCode::kStalled).exit_code);
  EXPECT_THAT(out_,
              AllOf(StartsWith("batch b1\n"), HasSubstr("3: 1 succeeded, 2 failed"), HasSubstr("100 %, ended")));
  EXPECT_THAT(err_, AllOf(StartsWith("batch b1\n"), HasSubstr(" 10 %  1 of 3 ended, 2 running\n"),
                          HasSubstr(" 55 %  1 of 3 ended, 2 running\n"),
                          HasSubstr("weir: job j1: it slept\nweir: job j3: it died\n")));
  EXPECT_EQ(slept_, std::chrono::seconds(2)) << "a server that does not wait itself";
  const auto heard = server.heard();
  EXPECT_THAT(heard[1].head, HasSubstr("Prefer: wait=1"));
  EXPECT_EQ(heard.back().line, "GET /v1/jobs?limit=1000&batch=b1&state=failed");
}

TEST_F(Batch, OneIsShownFollowedAndCancelled) {
  CannedServer server([&](const Heard& heard) {
    return heard.line.find("none") != std::string::npos
               ? Problem(404, "not-found", "no such batch")
               : Json(200, R"({"id":"b1","jobs":2,"states":{"succeeded":1,"cancelled":1},"ratio":1,"ended":true,)"
                           R"("labels":{"a":"b"}})");
  });
  EXPECT_EQ(*Run(Of(Kind::kBatchShow, {"b1"}), server), 0);
  EXPECT_THAT(out_, AllOf(HasSubstr("2: 1 succeeded, 1 cancelled"), HasSubstr("a=b")));
  EXPECT_EQ(*Run(Of(Kind::kBatchCancel, {"b1"}), server), 0);
  EXPECT_EQ(out_, "b1  cancelled\n");
  auto command = Of(Kind::kBatchShow, {"b1"});
  command.wait = true;
  EXPECT_EQ(*Run(command, server), InfoOf(ErrorCode::kInterrupted).exit_code);
  EXPECT_THAT(server.lines(), ElementsAre("GET /v1/batches/b1", "POST /v1/batches/b1/cancel", "GET /v1/batches/b1"));
  command.ids = {"none"};
  EXPECT_EQ(Run(command, server).error().code, ErrorCode::kNotFound);
}

// A folder to fetch into, and a server with one result.
class Fetch : public Client {
 protected:
  Fetch() { fs::create_directories(folder_); }
  ~Fetch() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::string Answer(const Heard& heard) {
    if (!heard.line.ends_with("/artifacts/crop.mp4")) {
      return Json(200, R"({"id":"j1","state":")" + state_ + R"(","artifacts":)" + artifacts_ + "}");
    }
    const auto at = heard.head.find("Range: bytes=") + 13;
    const auto first = ParseUnsigned(heard.head.substr(at, heard.head.find('-', at) - at)).value_or(0);
    const auto dash = heard.head.find('-', at) + 1;
    const auto last = ParseUnsigned(heard.head.substr(dash, heard.head.find("\r\n", dash) - dash)).value_or(0);
    if (hang_up_ > 0) {
      --hang_up_;
      return {};
    }
    const auto part = content_.substr(first, last - first + 1);
    return "HTTP/1.1 206 X\r\nContent-Length: " + std::to_string(part.size()) + "\r\nConnection: close\r\n\r\n" +
           part;
  }
  void Make(const std::string& content, const std::string& digest = {}) {
    content_ = content;
    artifacts_ = R"([{"name":"crop.mp4","url":"/x","size_bytes":)" + std::to_string(content.size()) +
                 R"(,"sha256":")" + (digest.empty() ? ToHex(Sha256(content)) : digest) + "\"}]";
  }
  ClientCommand Wanted(const std::string& target) const {
    auto command = Of(Kind::kFetch, {"j1"});
    command.file = target;
    return command;
  }
  static std::string Read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  fs::path folder_ = fs::temp_directory_path() / ("weir-fetch-" + std::to_string(::getpid()));
  std::string content_, artifacts_ = "[]", state_ = "succeeded";
  int hang_up_ = 0;
};

TEST_F(Fetch, AResultArrivesWholeOrNotAtAll) {
  std::string content(10'000'000, 'x');
  for (std::size_t at = 0; at < content.size(); at += 1000) {
    content[at] = static_cast<char>(at / 1000);
  }
  Make(content);
  hang_up_ = 1;
  CannedServer server([&](const Heard& heard) { return Answer(heard); });
  const auto target = (folder_ / "out.mp4").string();
  const auto code = Run(Wanted(target), server);
  ASSERT_TRUE(code) << Describe(code.error());
  EXPECT_EQ(out_, target + "\n");
  EXPECT_EQ(Read(target), content);
  EXPECT_EQ(slept_, std::chrono::seconds(1)) << "a broken connection is one part that is asked for again";
  EXPECT_THAT(server.lines(), SizeIs(1 + 1 + 3));
  EXPECT_THAT(Names(), ElementsAre("out.mp4"));

  // Nothing is replaced unless asked for, and not even asked for otherwise.
  Make("other");
  EXPECT_EQ(Run(Wanted(target), server).error().code, ErrorCode::kOutputExists);
  EXPECT_THAT(server.lines(), SizeIs(1 + 1 + 3 + 1));
  auto forced = Wanted(target);
  forced.overwrite = true;
  forced.json = true;
  EXPECT_TRUE(Run(forced, server));
  EXPECT_THAT(out_, AllOf(HasSubstr("\"size_bytes\":5"), HasSubstr("\"name\":\"crop.mp4\"")));
  EXPECT_EQ(Read(target), "other");

  // Another content than the job made leaves what was there.
  Make("damaged", std::string(64, 'a'));
  const auto refused = Run(forced, server);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kVerification);
  EXPECT_EQ(Read(target), "other");
  EXPECT_THAT(Names(), ElementsAre("out.mp4"));
}

TEST_F(Fetch, WithoutANameItIsTheResultsOwn) {
  Make("content");
  CannedServer server([&](const Heard& heard) { return Answer(heard); });
  EXPECT_TRUE(Run(Wanted(folder_.string()), server));
  EXPECT_EQ(Read(folder_ / "crop.mp4"), "content");
  EXPECT_EQ(Run(Wanted((folder_ / "none" / "x.mp4").string()), server).error().code, ErrorCode::kOutputFolder);
  artifacts_ = R"([{"name":"../evil","url":"/x","size_bytes":1,"sha256":")" + std::string(64, 'a') + "\"}]";
  EXPECT_EQ(Run(Wanted(folder_.string()), server).error().code, ErrorCode::kMalformed);
}

TEST_F(Fetch, WhatIsNotThereIsSaid) {
  CannedServer server([&](const Heard& heard) { return Answer(heard); });
  const auto refusal = [&](const std::string& name = {}) {
    auto command = Wanted((folder_ / "x").string());
    command.name = name;
    const auto code = Run(command, server);
    return code ? std::string("fetched") : code.error().detail;
  };
  EXPECT_THAT(refusal(), HasSubstr("no results"));
  Make("content");
  EXPECT_THAT(refusal("trim.mp4"), AllOf(HasSubstr("no result 'trim.mp4'"), HasSubstr("'crop.mp4'")));
  state_ = "running";
  EXPECT_THAT(refusal(), AllOf(HasSubstr("is running"), HasSubstr("weir watch j1")));
  state_ = "succeeded";
  artifacts_ = R"([{"name":"a","url":"/a"},{"name":"b","url":"/b"}])";
  EXPECT_THAT(refusal(), HasSubstr("'a', 'b'"));
  artifacts_ = R"([{"name":"a.mp4","path":"/srv/media/a.mp4","size_bytes":1}])";
  EXPECT_THAT(refusal(), HasSubstr("was put at '/srv/media/a.mp4'"));
  artifacts_ = R"([{"name":"crop.mp4","url":"/a"}])";
  EXPECT_THAT(refusal(), HasSubstr("does not tell"));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(Client, LabelsAreChangedOneByOneAndPrioritiesAtOnce) {
  CannedServer server([](const Heard&) { return Json(200, R"({"id":"j1","labels":{"a":"1","b":"2"}})"); });
  auto command = Of(Kind::kChange, {"j1"});
  command.priority = 70;
  EXPECT_EQ(*Run(command, server), 0);
  EXPECT_EQ(out_, "j1  changed\n");
  command.priority.reset();
  command.labels = {{"b", "3"}, {"c", "4"}};
  command.unlabel = {"a", "z"};
  EXPECT_EQ(*Run(command, server), 0);
  const auto heard = server.heard();
  ASSERT_THAT(heard, SizeIs(3));
  EXPECT_EQ(heard[0].line, "PATCH /v1/jobs/j1");
  EXPECT_EQ(heard[0].body, R"({"priority":70})");
  EXPECT_EQ(heard[1].line, "GET /v1/jobs/j1");
  EXPECT_EQ(heard[2].body, R"({"labels":{"b":"3","c":"4"}})");
}

TEST_F(Client, AnOutputThatIsMissingIsNamed) {
  CannedServer server([](const Heard&) { return Json(200, R"({"id":"j1"})"); });
  auto command = Of(Kind::kRetry, {"j1"});
  command.outputs = {"crop.mp4"};
  EXPECT_EQ(*Run(command, server), 0);
  EXPECT_EQ(*Run(Of(Kind::kRetry, {"j1"}), server), 0);
  EXPECT_EQ(server.heard()[0].body, R"({"outputs":["crop.mp4"]})");
  EXPECT_EQ(server.heard()[1].body, "");
}

TEST_F(Client, ListsAreNarrowedByLabelAndBatch) {
  CannedServer server([](const Heard&) { return Json(200, R"({"jobs":[],"next":null})"); });
  auto command = Of(Kind::kJobs);
  command.labels = {{"a b", "c=d"}};
  command.batch = "b1";
  EXPECT_EQ(*Run(command, server), 0);
  EXPECT_THAT(server.lines(), ElementsAre("GET /v1/jobs?limit=50&batch=b1&label=a%20b%3Dc%3Dd"));
}

TEST_F(Client, APageThatIsEmptyIsNotTheLast) {
  CannedServer server([](const Heard& heard) {
    return heard.line.find("cursor") == std::string::npos ? Json(200, R"({"jobs":[],"next":"7"})")
                                                          : Json(200, R"({"jobs":[{"id":"j1"}],"next":null})");
  });
  EXPECT_EQ(*Run(Of(Kind::kJobs), server), 0);
  EXPECT_THAT(out_, HasSubstr("j1"));
}

TEST_F(Client, APlanIsTheServers) {
  std::string refusal = "null";
  CannedServer server([&](const Heard&) {
    return Json(200, R"({"ladder":[{"name":"3 threads","costs":"none","forecast_peak_bytes":104857600,)"
                     R"("lease_bytes":115343360,"time_ratio":1.0},{"name":"lean","costs":"larger",)"
                     R"("forecast_peak_bytes":52428800,"lease_bytes":62914560,"time_ratio":1.5}],"notes":["a note"],)"
                     R"("input":{"video":{"width":1920,"height":1080,"codec":"h264","frame_rate":30.0},)"
                     R"("audio":[{"codec":"aac","layout":"mono"}],"duration_seconds":10.0},"budget_bytes":209715200,)"
                     R"("chosen":)" +
                         std::string(refusal == "null" ? "\"lean\"" : "null") + R"(,"refusal":)" + refusal + "}");
  });
  auto command = Of(Kind::kPlan);
  command.recipe = "crop";
  command.input = "in.mp4";
  EXPECT_EQ(*Run(command, server), 0);
  EXPECT_THAT(out_, AllOf(HasSubstr("1920x1080 h264, 30 fps, aac mono, 10.000 s"), HasSubstr("200.0 MiB"),
                          HasSubstr("  ->       50.0 MiB    60.0 MiB  1.50x  lean: larger\n"), HasSubstr("a note")));
  EXPECT_EQ(server.heard()[0].line, "POST /v1/plan");
  EXPECT_EQ(server.heard()[0].body, R"({"recipe":"crop","inputs":["in.mp4"]})");
  refusal = R"({"type":"over-budget","detail":"nothing fits"})";
  EXPECT_EQ(*Run(command, server), InfoOf(ErrorCode::kOverBudget).exit_code);
  EXPECT_THAT(out_, HasSubstr("none of them fits"));
  EXPECT_EQ(err_, "weir: nothing fits\n");
  command.json = true;
  EXPECT_EQ(*Run(command, server), InfoOf(ErrorCode::kOverBudget).exit_code);
  EXPECT_THAT(out_, StartsWith(R"({"ladder":[)"));
}

TEST_F(Client, ALogEndsWithTheReasonOfAFailure) {
  std::string job = R"({"id":"j1","state":"failed","ended":"2030-01-01T00:00:09.000Z",)"
                    R"("failure":{"title":"Input is damaged","detail":"'a.mp4' ends too soon"}})";
  std::string text = "failed";
  CannedServer server([&](const Heard& heard) {
    return heard.line.ends_with("/log")
               ? Json(200, R"({"lines":[{"time":"2030-01-01T00:00:00.000Z","type":"state","text":"queued"},)"
                           R"({"time":"2030-01-01T00:00:09.000Z","type":"state","text":")" +
                               text + "\"}]}")
               : Json(200, job);
  });
  EXPECT_EQ(*Run(Of(Kind::kLogs, {"j1"}), server), 0);
  EXPECT_THAT(out_, EndsWith("state     failed\n2030-01-01T00:00:09.000Z  failure   'a.mp4' ends too soon\n"));
  text = "failed: 'a.mp4' ends too soon";
  EXPECT_EQ(*Run(Of(Kind::kLogs, {"j1"}), server), 0);
  EXPECT_THAT(out_, EndsWith("state     failed: 'a.mp4' ends too soon\n")) << "told twice";
  text = "succeeded";
  job = R"({"id":"j1","state":"succeeded","failure":null})";
  EXPECT_EQ(*Run(Of(Kind::kLogs, {"j1"}), server), 0);
  EXPECT_THAT(out_, EndsWith("state     succeeded\n"));
}

TEST_F(Client, OnlyWhatHasNotEndedIsPaused) {
  CannedServer server([](const Heard&) {
    return Json(200, R"({"jobs":[{"id":"j2","state":"running","paused":true},)"
                     R"({"id":"j1","state":"cancelled","paused":true}],"next":null})");
  });
  EXPECT_EQ(*Run(Of(Kind::kJobs), server), 0);
  EXPECT_THAT(out_, AllOf(HasSubstr("running*\n"), HasSubstr("cancelled\n"),
                          EndsWith("* paused; \"weir resume ID\" lets it go on\n")));
  CannedServer ended([](const Heard& heard) {
    return heard.line.find('?') != std::string::npos
               ? Json(200, R"({"jobs":[{"id":"j1","state":"cancelled","paused":true}],"next":null})")
               : Json(200, R"({"id":"j1","state":"cancelled","paused":true,"batch":"b1"})");
  });
  EXPECT_EQ(*Run(Of(Kind::kJobs), ended), 0);
  EXPECT_THAT(out_, Not(HasSubstr("*")));
  EXPECT_EQ(*Run(Of(Kind::kShow, {"j1"}), ended), 0);
  EXPECT_THAT(out_, AllOf(HasSubstr("cancelled\n"), Not(HasSubstr("paused")), HasSubstr("batch     b1\n")));
}

TEST_F(Client, TheFirstMomentsOfProgressAreNotMeasured) {
  std::string progress;
  CannedServer server([&](const Heard& heard) {
    return heard.line.ends_with("/events")
               ? Events("event: progress\ndata: {\"progress\":" + progress + "}\n\n" + StateEvent(1, "succeeded"))
               : Json(200, R"({"id":"j1","state":"succeeded"})");
  });
  progress = R"({"ratio":0.001,"frame":1,"fps":0.0,"speed":40.6,"eta_seconds":0.2})";
  EXPECT_TRUE(Run(Of(Kind::kWatch, {"j1"}), server));
  EXPECT_THAT(err_, StartsWith("    0 %  frame 1\n"));
  progress = R"({"ratio":0.5,"frame":100,"fps":0.0,"speed":40.6,"eta_seconds":0.2})";
  EXPECT_TRUE(Run(Of(Kind::kWatch, {"j1"}), server));
  EXPECT_THAT(err_, StartsWith("   50 %  frame 100\n"));
  progress = R"({"ratio":0.5,"frame":100,"fps":99.5,"speed":4.0,"eta_seconds":9.0})";
  EXPECT_TRUE(Run(Of(Kind::kWatch, {"j1"}), server));
  EXPECT_THAT(err_, StartsWith("   50 %  frame 100, 4.00x, 9 s left\n"));
}

TEST_F(Client, AnAddressWithoutASchemeIsHttp) {
  CannedServer server([](const Heard&) { return Json(200, R"({"jobs":[],"next":null})"); });
  auto command = Of(Kind::kJobs);
  const auto plain = server.address().substr(std::string("http://").size());
  for (const auto& address : {plain, "localhost" + plain.substr(plain.find(':')), "HTTP://" + plain}) {
    command.server = address;
    EXPECT_TRUE(Run(command)) << address;
  }
  EXPECT_THAT(server.lines(), SizeIs(3));
  command.server = "https://video.example";
  const auto refused = Run(command);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBadParameters);
  EXPECT_THAT(refused.error().detail, AllOf(HasSubstr("https is not supported"), HasSubstr("ssh -N -L")));
  command.server = "ftp://video.example";
  EXPECT_EQ(Run(command).error().code, ErrorCode::kBadParameters);
}

}  // namespace
}  // namespace weir::app
