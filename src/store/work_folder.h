// WorkFolder: the private folder that one run works in, made beside its result so that publishing is a rename.
// It is recorded before it exists and locked while it is used; a later start removes what an earlier life left.
// Disk format: docs/formats/work-folders.md.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "os/file.h"

namespace weir::store {

// The folder of our own records: $WEIR_STATE_DIR, else $XDG_STATE_HOME/weir, else ~/.local/state/weir, else
// a private folder below /tmp. Made on first use. A WEIR_STATE_DIR that cannot be used is an error, not passed over.
class StateFolder {
 public:
  // Errors: kOutputUnwritable when none of them can be made; kSystem.
  static Result<StateFolder> Open();
  [[nodiscard]] int runs() const { return runs_.get(); }    // records of working folders
  [[nodiscard]] int cache() const { return cache_.get(); }  // what can be found out again
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  os::UniqueFd runs_;
  os::UniqueFd cache_;
  std::string path_;
};

// What a sweep found, for the log.
struct Swept {
  std::vector<std::string> ids;
  std::vector<std::string> problems;  // what could not be removed, and why
};
// Removes the working folders of runs whose owner is gone. Only folders that carry our marker (or are empty) are
// touched. A run whose target folder is away (an unmounted disk) is named again by every sweep, for a week.
// Any number of processes may sweep and work at once.
Swept SweepAbandoned(const StateFolder& state);

// Move-only. Destruction removes the folder with all that is in it, then its record.
class WorkFolder {
 public:
  // Makes ".weir-<id>" in `target_folder`, which may be closed afterwards. After an error nothing is left.
  // Errors: kOutputUnwritable, kDiskFull, kSystem.
  static Result<WorkFolder> Create(const StateFolder& state, int target_folder, const std::string& id);
  WorkFolder(WorkFolder&& other) noexcept;
  WorkFolder& operator=(WorkFolder&& other) noexcept;
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder();

  // Where the child works: an empty folder of its own, without our marker in it.
  [[nodiscard]] int fd() const { return child_fd_.get(); }
  [[nodiscard]] const std::string& id() const { return id_; }
  // On a file system whose files are memory, such as tmpfs.
  [[nodiscard]] bool is_in_memory() const { return os::LiesInMemory(fd()); }

 private:
  WorkFolder() = default;
  Status Make(int runs, int target_folder, const std::string& id, const std::string& path);
  void Remove();
  os::UniqueFd records_;  // the folder of records
  os::UniqueFd record_;   // locked: the owner is alive
  os::UniqueFd target_;
  os::UniqueFd folder_;  // ".weir-<id>"
  os::UniqueFd marker_;  // locked as well
  os::UniqueFd child_fd_;
  std::string id_;
};

// Publishing is three steps, because the outer two may take seconds on a busy disk: Settle, Publish, SettleName.
//
// What the child wrote as `name` in the working folder, opened for reading; links and anything but a regular file
// are refused. Errors: kVerification.
struct Produced {
  std::string name;
  os::UniqueFd fd;
  Bytes size;
};
Result<Produced> OpenProduced(const WorkFolder& work, const std::string& name);
// Flushes the content to disk. Any thread. Errors: kDiskFull, kSystem.
Status Settle(const Produced& produced);
// Makes it appear as `name` in the target folder, whole or not at all; an error means that nothing appeared, also
// when what is in the working folder is not any more the file that was opened, or of another size. The file keeps
// the permissions that it was made with. Errors: kOutputExists, kDiskFull, kOutputUnwritable, kSystem.
Status Publish(const WorkFolder& work, const Produced& produced, int target_folder, const std::string& name,
               os::Replace replace);
// Flushes the new name. Any thread. It is there and cannot be taken back, so a refusal is a warning in the log.
void SettleName(int target_folder, const std::string& name);

}  // namespace weir::store
