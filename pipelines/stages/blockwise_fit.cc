#include "pipelines/stages/blockwise_fit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "pipelines/stages/images_schema.h"
#include "quant/fake_quant_executor.h"

namespace qwt {
namespace {

// What the cache holds of each batch.
constexpr int kInput = 0;   // the current block's input; until it is entered, before its transition
constexpr int kOutput = 1;  // its quantised output

// In halves where there is no memory for the whole.
absl::Status Accumulate(BlockFit& fit, int64_t first_image, const at::Tensor& x, const at::Tensor& y_float,
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

}  // namespace

bool CompensatesPrefix(const Request& request) { return request.Of("fit").String("prefix") == "compensated"; }

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

BlockwiseFit::BlockwiseFit(RunContext& context, const QuantizedModel& model, const Compensator& compensator,
                           const PlannedStage& plan, StageOutcome* outcome)
    : context_(context),
      model_(model),
      compensator_(compensator),
      plan_(plan),
      outcome_(outcome),
      values_(context.device, plan.cache, context.store.ScratchPath()),
      stored_(context, plan) {}

absl::Status BlockwiseFit::Sum(int index, const std::vector<BlockSolution>& solutions, BlockFit* fit) {
  QWT_RETURN_IF_ERROR(TakeStored(index, solutions));
  if (!loaded_) QWT_RETURN_IF_ERROR(Load());
  while (block_ < index) QWT_RETURN_IF_ERROR(Pass(solutions[block_]));
  if (!found_.outputs_found) QWT_RETURN_IF_ERROR(stored_.Begin(PlaceOf(index, solutions), plan_.value_bytes / 2));
  QWT_RETURN_IF_ERROR(RunBlock(fit));
  return fit->Reduce(context_.comm);
}

BlockPlace BlockwiseFit::PlaceOf(int index, const std::vector<BlockSolution>& solutions) {
  const std::string& compensator = context_.request.Of("fit").String("compensator");
  while (static_cast<int>(applied_.size()) <= index) {
    const BlockSolution& solution = solutions[applied_.size() - 1];
    const bool changes = CompensatesPrefix(context_.request) && solution.kept;
    applied_.push_back(changes ? DigestOf(absl::StrCat(applied_.back(), compensator, "\n"), solution)
                               : applied_.back());
  }
  return {model_.graph.blocks[index].name, applied_[index]};
}

// Goes on from the store: with the block's inputs and outputs where it has them, or with the inputs of the last block
// before it of which it has some, where there are no values yet.
absl::Status BlockwiseFit::TakeStored(int index, const std::vector<BlockSolution>& solutions) {
  int block = index;
  QWT_ASSIGN_OR_RETURN(found_, stored_.Find(PlaceOf(index, solutions)));
  while (!loaded_ && !found_.inputs_found && block > 0) {
    QWT_ASSIGN_OR_RETURN(found_, stored_.Find(PlaceOf(--block, solutions)));
  }
  if (block < index) found_.outputs_found = false;
  const bool at_hand = loaded_ && (block_ == index || (block_ + 1 == index && ran_));
  if (!found_.inputs_found || (at_hand && !found_.outputs_found)) return absl::OkStatus();
  QWT_LOG(INFO) << "fit: from the store, values of " << model_.graph.blocks[block].name << ": its inputs"
                << (found_.outputs_found ? " and outputs" : "");
  batches_ = stored_.Batches();
  for (const int64_t batch : batches_) {
    values_.Erase({kOutput, batch});
    values_.PutMapped({kInput, batch}, found_.inputs.at(batch));
  }
  loaded_ = entered_ = true;
  ran_ = false;
  block_ = block;
  return absl::OkStatus();
}

absl::Status BlockwiseFit::MakeExecutors() {
  outcome_->forward_images = plan_.images.indices.size();
  if (quantized_ != nullptr) return absl::OkStatus();
  const TensorMap parameters = ToDevice(model_.parameters, context_.device);
  float_ = MakeHalvingExecutor(MakeFloatExecutor(parameters));
  QWT_ASSIGN_OR_RETURN(quantized_, MakeFakeQuantExecutor(model_.graph, parameters, model_.plan));
  quantized_ = MakeHalvingExecutor(std::move(quantized_));
  return absl::OkStatus();
}

absl::Status BlockwiseFit::Load() {
  QWT_RETURN_IF_ERROR(ForEachBatch(context_, plan_.images, outcome_, [&](Batch batch) {
    batches_.push_back(batch.ordinal);
    return values_.Put({kInput, batch.ordinal}, batch.images);
  }));
  loaded_ = true;
  return RunQuantized(model_.graph.stem);
}

absl::Status BlockwiseFit::EnterBlock() {
  if (entered_) return absl::OkStatus();
  if (const Segment* transition = model_.graph.TransitionBefore(block_)) {
    QWT_RETURN_IF_ERROR(RunQuantized(*transition));
  }
  entered_ = true;
  return absl::OkStatus();
}

// The current block's quantised outputs and, where there is a fit, its sums.
absl::Status BlockwiseFit::RunBlock(BlockFit* fit) {
  QWT_RETURN_IF_ERROR(EnterBlock());
  if (!found_.outputs_found) QWT_RETURN_IF_ERROR(MakeExecutors());
  const Segment& block = model_.graph.blocks[block_];
  context_.progress.Begin(absl::StrCat(fit != nullptr ? "fit " : "pass ", block.name), plan_.images.indices.size(),
                          "images");
  QWT_RETURN_IF_ERROR(Each([&](int64_t batch) { return SumBatch(batch, fit); }));
  ran_ = true;
  return absl::OkStatus();
}

absl::Status BlockwiseFit::SumBatch(int64_t batch, BlockFit* fit) {
  const Segment& block = model_.graph.blocks[block_];
  const bool stored = found_.outputs_found;
  QWT_ASSIGN_OR_RETURN(const PinnedValue x, values_.Get({kInput, batch}));
  if (stored) values_.PutMapped({kOutput, batch}, found_.quantized.at(batch));
  if (!stored) {
    QWT_ASSIGN_OR_RETURN(const at::Tensor output, quantized_->Run(block, x.value));
    QWT_RETURN_IF_ERROR(values_.Put({kOutput, batch}, output));
  }
  if (fit != nullptr) {
    QWT_ASSIGN_OR_RETURN(const PinnedValue y_quant, values_.Get({kOutput, batch}));
    at::Tensor y_float;
    if (stored) {
      y_float = CopyOf(found_.floats.at(batch)).to(context_.device);
    } else {
      QWT_ASSIGN_OR_RETURN(y_float, float_->Run(block, x.value));
      y_float = y_float.contiguous();
      stored_.Keep(batch, x.value, y_quant.value, y_float);
    }
    QWT_RETURN_IF_ERROR(Accumulate(*fit, batch * plan_.images.batch_size, x.value, y_float, y_quant.value));
  }
  context_.progress.Advance(x.value.size(0) * context_.comm.size());
  return absl::OkStatus();
}

// Moves the values past the current block, which Sum may have run already.
absl::Status BlockwiseFit::Pass(const BlockSolution& solution) {
  if (!ran_) QWT_RETURN_IF_ERROR(RunBlock(nullptr));
  BlockSolution applied = solution;
  applied.tensors = ToDevice(solution.tensors, context_.device);
  const bool compensates = CompensatesPrefix(context_.request);
  QWT_RETURN_IF_ERROR(Each([&](int64_t batch) -> absl::Status {
    at::Tensor next;
    {
      QWT_ASSIGN_OR_RETURN(const PinnedValue y, values_.Get({kOutput, batch}));
      next = y.value;
      if (compensates) {
        QWT_ASSIGN_OR_RETURN(const PinnedValue x, values_.Get({kInput, batch}));
        next = compensator_.Apply(applied, x.value, y.value);
      }
    }
    values_.Erase({kOutput, batch});
    return values_.Put({kInput, batch}, next);
  }));
  ran_ = entered_ = false;
  ++block_;
  return absl::OkStatus();
}

// Moves the values past a segment that is not compensated.
absl::Status BlockwiseFit::RunQuantized(const Segment& segment) {
  QWT_RETURN_IF_ERROR(MakeExecutors());
  return Each([&](int64_t batch) -> absl::Status {
    at::Tensor next;
    {
      QWT_ASSIGN_OR_RETURN(const PinnedValue x, values_.Get({kInput, batch}));
      QWT_ASSIGN_OR_RETURN(next, quantized_->Run(segment, x.value));
    }
    return values_.Put({kInput, batch}, next);
  });
}

// Forwards and backwards in turn, so that those which were used last, and lie in the fastest memory, come first. Sums
// do not depend on the order of their terms.
absl::Status BlockwiseFit::Each(const std::function<absl::Status(int64_t batch)>& function) {
  const int64_t count = batches_.size();
  const bool backwards = std::exchange(backwards_, !backwards_);
  return ParallelFor(count, context_.compute_threads(),
                     [&](int64_t i) { return function(batches_[backwards ? count - 1 - i : i]); });
}

}  // namespace qwt
