// Every code that a network runs on as integers is the fake quantiser's, but for values on the edge of two codes.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "models/registry.h"
#include "tests/helpers/code_comparison.h"
#include "tests/helpers/component.h"
#include "tests/helpers/formula_weights.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

struct Case {
  const char *network, *method, *options;
};

std::string Name(const Case& c) { return std::string(c.network) + ", " + c.method + " " + c.options; }

void ExpectSameCodesOf(const Case& c) {
  SCOPED_TRACE(Name(c));
  const GoldenNetwork network = LoadGoldenNetwork(c.network);
  const QuantizedModel model = QuantizeGolden(network, c.method, c.options);
  const auto segments = CompareCodes(model.graph, model.parameters, model.plan, network.evaluation);
  EXPECT_EQ(segments.size(), model.graph.Segments().size());
  ExpectSameCodes(segments);
  // Of a block of tokens all are seen but the attention's probabilities; of one of images each convolution's input.
  for (const Segment& block : model.graph.blocks) {
    const auto found = std::find_if(segments.begin(), segments.end(),
                                    [&](const SegmentComparison& segment) { return segment.segment == block.name; });
    const bool tokens = model.plan.count(block.name + ".mlp.fc1.input") > 0;
    EXPECT_GE(found->sites.size(), tokens ? 7u : 2u) << block.name;
  }
}

TEST(CodesTest, GoldenNetworks) {
  for (const Case& c : {Case{"vit_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4, round_zero_point: true}"},
                        {"vit_w6a6", "repq_vit", "{weight_bits: 6, activation_bits: 6}"},
                        {"vit_w3a3_start1", "repq_vit", "{weight_bits: 3, activation_bits: 3}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 8, activation_bits: 8}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 2, activation_bits: 3}"},
                        {"vit_w4a4", "minmax", "{weight_bits: 8, activation_bits: 8}"},
                        {"deit_distilled_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"swin_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"swin_w6a6", "repq_vit", "{weight_bits: 6, activation_bits: 6}"},
                        {"swin_w4a4", "repq_vit", "{weight_bits: 8, activation_bits: 8}"},
                        {"swin_w4a4", "minmax", "{weight_bits: 6, activation_bits: 6}"},
                        {"resnet_basic_w4a4", "percentile", "{weight_bits: 4, activation_bits: 4}"},
                        {"resnet_basic_k3_w4a4", "percentile", "{weight_bits: 4, activation_bits: 4}"},
                        {"resnet_basic_w4a4", "percentile", "{weight_bits: 8, activation_bits: 8}"},
                        {"resnet_basic_w4a4", "minmax", "{weight_bits: 2, activation_bits: 3}"},
                        {"resnet_bottleneck_w4a4", "percentile", "{weight_bits: 4, activation_bits: 4}"},
                        {"resnet_bottleneck_w4a4", "percentile",
                         "{weight_bits: 4, activation_bits: 4, conv_activation_bits: from_config}"},
                        {"resnet_bottleneck_w4a4", "mse", "{weight_bits: 6, activation_bits: 6}"}}) {
    ExpectSameCodesOf(c);
  }
}

struct FullSizeCase {
  const char *network, *method;
  int blocks;       // from the first; enough for each kind
  int64_t classes;  // channels after these
};

// The network's stem and first blocks, and in place of a head the mean of their output.
Graph FirstBlocks(const FullSizeCase& c) {
  Graph graph = MakeComponent<ModelRegistry>(c.network, "{}");
  const bool tokens = graph.blocks[0].nodes.back().op != Op::kRelu;
  graph.blocks.resize(c.blocks);
  graph.head.nodes = {{"mean", tokens ? Op::kMeanTokens : Op::kGlobalAveragePool, {0}, "", "", {}}};
  graph.classes = c.classes;
  return graph;
}

// The published networks at their full size, weights by formula.
TEST(CodesTest, FirstBlocksAtFullSize) {
  const auto fullsize = nlohmann::json::parse(std::ifstream("tests/golden/fullsize.json"));
  const at::Tensor image = Formula("input", {1, 3, 224, 224}, 0, 2);
  for (const FullSizeCase& c : {FullSizeCase{"deit_small", "repq_vit", 1, 384},
                                {"swin_tiny", "repq_vit", 2, 96},
                                {"resnet50", "percentile", 2, 256}}) {
    SCOPED_TRACE(c.network);
    const auto method = MakeMethod(c.method, "{weight_bits: 4, activation_bits: 4}");
    const QuantizedNetwork network =
        QuantizeNetwork(*method, FirstBlocks(c), FormulaParameters(fullsize, c.network), {image});
    const auto segments = CompareCodes(network.graph, network.parameters, network.plan, image);
    EXPECT_EQ(segments.size(), c.blocks + 2);
    ExpectSameCodes(segments);
  }
}

}  // namespace
}  // namespace qwt
