// fit: block by block, the compensation that best explains what quantisation lost, each on the output of the
// compensated prefix (algorithms section 5). Every block's solution is stored as it is found, so a run that is stopped
// goes on after the last one.
#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "models/cost.h"
#include "pipelines/stage.h"
#include "pipelines/stages/images_schema.h"
#include "quant/fake_quant_executor.h"
#include "qwt/compensator.h"
#include "qwt/solution_file.h"

namespace qwt {
namespace {

Schema FitSchema() {
  Schema schema = ImagesSchema(512);
  schema.options.insert(schema.options.begin(),
                        Option::String("method", "How the compensation is found.").OneOf({"qwt"}).Default("qwt"));
  return schema;
}

// One fit: the network in both precisions and the images' values before the current block.
class BlockwiseFit {
 public:
  BlockwiseFit(RunContext& context, const QuantizedModel& model, const Compensator& compensator)
      : context_(context), model_(model), compensator_(compensator) {}

  absl::Status Start(const ImageList& images, StageOutcome* outcome) {
    const TensorMap parameters = ToDevice(model_.parameters, context_.device);
    float_ = MakeHalvingExecutor(MakeFloatExecutor(parameters));
    QWT_ASSIGN_OR_RETURN(quantized_, MakeFakeQuantExecutor(model_.graph, parameters, model_.plan));
    quantized_ = MakeHalvingExecutor(std::move(quantized_));
    QWT_ASSIGN_OR_RETURN(std::vector<Batch> batches, LoadBatches(context_, images, outcome));
    for (Batch& batch : batches) {
      values_.push_back(std::move(batch.images));
      first_images_.push_back(batch.ordinal * images.batch_size);
    }
    return RunQuantized(model_.graph.stem);
  }

  // Solves the block where `solution` is null, else takes the one given; then moves the values past it.
  absl::StatusOr<BlockSolution> Pass(int index, const BlockSolution* given, int64_t images) {
    const Segment& block = model_.graph.blocks[index];
    if (const Segment* transition = model_.graph.TransitionBefore(index)) {
      QWT_RETURN_IF_ERROR(RunQuantized(*transition));
    }
    std::unique_ptr<BlockFit> fit;
    if (given == nullptr) {
      QWT_ASSIGN_OR_RETURN(fit, compensator_.Begin(model_.graph, index));
    }
    std::vector<at::Tensor> outputs(values_.size());
    context_.progress.Begin(absl::StrCat(given == nullptr ? "fit " : "pass ", block.name), images, "images");
    QWT_RETURN_IF_ERROR(Each([&](int64_t i) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(outputs[i], quantized_->Run(block, values_[i]));
      if (fit != nullptr) {
        QWT_ASSIGN_OR_RETURN(at::Tensor wanted, float_->Run(block, values_[i]));
        QWT_RETURN_IF_ERROR(Accumulate(*fit, first_images_[i], values_[i], wanted, outputs[i]));
      }
      context_.progress.Advance(values_[i].size(0) * context_.comm.size());
      return absl::OkStatus();
    }));
    BlockSolution solution;
    if (fit != nullptr) {
      QWT_RETURN_IF_ERROR(fit->Reduce(context_.comm));
      QWT_ASSIGN_OR_RETURN(solution, fit->Solve());
    } else {
      solution = *given;
    }
    BlockSolution applied = solution;
    applied.tensors = ToDevice(solution.tensors, context_.device);
    QWT_RETURN_IF_ERROR(Each([&](int64_t i) -> absl::Status {
      values_[i] = compensator_.Apply(applied, values_[i], outputs[i]);
      return absl::OkStatus();
    }));
    return solution;
  }

 private:
  // In halves where there is no memory for the whole.
  static absl::Status Accumulate(BlockFit& fit, int64_t first_image, const at::Tensor& x, const at::Tensor& y_float,
                                 const at::Tensor& y_quant) {
    const absl::Status status = fit.Accumulate(first_image, x, y_float, y_quant);
    const int64_t half = x.size(0) / 2, rest = x.size(0) - half;
    if (!absl::IsResourceExhausted(status) || half == 0) return status;
    if (!x.is_cpu()) ReleaseCachedMemory(x.device());
    QWT_RETURN_IF_ERROR(
        Accumulate(fit, first_image, x.narrow(0, 0, half), y_float.narrow(0, 0, half), y_quant.narrow(0, 0, half)));
    return Accumulate(fit, first_image + half, x.narrow(0, half, rest), y_float.narrow(0, half, rest),
                      y_quant.narrow(0, half, rest));
  }

  // Moves the values past a segment that is not compensated.
  absl::Status RunQuantized(const Segment& segment) {
    return Each([&](int64_t i) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(values_[i], quantized_->Run(segment, values_[i]));
      return absl::OkStatus();
    });
  }

