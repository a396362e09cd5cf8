// The folder a run leaves: config.yaml, run.log, result.json, predictions.safetensors, model.safetensors, report.html.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "pipelines/request.h"
#include "pipelines/result.h"

namespace qwt {

class RunFolder {
 public:
  RunFolder() = default;
  // Makes `out`, or runs/NAME/TIME where the user stands, writes config.yaml and opens run.log. An `out` that cannot be
  // written to is an error that says so before anything is computed.
  static absl::StatusOr<RunFolder> Create(const std::string& out, const Request& request);

  // Everything that came of the run; with a failed status only result.json and the log, so that nothing half made is
  // there.
  absl::Status Write(const Values& values, const absl::Status& status, RunResult* result) const;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace qwt
