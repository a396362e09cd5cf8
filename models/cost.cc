#include "models/cost.h"

#include <algorithm>
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

std::set<std::string> ParameterNames(const Segment& segment) {
  std::set<std::string> names;
  for (const Node& node : segment.nodes) {
    for (const std::string& name : node.ParameterNames()) names.insert(name);
  }
  return names;
}

absl::StatusOr<std::vector<SegmentCost>> EstimateCost(const Graph& graph, int64_t batch) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, batch));
  const ParameterShapes parameters = ShapesOf(graph);
  const std::vector<ParameterSpec> trained = TrainedParameters(graph);
  std::vector<SegmentCost> costs;
  for (const Segment* segment : graph.Segments()) {
    const SegmentShapes& values = shapes[costs.size()];
    SegmentCost cost;
    cost.segment = segment->name;
    for (size_t i = 0; i < segment->nodes.size(); ++i) {
      cost.macs += MacsOf(segment->nodes[i], values, Numel(values[i + 1]), parameters);
    }
    const std::set<std::string> names = ParameterNames(*segment);
    for (const ParameterSpec& spec : trained) {
      if (names.count(spec.name)) cost.parameters += spec.numel();
    }
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

int64_t BlockwiseBytes(const Graph& graph, int64_t images, int64_t images_in_flight) {
  const auto shapes = InferShapes(graph, images);
  if (!shapes.ok()) return 0;
  int64_t held = 0;
  for (const SegmentShapes& segment : *shapes) held = std::max(held, Numel(segment.front()));
  return 2 * held * static_cast<int64_t>(sizeof(float)) + PeakActivationBytes(graph, images_in_flight);
}

}  // namespace qwt
