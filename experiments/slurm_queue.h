// What SLURM's commands say of array jobs, found by the jobs' names.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/command.h"

namespace qwt {

struct TaskState {
  std::string job;     // "12", of the array
  std::string state;   // in full: "PENDING"
  std::string reason;  // why it waits or has ended: "Dependency"; "" or "None" for none
};
using TaskStates = std::map<std::pair<std::string, int>, TaskState>;  // by the job's name and the index in the array
inline constexpr int kRestOfArray = -1;  // the index of what is said of all tasks of which nothing else is

// Null where nothing is said of it.
const TaskState* FindTask(const TaskStates& states, const std::string& name, int task);

// Lines "12_3|name|STATE|reason", of several tasks "12_[0-2,5%4]|…", of the rest of an array "12|…". Internal, quoting
// the line, for another.
absl::StatusOr<TaskStates> ParseTasks(absl::string_view lines);

// Of jobs with these names: all that the controller knows, those that have ended since a few minutes too. Unavailable
// with the command's words where it does not answer.
absl::StatusOr<TaskStates> AskQueue(const std::vector<std::string>& names);
// The same from the accounting, which many clusters do without: then Unavailable.
absl::StatusOr<TaskStates> AskAccounting(const std::vector<std::string>& names);

// Runs SbatchCommand(…) -> the job's number. InvalidArgument where what was asked for is refused, Unavailable where
// the controller does not answer or takes no more jobs now; whether it took this one is then open.
absl::StatusOr<std::string> Submit(const std::vector<std::string>& command);
// The same without submitting anything: whether it would be refused.
absl::Status TestSubmission(std::vector<std::string> command);

// "12" of "12;cluster\n"; "" where it is no job.
std::string ParseJob(absl::string_view printed);
// What sbatch said when it failed, as Submit's error.
absl::Status SubmissionError(absl::string_view said);

absl::Status CancelTasks(const std::vector<std::string>& tasks);  // "12", "12_3"

}  // namespace qwt
