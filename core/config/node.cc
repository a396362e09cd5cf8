#include "core/config/node.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/config/scalar.h"

namespace qwt {
namespace {

std::string ScalarText(const ConfigNode& node) {
  if (node.kind() == ConfigNode::Kind::kNull) return "null";
  int64_t integer;
  double number;
  bool truth;
  const std::string& text = node.scalar();
  // What was typed by YAML's rules stays so; all else is a string.
  if (!node.quoted() && (ReadInt(text, &integer) || ReadDouble(text, &number) || ReadBool(text, &truth))) return text;
  return YamlString(text);
}

bool FitsOnALine(const ConfigNode& node) {
  if (node.kind() == ConfigNode::Kind::kMap) return node.map().empty();
  return std::all_of(node.list().begin(), node.list().end(), [](const ConfigNode& element) {
    return element.kind() != ConfigNode::Kind::kMap && FitsOnALine(element);
  });
}

std::string InlineText(const ConfigNode& node) {
  switch (node.kind()) {
    case ConfigNode::Kind::kMap:
      return "{}";
    case ConfigNode::Kind::kList:
      return absl::StrCat(
          "[",
          absl::StrJoin(node.list(), ", ",
                        [](std::string* out, const ConfigNode& element) { *out += InlineText(element); }),
          "]");
    default:
      return ScalarText(node);
  }
}

void AppendBlock(const ConfigNode& node, const std::string& indent, std::string* yaml) {
  for (const auto& [key, value] : node.map()) {
    absl::StrAppend(yaml, indent, QuotedIfNeeded(key), ":");
    if (FitsOnALine(value)) {
      absl::StrAppend(yaml, " ", InlineText(value), "\n");
    } else {
      *yaml += "\n";
      AppendBlock(value, indent + "  ", yaml);
    }
  }
  for (const ConfigNode& element : node.list()) {
    if (FitsOnALine(element)) {
      absl::StrAppend(yaml, indent, "- ", InlineText(element), "\n");
    } else {
      absl::StrAppend(yaml, indent, "-\n");
      AppendBlock(element, indent + "  ", yaml);
    }
  }
}

}  // namespace

void Problems::Add(std::string where, std::string what) {
  lines_.push_back(where.empty() ? std::move(what) : absl::StrCat(where, ": ", what));
}

absl::Status Problems::ToStatus() const {
  return empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
}

ConfigNode ConfigNode::EmptyMap(std::string path, std::string location) {
  ConfigNode node;
  node.kind_ = Kind::kMap;
  node.path_ = std::move(path);
  node.location_ = std::move(location);
  return node;
}

const ConfigNode* ConfigNode::Find(const std::string& key) const {
  for (const auto& [name, value] : map_) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string ConfigNode::Where() const {
  if (location_.empty() || path_.empty()) return location_ + path_;
  return absl::StrCat(location_, ": ", path_);
}

std::string ConfigNode::ToYaml() const {
  if (FitsOnALine(*this)) return InlineText(*this) + "\n";
  std::string yaml;
  AppendBlock(*this, "", &yaml);
  return yaml;
}

}  // namespace qwt
