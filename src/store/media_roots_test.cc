#include "store/media_roots.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

namespace weir::store {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename T>
std::string Refusal(const Result<T>& result) {
  return result ? "accepted" : std::string(InfoOf(result.error().code).name) + ": " + result.error().detail;
}

class Roots : public testing::Test {
 protected:
  Roots() {
    std::string pattern = (fs::temp_directory_path() / "weir-roots-XXXXXX").string();
    top_ = ::mkdtemp(pattern.data()) == nullptr ? "" : fs::canonical(pattern).string();
    fs::create_directories(At("media/sub"));
    fs::create_directories(At("more/only"));
    fs::create_directories(At("media-evil"));
    Write("media/a.mp4", "in media");
    Write("media/sub/b.mp4", "below");
    Write("more/a.mp4", "second");
    Write("more/only/c.mp4", "only here");
    Write("media-evil/a.mp4", "evil");
    Write("secret.mp4", "outside");
  }
  ~Roots() override {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }

  [[nodiscard]] std::string At(const std::string& name) const { return top_ + "/" + name; }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(At(name), std::ios::binary) << content;
  }
  [[nodiscard]] MediaRoots Open(const std::vector<std::string>& names = {"media", "more"}) const {
    std::vector<std::string> folders;
    for (const auto& name : names) folders.push_back(At(name));
    auto roots = MediaRoots::Open(folders);
    EXPECT_TRUE(roots) << weir::Describe(roots.error());
    return *std::move(roots);
  }
  // What an input holds, or the refusal.
  static std::string Content(const MediaRoots& roots, const std::string& path) {
    const auto source = roots.OpenInput(path);
    if (!source) return Refusal(source);
    EXPECT_EQ(source->path, path);
    return os::ReadPrefix(source->file.fd.get(), 0, Bytes(100)).value_or("unreadable");
  }
  // Where an output would be, or the refusal.
  std::string Place(const MediaRoots& roots, const std::string& path, bool overwrite = false) const {
    const auto source = roots.OpenInput(At("media/a.mp4"));
    EXPECT_TRUE(source);
    const auto target = roots.OpenOutput(path, overwrite, *source);
    if (!target) return Refusal(target);
    EXPECT_EQ(target->path, path);
    return os::PathOf(target->folder.get()) + "/" + target->name;
  }

  std::string top_;
};

TEST_F(Roots, RelativeNamesAreTheFirstThatExists) {
  const MediaRoots roots = Open();
  EXPECT_EQ(Content(roots, "a.mp4"), "in media");
  EXPECT_EQ(Content(roots, "only/c.mp4"), "only here");
  EXPECT_EQ(Content(roots, "./sub//b.mp4"), "below");
  EXPECT_EQ(Content(Open({"more", "media"}), "a.mp4"), "second");
  EXPECT_EQ(Content(roots, "sub/none.mp4"),
            "input-missing: there is no file 'sub/none.mp4'; check the name and the folder");
  EXPECT_THAT(Content(roots, "a.mp4/"), HasSubstr("input-missing"));
  EXPECT_THAT(Content(roots, "a.mp4/."), HasSubstr("input-missing"));
  EXPECT_THAT(Content(roots, "a.mp4/below"), HasSubstr("input-missing"));
  // Encodings are not ours: these are names like any other.
  EXPECT_THAT(Content(roots, "%2e%2e/secret.mp4"), HasSubstr("input-missing"));
  EXPECT_THAT(Content(roots, "..\\secret.mp4"), HasSubstr("input-missing"));
}

TEST_F(Roots, AbsoluteNamesLieBelowARoot) {
  const MediaRoots roots = Open();
  EXPECT_EQ(Content(roots, At("media/a.mp4")), "in media");
  EXPECT_EQ(Content(roots, At("more/a.mp4")), "second");
  EXPECT_EQ(Content(roots, At("/media/./sub//b.mp4")), "below");
  for (const std::string& path : {At("media-evil/a.mp4"), At("secret.mp4"), At("nothing.mp4"), At("medi"), top_,
                                  std::string("/"), std::string("/etc/passwd"), std::string("//")}) {
    EXPECT_THAT(Content(roots, path), HasSubstr("forbidden: the path ")) << path;
    EXPECT_THAT(Place(roots, path), HasSubstr("forbidden: the path ")) << path;
  }
  EXPECT_THAT(Content(roots, At("media")), HasSubstr("input-not-a-file"));
  EXPECT_THAT(Content(roots, At("media/")), HasSubstr("input-not-a-file"));
}

