// MediaRoots: the folders under which HTTP callers may name files. Names are text from strangers: they are resolved
// by the kernel beneath an open folder, so that no "..", link, or folder replaced meanwhile leads out of it. Links
// within a root are followed as long as they are relative and stay inside; all others are refused. After Open nothing
// changes: any thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "store/endpoints.h"

namespace weir::store {

class MediaRoots {
 public:
  // Opens each folder once and holds it: whoever replaces one later changes nothing here. None at all means that no
  // file may be named. A folder may be given through a link, and callers may name it either way.
  // Errors: kOutputFolder, kOutputUnwritable (no permission to use it), kSystem (no openat2: Linux 5.6 is needed);
  // each names the folder.
  static Result<MediaRoots> Open(const std::vector<std::string>& folders);

  // A relative path is tried below each root in order, and is the first that exists. An absolute path must lie below
  // a root, component by component, and is looked up there. Errors: those of OpenSource. kForbidden for everything
  // that is not below a root, whether or not it exists: "..", links that lead out, and names that are empty, too long
  // or hold a NUL.
  Result<Source> OpenInput(const std::string& path) const;
  // As above, in the first root that has the folder of `path`. Errors: those of OpenTarget; kForbidden.
  Result<Target> OpenOutput(const std::string& path, bool overwrite, const Source& source) const;

  // The folders as they are on disk now, for diagnostics: "/srv/media, /srv/more", or "none".
  [[nodiscard]] std::string Describe() const;

 private:
  struct Root {
    os::UniqueFd folder;
    std::vector<std::string> names;  // absolute, without "." and doubled slashes, ending in one slash
  };
  // Where `path` may be, in the order of the roots; never empty. Error: kForbidden.
  [[nodiscard]] Result<std::vector<os::Place>> PlacesOf(const std::string& path) const;

  std::vector<Root> roots_;
};

}  // namespace weir::store
