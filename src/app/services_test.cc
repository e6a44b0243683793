#include "app/services.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace weir::app {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// Tells of its beginning and its end.
class Part {
 public:
  Part(std::vector<std::string>& told, std::string name) : told_(told), name_(std::move(name)) {
    told_.push_back("+" + name_);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() { told_.push_back("-" + name_); }

 private:
  std::vector<std::string>& told_;
  std::string name_;
};
struct Other : Part {
  using Part::Part;
  int answer = 42;
};

class ServicesTest : public testing::Test {
 protected:
  Service<Part> Declare(const std::string& name, std::vector<std::string> needs = {},
                        std::optional<Duration> idle = {}) {
    return services_->Declare<Part>({.name = name,
                                     .needs = std::move(needs),
                                     .make = [this, name]() -> Result<std::unique_ptr<Part>> {
                                       if (name == broken_) {
                                         return Fail(ErrorCode::kDiskFull, "no room for " + name);
                                       }
                                       if (name == throwing_) {
                                         throw std::runtime_error("inner words");
                                       }
                                       return std::make_unique<Part>(told_, name);
                                     },
                                     .idle = idle});
  }
  std::vector<std::string> Told() { return std::exchange(told_, {}); }
  bool IsLoaded(const std::string& name) {
    const auto readings = services_->Readings();
    return std::ranges::find(readings, name, &ServiceReading::name)->loaded;
  }
  std::string Refusal() {
    const auto checked = services_->Check();
    EXPECT_FALSE(checked);
    EXPECT_EQ(checked.error().code, ErrorCode::kInternal);
    return checked.error().detail;
  }