TEST_F(Roots, NothingOutsideIsReachedNorTold) {
  fs::create_symlink("../secret.mp4", At("media/up.mp4"));
  fs::create_symlink("../nothing.mp4", At("media/up-nothing.mp4"));
  fs::create_symlink(At("secret.mp4"), At("media/absolute.mp4"));
  fs::create_symlink(At("nothing.mp4"), At("media/absolute-nothing.mp4"));
  fs::create_symlink("..", At("media/parent"));
  fs::create_symlink("/proc/self/root", At("media/magic"));
  fs::create_symlink("parent/media/a.mp4", At("media/round.mp4"));
  const MediaRoots roots = Open();
  const std::vector<std::string> paths = {"up.mp4",
                                          "up-nothing.mp4",
                                          "absolute.mp4",
                                          "absolute-nothing.mp4",
                                          "parent",
                                          "parent/secret.mp4",
                                          "parent/nothing.mp4",
                                          "magic/etc/passwd",
                                          "magic/nothing",
                                          "round.mp4",
                                          "..",
                                          "../secret.mp4",
                                          "../nothing.mp4",
                                          "sub/../../secret.mp4",
                                          "sub/..",
                                          "sub/../a.mp4",
                                          "nothing/../../secret.mp4",
                                          "./..",
                                          "..//",
                                          "/..",
                                          At("media/../secret.mp4"),
                                          At("media/../media/a.mp4"),
                                          At("media/parent/secret.mp4"),
                                          "",
                                          std::string("a.mp4\0", 6),
                                          std::string("a.mp4\0../../x", 13),
                                          std::string(5000, 'x'),
                                          std::string(256, 'x'),
                                          "sub/" + std::string(256, 'x') + "/b.mp4"};
  for (const auto& path : paths) {
    const auto source = roots.OpenInput(path);
    ASSERT_FALSE(source) << path;
    EXPECT_EQ(source.error().code, ErrorCode::kForbidden) << path;
    EXPECT_THAT(source.error().detail,
                HasSubstr("is not below a media folder of this server; name a file below one"));
    EXPECT_EQ(source.error().cause, nullptr);
    EXPECT_THAT(Place(roots, path, true), HasSubstr("forbidden: the path ")) << path;
  }
  // A name that is a link out in one root is not looked for in the next.
  fs::create_symlink("../secret.mp4", At("media/twice.mp4"));
  Write("more/twice.mp4", "second");
  EXPECT_THAT(Content(roots, "twice.mp4"), HasSubstr("forbidden"));
}

TEST_F(Roots, LinksWithinARootAreFollowed) {
  fs::create_symlink("sub/b.mp4", At("media/link.mp4"));
  fs::create_symlink("../a.mp4", At("media/sub/back.mp4"));
  fs::create_symlink("sub", At("media/folder"));
  const MediaRoots roots = Open();
  EXPECT_EQ(Content(roots, "link.mp4"), "below");
  EXPECT_EQ(Content(roots, "sub/back.mp4"), "in media");
  EXPECT_EQ(Content(roots, "folder/b.mp4"), "below");
  EXPECT_EQ(Place(roots, "folder/new.mp4"), At("media/sub/new.mp4"));
}

TEST_F(Roots, OnlyRegularFilesAreInputsAndNothingBlocks) {
  ASSERT_EQ(::mkfifo(At("media/fifo").c_str(), 0600), 0);
  Write("media/empty", "");
  fs::create_symlink("loop", At("media/loop"));
  const MediaRoots roots = Open();
  EXPECT_THAT(Content(roots, "fifo"), HasSubstr("input-not-a-file: 'fifo' is a pipe"));
  EXPECT_THAT(Content(roots, "sub"), HasSubstr("input-not-a-file: 'sub' is a folder"));
  EXPECT_THAT(Content(roots, "."), HasSubstr("input-not-a-file"));
  EXPECT_THAT(Content(roots, "empty"), HasSubstr("input-empty"));
  EXPECT_THAT(Content(roots, "loop"), HasSubstr("input-unreadable"));
  const auto devices = MediaRoots::Open({"/dev"});
  ASSERT_TRUE(devices) << weir::Describe(devices.error());
  EXPECT_THAT(Content(*devices, "null"), HasSubstr("input-not-a-file: 'null' is a device"));
  EXPECT_THAT(Content(*devices, "/dev/null"), HasSubstr("is a device"));
}

TEST_F(Roots, OutputsGoWhereTheirFolderIs) {
  const MediaRoots roots = Open();
  EXPECT_EQ(Place(roots, "new.mp4"), At("media/new.mp4"));
  EXPECT_EQ(Place(roots, "only/new.mp4"), At("more/only/new.mp4"));
  EXPECT_EQ(Place(roots, At("more/new.mp4")), At("more/new.mp4"));
  EXPECT_EQ(Place(roots, At("media/sub/new.mp4")), At("media/sub/new.mp4"));
  EXPECT_EQ(Place(roots, "missing/new.mp4"), "output-folder: there is no folder 'missing'; make it first");
  EXPECT_THAT(Place(roots, "a.mp4/new.mp4"), HasSubstr("output-folder: 'a.mp4' is not a folder"));
  EXPECT_THAT(Place(roots, "sub"), HasSubstr("output-folder: the output 'sub' is a folder"));
  EXPECT_THAT(Place(roots, "sub", true), HasSubstr("is a folder"));
  EXPECT_THAT(Place(roots, "sub/"), HasSubstr("output-format"));
  EXPECT_THAT(Place(roots, At("media")), HasSubstr("output-format"));
  EXPECT_THAT(Place(roots, "."), HasSubstr("output-format"));
  EXPECT_THAT(Place(roots, "sub/b.mp4"), HasSubstr("output-exists"));
  EXPECT_EQ(Place(roots, "sub/b.mp4", true), At("media/sub/b.mp4"));
  EXPECT_FALSE(fs::exists(At("media/new.mp4")));
}

