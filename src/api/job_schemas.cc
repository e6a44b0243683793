// How jobs, their events and what they make look like in the served document.
#include <algorithm>
#include <boost/json.hpp>
#include <utility>
#include <vector>

#include "api/schema.h"
#include "api/system_json.h"
#include "jobs/retry.h"
#include "jobs/scheduler.h"
#include "jobs/service.h"
#include "media/request_json.h"

namespace weir::api {
namespace {

namespace json = boost::json;

std::vector<std::string> CauseNames() {
  using enum jobs::Cause;
  std::vector<std::string> names;
  for (const auto cause : {kBadInput, kBadParameters, kOutOfMemory, kOverBudget, kTimedOut, kStalled, kCrashed,
                           kDiskFull, kInfrastructure, kVerification}) {
    names.emplace_back(jobs::NameOf(cause));
  }
  return names;
}

std::vector<std::string> ReasonNames() {
  using enum jobs::WaitingFor;
  std::vector<std::string> names;
  for (const auto reason : {kSlot, kProcessor, kMemory, kDisk, kTime, kPause, kDrain, kPressure}) {
    names.emplace_back(jobs::NameOf(reason));
  }
  return names;
}

std::vector<std::string> PassedNames() {
  using enum jobs::PassedFor;
  std::vector<std::string> names;
  for (const auto reason : {kMemory, kProcessors, kCompany, kEnd, kYield, kBudget, kFailed, kEarlier}) {
    names.emplace_back(jobs::NameOf(reason));
  }
  return names;
}

json::object Date() { return Ref("Time"); }

// What belongs to some reasons only is there with these.
json::object WaitingSchema() {
  return Object(
      {{"for", Ref("WaitingFor")},
       {"reason", Described(Text(1), "A sentence with the numbers.")},
       {"since", Described(OrNull(Date()), "For this; for a slot: since it came.")},
       Maybe("until", Described(Date(),
                                "time: the end of the pause. memory, disk: until then it waits for the best "
                                "way; from then on it takes any that fits, and is not passed any more.")),
       Maybe("required_bytes", Described(Whole(), "memory: by the way that it waits for; disk.")),
       Maybe("leanest_bytes", Described(Whole(), "memory: by the way that needs least.")),
       Maybe("available_bytes", Whole()),
       Maybe("slots", Whole()),
       Maybe("processors", Number()),
       Maybe("idle_processors", Number()),
       Maybe("holders", Described(Whole(),
                                  "Who has it: jobs with slots, leases, steps with reservations of disk, "
                                  "steps at work."))});
}

json::object DecisionSchema() {
  const auto passed = Object(
      {{"plan", Text(1)},
       {"required_bytes", Whole()},
       {"why",
        Described(
            OneOf(PassedNames()),
            "It needs more memory than there was for it; keeps more processors busy "
            "than were idle; is for a job alone; does no more for its time and the "
            "size of its output; could never be leased; failed or made room before; was passed over before.")}});
  return Object({{"plan", Text(1)},
                 {"way", Described(Whole(1), "From 1, of all ways.")},
                 {"ways", Whole(1)},
                 {"lease_bytes", Described(Whole(), "Asked for; what only the checks need is given back at once.")},
                 {"available_bytes", Described(Whole(), "For it, at that moment.")},
                 {"processors", Described(Number(), "0: they were not looked at.")},
                 {"idle_processors", Number()},
                 {"leases", Described(Whole(), "Of others.")},
                 {"working", Described(Whole(), "Other jobs at work.")},
                 {"alike", Described(Whole(), "Jobs that were planned for side by side, with this one.")},
                 {"wanting", Described(Whole(), "Jobs that will want to work, with this one.")},
                 {"waited_seconds", Number()},
                 {"waited_for", Described(OrNull(Ref("WaitingFor")), "Last.")},
                 {"out_of_patience", Described(Flag(), "The best way did not fit for too long.")},
                 {"overtaken", Described(Whole(), "Steps that came before and wait on.")},
                 {"passed", Described(List(passed, 0, 16), "Better ways that were passed over.")}});
}

Members PlanMembers() {
  return {{"name", Text(1)},
          {"costs", Text()},
          {"time_ratio", Described(Number(), "Against the fastest way.")},
          {"stream_copy", Flag()},
          {"in_company", Described(Flag(), "Slower than another way as good: taken only beside other jobs.")},
          {"prior_peak_bytes", Described(Whole(), "What the formula says, whatever was learned.")},
          {"correction", Ref("Correction")},
          {"forecast_peak_bytes", Described(Whole(), "The formula's, corrected by what was learned.")},
          {"lease_bytes", Whole()},
          {"needed_bytes", Whole()},
          {"forecast_frames", Whole()},
          {"output_reserve_bytes", Whole()},
          {"output_limit_bytes", Whole()},
          {"deadline_seconds", Number()}};
}

// Of a job that works, only `always` is sure to be there.
Members SoFar(Members members, const std::vector<std::string_view>& always) {
  for (auto& member : members) {
    member.required = std::ranges::find(always, member.name) != always.end();
  }
  return members;
}

json::object FactsSchema() {
  const auto video = Object({{"codec", Text()},
                             {"profile", Text()},
                             {"width", Whole()},
                             {"height", Whole()},
                             {"coded_width", Whole()},
                             {"coded_height", Whole()},
                             {"rotation", Whole(-360, 360)},
                             {"sample_aspect", Matching("^-?[0-9]+:-?[0-9]+$")},
                             {"frame_rate", OrNull(Number())},
                             {"variable_frame_rate", Flag()},
                             {"pixel_format", Text()},
                             {"bit_depth", Whole()}});
  const auto audio = Object(
      {{"codec", Text()}, {"sample_rate", Whole()}, {"channels", Whole()}, {"layout", Text()}, {"language", Text()}});
  return Object({{"container", Text()},
                 {"duration_seconds", Number()},
                 {"size_bytes", Whole()},
                 {"video", OrNull(video)},
                 {"audio", List(audio)},
                 {"other_streams", List(Object({{"kind", Text()}, {"codec", Text()}}))},
                 {"identifying_tags", List(Text())}});
}

json::object ArtifactSchema() {
  auto schema =
      Object({{"name", Text(1)},
              {"size_bytes", Whole()},
              {"type", Described(OneOf(MediaTypes()), "The media type that its bytes are served as.")},
              Maybe("sha256", Matching("^[0-9a-f]{64}$")),
              Maybe("path", Described(Text(1), "Where the caller wanted it.")),
              Maybe("url", Described(Matching("^/v1/jobs/[0-9a-z]{16}/artifacts/"), "Where its bytes are."))});
  schema["oneOf"] = json::array{json::object{{"required", {"path"}}}, json::object{{"required", {"url"}}}};
  return schema;
}

// Everything of an error but where it happened.
Members ErrorAs(Members first) {
  auto more = ErrorMembers();
  first.insert(first.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return first;
}

Members EventMembers() {
  return {{"job", Ref("Id")},   {"time", Date()},   {"state", Ref("State")},
          {"attempt", Whole()}, {"paused", Flag()}, Maybe("note", Text(1))};
}

json::object DecisionEventSchema() {
  auto members = EventMembers();
  members.push_back({.name = "decision", .schema = Ref("Decision")});
  return Object(members);
}

Members RunMembers() {
  return {{"attempt", Whole()},
          {"plan", Text(1)},
          {"lease_bytes", Whole()},
          {"forecast_peak_bytes", Whole()},
          {"measured_peak_bytes", Whole()},
          {"cgroup_peak_bytes", Described(OrNull(Whole()), "With page cache.")},
          {"ending", Described(Text(1), "exited, oom_killed, timed_out, ...")}};
}

json::object WithParameters(json::object schema, const char* suffix) {
  json::array rules;
  for (const auto& name : media::RecipeNames()) {
    rules.push_back(json::object{{"if", {{"properties", {{"recipe", {{"const", name}}}}}, {"required", {"recipe"}}}},
                                 {"then", {{"properties", {{"params", Ref(name + suffix)}}}}}});
  }
  schema["allOf"] = std::move(rules);
  return schema;
}

json::object ExampleJob() {
  return json::parse(
             R"({"id":"0c3fq6kd2m8r5t1x","batch":null,"recipe":"crop","state":"queued","paused":false,"attempt":0,
    "priority":50,"owner":null,"labels":{"team":"red"},"created":"2026-01-05T10:00:00.000Z",
    "updated":"2026-01-05T10:00:00.000Z","started":null,"ended":null,"not_before":null,"inputs":["clip.mp4"],
    "outputs":[],"params":{"aspect":"9:16","focus":"0.5,0.5","size":null,"crf":23,"preset":"veryfast",
    "keep_metadata":false},"progress":null,"waiting_for":"slot","position":1,
    "waiting":{"for":"slot","reason":"2 jobs have the 2 slots that there are","since":"2026-01-05T10:00:00.000Z",
    "slots":2,"holders":2},"decision":null,"runs":null,"plan":null,"memory":null,
    "source":null,"output":null,"checks":null,"notes":null,"time":null,"failure":null,"artifacts":[]})")
      .as_object();
}

}  // namespace

json::object LabelsSchema() {
  return {{"type", "object"},
          {"maxProperties", 32},
          {"propertyNames", Text(1, 256)},
          {"additionalProperties", Text(0, 256)}};
}

Members JobMembers() {
  return {
      {"id", Ref("Id")},
      {"batch", Described(OrNull(Ref("Id")), "That it came with.")},
      {"recipe", Ref("RecipeName")},
      {"state", Ref("State")},
      {"paused", Described(Flag(),
                           "It stands still. One that was at work keeps its slot and its memory "
                           "(memory.lease_bytes) meanwhile.")},
      {"attempt", Described(Whole(), "0 before the first.")},
      {"priority", Whole(0, 100)},
      {"owner", OrNull(Text(1, 128))},
      {"labels", Ref("Labels")},
      {"created", Date()},
      {"updated", Date()},
      {"started", Described(OrNull(Date()), "Of the last attempt.")},
      {"ended", OrNull(Date())},
      {"not_before", Described(OrNull(Date()), "The end of the pause before another attempt.")},
      {"inputs", List(Text(1), 1, 1)},
      {"outputs", List(Text(1), 0, 1)},
      {"params", {{"type", "object"}}},
      {"progress", OrNull(Ref("Progress"))},
      {"waiting_for", OrNull(Ref("WaitingFor"))},
      {"position", Described(OrNull(Whole(1)),
                             "Among those that wait for a slot, up to the thousandth. Always null in a page of "
                             "jobs: each place takes a walk along the line.")},
      {"waiting", Described(OrNull(Ref("Waiting")),
                            "What waiting_for is about, with its numbers of now. Always null in a page of jobs.")},
      {"decision", Described(OrNull(Text(1)),
                             "What was decided last about how it is done, and why, as a sentence; events of type "
                             "decision have its numbers.")},
      {"runs", Described(OrNull(List(Object(RunMembers()), 0, 8)),
                         "The last children that did its work, of all attempts that have ended: what they were "
                         "forecast to use, allowed, and measured.")},
      {"plan", Described(OrNull(Object(SoFar(PlanMembers(), {"name", "forecast_frames"}))),
                         "While the job works, its name and its forecast of frames; whole when the result is "
                         "about to appear, and afterwards.")},
      {"memory", Described(OrNull(Object(SoFar({{"forecast_peak_bytes", Whole()},
                                                {"prior_peak_bytes", Whole()},
                                                {"lease_bytes", Whole()},
                                                {"measured_peak_bytes", Whole()}},
                                               {"lease_bytes", "measured_peak_bytes"}))),
                           "While the job works: what it holds now, also while it is paused, and the most that was "
                           "measured so far. Afterwards of the last child that made the output.")},
      {"source", OrNull(Ref("Facts"))},
      {"output", OrNull(Ref("Facts"))},
      {"checks", Described(OrNull(Whole()), "How many were passed.")},
      {"notes", OrNull(List(Text()))},
      {"time", OrNull(Object({{"probe_seconds", Number()},
                              {"work_seconds", Number()},
                              {"verify_seconds", Number()},
                              {"total_seconds", Number()},
                              {"cpu_seconds", Number()}}))},
      {"failure", OrNull(Ref("Failure"))},
      {"artifacts", List(Ref("Artifact"), 0, 1)}};
}

Members ErrorMembers() {
  return {
      Maybe("field", Text()),
      Maybe("job", {{"anyOf", json::array{Ref("Id"), Whole()}}, {"description", "Its id, or its index in a batch."}}),
      Maybe("batch", Ref("Id")),
      Maybe("output", Text()),
      Maybe("state", Ref("State")),
      Maybe("required_bytes", Whole()),
      Maybe("available_bytes", Whole()),
      Maybe("budget_bytes", Whole()),
      Maybe("jobs", Whole()),
      Maybe("reserve_bytes", Whole()),
      Maybe("lease_bytes", Whole()),
      Maybe("size_bytes", Whole()),
      Maybe("limit_bytes", Whole()),
      Maybe("waiting", Whole()),
      Maybe("limit", Whole()),
      Maybe("deaths", Whole()),
      Maybe("attempts", Whole()),
      Maybe("forecast_frames", Whole()),
      Maybe("streams", Whole()),
      Maybe("limit_streams", Whole()),
      Maybe("pixels", Described(Whole(), "Of one picture.")),
      Maybe("limit_pixels", Whole()),
      Maybe("duration_seconds", Described(Whole(), "Whole ones; what is left over counts as one.")),
      Maybe("limit_seconds", Whole()),
      Maybe("signal", Whole()),
      Maybe("retry_after_seconds", Whole(1))};
}

std::vector<std::string> StateNames() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < store::kJobStates; ++i) {
    names.emplace_back(store::NameOf(static_cast<store::JobState>(i)));
  }
  return names;
}

