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
// R² and error by block, a line for each run; not where there are more runs than can be told apart.
std::vector<std::string> BlockLineFigures(const SweepResults& sweep);
std::string TimeByRunFigure(const SweepResults& sweep);

}  // namespace qwt
