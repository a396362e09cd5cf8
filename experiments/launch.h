// What a sweep's runs are started with, whoever starts them: processes of this machine or a cluster's queue.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/schedule.h"
#include "experiments/sweep.h"
#include "experiments/sweep_folder.h"
#include "experiments/sweep_plan.h"

namespace qwt {

struct LaunchContext {
  const SweepArguments& arguments;
  const Sweep& sweep;
  const SweepFolder& folder;
  std::vector<const SweepRun*> runs;                  // the schedule's jobs, in order
  std::function<void(const SweepRun& run)> began;     // hears of each run as it begins
  std::function<void(const SweepRun& run)> waits;     // and as it goes back into a queue
  std::function<void(const std::string& line)> note;  // a line for the user
  std::function<void()> tick;                         // to be called some times a second
};

// The arguments of a run, which are //pipelines:run's. path: of its folder. threads: for runtime.threads where its
// config does not give them; 0: leave that to the run.
std::vector<std::string> ArgumentsOf(const SweepRun& run, const std::string& path, int threads, int ranks);

// What result.json says of a run that has ended; nothing where there is none of its plan.
std::optional<Ending> EndingOf(int job, const absl::StatusOr<RunOutcome>& outcome);

}  // namespace qwt