std::vector<std::string> ErrorNames() {
  std::vector<std::string> names;
  for (const auto& row : ErrorTable()) {
    names.emplace_back(row.name);
  }
  return names;
}

void AddJobSchemas(json::object& schemas) {
  schemas["Id"] = Matching("^[0-9a-z]{16}$");
  auto time = Matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$");
  time["format"] = "date-time";
  schemas["Time"] = std::move(time);
  schemas["State"] = OneOf(StateNames());
  schemas["WaitingFor"] = OneOf(ReasonNames());
  schemas["Waiting"] = WaitingSchema();
  schemas["Decision"] = DecisionSchema();
  schemas["Labels"] = LabelsSchema();
  schemas["Progress"] = Object({{"frame", Whole()},
                                {"fps", Number()},
                                {"ratio", OrNull(Share())},
                                {"eta_seconds", OrNull(Number())},
                                {"speed", OrNull(Number())}});
  schemas["Facts"] = FactsSchema();
  schemas["Correction"] =
      Object({{"factor", Described(Number(), "Of the formula's forecast: what measured peaks make of it.")},
              {"samples", Described(Whole(), "Measured peaks of children alike that are kept.")},
              {"killed", Described(Whole(), "Children alike that reached their limit, of those that are kept.")},
              {"confidence", Ref("Confidence")},
              {"at_ceiling", Described(Flag(), "More would be needed than a factor may be.")}});
  schemas["Confidence"] = OneOf({"none", "low", "fair", "good"});
  auto plan = PlanMembers();
  plan.push_back({.name = "arguments", .schema = List(Text())});
  schemas["Plan"] = Object(plan);
  const Members error{{"type", OneOf(ErrorNames())},
                      {"title", Text(1)},
                      {"detail", Text(1)},
                      {"exit_code", Described(Whole(1, 255), "Of the command line for the same error.")}};
  schemas["Refusal"] = Object(ErrorAs(error));
  auto failure = error;
  failure.push_back({.name = "cause", .schema = OneOf(CauseNames())});
  schemas["Failure"] = Object(ErrorAs(std::move(failure)));
  schemas["RetryRequest"] =
      Object({Maybe("outputs", Described(OrNull(List(Text(), 0, 1000)), "Those that are missing."))});
  schemas["Timeline"] = Object({{"attempt", Described(Whole(), "0 before the first.")},
                                {"samples", List(Object({{"seconds", Described(Number(), "Since the attempt began.")},
                                                         {"resident_bytes", Whole()},
                                                         {"lease_bytes", Whole()}}))}});
  schemas["Artifact"] = ArtifactSchema();
  schemas["Artifacts"] = Object({{"artifacts", List(Ref("Artifact"))}});
  schemas["Job"] = WithParameters(Object(JobMembers()), "Params");
  schemas["Job"].as_object()["examples"] = json::array{ExampleJob()};
  schemas["JobPage"] =
      Object({{"jobs", List(Ref("Job"), 0, 1000)},
              {"next", Described(OrNull(Matching("^[1-9][0-9]*$")), "The cursor of the page that follows.")}});
  schemas["JobRequest"] =
      WithParameters(Object({{"recipe", Ref("RecipeName")},
                             {"inputs", Described(List(Text(), 1, 1), "A path below the media roots.")},
                             Maybe("params", OrNull({{"type", "object"}})),
                             Maybe("outputs", Described(OrNull(List(Text(), 0, 1)),
                                                        "A path below the media roots; without one the "
                                                        "result is kept as an artefact of the job.")),
                             Maybe("overwrite", OrNull(Flag())),
                             Maybe("priority", Described(OrNull(Whole(0, 100)), "Higher first; 50 without it.")),
                             Maybe("owner", OrNull(Text(0, 128))),
                             Maybe("labels", OrNull(Ref("Labels")))}),
                     "Params");
  schemas["JobChange"] = Object({Maybe("priority", OrNull(Whole(0, 100))), Maybe("labels", OrNull(Ref("Labels")))});
  schemas["Log"] =
      Object({{"lines",
               List(Object({{"time", Date()}, {"type", OneOf({"state", "note", "decision"})}, {"text", Text()}}))}});
  schemas["StateEvent"] = Described(Object(EventMembers()), "Stored: has an id.");
  schemas["NoteEvent"] = Described(Object(EventMembers()), "Stored: has an id.");
  schemas["DecisionEvent"] = Described(DecisionEventSchema(), "Stored: has an id.");
  schemas["ProgressEvent"] =
      Described(Object({{"job", Ref("Id")}, {"state", Ref("State")}, {"progress", Ref("Progress")}}),
                "Not stored, without an id; at most four times a second.");
  schemas["Forecast"] = Object({{"ladder", List(Ref("Plan"))},
                                {"notes", List(Text())},
                                {"input", Ref("Facts")},
                                {"budget_bytes", Whole()},
                                {"chosen", Described(OrNull(Text(1)), "The name of the plan that would be taken.")},
                                {"refusal", OrNull(Ref("Refusal"))}});
}

}  // namespace weir::api
