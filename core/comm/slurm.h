// The ranks of a SLURM step: what srun tells each task, under the names that other launchers use.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace qwt {

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT as far as SLURM_PROCID, SLURM_NTASKS,
// SLURM_LOCALID, SLURM_STEP_TASKS_PER_NODE (or SLURM_TASKS_PER_NODE, SLURM_NTASKS_PER_NODE), SLURM_STEP_NODELIST (or
// SLURM_JOB_NODELIST) and SLURM_JOB_ID tell them. Empty outside a step of several tasks: a batch script that runs the
// program without srun is one process, however many tasks its job may have. InvalidArgument, naming the variable, for
// one that is not what SLURM writes.
absl::StatusOr<std::map<std::string, std::string>> SlurmVariables();

}  // namespace qwt
