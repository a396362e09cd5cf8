// A sweep's charts, each "" where there is nothing to draw.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep_results.h"

namespace qwt {

std::string GainByRunFigure(const SweepResults& sweep);
std::string FrontFigure(const SweepResults& sweep);
// Accuracy along each axis whose values are numbers, a line for each setting of the other axes.
std::vector<std::string> AxisFigures(const SweepResults& sweep);
// R² by block and the compensated network's noise by depth, a row for each run.
std::vector<std::string> BlockFigures(const SweepResults& sweep);
std::string TimeByRunFigure(const SweepResults& sweep);

}  // namespace qwt
