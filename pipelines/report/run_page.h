// A run's outcome as parts of a page.
#pragma once

#include <string>

#include "pipelines/report/charts.h"
#include "pipelines/result.h"

namespace qwt {

// How a model is called and drawn in every chart.
struct ModelStyle {
  const char* name;  // "float", "quantised", "with QwT"
  const char* colour;
  Marker marker;
};
ModelStyle StyleOf(const std::string& model);

// Status, key figures and what they say in words.
std::string RunSummary(const RunResult& result);
// All sections under it. config_yaml: the run's config as written; "" to leave it out.
std::string RunSections(const RunResult& result, const std::string& config_yaml);

// Parts of these, in run_diagnosis.cc: blocks' gains, error by depth, noise by site, values on the grid.
std::string BlockFigures(const RunResult& result);
std::string NoiseFigures(const Diagnosis& diagnosis);

// One bar: its seconds by stage, in the colours of StageLegend.
BarRow StageBar(const std::string& name, const RunResult& result);
std::vector<LegendEntry> StageLegend(const std::vector<const RunResult*>& results);

}  // namespace qwt
