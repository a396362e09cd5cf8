// fit: block by block, the compensation that best explains what quantisation lost (algorithms section 5), each on the
// output of the prefix before it: compensated, as published, or as quantised. Every block's solution is stored as it is
// found, so a run that is stopped goes on after the last one; with fit.store_sums so are the sums it is solved from, of
// which settings with another ridge, gate or storage solve theirs without running the network.
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
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
  schema.options.push_back(
      Option::String("prefix",
                     "What a block's input comes through while it is fitted. compensated: the blocks before it with "
                     "their compensation, as published, so that each makes good what is left. quantized: the blocks "
                     "without; then no block's sums depend on another's solution, and settings that differ only in "
                     "ridge, gate or storage all share them.")
          .OneOf({"compensated", "quantized"})
          .Default("compensated"));
  schema.options.push_back(
      Option::Bool("store_sums",
                   "Keep each block's sums in the store beside its solution: for C inputs and K outputs of a linear "
                   "compensation 16 (C + 2)(C + 1 + K) bytes, 19 MB a block of DeiT-B. A fit that finds its sums there "
                   "runs no images through the network. //experiments:sweep turns it on where runs share all of them.")
          .Default("false")
          .NoEffectOnResult());
  return schema;
}

bool CompensatesPrefix(const Request& request) { return request.Of("fit").String("prefix") == "compensated"; }

// A chain of what is applied to the images before a block: equal where all earlier solutions are.
std::string DigestOf(const std::string& before, const BlockSolution& solution) {
  std::string text = before;
  if (solution.kept) {
    for (const auto& [name, tensor] : solution.tensors) {
      const at::Tensor bytes = tensor.contiguous();
      absl::StrAppend(&text, "\n", name, " ", c10::toString(bytes.scalar_type()), " ", c10::str(bytes.sizes()), " ",
                      Sha256({static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()}));
    }
  }
  return Sha256(text + "\n" + solution.block);
}

// One fit: the network in both precisions and the images' values before the current block.
class BlockwiseFit {
 public:
  // All must outlive it. Nothing is loaded or computed before the first Sum.
  BlockwiseFit(RunContext& context, const QuantizedModel& model, const Compensator& compensator,
               const ImageList& images, StageOutcome* outcome)
      : context_(context), model_(model), compensator_(compensator), images_(images), outcome_(outcome) {}

  // Sums the block over all images and ranks, whose values are first brought past the blocks before it. solutions: of
  // these. Blocks come in order.
  absl::Status Sum(int index, const std::vector<BlockSolution>& solutions, BlockFit* fit) {
    if (quantized_ == nullptr) QWT_RETURN_IF_ERROR(Start());
    while (block_ < index) QWT_RETURN_IF_ERROR(Pass(solutions[block_]));
    QWT_RETURN_IF_ERROR(RunBlock(fit));
    return fit->Reduce(context_.comm);
  }

 private:
  absl::Status Start() {
    const TensorMap parameters = ToDevice(model_.parameters, context_.device);
    float_ = MakeHalvingExecutor(MakeFloatExecutor(parameters));
    QWT_ASSIGN_OR_RETURN(quantized_, MakeFakeQuantExecutor(model_.graph, parameters, model_.plan));
    quantized_ = MakeHalvingExecutor(std::move(quantized_));
    QWT_ASSIGN_OR_RETURN(std::vector<Batch> batches, LoadBatches(context_, images_, outcome_));
    outcome_->forward_images = images_.indices.size();
    for (Batch& batch : batches) {
      values_.push_back(std::move(batch.images));
      first_images_.push_back(batch.ordinal * images_.batch_size);
    }
    return RunQuantized(model_.graph.stem);
  }

  // The current block's quantised outputs and, where there is a fit, its sums.
  absl::Status RunBlock(BlockFit* fit) {
    const Segment& block = model_.graph.blocks[block_];
    if (const Segment* transition = model_.graph.TransitionBefore(block_)) {
      QWT_RETURN_IF_ERROR(RunQuantized(*transition));
    }
    outputs_.resize(values_.size());
    context_.progress.Begin(absl::StrCat(fit != nullptr ? "fit " : "pass ", block.name), images_.indices.size(),
                            "images");
    return Each([&](int64_t i) -> absl::Status {
      QWT_ASSIGN_OR_RETURN(outputs_[i], quantized_->Run(block, values_[i]));
      if (fit != nullptr) {
        QWT_ASSIGN_OR_RETURN(at::Tensor wanted, float_->Run(block, values_[i]));
        QWT_RETURN_IF_ERROR(Accumulate(*fit, first_images_[i], values_[i], wanted, outputs_[i]));
      }
      context_.progress.Advance(values_[i].size(0) * context_.comm.size());
      return absl::OkStatus();
    });
  }

