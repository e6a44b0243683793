#include "store/work_folder.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "os/ownership.h"
#include "os/proc.h"

namespace weir::store {
namespace {

constexpr std::string_view kRecordWord = "weir-run";
constexpr std::string_view kMarkerWord = "weir-work-folder";
constexpr std::string_view kVersion = "1";
const char* const kMarker = "weir-work-folder";
const char* const kWork = "work";
constexpr std::size_t kMostRecords = 10000;
constexpr Bytes kLongestRecord = Bytes::Kib(64);
// Long enough for a disk that is taken home over a weekend.
constexpr std::chrono::seconds kPatience = std::chrono::days(7);

std::string FolderName(const std::string& id) { return ".weir-" + id; }

// --- Formats -------------------------------------------------------------------------------------------------

enum class Reading : std::uint8_t { kOurs, kNewer, kGarbage };

// Takes the first line off `text`.
std::string_view TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return std::exchange(text, std::string_view());
  }
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

// The format line: a word and a version. Later versions keep it.
Reading ReadFormat(std::string_view line, std::string_view word) {
  if (!line.starts_with(word) || line.size() < word.size() + 2 || line[word.size()] != ' ') {
    return Reading::kGarbage;
  }
  const std::string_view version = line.substr(word.size() + 1);
  if (version == kVersion) {
    return Reading::kOurs;
  }
  const auto number = ParseUnsigned(version);
  return number && *number > 1 ? Reading::kNewer : Reading::kGarbage;
}

struct Record {
  os::FileIdentity folder;
  std::string path;  // any bytes but zero: it is last because it may hold newlines
};

std::string WriteRecord(const Record& record) {
  return std::string(kRecordWord) + " " + std::string(kVersion) + "\n" + std::to_string(record.folder.device) + " " +
         std::to_string(record.folder.inode) + "\n" + record.path;
}

Reading ReadRecord(std::string_view text, Record& record) {
  if (const Reading reading = ReadFormat(TakeLine(text), kRecordWord); reading != Reading::kOurs) {
    return reading;
  }
  const std::string_view identity = TakeLine(text);
  const std::size_t space = identity.find(' ');
  if (space == std::string_view::npos) {
    return Reading::kGarbage;
  }
  const auto device = ParseUnsigned(identity.substr(0, space));
  const auto inode = ParseUnsigned(identity.substr(space + 1));
  if (!device || !inode || !text.starts_with('/') || text.find('\0') != std::string_view::npos) {
    return Reading::kGarbage;
  }
  record = {.folder = {.device = *device, .inode = *inode}, .path = std::string(text)};
  return Reading::kOurs;
}

// Process and boot are for people who wonder where a folder comes from: locks decide, not numbers that come again.
std::string WriteMarker(const std::string& id) {
  return std::string(kMarkerWord) + " " + std::string(kVersion) + "\nid " + id + "\npid " +
         std::to_string(os::CurrentProcess()) + "\nboot " + os::BootId() + "\n";
}

Reading ReadMarker(std::string_view text, const std::string& id) {
  if (const Reading reading = ReadFormat(TakeLine(text), kMarkerWord); reading != Reading::kOurs) {
    return reading;
  }
  return TakeLine(text) == "id " + id ? Reading::kOurs : Reading::kGarbage;
}

// What lies in a working folder is neither the user's input nor the user's output.
Error AsOurs(Error error) {
  if (error.code != ErrorCode::kDiskFull && error.code != ErrorCode::kOutputUnwritable) {
    error.code = ErrorCode::kSystem;
  }
  return error;
}

// --- Removal -------------------------------------------------------------------------------------------------

// The marker goes last: whatever interrupts this, what is left can still be recognised by the next sweep.
Status RemoveFolder(int target, int folder, const std::string& id) {
  WEIR_TRY(os::RemoveTree(folder, kWork));
  return os::RemoveTree(target, FolderName(id));
}

// One record whose lock we hold.
class DeadRun {
 public:
  DeadRun(int runs, std::string id, const os::UniqueFd& lock, Swept& swept)
      : runs_(runs), id_(std::move(id)), lock_(lock.get()), swept_(swept) {}

  void Sweep() {
    const Result<std::string> text = os::ReadPrefix(lock_, 0, kLongestRecord);
    if (!text) {
      return Problem(Describe(text.error()));
    }
    Record record;
    switch (ReadRecord(*text, record)) {
      case Reading::kOurs:
        return SweepTarget(record);
      case Reading::kNewer:
        return;
      case Reading::kGarbage:
        swept_.ids.push_back(id_);
        return Forget();
    }
  }

