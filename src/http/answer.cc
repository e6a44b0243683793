#include "http/answer.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/text.h"
#include "http/target.h"

namespace weir::http {
namespace {

struct Reason {
  int status;
  std::string_view text;
};

constexpr std::array kReasons{
    Reason{100, "Continue"},
    Reason{200, "OK"},
    Reason{201, "Created"},
    Reason{202, "Accepted"},
    Reason{204, "No Content"},
    Reason{206, "Partial Content"},
    Reason{301, "Moved Permanently"},
    Reason{303, "See Other"},
    Reason{304, "Not Modified"},
    Reason{307, "Temporary Redirect"},
    Reason{308, "Permanent Redirect"},
    Reason{400, "Bad Request"},
    Reason{401, "Unauthorized"},
    Reason{403, "Forbidden"},
    Reason{404, "Not Found"},
    Reason{405, "Method Not Allowed"},
    Reason{406, "Not Acceptable"},
    Reason{408, "Request Timeout"},
    Reason{409, "Conflict"},
    Reason{410, "Gone"},
    Reason{412, "Precondition Failed"},
    Reason{413, "Content Too Large"},
    Reason{415, "Unsupported Media Type"},
    Reason{416, "Range Not Satisfiable"},
    Reason{417, "Expectation Failed"},
    Reason{422, "Unprocessable Content"},
    Reason{428, "Precondition Required"},
    Reason{429, "Too Many Requests"},
    Reason{431, "Request Header Fields Too Large"},
    Reason{500, "Internal Server Error"},
    Reason{501, "Not Implemented"},
    Reason{502, "Bad Gateway"},
    Reason{503, "Service Unavailable"},
    Reason{504, "Gateway Timeout"},
    Reason{505, "HTTP Version Not Supported"},
    Reason{507, "Insufficient Storage"},
};

bool IsOurs(std::string_view name) {
  constexpr std::array<std::string_view, 5> kOurs{"content-length", "transfer-encoding", "connection", "date",
                                                  "keep-alive"};
  return std::ranges::any_of(kOurs, [&](std::string_view ours) { return EqualsIgnoreCase(ours, name); });
}

bool IsTokenByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsSafe(std::string_view name, std::string_view value) {
  return !name.empty() && std::ranges::all_of(name, IsTokenByte) && std::ranges::none_of(value, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
  });
}

void Header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

void AppendPadded(std::string& out, unsigned value, std::size_t width) {
  const std::string digits = std::to_string(value);
  out.append(width > digits.size() ? width - digits.size() : 0, '0');
  out += digits;
}

}  // namespace

std::string_view ReasonOf(int status) {
  const auto* const row = std::ranges::lower_bound(kReasons, status, {}, &Reason::status);
  return row != kReasons.end() && row->status == status ? row->text : std::string_view("Status");
}

std::string ToHttpDate(WallTime time) {
  using namespace std::chrono;
  constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<seconds>(time - day));
  std::string out(kDays[weekday(day).c_encoding()]);
  out += ", ";
  AppendPadded(out, static_cast<unsigned>(date.day()), 2);
  out += ' ';
  out += kMonths[static_cast<unsigned>(date.month()) - 1];
  out += ' ';
  AppendPadded(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out += ' ';
  AppendPadded(out, static_cast<unsigned>(clock.hours().count()), 2);
  out += ':';
  AppendPadded(out, static_cast<unsigned>(clock.minutes().count()), 2);
  out += ':';
  AppendPadded(out, static_cast<unsigned>(clock.seconds().count()), 2);
  out += " GMT";
  return out;
}

void AppendHead(std::string& out, const Response& response, const HeadFacts& facts) {
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += ReasonOf(response.status);
  out += "\r\n";
  Header(out, "Date", facts.date);
  for (const auto& [name, value] : response.headers) {
    if (!IsOurs(name) && IsSafe(name, value)) Header(out, name, value);
  }
  if (facts.chunked) {
    Header(out, "Transfer-Encoding", "chunked");
  } else if (facts.length) {
    Header(out, "Content-Length", std::to_string(*facts.length));
  }
  if (!facts.keep_alive) {
    Header(out, "Connection", "close");
  } else if (facts.http_1_0) {
    Header(out, "Connection", "keep-alive");
  }
  out += "\r\n";
}

std::string ToJson(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
      const std::string_view point = text.substr(at, length);
      if (IsUtf8(point)) {
        out += point;
        at += point.size();
      } else {
        out += "\xEF\xBF\xBD";
        ++at;
      }
      continue;
    }
    ++at;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 0xFU];
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

Response ProblemAs(int status, const Error& error, std::string_view instance) {
  const ErrorInfo& info = InfoOf(error.code);
  Response response;
  response.status = status;
  response.headers.emplace_back("Content-Type", "application/problem+json");
  response.headers.emplace_back("Cache-Control", "no-store");
  std::string& body = response.body;
  body = "{\"type\":" + ToJson("https://weir.invalid/problems/" + std::string(info.name)) +
         ",\"title\":" + ToJson(info.title) + ",\"status\":" + std::to_string(status) +
         ",\"detail\":" + ToJson(Describe(error)) + ",\"instance\":" + ToJson(instance);
  for (const ErrorMember& member : error.members) {
    body += ',' + ToJson(member.key) + ':' + (member.is_number ? std::to_string(member.number) : ToJson(member.text));
    if (member.key == "retry_after_seconds" && member.is_number) {
      response.headers.emplace_back("Retry-After", std::to_string(member.number));
    }
  }
  body += "}\n";
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"weir\"");
  return response;
}

}  // namespace weir::http
