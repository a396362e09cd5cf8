// diagnose: where quantisation loses what, and what compensation wins back, on images that nothing was fitted to.
#include "absl/strings/str_cat.h"
#include "models/cost.h"
#include "pipelines/diagnosis_json.h"
#include "pipelines/stage.h"
#include "pipelines/stages/images_schema.h"
#include "qwt/diagnosis.h"

namespace qwt {
namespace {

constexpr char kText[] = "diagnosis";  // of an entry: the diagnosis as JSON

class DiagnoseStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"dataset", "diagnose"}; }
  // The calibration, because a saved model, which comes without, has no float weights to compare with.
  std::vector<std::string> Needs(const Request&) const override { return {kCalibration, kQuantized}; }
  std::vector<std::string> Makes() const override { return {kDiagnosis}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    PlannedStage plan;
    // At random: the first or last images of many data sets are all of one class.
    plan.images = PlanImages(planning,
                             {Split::kEval, planning.request.Of("diagnose").Int("images"), Order::kRandom,
                              Transform::kEval, /*or_all=*/true},
                             "diagnose", problems);
    std::vector<std::string> needs = {kQuantized};
    if (planning.made.count(kCompensation)) needs.push_back(kCompensation);
    plan.keys = {StageKey("diagnose", 1, planning, {}, needs, &plan.images)};
    plan.entries = {"noise and errors"};
    planning.made[kDiagnosis] = plan.keys[0].hash();
    // Three networks and a site's values beside them, these in float64.
    plan.memory_bytes = 5 * PeakActivationBytes(planning.graph, ImagesInFlight(planning, plan.images));
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    if (payloads[0].has_value()) {
      outcome->cached = true;
      QWT_RETURN_IF_ERROR(RecallSkipped(context, plan.images, outcome));
      QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(*payloads[0]));
      QWT_ASSIGN_OR_RETURN(values.diagnosis, DiagnosisFromJson(file.metadata[kText]));
      return absl::OkStatus();
    }
    QWT_ASSIGN_OR_RETURN(const std::vector<Batch> loaded, LoadBatches(context, plan.images, outcome));
    const int64_t networks = values.quantized->compensation.empty() ? 2 : 3;  // float, quantised, compensated
    outcome->forward_images = networks * static_cast<int64_t>(plan.images.indices.size());
    std::vector<at::Tensor> batches;
    for (const Batch& batch : loaded) batches.push_back(batch.images);
    QWT_ASSIGN_OR_RETURN(values.diagnosis,
                         Diagnose(*values.quantized, batches, context.comm, context.compute_threads(), context.device));
    TensorFile file;
    file.metadata[kText] = DiagnosisToJson(*values.diagnosis);
    return StoreEntry(context, plan.keys[0], file);
  }
};

Schema DiagnoseSchema() {
  return {{Option::Int("images",
                       "How many images of the evaluation split, drawn by the seed (all, where it has fewer); none of "
                       "them was fitted "
                       "to.")
               .Range(1, 4096)
               .Default("32")}};
}

const bool registered = StageRegistry::Get().Register(
    {{"diagnose", "Measures the noise of every site, each block's error and what compensation wins back.",
      DiagnoseSchema()},
     [](const Options&) { return std::make_unique<DiagnoseStage>(); }});

}  // namespace
}  // namespace qwt
