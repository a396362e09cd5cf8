#include "pipelines/home.h"

#include <cstdlib>
#include <filesystem>

namespace qwt {

std::string HomeFolder() {
  const char* home = std::getenv(kHomeVariable);
  return home == nullptr ? "." : home;
}

void SetHome(const char* program) {
  if (std::getenv(kHomeVariable) != nullptr) return;
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(program, error);
  path += ".runfiles/qwt";
  if (!std::filesystem::is_directory(path, error)) path = std::filesystem::current_path(error);
  // A path into the source tree outlives the build, so the config.yaml of a run goes on working.
  if (const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY")) path = workspace;
  setenv(kHomeVariable, path.c_str(), 0);
}

}  // namespace qwt
