// A sweep's plan and a run's outcome as text.
#pragma once

#include <string>

#include "experiments/sweep_folder.h"
#include "experiments/sweep_plan.h"

namespace qwt {

// What --dry_run prints: a row for each run, what of it is in the store, what it shares with a run before it, and about
// how long it takes and how much memory. path: of the sweep's folder, which need not exist. Times are those of earlier
// runs of the same model in that folder and beside it, by the image; "?" where there is none.
std::string DescribeSweep(const Sweep& sweep, const std::string& path);

// "ok in 12.3 s, computed fit evaluate; top-1 float 87.60, quantized 80.10, compensated 84.20".
std::string OutcomeText(const RunOutcome& outcome);

}  // namespace qwt
