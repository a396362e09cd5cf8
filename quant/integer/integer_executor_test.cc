#include "quant/integer/integer_executor.h"

#include "gtest/gtest.h"
#include "quant/integer/program.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

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
