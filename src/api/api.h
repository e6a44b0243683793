// Api: HTTP words to our words and back: routes, JSON, status codes, event feeds. Decides nothing about jobs.
// The routes of the systems that Weir replaces are here as well, answered from the same facts.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/governance.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "http/message.h"
#include "http/server.h"
#include "jobs/service.h"

namespace weir::api {

// One part of the daemon.
struct ServiceState {
  std::string name;
  bool loaded = false;
  std::optional<WallTime> since;  // while loaded
  std::optional<Bytes> bytes;     // that it holds or took; nullopt: unknown
};

// What the control group around the daemon and its children is charged with.
struct GroupReading {
  Bytes now;
  std::optional<Bytes> limit;
  std::optional<Bytes> peak;
  Bytes page_cache;  // of `now`
  Bytes on_tmpfs;    // of `now`
  std::uint64_t oom_kills = 0;
};

// What the daemon as a whole is doing, read anew at each call.
struct SystemReading {
  Bytes budget;
  Bytes own_use;  // set aside for the daemon
  Bytes leased;
  Bytes available;
  std::string backend;            // of the limits: "cgroup-v2", ...
  std::string enclosed = "none";  // within one limit: "tree", "children", "none"
  std::optional<GroupReading> group;
  Bytes own_memory;           // PSS of the daemon
  Bytes tree_memory;          // with all its children
  std::size_t processes = 0;  // children
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  std::size_t slots = 0;
  std::size_t most_queued = 0;
  std::vector<ServiceState> services;
  bool ffmpeg = true;     // can be run, as it could at the start
  bool ffprobe = true;    // as well
  std::string not_ready;  // why no work can be taken; "" when it can
  http::ServerFigures http;
  Governance governance;
};

struct Facts {  // that do not change while it runs
  std::string version;
  std::string ffmpeg;
  std::string ffprobe;
  std::string ffmpeg_version;
  std::vector<std::string> missing_layers;
  SteadyTime started{};
};

// Of the served OpenAPI document, which is made at its first use and let go when nobody asks for it any more.
struct DocumentState {
  bool loaded = false;
  WallTime since{};  // when it was made
  Bytes size;
};

class Api {
 public:
  // All outlive this. `artifacts` as given to the service. `clean_up` lets go of what can be had again and returns
  // by how much the daemon's memory is less than before. `history` is asked by whoever wants to see it.
  Api(const Clock& clock, jobs::JobService& service, const store::Artifacts& artifacts, Facts facts,
      std::function<SystemReading()> reading, std::function<Bytes()> clean_up,
      std::function<GovernanceHistory()> history);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  ~Api();

  // The handler for http::Server.
  boost::asio::awaitable<http::Response> Answer(http::Request request);
  [[nodiscard]] DocumentState document() const;
  // Kept to be answered again: the document, rendered answers.
  [[nodiscard]] Bytes bytes() const;
  // Texts that are kept only because they may be asked for again go.
  void LetGo();

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::api
