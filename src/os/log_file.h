// LogFile: a file to which lines are appended, in pieces of a bounded size: `path` is the current one, `path`.1 the
// one before, and so on. It stays at its name: when somebody moves or removes the file, the next line begins a new
// one. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

class LogFile {
 public:
  // Goes on where the file ends. `size`: of each, except for a longer single line; `files`: how many are kept, the
  // current one included; older ones, up to number 99, are removed. Errors: kOutputUnwritable.
  static Result<std::unique_ptr<LogFile>> Open(std::string path, Bytes size, int files);

  // The whole line, newline included, or nothing of it. When the older files cannot be moved on, the current one
  // begins anew all the same: the size is what is kept. Errors: kDiskFull, kOutputUnwritable.
  Status Write(std::string_view line);

 private:
  LogFile(std::string path, Bytes size, int files) : path_(std::move(path)), most_(size.count()), files_(files) {}
  Status OpenCurrent();
  Status BeginNext();
  [[nodiscard]] bool IsAtItsName() const;
  [[nodiscard]] std::string Numbered(int number) const;

  std::string path_;
  std::uint64_t most_;
  int files_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;
};

}  // namespace weir::os
