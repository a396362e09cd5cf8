// Sums the blocks of a network over a fit's images, one after another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "models/executor.h"
#include "pipelines/activation_cache.h"
#include "pipelines/stage.h"
#include "pipelines/stages/stored_activations.h"
#include "qwt/compensator.h"
#include "qwt/quantized_model.h"

namespace qwt {

// Whether fit.prefix lets a block's input come through the compensated blocks before it.
bool CompensatesPrefix(const Request& request);

// A chain of the solutions before a block: equal where all of them are.
std::string DigestOf(const std::string& before, const BlockSolution& solution);

// One fit: the network in both precisions and the images' values before the current block.
class BlockwiseFit {
 public:
  // All must outlive it. Nothing is loaded or computed before the first Sum.
  BlockwiseFit(RunContext& context, const QuantizedModel& model, const Compensator& compensator,
               const PlannedStage& plan, StageOutcome* outcome);

  // Sums the block over all images and ranks, whose values are first brought past the blocks before it, or taken from
  // the store where it has them. solutions: of these blocks. Blocks come in order.
  absl::Status Sum(int index, const std::vector<BlockSolution>& solutions, BlockFit* fit);

 private:
  BlockPlace PlaceOf(int index, const std::vector<BlockSolution>& solutions);
  absl::Status MakeExecutors();
  absl::Status Load();
  absl::Status EnterBlock();
  absl::Status RunBlock(BlockFit* fit);
  absl::Status SumBatch(int64_t batch, BlockFit* fit);
  absl::Status Pass(const BlockSolution& solution);
  absl::Status RunQuantized(const Segment& segment);
  absl::Status TakeStored(int index, const std::vector<BlockSolution>& solutions);
  absl::Status Each(const std::function<absl::Status(int64_t batch)>& function);

  RunContext& context_;
  const QuantizedModel& model_;
  const Compensator& compensator_;
  const PlannedStage& plan_;
  StageOutcome* outcome_;
  ActivationCache values_;
  StoredActivations stored_;
  std::unique_ptr<Executor> float_, quantized_;
  std::vector<std::string> applied_{""};  // by block: what has been applied before it
  std::vector<int64_t> batches_;          // of this rank: ordinals of those that have images
  bool loaded_ = false;                   // there are values before or in block_
  int block_ = 0;                         // the current one
  bool entered_ = false;                  // the values are past the transition before it
  bool ran_ = false;                      // its outputs are there
  bool backwards_ = false;                // how batches are gone through next
  BlockValues found_;                     // of the block that is summed, in the store
};

}  // namespace qwt
