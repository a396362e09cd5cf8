// What a sweep left on disk: sweep.json and each run's folder.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pipelines/result.h"

namespace qwt {

struct ReportedRun {
  std::string name;
  std::string folder;                       // "runs/NAME", from the sweep's folder
  std::map<std::string, std::string> axes;  // key path -> the value as it stands in a config
  std::string status;                       // "ok", "failed", "not run"
  std::string error;                        // why it is not ok; "" where it is
  std::optional<RunResult> result;          // of a run that left one, failed or not
  std::string config_yaml;                  // "" where there is none
};

struct SweepResults {
  std::string name;
  std::vector<std::string> axes;  // key paths, in the manifest's order
  std::vector<ReportedRun> runs;  // in the manifest's order
};

// FOLDER/sweep.json = {"schema": 1, "name": …, "axes": [key path, …], "runs": [{"name": …, "folder": …, "axes": {key
// path: value}, "status": …, "error": …}, …]}. A run that is said to be ok but whose result cannot be read is failed,
// and its error says so. NotFound where there is no sweep.json; DataLoss, saying what is wrong, where it is something
// else.
absl::StatusOr<SweepResults> ReadSweep(const std::string& folder);

// A single run's folder as a sweep of one. NotFound where there is no result.json; DataLoss where it is something else.
absl::StatusOr<SweepResults> ReadSingleRun(const std::string& folder);

// The model whose figures stand for the run: the last evaluated of float, quantized, compensated; null for none.
const ModelScore* FinalScore(const ReportedRun& run);
std::string FinalModel(const ReportedRun& run);
const ModelScore* ScoreOf(const ReportedRun& run, const std::string& model);
std::optional<double> SizeOf(const ReportedRun& run, const std::string& model);

}  // namespace qwt
