// ffprobe children: the probe of the input and the search for key pictures around a cut.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "media/commands.h"
#include "media/plan_parts.h"

namespace weir::media {

HelperCommand BuildProbe(const InputLimits& limits) {
  HelperCommand command;
  command.arguments = ProbeArguments(limits);
  // Two packets are decoded, because only then does ffprobe know the number of H.264's reference pictures; each more
  // would cost memory (4K 10-bit: 30 MiB) and time.
  Append(command.arguments, {"-threads", "1", "-read_intervals", "%+#2", "-show_entries", "frame=pts"});
  Settle(NeedOfProbe(limits), command);
  command.deadline = std::chrono::seconds(60);
  return command;
}

namespace {

// Packets of the moving picture from the key picture before `from` to one second past `at`; nothing is decoded.
HelperCommand PacketsBetween(MediaTime from, MediaTime at, const InputLimits& limits) {
  const MediaTime start = std::max(MediaTime(0), from);
  const MediaTime length = std::max(MediaTime(0), at) - start + std::chrono::seconds(1);
  HelperCommand command;
  command.arguments =
      FfprobeOf(limits, {"-select_streams", "V:0", "-read_intervals", SecondsText(start) + "%+" + SecondsText(length),
                         "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"});
  Settle(NeedOfProbe(limits), command);
  command.deadline = std::chrono::seconds(60);
  return command;
}

}  // namespace

HelperCommand BuildKeyframeProbe(const MediaFacts& facts, MediaTime at, const InputLimits& limits) {
  const MediaTime target = at + facts.start.value_or(MediaTime(0));
  const Seek seek = SeekTo(facts, at);
  return PacketsBetween(seek.after ? target - *seek.after : target, target, limits);
}

CutFacts ParseKeyframes(std::string_view output, MediaTime at, MediaTime file_start) {
  CutFacts facts;
  for (const std::string_view line : SplitLines(output)) {
    const std::size_t comma = line.find(',');
    if (comma == std::string_view::npos || line.find('K', comma) == std::string_view::npos) continue;
    const auto seconds = ParseDecimal(weir::Trim(line.substr(0, comma)));
    if (!seconds || *seconds < -1e6 || *seconds > 1e7) continue;
    const MediaTime time(static_cast<std::int64_t>(std::llround(*seconds * 1e6)) - file_start.count());
    if (time <= at) {
      facts.keyframe_at_or_before = std::max(facts.keyframe_at_or_before.value_or(time), time);
    } else {
      facts.keyframe_after = std::min(facts.keyframe_after.value_or(time), time);
    }
  }
  return facts;
}

}  // namespace weir::media
