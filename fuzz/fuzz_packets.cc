// Any bytes in place of what ffprobe tells of a whole file, and any text in place of a child's stderr.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "media/expectation.h"
#include "media/facts.h"
#include "media/failure.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::media;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  PacketScan whole;
  whole.Feed(text);
  whole.Finish();
  PacketScan pieces;
  const std::size_t step = size == 0 ? 1 : 1 + data[0] % 29;
  for (std::size_t at = 0; at < size; at += step) pieces.Feed(text.substr(at, step));
  pieces.Finish();
  Require(whole.streams().size() == pieces.streams().size() && whole.streams().size() <= 64);
  Require(whole.unreadable_lines() == pieces.unreadable_lines());
  Require(whole.rest() == pieces.rest() && whole.rest().size() <= (1U << 20U));
  for (std::size_t i = 0; i < whole.streams().size(); ++i) {
    const PacketScan::Stream& stream = whole.streams()[i];
    Require(stream.packets == pieces.streams()[i].packets && stream.bytes == pieces.streams()[i].bytes);
    Require(stream.largest_gap.count() >= 0 && stream.empty_packets <= stream.packets);
  }
  Expectation expected;
  expected.container = "mp4";
  expected.duration = weir::MediaTime(1'000'000);
  // Nothing was decoded, so nothing can be good.
  Require(!CheckOutput(expected, MediaFacts(), whole, {}, MoovFirst(text)).ok());

  for (const Stage stage : {Stage::kProbe, Stage::kWork, Stage::kVerify}) {
    const weir::Error error = ClassifyFailure(stage, 1, text, "x");
    Require(!error.detail.empty());
    for (const char c : error.detail) Require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  }
  DecodeErrors(text);
  return 0;
}
