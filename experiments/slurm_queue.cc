#include "experiments/slurm_queue.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr int kSeconds = 60;         // that a command may take
constexpr int kSubmitSeconds = 300;  // sbatch asks a busy controller again by itself
constexpr int kMostTasks = 1'000'000;

// Filters and formats of the user's own, and a job that the sweep itself runs in: sbatch would take them for options.
absl::StatusOr<CommandOutput> RunSlurm(const std::vector<std::string>& command, int seconds) {
  auto output =
      RunToEnd(command, seconds,
               {"SQUEUE_",      "SACCT_",         "SLURM_JOB",  "SLURM_STEP",   "SLURM_TASK",      "SLURM_NTASKS",
                "SLURM_NPROCS", "SLURM_NNODES",   "SLURM_NODE", "SLURM_PROCID", "SLURM_LOCALID",   "SLURM_CPU",
                "SLURM_MEM",    "SLURM_ARRAY",    "SLURM_GPU",  "SLURM_SUBMIT", "SLURM_GTIDS",     "SLURM_DISTRIBUTION",
                "SLURM_TRES",   "SLURM_TOPOLOGY", "SLURM_PRIO", "SLURM_UMASK",  "SLURM_EXPORT_ENV"});
  if (!absl::IsNotFound(output.status())) return output;
  return absl::NotFoundError(absl::StrCat(output.status().message(),
                                          "; start the sweep on a machine of the cluster that has SLURM's commands, or "
                                          "here with --launcher=local"));
}

std::string Said(const CommandOutput& output) {
  std::string text = output.err.empty() ? output.out : output.err;
  return std::string(absl::StripAsciiWhitespace(text));
}

// "3" or "[0-2,5%4]" -> the indices; nothing where it is neither.
std::optional<std::vector<int>> Indices(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "[") && !absl::ConsumeSuffix(&text, "]")) return std::nullopt;
  text = text.substr(0, text.find('%'));
  std::vector<int> indices;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends[0], &first) || !absl::SimpleAtoi(ends.back(), &last)) {
      return std::nullopt;
    }
    if (first < 0 || last > kMostTasks) return std::nullopt;
    for (int index = first; index <= last; ++index) indices.push_back(index);
  }
  return indices;
}

absl::StatusOr<TaskStates> Ask(const std::vector<std::string>& command) {
  const auto output = RunSlurm(command, kSeconds);
  if (!output.ok()) return absl::UnavailableError(output.status().message());
  if (output->exit_code != 0) return absl::UnavailableError(absl::StrCat(command[0], ": ", Said(*output)));
  return ParseTasks(output->out);
}

}  // namespace

absl::StatusOr<TaskStates> ParseTasks(absl::string_view lines) {
  TaskStates states;
  for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipWhitespace())) {
    const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits('|', 3));
    const std::vector<std::string> id = absl::StrSplit(fields[0], absl::MaxSplits('_', 1));
    // Of an array that is cancelled while it waits, "12" alone may be printed for a moment.
    const auto indices = id.size() == 2 ? Indices(id[1]) : std::optional(std::vector<int>{kRestOfArray});
    if (fields.size() < 3 || !indices.has_value() || ParseJob(id[0]).empty()) {
      return absl::InternalError(
          absl::StrCat("squeue or sacct printed '", line, "', which is not 'JOB_INDEX|name|state|reason'"));
    }
    // "CANCELLED by 1000"
    const std::string state = fields[2].substr(0, fields[2].find(' '));
    for (int index : *indices) states[{fields[1], index}] = {id[0], state, fields.size() > 3 ? fields[3] : ""};
  }
  return states;
}

const TaskState* FindTask(const TaskStates& states, const std::string& name, int task) {
  auto found = states.find({name, task});
  if (found == states.end()) found = states.find({name, kRestOfArray});
  return found == states.end() ? nullptr : &found->second;
}

absl::StatusOr<TaskStates> AskQueue(const std::vector<std::string>& names) {
  return Ask({"squeue", "--noheader", "--array", "--states=all", "--name=" + absl::StrJoin(names, ","),
              "--format=%i|%j|%T|%r"});
}

absl::StatusOr<TaskStates> AskAccounting(const std::vector<std::string>& names) {
  return Ask({"sacct", "--allocations", "--noheader", "--parsable2", "--name=" + absl::StrJoin(names, ","),
              "--starttime=now-30days", "--format=JobID,JobName,State"});
}

std::string ParseJob(absl::string_view printed) {
  const absl::string_view line = absl::StripAsciiWhitespace(printed);
  const absl::string_view job = line.substr(0, line.find(';'));
  const bool number = !job.empty() && std::all_of(job.begin(), job.end(), absl::ascii_isdigit);
  return number ? std::string(job) : "";
}

absl::Status SubmissionError(absl::string_view said) {
  for (const char* passing :
       {"timed out", "Unable to contact", "temporarily unable", "SubmitJobLimit", "MaxSubmitJob", "Connection refused",
        "Zero Bytes were transmitted", "connect failure", "Communication connection", "Job violates accounting/QOS"}) {
    if (absl::StrContains(said, passing)) return absl::UnavailableError(absl::StrCat("sbatch: ", said));
  }
  const struct {
    const char *said, *advice;
  } kAdvice[] = {{"partition", "slurm.partition; `sinfo` lists those there are"},
                 {"account", "slurm.account and slurm.partition; `sacctmgr show associations user=$USER` lists yours"},
                 {"qos", "slurm.qos; `sacctmgr show qos` lists those there are"},
                 {"time", "slurm.time: minutes, H:MM:SS or D-HH:MM:SS, within the partition's limit (`sinfo`)"},
                 {"emory", "slurm.memory; `sinfo -o '%P %m'` says what machines have, in MB"},
                 {"generic resource", "slurm.gpus; `sinfo -o '%P %G'` lists what machines have"},
                 {"array", "the cluster's limit of array jobs (`scontrol show config | grep MaxArraySize`)"}};
  std::string advice = "the section slurm of the manifest, or slurm.KEY=VALUE";
  for (const auto& [word, what] : kAdvice) {
    if (!absl::StrContains(absl::AsciiStrToLower(said), word)) continue;
    advice = what;
    break;
  }
  return absl::InvalidArgumentError(absl::StrCat("sbatch refuses the runs: ", said, "\n  see ", advice));
}

absl::StatusOr<std::string> Submit(const std::vector<std::string>& command) {
  const auto output = RunSlurm(command, kSubmitSeconds);
  if (absl::IsNotFound(output.status())) return output.status();
  if (!output.ok()) return absl::UnavailableError(output.status().message());
  const std::string job = output->exit_code == 0 ? ParseJob(output->out) : "";
  if (output->exit_code != 0) return SubmissionError(Said(*output));
  if (job.empty()) return absl::UnavailableError(absl::StrCat("sbatch printed '", Said(*output), "' and no job"));
  return job;
}

absl::Status TestSubmission(std::vector<std::string> command) {
  command.insert(command.begin() + 1, "--test-only");
  const auto output = RunSlurm(command, kSubmitSeconds);
  QWT_RETURN_IF_ERROR(output.status());
  return output->exit_code == 0 ? absl::OkStatus() : SubmissionError(Said(*output));
}

absl::Status CancelTasks(const std::vector<std::string>& tasks) {
  std::vector<std::string> command = {"scancel"};
  command.insert(command.end(), tasks.begin(), tasks.end());
  QWT_ASSIGN_OR_RETURN(const CommandOutput output, RunSlurm(command, kSeconds));
  return output.exit_code == 0 ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("scancel: ", Said(output)));
}

}  // namespace qwt
