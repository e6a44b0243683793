// Small, strict text helpers: numbers without surprises, names safe to print, the nearest known word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// A whole string as a number: no spaces, no sign for unsigned, nothing left over, no overflow.
std::optional<std::uint64_t> ParseUnsigned(std::string_view text);
std::optional<std::int64_t> ParseSigned(std::string_view text);
// Decimal with optional sign and fraction; no exponent, no "inf", no "nan".
std::optional<double> ParseDecimal(std::string_view text);

// The name in quotes with control characters, quotes and invalid UTF-8 escaped (\n, \x1b), so that a
// file name can never break a line, a terminal or a JSON document. At most 200 bytes are shown.
std::string Quoted(std::string_view name);
// A sentence made safe to print: as above, but quotes and backslashes stay, so that sentences with quoted
// names in them come out unchanged; no cut; newlines kept when `keep_newlines`.
std::string Printable(std::string_view text, bool keep_newlines = false);

// The candidate that differs from `word` by the fewest edits, when that is at most a third of its length.
std::optional<std::string> NearestName(std::string_view word, const std::vector<std::string>& candidates);

std::vector<std::string_view> SplitLines(std::string_view text);
std::string_view Trim(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

}  // namespace weir
