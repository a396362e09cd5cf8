#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/config/loader.h"
#include "core/config/scalar.h"

namespace qwt {
namespace {

constexpr char kCommandLine[] = "command line";

bool IsVariableName(absl::string_view name) {
  if (name.empty() || absl::ascii_isdigit(name[0])) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_') return false;
  }
  return true;
}

}  // namespace

void ConfigLoader::MergeOver(ConfigNode over, ConfigNode* under) {
  if (over.kind_ != ConfigNode::Kind::kMap || under->kind_ != ConfigNode::Kind::kMap) {
    *under = std::move(over);
    return;
  }
  under->location_ = over.location_;
  for (auto& [key, value] : over.map_) {
    if (const ConfigNode* known = under->Find(key)) {
      MergeOver(std::move(value), const_cast<ConfigNode*>(known));
    } else {
      under->map_.emplace_back(key, std::move(value));
    }
  }
}

void ConfigLoader::ApplyOverride(const std::string& assignment, ConfigNode* root) {
  const size_t equals = assignment.find('=');
  const std::string path = assignment.substr(0, equals);
  const std::vector<std::string> keys = absl::StrSplit(path, '.');
  bool well_formed = equals != std::string::npos;
  for (const std::string& key : keys) well_formed &= !key.empty();
  if (!well_formed) {
    problems_->Add(kCommandLine,
                   absl::StrCat("'", assignment, "' must be of the form key.path=value, as in quantize.weight_bits=4"));
    return;
  }
  const std::string where = absl::StrCat(kCommandLine, ": ", path);
  if (keys[0] == "base") {
    problems_->Add(where, "can only stand in a file");
    return;
  }
  ConfigNode value;
  if (!ParseText(assignment.substr(equals + 1), kCommandLine, false, path, &value)) return;
  Replace(path, std::move(value), where, root);
}

void ConfigLoader::ApplySetting(const Setting& setting, ConfigNode* root) {
  ConfigNode value = setting.value;
  MovePath(setting.value.path_, setting.key, &value);
  Replace(setting.key, std::move(value), absl::StrCat(setting.value.location_, ": ", setting.key), root);
}

void ConfigLoader::MovePath(const std::string& from, const std::string& to, ConfigNode* node) {
  node->path_ = absl::StrCat(to, node->path_.substr(from.size()));
  for (auto& [key, value] : node->map_) MovePath(from, to, &value);
  for (ConfigNode& element : node->list_) MovePath(from, to, &element);
}

void ConfigLoader::Replace(const std::string& path, ConfigNode value, const std::string& where, ConfigNode* root) {
  ConfigNode* target = root;
  std::string reached;
  for (const std::string& key : std::vector<std::string>(absl::StrSplit(path, '.'))) {
    if (target->kind_ == ConfigNode::Kind::kNull) target->kind_ = ConfigNode::Kind::kMap;
    if (target->kind_ != ConfigNode::Kind::kMap) {
      problems_->Add(where, absl::StrCat("'", reached, "' (", target->location_, ") is a ",
                                         target->kind_ == ConfigNode::Kind::kList ? "list" : "single value",
                                         ", give it whole: ", reached, "=..."));
      return;
    }
    absl::StrAppend(&reached, reached.empty() ? "" : ".", key);
    if (target->Find(key) == nullptr) {
      ConfigNode created;
      created.path_ = reached;
      created.location_ = value.location_;
      target->map_.emplace_back(key, std::move(created));
    }
    target = const_cast<ConfigNode*>(target->Find(key));
  }
  MergeOver(std::move(value), target);
}

bool ConfigLoader::ExpandText(std::string* text, std::string* error) const {
  std::string expanded;
  std::vector<std::string> unset;
  size_t position = 0;
  while (position < text->size()) {
    if (text->compare(position, 3, "$${") == 0) {
      expanded += "${";
      position += 3;
      continue;
    }
    if (text->compare(position, 2, "${") != 0) {
      expanded += (*text)[position++];
      continue;
    }
    const size_t end = text->find('}', position);
    const std::string name = end == std::string::npos ? "" : text->substr(position + 2, end - position - 2);
    if (!IsVariableName(name)) {
      *error = absl::StrCat("'", text->substr(position),
                            "' must begin with a variable's name in braces, as in ${IMAGENET}; ",
                            "'${' itself is written '$${'");
      return false;
    }
    position = end + 1;
    if (auto given = variables_.find(name); given != variables_.end()) {
      expanded += given->second;
    } else if (const char* value = std::getenv(name.c_str())) {
      expanded += value;
    } else {
      unset.push_back(name);
    }
  }
  if (!unset.empty()) {
    *error =
        absl::StrCat(unset.size() == 1 ? "variable " : "variables ", absl::StrJoin(unset, ", "),
                     unset.size() == 1 ? " is" : " are", " not set in the environment (export ", unset[0], "=...)");
    return false;
  }
  *text = std::move(expanded);
  return true;
}

void ConfigLoader::Expand(ConfigNode* node) {
  for (auto& [key, value] : node->map_) Expand(&value);
  for (ConfigNode& element : node->list_) Expand(&element);
  if (node->kind_ != ConfigNode::Kind::kScalar || node->scalar_.find("${") == std::string::npos) return;
  std::string error;
  if (!ExpandText(&node->scalar_, &error)) {
    Report(node, error);
  } else if (!node->quoted_ && IsNull(node->scalar_)) {
    node->kind_ = ConfigNode::Kind::kNull;
    node->scalar_.clear();
  }
}

}  // namespace qwt
