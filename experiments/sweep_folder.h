// The folder a sweep leaves: sweep.json, runs/NAME for each run, and what //experiments:report makes of them.
//
//   {"schema": 1, "name": …, "axes": [key paths],
//    "runs": [{"name": …, "folder": "runs/NAME", "axes": {key path: value as text},
//              "status": "ok" | "failed" | "not run", "error": …}]}
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "experiments/sweep_plan.h"

namespace qwt {

// What result.json says of a run that ended.
struct RunOutcome {
  bool ok = false;
  std::string error, error_code;             // where not: "…", "NOT_FOUND"
  std::string plan_sha256;                   // of what ran
  std::map<std::string, double> top1;        // %, by model
  std::vector<std::string> computed_stages;  // names of those that did not come from the store
  double seconds = 0;                        // of all stages
};

class SweepFolder {
 public:
  // Makes it and takes its lock, which goes when this process and all its runs have ended. FailedPrecondition where
  // another sweep holds that; what a killed one left running is waited for a few seconds.
  static absl::StatusOr<SweepFolder> Open(const std::string& path);
  SweepFolder(SweepFolder&& other) noexcept : path_(std::move(other.path_)), lock_(other.lock_) { other.lock_ = -1; }
  ~SweepFolder();

  const std::string& path() const { return path_; }
  std::string RunPath(const SweepRun& run) const { return path_ + "/" + run.folder; }

  // What is there of the run: an outcome whose plan is another's counts as none (NotFound), except that a run planned
  // for the CPU may have found a GPU on a cluster.
  absl::StatusOr<RunOutcome> Outcome(const SweepRun& run) const;
  // An empty folder with the run's config and plan, whatever was there; its path.
  absl::StatusOr<std::string> PrepareRun(const SweepRun& run) const;
  // statuses: of each run; Cancelled: not run.
  absl::Status WriteState(const Sweep& sweep, const std::vector<absl::Status>& statuses) const;

 private:
  SweepFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

// The last error in what a run printed, without the word where it begins with "error: "; "" for none.
std::string LastError(const std::string& output);

}  // namespace qwt
