#include "media/json_text.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::media {
namespace {

namespace json = boost::json;

constexpr int kDigits = 9;
constexpr int kFewestDecimals = 6;
constexpr int kMostDigits = 15;
// Beyond these a number has an exponent, as everywhere.
constexpr double kSmallest = 1e-6;
constexpr double kLargest = 1e15;
constexpr std::size_t kUsualSize = 2048;

template <typename Whole>
void AppendWhole(std::string& out, Whole number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number);
  out.append(text.data(), end.ptr);
}

void AppendDouble(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  if (number == 0) {
    out += '0';  // also for -0.0
    return;
  }
  std::array<char, 48> text{};
  char* const end_of_text = text.data() + text.size();
  const double size = std::abs(number);
  if (size < kSmallest || size >= kLargest) {
    const int digits = size < 1 ? kDigits : kMostDigits;
    const auto end = std::to_chars(text.data(), end_of_text, number, std::chars_format::general, digits);
    out.append(text.data(), end.ptr);
    return;
  }
  const int before_point = static_cast<int>(std::floor(std::log10(size))) + 1;
  const int decimals =
      std::clamp(std::max(kDigits - before_point, kFewestDecimals), 0, std::max(kMostDigits - before_point, 0));
  const auto end = std::to_chars(text.data(), end_of_text, number, std::chars_format::fixed, decimals);
  std::string_view digits(text.data(), static_cast<std::size_t>(end.ptr - text.data()));
  if (decimals > 0) {
    digits = digits.substr(0, digits.find_last_not_of('0') + 1);
    if (digits.ends_with('.')) digits.remove_suffix(1);
  }
  out += digits;
}

void AppendString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  std::size_t plain = 0;  // begin of what needs no escape
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out += text.substr(plain, at - plain);
    plain = at + 1;
    out += '\\';
    switch (byte) {
      case '"':
      case '\\':
        out += text[at];
        break;
      case '\b':
        out += 'b';
        break;
      case '\f':
        out += 'f';
        break;
      case '\n':
        out += 'n';
        break;
      case '\r':
        out += 'r';
        break;
      case '\t':
        out += 't';
        break;
      default:
        out += "u00";
        out += kHex[byte >> 4U];
        out += kHex[byte & 0xFU];
    }
  }
  out += text.substr(plain);
  out += '"';
}

std::string_view View(json::string_view text) { return {text.data(), text.size()}; }

void Append(std::string& out, const json::value& value);

void Append(std::string& out, const json::object& object) {
  out += '{';
  bool first = true;
  for (const auto& member : object) {
    if (!first) out += ',';
    first = false;
    AppendString(out, View(member.key()));
    out += ':';
    Append(out, member.value());
  }
  out += '}';
}

void Append(std::string& out, const json::array& array) {
  out += '[';
  bool first = true;
  for (const auto& item : array) {
    if (!first) out += ',';
    first = false;
    Append(out, item);
  }
  out += ']';
}

void Append(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      return;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case json::kind::int64:
      return AppendWhole(out, value.get_int64());
    case json::kind::uint64:
      return AppendWhole(out, value.get_uint64());
    case json::kind::double_:
      return AppendDouble(out, value.get_double());
    case json::kind::string:
      return AppendString(out, View(value.get_string()));
    case json::kind::array:
      return Append(out, value.get_array());
    case json::kind::object:
      return Append(out, value.get_object());
  }
}

template <typename Document>
std::string TextOf(const Document& document) {
  std::string out;
  out.reserve(kUsualSize);
  Append(out, document);
  out.shrink_to_fit();  // many are kept
  return out;
}

}  // namespace

std::string JsonText(const json::value& document) { return TextOf(document); }
std::string JsonText(const json::object& document) { return TextOf(document); }

}  // namespace weir::media
