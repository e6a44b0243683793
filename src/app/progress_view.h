// The progress of one run on standard error: a bar on a terminal, plain lines at tenths otherwise.
#pragma once

#include <cstdio>

#include "base/bytes.h"
#include "base/clock.h"
#include "media/plan.h"
#include "media/progress.h"
#include "os/program.h"

namespace weir::app {

// One thread. Clears its bar when destroyed or told to.
class ProgressView {
 public:
  ProgressView(os::Terminal terminal, bool quiet) : terminal_(terminal), quiet_(quiet) {}
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;
  ~ProgressView() { Clear(); }

  void Show(const media::Progress& progress, const media::Plan& plan, Bytes memory);
  void Phase(const char* what);
  void Clear();

 private:
  os::Terminal terminal_;
  bool quiet_;
  bool drawn_ = false;
  int last_tenth_ = -1;
};

}  // namespace weir::app
