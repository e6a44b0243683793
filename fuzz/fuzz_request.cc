// Any text in place of a request's parameters: a request that reads back from what is written of it, or a sentence
// that is safe to print. The first byte chooses the recipe and the output.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "media/request_json.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::media;
  if (size == 0) return 0;
  const auto& names = RecipeNames();
  const std::string& recipe = names[*data % names.size()];
  const char* output = ((*data / names.size()) & 1U) == 0 ? "" : recipe == "transcode" ? "a.webm" : "a.png";
  const std::string_view params(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto request = RequestFromJson(recipe, params, output);
  if (!request) {
    const auto& error = request.error();
    Require(error.code == weir::ErrorCode::kBadParameters || error.code == weir::ErrorCode::kOutputFormat);
    Require(!error.detail.empty() && error.detail.size() < 2000);
    for (const char c : error.detail) Require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
    return 0;
  }
  const std::string text = ParamsToJson(*request);
  const auto again = RequestFromJson(recipe, text, "x." + std::string(ExtensionOf(request->output)));
  Require(again.has_value());
  Require(*again == *request);
  Require(ParamsToJson(*again) == text);
  return 0;
}
