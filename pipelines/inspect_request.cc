#include "pipelines/inspect_request.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/base/log.h"
#include "core/base/mapped_file.h"
#include "core/base/status.h"
#include "core/config/node.h"
#include "models/registry.h"
#include "pipelines/home.h"
#include "pipelines/request.h"

namespace qwt {
namespace {

constexpr char kModel[] = "model", kWeights[] = "weights", kClassMap[] = "class_map";

// As a run has it, but a network can be looked at without weights.
Section ModelSection() {
  for (Section section : AllSections()) {
    if (section.name != kModel) continue;
    for (Option& option : section.schema.options) {
      if (option.name == kWeights) option = option.Default("[]");
    }
    return section;
  }
  CheckFailed("there is no section 'model'", __FILE__, __LINE__);
}

bool IsConfigPath(const std::string& network) {
  return absl::StrContains(network, '/') || absl::EndsWith(network, ".yaml") || absl::EndsWith(network, ".yml");
}

// An override's value that YAML reads as this string.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}, {"${", "$${"}}), "'");
}

// The overrides of the model; what else is asked for becomes a problem.
std::vector<std::string> ModelOverrides(const std::vector<std::string>& overrides, Problems* problems) {
  std::vector<std::string> of_model;
  for (const std::string& override : overrides) {
    const std::string key = override.substr(0, override.find('='));
    if (key != override && key != kModel && !absl::StartsWith(key, "model.")) {
      problems->Add(absl::StrCat("command line: ", key), "only the model is inspected; allowed: model.KEY=VALUE");
    } else {
      of_model.push_back(override);
    }
  }
  return of_model;
}

void AddBroken(const ConfigNode& node, std::set<std::string>* places) {
  if (node.broken()) places->insert(node.Where());
  for (const auto& [key, value] : node.map()) AddBroken(value, places);
  for (const ConfigNode& element : node.list()) AddBroken(element, places);
}

// All problems but those of values in other sections: a network can be looked at where its data set's variable is not
// set.
void AddProblemsOfModel(const ConfigNode& config, const Problems& found, Problems* problems) {
  std::set<std::string> places;
  for (const auto& [key, value] : config.map()) {
    if (key != kModel) AddBroken(value, &places);
  }
  for (const std::string& line : found.lines()) {
    const bool elsewhere = std::any_of(places.begin(), places.end(), [&](const std::string& place) {
      return absl::StartsWith(line, absl::StrCat(place, ": "));
    });
    if (!elsewhere) problems->Add("", line);
  }
}

absl::StatusOr<ConfigNode> LoadModel(const std::string& network, std::vector<std::string> overrides,
                                     Problems* problems) {
  const std::map<std::string, std::string> variables = {{kHomeVariable, HomeFolder()}};
  Problems found;
  if (IsConfigPath(network) && !ModelRegistry::Get().Find(network).ok()) {
    QWT_ASSIGN_OR_RETURN(ConfigNode config, LoadConfig(network, overrides, variables, &found));
    AddProblemsOfModel(config, found, problems);
    return config;
  }
  overrides.insert(overrides.begin(), absl::StrCat("model.name=", Quoted(network)));
  return ParseConfig("{}", "command line", overrides, variables);
}

// Said with all else that is wrong, long before the file is read.
void CheckFile(const std::string& path, const std::string& where, Problems* problems) {
  const auto file = MappedFile::Open(path);
  if (!file.ok()) problems->Add(where, std::string(file.status().message()));
}

}  // namespace

absl::StatusOr<InspectRequest> CheckInspectRequest(const std::string& network,
                                                   const std::vector<std::string>& overrides,
                                                   const std::vector<std::string>& weights) {
  Problems problems;
  std::vector<std::string> of_model = ModelOverrides(overrides, &problems);
  if (!weights.empty()) {
    const auto append_quoted = [](std::string* text, const std::string& path) { *text += Quoted(path); };
    of_model.push_back(absl::StrCat("model.weights=[", absl::StrJoin(weights, ", ", append_quoted), "]"));
  }
  const auto config = LoadModel(network, of_model, &problems);
  if (!config.ok()) problems.Add("", std::string(config.status().message()));
  const Options options = config.ok() ? CheckSection(ModelSection(), *config, &problems) : Options();
  QWT_RETURN_IF_ERROR(problems.ToStatus());

  InspectRequest request;
  request.weights = {options.Paths(kWeights), options.String(kClassMap)};
  QWT_ASSIGN_OR_RETURN(const auto component, ModelRegistry::Get().Find(options.String("name")));
  auto graph = component->create(options);
  if (graph.ok()) {
    request.graph = *std::move(graph);
  } else {
    problems.Add("", std::string(graph.status().message()));
  }
  for (const std::string& path : request.weights.files) CheckFile(path, options.Where(kWeights), &problems);
  if (!request.weights.class_map.empty()) CheckFile(request.weights.class_map, options.Where(kClassMap), &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  return request;
}

}  // namespace qwt
