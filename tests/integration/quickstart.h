// The quickstart's config, shortened by overrides: what most integration tests run.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/helpers/program.h"

namespace qwt {

// The quickstart on few images with its store and output in `folder`.
inline std::vector<std::string> ShortQuickstart(const std::string& folder, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"pipelines/run",
                                        "configs/quickstart.yaml",
                                        "fit.images=64",
                                        "calibrate.images=32",
                                        "evaluate.images=100",
                                        "runtime.threads=1",
                                        "--out=" + folder + "/out",
                                        "runtime.store=" + folder + "/store"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

inline nlohmann::json ResultIn(const std::string& folder) {
  return nlohmann::json::parse(Contents(folder + "/result.json"), nullptr, false);
}

}  // namespace qwt
