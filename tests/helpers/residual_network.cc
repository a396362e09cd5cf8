#include "tests/helpers/residual_network.h"

#include <algorithm>
#include <cmath>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/randn.h"
#include "models/cost.h"
#include "models/resnet/resnet.h"
#include "quant/integer/kernels/kernels.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

Graph SmallGraph(bool bottleneck) {
  ResnetConfig config;
  config.image = 32;
  config.width = bottleneck ? 16 : 64;
  config.blocks = {2, 2};
  config.classes = 10;
  config.bottleneck = bottleneck;
  return BuildResnet("small", config);
}

TensorMap RandomParameters(const Graph& graph) {
  TensorMap parameters;
  uint64_t seed = 1;
  for (const ParameterSpec& spec : graph.parameters) {
    at::Tensor x = RandomValues(spec.shape, seed++);
    if (spec.shape.size() == 4) x = x / std::sqrt(static_cast<double>(x[0].numel()));
    const bool variance = spec.name.find("running_var") != std::string::npos;
    parameters[spec.name] = variance ? x.abs() + 0.5 : x;
  }
  return parameters;
}

}  // namespace

at::Tensor RandomValues(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

QuantizedModel SmallResidualNetwork(bool bottleneck) {
  const Graph graph = SmallGraph(bottleneck);
  const QuantizedNetwork network = QuantizeNetwork(*MakeMethod("percentile", "{weight_bits: 4, activation_bits: 4}"),
                                                   graph, RandomParameters(graph), {RandomValues({4, 3, 32, 32}, 99)});
  QuantizedModel model;
  model.graph = network.graph;
  model.parameters = network.parameters;
  model.plan = network.plan;
  return model;
}

AddedProducts RandomGroupConvolutions(const QuantizedModel& model) {
  const auto shapes = *InferShapes(model.graph, 1);
  AddedProducts added;
  for (size_t i = 0; i < model.graph.blocks.size(); ++i) {
    const std::vector<int64_t>&input = shapes[i + 1].front(), &output = shapes[i + 1].back();
    const int64_t each = std::min<int64_t>(kResidualGroup, input[1]), kernel = i == 2 ? 3 : 1;
    added[model.graph.blocks[i].name] = {(RandomValues({output[1], each, kernel, kernel}, i) / 16).to(at::kHalf),
                                         RandomValues({output[1]}, i + 7)};
  }
  return added;
}

}  // namespace qwt
