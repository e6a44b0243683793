#include <boost/json.hpp>
#include <string>

#include "app/render.h"
#include "base/text.h"
#include "jobs/account_json.h"
#include "media/json_text.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using jobs::AttemptsAsJson;
using jobs::ChecksAsJson;
using jobs::ErrorAsJson;
using jobs::FactsAsJson;
using jobs::PlanAsJson;
using jobs::Strings;
using jobs::Text;
using jobs::TimesAsJson;

json::value Count(Bytes bytes) { return bytes.count(); }

json::object SandboxAsJson(const Session& session) {
  const auto& walls = session.launcher().walls();
  return {{"missing", Strings(walls.support.Missing())},
          {"landlock_abi", walls.support.landlock_abi},
          {"seccomp", walls.support.seccomp},
          {"pid_namespace", walls.support.pid_namespace},
          {"cgroup_kill", walls.cgroups.can_kill()}};
}

std::string Finish(const json::object& document) { return media::JsonText(document) + "\n"; }

}  // namespace

std::string RunAsJson(const RunCommand& command, const Session& session, const jobs::Account& account) {
  json::object out{{"ok", true}};
  if (command.kind == RunCommand::Kind::kProbe) {
    out["path"] = Text(command.ask.input_path);
    for (auto& member : FactsAsJson(account.source)) {
      out[member.key()] = member.value();
    }
    return Finish(out);
  }
  const auto& world = session.world();
  const char* backend = os::NameOf(world.launcher.walls().cgroups.backend());
  out["recipe"] = media::NameOf(command.ask.request->recipe);
  if (command.kind == RunCommand::Kind::kPlan) {
    out["budget_bytes"] = Count(session.budget().total);
    out["available_bytes"] = Count(world.ledger.largest_possible());
    out["backend"] = backend;
    out["chosen"] = account.chosen ? json::value(Text(account.ladder.plans[*account.chosen].name)) : json::value();
    if (account.refusal) {
      out["ok"] = false;
      out["refusal"] = ErrorAsJson(*account.refusal);
      out["error"] = ErrorAsJson(*account.refusal);
    }
    json::array ladder;
    for (const auto& plan : account.ladder.plans) {
      auto rung = PlanAsJson(plan);
      rung["fits"] = plan.forecast.needed <= world.ledger.largest_possible();
      ladder.push_back(std::move(rung));
    }
    out["ladder"] = std::move(ladder);
    out["notes"] = Strings(account.ladder.notes);
    out["input"] = FactsAsJson(account.source);
    return Finish(out);
  }
  const auto& plan = account.ladder.plans[*account.chosen];
  const auto& attempt = account.attempts.back();
  json::object input = FactsAsJson(account.source);
  input["path"] = Text(command.ask.input_path);
  out["input"] = std::move(input);
  json::object output = FactsAsJson(account.output);
  output["path"] = Text(command.ask.output_path);
  output["size_bytes"] = Count(account.output_size);
  out["output"] = std::move(output);
  out["plan"] = PlanAsJson(plan);
  out["memory"] =
      json::object{{"budget_bytes", Count(session.budget().total)},
                   {"backend", backend},
                   {"forecast_peak_bytes", Count(plan.forecast.peak)},
                   {"lease_bytes", Count(plan.forecast.lease)},
                   {"measured_peak_bytes", Count(attempt.measured_peak)},
                   {"cgroup_peak_bytes", attempt.cgroup_peak ? Count(*attempt.cgroup_peak) : json::value()},
                   {"own_pss_bytes", Count(session.OwnPss())}};
  out["attempts"] = AttemptsAsJson(account);
  out["checks"] = ChecksAsJson(account);
  out["notes"] = Strings(account.ladder.notes);
  out["time"] = TimesAsJson(account);
  out["sandbox"] = SandboxAsJson(session);
  return Finish(out);
}

std::string FailureAsJson(const Error& error, const jobs::Account* account) {
  json::object out{{"ok", false}, {"error", ErrorAsJson(error)}};
  if (account != nullptr && !account->attempts.empty()) {
    out["attempts"] = AttemptsAsJson(*account);
  }
  return Finish(out);
}

std::string DoctorAsJson(const Session& session) {
  const auto& world = session.world();
  const auto& walls = world.launcher.walls();
  json::object out{{"ok", true}};
  out["ffmpeg"] = Text(world.tools.ffmpeg);
  out["ffprobe"] = Text(world.tools.ffprobe);
  out["version"] = Text(world.tools.version);
  out["self_test"] = "passed";
  out["backend"] = os::NameOf(walls.cgroups.backend());
  out["enclosed"] = os::NameOf(walls.cgroups.enclosure());
  out["backend_reason"] = Text(walls.cgroups.reason());
  out["budget_bytes"] = Count(session.budget().total);
  out["cpus"] = world.machine.cpus;
  out["own_pss_bytes"] = Count(session.OwnPss());
  out["sandbox"] = SandboxAsJson(session);
  return Finish(out);
}

}  // namespace weir::app
