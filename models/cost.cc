#include "models/cost.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
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
  absl::Status NeedBias(int64_t channels) const {
    if (node.bias.empty() || parameters.at(node.bias) == Shape{channels}) return absl::OkStatus();
    return Misfit(absl::StrCat("the bias is ", ShapeText(parameters.at(node.bias)), ", must be [", channels, "]"));
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

// In the order of Op.
constexpr absl::StatusOr<Shape> (*kFunctions[])(const Call&) = {
    Conv2d, FlattenTokens, PrependToken, AddParameter, LayerNorm, Linear,    SplitHeads,  Transpose,
    Matmul, Same,          Same,         MergeHeads,   Same,      SameOfAll, SelectToken, SameOfAll,
};
static_assert(std::size(kFunctions) == static_cast<size_t>(Op::kMean) + 1);

absl::StatusOr<SegmentShapes> InferSegment(const Segment& segment, Shape input, const ParameterShapes& parameters) {
  SegmentShapes shapes = {std::move(input)};
  for (const Node& node : segment.nodes) {
    std::vector<Shape> inputs;
    std::vector<std::string> texts;
    for (int value : node.inputs) {
      inputs.push_back(shapes[value]);
      texts.push_back(ShapeText(shapes[value]));
    }
    auto shape = kFunctions[static_cast<size_t>(node.op)]({node, inputs, parameters});
    if (!shape.ok()) {
      return Annotate(shape.status(), absl::StrCat("node '", node.name, "' (", OpName(node.op), ") on ",
                                                   absl::StrJoin(texts, " and ")));
    }
    shapes.push_back(*std::move(shape));
  }
  return shapes;
}

ParameterShapes ShapesOf(const Graph& graph) {
  ParameterShapes shapes;
  for (const ParameterSpec& spec : graph.parameters) shapes[spec.name] = spec.shape;
  return shapes;
}

int64_t MacsOf(const Node& node, const SegmentShapes& shapes, int64_t output_numel, const ParameterShapes& parameters) {
  switch (node.op) {
    case Op::kConv2d:
    case Op::kLinear: {
      const Shape& weight = parameters.at(node.weight);
      return output_numel * (Numel(weight) / weight[0]);
    }
    case Op::kMatmul:
      return output_numel * shapes[node.inputs[0]].back();
    default:
      return 0;
  }
}

int64_t PeakBytes(const Segment& segment, const SegmentShapes& shapes) {
  std::vector<int> last_uses(shapes.size(), -1);
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    for (int input : segment.nodes[i].inputs) last_uses[input] = static_cast<int>(i);
  }
  last_uses[0] = static_cast<int>(segment.nodes.size());  // the caller holds the input
  int64_t alive = Numel(shapes[0]), peak = alive;
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    alive += Numel(shapes[i + 1]);
    peak = std::max(peak, alive);
    const std::set<int> inputs(segment.nodes[i].inputs.begin(), segment.nodes[i].inputs.end());
    for (int input : inputs) {
      if (last_uses[input] == static_cast<int>(i)) alive -= Numel(shapes[input]);
    }
  }
  return peak * static_cast<int64_t>(sizeof(float));
}

}  // namespace

absl::StatusOr<std::vector<SegmentShapes>> InferShapes(const Graph& graph, int64_t batch) {
  const ParameterShapes parameters = ShapesOf(graph);
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

std::set<std::string> ParameterNames(const Segment& segment) {
  std::set<std::string> names;
  for (const Node& node : segment.nodes) names.insert({node.weight, node.bias});
  names.erase("");
  return names;
}

absl::StatusOr<std::vector<SegmentCost>> EstimateCost(const Graph& graph, int64_t batch) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, batch));
  const ParameterShapes parameters = ShapesOf(graph);
  std::vector<SegmentCost> costs;
  for (const Segment* segment : graph.Segments()) {
    const SegmentShapes& values = shapes[costs.size()];
    SegmentCost cost;
    cost.segment = segment->name;
    for (size_t i = 0; i < segment->nodes.size(); ++i) {
      cost.macs += MacsOf(segment->nodes[i], values, Numel(values[i + 1]), parameters);
    }
    for (const std::string& name : ParameterNames(*segment)) cost.parameters += Numel(parameters.at(name));
    cost.peak_activation_bytes = PeakBytes(*segment, values);
    costs.push_back(std::move(cost));
  }
  return costs;
}

int64_t PeakActivationBytes(const Graph& graph, int64_t batch) {
  const auto costs = EstimateCost(graph, batch);
  int64_t peak = 0;
  if (!costs.ok()) return peak;
  for (const SegmentCost& cost : *costs) peak = std::max(peak, cost.peak_activation_bytes);
  return peak;
}

int64_t FitBytes(const Graph& graph, int64_t images, int64_t images_in_flight) {
  const auto shapes = InferShapes(graph, images);
  if (!shapes.ok()) return 0;
  int64_t held = 0, channels = 0;
  for (const SegmentShapes& segment : *shapes) {
    held = std::max(held, Numel(segment.front()));
    channels = std::max(channels, segment.front().back());
  }
  const int64_t sums = 3 * channels * channels * static_cast<int64_t>(sizeof(double));
  return 2 * held * static_cast<int64_t>(sizeof(float)) + sums + PeakActivationBytes(graph, images_in_flight);
}

}  // namespace qwt
