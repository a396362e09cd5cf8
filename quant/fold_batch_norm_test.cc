#include "quant/fold_batch_norm.h"

#include <algorithm>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/randn.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

int Count(const Graph& graph, Op op) {
  int count = 0;
  for (const Segment* segment : graph.Segments()) {
    for (const Node& node : segment->nodes) count += node.op == op;
  }
  return count;
}

TEST(FoldBatchNormsTest, AResnetComputesTheSameWithoutThem) {
  for (const char* name : {"resnet_basic_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    Graph graph = network.graph;
    TensorMap parameters = network.parameters;
    ASSERT_EQ(FoldBatchNorms(&graph, &parameters), absl::OkStatus());
    EXPECT_EQ(ValidateGraph(graph), absl::OkStatus());
    EXPECT_EQ(CheckParameters(parameters, graph), absl::OkStatus());
    EXPECT_EQ(Count(graph, Op::kBatchNorm), 0);
    EXPECT_EQ(Count(graph, Op::kConv2d), Count(network.graph, Op::kConv2d));
    EXPECT_EQ(parameters.size(), network.parameters.size() - 3 * Count(network.graph, Op::kBatchNorm)) << name;
    const auto logits = RunGraph(graph, *MakeFloatExecutor(parameters), network.evaluation);
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_LT(RelativeError(*logits, network.Figure("float/logits")), 1e-5) << name;
    // The caller's tensors stay as they are.
    const auto before = RunGraph(network.graph, *MakeFloatExecutor(network.parameters), network.evaluation);
    EXPECT_LT(RelativeError(*before, network.Figure("float/logits")), 1e-5) << name;
  }
}

// conv -> norm is one layer; then a convolution that two read, whose BatchNorm has to stay; then one with a bias whose
// BatchNorm is the segment's last value though another node stands between them.
struct Network {
  Graph graph;
  TensorMap parameters;
};

void AddConv(const std::string& name, int input, bool bias, Network* network) {
  Node node{name,
            Op::kConv2d,
            {input},
            name + ".weight",
            bias ? name + ".bias" : "",
            {{"stride", 1}, {"padding", 0}, {"groups", 1}}};
  network->graph.parameters.push_back({node.weight, {3, 3, 1, 1}});
  if (bias) network->graph.parameters.push_back({node.bias, {3}});
  network->graph.stem.nodes.push_back(node);
}

void AddNorm(const std::string& name, int input, Network* network) {
  Node node{name, Op::kBatchNorm, {input}, name + ".weight", name + ".bias", {{"epsilon", 1e-5}}};
  node.mean = name + ".running_mean";
  node.variance = name + ".running_var";
  for (const std::string& parameter : node.ParameterNames()) network->graph.parameters.push_back({parameter, {3}});
  network->graph.stem.nodes.push_back(node);
}

Network SmallNetwork() {
  Network network;
  network.graph.name = "small";
  network.graph.stem.name = "stem";
  AddConv("a", 0, false, &network);                                              // value 1
  AddNorm("a_norm", 1, &network);                                                // 2
  AddConv("b", 2, false, &network);                                              // 3
  AddNorm("b_norm", 3, &network);                                                // 4
  network.graph.stem.nodes.push_back({"sum", Op::kAdd, {3, 4}, "", "", {}});     // 5
  AddConv("c", 5, true, &network);                                               // 6
  network.graph.stem.nodes.push_back({"relu", Op::kRelu, {5}, "", "", {}});      // 7
  network.graph.stem.nodes.push_back({"more", Op::kAdd, {7, 5}, "", "", {}});    // 8
  AddNorm("c_norm", 6, &network);                                                // 9
  network.graph.stem.nodes.push_back({"last", Op::kAdd, {8, 9}, "", "", {}});    // 10
  AddConv("d", 10, true, &network);                                              // 11
  network.graph.stem.nodes.push_back({"side", Op::kRelu, {10}, "", "", {}});     // 12
  network.graph.stem.nodes.push_back({"both", Op::kAdd, {12, 10}, "", "", {}});  // 13
  AddConv("e", 13, false, &network);                                             // 14
  network.graph.stem.nodes.push_back({"end", Op::kAdd, {11, 14}, "", "", {}});   // 15
  AddNorm("end_norm", 15, &network);                                             // 16: of no convolution
  for (const ParameterSpec& spec : network.graph.parameters) {
    at::Tensor values = at::randn(spec.shape);
    if (spec.name.find("running_var") != std::string::npos) values = values.abs() + 0.1;
    network.parameters[spec.name] = values;
  }
  return network;
}

TEST(FoldBatchNormsTest, OnlyThoseThatAloneReadAConvolution) {
  const Network network = SmallNetwork();
  Network folded = network;
  ASSERT_EQ(FoldBatchNorms(&folded.graph, &folded.parameters), absl::OkStatus());
  std::vector<std::string> names;
  for (const Node& node : folded.graph.stem.nodes) names.push_back(node.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "b_norm", "sum", "relu", "more", "c", "last", "d", "side",
                                             "both", "e", "end", "end_norm"}));
  EXPECT_EQ(folded.graph.stem.nodes[0].bias, "a.bias");
  EXPECT_EQ(CheckParameters(folded.parameters, folded.graph), absl::OkStatus());
  const at::Tensor image = at::randn({2, 3, 4, 4});
  const auto before = MakeFloatExecutor(network.parameters)->Run(network.graph.stem, image);
  const auto after = MakeFloatExecutor(folded.parameters)->Run(folded.graph.stem, image);
  ASSERT_TRUE(before.ok() && after.ok()) << before.status() << after.status();
  EXPECT_LT(RelativeError(*after, *before), 1e-5);
}

TEST(FoldBatchNormsTest, AMissingParameterIsNamed) {
  Network network = SmallNetwork();
  network.parameters.erase("a_norm.running_var");
  EXPECT_EQ(FoldBatchNorms(&network.graph, &network.parameters),
            absl::FailedPreconditionError("fold_batch_norm: there is no parameter 'a_norm.running_var'"));
}

TEST(FoldBatchNormsTest, ANetworkWithoutThemStaysAsItIs) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  Graph graph = network.graph;
  TensorMap parameters = network.parameters;
  ASSERT_EQ(FoldBatchNorms(&graph, &parameters), absl::OkStatus());
  EXPECT_EQ(GraphToJson(graph), GraphToJson(network.graph));
  EXPECT_EQ(parameters.size(), network.parameters.size());
}

}  // namespace
}  // namespace qwt
