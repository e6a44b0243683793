// The arguments that every ffmpeg and ffprobe child has in common: quiet, no standard input, allow-lists, limits,
// input on descriptor 3. Pure; argument vectors only, never a joined string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "media/facts.h"
#include "media/plan.h"

namespace weir::media {

using Arguments = std::vector<std::string>;

// The input as children see it. A user's file name is never among the arguments.
inline constexpr const char* kInputUrl = "file:/proc/self/fd/3";

// "12.500000": seconds as ffmpeg reads them, exact to the microsecond; negative times count as 0.
std::string SecondsText(MediaTime time);

void Append(Arguments& arguments, std::vector<std::string> more);

// Start of every ffmpeg child: errors only, no standard input, -max_alloc, progress to descriptor 4.
Arguments FfmpegStart(const InputLimits& limits);
// Opens descriptor 3 under the limits: what must stand before -i, then -i itself. `before` are further options of
// this input ("-ss", "5", "-threads", "1").
void AppendInput(Arguments& arguments, const InputLimits& limits, std::vector<std::string> before = {});
// ffprobe of descriptor 3 under the limits; `entries` say what it prints ("-show_format", ...).
Arguments FfprobeOf(const InputLimits& limits, std::vector<std::string> entries,
                    std::vector<std::string> before = {});
// What ParseProbe reads.
Arguments ProbeArguments(const InputLimits& limits);
// Of the picture; where it is more than nothing, of all sound as well.
enum class ScanDecodes : std::uint8_t { kNothing, kKeys, kLeanedOn };
// Options of an input of which only the pictures that others lean on are decoded, and these without their last
// filter, in which no damage shows: little more than half of the time.
Arguments OnlyReferences();
// What PacketScan reads: all that ProbeArguments tell, and every packet.
Arguments FileScanArguments(const InputLimits& limits, ScanDecodes decodes = ScanDecodes::kNothing);

// Resident peaks with 15 % margin, as measured with ffmpeg 5.1 on H.264, HEVC, VP9, PNG and JPEG from 0.2 to 50
// megapixels: 52 MB of libraries, then memory per megapixel of the largest picture. Length adds 0.25 MB a minute
// for the index of the file.
Bytes ProbeLease(Size largest, int bit_depth, MediaTime length);
// One thread decoding `codec`; `refs` above 4 keep further pictures (1.7 MB per megapixel each).
Bytes DecodeLease(std::string_view codec, Size size, int bit_depth, int refs, MediaTime length);

}  // namespace weir::media
