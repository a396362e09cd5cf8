// QwT's compensation of a ResNet's blocks: Y ≈ Ŷ + conv(X) + b with one group convolution of the block's own stride
// (arXiv 2411.13918, section 3.4). Each group is least squares of its output channels on its input channels' unfolded
// patches, with a ridge on W and b, as the official code solves it; there in float32, here in float64. Applied as a
// float16 convolution with a float32 bias.
//
// Deviations from the official code: the bias is the best one for the weights as rounded to float16, the gate sees
// those, and odd sizes at stride 2 work, which it refuses.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/bmm.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/im2col.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "models/shape.h"
#include "qwt/block_residual.h"
#include "qwt/compensator.h"
#include "qwt/compensators/common/least_squares_fit.h"

namespace qwt {
namespace {

// The smallest stride at which a convolution of an odd kernel k, padded by k / 2, makes the output's height and width
// from the input's: a block's own, for blocks of stride 1 and 2. 0: there is none.
int64_t Stride(at::IntArrayRef input, at::IntArrayRef output) {
  const auto size = [](int64_t in, int64_t stride) { return (in - 1) / stride + 1; };
  for (int64_t stride = 1; stride <= std::max(input[2], input[3]); ++stride) {
    if (size(input[2], stride) == output[2] && size(input[3], stride) == output[3]) return stride;
  }
  return 0;
}

struct Geometry {
  int64_t groups = 1, inputs = 0, outputs = 0;  // channels of a group
  int64_t kernel = 1, stride = 1;

  // [N, C, h, w] -> [groups, N, h' * w', inputs * kernel²] or, the same, [groups, N, h', w', inputs].
  at::Tensor Patches(const at::Tensor& x) const {
    if (kernel == 1) return ByGroup(SeenByOneByOne(x, stride));
    const int64_t padding = kernel / 2;
    return ByGroup(at::im2col(x.contiguous(), {kernel, kernel}, {1, 1}, {padding, padding}, {stride, stride}));
  }
  // [N, groups * c, ...] -> [groups, N, ..., c], a view.
  at::Tensor ByGroup(const at::Tensor& x) const {
    return x.unflatten(1, {groups, x.size(1) / groups}).transpose(0, 1).movedim(2, -1);
  }
  // The positions that a kernel of 1 sees, a view.
  static at::Tensor SeenByOneByOne(const at::Tensor& x, int64_t stride) {
    return x.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride);
  }
};

// The group convolution of kernel 1 as one product of matrices for each group, which GPUs have fast kernels for. x:
// [N, C, h, w]; weight: [C', C / groups, 1, 1], whose dtype the product has. Positions of all images lie side by side:
// one copy, which rounds as well, brings them there, and the weight is read as it is.
at::Tensor PointwiseProduct(const at::Tensor& x, const at::Tensor& weight, int64_t groups, int64_t stride) {
  const at::Tensor seen = Geometry::SeenByOneByOne(x, stride).unflatten(1, {groups, weight.size(1)});
  const int64_t images = x.size(0), outputs = weight.size(0) / groups, height = seen.size(3), width = seen.size(4);
  const at::Tensor inputs = at::empty({groups, weight.size(1), images, height, width}, weight.options());
  inputs.copy_(seen.permute({1, 2, 0, 3, 4}));
  return at::bmm(weight.view({groups, outputs, weight.size(1)}), inputs.flatten(2))
      .view({groups, outputs, images, height, width})
      .permute({2, 0, 1, 3, 4})
      .flatten(1, 2);
}

class GroupConv : public Compensator {
 public:
  explicit GroupConv(const Options& options)
      : options_(ReadFitOptions(options)), factor_(options.Int("factor")), kernel_(options.Int("kernel_size")) {}

  absl::Status Check(const Graph& graph, int64_t images) const override {
    QWT_ASSIGN_OR_RETURN(const std::vector<BlockShape> shapes, BlockShapes(graph));
    for (size_t i = 0; i < shapes.size(); ++i) {
      QWT_RETURN_IF_ERROR(CheckBlock(absl::StrCat(graph.blocks[i].name, " of ", graph.name), shapes[i]));
    }
    return options_.CheckImages(images);
  }

  int64_t FitBytes(const Graph& graph, int64_t images_in_flight) const override {
    const auto shapes = BlockShapes(graph);
    int64_t most = 0;
    if (!shapes.ok()) return most;
    for (const auto& [input, output] : *shapes) {
      const int64_t groups = Groups(input[1]), positions = output[2] * output[3];
      most = std::max(most, LeastSquaresBytes(options_, groups, input[1] / groups * kernel_ * kernel_,
                                              output[1] / groups, output[1] * positions, images_in_flight * positions));
    }
    return most;
  }

  std::string SumsText() const override {
    return absl::StrCat("group_conv factor ", factor_, " kernel_size ", kernel_, " ", options_.SumsText());
  }

