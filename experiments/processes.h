// Runs of a sweep as child processes: copies of the running program that do what //pipelines:run does.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// The variable that makes a process such a copy.
inline constexpr char kMarkOfSweep[] = "QWT_RUN_OF_SWEEP";
// Whether this process is such a copy: main() then is RunCommand.
bool IsRunOfSweep();

// Starts one with //pipelines:run's arguments and these variables beside its own environment; stdout and stderr are
// appended to `log`. It ends with this process, however that ends, and hears nothing of a terminal's Ctrl-C.
absl::StatusOr<pid_t> StartRun(const std::vector<std::string>& arguments,
                               const std::map<std::string, std::string>& variables, const std::string& log);

struct Exit {
  pid_t pid = 0;
  int code = -1;   // -1: ended by a signal
  int signal = 0;  // 0: by itself
};
// A child that has ended, if any.
std::optional<Exit> PollExit();

}  // namespace qwt
