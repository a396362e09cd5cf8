#include "experiments/manifest.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"
#include "core/base/strings.h"
#include "core/config/settings.h"
#include "pipelines/home.h"

namespace qwt {
namespace {

constexpr char kBase[] = "base", kSeed[] = "seed", kName[] = "name";
constexpr size_t kMostRuns = 10000;

// What one run takes of an axis section: values by key path.
using Choice = std::vector<Setting>;
// The choices of an axis, of which each run takes one.
using Axis = std::vector<Choice>;

const std::map<std::string, std::string>& Variables() {
  static const auto* variables = new std::map<std::string, std::string>{{kHomeVariable, HomeFolder()}};
  return *variables;
}

bool CheckKey(const std::string& key, const ConfigNode& value, Problems* problems) {
  const std::vector<std::string> parts = absl::StrSplit(key, '.');
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); })) {
    problems->Add(value.Where(), absl::StrCat("'", key, "' must be a key path, as quantize.weight_bits"));
    return false;
  }
  if (key == kName) {
    problems->Add(value.Where(), "runs are named by run_name, not by an axis");
    return false;
  }
  if (parts[0] == kBase && (parts.size() > 1 || value.kind() != ConfigNode::Kind::kScalar || value.scalar().empty())) {
    problems->Add(value.Where(), "must be the path of a config");
    return false;
  }
  return true;
}

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

