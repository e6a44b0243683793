#include "os/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <future>

#include "os/test_support.h"

namespace weir::os {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class File : public testing::Test {
 protected:
  [[nodiscard]] std::string At(std::string_view name) const { return folder_ / name; }
  TemporaryFolder folder_;
  UniqueFd fd_ = folder_.Open();
};

ErrorCode CodeOfInput(const std::string& path) {
  const auto input = OpenInput(path);
  return input ? ErrorCode::kInternal : input.error().code;
}

TEST_F(File, AnInputIsOpenedWithItsSizeAndIdentity) {
  WriteText(At("a"), "12345");
  fs::create_hard_link(At("a"), At("hard"));
  fs::create_symlink("a", At("soft"));
  WriteText(At("b"), "12345");
  const auto a = OpenInput(At("a"));
  ASSERT_TRUE(a) << Describe(a.error());
  EXPECT_EQ(a->size, Bytes(5));
  EXPECT_NE(::fcntl(a->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(::fcntl(a->fd.get(), F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY);
  EXPECT_EQ(OpenInput(At("hard"))->identity, a->identity);
  EXPECT_EQ(OpenInput(At("soft"))->identity, a->identity);
  EXPECT_NE(OpenInput(At("b"))->identity, a->identity);
  EXPECT_EQ(*Identify(fd_.get(), "soft"), a->identity);
  EXPECT_EQ(Identify(fd_.get(), "missing").error().code, ErrorCode::kInputMissing);
}

TEST_F(File, NothingLeadsOutOfARoot) {
  WriteText(At("root/in/a"), "12345");
  WriteText(At("secret"), "outside");
  fs::create_symlink("in/a", At("root/soft"));
  fs::create_symlink("../in", At("root/in/back"));
  fs::create_symlink("../secret", At("root/up"));
  fs::create_symlink(At("root/in/a"), At("root/absolute"));
  fs::create_symlink("..", At("root/parent"));
  const UniqueFd root = std::move(OpenFolder(At("root"), Access::kRead).value());
  ASSERT_TRUE(CheckBeneath(root.get()));
  const auto place = [&](std::string path) { return Place{.path = path, .shown = "shown", .root = root.get()}; };
  const auto a = OpenInput(At("root/in/a"));
  for (const char* name : {"in/a", "soft", "in/back/a", "in/../soft"}) {
    const auto input = OpenInput(place(name));
    ASSERT_TRUE(input) << name << ": " << Describe(input.error());
    EXPECT_EQ(input->identity, a->identity) << name;
    EXPECT_EQ((*LookUp(place(name)))->identity, a->identity) << name;
    EXPECT_EQ(::fcntl(input->fd.get(), F_GETFL) & (O_NONBLOCK | O_ACCMODE | O_PATH), O_RDONLY);
  }
  const std::string real = At("root/in/a");
  for (const char* name : {"..", "../secret", "../nothing", "up", "absolute", "parent", "parent/secret",
                           "parent/nothing", "in/../../secret", "/", "/etc/passwd", real.c_str()}) {
    EXPECT_EQ(OpenInput(place(name)).error().code, ErrorCode::kForbidden) << name;
    EXPECT_EQ(OpenInput(place(name)).error().detail,
              "'shown' leads out of the folder that it must stay in; name a file below it");
    EXPECT_EQ(LookUp(place(name)).error().code, ErrorCode::kForbidden) << name;
    EXPECT_EQ(OpenFolder(place(name), Access::kRead).error().code, ErrorCode::kForbidden) << name;
  }
  EXPECT_TRUE((*LookUp(place(".")))->is_folder);
  EXPECT_FALSE(LookUp(place("in/nothing"))->has_value());
  EXPECT_FALSE(LookUp(place("in/a/below"))->has_value());
  EXPECT_EQ(OpenInput(place("in/nothing")).error().code, ErrorCode::kInputMissing);
  EXPECT_EQ(OpenInput(place(std::string("in/a\0b", 6))).error().code, ErrorCode::kInputMissing);
  EXPECT_TRUE(OpenFolder(place("in"), Access::kWrite));
}

TEST_F(File, RootsNeedAKernelThatCanKeepThem) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{.len = 4, .filter = program};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
      ::_exit(2);
    }
    const Status status = CheckBeneath(fd_.get());
    ::_exit(!status && status.error().code == ErrorCode::kSystem &&
                    status.error().detail.find("Linux 5.6") != std::string::npos
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(File, EveryInputThatIsNoneIsNamedWithoutBlocking) {
  WriteText(At("file"), "x");
  WriteText(At("empty"), "");
  fs::create_directory(At("folder"));
  fs::create_symlink("nowhere", At("dangling"));
  fs::create_symlink("loop", At("loop"));
  ASSERT_EQ(::mkfifo(At("fifo").c_str(), 0600), 0);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  At("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  auto all = std::async(std::launch::async, [&] {
    EXPECT_EQ(CodeOfInput(At("missing")), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(At("dangling")), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(At("file/below")), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(At("file") + std::string("\0.mp4", 5)), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(std::string(5000, 'x')), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(""), ErrorCode::kInputMissing);
    EXPECT_EQ(CodeOfInput(At("loop")), ErrorCode::kInputUnreadable);
    EXPECT_EQ(CodeOfInput(At("folder")), ErrorCode::kInputNotAFile);
    EXPECT_EQ(CodeOfInput(At("fifo")), ErrorCode::kInputNotAFile);
    EXPECT_EQ(CodeOfInput(At("socket")), ErrorCode::kInputNotAFile);
    EXPECT_EQ(CodeOfInput("/dev/null"), ErrorCode::kInputNotAFile);
    EXPECT_EQ(CodeOfInput(At("empty")), ErrorCode::kInputEmpty);
  });
  ASSERT_EQ(all.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_THAT(OpenInput(At("a\nb")).error().detail, HasSubstr("a\\nb"));
}

// As another user, because root may read everything.
TEST_F(File, PermissionsAreNamed) {
  WriteText(At("closed"), "x");
  fs::permissions(At("closed"), fs::perms::none);
  fs::create_directory(At("locked"));
  fs::permissions(At("locked"),
                  fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  fs::permissions(folder_.path(), fs::perms::all);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(100);
    int wrong = 0;
    if (CodeOfInput(At("closed")) != ErrorCode::kInputUnreadable) wrong |= 1;
    const auto locked = OpenFolder(At("locked"), Access::kWrite);
    if (locked || locked.error().code != ErrorCode::kOutputUnwritable) wrong |= 2;
    if (!OpenFolder(At("locked"), Access::kRead)) wrong |= 4;
    const auto below = OpenFolder(At("locked"), Access::kRead);
    const auto made = MakeFolder(below->get(), "x");
    if (made || made.error().code != ErrorCode::kOutputUnwritable) wrong |= 8;
    const auto ensured = EnsureFolder(At("locked/a/b"));
    if (ensured || ensured.error().code != ErrorCode::kOutputUnwritable) wrong |= 16;
    ::_exit(wrong);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(File, FoldersAreOpenedOrRefused) {
  WriteText(At("file"), "x");
  EXPECT_TRUE(OpenFolder(folder_.path(), Access::kWrite));
  EXPECT_EQ(OpenFolder(At("missing"), Access::kWrite).error().code, ErrorCode::kOutputFolder);
  EXPECT_EQ(OpenFolder(At("file"), Access::kWrite).error().code, ErrorCode::kOutputFolder);
  EXPECT_TRUE(OpenFolder("/proc/self", Access::kRead));
  EXPECT_TRUE(Sync(OpenFolder(folder_.path(), Access::kWrite)->get()));
}

TEST(Path, IsSplitIntoFolderAndName) {
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(SplitPath("a/b/c.mp4"), Parts("a/b", "c.mp4"));
  EXPECT_EQ(SplitPath("c.mp4"), Parts(".", "c.mp4"));
  EXPECT_EQ(SplitPath("/c.mp4"), Parts("/", "c.mp4"));
  EXPECT_EQ(SplitPath("a/").second, "");
  EXPECT_EQ(SplitPath(".").second, "");
  EXPECT_EQ(SplitPath("a/..").second, "");
  EXPECT_EQ(SplitPath("").second, "");
  EXPECT_EQ(SplitPath("-x:y\n").second, "-x:y\n");
}

TEST_F(File, TheKernelKnowsThePath) {
  EXPECT_EQ(PathOf(fd_.get()), fs::canonical(folder_.path()).string());
  EXPECT_EQ(PathOf(-1), "");
}

TEST_F(File, EntriesIncludeDanglingLinks) {
  fs::create_symlink("nowhere", At("dangling"));
  EXPECT_TRUE(EntryExists(fd_.get(), "dangling"));
  EXPECT_FALSE(EntryExists(fd_.get(), "missing"));
}

TEST_F(File, FoldersAreMadePrivateAndOnce) {
  ASSERT_TRUE(MakeFolder(fd_.get(), "new"));
  struct stat info{};
  ASSERT_EQ(::stat(At("new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
  EXPECT_EQ(MakeFolder(fd_.get(), "new").error().code, ErrorCode::kOutputExists);
}

TEST_F(File, AFileIsMadeOnceAndFoundAgain) {
  {
    const auto made = OpenOrMakeFileAt(fd_.get(), "kept");
    ASSERT_TRUE(made) << Describe(made.error());
    ASSERT_TRUE(WriteAll(made->get(), "content", "kept"));
  }
  const auto again = OpenOrMakeFileAt(fd_.get(), "kept");
  ASSERT_TRUE(again);
  EXPECT_EQ(ReadPrefix(again->get(), 0, Bytes(64)).value(), "content");
  ASSERT_TRUE(MakeFolder(fd_.get(), "folder"));
  EXPECT_FALSE(OpenOrMakeFileAt(fd_.get(), "folder"));
}

TEST_F(File, OpeningBelowAFolderRefusesLinks) {
  WriteText(At("target"), "x");
  fs::create_symlink("target", At("link"));
  EXPECT_TRUE(OpenAt(fd_.get(), "target", O_RDONLY));
  EXPECT_FALSE(OpenAt(fd_.get(), "link", O_RDONLY));
  EXPECT_FALSE(OpenAt(fd_.get(), "link", O_WRONLY | O_CREAT));
  EXPECT_TRUE(OpenAt(fd_.get(), "new", O_RDWR | O_CREAT | O_EXCL));
  EXPECT_EQ(OpenAt(fd_.get(), "new", O_RDWR | O_CREAT | O_EXCL).error().code, ErrorCode::kOutputExists);
}

TEST_F(File, ATreeIsRemovedAndLinksAreNotFollowed) {
  WriteText(At("keep/file"), "x");
  WriteText(At("tree/a/b/c/file"), "x");
  WriteText(At("tree/.hidden"), "x");
  fs::create_directory_symlink(At("keep"), At("tree/a/link"));
  fs::create_directory(At("tree/closed"));
  fs::permissions(At("tree/closed"), fs::perms::none);
  EXPECT_TRUE(RemoveTree(fd_.get(), "tree"));
  EXPECT_FALSE(fs::exists(At("tree")));
  EXPECT_TRUE(fs::exists(At("keep/file")));
  EXPECT_TRUE(RemoveTree(fd_.get(), "tree")) << "absent is fine";
  fs::create_directory_symlink(At("keep"), At("alias"));
  EXPECT_TRUE(RemoveTree(fd_.get(), "alias"));
  EXPECT_TRUE(fs::exists(At("keep/file")));
  for (const char* name : {"", ".", "..", "a/b", "../keep"}) EXPECT_FALSE(RemoveTree(fd_.get(), name)) << name;
}

TEST_F(File, AFolderIsListedUpToALimitAndMeasured) {
  WriteText(At("a"), std::string(100000, 'x'));
  WriteText(At("below/b"), std::string(50000, 'x'));
  EXPECT_THAT(*ListFolder(fd_.get()), UnorderedElementsAre("a", "below"));
  EXPECT_THAT(*ListFolder(fd_.get()), UnorderedElementsAre("a", "below")) << "the position moved";
  EXPECT_EQ(ListFolder(fd_.get(), 1)->size(), 1U);
  EXPECT_GE(DiskUse(fd_.get()), Bytes(150000));
  EXPECT_LT(DiskUse(fd_.get()), Bytes(200000));
  EXPECT_LT(DiskUse(fd_.get(), 1), Bytes(150000));
}

TEST_F(File, ALockIsHeldByOneDescriptor) {
  WriteText(At("lock"), "");
  const auto first = OpenAt(fd_.get(), "lock", O_RDWR);
  {
    const auto second = OpenAt(fd_.get(), "lock", O_RDWR);
    EXPECT_EQ(*TryLock(second->get()), true);
    EXPECT_EQ(*TryLock(first->get()), false);
  }
  EXPECT_EQ(*TryLock(first->get()), true);
}

TEST_F(File, RenamingReplacesOnlyWhenTold) {
  WriteText(At("new"), "new");
  WriteText(At("old"), "old");
  const auto refused = Rename(fd_.get(), "new", fd_.get(), "old", Replace::kNo);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutputExists);
  EXPECT_EQ(ReadText(At("old")), "old");
  EXPECT_TRUE(Rename(fd_.get(), "new", fd_.get(), "old", Replace::kYes));
  EXPECT_EQ(ReadText(At("old")), "new");
  EXPECT_FALSE(fs::exists(At("new")));
  EXPECT_TRUE(Rename(fd_.get(), "old", fd_.get(), "fresh", Replace::kNo));
  EXPECT_EQ(ReadText(At("fresh")), "new");
  fs::create_symlink("nowhere", At("dangling"));
  EXPECT_EQ(Rename(fd_.get(), "fresh", fd_.get(), "dangling", Replace::kNo).error().code, ErrorCode::kOutputExists);
  fs::create_directory(At("folder"));
  EXPECT_EQ(Rename(fd_.get(), "fresh", fd_.get(), "folder", Replace::kYes).error().code,
            ErrorCode::kOutputUnwritable);
}

TEST_F(File, ASmallFileIsReplacedWholeOrNotAtAll) {
  ASSERT_TRUE(WriteFileAtomically(fd_.get(), "record", "first"));
  ASSERT_TRUE(WriteFileAtomically(fd_.get(), "record", "second"));
  EXPECT_EQ(*ReadSmallFileAt(fd_.get(), "record"), "second");
  EXPECT_EQ(*ReadSmallFile(At("record"), Bytes(3)), "sec");
  EXPECT_THAT(*ListFolder(fd_.get()), UnorderedElementsAre("record"));
  // A full disk, played by the limit on file sizes.
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const Status status = WriteFileAtomically(fd_.get(), "record", std::string(5000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_DFL);
  EXPECT_FALSE(status);
  EXPECT_EQ(*ReadSmallFileAt(fd_.get(), "record"), "second");
  EXPECT_THAT(*ListFolder(fd_.get()), UnorderedElementsAre("record"));
}

TEST_F(File, ReadingSmallFilesNamesWhatIsMissing) {
  EXPECT_EQ(ReadSmallFile(At("missing")).error().code, ErrorCode::kInputMissing);
  EXPECT_EQ(ReadSmallFile(folder_.path()).error().code, ErrorCode::kInputUnreadable);
  EXPECT_THAT(*ReadSmallFile("/proc/self/stat"), testing::Not(IsEmpty()));
}

TEST_F(File, APrefixIsReadFromAnOffset) {
  WriteText(At("file"), "0123456789");
  const auto fd = OpenAt(fd_.get(), "file", O_RDONLY);
  EXPECT_EQ(*ReadPrefix(fd->get(), 0, Bytes(4)), "0123");
  EXPECT_EQ(*ReadPrefix(fd->get(), 8, Bytes(4)), "89");
  EXPECT_EQ(*ReadPrefix(fd->get(), 20, Bytes(4)), "");

  std::string into(4, '-');
  EXPECT_EQ(*ReadAt(fd->get(), 3, into), 4U);
  EXPECT_EQ(into, "3456");
  EXPECT_EQ(*ReadAt(fd->get(), 8, into), 2U);
  EXPECT_EQ(into, "8956");
  EXPECT_EQ(*ReadAt(fd->get(), 10, into), 0U);
  EXPECT_EQ(ReadAt(-1, 0, into).error().code, ErrorCode::kInputUnreadable);
}

TEST_F(File, TheDiskHasRoomAndSyncWorks) {
  EXPECT_GT(*FreeDisk(fd_.get()), Bytes::Mib(1));
  EXPECT_EQ(Sync(-1).error().code, ErrorCode::kSystem);
}

TEST_F(File, MissingFoldersAreMadeDownToTheLast) {
  const auto made = EnsureFolder(At("a/b/c"));
  ASSERT_TRUE(made) << Describe(made.error());
  EXPECT_EQ(PathOf(made->get()), fs::canonical(folder_.path()).string() + "/a/b/c");
  EXPECT_TRUE(EnsureFolder(At("a/b/c/")));
  WriteText(At("file"), "x");
  EXPECT_EQ(EnsureFolder(At("file/below")).error().code, ErrorCode::kOutputFolder);
  EXPECT_EQ(EnsureFolder(At("file")).error().code, ErrorCode::kOutputFolder);
  EXPECT_FALSE(EnsureFolder(""));
}

}  // namespace
}  // namespace weir::os
