// Runs what reads hostile input where it can do no harm.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace qwt {

struct ContainedResult {
  std::string said;   // what the function returned; where it threw, "exception: " and what
  std::string ended;  // "" where the function returned or threw, else "signal 9", "exit code 1"
};

// Calls `function` in a forked child that may take `bytes` of memory beyond what this process has and `seconds` of
// processor time; more ends in std::bad_alloc and in signal 9. Bounds on a runaway, no measurements.
ContainedResult RunContained(const std::function<std::string()>& function, uint64_t bytes, uint64_t seconds);

}  // namespace qwt
