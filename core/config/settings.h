// Configs that are made from one by changing some of its values, each given somewhere in another file: a manifest of
// many runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/config/node.h"

namespace qwt {

// One value of a config: merged over what stands there, as an override is. Problems with it name its own location.
struct Setting {
  std::string key;  // "quantize.weight_bits"; not base
  ConfigNode value;
};

// A YAML file that is no config itself: located and expanded as LoadConfig does it, but `base:` is a key like any
// other. Errors as there.
absl::StatusOr<ConfigNode> ReadYaml(const std::string& path, const std::map<std::string, std::string>& variables,
                                    Problems* problems);

// LoadConfig with settings over the file, in order, and the overrides over these.
absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<Setting>& settings,
                                      const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables, Problems* problems);

}  // namespace qwt
