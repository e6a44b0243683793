// Talk: what the client's commands have in common: asking the server, saying what it answered, and showing how far
// something is. Not a command, and it knows nothing of jobs beyond where they are. Blocking; one thread.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/client.h"
#include "base/error.h"
#include "base/result.h"
#include "http/client.h"

namespace weir::app {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline constexpr int kPatientTries = 60;  // about a second apart: a server that starts again, or that is too busy

// One part of a path or of a query.
std::string Encoded(std::string_view text);
std::string JobTarget(const std::string& id, const char* what = "");
std::string BatchTarget(const std::string& id, const char* what = "");
// Whether the same may be answered a little later.
bool WorthWaiting(ErrorCode code);
// How long a busy server wants to be left alone, 1 to 30 s.
std::chrono::seconds PauseAfter(const Error& error);

// "inputs" and "outputs" of a job's body, by absolute paths where they are here, so that the server finds the same
// files; the rest is for the server to find. What is neither text nor a list stays as it is.
void NamePathsFromHere(boost::json::object& body);
boost::json::object LabelsOf(const ClientCommand& command);

// Something that advances: a bar on a terminal, a line at each tenth otherwise. Cleared when destroyed.
class ProgressLine {
 public:
  explicit ProgressLine(const ClientStreams& streams) : streams_(streams) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { Clear(); }

  // `ratio`: 0 to 1; negative: not known.
  void Show(double ratio, const std::string& text);
  // A line that stays; what is shown after it begins anew.
  void Say(const std::string& text);
  void Clear();

 private:
  const ClientStreams& streams_;
  bool drawn_ = false;
  int last_tenth_ = -1;
};

class Talk {
 public:
  // Both outlive this.
  Talk(const ClientCommand& command, const ClientStreams& streams, http::Client client)
      : command_(command), streams_(streams), client_(std::move(client)) {}

  [[nodiscard]] const ClientCommand& command() const { return command_; }
  [[nodiscard]] const ClientStreams& streams() const { return streams_; }
  [[nodiscard]] const http::Client& client() const { return client_; }

  // A good answer as it came. Errors: also those of the server.
  [[nodiscard]] Result<http::Answer> AskRaw(http::Method method, const std::string& target, const std::string& body,
                                            const Headers& headers,
                                            std::chrono::milliseconds patience = std::chrono::seconds(60)) const;
  // The document of a good answer; null when it had no body.
  [[nodiscard]] Result<boost::json::value> Ask(http::Method method, const std::string& target,
                                               const std::string& body = {}, Headers headers = {},
                                               std::chrono::milliseconds patience = std::chrono::seconds(60)) const;
  struct Listed {
    boost::json::array jobs;
    boost::json::value next;  // not null: there are more
  };
  // At most `wanted` jobs, newest first, page by page. `query`: "&state=failed", or "".
  [[nodiscard]] Result<Listed> ListJobs(const std::string& query, std::size_t wanted) const;

  // On standard output; `code` when it could be written.
  [[nodiscard]] Result<int> Say(const std::string& text, int code = 0) const;
  [[nodiscard]] Result<int> SayJson(const boost::json::value& document, int code = 0) const;
  // A sentence on standard error.
  void Complain(const std::string& sentence) const;
  void Complain(const Error& error) const;

 private:
  const ClientCommand& command_;
  const ClientStreams& streams_;
  http::Client client_;
};

// The "id" of what was accepted. Errors: kMalformed.
Result<std::string> IdOf(const boost::json::value& document, const char* what);
// The cursor of a page's "next"; "" when there is none.
std::string CursorOf(const boost::json::value& next);

// The commands that have files of their own. Exit codes.
Result<int> RunBatch(const Talk& talk);        // kBatch: client_batch.cc
Result<int> RunBatchShow(const Talk& talk);    // kBatchShow
Result<int> RunBatchCancel(const Talk& talk);  // kBatchCancel
Result<int> RunFetch(const Talk& talk);        // kFetch: client_fetch.cc
Result<int> RunExplain(const Talk& talk);      // kExplain: explain.cc

}  // namespace weir::app
