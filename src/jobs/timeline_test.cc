#include "jobs/timeline.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace weir::jobs {
namespace {

using namespace std::chrono_literals;

TEST(Timeline, KeepsPeaksAndItsBoundHoweverLongItLasts) {
  const SteadyTime began{1h};
  Timeline timeline(64);
  timeline.Begin(3, began);
  EXPECT_TRUE(timeline.empty());
  // Ten hours, ten samples a second, one short peak and one short larger lease.
  for (int i = 0; i < 360'000; ++i) {
    timeline.Add(began + i * 100ms, i == 123'456 ? Bytes::Mib(300) : Bytes::Mib(50),
                 i == 200'000 ? Bytes::Mib(400) : Bytes::Mib(80));
  }
  const auto document = boost::json::parse(timeline.AsJson()).as_object();
  EXPECT_EQ(document.at("attempt"), 3);
  const auto& samples = document.at("samples").as_array();
  EXPECT_LE(samples.size(), 64U);
  EXPECT_GT(samples.size(), 30U);
  double before = -1;
  int peaks = 0;
  int leases = 0;
  for (const auto& sample : samples) {
    const double seconds = sample.at("seconds").to_number<double>();
    EXPECT_GT(seconds, before);
    const double next = &sample == &samples.back() ? 36'000 : (&sample + 1)->at("seconds").to_number<double>();
    const auto resident = sample.at("resident_bytes").to_number<std::uint64_t>();
    const auto lease = sample.at("lease_bytes").to_number<std::uint64_t>();
    if (resident == Bytes::Mib(300).count()) {
      ++peaks;
      EXPECT_LE(seconds, 12'345.6);
      EXPECT_GT(next, 12'345.6);
    } else {
      EXPECT_EQ(resident, Bytes::Mib(50).count());
    }
    leases += lease == Bytes::Mib(400).count() ? 1 : 0;
    before = seconds;
  }
  EXPECT_EQ(samples.front().at("seconds").to_number<double>(), 0);
  EXPECT_EQ(peaks, 1);
  EXPECT_EQ(leases, 1);
}

TEST(Timeline, StartsAnewWithTheNextAttempt) {
  Timeline timeline(8);
  timeline.Begin(1, SteadyTime{1h});
  timeline.Add(SteadyTime{1h + 5s}, Bytes::Mib(1), Bytes::Mib(2));
  timeline.Begin(2, SteadyTime{2h});
  EXPECT_TRUE(timeline.empty());
  EXPECT_EQ(timeline.AsJson(), R"({"attempt":2,"samples":[]})");
}

}  // namespace
}  // namespace weir::jobs
