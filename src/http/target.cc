#include "http/target.h"

#include <cstdint>
#include <optional>

#include "base/text.h"

namespace weir::http {
namespace {

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

enum class Plus : bool { kItself, kSpace };

// nullopt: a bad escape, a NUL, or not UTF-8.
std::optional<std::string> Decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const auto high = HexDigit(text[i + 1]);
      const auto low = HexDigit(text[i + 2]);
      if (!high || !low) return std::nullopt;
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    } else if (c == '+' && plus == Plus::kSpace) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  if (!IsUtf8(out)) return std::nullopt;
  return out;
}

std::unexpected<Error> Bad(std::string why) { return Fail(ErrorCode::kMalformed, std::move(why)); }

Status ParsePath(std::string_view path, std::vector<std::string>& segments) {
  path.remove_prefix(1);
  if (path.empty()) return {};
  if (path.ends_with('/')) path.remove_suffix(1);
  for (;;) {
    const std::size_t slash = path.find('/');
    auto segment = Decode(path.substr(0, slash), Plus::kItself);
    if (!segment) return Bad("the path has a bad escape, a NUL or bytes that are not UTF-8");
    if (segment->empty()) return Bad("the path has an empty segment");
    if (*segment == "." || *segment == "..") return Bad("the path has a segment of dots; give the path itself");
    if (segment->find('/') != std::string::npos) return Bad("the path has a slash inside a segment");
    if (segments.size() == kMostSegments) return Bad("the path has too many segments");
    segments.push_back(*std::move(segment));
    if (slash == std::string_view::npos) return {};
    path.remove_prefix(slash + 1);
  }
}

Status ParseQuery(std::string_view query, std::vector<std::pair<std::string, std::string>>& parameters) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    auto name = Decode(part.substr(0, equals), Plus::kSpace);
    auto value = equals == std::string_view::npos ? std::string() : Decode(part.substr(equals + 1), Plus::kSpace);
    if (!name || !value) return Bad("the query has a bad escape, a NUL or bytes that are not UTF-8");
    if (parameters.size() == kMostQueryParameters) {
      return Bad("the query has more than " + std::to_string(kMostQueryParameters) + " parameters");
    }
    parameters.emplace_back(*std::move(name), *std::move(value));
  }
  return {};
}

}  // namespace

bool IsUtf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - at < length) return false;
    std::uint32_t value = lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(text[at + i]);
      if ((byte & 0xC0U) != 0x80) return false;
      value = (value << 6U) | (byte & 0x3FU);
    }
    if (length == 3 && (value < 0x800 || (value >= 0xD800 && value <= 0xDFFF))) return false;
    if (length == 4 && (value < 0x10000 || value > 0x10FFFF)) return false;
    at += length;
  }
  return true;
}

Result<Target> ParseTarget(std::string_view target) {
  if (!target.starts_with('/')) return Bad("the target must begin with a slash: " + Quoted(target));
  for (const char c : target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || c == '#') return Bad("the target has a byte that must be encoded");
  }
  Target parsed;
  const std::size_t question = target.find('?');
  WEIR_TRY(ParsePath(target.substr(0, question), parsed.path));
  if (question != std::string_view::npos) WEIR_TRY(ParseQuery(target.substr(question + 1), parsed.query));
  return parsed;
}

}  // namespace weir::http
