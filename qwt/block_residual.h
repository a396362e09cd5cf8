// What compensators check of the network and of the tensors they fit to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/graph.h"

namespace qwt {

// Of one image, the leading 1 included: tokens [1, T, C] or an image [1, C, h, w].
struct BlockShape {
  std::vector<int64_t> input, output;
};

// By block. What InferShapes says where the graph's shapes do not fit.
absl::StatusOr<std::vector<BlockShape>> BlockShapes(const Graph& graph);

// InvalidArgument, naming the first block that does not take and make tokens: [N, T, C] -> [N, T, C'].
absl::Status CheckTokenBlocks(const Graph& graph);

// Y − Ŷ, float32. InvalidArgument, naming the block and the tensor, for NaN, infinity, another dtype than float32 or
// shapes that do not fit: Y and Ŷ have equal ones, and X as many images; where they are tokens, as many of these.
absl::StatusOr<at::Tensor> BlockResidual(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                                         const at::Tensor& y_quant);

}  // namespace qwt
