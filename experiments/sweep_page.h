// A sweep's outcome as one self-contained page.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep_results.h"
#include "experiments/sweep_tables.h"

namespace qwt {

std::string SweepToHtml(const SweepResults& sweep, const std::vector<Neighbours>& neighbours);

}  // namespace qwt
