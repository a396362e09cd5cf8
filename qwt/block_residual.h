// What compensators check of the network and of the tensors they fit to.
#pragma once

#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/graph.h"

namespace qwt {

// InvalidArgument, naming the first block that does not take and make tokens: [N, T, C] -> [N, T, C'].
absl::Status CheckTokenBlocks(const Graph& graph);

// Y − Ŷ, float32. InvalidArgument, naming the block and the tensor, for NaN, infinity, another dtype than float32 or
// shapes that do not fit: Y and Ŷ have equal ones, and X the same but for the last dimension.
absl::StatusOr<at::Tensor> BlockResidual(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                                         const at::Tensor& y_quant);

}  // namespace qwt
