// The plain loops against the fake quantiser, segment by segment on the same input.
#include "quant/integer/integer_executor.h"

#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "quant/fake_quant_executor.h"
#include "quant/integer/program.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

struct Case {
  const char *network, *method, *options;
};

// A code whose value lies on the edge of two may differ, and with it what follows in its image: of all outputs, so many
// are further than 1e-4 of their standard deviation from the fake quantiser's. Elsewhere float32's roundings remain.
constexpr float kMostMoved = 0.06f;

void ExpectSameSegments(const Case& c) {
  SCOPED_TRACE(std::string(c.network) + ", " + c.method + " " + c.options);
  const GoldenNetwork network = LoadGoldenNetwork(c.network);
  const QuantizedModel model = QuantizeGolden(network, c.method, c.options);
  const auto fake = *MakeFakeQuantExecutor(model.graph, model.parameters, model.plan);
  const auto integer = MakeIntegerExecutor(model.graph, model.parameters, model.plan);
  ASSERT_TRUE(integer.ok()) << integer.status();
  at::Tensor x = network.evaluation;
  int exact = 0;
  const auto segments = model.graph.Segments();
  for (const Segment* segment : segments) {
    const at::Tensor expected = *fake->Run(*segment, x);
    const auto found = (*integer)->Run(*segment, x);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->sizes(), expected.sizes()) << segment->name;
    const at::Tensor error = (*found - expected).abs() / expected.std();
    EXPECT_LT(error.gt(1e-4).to(at::kFloat).mean().item<float>(), kMostMoved) << segment->name;
    exact += error.max().item<float>() < 2e-5f;
    x = expected;
  }
  EXPECT_GE(exact, 2) << "of " << segments.size();  // most have no value on an edge
}

TEST(IntegerExecutorTest, SegmentsAreTheFakeQuantisers) {
  for (const Case& c : {Case{"vit_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4, round_zero_point: true}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 6, activation_bits: 6}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 8, activation_bits: 8}"},
                        {"vit_w4a4", "repq_vit", "{weight_bits: 2, activation_bits: 3}"},
                        {"vit_w4a4", "minmax", "{weight_bits: 8, activation_bits: 8}"},
                        {"deit_distilled_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"swin_w4a4", "repq_vit", "{weight_bits: 4, activation_bits: 4}"},
                        {"swin_w4a4", "repq_vit", "{weight_bits: 8, activation_bits: 8}"},
                        {"swin_w4a4", "minmax", "{weight_bits: 6, activation_bits: 6}"},
                        {"resnet_basic_w4a4", "percentile", "{weight_bits: 4, activation_bits: 4}"},
                        {"resnet_basic_w4a4", "percentile", "{weight_bits: 8, activation_bits: 8}"},
                        {"resnet_basic_w4a4", "minmax", "{weight_bits: 2, activation_bits: 3}"},
                        {"resnet_bottleneck_w4a4", "percentile", "{weight_bits: 4, activation_bits: 4}"},
                        {"resnet_bottleneck_w4a4", "percentile",
                         "{weight_bits: 4, activation_bits: 4, conv_activation_bits: from_config}"},
                        {"resnet_bottleneck_w4a4", "mse", "{weight_bits: 6, activation_bits: 6}"}}) {
    ExpectSameSegments(c);
  }
}

// Everything of a block that is quantised runs as integers: four layers and the attention.
TEST(IntegerExecutorTest, BlocksOfTokensRunAsIntegersThroughout) {
  for (const char* name : {"vit_w4a4", "swin_w4a4"}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const QuantizedModel model = QuantizeGolden(network, "repq_vit", "{weight_bits: 4, activation_bits: 4}");
    const auto shapes = *InferShapes(model.graph, 1);
    const auto segments = model.graph.Segments();
    for (size_t i = 0; i < segments.size(); ++i) {
      const auto program = LowerSegment(*segments[i], shapes[i], model.parameters, model.plan, nullptr);
      ASSERT_TRUE(program.ok()) << program.status();
      const bool block = segments[i]->nodes.size() > 10;
      EXPECT_EQ(program->products, block ? 5 : 1) << segments[i]->name;
      if (!block) continue;
      EXPECT_EQ(program->steps.size(), 7u) << segments[i]->name;  // and two LayerNorms
    }
  }
}

// Every convolution of a residual network runs as integers, with the BatchNorm, ReLU and sum that follow it; what two
// convolutions read is quantised once.
TEST(IntegerExecutorTest, BlocksOfImagesRunAsIntegersThroughout) {
  for (const char* name : {"resnet_basic_w4a4", "resnet_bottleneck_w4a4"}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const QuantizedModel model = QuantizeGolden(network, "percentile", "{weight_bits: 4, activation_bits: 4}");
    const auto shapes = *InferShapes(model.graph, 1);
    const auto segments = model.graph.Segments();
    for (size_t i = 0; i < segments.size(); ++i) {
      const auto program = LowerSegment(*segments[i], shapes[i], model.parameters, model.plan, nullptr);
      ASSERT_TRUE(program.ok()) << program.status();
      int layers = 0;
      for (const Node& node : segments[i]->nodes) layers += node.op == Op::kConv2d || node.op == Op::kLinear;
      EXPECT_EQ(program->products, layers) << segments[i]->name;
      EXPECT_EQ(program->steps.size(), layers + (i == 0 || i + 1 == segments.size() ? 2 : 1)) << segments[i]->name;
    }
  }
}

TEST(IntegerExecutorTest, UnknownSegmentsAndFailingStepsAreNamed) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const QuantizedModel model = QuantizeGolden(network, "repq_vit", "{weight_bits: 4, activation_bits: 4}");
  const auto integer = *MakeIntegerExecutor(model.graph, model.parameters, model.plan);
  EXPECT_EQ(integer->Run(Segment{"blocks.77", {}}, network.evaluation).status(),
            absl::InternalError("there is no segment blocks.77"));
}

}  // namespace
}  // namespace qwt
