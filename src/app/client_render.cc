#include "app/client_render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>

#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;

std::string Field(const char* name, const std::string& value) {
  return value.empty() ? std::string() : fmt::format("  {:<10}{}\n", name, value);
}

std::string Text(const json::value& value) {
  if (const auto* text = value.if_string()) {
    return Printable(std::string_view(text->data(), text->size()));
  }
  return value.is_null() ? std::string() : Printable(json::serialize(value));
}

std::string Joined(const std::vector<const json::value*>& values) {
  std::string text;
  for (const auto* value : values) {
    text += (text.empty() ? "" : ", ") + Text(*value);
  }
  return text;
}

std::string AsLabels(const json::value* labels) {
  std::string text;
  if (const auto* object = labels != nullptr ? labels->if_object() : nullptr) {
    for (const auto& member : *object) {
      const std::string key(member.key().data(), member.key().size());
      text += (text.empty() ? "" : ", ") + Printable(key) + "=" + Text(member.value());
    }
  }
  return text;
}

std::string AsAmount(const json::value& document, std::initializer_list<std::string_view> path) {
  const auto bytes = BytesAt(document, path);
  return bytes ? ToString(*bytes) : std::string();
}

bool IsTrue(const json::value& document, std::string_view key) {
  const auto* value = At(document, {key});
  return value != nullptr && value->is_bool() && value->get_bool();
}

// Of one that has ended the mark means nothing any more.
bool IsPaused(const json::value& job) { return IsTrue(job, "paused") && !HasEnded(TextAt(job, {"state"})); }

std::string StateText(const json::value& job) {
  std::string text = Printable(TextAt(job, {"state"}));
  if (IsPaused(job)) {
    text += ", paused";
  }
  if (const auto attempt = NumberAt(job, {"attempt"}); attempt && *attempt > 1) {
    text += fmt::format(", attempt {:.0f}", *attempt);
  }
  if (const auto waiting = TextAt(job, {"waiting_for"}); !waiting.empty()) {
    text += ", waits for " + Printable(waiting);
    if (const auto position = NumberAt(job, {"position"})) {
      text += fmt::format(" at position {:.0f}", *position);
    }
  }
  return text;
}

std::string Facts(const json::value& facts) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() || what.empty() ? "" : ", ") + what; };
  if (const auto* video = At(facts, {"video"}); video != nullptr && video->is_object()) {
    add(fmt::format("{:.0f}x{:.0f} {}", NumberAt(*video, {"width"}).value_or(0),
                    NumberAt(*video, {"height"}).value_or(0), Printable(TextAt(*video, {"codec"}))));
    if (const auto rate = NumberAt(*video, {"frame_rate"})) {
      add(fmt::format("{:.4g} fps", *rate));
    }
  }
  for (const auto* audio : ListAt(facts, {"audio"})) {
    add(Printable(TextAt(*audio, {"codec"}) + " " + TextAt(*audio, {"layout"})));
  }
  if (const auto length = NumberAt(facts, {"duration_seconds"})) {
    add(fmt::format("{:.3f} s", *length));
  }
  return text;
}

// "3 succeeded, 2 running", in the order of the server.
std::string CountsText(const json::value& batch) {
  std::string text;
  if (const auto* states = At(batch, {"states"}); states != nullptr && states->is_object()) {
    for (const auto& member : states->get_object()) {
      const std::string name(member.key().data(), member.key().size());
      if (const auto count = NumberAt(*states, {name}); count && *count > 0) {
        text += fmt::format("{}{:.0f} {}", text.empty() ? "" : ", ", *count, Printable(name));
      }
    }
  }
  if (const auto removed = NumberAt(batch, {"removed"}); removed && *removed > 0) {
    text += fmt::format("{}{:.0f} removed since", text.empty() ? "" : ", ", *removed);
  }
  return text;
}

std::string MemoryText(const json::value& job) {
  std::string text;
  const auto add = [&](const char* what, const std::string& amount) {
    if (!amount.empty()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, amount);
    }
  };
  add("forecast", AsAmount(job, {"memory", "forecast_peak_bytes"}));
  add("lease", AsAmount(job, {"memory", "lease_bytes"}));
  add("measured", AsAmount(job, {"memory", "measured_peak_bytes"}));
  return text;
}

}  // namespace

