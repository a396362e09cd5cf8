// diagnose: where quantisation loses what, and what compensation wins back, on images that nothing was fitted to. Two
// entries: what is lost, which settings that differ only in compensation share, and the compensated network's errors.
#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "models/cost.h"
#include "pipelines/diagnosis_json.h"
#include "pipelines/stage.h"
#include "pipelines/stages/images_schema.h"
#include "qwt/diagnosis.h"

namespace qwt {
namespace {

constexpr char kLoss[] = "diagnosis";          // of the first entry: what is lost, as JSON
constexpr char kErrors[] = "mse_compensated";  // of the second: float64 [segments]

TensorFile LossToFile(Diagnosis diagnosis) {
  for (SegmentError& segment : diagnosis.segments) segment.mse_compensated.reset();
  return {{}, {{kLoss, DiagnosisToJson(diagnosis)}}};
}

absl::StatusOr<Diagnosis> LossFromFile(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  return DiagnosisFromJson(file.metadata[kLoss]);
}

TensorFile ErrorsToFile(const Diagnosis& diagnosis) {
  at::Tensor errors = at::empty({static_cast<int64_t>(diagnosis.segments.size())}, at::kDouble);
  double* error = errors.mutable_data_ptr<double>();
  for (const SegmentError& segment : diagnosis.segments) *error++ = *segment.mse_compensated;
  return {{{kErrors, errors}}, {}};
}

absl::Status AddErrorsFromFile(const std::string& path, Diagnosis* diagnosis) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  const at::Tensor& errors = file.tensors[kErrors];
  const int64_t segments = diagnosis->segments.size();
  if (!errors.defined() || errors.scalar_type() != at::kDouble || errors.numel() != segments) {
    return absl::DataLossError(absl::StrCat(path, ": no errors of ", segments, " segments"));
  }
  for (int64_t i = 0; i < segments; ++i) {
    diagnosis->segments[i].mse_compensated = errors.const_data_ptr<double>()[i];
  }
  return absl::OkStatus();
}

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
    const auto key = [&](const std::vector<std::string>& needs) {
      return StageKey("diagnose", 2, planning, {}, needs, &plan.images);
    };
    plan.keys = {key({kQuantized})};
    plan.entries = {"noise and errors"};
    if (planning.made.count(kCompensation)) {
      plan.keys.push_back(key({kQuantized, kCompensation}));
      plan.entries.push_back("errors with compensation");
    }
    planning.made[kDiagnosis] = plan.keys.back().hash();
    // Three networks and a site's values beside them, these in float64.
    plan.memory_bytes = 5 * PeakActivationBytes(planning.graph, ImagesInFlight(planning, plan.images));
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    std::optional<Diagnosis> known;
    if (payloads[0].has_value()) {
      QWT_ASSIGN_OR_RETURN(known, LossFromFile(*payloads[0]));
    }
    outcome->cached = known.has_value() && payloads.back().has_value();
    if (outcome->cached) {
      if (payloads.size() > 1) QWT_RETURN_IF_ERROR(AddErrorsFromFile(*payloads[1], &*known));
      values.diagnosis = std::move(known);
      return RecallSkipped(context, plan.images, outcome);
    }
    QWT_ASSIGN_OR_RETURN(const std::vector<Batch> loaded, LoadBatches(context, plan.images, outcome));
    // In float, and unless known quantised and, where there is one, compensated.
    const int64_t networks = 1 + !known.has_value() + (plan.keys.size() > 1);
    outcome->forward_images = networks * static_cast<int64_t>(plan.images.indices.size());
    std::vector<at::Tensor> batches;
    for (const Batch& batch : loaded) batches.push_back(batch.images);
    QWT_ASSIGN_OR_RETURN(values.diagnosis, Diagnose(*values.quantized, batches, context.comm, context.compute_threads(),
                                                    context.device, known.has_value() ? &*known : nullptr));
    if (!known.has_value()) QWT_RETURN_IF_ERROR(StoreEntry(context, plan.keys[0], LossToFile(*values.diagnosis)));
    if (plan.keys.size() == 1) return absl::OkStatus();
    return StoreEntry(context, plan.keys[1], ErrorsToFile(*values.diagnosis));
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
