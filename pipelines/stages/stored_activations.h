// A block's inputs and outputs on a fit's images, in the store: for a fit that was stopped, and for settings that
// differ in what is summed over them only.
//
// Entries, one for each micro-batch, are of kind "activations": a safetensors file with float32 "input" and, where no
// compensation has been applied before the block, so that settings of any compensator come by here, "quantized" and
// "float", its outputs.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipelines/activation_cache.h"
#include "pipelines/stage.h"

namespace qwt {

// What the store has of a block, for every batch of every rank or of none.
struct BlockValues {
  bool inputs_found = false, outputs_found = false;
  std::map<int64_t, MappedTensor> inputs, quantized, floats;  // of this rank, by batch
};

// A block and what has been applied to the values before it: its name, and "" for nothing.
struct BlockPlace {
  std::string block, applied;
};

class StoredActivations {
 public:
  StoredActivations(RunContext& context, const PlannedStage& plan);

  // Of this rank: the ordinals of all its batches.
  std::vector<int64_t> Batches() const;
  // Every rank calls. What is found stays in the store until the next call.
  absl::StatusOr<BlockValues> Find(const BlockPlace& place);
  // From here on Keep is of this block. Every rank calls. Makes room within the budget for its inputs, `input_bytes` on
  // a rank, and what else is kept, and removes others of the kind for it, the least recently used first. Where there is
  // none, or no budget, Keep does nothing.
  absl::Status Begin(const BlockPlace& place, int64_t input_bytes);
  // Stores one batch's values. Thread safe. A store that has no room or cannot be written to is no error: a warning
  // says so and nothing more is kept.
  void Keep(int64_t batch, const at::Tensor& input, const at::Tensor& quantized, const at::Tensor& y_float);

 private:
  StoreKey KeyOf(const BlockPlace& place, int64_t batch) const;
  absl::StatusOr<BlockValues> FindOwn(const BlockPlace& place);

  RunContext& context_;
  const PlannedStage& plan_;
  std::vector<StoreKey> pinned_;
  BlockPlace place_;
  std::atomic<bool> keeps_ = false;
};

}  // namespace qwt
