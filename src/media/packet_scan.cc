#include <algorithm>
#include <cmath>
#include <string>

#include "base/text.h"
#include "media/expectation.h"

namespace weir::media {
namespace {

constexpr std::size_t kMostRest = 1 << 20;
constexpr std::size_t kMaxLine = kMostRest;  // that of a stream has all its tags
constexpr std::size_t kMaxStreams = 64;
constexpr std::uint64_t kMaxPacket = std::uint64_t{1} << 40U;
constexpr double kMaxSeconds = 1e8;

std::optional<MediaTime> Time(std::string_view value) {
  const std::optional<double> seconds = ParseDecimal(value);
  if (!seconds || !std::isfinite(*seconds) || std::abs(*seconds) > kMaxSeconds) return std::nullopt;
  return MediaTime(std::llround(*seconds * 1e6));
}

struct Packet {
  std::optional<std::uint64_t> stream;
  std::optional<MediaTime> pts;
  std::optional<MediaTime> dts;
  std::optional<MediaTime> duration;
  std::optional<std::uint64_t> size;
  bool discarded = false;  // before the edit list's start: decoded, never shown
  bool corrupt = false;
  bool key = false;
  bool frame = false;  // no packet
};

// One line, `{ "stream_index": 0, "pts_time": "0.1", "dts_time": "N/A", "size": "1407", "flags": "K_" },`. No value
// holds a quote.
Packet Read(std::string_view line) {
  Packet packet;
  while (true) {
    const std::size_t open = line.find('"');
    const std::size_t close = open == std::string_view::npos ? open : line.find('"', open + 1);
    if (close == std::string_view::npos) return packet;
    const std::string_view key = line.substr(open + 1, close - open - 1);
    line.remove_prefix(close + 1);
    if (!line.starts_with(": ")) continue;
    line.remove_prefix(2);
    const bool quoted = line.starts_with('"');
    line.remove_prefix(quoted ? 1 : 0);
    const std::size_t end = std::min(line.find_first_of(quoted ? "\"" : ", }"), line.size());
    const std::string_view value = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    if (key == "type") {
      packet.frame = value == "frame";
    } else if (key == "stream_index") {
      packet.stream = ParseUnsigned(value);
    } else if (key == "pts_time") {
      packet.pts = Time(value);
    } else if (key == "dts_time") {
      packet.dts = Time(value);
    } else if (key == "duration_time") {
      packet.duration = Time(value);
    } else if (key == "size") {
      packet.size = ParseUnsigned(value);
    } else if (key == "flags") {
      packet.discarded = value.find('D') != std::string_view::npos;
      packet.corrupt = value.find('C') != std::string_view::npos;
      packet.key = value.find('K') != std::string_view::npos;
    }
  }
}

}  // namespace

struct PacketScan::State {
  enum class Place : std::uint8_t { kOutside, kPackets, kSideData };
  Place place = Place::kOutside;
  std::string rest;     // of the document, without the packets
  std::string partial;  // line
  bool overlong = false;
  std::int64_t unreadable = 0;
  std::vector<Stream> streams;
  std::vector<std::optional<MediaTime>> last_dts;  // beside `streams`

