// How a config becomes nodes: text (parse.cc), overrides and variables (merge.cc), files and their bases (loader.cc).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/config/settings.h"

namespace YAML {
class Node;
}

namespace qwt {

class ConfigLoader {
 public:
  ConfigLoader(const std::map<std::string, std::string>& variables, Problems* problems)
      : variables_(variables), problems_(problems) {}

  // One YAML value. False, with a problem added, where the text is no YAML. `location` is the file's name where
  // `has_lines`, else all there is to say of where the value stands; `path` is the value's key path.
  bool ParseText(const std::string& text, const std::string& location, bool has_lines, const std::string& path,
                 ConfigNode* node);
  // A config's text with its bases merged under it. False where there is nothing to go on with.
  bool LoadText(const std::string& text, const std::string& name, ConfigNode* root);
  void ApplyOverride(const std::string& assignment, ConfigNode* root);
  void ApplySetting(const Setting& setting, ConfigNode* root);
  // Puts values in place of variables in the node and all below.
  void Expand(ConfigNode* node);

 private:
  struct Source {
    std::string location;
    bool has_lines;
    int values = 0;  // so far
  };
  ConfigNode Convert(const YAML::Node& yaml, const std::string& path, const std::string& location, int depth,
                     Source* source);
  void ConvertMap(const YAML::Node& yaml, int depth, Source* source, ConfigNode* node);
  void Report(ConfigNode* node, const std::string& what);

  // Merges the value over what stands at a key path; `where` is what a problem with that path is reported at.
  void Replace(const std::string& path, ConfigNode value, const std::string& where, ConfigNode* root);
  // Key paths of the node and all below begin with `to` in place of `from`.
  static void MovePath(const std::string& from, const std::string& to, ConfigNode* node);
  static void MergeOver(ConfigNode over, ConfigNode* under);
  bool LoadBase(const std::string& path, const ConfigNode& asked_by, ConfigNode* merged);
  std::vector<std::pair<std::string, ConfigNode>> TakeBases(const std::string& name, ConfigNode* root);
  // True if the text has a variable's value wherever it named one; otherwise *text is unchanged and *error says why.
  bool ExpandText(std::string* text, std::string* error) const;

  const std::map<std::string, std::string>& variables_;
  Problems* problems_;
  std::vector<std::string> open_files_;  // as the user spells them; the last is the one being read
};

}  // namespace qwt