 private:
  void SweepTarget(const Record& record) {
    const Result<os::UniqueFd> target = os::OpenFolder(record.path, os::Access::kRead);
    if (!target) {
      swept_.ids.push_back(id_);
      return target.error().code == ErrorCode::kOutputFolder
                 ? KeepForAWhile(
                       "its folder " + Quoted(record.path) +
                       " is not there now; if that is on a disk that is not mounted, mount it; otherwise nothing "
                       "is to be done, and it is forgotten after a week")
                 : KeepForAWhile(Describe(target.error()));
    }
    const std::string name = FolderName(id_);
    const std::string shown = Quoted(record.path + "/" + name);
    if (!os::EntryExists(target->get(), name)) {
      swept_.ids.push_back(id_);
      // Another folder under that path is what an unmounted disk leaves behind.
      return os::IdentityOf(target->get()) == record.folder
                 ? Forget()
                 : KeepForAWhile(Quoted(record.path) + " is not the folder that it was");
    }
    const Result<os::UniqueFd> folder = os::OpenFolderAt(target->get(), name);
    if (!folder) {
      swept_.ids.push_back(id_);
      return KeepForAWhile("cannot remove " + shown + ": " + Describe(folder.error()));
    }
    if (!os::EntryExists(folder->get(), kMarker)) {
      swept_.ids.push_back(id_);
      return SweepUnmarked(target->get(), folder->get(), shown);
    }
    const Result<os::UniqueFd> marker = os::OpenFileAt(folder->get(), kMarker, os::Access::kWrite);
    if (!marker) {
      return KeepForAWhile("cannot remove " + shown + ": " + Describe(marker.error()));
    }
    if (const Result<bool> locked = os::TryLock(marker->get()); locked && !*locked) {
      return;  // alive, though its record is not locked
    }
    const Result<std::string> text = os::ReadPrefix(marker->get(), 0, kLongestRecord);
    if (!text || ReadMarker(*text, id_) != Reading::kOurs) {
      return KeepForAWhile(shown + " does not carry our marker and is left alone");
    }
    swept_.ids.push_back(id_);
    Finish(RemoveFolder(target->get(), folder->get(), id_), shown);
  }

  // Its maker died between making the folder and marking it: then there is nothing in it yet.
  void SweepUnmarked(int target, int folder, const std::string& shown) {
    const Result<std::vector<std::string>> names = os::ListFolder(folder, 2);
    const std::string unfinished = os::UnfinishedName(kMarker);
    if (!names || std::ranges::any_of(*names, [&](const std::string& name) { return name != unfinished; })) {
      return KeepForAWhile(shown + " does not carry our marker and is left alone");
    }
    Status removed;
    if (!names->empty()) {
      removed = os::RemoveTree(folder, unfinished);
    }
    if (removed) {
      removed = os::RemoveEmptyFolder(target, FolderName(id_));
    }
    Finish(removed, shown);
  }

  void Finish(const Status& removed, const std::string& shown) {
    if (!removed) {
      return Problem("cannot remove " + shown + ": " + Describe(removed.error()));
    }
    Forget();
  }

  void KeepForAWhile(const std::string& why) {
    if (os::AgeOf(lock_) > kPatience) {
      Problem(why + "; giving up on it");
      return Forget();
    }
    Problem(why);
  }

  void Forget() {
    if (const Status removed = os::RemoveTree(runs_, id_); !removed) {
      Problem(Describe(removed.error()));
    }
  }

  void Problem(const std::string& why) { swept_.problems.push_back("run " + id_ + " has ended: " + why); }