TEST_F(Roots, AnOutputIsNotItsInputUnderAnyName) {
  fs::create_symlink("../a.mp4", At("media/sub/soft.mp4"));
  fs::create_hard_link(At("media/a.mp4"), At("more/hard.mp4"));
  fs::create_symlink(At("media"), At("given"));
  const MediaRoots roots = Open({"given", "more"});
  for (const std::string& path : {std::string("a.mp4"), std::string("sub/soft.mp4"), At("more/hard.mp4"),
                                  At("given/a.mp4"), At("media/a.mp4")}) {
    EXPECT_THAT(Place(roots, path, true), HasSubstr("output-is-input")) << path;
    EXPECT_THAT(Place(roots, path), HasSubstr("output-is-input")) << path;
  }
}

TEST_F(Roots, ARootMayBeGivenThroughALinkAndIsHeld) {
  fs::create_symlink(At("media"), At("given"));
  const MediaRoots roots = Open({"given"});
  EXPECT_EQ(Content(roots, "a.mp4"), "in media");
  EXPECT_EQ(Content(roots, At("given/a.mp4")), "in media");
  EXPECT_EQ(Content(roots, At("media/a.mp4")), "in media");
  EXPECT_THAT(Content(roots, At("given/../secret.mp4")), HasSubstr("forbidden"));
  EXPECT_EQ(roots.Describe(), At("media"));
  // What was opened counts, not what has its name later.
  fs::remove(At("given"));
  fs::create_symlink(At("more"), At("given"));
  EXPECT_EQ(Content(roots, At("given/a.mp4")), "in media");
  fs::rename(At("media"), At("moved"));
  EXPECT_EQ(Content(roots, "a.mp4"), "in media");
}

TEST_F(Roots, OpeningNamesTheFolderThatFails) {
  EXPECT_THAT(Refusal(MediaRoots::Open({At("media"), At("none")})), HasSubstr("there is no folder '" + At("none")));
  EXPECT_THAT(Refusal(MediaRoots::Open({At("secret.mp4")})), HasSubstr("secret.mp4' is not a folder"));
  EXPECT_THAT(Refusal(MediaRoots::Open({""})), HasSubstr("output-folder"));
  const auto none = MediaRoots::Open({});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->Describe(), "none");
  EXPECT_THAT(Content(*none, At("media/a.mp4")), HasSubstr("forbidden"));
  EXPECT_THAT(Content(*none, "a.mp4"), HasSubstr("forbidden"));
  EXPECT_EQ(Open().Describe(), At("media") + ", " + At("more"));
}

// Somebody inside the root swaps a folder for a link that leads out, all the time.
TEST_F(Roots, AFolderThatIsSwappedForALinkNeverLeadsOut) {
  fs::create_directories(At("outside"));
  Write("outside/b.mp4", "outside");
  fs::create_symlink("../outside", At("media/other"));
  fs::create_symlink("sub/../sub", At("media/through"));
  const MediaRoots roots = Open({"media"});
  const auto source = roots.OpenInput("a.mp4");
  ASSERT_TRUE(source);
  struct stat outside{};
  ASSERT_EQ(::stat(At("outside").c_str(), &outside), 0);

  std::atomic<bool> stop = false;
  std::atomic<int> swaps = 0;
  std::thread swapper([&, sub = At("media/sub"), other = At("media/other")] {
    while (!stop) {
      if (::renameat2(AT_FDCWD, sub.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) ++swaps;
      std::this_thread::yield();
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
  std::set<std::string> seen;
  int inputs = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    for (const char* path : {"sub/b.mp4", "other/b.mp4", "through/b.mp4", "sub/new.mp4"}) {
      const std::string text = Content(roots, path);
      if (text == "below") ++inputs;
      seen.insert(text.substr(0, text.find(':')));
      struct stat folder{};
      const auto target = roots.OpenOutput(path, true, *source);
      if (!target) continue;
      EXPECT_EQ(::fstat(target->folder.get(), &folder), 0);
      EXPECT_NE(folder.st_ino, outside.st_ino);
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(swaps, 0);
  EXPECT_GT(inputs, 0);
  EXPECT_THAT(seen, testing::Contains("below"));
  EXPECT_THAT(seen, Not(testing::Contains("outside")));
  // Nothing else than the file, no such file, the refusal, or giving up between two renames.
  for (const auto& text : seen) {
    EXPECT_THAT(text, testing::AnyOf("below", "forbidden", "input-missing", "system")) << text;
  }
}

}  // namespace
}  // namespace weir::store
