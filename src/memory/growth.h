// Growth: tells from a sample about once a minute whether the daemon itself grows for ever, and what in it. It
// measures nothing, frees nothing and knows nothing of children; the samples are handed in and what it finds is
// handed back.
//
// A daemon that works goes up and down; only what it never gives back is growth. So each series is kept as minima of
// equal intervals, and what is judged is its floor: floor(t) is the lowest minimum from t until now. A sawtooth, a
// step or a load that went away leave the floor flat; a leak lifts it everywhere. The slope of the floor is the
// median of the slopes of all pairs of points (Theil 1950, "A rank-invariant method of linear and polynomial
// regression analysis"; Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"), which up to 29 %
// of wild points cannot move far.
//
// The rule. For windows of 3 h, 12 % longer, and so on to the whole history, all ending now: let the window begin at
// its lowest point (the last one, if several). There is a finding when for one of them
//   1. the slope of the floor is above the limit (1 MiB, 10 handles or 10 threads per hour);
//   2. it lasts 18 h; or at least 3 h, and both by its slope and by its values it rose more than the swing granted to
//      healthy work (48 MiB, 300 handles or threads, 2 % more for each hour): 20 MiB/h needs 3 h, 12 MiB/h 4.4 h,
//      5 MiB/h 11.9 h, up to 3.6 MiB/h 18 h;
//   3. in each quarter of it the floor rose by at least half of what the slope says (a step does so in one only, a
//      warm-up that levels off not in the last, a sawtooth not where it has fallen);
//   4. each quarter has three points, and no hole in the samples is longer than half a quarter.
// So all swings that add up to 50 MiB at most and are given back within 18 h are healthy. A larger one that climbs
// evenly for more than 3 h cannot be told from a leak until it falls.
//
// A finding ends when no window fulfils the rule any more and the floor has risen by less than half the limit over
// the last half of the shortest window that fulfilled it (3 h at least): from 3 h after a fast leak has stopped to
// about 9 h after a slow or a very long one, and at once when the memory is given back. What was evidence for it is
// evidence again only if the floor has since risen by the limit over that same time: a finding does not flicker while
// it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace weir::memory {

struct GrowthLimits {
  Bytes memory_per_hour = Bytes::Mib(1);
  // What healthy work may take in a climb of 3 to 18 h, and 2 % more for each hour of it.
  Bytes memory_swing = Bytes::Mib(48);
  double handles_per_hour = 10;
  double threads_per_hour = 10;
  double count_swing = 300;
};

struct GrowthBounds {
  // Of each series. They reach back 60 h: 360 are 10 minutes each. Below 180 counts as 180.
  std::size_t points = 360;
  // Named components with a series of their own; those that come when all are taken are one series together.
  std::size_t components = 16;
};

struct ComponentUse {
  std::string name;  // the first 64 characters tell it from others
  Bytes used;
};

// All of one moment. A moment of which not everything could be read is left out: a zero would be a fall.
struct GrowthSample {
  SteadyTime time{};
  Bytes pss{};
  Bytes heap_in_use{};
  std::size_t handles = 0;
  std::size_t threads = 0;
  // Parts of the heap. One that is missing is unknown at that moment, not empty.
  std::vector<ComponentUse> components{};
};

enum class Growing : std::uint8_t { kMemory, kHandles, kThreads };

struct GrowthFinding {
  Growing what = Growing::kMemory;
  Bytes bytes_per_hour;       // kMemory only
  double count_per_hour = 0;  // the others
  Duration over{};
  // The name of the component whose floor rises most, or one of kOtherComponents, kHeapOutsideComponents,
  // kOutsideHeap if that rises more than any component; empty for handles and threads.
  std::string suspect;
  // For people: the numbers, and what to look at.
  std::string sentence;
};

struct GrowthChange {
  bool began = false;  // else it ended, and `finding` is what was last known of it
  GrowthFinding finding;
};

inline constexpr char kOtherComponents[] = "other components";
inline constexpr char kHeapOutsideComponents[] = "heap outside the components";
inline constexpr char kOutsideHeap[] = "outside the heap";

// One thread. Keeps copies only, calls nobody, cannot fail. Update costs O(components), and once per interval (10
// minutes) O(points) for each of three series and at most 28 medians of 2556 pairs when something does rise.
class Growth {
 public:
  explicit Growth(GrowthLimits limits = {}, GrowthBounds bounds = {});

  // What began or ended with this sample, mostly nothing. Times may be irregular, stand still or even go back: what
  // is not later than the newest point is counted into it.
  [[nodiscard]] std::vector<GrowthChange> Update(const GrowthSample& sample);

  // Those that hold now, with their newest numbers; at most one of each kind.
  [[nodiscard]] std::vector<GrowthFinding> findings() const;
  // The slope of the PSS over the last 18 h, for a chart: of the minima themselves, so it may be below zero and
  // swings with healthy work. Empty in the first 3 h.
  [[nodiscard]] std::optional<double> pss_mib_per_hour() const;

  // What the history takes now, and the most it can ever take: (6 + components) * points * 8 bytes and the names
  // (64 KiB as constructed by default); while Update judges, some 40 KiB more.
  [[nodiscard]] Bytes bytes() const;
  [[nodiscard]] Bytes most_bytes() const;
  [[nodiscard]] std::size_t component_count() const { return components_.size(); }

 private:
  // One value per slot in a ring, kNone where there was no sample.
  using Series = std::vector<std::int64_t>;
  struct Component {
    std::string name;
    Series series;
    std::int64_t last_slot = 0;
  };
  struct Point {
    double hours = 0;
    double value = 0;
  };
  struct Rise {
    double per_hour = 0;
    double hours = 0;
    double begin = 0;  // in hours of Point
    double from = 0;
    double to = 0;
  };
  struct Rises {
    Rise shortest;
    Rise longest;
  };
  struct Rule {
    double limit = 0;
    double swing = 0;
  };
  struct State {
    bool active = false;
    double hold_hours = 0;
    double ended = 0;  // in hours of Point
    GrowthFinding finding;
  };

  [[nodiscard]] static std::vector<Point> Floor(std::vector<Point> points);
  [[nodiscard]] static double Slope(const std::vector<Point>& points, std::size_t first);
  [[nodiscard]] static std::optional<Rise> JudgeFrom(const std::vector<Point>& floor, std::size_t first,
                                                     const Rule& rule);
  [[nodiscard]] static std::optional<Rises> Judge(const std::vector<Point>& floor, const Rule& rule);
  [[nodiscard]] static bool RisesLess(const std::vector<Point>& floor, double hours, double per_hour);

  [[nodiscard]] std::vector<Point> Points(const Series& series, double since_hours) const;
  [[nodiscard]] GrowthFinding Describe(Growing what, const Rise& rise) const;
  void Suspect(const Rise& rise, GrowthFinding& finding) const;
  void Put(Series& series, std::int64_t value) const;
  void PutComponents(const GrowthSample& sample);
  void MoveTo(std::int64_t slot);
  void Evaluate(std::vector<GrowthChange>& changes);
  [[nodiscard]] Rule RuleOf(Growing what) const;

  GrowthLimits limits_;
  GrowthBounds bounds_;
  Duration interval_;
  std::optional<SteadyTime> origin_;
  std::int64_t slot_ = 0;  // the newest, still open
  Series pss_;
  Series handles_;
  Series threads_;
  Series heap_rest_;
  Series outside_heap_;
  Series other_components_;
  std::vector<Component> components_;
  State states_[3];
};

}  // namespace weir::memory
