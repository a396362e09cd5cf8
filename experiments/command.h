// Runs another program, as a shell does, and takes what it prints.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace qwt {

struct CommandOutput {
  int exit_code = -1;  // -1: ended by a signal
  std::string out, err;
};

// Runs arguments[0] of PATH to its end; it hears nothing of a terminal's Ctrl-C. Variables of this process whose names
// begin with one of `hidden` are not passed on. NotFound: there is no such program; DeadlineExceeded: it took longer
// than `seconds` and was killed.
absl::StatusOr<CommandOutput> RunToEnd(const std::vector<std::string>& arguments, int seconds,
                                       const std::vector<std::string>& hidden = {});

}  // namespace qwt
