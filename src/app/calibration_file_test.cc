#include "app/calibration_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "os/file.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

class CalibrationFileTest : public testing::Test {
 protected:
  CalibrationFileTest() {
    std::string pattern = (fs::temp_directory_path() / "weir-calibration-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    folder_ = *os::EnsureFolder(path_.string());
    // There is no way back to standard error: what other tests say later is refused, and told there.
    log::To([kept = std::weak_ptr(warnings_at_)](std::string_view line) -> Status {
      const auto warnings = kept.lock();
      if (!warnings) {
        return Fail(ErrorCode::kSystem, std::string(line));
      }
      if (line.find("warning") != std::string_view::npos) {
        warnings->emplace_back(line);
      }
      return {};
    });
  }
  ~CalibrationFileTest() override {
    aside_.join();
    fs::remove_all(path_);
  }

  std::unique_ptr<CalibrationFile> Open(const std::string& tool = "5.1.9") {
    return std::make_unique<CalibrationFile>(loop_, aside_, folder_.get(), jobs::LearningSettings{.tool = tool});
  }
  static void Teach(CalibrationFile& file) {
    file.learning().Take({.key = {.recipe = "crop", .codec = "h264", .plan = "copy", .input = {}, .output = {}},
                          .prior = Bytes::Mib(100),
                          .amount = Bytes::Mib(90)});
  }
  static std::size_t SamplesIn(CalibrationFile& file) { return file.learning().summary().samples; }
  [[nodiscard]] std::string Text() const {
    std::ostringstream text;
    text << std::ifstream(path_ / "calibration", std::ios::binary).rdbuf();
    return text.str();
  }
  void Put(const std::string& text) const { std::ofstream(path_ / "calibration", std::ios::binary) << text; }
  [[nodiscard]] std::size_t Entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
  }

  fs::path path_;
  os::UniqueFd folder_;
  boost::asio::io_context loop_{1};
  boost::asio::thread_pool aside_{1};
  std::shared_ptr<std::vector<std::string>> warnings_at_ = std::make_shared<std::vector<std::string>>();
  std::vector<std::string>& warnings_ = *warnings_at_;
};

TEST_F(CalibrationFileTest, KeepsWhatWasLearnedToTheEnd) {
  {
    const auto file = Open();
    Teach(*file);
    Teach(*file);
    EXPECT_FALSE(fs::exists(path_ / "calibration")) << "not within the call";
    file->Save();
    EXPECT_EQ(Text(), file->learning().calibration().Serialize());
  }
  const auto again = Open();
  EXPECT_EQ(SamplesIn(*again), 2U);
  EXPECT_EQ(Entries(), 1U);
  EXPECT_TRUE(warnings_.empty()) << warnings_.front();
}

TEST_F(CalibrationFileTest, WritesSoonAndThenNotAgainForAWhile) {
  const auto file = Open();
  Teach(*file);
  loop_.run_for(std::chrono::milliseconds(1500));
  const std::string first = Text();
  EXPECT_EQ(first, file->learning().calibration().Serialize());
  Teach(*file);
  loop_.restart();
  loop_.run_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(Text(), first) << "twice within a minute";
  file->Save();
  EXPECT_EQ(Text(), file->learning().calibration().Serialize());
  EXPECT_NE(Text(), first);
}

TEST_F(CalibrationFileTest, NothingLearnedIsNothingWritten) {
  Open()->Save();
  EXPECT_EQ(Entries(), 0U);
}

TEST_F(CalibrationFileTest, WhatIsDamagedIsSetAsideWithOneWarning) {
  {
    const auto file = Open();
    Teach(*file);
    file->Save();
  }
  std::string text = Text();
  text[text.size() / 2] ^= 1;
  Put(text);
  const auto file = Open();
  EXPECT_EQ(SamplesIn(*file), 0U);
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_NE(warnings_[0].find("calibration.damaged"), std::string::npos) << warnings_[0];
  EXPECT_TRUE(fs::exists(path_ / "calibration.damaged"));
  Teach(*file);
  file->Save();
  EXPECT_EQ(SamplesIn(*Open()), 1U);
  EXPECT_EQ(warnings_.size(), 1U);
}

TEST_F(CalibrationFileTest, OfALaterVersionItIsLeftAlone) {
  const std::string later = "weir-calibration 2\nwhatever\n";
  Put(later);
  const auto file = Open();
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_EQ(SamplesIn(*file), 0U);
  Teach(*file);
  loop_.run_for(std::chrono::milliseconds(1300));
  file->Save();
  EXPECT_EQ(Text(), later);
  EXPECT_EQ(SamplesIn(*file), 1U) << "it learns all the same";
}

TEST_F(CalibrationFileTest, WhatIsNoFileIsLeftAlone) {
  fs::create_directory(path_ / "calibration");
  const auto file = Open();
  EXPECT_EQ(warnings_.size(), 1U);
  Teach(*file);
  file->Save();
  EXPECT_TRUE(fs::is_directory(path_ / "calibration"));
}

TEST_F(CalibrationFileTest, AnotherToolBeginsAnew) {
  {
    const auto file = Open();
    Teach(*file);
    file->Save();
  }
  const auto file = Open("6.0");
  EXPECT_EQ(SamplesIn(*file), 0U);
  EXPECT_TRUE(warnings_.empty());
  Teach(*file);
  file->Save();
  EXPECT_EQ(SamplesIn(*Open("6.0")), 1U);
  EXPECT_EQ(SamplesIn(*Open()), 0U);
}

TEST_F(CalibrationFileTest, WhatCannotBeWrittenIsSaidOnce) {
  const auto file = Open();
  fs::create_directories(path_ / "calibration" / "in the way");
  Teach(*file);
  loop_.run_for(std::chrono::milliseconds(1300));
  EXPECT_EQ(warnings_.size(), 1U);
  EXPECT_EQ(SamplesIn(*file), 1U);
}

TEST_F(CalibrationFileTest, WhatALifeThatDiedLeftGoes) {
  std::ofstream(path_ / ".new-0123456789abcdef") << "half of it";
  std::ofstream(path_ / "jobs.db") << "not ours";
  Open();
  EXPECT_FALSE(fs::exists(path_ / ".new-0123456789abcdef"));
  EXPECT_TRUE(fs::exists(path_ / "jobs.db"));
}

}  // namespace
}  // namespace weir::app
