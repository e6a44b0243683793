#include "store/endpoints.h"

#include <utility>

#include "base/text.h"
#include "os/ownership.h"

namespace weir::store {

Result<Source> OpenSource(const std::string& path) {
  WEIR_ASSIGN(auto file, os::OpenInput(path));
  return Source{.path = path, .file = std::move(file)};
}

Result<Target> OpenTarget(const std::string& path, bool overwrite, const Source& source) {
  Target target;
  target.path = path;
  target.replace = overwrite ? os::Replace::kYes : os::Replace::kNo;
  std::tie(target.folder_path, target.name) = os::SplitPath(path);
  if (target.name.empty()) {
    return Fail(ErrorCode::kOutputFormat,
                "the output " + Quoted(path) + " names a folder, not a file; add a file name");
  }
  WEIR_ASSIGN(target.folder, os::OpenFolder(target.folder_path, os::Access::kWrite));

  if (auto identity = os::Identify(target.folder.get(), target.name)) {
    if (*identity == source.file.identity) {
      return Fail(ErrorCode::kOutputIsInput, "the output " + Quoted(path) + " is the input file " +
                                                 Quoted(source.path) + " itself; give another output name");
    }
  }
  if (os::OpenFolder(path, os::Access::kRead)) {
    return Fail(ErrorCode::kOutputFolder, "the output " + Quoted(path) + " is a folder; add a file name");
  }
  if (!overwrite && os::EntryExists(target.folder.get(), target.name)) {
    return Fail(ErrorCode::kOutputExists,
                "the output " + Quoted(path) + " exists already; use --force to replace it, or another name");
  }
  WEIR_ASSIGN(const Bytes free, os::FreeDisk(target.folder.get()));
  if (free == Bytes()) {
    return Fail(ErrorCode::kDiskFull,
                "no space is left on the disk of " + Quoted(target.folder_path) + "; free some");
  }
  return target;
}

Bytes FreeSpace(const Target& target) { return os::FreeDisk(target.folder.get()).value_or(Bytes()); }

std::string DiskOf(const Target& target) { return std::to_string(os::IdentityOf(target.folder.get()).device); }

namespace {

std::string AsText(const os::FileIdentity& identity) {
  return std::to_string(identity.device) + ":" + std::to_string(identity.inode);
}

}  // namespace

std::string IdentityOf(const Produced& produced) { return AsText(os::IdentityOf(produced.fd.get())); }
std::string IdentityOf(const Source& source) { return AsText(source.file.identity); }

Result<std::string> FrontOf(const Produced& produced, Bytes limit) {
  return os::ReadPrefix(produced.fd.get(), 0, limit);
}

}  // namespace weir::store
