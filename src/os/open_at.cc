#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace weir::os {

Result<InputFile> OpenProducedFile(int folder, const std::string& name) {
  UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) {
    const int reason = errno;
    const ErrorCode code = reason == ENOENT  ? ErrorCode::kInputMissing
                           : reason == ELOOP ? ErrorCode::kInputNotAFile
                                             : ErrorCode::kInputUnreadable;
    return Fail(SystemError("cannot open the produced file " + Quoted(name), reason, code));
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) {
    return Fail(SystemError("cannot look at the produced file " + Quoted(name), errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(ErrorCode::kInputNotAFile, "the produced " + Quoted(name) + " is not a regular file");
  }
  return InputFile{.fd = std::move(fd),
                   .identity = {.device = status.st_dev, .inode = status.st_ino},
                   .size = Bytes(static_cast<std::uint64_t>(status.st_size))};
}

Result<UniqueFd> OpenFolderAt(int folder, const std::string& name) {
  return OpenAt(folder, name, O_RDONLY | O_DIRECTORY);
}

Result<UniqueFd> OpenFileAt(int folder, const std::string& name, Access access) {
  return OpenAt(folder, name, (access == Access::kWrite ? O_RDWR : O_RDONLY) | O_NONBLOCK);
}

Result<UniqueFd> OpenOrMakeFileAt(int folder, const std::string& name) {
  return OpenAt(folder, name, O_RDWR | O_CREAT | O_NONBLOCK);
}

}  // namespace weir::os
