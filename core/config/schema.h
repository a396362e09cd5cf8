// What options a component takes: a value that checks configs, fills defaults, and prints itself for docs and
// //pipelines:list.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config/node.h"

namespace qwt {

enum class OptionType { kBool, kInt, kDouble, kString, kPath, kInts, kDoubles, kStrings, kPaths, kMaps };

// One option. Chain the setters: Option::Int("weight_bits", "Bits of a weight.").Range(2, 8).Default("4").
// An option without a default is required unless Optional(); a default of "" for kString and kPath means "not given".
struct Option {
  static Option Bool(std::string name, std::string doc);
  static Option Int(std::string name, std::string doc);
  static Option Double(std::string name, std::string doc);
  static Option String(std::string name, std::string doc);
  static Option Path(std::string name, std::string doc);  // relative to where the user stands; "~/" is the home folder
  static Option Ints(std::string name, std::string doc);
  static Option Doubles(std::string name, std::string doc);
  static Option Strings(std::string name, std::string doc);
  static Option Paths(std::string name, std::string doc);  // one may stand without brackets; none only by default
  // A list of maps, each with these options: overrides: [{match: head, weight_bits: 8}]. None by default.
  static Option Maps(std::string name, std::string doc, std::vector<Option> fields);

  Option Range(double smallest, double largest) const;  // both allowed; for lists: of each element
  Option OneOf(std::vector<std::string> values) const;  // for lists: of each element
  Option Default(std::string yaml) const;               // as it would stand in a config: "4", "true", "[0.999, 0.9999]"
  Option Optional() const;                              // may be left out, without a default: see Options::Has
  Option NoEffectOnResult() const;                      // left out of Options::ResultText(), hence of store keys

  std::string name;
  OptionType type = OptionType::kString;
  std::string doc;
  std::optional<std::string> default_yaml;
  double smallest = -std::numeric_limits<double>::infinity();
  double largest = std::numeric_limits<double>::infinity();
  std::vector<std::string> allowed;
  std::vector<Option> fields;  // kMaps
  bool optional = false;
  bool affects_result = true;
};

// What a value of this option must be: "an integer from 2 to 8", "one of linear, affine", "a list of numbers from 0 to
// 1", "a list of maps of match, weight_bits".
std::string AllowedValues(const Option& option);

struct Schema {
  std::vector<Option> options;
  std::vector<std::string> sections = {};  // further keys that may stand here, each checked against a schema of its own
};

// Both: for a section whose own options (`name`, `images`) stand beside those of the component it names. A name in both
// is a broken invariant.
Schema Merge(const Schema& first, const Schema& second);

// The options of one component, checked: every option of the schema is there, with its type. Reading a name or type
// that the schema does not have is a broken invariant.
class Options {
 public:
  bool Has(const std::string& name) const;  // whether an Optional() one is given; the others always are
  bool Bool(const std::string& name) const;
  int64_t Int(const std::string& name) const;
  double Double(const std::string& name) const;
  const std::string& String(const std::string& name) const;  // also of kPath: absolute, or as given if empty
  std::vector<int64_t> Ints(const std::string& name) const;
  std::vector<double> Doubles(const std::string& name) const;
  std::vector<std::string> Strings(const std::string& name) const;
  std::vector<std::string> Paths(const std::string& name) const;  // absolute
  const std::vector<Options>& Maps(const std::string& name) const;

  // "configs/a.yaml:7: quantize.weight_bits": for errors found later than the schema check.
  std::string Where(const std::string& name) const;
  // "name: value" lines in the schema's order of all options that can change a result: part of a store key.
  std::string ResultText() const;
  // All options as they would stand in a config, a line each, defaults filled in; `indent` spaces before each.
  std::string ToYaml(int indent) const;

 private:
  friend Options CheckOptions(const ConfigNode&, const Schema&, Problems*);
  struct Value {
    OptionType type;
    bool affects_result = true;
    std::string where;
    std::vector<std::string> scalars;  // one for scalars, any number for lists, canonical text
    std::vector<Options> maps = {};    // of kMaps
  };
  static bool IsGiven(const Value& value);
  static std::string YamlText(const Value& value);
  const Value& At(const std::string& name) const;
  const Value& At(const std::string& name, OptionType type) const;
  std::vector<std::pair<std::string, Value>> values_;
};

// Checks a map node against a schema and adds to *problems every unknown key (with the nearest valid one), wrong type,
// value out of range and missing required option. The result may be used only if nothing was added. A null node stands
// for an empty map, a null value for an option not given; "" is a string or path only where it is the default.
Options CheckOptions(const ConfigNode& node, const Schema& schema, Problems* problems);

}  // namespace qwt
