#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/base/paths.h"
#include "core/base/strings.h"
#include "core/config/loader.h"
#include "core/config/scalar.h"
#include "core/config/schema.h"

namespace qwt {
namespace {

OptionType ElementType(OptionType type) {
  switch (type) {
    case OptionType::kInts:
      return OptionType::kInt;
    case OptionType::kDoubles:
      return OptionType::kDouble;
    case OptionType::kStrings:
      return OptionType::kString;
    case OptionType::kPaths:
      return OptionType::kPath;
    default:
      return type;
  }
}

bool IsText(OptionType type) { return type == OptionType::kString || type == OptionType::kPath; }

std::string Found(const ConfigNode& node) {
  switch (node.kind()) {
    case ConfigNode::Kind::kNull:
      return "null";
    case ConfigNode::Kind::kList:
      return node.list().empty() ? "an empty list" : "a list";
    case ConfigNode::Kind::kMap:
      return "a map";
    case ConfigNode::Kind::kScalar:
      break;
  }
  double number;
  bool truth;
  const std::string& text = node.scalar();
  if (!ReadDouble(text, &number) && !ReadBool(text, &truth)) return absl::StrCat("'", text, "'");
  return node.quoted() ? absl::StrCat("the string '", text, "'") : text;
}

// The value in the one way it is written; false where it is not of the type or out of range.
bool Canonical(const Option& option, const ConfigNode& node, std::string* text) {
  if (node.kind() != ConfigNode::Kind::kScalar) return false;
  const std::string& scalar = node.scalar();
  if (IsText(option.type)) {
    *text = option.type == OptionType::kPath ? AbsolutePath(scalar) : scalar;
    return !text->empty();
  }
  if (node.quoted()) return false;
  if (option.type == OptionType::kBool) {
    bool truth;
    if (!ReadBool(scalar, &truth)) return false;
    *text = truth ? "true" : "false";
    return true;
  }
  double number;
  if (option.type == OptionType::kInt) {
    int64_t integer;
    if (!ReadInt(scalar, &integer)) return false;
    number = static_cast<double>(integer);
    *text = absl::StrCat(integer);
  } else {
    if (!ReadDouble(scalar, &number)) return false;
    *text = DoubleText(number);
  }
  return number >= option.smallest && number <= option.largest;
}

bool Contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

void AddMisfit(const Option& option, const ConfigNode& node, Problems* problems) {
  const bool is_scalar = node.kind() == ConfigNode::Kind::kScalar;
  problems->Add(node.Where(), absl::StrCat("must be ", AllowedValues(option), ", is ", Found(node),
                                           is_scalar ? DidYouMean(node.scalar(), option.allowed) : ""));
}

// The values of the option, one for scalars.
std::vector<std::string> CheckValue(const Option& option, const ConfigNode& node, Problems* problems) {
  std::vector<std::string> values;
  if (node.broken()) return values;
  Option element = option;
  element.type = ElementType(option.type);
  const bool is_list = node.kind() == ConfigNode::Kind::kList && element.type != option.type;
  const bool may_be_one = option.type == OptionType::kPaths;
  const bool may_be_none = !may_be_one || option.default_yaml == "[]";
  if (element.type != option.type && (is_list ? !may_be_none && node.list().empty() : !may_be_one)) {
    AddMisfit(option, node, problems);
    return values;
  }
  for (const ConfigNode& scalar : is_list ? node.list() : std::vector<ConfigNode>{node}) {
    std::string text;
    const bool left_empty = IsText(option.type) && option.default_yaml == "" &&
                            scalar.kind() == ConfigNode::Kind::kScalar && scalar.scalar().empty();
    const bool fits =
        left_empty || (Canonical(element, scalar, &text) && (option.allowed.empty() || Contains(option.allowed, text)));
    if (!fits && !scalar.broken()) AddMisfit(element, scalar, problems);
    values.push_back(std::move(text));
  }
  return values;
}

// One for each element; what is no list has none.
std::vector<Options> CheckMaps(const Option& option, const ConfigNode& node, Problems* problems) {
  std::vector<Options> maps;
  if (node.broken()) return maps;
  if (node.kind() != ConfigNode::Kind::kList) {
    AddMisfit(option, node, problems);
    return maps;
  }
  for (const ConfigNode& element : node.list()) maps.push_back(CheckOptions(element, {option.fields}, problems));
  return maps;
}

// A default that its own schema refuses is a bug of the component, whatever the user asked for.
std::vector<std::string> DefaultValue(const Option& option) {
  if (IsText(option.type) && option.default_yaml->empty()) return {""};
  const std::string location = absl::StrCat("default of ", option.name);
  Problems problems;
  ConfigNode node;
  std::vector<std::string> values;
  const std::map<std::string, std::string> no_variables;
  if (ConfigLoader(no_variables, &problems).ParseText(*option.default_yaml, location, false, "", &node)) {
    values = CheckValue(option, node, &problems);
  }
  if (!problems.empty()) CheckFailed(problems.lines()[0].c_str(), __FILE__, __LINE__);
  return values;
}

std::vector<std::string> Names(const Schema& schema) {
  std::vector<std::string> names;
  for (const Option& option : schema.options) {
    if (Contains(names, option.name)) {
      CheckFailed(absl::StrCat("option '", option.name, "' is twice in a schema").c_str(), __FILE__, __LINE__);
    }
    names.push_back(option.name);
  }
  return names;
}

void CheckKeys(const ConfigNode& node, const Schema& schema, Problems* problems) {
  std::vector<std::string> names = Names(schema);
  names.insert(names.end(), schema.sections.begin(), schema.sections.end());
  for (const auto& [key, value] : node.map()) {
    if (Contains(names, key)) continue;
    const std::string allowed = names.empty() ? "none" : absl::StrJoin(names, ", ");
    problems->Add(value.Where(), absl::StrCat("unknown key", DidYouMean(key, names), "; allowed: ", allowed));
  }
}

}  // namespace

Options CheckOptions(const ConfigNode& node, const Schema& schema, Problems* problems) {
  Options options;
  if (node.kind() != ConfigNode::Kind::kMap && node.kind() != ConfigNode::Kind::kNull && !node.broken()) {
    problems->Add(node.Where(), absl::StrCat("must be a map of options ('key: value' lines), is ", Found(node)));
  }
  CheckKeys(node, schema, problems);
  const std::string prefix = node.Where() + (node.path().empty() ? (node.location().empty() ? "" : ": ") : ".");
  for (const Option& option : schema.options) {
    Options::Value value{option.type, option.affects_result, prefix + option.name, {}, {}};
    const ConfigNode* given = node.Find(option.name);
    if (given != nullptr) value.where = given->Where();
    const bool is_given = given != nullptr && (given->kind() != ConfigNode::Kind::kNull || given->broken());
    if (option.type == OptionType::kMaps) {
      if (is_given) value.maps = CheckMaps(option, *given, problems);
    } else if (is_given) {
      value.scalars = CheckValue(option, *given, problems);
    } else if (option.default_yaml.has_value()) {
      value.scalars = DefaultValue(option);
    } else if (!option.optional) {
      problems->Add(value.where, absl::StrCat("is missing, must be ", AllowedValues(option)));
    }
    options.values_.emplace_back(option.name, std::move(value));
  }
  return options;
}

}  // namespace qwt
