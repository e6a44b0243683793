#include "store/artifacts.h"

#include <utility>

#include "base/id.h"
#include "base/text.h"
#include "os/file.h"
#include "os/ownership.h"

namespace weir::store {

Result<Artifacts> Artifacts::Open(const std::string& data_folder) {
  Artifacts artifacts;
  WEIR_ASSIGN(artifacts.folder_, os::EnsureFolder(data_folder + "/artifacts"));
  artifacts.path_ = os::PathOf(artifacts.folder_.get());
  return artifacts;
}

Result<Target> Artifacts::OpenTarget(const std::string& job, const std::string& name) const {
  if (!IsId(job)) {
    return Fail(ErrorCode::kInternal, Quoted(job) + " is not the id of a job");
  }
  if (!os::EntryExists(folder_.get(), job)) {
    WEIR_TRY(os::MakeFolder(folder_.get(), job));
    WEIR_TRY(os::Sync(folder_.get()));
  }
  Target target;
  target.name = name;
  target.folder_path = path_ + "/" + job;
  target.path = target.folder_path + "/" + name;
  target.replace = os::Replace::kYes;
  WEIR_ASSIGN(target.folder, os::OpenFolderAt(folder_.get(), job));
  return target;
}

Result<Artifacts::File> Artifacts::OpenFile(const std::string& job, const std::string& name) const {
  const Error missing{.code = ErrorCode::kNotFound,
                      .detail = "job " + Quoted(job) + " has no artefact " + Quoted(name)};
  if (!IsId(job) || name.empty() || name.front() == '.' || name.find('/') != std::string::npos) {
    return Fail(missing);
  }
  const auto folder = os::OpenFolderAt(folder_.get(), job);
  if (!folder) {
    return Fail(missing);
  }
  auto file = os::OpenProducedFile(folder->get(), name);
  if (!file) {
    return Fail(missing);
  }
  return File{.fd = std::move(file->fd),
              .size = file->size,
              .identity = std::to_string(file->identity.device) + ":" + std::to_string(file->identity.inode)};
}

Status Artifacts::Remove(const std::string& job) const {
  if (!IsId(job)) {
    return Fail(ErrorCode::kInternal, Quoted(job) + " is not the id of a job");
  }
  return os::RemoveTree(folder_.get(), job);
}

Result<std::vector<std::string>> Artifacts::Jobs(std::size_t limit) const {
  WEIR_ASSIGN(auto names, os::ListFolder(folder_.get(), limit));
  std::erase_if(names, [](const std::string& name) { return !IsId(name); });
  return names;
}

}  // namespace weir::store