const json::value* At(const json::value& document, std::initializer_list<std::string_view> path) {
  const json::value* at = &document;
  for (const auto key : path) {
    const auto* object = at->if_object();
    at = object != nullptr ? object->if_contains(json::string_view(key.data(), key.size())) : nullptr;
    if (at == nullptr) {
      return nullptr;
    }
  }
  return at;
}

std::string TextAt(const json::value& document, std::initializer_list<std::string_view> path) {
  const auto* value = At(document, path);
  const auto* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string(text->data(), text->size()) : std::string();
}

std::optional<double> NumberAt(const json::value& document, std::initializer_list<std::string_view> path) {
  const auto* value = At(document, path);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (const auto* whole = value->if_int64()) {
    return static_cast<double>(*whole);
  }
  if (const auto* whole = value->if_uint64()) {
    return static_cast<double>(*whole);
  }
  const auto* number = value->if_double();
  return number != nullptr && std::isfinite(*number) ? std::optional(*number) : std::nullopt;
}

std::optional<Bytes> BytesAt(const json::value& document, std::initializer_list<std::string_view> path) {
  const auto number = NumberAt(document, path);
  // Beyond that no amount is one, and the conversion would not be defined.
  if (!number || *number < 0 || *number > 9e18) {
    return std::nullopt;
  }
  return Bytes(static_cast<std::uint64_t>(*number));
}

std::vector<const json::value*> ListAt(const json::value& document, std::initializer_list<std::string_view> path) {
  std::vector<const json::value*> members;
  const auto* value = At(document, path);
  if (const auto* list = value != nullptr ? value->if_array() : nullptr) {
    for (const auto& member : *list) {
      members.push_back(&member);
    }
  }
  return members;
}

Result<json::value> ParseAnswer(std::string_view body) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  json::value value = json::parse(json::string_view(body.data(), body.size()), error, {}, options);
  if (error) {
    return Fail(ErrorCode::kMalformed, "what answered cannot be understood: it sent no JSON; is it a weir server?");
  }
  return value;
}

std::optional<ErrorCode> CodeOfType(std::string_view type) {
  const std::string_view name = type.substr(type.rfind('/') + 1);
  for (const auto& info : ErrorTable()) {
    if (info.name == name) {
      return info.code;
    }
  }
  return std::nullopt;
}

Error ErrorOf(const http::Answer& answer) {
  Error error{.code = ErrorCode::kInternal, .detail = {}};
  const auto document = ParseAnswer(answer.body);
  if (document) {
    error.code = CodeOfType(TextAt(*document, {"type"})).value_or(ErrorCode::kInternal);
    error.detail = TextAt(*document, {"detail"});
    if (error.detail.empty()) {
      error.detail = TextAt(*document, {"title"});
    }
    static constexpr std::array<std::string_view, 5> kStandard{"type", "title", "status", "detail", "instance"};
    if (const auto* members = document->if_object()) {
      for (const auto& member : *members) {
        const std::string key(member.key().data(), member.key().size());
        if (std::ranges::find(kStandard, key) != kStandard.end() || error.members.size() >= 32) {
          continue;
        }
        if (const auto number = BytesAt(*document, {key})) {
          error = std::move(error).With(key, number->count());
        } else if (const auto text = TextAt(*document, {key}); !text.empty()) {
          error = std::move(error).With(key, text);
        }
      }
    }
  }
  if (error.detail.empty()) {
    error.detail = "the server refused with status " + std::to_string(answer.status) + " and gave no reason";
  }
  return error;
}

bool HasEnded(std::string_view state) { return state == "succeeded" || state == "failed" || state == "cancelled"; }

int ExitCodeOf(const json::value& job) {
  const auto state = TextAt(job, {"state"});
  if (state == "succeeded") {
    return 0;
  }
  if (const auto code = CodeOfType(TextAt(job, {"failure", "type"}))) {
    return InfoOf(*code).exit_code;
  }
  return InfoOf(state == "cancelled" ? ErrorCode::kInterrupted : ErrorCode::kInternal).exit_code;
}

std::string FailureText(const json::value& job) {
  auto text = TextAt(job, {"failure", "detail"});
  if (text.empty()) {
    text = TextAt(job, {"failure", "title"});
  }
  if (text.empty()) {
    text = TextAt(job, {"state"}) == "cancelled" ? "it was cancelled" : "it failed, and the server gave no reason";
  }
  return "job " + TextAt(job, {"id"}) + ": " + text;
}

