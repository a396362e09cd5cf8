#include "experiments/slurm_states.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "experiments/launch.h"

namespace qwt {
namespace {

constexpr int kSecondsOfResult = 60;  // that a network file system may hide a file for
constexpr int kSecondsOfReturn = 15;  // from a preempted task to one that is queued again

struct EndedState {
  Retry retry;
  int seconds;       // until it is settled
  const char* what;  // "": the run's own end
  const char* advice = "";
};

const std::map<std::string, EndedState, std::less<>>& EndedStates() {
  static const auto* states = new std::map<std::string, EndedState, std::less<>>{
      {"COMPLETED", {Retry::kOnce, kSecondsOfResult, ""}},
      {"FAILED", {Retry::kOnce, 0, ""}},
      {"PREEMPTED", {Retry::kAlways, kSecondsOfReturn, "was preempted"}},
      {"NODE_FAIL", {Retry::kAlways, kSecondsOfReturn, "lost its machine"}},
      {"BOOT_FAIL", {Retry::kAlways, kSecondsOfReturn, "found no machine that starts"}},
      {"REVOKED", {Retry::kAlways, kSecondsOfReturn, "was revoked"}},
      {"TIMEOUT", {Retry::kOnce, 0, "ran out of time", "; give it more with slurm.time"}},
      {"DEADLINE", {Retry::kOnce, 0, "met its deadline"}},
      {"OUT_OF_MEMORY", {Retry::kNever, 0, "ran out of memory", "; give it more with slurm.memory"}},
      {"CANCELLED", {Retry::kNever, 0, "was cancelled in the queue"}},
      {kLost, {Retry::kOnce, 0, "has left the queue without a result"}},
  };
  return *states;
}

std::string LastLine(const std::string& printed) {
  const std::vector<std::string> lines = absl::StrSplit(printed, '\n', absl::SkipWhitespace());
  return lines.empty() ? "" : std::string(absl::StripAsciiWhitespace(lines.back()));
}

}  // namespace

Phase PhaseOf(absl::string_view state) {
  if (EndedStates().count(state) > 0) return Phase::kEnded;
  // Of all others a task comes back or goes on: REQUEUED, SPECIAL_EXIT, SUSPENDED, and what a later SLURM may say.
  return state == "RUNNING" || state == "COMPLETING" ? Phase::kRuns : Phase::kWaits;
}

std::optional<Ending> EndingOfTask(int job, const TaskState& state, const absl::StatusOr<RunOutcome>& outcome,
                                   const std::string& printed, int seconds) {
  if (outcome.ok() && outcome->ok) return EndingOf(job, outcome);
  if (state.state == "CANCELLED" && state.reason == "DependencyNeverSatisfied") {
    return Ending{job, absl::InternalError("a run whose values it uses has failed"), Retry::kAlways};
  }
  const EndedState& ended = EndedStates().at(state.state);
  const std::string what = ended.what;
  const bool said = outcome.ok() && outcome->error_code != "CANCELLED";  // SLURM's signal is no fault of the run
  if (what.empty() && said) return EndingOf(job, outcome);
  if (seconds < ended.seconds) return std::nullopt;
  std::string error = what;
  if (error.empty()) error = LastError(printed);
  if (error.empty()) error = absl::StrCat("ended without a result; it printed last: '", LastLine(printed), "'");
  return Ending{job, absl::InternalError(absl::StrCat(error, ended.advice)), ended.retry};
}

}  // namespace qwt
