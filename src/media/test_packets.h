// Packets in a shorthand, as ffprobe prints them for PacketScan.
#pragma once

#include <string>
#include <string_view>

#include "base/text.h"

namespace weir::media::test {

// "stream_index=0|size=7584|flags=K_": a packet; with a bar at its end, one with side data. Other lines stay as they
// are.
inline std::string PacketsInJson(std::string_view lines) {
  std::string json;
  for (std::string_view line : SplitLines(lines)) {
    if (line.find('=') == std::string_view::npos) {
      json.append(line).append("\n");
      continue;
    }
    const bool side_data = line.ends_with('|');
    line.remove_suffix(side_data ? 1 : 0);
    json += "        { ";
    while (!line.empty()) {
      const std::size_t bar = std::min(line.find('|'), line.size());
      const std::string_view field = line.substr(0, bar);
      line.remove_prefix(std::min(bar + 1, line.size()));
      const std::size_t equals = std::min(field.find('='), field.size());
      const std::string_view value = field.substr(std::min(equals + 1, field.size()));
      json.append("\"").append(field.substr(0, equals)).append("\": ");
      json += field.starts_with("stream_index") ? std::string(value) : "\"" + std::string(value) + "\"";
      json += line.empty() ? "" : ", ";
    }
    json += side_data ? ",\n            \"side_data_list\": [\n                {  }\n            ] },\n" : " },\n";
  }
  return json;
}

inline const std::string kBeforePackets = "{\n    \"packets\": [\n";
inline const std::string kAfterPackets = "    ],\n    \"format\": { \"nb_streams\": 2 }\n}\n";

inline std::string DocumentOf(std::string_view lines) {
  return kBeforePackets + PacketsInJson(lines) + kAfterPackets;
}

}  // namespace weir::media::test
