// load_quantized: a model that an earlier run saved, ready to evaluate without calibration.
#include "core/base/sha256.h"
#include "pipelines/stage.h"

namespace qwt {
namespace {

class LoadQuantizedStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"load_quantized"}; }
  std::vector<std::string> Needs(const Request&) const override { return {}; }
  std::vector<std::string> Makes() const override { return {kQuantized, kCompensation}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    const Options& options = planning.request.Of("load_quantized");
    auto sha256 = Sha256OfFile(options.String("file"));
    if (!sha256.ok()) {
      problems->Add(options.Where("file"), std::string(sha256.status().message()));
      return {};
    }
    auto model = LoadQuantizedModel(options.String("file"));
    if (!model.ok()) {
      problems->Add(options.Where("file"), std::string(model.status().message()));
      return {};
    }
    planning.graph = model->graph;
    const StoreKey key = StoreKey("load_quantized", 1).Add("file", *sha256);
    planning.made[kQuantized] = key.hash();
    planning.made.erase(kCompensation);  // of a quantised model that an earlier stage made
    if (!model->compensation.empty()) planning.made[kCompensation] = key.hash();
    return {};
  }

  absl::Status Run(const PlannedStage&, RunContext& context, Values& values, StageOutcome*) const override {
    QWT_ASSIGN_OR_RETURN(values.quantized, LoadQuantizedModel(context.request.Of("load_quantized").String("file")));
    // Where `load` made the float network, that stays.
    if (values.parameters.empty()) values.graph = values.quantized->graph;
    return absl::OkStatus();
  }
};

Schema LoadQuantizedSchema() { return {{Option::Path("file", "A run's model.safetensors.")}}; }

const bool registered = StageRegistry::Get().Register(
    {{"load_quantized", "Reads a quantised model that an earlier run saved.", LoadQuantizedSchema()},
     [](const Options&) { return std::make_unique<LoadQuantizedStage>(); }});

}  // namespace
}  // namespace qwt
