// load: the network as a graph and its float parameters.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "models/parameters.h"
#include "models/registry.h"
#include "pipelines/stage.h"

namespace qwt {
namespace {

// The files' content becomes part of the key. Each holds other tensors, so that their order changes nothing.
void AddFiles(const Options& options, const std::string& option, const std::vector<std::string>& paths, StoreKey* key,
              Problems* problems) {
  std::vector<std::string> hashes;
  for (const std::string& path : paths) {
    auto hash = Sha256OfFile(path);
    if (hash.ok()) {
      hashes.push_back(*std::move(hash));
    } else {
      problems->Add(options.Where(option), std::string(hash.status().message()));
    }
  }
  std::sort(hashes.begin(), hashes.end());
  for (const std::string& hash : hashes) key->Add(option, hash);
}

class LoadStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"model"}; }
  std::vector<std::string> Needs(const Request&) const override { return {}; }
  std::vector<std::string> Makes() const override { return {kParameters}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    PlannedStage plan;
    const Options& options = planning.request.Of("model");
    auto component = ModelRegistry::Get().Find(options.String("name"));
    auto graph = component.ok() ? (*component)->create(options) : component.status();
    if (!graph.ok()) {
      problems->Add("", std::string(graph.status().message()));
    } else {
      planning.graph = *std::move(graph);
    }
    StoreKey key("load", 2);
    key.Add("graph", GraphToJson(planning.graph));
    AddFiles(options, "weights", options.Paths("weights"), &key, problems);
    const std::string& class_map = options.String("class_map");
    if (!class_map.empty()) AddFiles(options, "class_map", {class_map}, &key, problems);
    planning.made[kParameters] = key.hash();
    for (const ParameterSpec& parameter : planning.graph.parameters) {
      plan.memory_bytes += parameter.numel() * sizeof(float);
    }
    return plan;
  }

  absl::Status Run(const PlannedStage&, RunContext& context, Values& values, StageOutcome*) const override {
    const Options& options = context.request.Of("model");
    QWT_ASSIGN_OR_RETURN(auto component, ModelRegistry::Get().Find(options.String("name")));
    QWT_ASSIGN_OR_RETURN(values.graph, component->create(options));
    QWT_ASSIGN_OR_RETURN(values.parameters,
                         LoadParameters({options.Paths("weights"), options.String("class_map")}, values.graph));
    return absl::OkStatus();
  }
};

const bool registered = StageRegistry::Get().Register({{"load", "Builds the network and reads its weights.", {}},
                                                       [](const Options&) { return std::make_unique<LoadStage>(); }});

}  // namespace
}  // namespace qwt