  ManualClock clock_;
  std::vector<std::string> told_;
  std::string broken_;
  std::string throwing_;
  Bytes heap_;
  std::unique_ptr<Services> services_ = std::make_unique<Services>(clock_, [this] { return heap_; });
};

TEST_F(ServicesTest, BuiltOnFirstUseAfterTheirNeedsAndDestroyedInReverse) {
  const auto top = Declare("top", {"left", "right"});
  Declare("left", {"ground"});
  Declare("right", {"ground"});
  Declare("ground");
  const auto aside = Declare("aside");
  ASSERT_TRUE(services_->Check());
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(top.get(), nullptr);
  {
    const auto use = services_->Use(top);
    ASSERT_TRUE(use);
    EXPECT_EQ(&**use, top.get());
  }
  EXPECT_THAT(Told(), ElementsAre("+ground", "+left", "+right", "+top"));
  ASSERT_TRUE(services_->Use(top));
  EXPECT_THAT(Told(), IsEmpty()) << "once";
  ASSERT_TRUE(services_->Use(aside));
  services_.reset();
  EXPECT_THAT(Told(), ElementsAre("+aside", "-aside", "-top", "-right", "-left", "-ground"));
}

TEST_F(ServicesTest, AFactorySeesWhatItNeeds) {
  const auto other = services_->Declare<Other>(
      {.name = "other", .make = [this] { return std::make_unique<Other>(told_, "other"); }});
  int seen = 0;
  const auto user = services_->Declare<Part>({.name = "user", .needs = {"other"}, .make = [&] {
                                                seen = other->answer;
                                                return std::make_unique<Part>(told_, "user");
                                              }});
  ASSERT_TRUE(services_->Check());
  ASSERT_TRUE(services_->Use(user));
  EXPECT_EQ(seen, 42);
}

TEST_F(ServicesTest, WhatCannotBePutInOrderIsRefused) {
  const auto a = Declare("a", {"b"});
  EXPECT_EQ(Refusal(), "a needs b, which there is not");
  EXPECT_EQ(services_->Use(a).error().code, ErrorCode::kInternal);
  Declare("b", {"c"});
  Declare("c", {"d"});
  Declare("d", {"b"});
  EXPECT_EQ(Refusal(), "the services need each other in a circle: b needs c needs d needs b");
  services_ = std::make_unique<Services>(clock_);
  Declare("a", {"b"});
  Declare("b", {"a"});
  EXPECT_THAT(Refusal(), testing::HasSubstr("a needs b needs a"));
  services_ = std::make_unique<Services>(clock_);
  Declare("a", {"a"});
  EXPECT_THAT(Refusal(), testing::HasSubstr("a needs a"));
  services_ = std::make_unique<Services>(clock_);
  Declare("a");
  Declare("a");
  EXPECT_EQ(Refusal(), "two services are called a");
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ServicesTest, AFailureLeavesNothingHalfBuilt) {
  const auto early = Declare("early");
  const auto top = Declare("top", {"early", "left", "right"});
  Declare("left");
  Declare("right");
  ASSERT_TRUE(services_->Check());
  ASSERT_TRUE(services_->Use(early));
  Told();
  broken_ = "right";
  EXPECT_EQ(services_->Use(top).error().detail, "no room for right");
  EXPECT_THAT(Told(), ElementsAre("+left", "-left")) << "what was there before stays";
  broken_ = {};
  throwing_ = "top";
  EXPECT_THROW(static_cast<void>(services_->Use(top)), std::runtime_error);
  EXPECT_THAT(Told(), ElementsAre("+left", "+right", "-right", "-left"));
  throwing_ = {};
  ASSERT_TRUE(services_->Use(top));
  EXPECT_THAT(Told(), ElementsAre("+left", "+right", "+top"));
}

TEST_F(ServicesTest, AFactoryThatUsesItselfIsRefused) {
  Service<Part> self;
  Error error;
  self = services_->Declare<Part>({.name = "self", .make = [&]() -> Result<std::unique_ptr<Part>> {
                                     auto use = services_->Use(self);
                                     error = use.error();
                                     return Fail(error);
                                   }});
  ASSERT_TRUE(services_->Check());
  EXPECT_FALSE(services_->Use(self));
  EXPECT_EQ(error.detail, "self is used while it is being built");
}

TEST_F(ServicesTest, WhatIsIdleGoes) {
  Declare("ground", {}, seconds(10));
  const auto top = Declare("top", {"ground"}, seconds(30));
  Declare("stays");
  ASSERT_TRUE(services_->Check());
  EXPECT_FALSE(services_->LetGo());
  {
    const auto use = services_->Use(top);
    clock_.Advance(seconds(100));
    EXPECT_FALSE(services_->LetGo()) << "it is held, and what it needs is needed";
    EXPECT_TRUE(IsLoaded("top"));
  }
  EXPECT_EQ(services_->LetGo(), clock_.Now() + seconds(30)) << "idle from the end of the use";
  clock_.Advance(seconds(29));
  ASSERT_TRUE(services_->Use(top));
  clock_.Advance(seconds(29));
  EXPECT_EQ(services_->LetGo(), clock_.Now() + seconds(1));
  EXPECT_TRUE(IsLoaded("ground")) << "needed, for however long";
  Told();
  clock_.Advance(seconds(1));
  EXPECT_EQ(services_->LetGo(), clock_.Now() + seconds(10));
  EXPECT_THAT(Told(), ElementsAre("-top"));
  clock_.Advance(seconds(10));
  EXPECT_FALSE(services_->LetGo());
  EXPECT_THAT(Told(), ElementsAre("-ground"));
  EXPECT_EQ(top.get(), nullptr);
  ASSERT_TRUE(services_->Use(top));
  EXPECT_THAT(Told(), ElementsAre("+ground", "+top")) << "and comes again";
  services_.reset();
  EXPECT_THAT(Told(), ElementsAre("-top", "-ground"));
}

TEST_F(ServicesTest, WhatIsLoadedCanBeSeen) {
  const auto plain = services_->Declare<Part>({.name = "plain", .make = [this] {
                                                 heap_ = heap_ + Bytes(1000);
                                                 return std::make_unique<Part>(told_, "plain");
                                               }});
  const auto telling = services_->Declare<Other>(
      {.name = "telling",
       .needs = {"plain"},
       .make = [this] { return std::make_unique<Other>(told_, "telling"); },
       .bytes = [](const Other& other) { return Bytes(static_cast<std::uint64_t>(other.answer)); }});
  ASSERT_TRUE(services_->Check());
  auto readings = services_->Readings();
  ASSERT_EQ(readings.size(), 2U);
  EXPECT_EQ(readings[0].name, "plain");
  EXPECT_FALSE(readings[0].loaded || readings[0].since || readings[0].bytes);
  ASSERT_TRUE(services_->Use(plain));
  const WallTime first = clock_.WallNow();
  clock_.Advance(seconds(5));
  ASSERT_TRUE(services_->Use(telling));
  telling->answer = 7;
  readings = services_->Readings();
  EXPECT_TRUE(readings[0].loaded && readings[1].loaded);
  EXPECT_EQ(readings[0].since, first);
  EXPECT_EQ(readings[1].since, first + seconds(5));
  EXPECT_EQ(readings[0].bytes, Bytes(1000));
  EXPECT_EQ(readings[1].bytes, Bytes(7)) << "as it says now";
}

}  // namespace
}  // namespace weir::app
