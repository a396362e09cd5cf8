// Paths as the user means them.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace qwt {

// The path, absolute and without "." and "..": relative ones start where the user stands ($BUILD_WORKING_DIRECTORY,
// which `bazel run` sets, else the working directory), "~" and "~/" at $HOME. "" stays "".
std::string AbsolutePath(absl::string_view path);

}  // namespace qwt
