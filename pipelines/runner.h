// Runs a plan: every stage in order, from the store where it can, and writes the run's folder.
#pragma once

#include <string>
#include <vector>

#include "pipelines/exit_code.h"

namespace qwt {

struct RunArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string out;  // "": runs/NAME/TIME where the user stands
  bool dry_run = false;
};

// Prints to stdout what was done and to stderr what went wrong. Joins the ranks that the environment describes.
int Run(const RunArguments& arguments);

}  // namespace qwt
