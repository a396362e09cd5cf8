// The report of a sweep, or of a single run.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace qwt {

// Writes into a sweep's folder (sweep.json, see experiments/sweep_results.h) or a run's (result.json): table.csv, .md
// and .tex (the same bytes for equal results), times.csv, .md and .tex, and report.html. What failed or did not run is
// shown. NotFound where the folder is neither; DataLoss where a file is damaged; what the file system says where one
// cannot be written.
absl::Status WriteSweepReport(const std::string& folder);

}  // namespace qwt
