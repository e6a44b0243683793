#include "jobs/account_json.h"

#include <boost/json.hpp>

#include "base/text.h"

namespace weir::jobs {
namespace {

namespace json = boost::json;

bool IsUtf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    if (length == 0 || lead > 0xf4 || at + length > text.size()) {
      return false;
    }
    for (std::size_t next = 1; next < length; ++next) {
      if ((static_cast<unsigned char>(text[at + next]) & 0xc0U) != 0x80U) {
        return false;
      }
    }
    at += length;
  }
  return true;
}

json::value Count(Bytes bytes) { return bytes.count(); }

json::object CorrectionAsJson(const media::Experience& experience) {
  return {{"factor", experience.factor},
          {"samples", experience.samples},
          {"killed", experience.killed},
          {"confidence", experience.confidence},
          {"at_ceiling", experience.at_ceiling}};
}

}  // namespace

json::string Text(std::string_view text) { return IsUtf8(text) ? json::string(text) : json::string(Printable(text)); }

json::value Seconds3(Duration duration) { return static_cast<double>(duration.count() / 1'000'000) / 1000.0; }
json::value Seconds3(MediaTime time) { return static_cast<double>(time.count()) / 1e6; }
json::object FactsAsJson(const media::MediaFacts& facts) {
  json::object out;
  out["container"] = Text(facts.container);
  out["duration_seconds"] = Seconds3(facts.length());
  out["size_bytes"] = Count(facts.size);
  if (facts.video) {
    const auto& video = *facts.video;
    const auto shown = video.displayed();
    json::object v;
    v["codec"] = Text(video.codec);
    v["profile"] = Text(video.profile);
    v["width"] = shown.width;
    v["height"] = shown.height;
    v["coded_width"] = video.coded.width;
    v["coded_height"] = video.coded.height;
    v["rotation"] = video.rotation;
    v["sample_aspect"] = std::to_string(video.sample_aspect.num) + ":" + std::to_string(video.sample_aspect.den);
    v["frame_rate"] = video.average_rate.known() ? json::value(video.average_rate.value()) : json::value();
    v["variable_frame_rate"] = video.variable_rate;
    v["pixel_format"] = Text(video.pixel_format);
    v["bit_depth"] = video.bit_depth;
    out["video"] = std::move(v);
  } else {
    out["video"] = nullptr;
  }
  json::array audio;
  for (const auto& stream : facts.audio) {
    audio.push_back(json::object{{"codec", Text(stream.codec)},
                                 {"sample_rate", stream.sample_rate},
                                 {"channels", stream.channels},
                                 {"layout", Text(stream.layout)},
                                 {"language", Text(stream.language)}});
  }
  out["audio"] = std::move(audio);
  json::array others;
  for (const auto& stream : facts.others) {
    others.push_back(json::object{{"kind", Text(stream.kind)}, {"codec", Text(stream.codec)}});
  }
  out["other_streams"] = std::move(others);
  json::array tags;
  for (const auto& tag : facts.identifying_tags) {
    tags.push_back(Text(tag));
  }
  out["identifying_tags"] = std::move(tags);
  return out;
}

json::array Strings(const std::vector<std::string>& words) {
  json::array out;
  for (const auto& word : words) {
    out.push_back(Text(word));
  }
  return out;
}

json::object PlanAsJson(const media::Plan& plan) {
  return {{"name", Text(plan.name)},
          {"arguments", Strings(plan.arguments)},
          {"costs", Text(plan.costs)},
          {"time_ratio", plan.time_ratio},
          {"stream_copy", plan.stream_copy},
          {"in_company", plan.in_company},
          {"prior_peak_bytes", Count(plan.forecast.prior)},
          {"correction", CorrectionAsJson(plan.experience)},
          {"forecast_peak_bytes", Count(plan.forecast.peak)},
          {"lease_bytes", Count(plan.forecast.lease)},
          {"needed_bytes", Count(plan.forecast.needed)},
          {"forecast_frames", plan.forecast.frames},
          {"output_reserve_bytes", Count(plan.forecast.output_reserve)},
          {"output_limit_bytes", Count(plan.forecast.output_limit)},
          {"deadline_seconds", static_cast<double>(plan.deadline.count()) / 1000.0}};
}

json::array AttemptsAsJson(const Account& account) {
  json::array attempts;
  for (const auto& attempt : account.attempts) {
    attempts.push_back(
        json::object{{"plan", Text(attempt.plan)},
                     {"lease_bytes", Count(attempt.forecast.lease)},
                     {"forecast_peak_bytes", Count(attempt.forecast.peak)},
                     {"measured_peak_bytes", Count(attempt.measured_peak)},
                     {"cgroup_peak_bytes", attempt.cgroup_peak ? Count(*attempt.cgroup_peak) : json::value()},
                     {"ending", attempt.ending}});
  }
  return attempts;
}

json::object ErrorAsJson(const Error& error) {
  const auto& info = InfoOf(error.code);
  json::object out{{"type", json::string(info.name)},
                   {"title", json::string(info.title)},
                   {"detail", Text(Describe(error))},
                   {"exit_code", info.exit_code}};
  for (const auto& member : error.members) {
    out[member.key] = member.is_number ? json::value(member.number) : json::value(Text(member.text));
  }
  return out;
}

json::array ChecksAsJson(const Account& account) {
  json::array checks;
  for (const auto& line : account.checks.lines) {
    checks.push_back(json::object{
        {"what", Text(line.what)}, {"expected", Text(line.expected)}, {"found", Text(line.found)}, {"ok", line.ok}});
  }
  return checks;
}

json::object TimesAsJson(const Account& account) {
  return {{"probe_seconds", Seconds3(account.probe_time)},
          {"work_seconds", Seconds3(account.work_time)},
          {"verify_seconds", Seconds3(account.verify_time)},
          {"total_seconds", Seconds3(account.total_time)},
          {"cpu_seconds", Seconds3(Duration(account.cpu_time))}};
}

}  // namespace weir::jobs