  absl::StatusOr<std::unique_ptr<BlockFit>> Begin(const Graph& graph, int block_index) const override {
    QWT_CHECK(block_index >= 0 && block_index < graph.blocks.size());
    QWT_ASSIGN_OR_RETURN(const std::vector<BlockShape> shapes, BlockShapes(graph));
    const auto& [input, output] = shapes[block_index];
    QWT_RETURN_IF_ERROR(CheckBlock(graph.blocks[block_index].name, shapes[block_index]));
    LeastSquaresLayer layer;
    layer.groups = Groups(input[1]);
    layer.ridge_of_bias = true;
    layer.mean_by_position = {output[1], output[2], output[3]};
    const Geometry conv = {layer.groups, input[1] / layer.groups, output[1] / layer.groups, kernel_,
                           Stride(input, output)};
    layer.inputs = [conv](const at::Tensor& x) { return conv.Patches(x); };
    layer.targets = [conv](const at::Tensor& residual) { return conv.ByGroup(residual); };
    layer.stored_weight = [conv](const at::Tensor& weight) {
      return weight.transpose(1, 2).reshape({weight.size(0) * conv.outputs, conv.inputs, conv.kernel, conv.kernel});
    };
    return MakeLeastSquaresFit(graph.blocks[block_index].name, block_index, options_, std::move(layer));
  }

  // y_quant + conv(X) + b. With float16 weights: X and W rounded to float16, the sums of the convolution in float32,
  // its result rounded to float16, as by a GPU's float16 convolution. Everything but the stride stands in the weight's
  // shape.
  at::Tensor Apply(const BlockSolution& solution, const at::Tensor& x, const at::Tensor& y_quant) const override {
    if (!solution.kept) return y_quant;
    const at::Tensor& weight = solution.tensors.at("weight");
    const at::ScalarType storage = weight.scalar_type();
    const int64_t stride = Stride(x.sizes(), y_quant.sizes()), padding = weight.size(2) / 2;
    const int64_t groups = x.size(1) / weight.size(1);
    at::Tensor product;
    if (!x.is_cpu() && weight.size(2) == 1) {
      product = PointwiseProduct(x, weight, groups, stride);
    } else {
      const at::ScalarType computed = x.is_cpu() ? at::kFloat : storage;
      product = at::conv2d(x.to(storage).to(computed).contiguous(), weight.to(computed), {}, {stride, stride},
                           {padding, padding}, {1, 1}, groups)
                    .to(storage);
    }
    // The sum of float32 and float16 is of the latter as float32, without a copy of it.
    return (y_quant + product).add_(solution.tensors.at("bias").view({1, -1, 1, 1}));
  }

  std::optional<AddedProduct> Added(const BlockSolution& solution) const override {
    const at::Tensor& weight = solution.tensors.at("weight");
    if (!solution.kept || weight.scalar_type() != at::kHalf) return std::nullopt;
    return AddedProduct{weight, solution.tensors.at("bias")};
  }

 private:
  int64_t Groups(int64_t channels) const { return std::max<int64_t>(channels / factor_, 1); }

  absl::Status CheckBlock(const std::string& block, const BlockShape& shape) const {
    const auto& [input, output] = shape;
    if (input.size() != 4 || output.size() != 4 || Stride(input, output) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("group_conv: needs blocks of images, [N, C, h, w] in and out, of the same or a smaller size; ",
                       block, " makes ", ShapeText(output), " from ", ShapeText(input)));
    }
    const int64_t groups = Groups(input[1]);
    if (input[1] % groups == 0 && output[1] % groups == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "group_conv: factor ", factor_, " makes ", groups, " groups of the ", input[1], " input channels of ", block,
        ", which do not divide these and its ", output[1], " output channels; take another factor"));
  }

  const FitOptions options_;
  const int64_t factor_, kernel_;
};

Schema GroupConvSchema() {
  Schema schema{FitOptionList("0.001",
                              "λ of λ(‖W‖² + ‖b‖²) beside the squared error, on sums over all positions; as published "
                              "0.001, which only keeps the solution finite where channels are linearly dependent.")};
  schema.options.push_back(
      Option::Int("factor",
                  "Input channels of a group: there are channels / factor groups, at least 1. A smaller factor makes "
                  "a smaller layer that sees less; as published, 64.")
          .Range(1, 65536)
          .Default("64"));
  schema.options.push_back(Option::Int("kernel_size",
                                       "Width of the convolution. 1, as published, sees one position; 3 sees its "
                                       "neighbours too, with nine times the weights.")
                               .OneOf({"1", "3"})
                               .Default("1"));
  return schema;
}

const bool registered =
    CompensatorRegistry::Get().Register({{"group_conv",
                                          "QwT for residual networks: a group convolution beside each block, W and b "
                                          "by ridge regression (arXiv 2411.13918).",
                                          GroupConvSchema()},
                                         [](const Options& options) -> absl::StatusOr<std::unique_ptr<Compensator>> {
                                           return std::make_unique<GroupConv>(options);
                                         }});

}  // namespace
}  // namespace qwt
