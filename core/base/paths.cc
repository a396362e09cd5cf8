#include "core/base/paths.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"

namespace qwt {
namespace {

std::filesystem::path WhereTheUserStands() {
  const char* bazel = std::getenv("BUILD_WORKING_DIRECTORY");
  if (bazel != nullptr && *bazel != '\0') return bazel;
  std::error_code error;
  std::filesystem::path current = std::filesystem::current_path(error);
  return error ? std::filesystem::path("/") : current;  // a working directory that was deleted
}

}  // namespace

std::string AbsolutePath(absl::string_view path) {
  if (path.empty()) return "";
  std::filesystem::path expanded{std::string(path)};
  const char* home = std::getenv("HOME");
  if (home != nullptr && (path == "~" || absl::StartsWith(path, "~/"))) {
    expanded = std::string(home) + std::string(path.substr(1));
  }
  std::string absolute = (WhereTheUserStands() / expanded).lexically_normal().string();
  if (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  return absolute;
}

}  // namespace qwt
