// Runs of a sweep as processes of this machine that do what //pipelines:run does.
//
// LibTorch takes a quarter of a second to start, longer than a run whose values are mostly in the store. So a process
// is forked off with all libraries loaded, before there is a thread or a GPU's context, which a fork would not have;
// each run is a fork of that one, and by then a child of the sweep's own process.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// The variable that tells a program that it is a run of a sweep, or a rank of one.
inline constexpr char kMarkOfSweep[] = "QWT_RUN_OF_SWEEP";
// Whether this process was started as such: main() then is RunCommand.
bool IsRunOfSweep();

// What a run does with its arguments; returns the exit code.
using RunMain = int (*)(int argc, char** argv);
// Forks off the process that StartRun() has fork runs. Called once, early in main(): runs have the environment and the
// signal handlers that there are now.
absl::Status PrepareRuns(RunMain run);

// Starts a run with //pipelines:run's arguments and these variables beside the environment; stdout and stderr are
// appended to `log`. It ends with this process, however that ends, hears nothing of a terminal's Ctrl-C, and is
// "sweep-run" to ps -e.
absl::StatusOr<pid_t> StartRun(const std::vector<std::string>& arguments,
                               const std::map<std::string, std::string>& variables, const std::string& log);

struct Exit {
  pid_t pid = 0;
  int code = -1;   // -1: ended by a signal
  int signal = 0;  // 0: by itself
};
// A child that has ended, if any. Where none has, a sleep after it ends when one does.
std::optional<Exit> PollExit();

}  // namespace qwt
