#include "experiments/launch.h"

#include "absl/strings/str_cat.h"
#include "pipelines/exit_code.h"

namespace qwt {
namespace {

// Whether the error named in result.json is one that IsRequestWrong would say.
bool IsRequestWrongCode(const std::string& code) {
  for (int i = 0; i <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++i) {
    const auto status_code = static_cast<absl::StatusCode>(i);
    if (code == absl::StatusCodeToString(status_code)) return IsRequestWrong(absl::Status(status_code, ""));
  }
  return false;
}

}  // namespace

std::vector<std::string> ArgumentsOf(const SweepRun& run, const std::string& path, int threads, int ranks) {
  std::vector<std::string> arguments = {path + "/config.yaml"};
  arguments.insert(arguments.end(), run.overrides.begin(), run.overrides.end());
  if (threads > 0 && run.threads == 0) arguments.push_back(absl::StrCat("runtime.threads=", threads));
  arguments.push_back(absl::StrCat("--out=", path));
  if (ranks > 0) arguments.push_back(absl::StrCat("--nproc=", ranks));
  return arguments;
}

std::optional<Ending> EndingOf(int job, const absl::StatusOr<RunOutcome>& outcome) {
  if (!outcome.ok()) return std::nullopt;
  if (outcome->ok) return Ending{job, absl::OkStatus()};
  return Ending{job, absl::InternalError(outcome->error),
                IsRequestWrongCode(outcome->error_code) ? Retry::kNever : Retry::kOnce};
}

}  // namespace qwt
