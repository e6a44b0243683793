// What an output must be, and the checks that hold it against what was found. Pure: the children that look at
// the file (probe, packet scan, decode windows) are built here and run elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "media/facts.h"

namespace weir::media {

struct ExpectedVideo {
  std::string codec;
  Size size;                     // square pixels, no rotation left
  bool check_size = true;        // false for stream copies, which keep what they have
  Rational rate;                 // average; unknown: not checked
  double rate_tolerance = 0.01;  // relative
  bool square_pixels = true;
  bool no_rotation = true;
  std::string pixel_format;  // empty: not checked
  std::optional<MediaTime>
      duration;  // of this stream when it is known to differ from the whole; else only its upper end is held
};

struct ExpectedAudio {
  std::string codec;
  int sample_rate = 0;  // 0: not checked
  int channels = 0;
  std::optional<MediaTime> duration;  // as for video
  MediaTime duration_slack{0};        // added to the tolerance where the source tells its own length badly
};

struct Expectation {
  std::string container;  // one of the words of ffprobe's format_name ("mp4", "webm", "png_pipe")
  std::optional<ExpectedVideo> video;
  std::vector<ExpectedAudio> audio;  // exactly these, in order
  std::size_t subtitles = 0;
  std::optional<MediaTime> duration;
  MediaTime duration_tolerance{};  // one frame, or the keyframe distance for copies
  std::int64_t min_frames = 0;     // video packets
  std::int64_t max_frames = 0;     // 0: not checked
  bool faststart = false;          // moov before mdat
  bool still_image = false;        // one picture: probed and decoded whole
  bool no_identifying_tags = true;
};

// What FileScanArguments print of a whole file, in bounded memory: times and sizes of every packet are gathered as
// they come, the rest is kept for ParseProbe.
class PacketScan {
 public:
  PacketScan();
  ~PacketScan();
  PacketScan(const PacketScan&) = delete;
  PacketScan& operator=(const PacketScan&) = delete;
  void Feed(std::string_view chunk);
  void Finish();

  struct Stream {
    int index = 0;
    std::int64_t packets = 0;
    std::int64_t empty_packets = 0;      // size 0
    std::int64_t times_backwards = 0;    // dts before that of the packet ahead
    std::int64_t times_repeated = 0;     // dts the same; Matroska rounds to milliseconds and may do so
    std::int64_t times_missing = 0;      // neither pts nor dts
    std::int64_t corrupt = 0;            // flagged by the demuxer (never by ffprobe 5)
    std::int64_t discarded = 0;          // before the start of an edit list: read for decoding, never shown
    std::optional<MediaTime> first_pts;  // smallest, of what is shown
    std::optional<MediaTime> end_pts;    // largest pts plus duration
    std::int64_t keys = 0;               // key pictures, from which decoding can begin
    std::optional<MediaTime> second_key;
    std::optional<MediaTime> last_key;
    std::int64_t decoded = 0;  // frames that came out of the decoder, where the scan had one
    MediaTime largest_gap{};   // between consecutive dts
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] const std::vector<Stream>& streams() const;
  [[nodiscard]] std::int64_t unreadable_lines() const;
  [[nodiscard]] const std::string& rest() const;  // at most 1 MiB

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// No windows: what the scan decodes beside reading the packets.
inline constexpr char kKeyPictures[] = "key pictures";
inline constexpr char kReferences[] = "reference pictures";
// Of the window at the tail, beside such a scan.
inline constexpr char kTailReferences[] = "reference pictures of the tail";

// One window of the output that was decoded.
struct DecodedWindow {
  std::string where;  // "head", "middle", "tail", "all", or one of the above
  std::int64_t frames = 0;
  std::string errors;  // DecodeErrors of the decoder's stderr; empty when clean
  bool clean = false;  // exit status 0 and no errors; CheckOutput holds `frames` against what was expected
};

struct CheckLine {
  std::string what;      // "duration"
  std::string expected;  // "10.000 s within 0.034 s"
  std::string found;     // "10.000 s"
  bool ok = false;
};
struct CheckReport {
  std::vector<CheckLine> lines;
  [[nodiscard]] bool ok() const;
  [[nodiscard]] std::string FirstDifference() const;  // "duration: expected 10.000 s within 0.034 s, found 8.2 s"
  [[nodiscard]] std::string Summary()
      const;  // "container, 2 streams, size, ... all 770 packets read, decoded head, middle and tail"
};

CheckReport CheckOutput(const Expectation& expected, const MediaFacts& found, const PacketScan& scan,
                        const std::vector<DecodedWindow>& windows, bool moov_first);

// True when the atoms at the front of an mp4 have moov before mdat. `front` needs only the first 64 KiB of a
// faststart file: ftyp and the moov header are there. False when it is not an mp4.
bool MoovFirst(std::string_view front);

enum class VerifyDepth : std::uint8_t { kSample, kFull };
struct VerifyCommand {
  std::string where;                   // "scan", kKeyPictures or kReferences (scans too), or a window's name
  bool is_ffprobe = false;             // else ffmpeg
  std::vector<std::string> arguments;  // after argv[0]; the file is descriptor 3, progress of decodes is descriptor 4
  Bytes lease;
  std::chrono::milliseconds deadline{};
  std::optional<MediaTime> at{};  // of a window that begins at a key picture about there
  bool after_scan = false;        // may be of no use: see WindowKnowing
};
// The scan and decode windows for a file that must be `expected`, of that length. A file of known size which takes
// little to decode is decoded whole: beside starting more processes it costs nothing, and every picture was seen.
// Of a short one that was encoded here the scan decodes all key pictures, in place of the windows at head and middle,
// and of the tail only what others lean on is decoded; where it has hardly more than one key picture, the scan
// decodes all that others lean on, in place of all windows.
std::vector<VerifyCommand> BuildVerification(const Expectation& expected, const MediaFacts& source, VerifyDepth depth,
                                             MediaTime output_length, std::optional<Bytes> output_size = {});

// The packets of the picture; nullptr: there is none, or no packet of it.
const PacketScan::Stream* PictureOf(const PacketScan& scan, const MediaFacts& found);

// What a scan decoded, and what the decoder said of it; nullopt where it decoded nothing.
std::optional<DecodedWindow> DecodedByScan(const VerifyCommand& command, const PacketScan& scan,
                                           const MediaFacts& found, std::string_view complaints);

// What a window is, now that the key pictures are known: another name ("all" for a tail from the first picture on),
// or nullopt when its pictures are all in other windows.
std::optional<std::string> WindowKnowing(const PacketScan& scan, const MediaFacts& found,
                                         const VerifyCommand& window);

}  // namespace weir::media
