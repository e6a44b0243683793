// Finding a program and telling one build of it from another. Runs nothing.
#pragma once

#include <string>

#include "base/result.h"

namespace weir::os {

// A path (anything with a slash) is taken as it is; a bare name is looked for in PATH. The answer is absolute,
// links resolved. Errors: kToolMissing, with where it was looked for.
Result<std::string> FindProgram(const std::string& name_or_path);

// Changes whenever the file does. Errors: kToolMissing.
Result<std::string> ProgramFileStamp(const std::string& path);

// Changes whenever the file, the dynamic linker's cache or the running kernel changes: what was found out about
// a program holds as long as its stamp is the same.
Result<std::string> ProgramStamp(const std::string& path);

// The folder in which a program lies, or empty when it is one that is too wide to open to a child: the file
// system's root, the home folder, a shared temporary folder.
std::string OwnFolderOf(const std::string& program);

// Whether a stream is a terminal, and how large it is (80 by 24 when unknown).
struct Terminal {
  bool interactive = false;
  unsigned columns = 80;
  unsigned rows = 24;
};
Terminal StandardError();
Terminal StandardOutput();

}  // namespace weir::os
