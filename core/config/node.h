// A config as a tree of located values: YAML, with `base:` merged, ${VAR} expanded and key.path=value applied.
// This package is the only user of yaml-cpp.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// Everything that is wrong with a request, collected so that the user hears all of it at once.
class Problems {
 public:
  void Add(std::string where,
           std::string what);  // "configs/a.yaml:7: quantize.weight_bits", "must be an integer from 2 to 8, is 9"
  bool empty() const { return lines_.empty(); }
  const std::vector<std::string>& lines() const { return lines_; }
  // InvalidArgument with one line for each problem, in the order found; OK if there is none.
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> lines_;
};

class ConfigNode {
 public:
  enum class Kind { kNull, kScalar, kList, kMap };

  // A map without keys: the section that a config leaves out.
  static ConfigNode EmptyMap(std::string path = "", std::string location = "");

  Kind kind() const { return kind_; }
  const std::string& scalar() const { return scalar_; }
  bool quoted() const { return quoted_; }  // "4" in quotes is a string, not an integer
  const std::vector<ConfigNode>& list() const { return list_; }
  const std::vector<std::pair<std::string, ConfigNode>>& map() const { return map_; }  // in the file's order
  const ConfigNode* Find(const std::string& key) const;                                // null if there is none

  const std::string& path() const { return path_; }          // "quantize.weight_bits"; "" for the root
  const std::string& location() const { return location_; }  // "configs/a.yaml:7" or "command line"
  std::string Where() const;                                 // "configs/a.yaml:7: quantize.weight_bits"
  bool broken() const { return broken_; }                    // reported already; later checks pass over it

  std::string ToYaml() const;  // runs again as it is: resolved, without base and variables

 private:
  friend class ConfigLoader;
  Kind kind_ = Kind::kNull;
  bool quoted_ = false;
  bool broken_ = false;
  std::string scalar_, path_, location_;
  std::vector<ConfigNode> list_;
  std::vector<std::pair<std::string, ConfigNode>> map_;
};

// Reads a config file. `base:` (a path or a list of paths, relative to the file that names it) is read first and merged
// under it: maps merge key by key, everything else is replaced; a cycle is an error. Overrides are "key.path=value"
// with a YAML value, merged over the file in the same way. ${VAR} in a value is taken from `variables`, then the
// environment; an unset one is an error that names it; "$${" stands for "${". What a variable holds is read as a plain
// value: `images: ${N}` can be an integer. Duplicate keys and unreadable files are errors. All problems are reported
// together as InvalidArgument (NotFound if the file itself is missing).
absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables = {});
// The same, adding what is wrong with single values to *problems, so that a schema's findings can be reported with
// them; the status is an error only where there is nothing to go on with.
absl::StatusOr<ConfigNode> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                      const std::map<std::string, std::string>& variables, Problems* problems);
// The same from text; `name` stands for the file in locations.
absl::StatusOr<ConfigNode> ParseConfig(const std::string& text, const std::string& name,
                                       const std::vector<std::string>& overrides = {},
                                       const std::map<std::string, std::string>& variables = {});

}  // namespace qwt