  int runs_;
  std::string id_;
  int lock_;
  Swept& swept_;
};

// The file locked and still under its name, or nothing: it is in use, or gone.
std::optional<os::UniqueFd> LockDead(int folder, const std::string& name) {
  Result<os::UniqueFd> file = os::OpenFileAt(folder, name, os::Access::kWrite);
  if (!file) {
    return std::nullopt;
  }
  const Result<bool> locked = os::TryLock(file->get());
  if (!locked || !*locked || !os::IsRegularFile(file->get()) || !os::IsStill(folder, name, file->get())) {
    return std::nullopt;
  }
  return *std::move(file);
}

bool IsFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

// --- State folder --------------------------------------------------------------------------------------------

// Nothing when the variable is not set, or empty.
std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// Step by step and without links: everybody may make names in /tmp.
Result<os::UniqueFd> OpenPrivateTemporary() {
  WEIR_ASSIGN(const os::UniqueFd tmp, os::OpenFolder("/tmp", os::Access::kRead));
  const std::string name = "weir-" + std::to_string(os::CurrentUser());
  const Status made = os::MakeFolder(tmp.get(), name);
  Result<os::UniqueFd> folder = os::OpenFolderAt(tmp.get(), name);
  if (!folder) {
    return made ? std::move(folder) : Result<os::UniqueFd>(std::unexpected(made.error()));
  }
  WEIR_TRY(os::CheckFolder(folder->get(), os::Trust::kOnlyUs));
  return folder;
}

Result<os::UniqueFd> OpenState(const std::string& path) {
  WEIR_ASSIGN(os::UniqueFd folder, os::EnsureFolder(path));
  WEIR_TRY(os::CheckFolder(folder.get(), os::Trust::kNotByAll));
  return folder;
}

Result<os::UniqueFd> OpenPart(const std::string& state, const char* name) {
  const std::string path = state + "/" + name;
  WEIR_TRY(os::EnsureFolder(path));
  return os::OpenFolder(path, os::Access::kWrite);
}

}  // namespace

Result<StateFolder> StateFolder::Open() {
  const auto complete = [](const Result<os::UniqueFd>& folder) -> Result<StateFolder> {
    if (!folder) {
      return Fail(folder.error());
    }
    StateFolder state;
    state.path_ = os::PathOf(folder->get());
    WEIR_ASSIGN(state.runs_, OpenPart(state.path_, "runs"));
    WEIR_ASSIGN(state.cache_, OpenPart(state.path_, "cache"));
    return state;
  };
  const auto refuse = [](const std::string& what, Error cause) {
    return Fail(Error{.code = ErrorCode::kOutputUnwritable, .detail = what}.From(std::move(cause)));
  };

  // Asked for by name: using another one instead would hide records from whoever looks there.
  if (const std::string wanted = Environment("WEIR_STATE_DIR"); !wanted.empty()) {
    Result<StateFolder> state = complete(OpenState(wanted));
    return state ? std::move(state) : refuse("cannot use WEIR_STATE_DIR", std::move(state).error());
  }
  std::vector<std::string> candidates;
  if (const std::string home = Environment("XDG_STATE_HOME"); home.starts_with('/')) {
    candidates.push_back(home + "/weir");
  }
  if (const std::string home = Environment("HOME"); home.starts_with('/')) {
    candidates.push_back(home + "/.local/state/weir");
  }
  for (const std::string& candidate : candidates) {
    if (Result<StateFolder> state = complete(OpenState(candidate)); state) {
      return state;
    }
  }
  Result<StateFolder> state = complete(OpenPrivateTemporary());
  return state ? std::move(state)
               : refuse("no folder for Weir's own records can be made; set WEIR_STATE_DIR to one",
                        std::move(state).error());
}

Swept SweepAbandoned(const StateFolder& state) {
  Swept swept;
  const Result<std::vector<std::string>> names = os::ListFolder(state.runs(), kMostRecords);
  if (!names) {
    swept.problems.push_back(Describe(names.error()));
    return swept;
  }
  const std::string prefix = os::UnfinishedName("");
  for (const std::string& name : *names) {
    const bool unfinished = name.starts_with(prefix) && IsId(name.substr(prefix.size()));
    if (!unfinished && !IsId(name)) {
      continue;
    }
    const std::optional<os::UniqueFd> lock = LockDead(state.runs(), name);
    if (!lock) {
      continue;
    }
    if (!unfinished) {
      DeadRun(state.runs(), name, *lock, swept).Sweep();
    } else {
      // Made and not locked: its maker died, or makes another when it finds it gone.
      if (const Status removed = os::RemoveTree(state.runs(), name); !removed) {
        swept.problems.push_back(Describe(removed.error()));
      }
    }
  }
  return swept;
}

Result<WorkFolder> WorkFolder::Create(const StateFolder& state, int target_folder, const std::string& id) {
  if (!IsId(id)) {
    return Fail(ErrorCode::kInternal, Quoted(id) + " is not an id");
  }
  const std::string path = os::PathOf(target_folder);
  if (!path.starts_with('/')) {
    return Fail(ErrorCode::kSystem, "the path of the target folder cannot be found out; is /proc mounted?");
  }
  WorkFolder made;
  if (Status status = made.Make(state.runs(), target_folder, id, path); !status) {
    return Fail(AsOurs(std::move(status).error()));
  }
  return made;
}

