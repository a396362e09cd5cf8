#include "models/checkpoints/position_embedding.h"

#include <algorithm>
#include <cmath>

#include "ATen/ops/cat.h"
#include "ATen/ops/upsample_bicubic2d.h"

namespace qwt {
namespace {

// The side of a square of so many patches; 0 where they make none.
int64_t Side(int64_t patches) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(patches, 0)))));
  return side * side == patches ? side : 0;
}

}  // namespace

PositionEmbedding FindPositionEmbedding(const Graph& graph) {
  PositionEmbedding embedding;
  for (const Node& node : graph.stem.nodes) {
    embedding.prefix += node.op == Op::kPrependToken;
    if (node.op == Op::kAddParameter) embedding.name = node.weight;
  }
  return embedding;
}

bool IsOtherGrid(const ParameterSpec& spec, at::IntArrayRef shape, int64_t prefix) {
  return shape.size() == 3 && shape[0] == 1 && shape[2] == spec.shape[2] && shape[1] != spec.shape[1] &&
         Side(shape[1] - prefix) > 0 && Side(spec.shape[1] - prefix) > 0;
}

at::Tensor ResizePositionEmbedding(const at::Tensor& embedding, int64_t prefix, int64_t tokens) {
  const int64_t from = Side(embedding.size(1) - prefix), to = Side(tokens - prefix), channels = embedding.size(2);
  const at::Tensor grid = embedding.narrow(1, prefix, from * from).reshape({1, from, from, channels});
  const at::Tensor resized =
      at::upsample_bicubic2d(grid.permute({0, 3, 1, 2}).contiguous(), {to, to}, /*align_corners=*/false);
  return at::cat({embedding.narrow(1, 0, prefix), resized.permute({0, 2, 3, 1}).reshape({1, to * to, channels})}, 1);
}

}  // namespace qwt
