// What a sweep's folder says, for people.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace qwt {

// Reads sweep.json and the runs' result.json in the folder and writes table.md and table.csv beside them. The same
// results make the same bytes. NotFound or DataLoss where there is no sweep.json or it is damaged; a run without a
// result has a row that says so.
absl::Status WriteSweepReport(const std::string& folder);

}  // namespace qwt