// Whatever step fails, destruction takes back those before it.
Status WorkFolder::Make(int runs, int target_folder, const std::string& id, const std::string& path) {
  WEIR_ASSIGN(records_, os::Duplicate(runs));
  WEIR_ASSIGN(os::UniqueFd target, os::Duplicate(target_folder));
  const Record record{.folder = os::IdentityOf(target_folder), .path = path};
  id_ = id;
  WEIR_ASSIGN(record_, os::CreateLockedFile(runs, id, WriteRecord(record), os::Locking::kRequired));
  WEIR_TRY(os::Sync(runs));
  WEIR_TRY(os::MakeFolder(target.get(), FolderName(id)));
  target_ = std::move(target);
  WEIR_ASSIGN(folder_, os::OpenFolderAt(target_.get(), FolderName(id)));
  WEIR_ASSIGN(marker_, os::CreateLockedFile(folder_.get(), kMarker, WriteMarker(id), os::Locking::kIfPossible));
  WEIR_TRY(os::MakeFolder(folder_.get(), kWork));
  WEIR_ASSIGN(child_fd_, os::OpenFolderAt(folder_.get(), kWork));
  return {};
}

WorkFolder::WorkFolder(WorkFolder&& other) noexcept = default;

WorkFolder& WorkFolder::operator=(WorkFolder&& other) noexcept {
  if (this != &other) {
    Remove();
    records_ = std::move(other.records_);
    record_ = std::move(other.record_);
    target_ = std::move(other.target_);
    folder_ = std::move(other.folder_);
    marker_ = std::move(other.marker_);
    child_fd_ = std::move(other.child_fd_);
    id_ = std::move(other.id_);
  }
  return *this;
}

WorkFolder::~WorkFolder() { Remove(); }

void WorkFolder::Remove() {
  if (!record_) {
    return;
  }
  Status removed;
  if (folder_) {
    removed = RemoveFolder(target_.get(), folder_.get(), id_);
  } else if (target_) {
    removed = os::RemoveEmptyFolder(target_.get(), FolderName(id_));
  }
  // With the folder still there the record stays, for the next sweep.
  if (removed) {
    removed = os::RemoveTree(records_.get(), id_);
  }
  if (!removed) {
    log::Warning("cannot remove the working folder " + Quoted(os::PathOf(target_.get()) + "/" + FolderName(id_)) +
                 ": " + Describe(removed.error()));
  }
  child_fd_.Close();
  marker_.Close();
  folder_.Close();
  target_.Close();
  record_.Close();
  records_.Close();
}

Result<Produced> OpenProduced(const WorkFolder& work, const std::string& name) {
  if (!IsFileName(name)) {
    return Fail(ErrorCode::kInternal, Quoted(name) + " is not the name of a file");
  }
  auto opened = os::OpenProducedFile(work.fd(), name);
  if (!opened) {
    return Fail(
        Error{.code = ErrorCode::kVerification, .detail = "ffmpeg reported success but left no usable output file"}
            .From(std::move(opened).error()));
  }
  return Produced{.name = name, .fd = std::move(opened->fd), .size = opened->size};
}

Status Settle(const Produced& produced) {
  Status settled = os::Sync(produced.fd.get());
  return settled ? settled : Fail(AsOurs(std::move(settled).error()));
}

Status Publish(const WorkFolder& work, const Produced& produced, int target_folder, const std::string& name,
               os::Replace replace) {
  if (!IsFileName(name)) {
    return Fail(ErrorCode::kInternal, Quoted(name) + " is not the name of a file");
  }
  if (!os::IsStill(work.fd(), produced.name, produced.fd.get()) || os::SizeOf(produced.fd.get()) != produced.size) {
    return Fail(ErrorCode::kSystem, Quoted(produced.name) + " was changed by somebody else after it was checked");
  }
  return os::Rename(work.fd(), produced.name, target_folder, name, replace);
}

void SettleName(int target_folder, const std::string& name) {
  if (const Status flushed = os::Sync(target_folder); !flushed) {
    log::Warning("the folder of " + Quoted(name) + " could not be flushed to disk: " + Describe(flushed.error()));
  }
}

}  // namespace weir::store