std::string AsTime(double seconds) {
  seconds = std::clamp(seconds, 0.0, 1e9);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 120) {
    return fmt::format("{} s", whole);
  }
  if (whole < 7200) {
    return fmt::format("{} min", whole / 60);
  }
  if (whole < 172'800) {
    return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  }
  return fmt::format("{} days", whole / 86'400);
}

std::string ProgressAsText(const json::value& progress) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  if (const auto frame = NumberAt(progress, {"frame"}); frame && *frame > 0) {
    add(fmt::format("frame {:.0f}", *frame));
  }
  // ffmpeg tells no frame rate before it has worked for a second.
  const bool measured =
      NumberAt(progress, {"ratio"}).value_or(1) >= 0.01 && NumberAt(progress, {"fps"}).value_or(1) > 0;
  if (const auto speed = NumberAt(progress, {"speed"}); measured && speed && *speed > 0) {
    add(fmt::format("{:.2f}x", *speed));
  }
  if (const auto left = NumberAt(progress, {"eta_seconds"}); measured && left) {
    add(AsTime(*left) + " left");
  }
  if (const auto ratio = NumberAt(progress, {"ratio"})) {
    text = fmt::format("{:3.0f} %  {}", std::clamp(*ratio, 0.0, 1.0) * 100, text);
  }
  return text;
}

std::string StateAsText(const json::value& job) { return StateText(job); }

std::string JobsAsText(const std::vector<const json::value*>& jobs) {
  if (jobs.empty()) {
    return "no jobs\n";
  }
  std::string text = fmt::format("{:<16}  {:<10}  {:<10}  {:<20}  {}\n", "ID", "STATE", "RECIPE", "CREATED", "INPUT");
  bool marked = false;
  for (const auto* job : jobs) {
    std::string state = Printable(TextAt(*job, {"state"}));
    if (IsPaused(*job)) {
      state += "*";
      marked = true;
    }
    std::string row =
        fmt::format("{:<16}  {:<10}  {:<10}  {:<20}  {}", Printable(TextAt(*job, {"id"})), state,
                    Printable(TextAt(*job, {"recipe"})), Printable(TextAt(*job, {"created"}).substr(0, 19)),
                    Joined(ListAt(*job, {"inputs"})));
    if (const auto* progress = At(*job, {"progress"}); progress != nullptr && progress->is_object()) {
      row += "  " + std::string(Trim(ProgressAsText(*progress)));
    }
    text += std::string(row.substr(0, row.find_last_not_of(' ') + 1)) + "\n";
  }
  return text + (marked ? "* paused; \"weir resume ID\" lets it go on\n" : "");
}

std::string JobAsText(const json::value& job) {
  std::string text = "job " + Printable(TextAt(job, {"id"})) + "\n";
  text += Field("recipe", Printable(TextAt(job, {"recipe"})));
  text += Field("state", StateText(job));
  if (const auto* progress = At(job, {"progress"}); progress != nullptr && progress->is_object()) {
    text += Field("progress", std::string(Trim(ProgressAsText(*progress))));
  }
  text += Field("input", Joined(ListAt(job, {"inputs"})));
  text += Field("output", Joined(ListAt(job, {"outputs"})));
  if (const auto* params = At(job, {"params"}); params != nullptr && params->is_object()) {
    text += Field("params", params->get_object().empty() ? "" : Text(*params));
  }
  text += Field("owner", Printable(TextAt(job, {"owner"})));
  text += Field("batch", Printable(TextAt(job, {"batch"})));
  text += Field("labels", AsLabels(At(job, {"labels"})));
  if (const auto priority = NumberAt(job, {"priority"})) {
    text += Field("priority", fmt::format("{:.0f}", *priority));
  }
  for (const char* date : {"created", "started", "ended"}) {
    text += Field(date, Printable(TextAt(job, {date})));
  }
  text += Field("plan", Printable(TextAt(job, {"plan", "name"})));
  text += Field("decision", Printable(TextAt(job, {"decision"})));
  text += Field("waits", Printable(TextAt(job, {"waiting", "reason"})));
  text += Field("memory", MemoryText(job));
  for (const auto* artifact : ListAt(job, {"artifacts"})) {
    std::string where = TextAt(*artifact, {"path"});
    if (where.empty()) {
      where = TextAt(*artifact, {"url"});
    }
    if (where.empty()) {
      where = TextAt(*artifact, {"name"});
    }
    const auto size = AsAmount(*artifact, {"size_bytes"});
    text += Field("result", Printable(where) + (size.empty() ? "" : ", " + size));
  }
  if (const auto* failure = At(job, {"failure"}); failure != nullptr && failure->is_object()) {
    text += Field("failure", Printable(TextAt(*failure, {"title"})));
    text += Field("", Printable(TextAt(*failure, {"detail"})));
  }
  return text;
}

