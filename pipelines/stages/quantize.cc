// quantize: the method's rewrites and the quantised weights: a network that runs in low precision (algorithms section
// 4).
#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "pipelines/stage.h"
#include "quant/calibrate.h"
#include "quant/method.h"

namespace qwt {
namespace {

constexpr char kParameterPrefix[] = "parameters/";

class QuantizeStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"quantize"}; }
  std::vector<std::string> Needs(const Request&) const override { return {kParameters, kCalibration}; }
  std::vector<std::string> Makes() const override { return {kQuantized}; }

  PlannedStage Plan(Planning& planning, Problems*) const override {
    PlannedStage plan;
    plan.keys = {StageKey("quantize", 2, planning, {"quantize"}, {kParameters, kCalibration}, nullptr)};
    plan.entries = {"weights and scales"};
    planning.made[kQuantized] = plan.keys[0].hash();
    planning.made.erase(kCompensation);  // of a quantised model that an earlier stage made
    for (const ParameterSpec& parameter : planning.graph.parameters) {
      plan.memory_bytes += 2 * parameter.numel() * sizeof(float);  // rewritten and fake-quantised
    }
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QuantizedModel& model = values.quantized.emplace();
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    if (payloads[0].has_value()) {
      outcome->cached = true;
      return Restore(*payloads[0], &model);
    }
    // The first rank alone, whose memory and disk the others leave to it meanwhile; they take what it has stored.
    if (context.comm.rank() == 0) QWT_RETURN_IF_ERROR(Make(plan, context, values, &model));
    QWT_RETURN_IF_ERROR(context.comm.Barrier());
    if (context.comm.rank() == 0) return absl::OkStatus();
    if (const auto payload = context.store.Find(plan.keys[0])) return Restore(*payload, &model);
    return Make(plan, context, values, &model);  // this rank's store is another, or hears of it late
  }

 private:
  // The same on every rank; the first stores it.
  static absl::Status Make(const PlannedStage& plan, RunContext& context, const Values& values, QuantizedModel* model) {
    model->graph = values.graph;
    model->parameters = values.parameters;
    model->plan = values.calibration;
    const Options& options = context.request.Of("quantize");
    QWT_ASSIGN_OR_RETURN(std::unique_ptr<QuantMethod> method, MakeQuantMethod(options.String("method"), options));
    QWT_RETURN_IF_ERROR(method->Prepare(&model->graph, &model->parameters));
    QWT_ASSIGN_OR_RETURN(QuantSpecs specs, method->Specs(model->graph));
    QWT_RETURN_IF_ERROR(method->Rewrite(&model->graph, &model->parameters, &model->plan));
    QWT_RETURN_IF_ERROR(SolveWeights(model->graph, ToDevice(model->parameters, context.device), specs,
                                     context.compute_threads(), &model->plan));
    TensorFile file;
    file.metadata["graph"] = GraphToJson(model->graph);
    PlanToTensors(model->plan, &file.tensors, &file.metadata["specs"]);
    for (const auto& [name, tensor] : model->parameters)
      file.tensors[absl::StrCat(kParameterPrefix, name)] = tensor.contiguous();
    return StoreEntry(context, plan.keys[0], file);
  }

  static absl::Status Restore(const std::string& payload, QuantizedModel* model) {
    QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(payload));
    QWT_ASSIGN_OR_RETURN(model->graph, GraphFromJson(file.metadata["graph"]));
    TensorMap plan;
    for (auto& [name, tensor] : file.tensors) {
      if (name.rfind(kParameterPrefix, 0) == 0) {
        model->parameters[name.substr(sizeof(kParameterPrefix) - 1)] = tensor;
      } else {
        plan[name] = tensor;
      }
    }
    QWT_ASSIGN_OR_RETURN(model->plan, PlanFromTensors(plan, file.metadata["specs"]));
    return absl::OkStatus();
  }
};

const bool registered = StageRegistry::Get().Register(
    {{"quantize", "Rewrites the network as the method asks and quantises its weights.", {}},
     [](const Options&) { return std::make_unique<QuantizeStage>(); }});

}  // namespace
}  // namespace qwt
