// What a sweep has submitted, in its folder: written before a job is, so that one who comes back finds every job.
//
//   slurm/jobs.json: {"schema": 1, "jobs": [{"name": …, "job": "12" or "", "tasks": [{"run": …, "plan_sha256": …}]}]}
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

struct SubmittedTask {
  std::string run;          // its name; "" once it has ended
  std::string plan_sha256;  // SweepRun's
};

struct SubmittedJob {
  std::string name;  // no other job's, ever
  std::string job;   // "12"; "": nobody has heard yet whether it was taken
  std::vector<SubmittedTask> tasks;

  bool ended() const;  // all of them
};

// folder: the sweep's. None where nothing is under way; DataLoss where the file is damaged, with what to do.
absl::StatusOr<std::vector<SubmittedJob>> ReadSubmittedJobs(const std::string& folder);
// Those that have not ended; removes the file where there is none.
absl::Status WriteSubmittedJobs(const std::string& folder, const std::vector<SubmittedJob>& jobs);

// "qwt-NAME-1f0c93ab5d20": a name that no other job has. sweep: of letters, digits and . _ + = -
std::string NewJobName(const std::string& sweep);

}  // namespace qwt
