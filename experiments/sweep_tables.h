// A sweep's tables.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep_results.h"
#include "pipelines/report/table.h"
#include "pipelines/statistics.h"

namespace qwt {

// A row for each run: its axes, top-1 of float, base and + QwT, the gain, what is published, the size. Nothing of it
// depends on when or how fast it ran.
ResultTable AccuracyTable(const SweepResults& sweep);
// Seconds by stage, images/s and memory of each run.
ResultTable TimesTable(const SweepResults& sweep);

// Two runs, one after the other in the sweep, that evaluated the same images.
struct Neighbours {
  std::string first = "", second = "";
  int64_t only_first = 0, only_second = 0;  // images that only this one's last model gets right
  McNemar test = {};
};
// From the runs' predictions.safetensors; nothing where one has none or evaluated other images.
std::vector<Neighbours> CompareNeighbours(const std::string& folder, const SweepResults& sweep);
ResultTable NeighbourTable(const std::vector<Neighbours>& neighbours);

}  // namespace qwt
