// Any bytes in any pieces: the parser stays within its bounds, and pieces give what the whole gives.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "media/progress.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  weir::media::ProgressParser whole;
  whole.Feed(text);
  const weir::media::Progress& now = whole.current();
  Require(now.frame >= 0 && now.out_time.count() >= 0 && now.speed >= 0 && now.fps >= 0);

  weir::media::ProgressParser pieces;
  const std::size_t step = size == 0 ? 1 : 1 + data[0] % 17;
  for (std::size_t at = 0; at < size; at += step) {
    const weir::media::Progress before = pieces.current();
    if (pieces.Feed(text.substr(at, step))) {
      const weir::media::Progress& after = pieces.current();
      Require(after.frame > before.frame || after.out_time > before.out_time ||
              after.total_size > before.total_size || after.finished || pieces.blocks() > 1);
    }
  }
  Require(pieces.blocks() == whole.blocks() && pieces.bad_lines() == whole.bad_lines());
  Require(pieces.current().frame == now.frame && pieces.current().out_time == now.out_time);
  return 0;
}
