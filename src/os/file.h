// Files and folders: opening inputs, naming folders by descriptor, and the writes that survive a crash.
// Every descriptor is close-on-exec. Paths are taken as they are: no shell, no expansion.
// Any thread; nothing is kept between calls.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

// Which file this is, whatever its name: equal identities are the same file, also through links.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

// A name and where it is looked up: anywhere, from the working folder; or beneath the open folder `root`, out of
// which then no "..", link or replaced folder leads: kForbidden, whether or not there is anything. Links within are
// followed, but not absolute ones. A root needs CheckBeneath once.
struct Place {
  std::string path;
  std::string shown;  // in messages
  int root = -1;      // held by the caller; -1: anywhere
};
inline Place Anywhere(std::string path) { return {.path = path, .shown = std::move(path), .root = -1}; }

// Whether this system can look up names beneath a folder. Errors: kSystem (Linux before 5.6, or a filter forbids it).
Status CheckBeneath(int root);

// What a name leads to, links followed. nullopt: nothing is there. Opens nothing, so it never blocks.
struct Entry {
  FileIdentity identity;
  bool is_folder = false;
};
// Errors: kForbidden, kInputUnreadable, kSystem.
Result<std::optional<Entry>> LookUp(const Place& place);

struct InputFile {
  UniqueFd fd;  // read-only
  FileIdentity identity;
  Bytes size;
};

// Opens a regular file for reading. Never blocks on a FIFO or device.
// Errors: kInputMissing, kInputNotAFile, kInputUnreadable, kInputEmpty, kForbidden.
Result<InputFile> OpenInput(const Place& place);
inline Result<InputFile> OpenInput(const std::string& path) { return OpenInput(Anywhere(path)); }

// A regular file that a child wrote as `name` in `folder`: links, devices and folders are refused. Size may be zero.
// Errors: kInputMissing, kInputNotAFile, kInputUnreadable.
Result<InputFile> OpenProducedFile(int folder, const std::string& name);

enum class Access : std::uint8_t { kRead, kWrite };
// A folder by descriptor (O_PATH is not used: it can be fsynced and listed).
// Errors: kOutputFolder (missing, not a folder), kOutputUnwritable (kWrite and no permission or read-only),
// kForbidden.
Result<UniqueFd> OpenFolder(const Place& place, Access access);
inline Result<UniqueFd> OpenFolder(const std::string& path, Access access) {
  return OpenFolder(Anywhere(path), access);
}

// The identity behind `name` in `folder`, following links. Errors: kInputMissing when nothing is there.
Result<FileIdentity> Identify(int folder, const std::string& name);
// True when a directory entry `name` exists, dangling links included.
bool EntryExists(int folder, const std::string& name);

// "a/b/c.mp4" -> {"a/b", "c.mp4"}; "c.mp4" -> {".", "c.mp4"}. The name is empty for "a/", ".", "..".
std::pair<std::string, std::string> SplitPath(const std::string& path);
// The absolute path of an open folder or file, as the kernel knows it (/proc/self/fd). Empty when unknown.
std::string PathOf(int fd);

// mkdir with mode 0700. Errors: kOutputExists (the name is taken), kDiskFull, kOutputUnwritable, kSystem.
Status MakeFolder(int parent, const std::string& name);
// Opens `name` below `folder`, refusing links. flags: O_RDONLY/O_RDWR|O_CREAT... as open(2); O_CLOEXEC is added.
Result<UniqueFd> OpenAt(int folder, const std::string& name, int flags, unsigned mode = 0600);
// A folder, or an existing file, below `folder`; links are refused, and a FIFO or device does not block.
Result<UniqueFd> OpenFolderAt(int folder, const std::string& name);
Result<UniqueFd> OpenFileAt(int folder, const std::string& name, Access access);
// A file below `folder` for reading and writing, made (empty, 0600) when it is not there; links are refused.
Result<UniqueFd> OpenOrMakeFileAt(int folder, const std::string& name);
// Removes `name` below `folder` with everything in it; links are removed, never followed. Absent is fine.
Status RemoveTree(int folder, const std::string& name);
// Names in a folder without "." and "..", at most `limit` of them.
Result<std::vector<std::string>> ListFolder(int folder, std::size_t limit = 100000);
// Block-rounded bytes on disk of every file below `folder` (at most `limit` entries are visited).
Bytes DiskUse(int folder, std::size_t limit = 10000);

// An exclusive lock that the kernel drops with the descriptor, also on kill -9. False: somebody has it.
Result<bool> TryLock(int fd);

// Flushes file data and metadata. Errors: kDiskFull (ENOSPC, EDQUOT), kSystem.
Status Sync(int fd);
enum class Replace : std::uint8_t { kNo, kYes };
// Atomic rename between folders of one file system. kNo: kOutputExists when the target appeared meanwhile.
Status Rename(int from_folder, const std::string& from, int to_folder, const std::string& to, Replace replace);
// All of it. `name` is for the message. Errors: kDiskFull, kOutputUnwritable, kSystem.
Status WriteAll(int fd, std::string_view content, const std::string& name);
// Whole-file write for small records: temporary name, fsync, rename, fsync folder.
Status WriteFileAtomically(int folder, const std::string& name, std::string_view content);
// A small file as text, at most `limit` bytes. Errors: kInputMissing, kInputUnreadable.
Result<std::string> ReadSmallFile(const std::string& path, Bytes limit = Bytes::Kib(64));
Result<std::string> ReadSmallFileAt(int folder, const std::string& name, Bytes limit = Bytes::Kib(64));
// Copies at most `limit` bytes of the file into memory; used to look at the first bytes of an output.
Result<std::string> ReadPrefix(int fd, std::uint64_t offset, Bytes limit);
// Fills `into` from `offset`, as far as the file goes: the number of bytes read. Does not move the descriptor.
Result<std::size_t> ReadAt(int fd, std::uint64_t offset, std::span<char> into);

// Space that this user may still write on the file system of `fd`.
Result<Bytes> FreeDisk(int fd);

// Whether files beside `fd` are memory: tmpfs, ramfs. False when that cannot be told.
bool LiesInMemory(int fd);

// Creates missing folders of `path` (0700) and opens the last one. For our own state folder.
Result<UniqueFd> EnsureFolder(const std::string& path);

}  // namespace weir::os
