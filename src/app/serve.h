// The daemon: every part built in order and torn down in reverse, and the order of its end.
#pragma once

#include "app/server_commands.h"

namespace weir::app {

// Runs until told to end; the exit code. SIGTERM and SIGINT: no new work, what runs may end within the grace, then it
// is stopped and queued for the next life. Again: at once, with the same care for what is on disk. SIGHUP: the
// configuration is read anew, and what can change in a running server changes.
int Serve(const ServeCommand& command);

}  // namespace weir::app
