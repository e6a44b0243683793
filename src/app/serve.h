// The daemon: every part built in order and torn down in reverse, and the order of its end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "app/invocation.h"
#include "base/bytes.h"
#include "http/server.h"
#include "jobs/scheduler.h"
#include "jobs/service.h"

namespace weir::app {

struct ServeSettings {
  Settings session;  // memory, tools, limits
  std::string data_folder;
  std::vector<std::string> media_roots;
  http::ServerSettings server;
  jobs::SchedulerSettings order;
  bool slots_given = false;  // else as many as processors
  jobs::ServiceSettings service;
  std::chrono::milliseconds stop_grace{30'000};
};

// Runs until told to end; the exit code. SIGTERM and SIGINT: no new work, what runs may end within the grace, then it
// is stopped and queued for the next life. Again: at once, with the same care for what is on disk.
int Serve(ServeSettings settings);

}  // namespace weir::app
