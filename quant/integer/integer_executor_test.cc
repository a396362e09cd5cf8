#include "quant/integer/integer_executor.h"

#include "ATen/Parallel.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
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

// On a CPU threads share the images; each gets what it gets alone.
TEST(IntegerExecutorTest, ThreadsChangeNothing) {
  const int threads = at::get_num_threads();
  for (const auto& [name, method] : {std::pair("vit_w4a4", "repq_vit"), {"resnet_basic_w4a4", "percentile"}}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const QuantizedModel model = QuantizeGolden(network, method, "{weight_bits: 4, activation_bits: 4}");
    const auto integer = *MakeIntegerExecutor(model.graph, model.parameters, model.plan);
    const at::Tensor images = at::cat({network.evaluation, network.evaluation}).narrow(0, 0, 7);
    at::set_num_threads(1);
    const at::Tensor alone = *RunGraph(model.graph, *integer, images);
    at::set_num_threads(3);
    const at::Tensor shared = *RunGraph(model.graph, *integer, images);
    at::set_num_threads(threads);
    EXPECT_TRUE(shared.equal(alone)) << (shared - alone).abs().max().item<float>() << " apart at most";
    EXPECT_GT((alone[0] - alone[1]).abs().max().item<float>(), 0) << "images alike";
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
