#include "core/config/schema.h"

#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/config/scalar.h"

namespace qwt {
namespace {

Option Make(OptionType type, std::string name, std::string doc) {
  Option option;
  option.name = std::move(name);
  option.type = type;
  option.doc = std::move(doc);
  return option;
}

const char* Noun(OptionType type) {
  switch (type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInt:
      return "an integer";
    case OptionType::kDouble:
      return "a number";
    case OptionType::kString:
      return "a string";
    case OptionType::kPath:
      return "a path";
    case OptionType::kInts:
      return "a list of integers";
    case OptionType::kDoubles:
      return "a list of numbers";
    case OptionType::kStrings:
      return "a list of strings";
    case OptionType::kPaths:
      return "a path or a list of paths";
    case OptionType::kMaps:
      return "a list of maps";
  }
  return "";
}

}  // namespace

Option Option::Bool(std::string name, std::string doc) {
  return Make(OptionType::kBool, std::move(name), std::move(doc));
}
Option Option::Int(std::string name, std::string doc) {
  return Make(OptionType::kInt, std::move(name), std::move(doc));
}
Option Option::Double(std::string name, std::string doc) {
  return Make(OptionType::kDouble, std::move(name), std::move(doc));
}
Option Option::String(std::string name, std::string doc) {
  return Make(OptionType::kString, std::move(name), std::move(doc));
}
Option Option::Path(std::string name, std::string doc) {
  return Make(OptionType::kPath, std::move(name), std::move(doc));
}
Option Option::Ints(std::string name, std::string doc) {
  return Make(OptionType::kInts, std::move(name), std::move(doc));
}
Option Option::Doubles(std::string name, std::string doc) {
  return Make(OptionType::kDoubles, std::move(name), std::move(doc));
}
Option Option::Strings(std::string name, std::string doc) {
  return Make(OptionType::kStrings, std::move(name), std::move(doc));
}
Option Option::Paths(std::string name, std::string doc) {
  return Make(OptionType::kPaths, std::move(name), std::move(doc));
}

Option Option::Maps(std::string name, std::string doc, std::vector<Option> fields) {
  Option option = Make(OptionType::kMaps, std::move(name), std::move(doc));
  option.fields = std::move(fields);
  return option.Default("[]");
}

Option Option::Range(double smallest, double largest) const {
  Option option = *this;
  option.smallest = smallest;
  option.largest = largest;
  return option;
}

Option Option::OneOf(std::vector<std::string> values) const {
  Option option = *this;
  option.allowed = std::move(values);
  return option;
}

Option Option::Default(std::string yaml) const {
  Option option = *this;
  option.default_yaml = std::move(yaml);
  return option;
}

Option Option::Optional() const {
  Option option = *this;
  option.optional = true;
  return option;
}

Option Option::NoEffectOnResult() const {
  Option option = *this;
  option.affects_result = false;
  return option;
}

std::string AllowedValues(const Option& option) {
  const std::string noun = Noun(option.type);
  if (option.type == OptionType::kMaps) {
    const auto name = [](std::string* out, const Option& field) { *out += field.name; };
    return absl::StrCat(noun, " of ", absl::StrJoin(option.fields, ", ", name));
  }
  if (!option.allowed.empty()) {
    const char* prefix = absl::StartsWith(noun, "a list of") ? "a list of any of " : "one of ";
    return absl::StrCat(prefix, absl::StrJoin(option.allowed, ", "));
  }
  const bool from = !std::isinf(option.smallest), to = !std::isinf(option.largest);
  if (from && to) {
    return absl::StrCat(noun, " from ", DoubleText(option.smallest), " to ", DoubleText(option.largest));
  }
  if (from) return absl::StrCat(noun, " of at least ", DoubleText(option.smallest));
  if (to) return absl::StrCat(noun, " of at most ", DoubleText(option.largest));
  return noun;
}

Schema Merge(const Schema& first, const Schema& second) {
  Schema merged = first;
  for (const Option& option : second.options) {
    for (const Option& known : first.options) {
      if (known.name != option.name) continue;
      const std::string clash = absl::StrCat("option '", option.name, "' is in both schemas");
      CheckFailed(clash.c_str(), __FILE__, __LINE__);
    }
    merged.options.push_back(option);
  }
  merged.sections.insert(merged.sections.end(), second.sections.begin(), second.sections.end());
  return merged;
}

}  // namespace qwt
