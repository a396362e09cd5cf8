// Where the project's own files (configs, the embedded example) are.
#pragma once

#include <string>

namespace qwt {

inline constexpr char kHomeVariable[] = "QWT_HOME";  // also ${QWT_HOME} in configs

// $QWT_HOME, or what SetHome found.
std::string HomeFolder();
// Sets QWT_HOME, unless it is set: the source tree under `bazel run`, else the program's runfiles, else the working
// folder. Call once at program start.
void SetHome(const char* program);

}  // namespace qwt
