// A run's outcome as one self-contained HTML page.
#pragma once

#include <string>

#include "pipelines/result.h"

namespace qwt {

// config_yaml: the run's config as it was written; "" to leave it out.
std::string ResultToHtml(const RunResult& result, const std::string& config_yaml = "");

}  // namespace qwt
