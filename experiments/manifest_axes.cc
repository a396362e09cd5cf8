#include "experiments/manifest_axes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/strings.h"

namespace qwt {
namespace {

// Whether the node is a list with something in it.
bool CheckList(const ConfigNode& node, const std::string& of, Problems* problems) {
  if (node.kind() == ConfigNode::Kind::kList && !node.list().empty()) return true;
  problems->Add(node.Where(), absl::StrCat("must be a list of ", of));
  return false;
}

bool CheckMap(const ConfigNode& node, const std::string& of, Problems* problems) {
  if (node.kind() == ConfigNode::Kind::kMap && !node.map().empty()) return true;
  problems->Add(node.Where(), absl::StrCat("must be a map of ", of));
  return false;
}

Axis AxisOf(const std::string& key, const ConfigNode& values, Problems* problems) {
  Axis axis;
  if (!CheckList(values, "values", problems)) return axis;
  for (const ConfigNode& value : values.list()) {
    if (CheckKey(key, value, problems)) axis.push_back({{key, value}});
  }
  return axis;
}

void ReadGrid(const ConfigNode& node, std::vector<Axis>* axes, Problems* problems) {
  if (!CheckMap(node, "key paths to lists of values", problems)) return;
  for (const auto& [key, values] : node.map()) axes->push_back(AxisOf(key, values, problems));
}

void ReadList(const ConfigNode& node, std::vector<Axis>* axes, Problems* problems) {
  if (!CheckList(node, "maps of key paths to values", problems)) return;
  Axis axis;
  for (const ConfigNode& entry : node.list()) axis.push_back(ChoiceOf(entry, problems));
  axes->push_back(std::move(axis));
}

void ReadZip(const ConfigNode& node, std::vector<Axis>* axes, Problems* problems) {
  if (!CheckMap(node, "key paths to lists of values, all as long", problems)) return;
  Axis zipped;
  for (const auto& [key, values] : node.map()) {
    const Axis axis = AxisOf(key, values, problems);
    if (zipped.empty()) zipped.resize(axis.size());
    if (axis.size() != zipped.size()) {
      problems->Add(values.Where(), absl::StrCat("has ", axis.size(), " values where '", node.map()[0].first, "' has ",
                                                 zipped.size(), "; lists of zip must be as long as each other"));
      continue;
    }
    for (size_t i = 0; i < axis.size(); ++i) zipped[i].push_back(axis[i][0]);
  }
  axes->push_back(std::move(zipped));
}

}  // namespace

const ConfigNode* ValueIn(const Choice& choice, const std::string& key) {
  const auto found =
      std::find_if(choice.begin(), choice.end(), [&](const auto& setting) { return setting.key == key; });
  return found == choice.end() ? nullptr : &found->value;
}

bool CheckKey(const std::string& key, const ConfigNode& value, Problems* problems) {
  const std::vector<std::string> parts = absl::StrSplit(key, '.');
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); })) {
    problems->Add(value.Where(), absl::StrCat("'", key, "' must be a key path, as quantize.weight_bits"));
    return false;
  }
  if (key == "name") {
    problems->Add(value.Where(), "runs are named by run_name, not by an axis");
    return false;
  }
  if (parts[0] == kBaseKey &&
      (parts.size() > 1 || value.kind() != ConfigNode::Kind::kScalar || value.scalar().empty())) {
    problems->Add(value.Where(), "must be the path of a config");
    return false;
  }
  return true;
}

Choice ChoiceOf(const ConfigNode& entry, Problems* problems) {
  Choice choice;
  if (!CheckMap(entry, "key paths to values", problems)) return choice;
  for (const auto& [key, value] : entry.map()) {
    if (CheckKey(key, value, problems)) choice.push_back({key, value});
  }
  return choice;
}

const std::map<std::string, AxisReader>& AxisReaders() {
  static const auto* readers = new std::map<std::string, AxisReader>{
      {"grid", ReadGrid},
      {"list", ReadList},
      {"zip", ReadZip},
      {"seeds", [](const ConfigNode& node, std::vector<Axis>* axes, Problems* problems) {
         axes->push_back(AxisOf("seed", node, problems));
       }}};
  return *readers;
}

// The key paths that axes set, in order; a problem where two axes set the same.
std::vector<std::string> KeysOf(const std::vector<Axis>& axes, Problems* problems) {
  std::vector<std::string> keys;
  std::map<std::string, size_t> set_by;
  for (size_t i = 0; i < axes.size(); ++i) {
    for (const Choice& choice : axes[i]) {
      for (const Setting& setting : choice) {
        const auto [known, added] = set_by.try_emplace(setting.key, i);
        if (added) keys.push_back(setting.key);
        if (known->second == i) continue;
        problems->Add(setting.value.Where(), absl::StrCat("'", setting.key, "' is set by another axis already"));
        known->second = i;  // once said
      }
    }
  }
  return keys;
}

std::vector<Choice> Product(const std::vector<Axis>& axes) {
  std::vector<Choice> product = {{}};
  for (const Axis& axis : axes) {
    std::vector<Choice> longer;
    for (const Choice& start : product) {
      for (const Choice& choice : axis) {
        if (longer.size() > kMostRuns) return longer;
        longer.push_back(start);
        longer.back().insert(longer.back().end(), choice.begin(), choice.end());
      }
    }
    product = std::move(longer);
  }
  return product;
}

void Exclude(const ConfigNode& section, const std::vector<std::string>& keys, std::vector<Choice>* choices,
             Problems* problems) {
  if (!CheckList(section, "maps of key paths to values", problems)) return;
  for (const ConfigNode& entry : section.list()) {
    const size_t problems_before = problems->lines().size();
    if (!CheckMap(entry, "key paths to values", problems)) continue;
    for (const auto& [key, value] : entry.map()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      problems->Add(value.Where(), absl::StrCat("'", key, "' is no axis", DidYouMean(key, keys),
                                                "; there are: ", absl::StrJoin(keys, ", ")));
    }
    if (problems->lines().size() != problems_before) continue;
    const size_t before = choices->size();
    choices->erase(std::remove_if(choices->begin(), choices->end(),
                                  [&](const Choice& choice) {
                                    return std::all_of(entry.map().begin(), entry.map().end(), [&](const auto& wanted) {
                                      const ConfigNode* value = ValueIn(choice, wanted.first);
                                      return value != nullptr && value->ToYaml() == wanted.second.ToYaml();
                                    });
                                  }),
                   choices->end());
    if (choices->size() == before) problems->Add(entry.Where(), "excludes nothing: no run has these values");
  }
}

}  // namespace qwt
