// calibrate: a scale for every site, from the calibration images (algorithms sections 1 to 3).
#include "quant/calibrate.h"

#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "models/cost.h"
#include "pipelines/stage.h"
#include "pipelines/stages/images_schema.h"
#include "quant/method.h"
#include "quant/share_plan.h"

namespace qwt {
namespace {

// That the method's options fit the network. One that could not be built is reported already.
void CheckMethod(const Planning& planning, Problems* problems) {
  if (planning.graph.stem.nodes.empty()) return;
  const Options& options = planning.request.Of("quantize");
  const auto method = MakeQuantMethod(options.String("method"), options);
  const absl::Status fits = method.ok() ? (*method)->Specs(planning.graph).status() : method.status();
  if (!fits.ok()) problems->Add("", std::string(fits.message()));
}

// How many ranks share the images. On GPUs, sharing few of them saves less than agreeing on every site takes: the
// others only hear what the first rank has found. What is computed is the same.
int Sharers(const ImageList& images, const RunContext& context) {
  constexpr int64_t kWorthSharing = 128;
  const bool alone = context.device.is_cuda() && static_cast<int64_t>(images.indices.size()) < kWorthSharing;
  return alone ? 1 : context.comm.size();
}

class CalibrateStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"dataset", "calibrate", "quantize"}; }
  std::vector<std::string> Needs(const Request&) const override { return {kParameters}; }
  std::vector<std::string> Makes() const override { return {kCalibration}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    PlannedStage plan;
    CheckMethod(planning, problems);
    plan.images = PlanTrainImages(planning, "calibrate", problems);
    plan.keys = {StageKey("calibrate", 1, planning, {"quantize"}, {kParameters}, &plan.images)};
    plan.entries = {"scales"};
    planning.made[kCalibration] = plan.keys[0].hash();
    // Every image's values at the widest node are held at once, with a copy while a scale is searched.
    plan.memory_bytes = 2 * PeakActivationBytes(planning.graph, ImagesOfRank(plan.images, planning));
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    if (payloads[0].has_value()) {
      outcome->cached = true;
      QWT_RETURN_IF_ERROR(RecallSkipped(context, plan.images, outcome));
      QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(*payloads[0]));
      QWT_ASSIGN_OR_RETURN(values.calibration, PlanFromTensors(file.tensors, file.metadata["specs"]));
      return absl::OkStatus();
    }
    const Options& options = context.request.Of("quantize");
    QWT_ASSIGN_OR_RETURN(std::unique_ptr<QuantMethod> method, MakeQuantMethod(options.String("method"), options));
    Graph graph = values.graph;
    TensorMap parameters = values.parameters;
    QWT_RETURN_IF_ERROR(method->Prepare(&graph, &parameters));
    QWT_ASSIGN_OR_RETURN(QuantSpecs specs, method->Specs(graph));
    const int sharers = Sharers(plan.images, context);
    QWT_ASSIGN_OR_RETURN(const std::vector<Batch> loaded, LoadBatches(context, plan.images, outcome, sharers));
    outcome->forward_images = plan.images.indices.size();
    std::vector<at::Tensor> batches;
    for (const Batch& batch : loaded) batches.push_back(batch.images);
    int64_t reported = 0;
    auto progress = [&](int64_t done, int64_t total) {
      if (reported == 0) context.progress.Begin("calibrate", total, "nodes");
      context.progress.Advance(done - reported);
      reported = done;
    };
    const std::unique_ptr<Communicator> alone = MakeLocalCommunicator();
    Communicator& comm = sharers == 1 ? *alone : context.comm;
    if (context.comm.rank() < sharers) {
      QWT_ASSIGN_OR_RETURN(values.calibration, Calibrate(graph, ToDevice(parameters, context.device), specs, batches,
                                                         comm, context.compute_threads(), progress));
    }
    if (sharers == 1) QWT_RETURN_IF_ERROR(SharePlan(specs, &values.calibration, context.comm));
    TensorFile file;
    PlanToTensors(values.calibration, &file.tensors, &file.metadata["specs"]);
    return StoreEntry(context, plan.keys[0], file);
  }
};

const bool registered = StageRegistry::Get().Register(
    {{"calibrate", "Finds a scale for every quantisation site from images of the training split.", ImagesSchema(32)},
     [](const Options&) { return std::make_unique<CalibrateStage>(); }});

}  // namespace
}  // namespace qwt
