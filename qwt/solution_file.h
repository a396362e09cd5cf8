// A block's solution as tensors and text: an entry of the store, a part of a saved model.
#pragma once

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "qwt/compensator.h"

namespace qwt {

// Every field, exactly; the figures as JSON under the metadata key "solution".
TensorFile SolutionToFile(const BlockSolution& solution);
// DataLoss, saying what is wrong, for anything that SolutionToFile did not write.
absl::StatusOr<BlockSolution> SolutionFromFile(const TensorFile& file);

}  // namespace qwt