  absl::Status Each(const std::function<absl::Status(int64_t)>& function) {
    return ParallelFor(values_.size(), context_.compute_threads(), function);
  }

  RunContext& context_;
  const QuantizedModel& model_;
  const Compensator& compensator_;
  std::unique_ptr<Executor> float_, quantized_;
  std::vector<at::Tensor> values_;     // by batch of this rank: the input of the next block
  std::vector<int64_t> first_images_;  // and where its images begin in the fit's list
};

class FitStage : public Stage {
 public:
  std::vector<std::string> Sections() const override { return {"dataset", "fit"}; }
  std::vector<std::string> Needs(const Request&) const override { return {kQuantized}; }
  std::vector<std::string> Makes() const override { return {kCompensation}; }

  PlannedStage Plan(Planning& planning, Problems* problems) const override {
    PlannedStage plan;
    plan.images = PlanTrainImages(planning, "fit", problems);
    CheckCompensator(planning, plan.images.indices.size(), problems);
    const StoreKey whole = StageKey("fit", 2, planning, {"fit"}, {kQuantized}, &plan.images);
    for (const Segment& block : planning.graph.blocks) {
      plan.keys.push_back(StoreKey("fit.block", 1).Add("fit", whole.text()).Add("block", block.name));
      plan.entries.push_back(block.name);
    }
    planning.made[kCompensation] = whole.hash();
    plan.memory_bytes = Bytes(planning, plan.images);
    return plan;
  }

  absl::Status Run(const PlannedStage& plan, RunContext& context, Values& values,
                   StageOutcome* outcome) const override {
    QuantizedModel& model = *values.quantized;
    const Options& options = context.request.Of("fit");
    model.compensator = options.String("compensator");
    QWT_ASSIGN_OR_RETURN(std::unique_ptr<Compensator> compensator, MakeCompensator(options));
    QWT_ASSIGN_OR_RETURN(std::vector<BlockSolution> stored, StoredSolutions(plan, context));
    outcome->cached = stored.size() == plan.keys.size();
    if (outcome->cached) QWT_RETURN_IF_ERROR(RecallSkipped(context, plan.images, outcome));
    if (!outcome->cached) {
      BlockwiseFit fit(context, model, *compensator);
      QWT_RETURN_IF_ERROR(fit.Start(plan.images, outcome));
      for (size_t i = 0; i < plan.keys.size(); ++i) {
        const bool known = i < stored.size();
        QWT_ASSIGN_OR_RETURN(BlockSolution solution,
                             fit.Pass(i, known ? &stored[i] : nullptr, plan.images.indices.size()));
        if (known) continue;
        QWT_RETURN_IF_ERROR(StoreEntry(context, plan.keys[i], SolutionToFile(solution)));
        stored.push_back(std::move(solution));
      }
    }
    model.compensation = std::move(stored);
    return absl::OkStatus();
  }

 private:
  static absl::StatusOr<std::unique_ptr<Compensator>> MakeCompensator(const Options& options) {
    QWT_ASSIGN_OR_RETURN(auto component, CompensatorRegistry::Get().Find(options.String("compensator")));
    return component->create(options);
  }

  static int64_t Bytes(const Planning& planning, const ImageList& images) {
    const int64_t in_flight = ImagesInFlight(planning, images);
    const auto compensator = MakeCompensator(planning.request.Of("fit"));
    return BlockwiseBytes(planning.graph, ImagesOfRank(images, planning), in_flight) +
           (compensator.ok() ? (*compensator)->FitBytes(planning.graph, in_flight) : 0);
  }

  // Whether the compensator can do anything with the network's blocks, of which there are none where `load` failed, and
  // has the images it needs.
  static void CheckCompensator(const Planning& planning, int64_t images, Problems* problems) {
    if (planning.graph.blocks.empty()) return;
    const Options& options = planning.request.Of("fit");
    const auto compensator = MakeCompensator(options);
    const absl::Status status = compensator.ok() ? (*compensator)->Check(planning.graph, images) : compensator.status();
    if (!status.ok()) problems->Add(options.Where("compensator"), std::string(status.message()));
  }

  // Those of the first blocks that are all in the store.
  static absl::StatusOr<std::vector<BlockSolution>> StoredSolutions(const PlannedStage& plan, RunContext& context) {
    std::vector<BlockSolution> solutions;
    QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, plan.keys));
    for (const auto& payload : payloads) {
      if (!payload.has_value()) break;
      QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(*payload));
      QWT_ASSIGN_OR_RETURN(BlockSolution solution, SolutionFromFile(file));
      solutions.push_back(std::move(solution));
    }
    return solutions;
  }
};

const bool registered = StageRegistry::Get().Register(
    {{"fit", "Fits the compensation of every block on images of the training split.", FitSchema()},
     [](const Options&) { return std::make_unique<FitStage>(); }});

}  // namespace
}  // namespace qwt
