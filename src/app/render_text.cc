#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "app/render.h"
#include "base/text.h"

namespace weir::app {
namespace {

std::string Field(const char* name, const std::string& value) { return fmt::format("  {:<10}{}\n", name, value); }

std::string Rate(const media::VideoStream& video) {
  if (!video.average_rate.known()) {
    return "unknown frame rate";
  }
  return fmt::format("{:.4g} fps{}", video.average_rate.value(), video.variable_rate ? " (variable)" : "");
}

std::string Brief(const media::MediaFacts& facts) {
  std::string text;
  if (facts.video) {
    const auto shown = facts.video->displayed();
    text = fmt::format("{}x{} {}, {}", shown.width, shown.height, Printable(facts.video->codec), Rate(*facts.video));
    if (facts.video->rotation != 0) {
      text += fmt::format(", turned by {} degrees", facts.video->rotation);
    }
  }
  for (const auto& audio : facts.audio) {
    text += fmt::format("{}{} {} {} Hz", text.empty() ? "" : ", ", Printable(audio.codec),
                        audio.layout.empty() ? fmt::format("{} channels", audio.channels) : Printable(audio.layout),
                        audio.sample_rate);
  }
  return text + fmt::format("{}{:.3f} s", text.empty() ? "" : ", ", Seconds(facts.length()));
}

std::string BudgetLine(const Session& session) {
  const auto& budget = session.budget();
  const auto& walls = session.launcher().walls();
  std::string origin = "as given";
  if (!budget.given) {
    origin = fmt::format("half of the {} free in this {}", ToString(budget.free),
                         budget.limited_by_cgroup ? "control group" : "machine");
  }
  return fmt::format("{}, {}; {} of it for weir itself; limit kept by {}", ToString(budget.total), origin,
                     ToString(budget.own_use), KeptBy(walls.cgroups));
}

// The measured peak against the forecast, signed.
double PercentOff(Bytes measured, Bytes forecast) {
  return forecast == Bytes()
             ? 0
             : 100.0 * (static_cast<double>(measured.count()) / static_cast<double>(forecast.count()) - 1.0);
}

}  // namespace

std::string ProbeAsText(const std::string& path, const media::MediaFacts& facts) {
  std::string text = Quoted(path) + "\n";
  text += Field("container", Printable(facts.container));
  text += Field("length", fmt::format("{:.3f} s, {}", Seconds(facts.length()), ToString(facts.size)));
  if (facts.video) {
    const auto& video = *facts.video;
    const auto shown = video.displayed();
    std::string line = fmt::format("{} {}, shown as {}x{}", Printable(video.codec), Printable(video.profile),
                                   shown.width, shown.height);
    if (video.rotation != 0 || !(video.coded == shown)) {
      line += fmt::format(" (stored {}x{}, pixels {}:{}, turned by {} degrees)", video.coded.width,
                          video.coded.height, video.sample_aspect.num, video.sample_aspect.den, video.rotation);
    }
    text += Field("video", line + fmt::format(", {}, {} ({} bit)", Rate(video), Printable(video.pixel_format),
                                              video.bit_depth));
  }
  for (const auto& audio : facts.audio) {
    text +=
        Field("audio", fmt::format("{}, {} Hz, {} channels{}", Printable(audio.codec), audio.sample_rate,
                                   audio.channels, audio.layout.empty() ? "" : " (" + Printable(audio.layout) + ")"));
  }
  for (const auto& other : facts.others) {
    text += Field("also", fmt::format("{} ({})", Printable(other.kind),
                                      other.codec.empty() ? "unknown codec" : Printable(other.codec)));
  }
  if (!facts.identifying_tags.empty()) {
    std::string tags;
    for (const auto& tag : facts.identifying_tags) {
      tags += (tags.empty() ? "" : ", ") + Printable(tag);
    }
    text += Field("tags", tags + " (tell place, device or person; dropped by default)");
  }
  return text;
}

std::string PlanAsText(const RunCommand& command, const Session& session, const jobs::Account& account) {
  const auto& plan = account.ladder.plans[*account.chosen];
  std::string text = fmt::format("{} {} -> {}\n", media::NameOf(command.ask.request->recipe),
                                 Quoted(command.ask.input_path), Quoted(command.ask.output_path));
  text += Field("input", Brief(account.source));
  text += Field("budget", BudgetLine(session));
  text += Field("plan", fmt::format("{} (way {} of {}, the fastest that fits); cost: {}", plan.name,
                                    *account.chosen + 1, account.ladder.plans.size(), plan.costs));
  text += Field("forecast",
                fmt::format("peak {}, lease {}", ToString(plan.forecast.peak), ToString(plan.forecast.lease)));
  for (const auto& note : account.ladder.notes) {
    text += Field("note", note);
  }
  return text;
}

std::string LadderAsText(const Session& session, const jobs::Account& account) {
  const Bytes available = session.budget().total - session.budget().own_use;
  std::string text = Field("input", Brief(account.source)) + Field("budget", BudgetLine(session));
  text += fmt::format("  {:<5}{:>12}{:>12}{:>7}  {}\n", "", "forecast", "lease", "time", "way, and what it costs");
  for (std::size_t index = 0; index < account.ladder.plans.size(); ++index) {
    const auto& plan = account.ladder.plans[index];
    const char* mark = account.chosen == index ? "->" : plan.forecast.needed <= available ? "ok" : "--";
    text += fmt::format("  {:<5}{:>12}{:>12}{:>6.2f}x  {}: {}{}\n", mark, ToString(plan.forecast.peak),
                        ToString(plan.forecast.lease), plan.time_ratio, plan.name, plan.costs,
                        plan.in_company ? "; only beside other jobs" : "");
  }
  text += "  -> is what would run, ok fits too, -- does not fit the budget\n";
  for (const auto& note : account.ladder.notes) {
    text += Field("note", note);
  }
  return text;
}

std::string ResultAsText(const RunCommand& command, const Session& session, const jobs::Account& account) {
  const auto& attempt = account.attempts.back();
  std::string text =
      Field("measured",
            fmt::format("peak {} ({:+.1f} % against the forecast), weir itself {}", ToString(attempt.measured_peak),
                        PercentOff(attempt.measured_peak, attempt.forecast.peak), ToString(session.OwnPss())));
  text +=
      Field("time", fmt::format("{:.2f} s: probe {:.2f}, work {:.2f}, checks {:.2f}; {:.2f} s of processor time",
                                Seconds(account.total_time), Seconds(account.probe_time), Seconds(account.work_time),
                                Seconds(account.verify_time), Seconds(Duration(account.cpu_time))));
  text += Field("verified", account.checks.Summary());
  text += Field("output", fmt::format("{}: {}, {}", Quoted(command.ask.output_path), Brief(account.output),
                                      ToString(account.output_size)));
  return text;
}

std::string DoctorAsText(const Session& session) {
  const auto& world = session.world();
  const auto& walls = world.launcher.walls();
  std::string text = Field("ffmpeg", fmt::format("{} ({})", Quoted(world.tools.ffmpeg), world.tools.version));
  text += Field("ffprobe", Quoted(world.tools.ffprobe));
  text += Field("self-test", "passed: encoded and wrote a few frames inside the sandbox");
  text += Field("budget", BudgetLine(session));
  if (!walls.cgroups.reason().empty()) {
    text += Field("", walls.cgroups.reason());
  }
  std::string layers =
      fmt::format("Landlock (ABI {}), seccomp {}, PID namespace {}, cgroup kill {}", walls.support.landlock_abi,
                  walls.support.seccomp ? "yes" : "NO", walls.support.pid_namespace ? "yes" : "NO",
                  walls.cgroups.can_kill() ? "yes" : "no");
  text += Field("sandbox", layers);
  text += Field("weir", fmt::format("{} of memory (PSS) now, {} processors usable", ToString(session.OwnPss()),
                                    world.machine.cpus));
  return text;
}

}  // namespace weir::app
