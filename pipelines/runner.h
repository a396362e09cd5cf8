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

// How many ranks this machine is to run as the config says: runtime.ranks, where all is one for each GPU. 1 where the
// config is wrong: Run says how. Touches no GPU.
int RanksToStart(const RunArguments& arguments);

// Prints to stdout what was done and to stderr what went wrong. Joins the ranks that the environment describes.
int Run(const RunArguments& arguments);

}  // namespace qwt