std::string LogAsText(const json::value& log, const json::value& job) {
  std::string text;
  const auto add = [&](const std::string& time, const std::string& type, const std::string& what) {
    text += fmt::format("{}  {:<8}  {}\n", Printable(time), Printable(type), Printable(what));
  };
  std::string last;
  for (const auto* line : ListAt(log, {"lines"})) {
    last = TextAt(*line, {"text"});
    add(TextAt(*line, {"time"}), TextAt(*line, {"type"}), last);
  }
  if (TextAt(job, {"state"}) == "failed") {
    auto why = TextAt(job, {"failure", "detail"});
    why = why.empty() ? TextAt(job, {"failure", "title"}) : why;
    if (!why.empty() && last.find(why) == std::string::npos) {
      add(TextAt(job, {"ended"}), "failure", why);
    }
  }
  return text.empty() ? "nothing is logged\n" : text;
}

std::string BatchAsText(const json::value& batch) {
  std::string text = "batch " + Printable(TextAt(batch, {"id"})) + "\n";
  const auto jobs = NumberAt(batch, {"jobs"});
  const auto counts = CountsText(batch);
  text += Field("jobs", (jobs ? fmt::format("{:.0f}", *jobs) : "") + (counts.empty() ? "" : ": " + counts));
  if (const auto ratio = NumberAt(batch, {"ratio"})) {
    text += Field("progress", fmt::format("{:.0f} %{}", std::clamp(*ratio, 0.0, 1.0) * 100,
                                          IsTrue(batch, "ended") ? ", ended" : ""));
  }
  text += Field("owner", Printable(TextAt(batch, {"owner"})));
  text += Field("labels", AsLabels(At(batch, {"labels"})));
  return text + Field("created", Printable(TextAt(batch, {"created"})));
}

std::string BatchProgressAsText(const json::value& batch) {
  double ended = NumberAt(batch, {"removed"}).value_or(0);
  for (const char* state : {"succeeded", "failed", "cancelled"}) {
    ended += NumberAt(batch, {"states", state}).value_or(0);
  }
  std::string text = fmt::format("{:.0f} of {:.0f} ended", ended, NumberAt(batch, {"jobs"}).value_or(0));
  for (const char* state : {"running", "verifying", "publishing", "queued", "failed"}) {
    if (const auto count = NumberAt(batch, {"states", state}); count && *count > 0) {
      text += fmt::format(", {:.0f} {}", *count, state);
    }
  }
  return fmt::format("{:3.0f} %  {}", std::clamp(NumberAt(batch, {"ratio"}).value_or(0), 0.0, 1.0) * 100, text);
}

// "; learned: x0.93 of 212 MiB by 12 peaks, fair"; "" when nothing was.
static std::string LearnedText(const json::value& way) {
  const double samples = NumberAt(way, {"correction", "samples"}).value_or(0);
  const double killed = NumberAt(way, {"correction", "killed"}).value_or(0);
  if (samples + killed == 0) {
    return {};
  }
  return fmt::format("; learned: x{:.2f} of {} by {:.0f} peaks{}, {}",
                     NumberAt(way, {"correction", "factor"}).value_or(1), AsAmount(way, {"prior_peak_bytes"}),
                     samples, killed > 0 ? fmt::format(" and {:.0f} kills", killed) : "",
                     Printable(TextAt(way, {"correction", "confidence"})));
}

