// What a task's state in SLURM and its run's folder mean together: the folder says how a run ended, SLURM whether it
// has, and why where the folder is silent.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/schedule.h"
#include "experiments/slurm_queue.h"
#include "experiments/sweep_folder.h"

namespace qwt {

enum class Phase { kWaits, kRuns, kEnded };
Phase PhaseOf(absl::string_view state);

// Of a task that neither the queue nor the accounting knows any more.
inline constexpr char kLost[] = "LOST";

// How the run of a task that has ended did; nothing while that is not settled: a result may take a while to be seen
// over the network, and a preempted task may be on its way back into the queue. seconds: for which it has been seen as
// ended. printed: the end of what it printed.
std::optional<Ending> EndingOfTask(int job, const TaskState& state, const absl::StatusOr<RunOutcome>& outcome,
                                   const std::string& printed, int seconds);

}  // namespace qwt
