#include "os/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/text.h"

namespace weir::os {
namespace {

constexpr int kMostFiles = 100;

}  // namespace

Result<std::unique_ptr<LogFile>> LogFile::Open(std::string path, Bytes size, int files) {
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the constructor is private
  std::unique_ptr<LogFile> log(new LogFile(std::move(path), size, std::clamp(files, 1, kMostFiles)));
  WEIR_TRY(log->OpenCurrent());
  for (int number = log->files_; number < kMostFiles; ++number) {
    ::unlink(log->Numbered(number).c_str());
  }
  return log;
}

std::string LogFile::Numbered(int number) const { return number == 0 ? path_ : path_ + "." + std::to_string(number); }

Status LogFile::OpenCurrent() {
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
  struct stat state{};
  if (!fd_ || ::fstat(fd_.get(), &state) != 0) {
    const int reason = errno;
    fd_.Close();
    return Fail(
        SystemError("cannot write the log file " + Quoted(path_), reason,
                    reason == ENOSPC || reason == EDQUOT ? ErrorCode::kDiskFull : ErrorCode::kOutputUnwritable));
  }
  if (!S_ISREG(state.st_mode)) {
    fd_.Close();
    return Fail(ErrorCode::kOutputUnwritable, "the log file " + Quoted(path_) + " is not a file");
  }
  size_ = static_cast<std::uint64_t>(state.st_size);
  return {};
}

bool LogFile::IsAtItsName() const {
  struct stat open{};
  struct stat named{};
  return fd_ && ::fstat(fd_.get(), &open) == 0 && ::stat(path_.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

Status LogFile::BeginNext() {
  bool moved = files_ > 1;
  for (int number = files_ - 1; moved && number > 0; --number) {
    moved = ::rename(Numbered(number - 1).c_str(), Numbered(number).c_str()) == 0 || (errno == ENOENT && number > 1);
  }
  if (moved) {
    return OpenCurrent();
  }
  if (::ftruncate(fd_.get(), 0) != 0) {
    return Fail(
        SystemError("cannot begin the log file " + Quoted(path_) + " anew", errno, ErrorCode::kOutputUnwritable));
  }
  size_ = 0;
  return {};
}

Status LogFile::Write(std::string_view line) {
  if (!IsAtItsName()) {
    WEIR_TRY(OpenCurrent());
  }
  if (size_ > 0 && size_ + line.size() > most_) {
    WEIR_TRY(BeginNext());
  }
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t more = ::write(fd_.get(), line.data() + written, line.size() - written);
    if (more < 0 && errno == EINTR) {
      continue;
    }
    if (more <= 0) {
      const int reason = more < 0 ? errno : ENOSPC;
      // Half a line would spoil the next one as well.
      if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
        size_ += written;
      }
      return Fail(
          SystemError("cannot write the log file " + Quoted(path_), reason,
                      reason == ENOSPC || reason == EDQUOT ? ErrorCode::kDiskFull : ErrorCode::kOutputUnwritable));
    }
    written += static_cast<std::size_t>(more);
  }
  size_ += line.size();
  return {};
}

}  // namespace weir::os
