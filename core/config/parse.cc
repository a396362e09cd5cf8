#include <set>

#include "absl/strings/str_cat.h"
#include "core/config/loader.h"
#include "yaml-cpp/yaml.h"

namespace qwt {
namespace {

// Aliases can make a small text stand for an endless tree.
constexpr int kDeepest = 32;
constexpr int kMostValues = 100000;

std::string LocationOf(const YAML::Node& yaml, const std::string& parent, const std::string& source, bool has_lines) {
  if (!has_lines) return source;
  const YAML::Mark mark = yaml.Mark();
  return mark.is_null() ? parent : absl::StrCat(source, ":", mark.line + 1);
}

}  // namespace

bool ConfigLoader::ParseText(const std::string& text, const std::string& location, bool has_lines,
                             const std::string& path, ConfigNode* node) {
  const std::string top = has_lines ? location + ":1" : location;
  const std::string separator = path.empty() ? "" : ": ";
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      problems_->Add(absl::StrCat(top, separator, path), "holds several YAML documents ('---'), must be one");
      return false;
    }
    Source source{location, has_lines};
    *node = Convert(documents.empty() ? YAML::Node() : documents[0], path, top, 0, &source);
    return true;
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 0 : error.mark.line;
    problems_->Add(absl::StrCat(has_lines ? absl::StrCat(location, ":", line + 1) : location, separator, path),
                   absl::StrCat("not valid YAML: ", error.msg));
    return false;
  }
}

void ConfigLoader::Report(ConfigNode* node, const std::string& what) {
  problems_->Add(node->Where(), what);
  node->broken_ = true;
}

ConfigNode ConfigLoader::Convert(const YAML::Node& yaml, const std::string& path, const std::string& location,
                                 int depth, Source* source) {
  ConfigNode node;
  node.path_ = path;
  node.location_ = location;
  if (depth > kDeepest || ++source->values > kMostValues) {
    if (source->values <= kMostValues + 1) {
      Report(&node, absl::StrCat("nested deeper than ", kDeepest, " levels or more than ", kMostValues, " values"));
    }
    source->values = kMostValues + 1;  // once said, nothing more of this text is read
    return node;
  }
  static const std::set<std::string> kPlainTags = {"", "?", "!", "tag:yaml.org,2002:str"};
  const std::string tag = yaml.IsDefined() ? yaml.Tag() : "";
  if (!kPlainTags.count(tag)) Report(&node, absl::StrCat("has the YAML tag '", tag, "'; tags are not supported"));
  if (yaml.IsScalar()) {
    node.kind_ = ConfigNode::Kind::kScalar;
    node.scalar_ = yaml.Scalar();
    node.quoted_ = tag == "!" || tag == "tag:yaml.org,2002:str";
  } else if (yaml.IsSequence()) {
    node.kind_ = ConfigNode::Kind::kList;
    for (const YAML::Node& element : yaml) {
      const std::string where = LocationOf(element, location, source->location, source->has_lines);
      node.list_.push_back(Convert(element, absl::StrCat(path, "[", node.list_.size(), "]"), where, depth + 1, source));
    }
  } else if (yaml.IsMap()) {
    ConvertMap(yaml, depth, source, &node);
  }
  return node;
}

void ConfigLoader::ConvertMap(const YAML::Node& yaml, int depth, Source* source, ConfigNode* node) {
  node->kind_ = ConfigNode::Kind::kMap;
  const std::string prefix = node->path_.empty() ? "" : node->path_ + ".";
  for (const auto& entry : yaml) {
    const std::string where = LocationOf(entry.first, node->location_, source->location, source->has_lines);
    if (!entry.first.IsScalar() || entry.first.Scalar().empty()) {
      problems_->Add(absl::StrCat(where, node->path_.empty() ? "" : ": ", node->path_), "has a key that is not a name");
      continue;
    }
    const std::string& key = entry.first.Scalar();
    ConfigNode value = Convert(entry.second, prefix + key, where, depth + 1, source);
    if (key == "<<") {
      problems_->Add(value.Where(), "YAML merge keys are not supported; share options with 'base:'");
    } else if (const ConfigNode* first = node->Find(key)) {
      problems_->Add(value.Where(), absl::StrCat("given twice, first at ", first->location()));
    } else {
      node->map_.emplace_back(key, std::move(value));
    }
  }
}

}  // namespace qwt