  // Moves the values past the current block, which Sum may have run already.
  absl::Status Pass(const BlockSolution& solution) {
    if (outputs_.empty()) QWT_RETURN_IF_ERROR(RunBlock(nullptr));
    BlockSolution applied = solution;
    applied.tensors = ToDevice(solution.tensors, context_.device);
    const bool compensates = CompensatesPrefix(context_.request);
    QWT_RETURN_IF_ERROR(Each([&](int64_t i) -> absl::Status {
      values_[i] = compensates ? compensator_.Apply(applied, values_[i], outputs_[i]) : outputs_[i];
      return absl::OkStatus();
    }));
    outputs_.clear();
    ++block_;
    return absl::OkStatus();
  }

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
  const ImageList& images_;
  StageOutcome* outcome_;
  std::unique_ptr<Executor> float_, quantized_;
  int block_ = 0;                      // the current one
  std::vector<at::Tensor> values_;     // by batch of this rank: its input; once it has run, past its transition
  std::vector<at::Tensor> outputs_;    // its quantised output; empty where it has not run yet
  std::vector<int64_t> first_images_;  // where the batch's images begin in the fit's list
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
    const StoreKey whole = StageKey("fit", 4, planning, {"fit"}, {kQuantized}, &plan.images);
    const std::string sums = SumsText(planning, plan.images);
    for (const Segment& block : planning.graph.blocks) {
      plan.keys.push_back(StoreKey("fit.block", 1).Add("fit", whole.text()).Add("block", block.name));
      plan.entries.push_back(block.name);
      plan.shared.push_back(StoreKey("fit.sums", 1).Add("of", sums).Add("block", block.name));
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
    BlockwiseFit sums(context, model, *compensator, plan.images, outcome);
    std::string digest;
    for (size_t i = 0; i < plan.keys.size(); ++i) {
      if (i >= stored.size()) {
        StoreKey key = plan.shared[i];
        if (i > 0 && CompensatesPrefix(context.request)) key.Add("after", digest);
        QWT_ASSIGN_OR_RETURN(std::unique_ptr<BlockFit> fit, compensator->Begin(model.graph, i));
        QWT_RETURN_IF_ERROR(FindSums(key, i, stored, context, sums, fit.get()));
        QWT_ASSIGN_OR_RETURN(BlockSolution solution, fit->Solve());
        QWT_RETURN_IF_ERROR(StoreEntry(context, plan.keys[i], SolutionToFile(solution)));
        stored.push_back(std::move(solution));
      }
      digest = DigestOf(digest, stored[i]);
    }
    if (outcome->forward_images == 0) QWT_RETURN_IF_ERROR(RecallSkipped(context, plan.images, outcome));
    model.compensation = std::move(stored);
    return absl::OkStatus();
  }

 private:
  static absl::StatusOr<std::unique_ptr<Compensator>> MakeCompensator(const Options& options) {
    QWT_ASSIGN_OR_RETURN(auto component, CompensatorRegistry::Get().Find(options.String("compensator")));
    return component->create(options);
  }

  // What all blocks' sums depend on, but for what is applied before the block.
  static std::string SumsText(const Planning& planning, const ImageList& images) {
    const auto compensator = MakeCompensator(planning.request.Of("fit"));
    if (!compensator.ok()) return "";  // CheckCompensator says so
    return StageKey("fit.sums", 2, planning, {}, {kQuantized}, &images)
        .Add("compensator", (*compensator)->SumsText())
        .Add("prefix", planning.request.Of("fit").String("prefix"))
        .text();
  }

  // Block `index`'s sums, from the store or over the images; solutions: of the blocks before it.
  static absl::Status FindSums(const StoreKey& key, int index, const std::vector<BlockSolution>& solutions,
                               RunContext& context, BlockwiseFit& blocks, BlockFit* fit) {
    QWT_ASSIGN_OR_RETURN(const auto payloads, LookupEntries(context, {key}));
    if (payloads[0].has_value()) {
      QWT_ASSIGN_OR_RETURN(const TensorFile file, ReadSafetensors(*payloads[0]));
      return fit->Restore(ToDevice(file.tensors, context.device));
    }
    QWT_RETURN_IF_ERROR(blocks.Sum(index, solutions, fit));
    if (!context.request.Of("fit").Bool("store_sums")) return absl::OkStatus();
    return StoreEntry(context, key, {ToDevice(fit->Sums(), at::kCPU), {}});
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
