// Any text in place of a parameter: a value from its closed range, or a sentence that is safe to print.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "media/recipe.h"
#include "require.h"

namespace {

template <typename T>
bool Accepted(const weir::Result<T>& result) {
  if (result) return true;
  Require(!result.error().detail.empty());
  for (const char c : result.error().detail) Require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::media;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto aspect = ParseAspect(text); Accepted(aspect)) {
    Require(aspect->num >= 1 && aspect->den >= 1 && aspect->num <= aspect->den * 20 &&
            aspect->den <= aspect->num * 20);
  }
  if (const auto focus = ParseFocus(text); Accepted(focus)) {
    Require(focus->x >= 0 && focus->x <= 1 && focus->y >= 0 && focus->y <= 1);
  }
  if (const auto pixels = ParseSize(text); Accepted(pixels)) {
    Require(pixels->width >= 16 && pixels->width <= 8192 && pixels->width % 2 == 0);
    Require(pixels->height >= 16 && pixels->height <= 8192 && pixels->height % 2 == 0);
  }
  if (const auto time = ParseTime(text); Accepted(time)) {
    Require(time->count() >= 0 && *time <= std::chrono::hours(1000));
  }
  Accepted(ParsePreset(text));
  Accepted(ContainerOf(text, OutputsOf(Recipe(Thumbnail{}))));
  Accepted(ContainerOf(text, OutputsOf(Recipe(Transcode{}))));
  Require(!ParseRational(text).known() || ParseRational(text).value() > 0);
  return 0;
}
