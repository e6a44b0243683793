#include "store/endpoints.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "os/ownership.h"

namespace weir::store {

Result<Source> OpenSource(const os::Place& place) {
  WEIR_ASSIGN(auto file, os::OpenInput(place));
  return Source{.path = place.shown, .file = std::move(file)};
}

Result<Target> OpenTarget(const os::Place& place, bool overwrite, const Source& source) {
  const std::string& path = place.shown;
  Target target;
  target.path = path;
  target.replace = overwrite ? os::Replace::kYes : os::Replace::kNo;
  os::Place folder{.path = {}, .shown = {}, .root = place.root};
  std::tie(folder.path, target.name) = os::SplitPath(place.path);
  if (target.name.empty()) {
    return Fail(ErrorCode::kOutputFormat,
                "the output " + Quoted(path) + " names a folder, not a file; add a file name");
  }
  target.folder_path = os::SplitPath(path).first;
  if (place.root >= 0 && target.folder_path == ".") target.folder_path = os::PathOf(place.root);
  folder.shown = target.folder_path;
  WEIR_ASSIGN(target.folder, os::OpenFolder(folder, os::Access::kWrite));

  const auto there = os::LookUp(place);
  if (!there && there.error().code == ErrorCode::kForbidden) return Fail(there.error());
  if (there && *there && (*there)->identity == source.file.identity) {
    return Fail(ErrorCode::kOutputIsInput, "the output " + Quoted(path) + " is the input file " +
                                               Quoted(source.path) + " itself; give another output name");
  }
  if (there && *there && (*there)->is_folder) {
    return Fail(ErrorCode::kOutputFolder, "the output " + Quoted(path) + " is a folder; add a file name");
  }
  if (!overwrite && os::EntryExists(target.folder.get(), target.name)) {
    return Fail(ErrorCode::kOutputExists, "the output " + Quoted(path) +
                                              " exists already; allow it to be replaced (--force, or \"overwrite\": "
                                              "true in a request), or use another name");
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

std::optional<std::string> SettledVersionOf(const Source& source) {
  const auto version = os::SettledVersionOf(source.file.fd.get());
  if (!version) {
    return std::nullopt;
  }
  return AsText(version->file) + " " + std::to_string(version->size.count()) + " " +
         std::to_string(version->modified_ns) + " " + std::to_string(version->changed_ns);
}

Bytes SizeOf(const Produced& produced) { return os::SizeOf(produced.fd.get()); }

Result<std::string> FrontOf(const Produced& produced, Bytes limit) {
  return os::ReadPrefix(produced.fd.get(), 0, limit);
}

Status OutputDigest::Step(Bytes most) {
  std::array<char, 64 * 1024> buffer{};
  const std::uint64_t end = std::min(produced_->size.count(), at_ + most.count());
  while (at_ < end) {
    const auto got = os::ReadAt(produced_->fd.get(), at_, buffer);
    // Our own file: nobody's input is at fault.
    if (!got || *got == 0) {
      Error error{.code = ErrorCode::kSystem, .detail = "what was produced cannot be read again"};
      return Fail(got ? std::move(error) : std::move(error).From(got.error()));
    }
    hasher_.Add(std::string_view(buffer.data(), *got));
    at_ += *got;
  }
  done_ = at_ >= produced_->size.count();
  return {};
}

std::string OutputDigest::Text() { return ToHex(hasher_.Digest()); }

}  // namespace weir::store