  void Line(std::string_view line);
  void PacketLine(std::string_view line);
  void Count(const Packet& packet, Stream& stream, std::optional<MediaTime>& last);
};

void PacketScan::State::Line(std::string_view line) {
  const std::string_view text = Trim(line);
  const bool ends_list = text == "]" || text == "],";
  if (place == Place::kOutside || ends_list) {
    if (rest.size() + line.size() < kMostRest) rest.append(line).append("\n");
    const bool begins = text == "\"packets\": [" || text == "\"packets_and_frames\": [";
    place = !ends_list && begins ? Place::kPackets : Place::kOutside;
  } else if (place == Place::kSideData) {
    // Of a packet that was read; nobody asked for it.
    if (text == "] }" || text == "] },") place = Place::kPackets;
  } else if (!text.empty()) {
    PacketLine(text);
    if (text.ends_with(',') && !text.ends_with("},")) place = Place::kSideData;
  }
}

void PacketScan::State::PacketLine(std::string_view line) {
  const Packet packet = Read(line);
  if (packet.frame && packet.stream) {
    const auto of = std::ranges::find(streams, static_cast<int>(*packet.stream), &Stream::index);
    if (of != streams.end()) ++of->decoded;
    return;
  }
  if (!packet.stream || !packet.size || *packet.stream > 1'000'000 || *packet.size > kMaxPacket) {
    ++unreadable;
    return;
  }
  const int index = static_cast<int>(*packet.stream);
  auto stream = std::ranges::find(streams, index, &Stream::index);
  if (stream == streams.end()) {
    if (streams.size() == kMaxStreams) {
      ++unreadable;
      return;
    }
    stream = streams.insert(stream, Stream{.index = index});
    last_dts.emplace_back();
  }
  Count(packet, *stream, last_dts[static_cast<std::size_t>(stream - streams.begin())]);
}

void PacketScan::State::Count(const Packet& packet, Stream& stream, std::optional<MediaTime>& last) {
  ++stream.packets;
  stream.bytes += *packet.size;
  if (*packet.size == 0) ++stream.empty_packets;
  if (packet.corrupt) ++stream.corrupt;
  if (packet.key) {  // those that are decoded and not shown too
    ++stream.keys;
    if (stream.keys == 2) stream.second_key = packet.pts;
    stream.last_key = packet.pts;
  }
  if (!packet.pts && !packet.dts) {
    ++stream.times_missing;
    return;
  }
  if (packet.dts) {
    if (last) {
      if (*packet.dts < *last) ++stream.times_backwards;
      if (*packet.dts == *last) ++stream.times_repeated;
      stream.largest_gap = std::max(stream.largest_gap, *packet.dts - *last);
    }
    last = packet.dts;
  }
  if (packet.discarded) {
    ++stream.discarded;
    return;
  }
  if (!packet.pts) return;
  stream.first_pts = std::min(stream.first_pts.value_or(*packet.pts), *packet.pts);
  const MediaTime length = std::max(packet.duration.value_or(MediaTime(0)), MediaTime(0));
  stream.end_pts = std::max(stream.end_pts.value_or(*packet.pts + length), *packet.pts + length);
}

PacketScan::PacketScan() : state_(std::make_unique<State>()) {
  state_->partial.reserve(1024);
  state_->streams.reserve(kMaxStreams);
  state_->last_dts.reserve(kMaxStreams);
}
PacketScan::~PacketScan() = default;

void PacketScan::Feed(std::string_view chunk) {
  State& state = *state_;
  while (!chunk.empty()) {
    const std::size_t end = chunk.find('\n');
    const std::string_view piece = chunk.substr(0, end);
    if (!state.overlong && state.partial.size() + piece.size() > kMaxLine) {
      state.overlong = true;
      state.partial.clear();
    }
    if (!state.overlong) state.partial += piece;
    if (end == std::string_view::npos) return;
    if (state.overlong) {
      ++state.unreadable;
    } else {
      state.Line(state.partial);
    }
    state.overlong = false;
    state.partial.clear();
    chunk.remove_prefix(end + 1);
  }
}

void PacketScan::Finish() {
  State& state = *state_;
  // ffprobe ends every line and every list, even of a broken file.
  if (state.overlong || !Trim(state.partial).empty() || state.place != State::Place::kOutside) ++state.unreadable;
  state.place = State::Place::kOutside;
  state.overlong = false;
  state.partial.clear();
}

const std::vector<PacketScan::Stream>& PacketScan::streams() const { return state_->streams; }
const std::string& PacketScan::rest() const { return state_->rest; }
std::int64_t PacketScan::unreadable_lines() const { return state_->unreadable; }

}  // namespace weir::media