Choice ChoiceOf(const ConfigNode& entry, Problems* problems) {
  Choice choice;
  if (!CheckMap(entry, "key paths to values", problems)) return choice;
  for (const auto& [key, value] : entry.map()) {
    if (CheckKey(key, value, problems)) choice.push_back({key, value});
  }
  return choice;
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

// The sections of a manifest that say what the runs are, by name.
using Reader = void (*)(const ConfigNode&, std::vector<Axis>*, Problems*);
const std::map<std::string, Reader>& AxisReaders() {
  static const auto* readers = new std::map<std::string, Reader>{
      {"grid", ReadGrid},
      {"list", ReadList},
      {"zip", ReadZip},
      {"seeds", [](const ConfigNode& node, std::vector<Axis>* axes, Problems* problems) {
         axes->push_back(AxisOf(kSeed, node, problems));
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

const ConfigNode* ValueIn(const Choice& choice, const std::string& key) {
  const auto found =
      std::find_if(choice.begin(), choice.end(), [&](const auto& setting) { return setting.key == key; });
  return found == choice.end() ? nullptr : &found->value;
}

void Exclude(const ConfigNode& node, const std::vector<std::string>& keys, std::vector<Choice>* choices,
             Problems* problems) {
  if (!CheckList(node, "maps of key paths to values", problems)) return;
  for (const ConfigNode& entry : node.list()) {
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

std::string SafeName(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("._+=-", c)) c = '-';
  }
  return text;
}

std::string AxisText(const Setting& setting) {
  if (setting.key != kBase) return ValueText(setting.value);
  return std::filesystem::path(setting.value.scalar()).stem().string();
}

const ConfigNode* NodeAt(const ConfigNode& config, const std::string& path) {
  const ConfigNode* node = &config;
  for (const std::string& key : std::vector<std::string>(absl::StrSplit(path, '.'))) {
    if (node->kind() != ConfigNode::Kind::kMap) return nullptr;
    node = node->Find(key);
    if (node == nullptr) return nullptr;
  }
  return node;
}

// The template with values of the run in place of {key.path}; "" with a problem where there is no such value.
std::string Fill(const ConfigNode& name_template, const Choice& choice, const ConfigNode& config, Problems* problems) {
  const std::string& text = name_template.scalar();
  std::string name;
  for (size_t position = 0; position < text.size();) {
    const size_t open = text.find('{', position), close = text.find('}', position);
    name += text.substr(position, std::min(open, close) - position);
    if (open == std::string::npos && close == std::string::npos) break;
    if (close == std::string::npos || open == std::string::npos || open > close) {
      problems->Add(name_template.Where(), "has a brace without its other one");
      return "";
    }
    const std::string key = text.substr(open + 1, close - open - 1);
    position = close + 1;
    const ConfigNode* set = ValueIn(choice, key);
    const ConfigNode* value = set != nullptr ? set : NodeAt(config, key);
    if (value == nullptr) {
      problems->Add(name_template.Where(), absl::StrCat("'{", key, "}': a run's config has no '", key, "'"));
      return "";
    }
    name += SafeName(set != nullptr ? AxisText({key, *set}) : ValueText(*value));
  }
  return name;
}

// What tells the runs apart, by the last part of each key: "weight_bits4_ridge0".
std::string DefaultName(const std::string& manifest, const std::vector<Axis>& axes, const Choice& choice) {
  std::vector<std::string> parts;
  for (const Setting& setting : choice) {
    const auto varies = [&](const Axis& axis) { return axis.size() > 1 && ValueIn(axis[0], setting.key) != nullptr; };
    if (std::none_of(axes.begin(), axes.end(), varies)) continue;
    const std::vector<std::string> keys = absl::StrSplit(setting.key, '.');
    parts.push_back(absl::StrCat(setting.key == kBase ? "" : keys.back(), AxisText(setting)));
  }
  return SafeName(parts.empty() ? manifest : absl::StrJoin(parts, "_"));
}

class Reading {
 public:
  Reading(std::string path, const std::vector<std::string>& overrides, Problems* problems)
      : path_(std::move(path)), overrides_(overrides), problems_(problems) {}

  absl::StatusOr<Manifest> Read() {
    QWT_ASSIGN_OR_RETURN(root_, ReadYaml(path_, Variables(), problems_));
    if (root_.kind() != ConfigNode::Kind::kMap) {
      problems_->Add(root_.location(), "must be a map of options ('key: value' lines)");
      return problems_->ToStatus();
    }
    ReadSections();
    const std::vector<std::string> keys = KeysOf(axes_, problems_);
    std::vector<Choice> choices = Product(axes_);
    if (choices.size() > kMostRuns) {
      problems_->Add(root_.location(), absl::StrCat("has more than ", kMostRuns, " runs"));
      return problems_->ToStatus();
    }
    if (exclude_ != nullptr) Exclude(*exclude_, keys, &choices, problems_);
    if (choices.empty()) problems_->Add(root_.location(), "has no run");
    Manifest manifest;
    manifest.name = name_;
    manifest.axes = keys;
    for (const Choice& choice : choices) AddRun(choice, &manifest);
    return manifest;
  }

 private:
  void ReadSections() {
    std::vector<std::string> known = {kName, kBase, "run_name", "exclude"};
    for (const auto& [section, reader] : AxisReaders()) known.push_back(section);
    for (const auto& [key, node] : root_.map()) {
      if (const auto reader = AxisReaders().find(key); reader != AxisReaders().end()) {
        reader->second(node, &axes_, problems_);
      } else if (key == "exclude") {
        exclude_ = &node;
      } else if (key == kName) {
        if (IsText(node)) name_ = SafeName(node.scalar());
      } else if (key == "run_name") {
        if (IsText(node)) run_name_ = &node;
      } else if (key == kBase) {
        if (CheckKey(kBase, node, problems_)) base_ = &node;
      } else {
        problems_->Add(node.Where(), absl::StrCat("unknown key", DidYouMean(key, known),
                                                  "; there are: ", absl::StrJoin(known, ", ")));
      }
    }
    if (root_.Find(kName) == nullptr) name_ = SafeName(std::filesystem::path(path_).stem().string());
  }

  bool IsText(const ConfigNode& node) {
    if (node.kind() == ConfigNode::Kind::kScalar && !node.scalar().empty()) return true;
    problems_->Add(node.Where(), "must be text");
    return false;
  }

  void AddRun(const Choice& choice, Manifest* manifest) {
    const ConfigNode* base = ValueIn(choice, kBase);
    if (base == nullptr) base = base_;
    if (base == nullptr) {
      if (root_.Find(kBase) == nullptr) AddOnce(root_.location(), "a run has no config to start from; give base");
      return;
    }
    std::vector<Setting> settings;
    ManifestRun run;
    for (const Setting& setting : choice) {
      run.axes.emplace_back(setting.key, AxisText(setting));
      if (setting.key != kBase) settings.push_back(setting);
    }
    if (!Load(*base, settings, overrides_, &run.config)) return;
    const size_t problems_before = problems_->lines().size();
    run.name =
        run_name_ == nullptr ? DefaultName(name_, axes_, choice) : Fill(*run_name_, choice, run.config, problems_);
    if (problems_->lines().size() != problems_before) return;
    const auto [known, added] = names_.insert(run.name);
    if (!added || run.name.find_first_not_of('.') == std::string::npos) {
      const std::string where = run_name_ == nullptr ? root_.location() : run_name_->Where();
      AddOnce(where,
              run.name.find_first_not_of('.') == std::string::npos
                  ? absl::StrCat("'", run.name, "' is no name for a run")
                  : absl::StrCat("two runs are named '", run.name, "'; name all that differs, as {", Differing(), "}"));
      return;
    }
    std::vector<std::string> named = overrides_;
    named.push_back(absl::StrCat("name=\"", run.name, "\""));
    if (Load(*base, settings, named, &run.config)) manifest->runs.push_back(std::move(run));
  }

  std::string Differing() const {
    std::vector<std::string> keys;
    for (const Axis& axis : axes_) {
      if (axis.size() > 1 && !axis[0].empty()) keys.push_back(axis[0][0].key);
    }
    return absl::StrJoin(keys, "} {");
  }

  bool Load(const ConfigNode& base, const std::vector<Setting>& settings, const std::vector<std::string>& overrides,
            ConfigNode* config) {
    const std::filesystem::path beside = std::filesystem::path(path_).parent_path() / base.scalar();
    Problems found;
    auto loaded = LoadConfig(beside.lexically_normal().string(), settings, overrides, Variables(), &found);
    for (const std::string& line : found.lines()) AddOnce("", line);
    if (loaded.ok()) {
      *config = *std::move(loaded);
      return true;
    }
    if (found.empty()) AddOnce(base.Where(), std::string(loaded.status().message()));
    return false;
  }

  // What many runs share is said once.
  void AddOnce(const std::string& where, const std::string& what) {
    if (said_.insert(where + what).second) problems_->Add(where, what);
  }

  const std::string path_;
  const std::vector<std::string>& overrides_;
  Problems* problems_;
  ConfigNode root_;
  std::string name_;
  const ConfigNode *base_ = nullptr, *run_name_ = nullptr, *exclude_ = nullptr;  // in root_
  std::vector<Axis> axes_;
  std::set<std::string> said_, names_;
};

}  // namespace

std::string ValueText(const ConfigNode& node) {
  switch (node.kind()) {
    case ConfigNode::Kind::kNull:
      return "null";
    case ConfigNode::Kind::kScalar:
      return node.scalar();
    case ConfigNode::Kind::kList:
      return absl::StrCat(
          "[",
          absl::StrJoin(node.list(), ", ",
                        [](std::string* out, const ConfigNode& element) { *out += ValueText(element); }),
          "]");
    case ConfigNode::Kind::kMap:
      break;
  }
  if (const ConfigNode* name = node.Find(kName); name != nullptr && name->kind() == ConfigNode::Kind::kScalar) {
    return name->scalar();
  }
  return absl::StrCat("{",
                      absl::StrJoin(node.map(), ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, entry.first, ": ", ValueText(entry.second));
                                    }),
                      "}");
}

absl::StatusOr<Manifest> ReadManifest(const std::string& path, const std::vector<std::string>& overrides,
                                      Problems* problems) {
  return Reading(path, overrides, problems).Read();
}

}  // namespace qwt
