// A run's outcome as one self-contained HTML page.
#pragma once

#include <string>

#include "pipelines/result.h"

namespace qwt {

std::string ResultToHtml(const RunResult& result);

}  // namespace qwt
