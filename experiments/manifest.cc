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
#include "experiments/manifest_axes.h"
#include "experiments/slurm_options.h"
#include "pipelines/home.h"

namespace qwt {
namespace {

constexpr char kName[] = "name";
constexpr char kSlurm[] = "slurm";

const std::map<std::string, std::string>& Variables() {
  static const auto* variables = new std::map<std::string, std::string>{{kHomeVariable, HomeFolder()}};
  return *variables;
}

std::string SafeName(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("._+=-", c)) c = '-';
  }
  return text;
}

std::string AxisText(const Setting& setting) {
  if (setting.key != kBaseKey) return ValueText(setting.value);
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

// The key paths of which runs may have different values.
std::set<std::string> VaryingKeys(const std::vector<Axis>& axes) {
  std::set<std::string> keys;
  for (const Axis& axis : axes) {
    for (const Choice& choice : axis) {
      for (const Setting& setting : choice) {
        if (axis.size() > 1) keys.insert(setting.key);
      }
    }
  }
  return keys;
}

// What tells the runs apart, by the last part of each key: "weight_bits4_ridge0".
std::string DefaultName(const std::string& manifest, const std::vector<Axis>& axes, const Choice& choice) {
  const std::set<std::string> varying = VaryingKeys(axes);
  std::vector<std::string> parts;
  for (const Setting& setting : choice) {
    if (varying.count(setting.key) == 0) continue;
    const std::vector<std::string> keys = absl::StrSplit(setting.key, '.');
    parts.push_back(absl::StrCat(setting.key == kBaseKey ? "" : keys.back(), AxisText(setting)));
  }
  return SafeName(parts.empty() ? manifest : absl::StrJoin(parts, "_"));
}

// Takes from the axes what is the same in all runs that set it, where the others still tell the runs apart.
void KeepTellingAxes(Manifest* manifest) {
  std::map<std::string, std::set<std::string>> values;
  for (const ManifestRun& run : manifest->runs) {
    for (const auto& [key, value] : run.axes) values[key].insert(value);
  }
  const auto tells = [&](const std::string& key) { return values[key].size() > 1; };
  std::set<std::vector<std::pair<std::string, std::string>>> different;
  std::vector<ManifestRun> runs = manifest->runs;
  for (ManifestRun& run : runs) {
    run.axes.erase(
        std::remove_if(run.axes.begin(), run.axes.end(), [&](const auto& axis) { return !tells(axis.first); }),
        run.axes.end());
    different.insert(run.axes);
  }
  if (different.size() != runs.size()) return;
  manifest->runs = std::move(runs);
  manifest->axes.erase(
      std::remove_if(manifest->axes.begin(), manifest->axes.end(), [&](const auto& key) { return !tells(key); }),
      manifest->axes.end());
}

class Reading {
 public:
  Reading(std::string path, const std::vector<std::string>& overrides, Problems* problems)
      : path_(std::move(path)), problems_(problems) {
    for (const std::string& override : overrides) {
      (absl::StartsWith(override, absl::StrCat(kSlurm, ".")) ? slurm_overrides_ : overrides_).push_back(override);
    }
  }

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
    if (choices.empty() && problems_->empty()) problems_->Add(root_.location(), "has no run");
    Manifest manifest;
    manifest.name = name_;
    manifest.axes = keys;
    manifest.slurm = ReadSlurm();
    for (const Choice& choice : choices) AddRun(choice, &manifest);
    KeepTellingAxes(&manifest);
    return manifest;
  }

 private:
  void ReadSections() {
    std::vector<std::string> known = {kName, kBaseKey, "run_name", "set", "exclude", kSlurm};
    for (const auto& [section, reader] : AxisReaders()) known.push_back(section);
    for (const auto& [key, node] : root_.map()) {
      if (const auto reader = AxisReaders().find(key); reader != AxisReaders().end()) {
        reader->second(node, &axes_, problems_);
      } else if (key == "exclude") {
        exclude_ = &node;
      } else if (key == "set") {
        set_ = ChoiceOf(node, problems_);
        if (ValueIn(set_, kBaseKey) != nullptr)
          problems_->Add(node.Where(), "cannot hold base, which stands by itself");
      } else if (key == kName) {
        if (IsText(node)) name_ = SafeName(node.scalar());
      } else if (key == "run_name") {
        if (IsText(node)) run_name_ = &node;
      } else if (key == kBaseKey) {
        if (CheckKey(kBaseKey, node, problems_)) base_ = &node;
      } else if (key != kSlurm) {
        problems_->Add(node.Where(), absl::StrCat("unknown key", DidYouMean(key, known),
                                                  "; there are: ", absl::StrJoin(known, ", ")));
      }
    }
    if (root_.Find(kName) == nullptr) name_ = SafeName(std::filesystem::path(path_).stem().string());
  }

  Options ReadSlurm() {
    const ConfigNode* section = root_.Find(kSlurm);
    const ConfigNode of_file = section != nullptr ? *section : ConfigNode::EmptyMap(kSlurm, root_.location());
    if (slurm_overrides_.empty()) return CheckSlurm(of_file, problems_);
    // The section as a setting of an empty config, which overrides go over.
    const auto config = LoadConfig("/dev/null", {{kSlurm, of_file}}, slurm_overrides_, {}, problems_);
    return config.ok() ? CheckSlurm(*config->Find(kSlurm), problems_) : CheckSlurm(of_file, problems_);
  }

  bool IsText(const ConfigNode& node) {
    if (node.kind() == ConfigNode::Kind::kScalar && !node.scalar().empty()) return true;
    problems_->Add(node.Where(), "must be text");
    return false;
  }

  void AddRun(const Choice& choice, Manifest* manifest) {
    const ConfigNode* base = ValueIn(choice, kBaseKey);
    if (base == nullptr) base = base_;
    if (base == nullptr) {
      if (root_.Find(kBaseKey) == nullptr) AddOnce(root_.location(), "a run has no config to start from; give base");
      return;
    }
    std::vector<Setting> settings = set_;
    ManifestRun run;
    for (const Setting& setting : choice) {
      run.axes.emplace_back(setting.key, AxisText(setting));
      if (setting.key != kBaseKey) settings.push_back(setting);
    }
    if (!Load(*base, settings, overrides_, &run.config)) return;
    const size_t problems_before = problems_->lines().size();
    run.name =
        run_name_ == nullptr ? DefaultName(name_, axes_, choice) : Fill(*run_name_, choice, run.config, problems_);
    if (problems_->lines().size() != problems_before) return;
    const auto [known, added] = names_.insert(run.name);
    if (!added || run.name.find_first_not_of('.') == std::string::npos) {
      const std::string where = run_name_ == nullptr ? root_.location() : run_name_->Where();
      AddOnce(where, run.name.find_first_not_of('.') == std::string::npos
                         ? absl::StrCat("'", run.name, "' is no name for a run")
                         : absl::StrCat("two runs are named '", run.name, "'; name all that differs, as {",
                                        absl::StrJoin(VaryingKeys(axes_), "} {"), "}"));
      return;
    }
    std::vector<std::string> named = overrides_;
    named.push_back(absl::StrCat("name=\"", run.name, "\""));
    if (Load(*base, settings, named, &run.config)) manifest->runs.push_back(std::move(run));
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
  std::vector<std::string> overrides_, slurm_overrides_;  // of every run's config, of the section slurm
  Problems* problems_;
  ConfigNode root_;
  std::string name_;
  const ConfigNode *base_ = nullptr, *run_name_ = nullptr, *exclude_ = nullptr;  // in root_
  std::vector<Axis> axes_;
  Choice set_;
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
