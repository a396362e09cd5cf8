// A sweep's runs as array jobs: those that wait for the same are one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/config/schema.h"
#include "experiments/schedule.h"
#include "experiments/slurm_script.h"
#include "experiments/sweep.h"
#include "experiments/sweep_plan.h"

namespace qwt {

// Takes the first and those that wait for the same out of `starting`; never more than a usual cluster's limit.
std::vector<StartOf> TakeAlike(std::vector<StartOf>* starting);

// The job of these runs. folder: the sweep's, absolute. after: tasks, as ArrayJob's.
ArrayJob MakeArrayJob(const std::string& name, const std::string& folder, const std::vector<const SweepRun*>& runs,
                      const std::vector<std::string>& after, const SweepArguments& arguments, const Options& slurm);

// A copy of the running program in the sweep's folder, which every machine sees and no build replaces; its name tells
// its content.
absl::Status CopyProgram(const std::string& folder);

// What --dry_run prints: the command and the script of each array job that would be submitted if none of the runs were
// finished or under way. "JOB1" stands for the number of the first.
std::string DescribeArrays(const std::string& folder, const Sweep& sweep, const std::vector<Job>& jobs,
                           const ScheduleOptions& options, const SweepArguments& arguments);

}  // namespace qwt
