#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "models/cost.h"
#include "models/shape.h"

namespace qwt {
namespace {

using Shape = std::vector<int64_t>;
using ParameterShapes = std::map<std::string, Shape>;

absl::Status Misfit(const std::string& what) { return absl::InvalidArgumentError(what); }

// A node with the shapes it meets.
struct Call {
  const Node& node;
  const std::vector<Shape>& inputs;
  const ParameterShapes& parameters;

  const Shape& x() const { return inputs[0]; }
  const Shape& weight() const { return parameters.at(node.weight); }
  int64_t Integer(const char* key) const { return static_cast<int64_t>(node.Attribute(key)); }

  absl::Status NeedRank(size_t rank) const {
    if (x().size() == rank) return absl::OkStatus();
    return Misfit(absl::StrCat("the input must have ", rank, " dimensions"));
  }
  // `wanted` in the message, for what only the input can tell.
  absl::Status NeedWeight(bool fits, const std::string& wanted) const {
    if (fits) return absl::OkStatus();
    return Misfit(absl::StrCat("the weight is ", ShapeText(weight()), ", must be ", wanted));
  }
  absl::Status NeedBias(int64_t channels) const { return NeedVector("bias", node.bias, channels); }
  // `name`: a parameter's, or "" where the node has none.
  absl::Status NeedVector(const char* role, const std::string& name, int64_t channels) const {
    if (name.empty() || parameters.at(name) == Shape{channels}) return absl::OkStatus();
    return Misfit(absl::StrCat("the ", role, " is ", ShapeText(parameters.at(name)), ", must be [", channels, "]"));
  }
};

absl::StatusOr<Shape> Same(const Call& call) { return call.x(); }

absl::StatusOr<Shape> Conv2d(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  const Shape &x = call.x(), &weight = call.weight();
  const int64_t groups = call.Integer("groups"), stride = call.Integer("stride"), padding = call.Integer("padding");
  if (groups < 1 || stride < 1 || padding < 0)
    return Misfit("groups and stride must be at least 1, padding at least 0");
  QWT_RETURN_IF_ERROR(call.NeedWeight(weight.size() == 4 && weight[1] * groups == x[1] && weight[0] % groups == 0,
                                      absl::StrCat("[Co, ", x[1], " / ", groups, ", k, k], Co divisible by ", groups)));
  QWT_RETURN_IF_ERROR(call.NeedBias(weight[0]));
  const int64_t height = x[2] + 2 * padding - weight[2], width = x[3] + 2 * padding - weight[3];
  if (height < 0 || width < 0) return Misfit("the kernel is larger than the padded input");
  return Shape{x[0], weight[0], height / stride + 1, width / stride + 1};
}

absl::StatusOr<Shape> BatchNorm(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  const Node& node = call.node;
  for (const auto& [role, name] : {std::pair("weight", &node.weight), std::pair("bias", &node.bias),
                                   std::pair("mean", &node.mean), std::pair("variance", &node.variance)}) {
    QWT_RETURN_IF_ERROR(call.NeedVector(role, *name, call.x()[1]));
  }
  return call.x();
}

absl::StatusOr<Shape> MaxPool(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  const Shape& x = call.x();
  const int64_t kernel = call.Integer("kernel"), stride = call.Integer("stride"), padding = call.Integer("padding");
  if (kernel < 1 || stride < 1 || padding < 0 || padding > kernel / 2) {
    return Misfit("kernel and stride must be at least 1, padding from 0 to half the kernel");
  }
  const int64_t height = x[2] + 2 * padding - kernel, width = x[3] + 2 * padding - kernel;
  if (height < 0 || width < 0) return Misfit("the kernel is larger than the padded input");
  return Shape{x[0], x[1], height / stride + 1, width / stride + 1};
}

absl::StatusOr<Shape> GlobalAveragePool(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  return Shape{call.x()[0], call.x()[1]};
}

absl::StatusOr<Shape> FlattenTokens(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  return Shape{call.x()[0], call.x()[2] * call.x()[3], call.x()[1]};
}

absl::StatusOr<Shape> PrependToken(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  const Shape& x = call.x();
  QWT_RETURN_IF_ERROR(call.NeedWeight(call.weight() == Shape{1, 1, x[2]}, ShapeText(Shape{1, 1, x[2]})));
  return Shape{x[0], x[1] + 1, x[2]};
}

absl::StatusOr<Shape> AddParameter(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  const Shape& x = call.x();
  QWT_RETURN_IF_ERROR(call.NeedWeight(call.weight() == Shape{1, x[1], x[2]}, ShapeText(Shape{1, x[1], x[2]})));
  return x;
}

absl::StatusOr<Shape> MergePatches(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  const Shape& x = call.x();
  const int64_t height = call.Integer("height"), width = call.Integer("width");
  if (x[1] != height * width || height % 2 != 0 || width % 2 != 0) {
    return Misfit(absl::StrCat("there must be height * width tokens, is ", height, " * ", width, ", both even"));
  }
  return Shape{x[0], x[1] / 4, 4 * x[2]};
}

absl::StatusOr<Shape> LayerNorm(const Call& call) {
  const int64_t channels = call.x().back();
  QWT_RETURN_IF_ERROR(call.NeedWeight(call.weight() == Shape{channels}, ShapeText(Shape{channels})));
  QWT_RETURN_IF_ERROR(call.NeedBias(channels));
  return call.x();
}

absl::StatusOr<Shape> Linear(const Call& call) {
  Shape shape = call.x();
  const Shape& weight = call.weight();
  QWT_RETURN_IF_ERROR(
      call.NeedWeight(weight.size() == 2 && weight[1] == shape.back(), absl::StrCat("[Co, ", shape.back(), "]")));
  QWT_RETURN_IF_ERROR(call.NeedBias(weight[0]));
  shape.back() = weight[0];
  return shape;
}

// The windows of an image.
absl::StatusOr<int64_t> Windows(const Call& call) {
  const int64_t height = call.Integer("height"), width = call.Integer("width"), window = call.Integer("window"),
                shift = call.Integer("shift");
  if (window < 1 || height % window != 0 || width % window != 0 || shift < 0 || shift >= window) {
    return Misfit(absl::StrCat("window must divide height and width, shift be from 0 to window - 1; window is ", window,
                               ", height ", height, ", width ", width, ", shift ", shift));
  }
  return (height / window) * (width / window);
}

absl::StatusOr<Shape> SplitWindows(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  QWT_ASSIGN_OR_RETURN(const int64_t windows, Windows(call));
  const Shape& x = call.x();
  const int64_t tokens = call.Integer("window") * call.Integer("window");
  if (x[1] != windows * tokens) return Misfit(absl::StrCat("there must be ", windows * tokens, " tokens"));
  return Shape{x[0] * windows, tokens, x[2]};
}

absl::StatusOr<Shape> MergeWindows(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  QWT_ASSIGN_OR_RETURN(const int64_t windows, Windows(call));
  const Shape& x = call.x();
  const int64_t tokens = call.Integer("window") * call.Integer("window");
  if (x[0] % windows != 0 || x[1] != tokens) {
    return Misfit(absl::StrCat("there must be ", tokens, " tokens of a multiple of ", windows, " windows"));
  }
  return Shape{x[0] / windows, windows * tokens, x[2]};
}

absl::StatusOr<Shape> SplitHeads(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  const Shape& x = call.x();
  const int64_t heads = call.Integer("heads"), part = call.Integer("part");
  if (heads < 1 || x[2] % (3 * heads) != 0) {
    return Misfit(absl::StrCat("the channels must be divisible by 3 * ", heads, " heads"));
  }
  if (part < 0 || part > 2) return Misfit(absl::StrCat("part is ", part, ", must be 0, 1 or 2"));
  return Shape{x[0], heads, x[1], x[2] / (3 * heads)};
}

absl::StatusOr<Shape> Transpose(const Call& call) {
  Shape shape = call.x();
  if (shape.size() < 2) return Misfit("the input must have at least 2 dimensions");
  std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  return shape;
}

absl::StatusOr<Shape> Matmul(const Call& call) {
  Shape left = call.inputs[0], right = call.inputs[1];
  const size_t rank = left.size();
  if (rank < 2 || right.size() != rank || !std::equal(left.begin(), left.end() - 2, right.begin()) ||
      left[rank - 1] != right[rank - 2]) {
    return Misfit("the operands must be [..., M, K] and [..., K, N]");
  }
  left[rank - 1] = right[rank - 1];
  return left;
}

absl::Status NeedScores(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  const int64_t tokens = call.Integer("window") * call.Integer("window");
  if (call.x()[2] == tokens && call.x()[3] == tokens) return absl::OkStatus();
  return Misfit(absl::StrCat("the last two dimensions must be ", tokens, ", the tokens of a window"));
}

absl::StatusOr<Shape> AddRelativePositionBias(const Call& call) {
  QWT_RETURN_IF_ERROR(NeedScores(call));
  const int64_t offsets = 2 * call.Integer("window") - 1;
  const Shape wanted = {offsets * offsets, call.x()[1]};
  QWT_RETURN_IF_ERROR(call.NeedWeight(call.weight() == wanted, ShapeText(wanted)));
  return call.x();
}

absl::StatusOr<Shape> AddWindowMask(const Call& call) {
  QWT_RETURN_IF_ERROR(NeedScores(call));
  QWT_ASSIGN_OR_RETURN(const int64_t windows, Windows(call));
  if (call.x()[0] % windows == 0) return call.x();
  return Misfit(absl::StrCat("the first dimension must be a multiple of ", windows, " windows"));
}

absl::StatusOr<Shape> MergeHeads(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(4));
  const Shape& x = call.x();
  return Shape{x[0], x[2], x[1] * x[3]};
}

absl::StatusOr<Shape> SameOfAll(const Call& call) {
  for (const Shape& input : call.inputs) {
    if (input != call.x()) return Misfit("the inputs must have one shape");
  }
  return call.x();
}

absl::StatusOr<Shape> SelectToken(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  const Shape& x = call.x();
  const int64_t index = call.Integer("index");
  if (index < 0 || index >= x[1]) return Misfit(absl::StrCat("index is ", index, ", must be from 0 to ", x[1] - 1));
  return Shape{x[0], x[2]};
}

absl::StatusOr<Shape> MeanTokens(const Call& call) {
  QWT_RETURN_IF_ERROR(call.NeedRank(3));
  return Shape{call.x()[0], call.x()[2]};
}

// In the order of Op.
constexpr struct {
  Op op;
  absl::StatusOr<Shape> (*infer)(const Call&);
} kFunctions[] = {
    {Op::kConv2d, Conv2d},
    {Op::kBatchNorm, BatchNorm},
    {Op::kMaxPool, MaxPool},
    {Op::kGlobalAveragePool, GlobalAveragePool},
    {Op::kFlattenTokens, FlattenTokens},
    {Op::kPrependToken, PrependToken},
    {Op::kAddParameter, AddParameter},
    {Op::kMergePatches, MergePatches},
    {Op::kLayerNorm, LayerNorm},
    {Op::kLinear, Linear},
    {Op::kSplitWindows, SplitWindows},
    {Op::kMergeWindows, MergeWindows},
    {Op::kSplitHeads, SplitHeads},
    {Op::kTranspose, Transpose},
    {Op::kMatmul, Matmul},
    {Op::kScale, Same},
    {Op::kAddRelativePositionBias, AddRelativePositionBias},
    {Op::kAddWindowMask, AddWindowMask},
    {Op::kSoftmax, Same},
    {Op::kMergeHeads, MergeHeads},
    {Op::kGelu, Same},
    {Op::kRelu, Same},
    {Op::kAdd, SameOfAll},
    {Op::kSelectToken, SelectToken},
    {Op::kMeanTokens, MeanTokens},
    {Op::kMean, SameOfAll},
};
static_assert(OnePerOp(kFunctions));

absl::StatusOr<SegmentShapes> InferSegment(const Segment& segment, Shape input, const ParameterShapes& parameters) {
  SegmentShapes shapes = {std::move(input)};
  for (const Node& node : segment.nodes) {
    std::vector<Shape> inputs;
    std::vector<std::string> texts;
    for (int value : node.inputs) {
      inputs.push_back(shapes[value]);
      texts.push_back(ShapeText(shapes[value]));
    }
    auto shape = kFunctions[static_cast<size_t>(node.op)].infer({node, inputs, parameters});
    if (!shape.ok()) {
      return Annotate(shape.status(), absl::StrCat("node '", node.name, "' (", OpName(node.op), ") on ",
                                                   absl::StrJoin(texts, " and ")));
    }
    shapes.push_back(*std::move(shape));
  }
  return shapes;
}

}  // namespace

absl::StatusOr<std::vector<SegmentShapes>> InferShapes(const Graph& graph, int64_t batch) {
  ParameterShapes parameters;
  for (const ParameterSpec& spec : graph.parameters) parameters[spec.name] = spec.shape;
  std::vector<SegmentShapes> all;
  Shape input = {batch, graph.channels, graph.height, graph.width};
  for (const Segment* segment : graph.Segments()) {
    QWT_ASSIGN_OR_RETURN(SegmentShapes shapes, InferSegment(*segment, std::move(input), parameters));
    input = shapes.back();
    all.push_back(std::move(shapes));
  }
  if (input != Shape{batch, graph.classes}) {
    return Misfit(absl::StrCat("graph '", graph.name, "': the head makes ", ShapeText(input), ", must make ",
                               ShapeText(Shape{batch, graph.classes})));
  }
  return all;
}

}  // namespace qwt
