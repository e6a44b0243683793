// Ownership: files that say by a kernel lock that their maker is alive, and folders that nobody else may write to.
// Not a lock between threads: one descriptor, one owner. Any thread; nothing is kept between calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"
#include "os/file.h"

namespace weir::os {

enum class Locking : std::uint8_t {
  kRequired,
  kIfPossible,  // some file systems have no locks; the file is made all the same
};
// Makes `name` with `content` (mode 0600) so that nobody ever sees it in part or unlocked: written, flushed and
// locked as ".new-<name>", then renamed. The lock lasts as long as the descriptor. `name` must not exist yet.
// Errors: kDiskFull, kOutputUnwritable, kSystem; then nothing is left.
Result<UniqueFd> CreateLockedFile(int folder, const std::string& name, std::string_view content, Locking locking);
// What it is called until it is whole.
std::string UnfinishedName(const std::string& name);

// True when `name` in `folder` is the very file behind `fd`. To be asked after a lock was taken: the name may
// have been removed or given to another file between opening and locking.
bool IsStill(int folder, const std::string& name, int fd);
bool IsRegularFile(int fd);
FileIdentity IdentityOf(int fd);
Bytes SizeOf(int fd);
// One content of one file: any write changes it.
struct FileVersion {
  FileIdentity file;
  Bytes size;
  std::int64_t modified_ns = 0;  // since 1970, as the file system says
  std::int64_t changed_ns = 0;   // of its content or attributes, which only the kernel sets
  bool operator==(const FileVersion&) const = default;
};
// nullopt when it was changed within the last two seconds, or in the future: file systems keep times in steps of up
// to two seconds, so that the next change could leave no trace.
std::optional<FileVersion> SettledVersionOf(int fd);
// Time since the last change of the content; zero when in the future or unknown.
std::chrono::seconds AgeOf(int fd);

enum class Trust : std::uint8_t {
  kOnlyUs,    // ours, and writable by nobody else
  kNotByAll,  // not writable by everybody
};
// Errors: kOutputUnwritable, with the reason.
Status CheckFolder(int folder, Trust trust);
// The number of the user that this process acts as.
unsigned CurrentUser();
int CurrentProcess();

// A second descriptor of the same folder. Errors: kSystem.
Result<UniqueFd> Duplicate(int fd);
// Removes a folder that has nothing in it. Errors: kSystem, also when there is something in it.
Status RemoveEmptyFolder(int parent, const std::string& name);

}  // namespace weir::os