std::string LadderAsText(const json::value& plan) {
  std::string text;
  if (const auto* input = At(plan, {"input"}); input != nullptr) {
    text += Field("input", Facts(*input));
  }
  const auto budget = AsAmount(plan, {"budget_bytes"});
  text += Field("budget", budget.empty() ? "" : budget + ", the server's, of which it takes some itself");
  text += fmt::format("  {:<5}{:>12}{:>12}{:>7}  {}\n", "", "forecast", "lease", "time", "way, and what it costs");
  const auto chosen = TextAt(plan, {"chosen"});
  for (const auto* way : ListAt(plan, {"ladder"})) {
    const auto name = TextAt(*way, {"name"});
    text += fmt::format("  {:<5}{:>12}{:>12}{:>6.2f}x  {}: {}{}\n", !chosen.empty() && name == chosen ? "->" : "",
                        AsAmount(*way, {"forecast_peak_bytes"}), AsAmount(*way, {"lease_bytes"}),
                        NumberAt(*way, {"time_ratio"}).value_or(0), Printable(name),
                        Printable(TextAt(*way, {"costs"})), LearnedText(*way));
  }
  text += chosen.empty() ? "  none of them fits\n" : "  -> is what would run\n";
  for (const auto* note : ListAt(plan, {"notes"})) {
    text += Field("note", Text(*note));
  }
  return text;
}

std::string CalibrationAsText(const json::value& calibration) {
  const auto count = [&](std::string_view name) { return NumberAt(calibration, {name}).value_or(0); };
  std::string text =
      Field("learned", fmt::format("{:.0f} peaks and {:.0f} kills of {} kinds of children, with ffmpeg {}",
                                   count("samples"), count("killed"), ListAt(calibration, {"kinds"}).size(),
                                   Printable(TextAt(calibration, {"ffmpeg_version"}))));
  const auto band = [&](const char* name, const char* forecast, const std::string& above) {
    const auto low = NumberAt(calibration, {"errors", forecast, "low"});
    const auto median = NumberAt(calibration, {"errors", forecast, "median"});
    const auto high = NumberAt(calibration, {"errors", forecast, "high"});
    if (low && median && high) {
      text += Field(name, fmt::format("{:+.1f} % in the median, 95 % of them {:+.1f} to {:+.1f} %; {}", *median * 100,
                                      *low * 100, *high * 100, above));
    }
  };
  band("formula", "prior", fmt::format("{:.0f} peaks above it", count("above_prior")));
  band("corrected", "corrected",
       fmt::format("{:.0f} peaks and {:.0f} kills above it", count("above_corrected"),
                   count("killed_above_corrected")));
  const auto kinds = ListAt(calibration, {"kinds"});
  if (kinds.empty()) {
    return text;
  }
  text += fmt::format("  {:>7}{:>7}{:>7}{:>7}  {:<6}{:>9}{:>9}  {}\n", "factor", "median", "peaks", "kills", "known",
                      "in MP", "out MP", "recipe, input, plan");
  for (const auto* kind : kinds) {
    const auto megapixels = [&](std::string_view name) {
      const auto number = NumberAt(*kind, {name});
      return number ? fmt::format("{:.2g}", *number) : std::string("-");
    };
    text += fmt::format("  {:>7.2f}{:>7.2f}{:>7.0f}{:>7.0f}  {:<6}{:>9}{:>9}  {}, {}, {}\n",
                        NumberAt(*kind, {"factor"}).value_or(0), NumberAt(*kind, {"median"}).value_or(0),
                        NumberAt(*kind, {"samples"}).value_or(0), NumberAt(*kind, {"killed"}).value_or(0),
                        Printable(TextAt(*kind, {"confidence"})), megapixels("input_megapixels"),
                        megapixels("output_megapixels"), Printable(TextAt(*kind, {"recipe"})),
                        Printable(TextAt(*kind, {"codec"})), Printable(TextAt(*kind, {"plan"})));
  }
  return text;
}

std::string EventAsText(std::string_view type, const json::value& data) {
  if (type == "state") {
    return StateText(data);
  }
  if (type == "progress") {
    const auto* progress = At(data, {"progress"});
    return progress != nullptr ? ProgressAsText(*progress) : std::string();
  }
  for (const char* key : {"note", "text", "detail"}) {
    if (const auto text = TextAt(data, {key}); !text.empty()) {
      return Printable(text);
    }
  }
  return {};
}

std::string Fitted(std::string line, unsigned columns) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    // Continuation bytes of UTF-8 take no column.
    if ((static_cast<unsigned char>(line[at]) & 0xC0U) != 0x80U && ++width > columns) {
      line.resize(at);
      break;
    }
  }
  return line;
}

}  // namespace weir::app
