// How the answers to routes of replaced systems look in the served document.
#include <boost/json.hpp>
#include <utility>

#include "api/schema.h"

namespace weir::api {
namespace {

namespace json = boost::json;

json::object Enveloped(json::object data) { return Object({{"success", Always(true)}, {"data", std::move(data)}}); }
json::object Date() { return Ref("Time"); }

json::object CropRequest() {
  auto schema = Object({{"inputPath", Text(1, 4096)},
                        Maybe("outputPath", OrNull(Text(0, 4096))),
                        Maybe("aspectRatio", OrNull(Matching("^[0-9]+:[0-9]+$"))),
                        Maybe("focusPoint", OrNull(Text(1, 32))),
                        Maybe("smartCrop", Described(OrNull(Flag()), "true is refused."))});
  schema["examples"] = json::array{json::object{{"inputPath", "clip.mp4"}, {"aspectRatio", "9:16"}}};
  return schema;
}

json::object Crop() {
  auto members = JobMembers();
  members.push_back({.name = "jobId", .schema = Ref("Id")});
  members.push_back({.name = "focusPoint", .schema = Text(1)});
  members.push_back({.name = "smartCrop", .schema = Always(false)});
  members.push_back({.name = "path", .schema = OrNull(Text(1))});
  return Enveloped(Object(members));
}

}  // namespace

void AddPeerSchemas(json::object& schemas) {
  schemas["VideoCropRequest"] = CropRequest();
  schemas["VideoCrop"] = Crop();
  schemas["VideoInfo"] = Enveloped(Object({{"path", Text(1)},
                                           {"duration", Number()},
                                           {"size", Whole()},
                                           {"format", Text()},
                                           {"hasAudio", Flag()},
                                           {"width", OrNull(Whole())},
                                           {"height", OrNull(Whole())},
                                           {"fps", OrNull(Number())},
                                           {"bitrate", OrNull(Number())}}));
  schemas["RecentWindow"] =
      Object({{"samples", Described(Whole(0, 100), "Looks, one every two seconds while work is done.")},
              {"last", Number()},
              {"avg", Number()},
              {"p95", Number()},
              {"max", Number()}});
  schemas["Performance"] =
      Enveloped(Object({{"memory", Object({{"rss", Whole()},
                                           {"tree", Whole()},
                                           {"budget", Whole()},
                                           {"leased", Whole()},
                                           {"percentage", Number()},
                                           {"level", OneOf({"normal", "warning", "critical"})}})},
                        {"requests", Object({{"count", Whole()},
                                             {"failed", Whole()},
                                             {"samples", Whole(0, 100)},
                                             {"avg", Described(Number(), "Milliseconds.")},
                                             {"p95", Number()},
                                             {"p99", Number()}})},
                        {"windows", Object({{"tree_bytes", Ref("RecentWindow")},
                                            {"own_bytes", Ref("RecentWindow")},
                                            {"leased_bytes", Ref("RecentWindow")},
                                            {"children", Ref("RecentWindow")},
                                            {"waiting", Ref("RecentWindow")}})},
                        {"jobs", Object({{"pending", Whole()}, {"processing", Whole()}})},
                        {"uptime", Described(Number(), "Seconds.")},
                        {"timestamp", Date()}}));
  schemas["Health"] = Object({{"status", OneOf({"ok", "unusable"})},
                              {"reason", OrNull(Text(1))},
                              {"uptime", Number()},
                              {"version", Text(1)},
                              {"tools", Object({{"ffmpeg", Flag()}, {"ffprobe", Flag()}, {"ffmpegVersion", Text()}})},
                              {"timestamp", Date()}});
  schemas["HealthMemory"] = Object(
      {{"status", OneOf({"healthy", "warning", "critical"})},
       {"memory", Object({{"rss", Whole()},
                          {"heapUsed", Described(Whole(), "The daemon's proportional set size.")},
                          {"budget", Whole()},
                          {"percentage", Number()},
                          {"level", OneOf({"normal", "warning", "critical"})}})},
       {"cache", Object({{"entries", Whole()}, {"size", Whole()}, {"hitRate", OrNull(Share())}})},
       {"jobs", Object({{"count", Whole()}, {"pending", Whole()}, {"processing", Whole()}, {"completed", Whole()}})},
       {"recommendations", List(Ref("Recommendation"))},
       {"timestamp", Date()}});
  schemas["Resources"] = Object({{"openFileHandles", Whole()},
                                 {"activeProcesses", Whole()},
                                 {"allocatedMemoryBytes", Whole()},
                                 {"workingSetBytes", Whole()},
                                 {"threadCount", Whole()},
                                 {"timestamp", Date()},
                                 {"warnings", List(Text(1))}});
  schemas["Cleanup"] = Object({{"status", Always("done")},
                               {"freedBytes", Whole()},
                               {"metricsAfter", Ref("Resources")},
                               {"timestamp", Date()}});
}

}  // namespace weir::api
