// Runs a manifest: every run a process of its own, here or on a cluster, over one store, so that what runs share is
// computed once and nothing that is finished is done again.
#pragma once

#include <string>
#include <vector>

namespace qwt {

enum class Launcher { kLocal, kSlurm };

struct SweepArguments {
  std::string manifest;
  std::vector<std::string> overrides;  // of every run's config
  std::string out;                     // "": runs/NAME where the user stands
  Launcher launcher = Launcher::kLocal;
  int jobs = 0;   // runs at a time; 0: one on this machine, as many as it starts on a cluster
  int ranks = 0;  // of each run; 0: as its config says
  bool dry_run = false;
};

// Prints what was done and, to stderr, what went wrong -> the exit code: 0 every run is done, 1 some failed, 2 the
// manifest or a run's config is wrong (nothing was started), 130 interrupted.
int RunSweep(const SweepArguments& arguments);

}  // namespace qwt
