// The two ends of a run: Source, the opened and identified input, and Target, the checked place of the result.
// Both hold descriptors, so that what was checked is what is used, whatever happens to the names meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "base/sha256.h"
#include "os/file.h"
#include "store/work_folder.h"

namespace weir::store {

struct Source {
  std::string path;  // as the user wrote it; for messages only
  os::InputFile file;
};

// Errors: kInputMissing, kInputNotAFile, kInputUnreadable, kInputEmpty, kForbidden (beneath a root, and leads out of
// it).
Result<Source> OpenSource(const os::Place& place);
inline Result<Source> OpenSource(const std::string& path) { return OpenSource(os::Anywhere(path)); }

struct Target {
  std::string path;  // as the user wrote it
  std::string name;  // the last component
  std::string folder_path;
  os::UniqueFd folder;
  os::Replace replace = os::Replace::kNo;
};

// Looks at the place before any work is done. Nothing is created.
// Errors: kOutputFolder, kOutputUnwritable, kOutputExists (unless `overwrite`), kOutputIsInput (also through a
// link, and with `overwrite`), kOutputFormat (no file name), kDiskFull (nothing free at all), kForbidden.
Result<Target> OpenTarget(const os::Place& place, bool overwrite, const Source& source);
inline Result<Target> OpenTarget(const std::string& path, bool overwrite, const Source& source) {
  return OpenTarget(os::Anywhere(path), overwrite, source);
}

// For deciding whether a result will fit: space left to this user, and a text that is the same for the same disk.
Bytes FreeSpace(const Target& target);
std::string DiskOf(const Target& target);
// The same for the same file on this machine, under whatever name.
std::string IdentityOf(const Produced& produced);
std::string IdentityOf(const Source& source);
// The same as long as the content is. nullopt: it changed so short a time ago that another change could leave no
// trace.
std::optional<std::string> SettledVersionOf(const Source& source);
Bytes SizeOf(const Produced& produced);
// The first `limit` bytes of what was produced.
Result<std::string> FrontOf(const Produced& produced, Bytes limit);

// SHA-256 of what was produced, read through a fixed buffer. One thread at a time.
class OutputDigest {
 public:
  explicit OutputDigest(std::shared_ptr<const Produced> produced) : produced_(std::move(produced)) {}
  // Reads on, at most `most`; blocks. Errors: kSystem.
  Status Step(Bytes most);
  [[nodiscard]] bool done() const { return done_; }
  std::string Text();  // 64 hexadecimal digits; once, when done

 private:
  std::shared_ptr<const Produced> produced_;
  Sha256Hasher hasher_;
  std::uint64_t at_ = 0;
  bool done_ = false;
};

}  // namespace weir::store
