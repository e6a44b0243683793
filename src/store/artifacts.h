// Artifacts: the results that nobody named a place for, in a folder for each job below the data folder:
// artifacts/<job>/<name>. They appear by rename, whole; they go with their job. Any thread.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"
#include "store/endpoints.h"

namespace weir::store {

class Artifacts {
 public:
  // Makes "artifacts" below the data folder. Errors: kOutputUnwritable, kDiskFull.
  static Result<Artifacts> Open(const std::string& data_folder);

  // Where a job's result goes; its folder is made. What a dead attempt published there is replaced.
  Result<Target> OpenTarget(const std::string& job, const std::string& name) const;
  struct File {
    os::UniqueFd fd;
    Bytes size;
    std::string identity;  // see IdentityOf(Produced)
  };
  // Errors: kNotFound.
  Result<File> OpenFile(const std::string& job, const std::string& name) const;
  // The job's folder with all in it; absent is fine.
  Status Remove(const std::string& job) const;
  // Jobs that have a folder, at most `limit`.
  [[nodiscard]] Result<std::vector<std::string>> Jobs(std::size_t limit) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  os::UniqueFd folder_;
  std::string path_;
};

}  // namespace weir::store
