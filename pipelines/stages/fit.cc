// fit: block by block, the compensation that best explains what quantisation lost (algorithms section 5), each on the
// output of the prefix before it: compensated, as published, or as quantised. Every block's solution is stored as it is
// found, so a run that is stopped goes on after the last one; with fit.store_sums so are the sums it is solved from, of
// which settings with another ridge, gate or storage solve theirs without running the network.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/byte_count.h"
#include "core/base/disk.h"
#include "core/tensor/device.h"
#include "models/cost.h"
#include "pipelines/stage.h"
#include "pipelines/stages/blockwise_fit.h"
#include "pipelines/stages/images_schema.h"
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
    plan.values_key = StageKey("activations", 1, planning, {}, {kQuantized}, &plan.images).text();
    PlanMemory(planning, problems, &plan);
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
    BlockwiseFit sums(context, model, *compensator, plan, outcome);
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

  static void PlanMemory(const Planning& planning, Problems* problems, PlannedStage* plan) {
    const Options& runtime = planning.request.Of("runtime");
    const int64_t in_flight = ImagesInFlight(planning, plan->images);
    const int64_t working = PeakActivationBytes(planning.graph, in_flight);
    plan->value_bytes = BlockwiseBytes(planning.graph, ImagesOfRank(plan->images, planning), in_flight) - working;
    plan->cache = ResolveCacheBudget(runtime, planning.device, planning.world_size);
    const auto compensator = MakeCompensator(planning.request.Of("fit"));
    plan->memory_bytes = std::min(plan->value_bytes, plan->cache.device_bytes) + working +
                         (compensator.ok() ? (*compensator)->FitBytes(planning.graph, in_flight) : 0);
    const std::string& store = runtime.String("store");
    // Ranks share the store's disk, but not memory.
    const int64_t ranks = planning.world_size, needed = FileBytes(plan->value_bytes, plan->cache) * ranks;
    const int64_t free = FreeBytes(store);
    if (needed <= free) return;
    problems->Add(planning.request.Of("fit").Where("images"),
                  absl::StrCat("the values between blocks take ", FormatBytes(plan->value_bytes * ranks),
                               " in all, of which ", FormatBytes(needed),
                               " are more than memory is to hold (runtime.cache_bytes), and the disk of the store '",
                               store, "' has ", FormatBytes(free),
                               " free: take fewer images, more memory or another store with runtime.store=DIR"));
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
