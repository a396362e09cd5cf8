#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/config/scalar.h"
#include "core/config/schema.h"

namespace qwt {
namespace {

int64_t AsInt(const std::string& text) {
  int64_t value = 0;
  QWT_CHECK(ReadInt(text, &value));
  return value;
}

double AsDouble(const std::string& text) {
  double value = 0;
  QWT_CHECK(ReadDouble(text, &value));
  return value;
}

template <typename T>
std::vector<T> Each(const std::vector<std::string>& scalars, T (*convert)(const std::string&)) {
  std::vector<T> values;
  for (const std::string& scalar : scalars) values.push_back(convert(scalar));
  return values;
}

bool IsList(OptionType type) {
  return type == OptionType::kInts || type == OptionType::kDoubles || type == OptionType::kStrings ||
         type == OptionType::kPaths || type == OptionType::kMaps;
}

bool IsText(OptionType type) {
  return type == OptionType::kString || type == OptionType::kPath || type == OptionType::kStrings ||
         type == OptionType::kPaths;
}

}  // namespace

std::string Options::YamlText(const Value& value) {
  std::vector<std::string> elements;
  for (const std::string& scalar : value.scalars) {
    elements.push_back(IsText(value.type) ? YamlString(scalar) : scalar);
  }
  for (const Options& map : value.maps) {
    std::vector<std::string> fields;
    for (const auto& [name, field] : map.values_) {
      if (IsGiven(field)) fields.push_back(absl::StrCat(name, ": ", YamlText(field)));
    }
    elements.push_back(absl::StrCat("{", absl::StrJoin(fields, ", "), "}"));
  }
  const bool in_brackets = IsList(value.type) && !(value.type == OptionType::kPaths && elements.size() == 1);
  const std::string text = absl::StrJoin(elements, ", ");
  return in_brackets ? absl::StrCat("[", text, "]") : text;
}

bool Options::IsGiven(const Value& value) { return IsList(value.type) || !value.scalars.empty(); }

const Options::Value& Options::At(const std::string& name) const {
  for (const auto& [known, value] : values_) {
    if (known == name) return value;
  }
  CheckFailed(absl::StrCat("the schema has no option '", name, "'").c_str(), __FILE__, __LINE__);
}

const Options::Value& Options::At(const std::string& name, OptionType type) const {
  const Value& value = At(name);
  const bool path_as_string = value.type == OptionType::kPath && type == OptionType::kString;
  if (value.type != type && !path_as_string) {
    CheckFailed(absl::StrCat("option '", name, "' is read with a type that its schema does not give it").c_str(),
                __FILE__, __LINE__);
  }
  if (!IsList(type) && value.scalars.size() != 1) {
    CheckFailed(absl::StrCat("option '", name, "' is read though its check failed or it was left out").c_str(),
                __FILE__, __LINE__);
  }
  return value;
}

bool Options::Has(const std::string& name) const { return IsGiven(At(name)); }

bool Options::Bool(const std::string& name) const { return At(name, OptionType::kBool).scalars[0] == "true"; }

int64_t Options::Int(const std::string& name) const { return AsInt(At(name, OptionType::kInt).scalars[0]); }

double Options::Double(const std::string& name) const { return AsDouble(At(name, OptionType::kDouble).scalars[0]); }

const std::string& Options::String(const std::string& name) const { return At(name, OptionType::kString).scalars[0]; }

std::vector<int64_t> Options::Ints(const std::string& name) const {
  return Each(At(name, OptionType::kInts).scalars, AsInt);
}

std::vector<double> Options::Doubles(const std::string& name) const {
  return Each(At(name, OptionType::kDoubles).scalars, AsDouble);
}

std::vector<std::string> Options::Strings(const std::string& name) const {
  return At(name, OptionType::kStrings).scalars;
}

std::vector<std::string> Options::Paths(const std::string& name) const { return At(name, OptionType::kPaths).scalars; }

const std::vector<Options>& Options::Maps(const std::string& name) const { return At(name, OptionType::kMaps).maps; }

std::string Options::Where(const std::string& name) const { return At(name).where; }

std::string Options::ResultText() const {
  std::string text;
  for (const auto& [name, value] : values_) {
    if (value.affects_result && IsGiven(value)) absl::StrAppend(&text, name, ": ", YamlText(value), "\n");
  }
  return text;
}

std::string Options::ToYaml(int indent) const {
  std::string text;
  for (const auto& [name, value] : values_) {
    if (IsGiven(value)) absl::StrAppend(&text, std::string(indent, ' '), name, ": ", YamlText(value), "\n");
  }
  return text;
}

}  // namespace qwt
