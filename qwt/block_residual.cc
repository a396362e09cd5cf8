#include "qwt/block_residual.h"

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/isfinite.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/cost.h"
#include "models/shape.h"

namespace qwt {
namespace {

// The leading dimensions that X shares with Y: all but the channels of tokens, the images of images.
int64_t SharedDims(const at::Tensor& y) { return y.dim() == 4 ? 1 : y.dim() - 1; }

absl::Status Check(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                   const at::Tensor& y_quant) {
  const int64_t shared = SharedDims(y_float);
  if (y_float.sizes() != y_quant.sizes() || x.dim() < 2 || x.dim() != y_float.dim() ||
      x.sizes().slice(0, shared) != y_float.sizes().slice(0, shared)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "block ", block, ": its input ", ShapeText(x.sizes()), ", float output ", ShapeText(y_float.sizes()),
        " and quantised output ", ShapeText(y_quant.sizes()), " do not fit together; ",
        shared == 1 ? "the first" : "all but the last", " dimension must be equal"));
  }
  using Named = std::pair<const char*, const at::Tensor*>;
  for (const auto& [name, tensor] :
       {Named("input", &x), Named("float output", &y_float), Named("quantised output", &y_quant)}) {
    if (tensor->scalar_type() != at::kFloat) {
      return absl::InvalidArgumentError(absl::StrCat("block ", block, ": its ", name, " is ",
                                                     c10::toString(tensor->scalar_type()), "; float32 is needed"));
    }
    if (!at::isfinite(*tensor).all().item<bool>()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "block ", block, ": its ", name,
          " holds NaN or infinity, which nothing can be fitted to; look for them in the weights and images"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<BlockShape>> BlockShapes(const Graph& graph) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, 1));
  const std::vector<const Segment*> segments = graph.Segments();
  std::vector<BlockShape> blocks;
  for (const Segment& block : graph.blocks) {
    const SegmentShapes& values = shapes[std::find(segments.begin(), segments.end(), &block) - segments.begin()];
    blocks.push_back({values.front(), values.back()});
  }
  return blocks;
}

absl::Status CheckTokenBlocks(const Graph& graph) {
  QWT_ASSIGN_OR_RETURN(const std::vector<BlockShape> shapes, BlockShapes(graph));
  for (size_t i = 0; i < shapes.size(); ++i) {
    const auto& [input, output] = shapes[i];
    if (input.size() == 3 && output.size() == 3 && input[1] == output[1]) continue;
    return absl::InvalidArgumentError(absl::StrCat("needs blocks of tokens, [N, T, C] in and out; ",
                                                   graph.blocks[i].name, " of ", graph.name, " makes ",
                                                   ShapeText(output), " from ", ShapeText(input)));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> BlockResidual(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                                         const at::Tensor& y_quant) {
  QWT_RETURN_IF_ERROR(Check(block, x, y_float, y_quant));
  return y_float - y_quant;
}

}  // namespace qwt
