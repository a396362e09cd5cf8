// Where the project's own files (configs, the embedded example) are: the runfiles of the program, or the folder it was unpacked to.
#pragma once

#include <string>

namespace qwt {

inline constexpr char kHomeVariable[] = "QWT_HOME";  // also ${QWT_HOME} in configs

// $QWT_HOME, or what SetHome found.
std::string HomeFolder();
// Sets QWT_HOME, unless it is set, from the program's runfiles. Call once at program start.
void SetHome(const char* program);

}  // namespace qwt
