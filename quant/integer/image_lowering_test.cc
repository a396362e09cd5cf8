// Networks of images as one program, and what is added to their blocks.
#include "quant/integer/image_lowering.h"

#include <algorithm>
#include <map>

#include "ATen/TensorOperators.h"
#include "ATen/ops/conv2d.h"
#include "gtest/gtest.h"
#include "quant/integer/integer_executor.h"
#include "quant/integer/kernels/kernels.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/residual_network.h"

namespace qwt {
namespace {

at::Tensor AddTo(const at::Tensor& y, const AddedProduct& added, const at::Tensor& x) {
  const int64_t groups = x.size(1) / added.weight.size(1), padding = added.weight.size(2) / 2;
  const int64_t stride = x.size(2) / y.size(2);
  const at::Tensor product = at::conv2d(x.to(at::kHalf).to(at::kFloat), added.weight.to(at::kFloat), {},
                                        {stride, stride}, {padding, padding}, {1, 1}, groups);
  return y + product.to(at::kHalf).to(at::kFloat) + added.bias.view({-1, 1, 1});
}

TEST(ImageLoweringTest, GroupConvolutionsAreAddedInTheLastStep) {
  for (const bool bottleneck : {false, true}) {
    SCOPED_TRACE(bottleneck ? "bottleneck" : "basic");
    const QuantizedModel model = SmallResidualNetwork(bottleneck);
    const AddedProducts added = RandomGroupConvolutions(model);
    const auto plain = *MakeIntegerExecutor(model.graph, model.parameters, model.plan);
    const auto with = *MakeIntegerExecutor(model.graph, model.parameters, model.plan, added);
    const auto shapes = *InferShapes(model.graph, 1);
    at::Tensor x = *plain->Run(model.graph.stem, RandomValues({3, 3, 32, 32}, 5));
    for (size_t i = 0; i < model.graph.blocks.size(); ++i) {
      const Segment& block = model.graph.blocks[i];
      SCOPED_TRACE(block.name);
      const at::Tensor expected = AddTo(*plain->Run(block, x), added.at(block.name), x);
      const auto found = with->Run(block, x);
      ASSERT_TRUE(found.ok()) << found.status();
      // The product's sum, rounded to float16, may round to the next.
      const at::Tensor error = (*found - expected).abs();
      EXPECT_LT(error.max().item<float>(), 4e-3f * expected.abs().max().item<float>());
      EXPECT_LT(error.gt(1e-5).to(at::kFloat).mean().item<float>(), 0.01f);
      // Where a block's input is its residual, nothing but the convolutions and one quantisation is left.
      const auto program = *LowerSegment(block, shapes[i + 1], model.parameters, model.plan, &added.at(block.name));
      const bool fused = x.sizes() == expected.sizes() && x.size(1) >= kResidualGroup;
      EXPECT_EQ(program.steps.size(), program.products + (fused ? 1 : 2));
      x = expected;
    }
  }
}

// To the last bit: values between blocks are quantised from the floats that stand in their place.
TEST(ImageLoweringTest, WholeNetworksAreTheirSegments) {
  for (const bool bottleneck : {false, true}) {
    SCOPED_TRACE(bottleneck ? "bottleneck" : "basic");
    const QuantizedModel model = SmallResidualNetwork(bottleneck);
    const at::Tensor images = RandomValues({3, 3, 32, 32}, 5);
    const std::vector<SegmentShapes> shapes = *InferShapes(model.graph, 1);
    for (const AddedProducts& added : {AddedProducts(), RandomGroupConvolutions(model)}) {
      SCOPED_TRACE(added.size());
      const auto executor = *MakeIntegerExecutor(model.graph, model.parameters, model.plan, added);
      at::Tensor expected = images;
      for (const Segment* segment : model.graph.Segments()) expected = *executor->Run(*segment, expected);
      const auto found = RunGraph(model.graph, *executor, images);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_TRUE(found->equal(expected)) << (*found - expected).abs().max().item<float>();
      EXPECT_GT(expected.std().item<float>(), 0.1f);

      // Between two blocks nothing is read to be quantised: but for the images, the pooled stem's output and the head's
      // input, codes come from the convolutions before.
      const auto whole = LowerImageNetwork(model.graph, shapes, model.parameters, model.plan, added);
      ASSERT_TRUE(whole.ok()) << whole.status();
      std::map<std::string, int> kernels;
      for (const IntegerStep& step : whole->steps) ++kernels[step.name];
      EXPECT_EQ(kernels["layer1.1.conv1"], 0);
      EXPECT_EQ(kernels["layer2.1.conv1"], 0);
    }
  }
}

TEST(ImageLoweringTest, GoldenNetworksAreTheirSegments) {
  for (const char* name : {"resnet_basic_w4a4", "resnet_bottleneck_w4a4"}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const QuantizedModel model = QuantizeGolden(network, "percentile", "{weight_bits: 4, activation_bits: 4}");
    const auto executor = *MakeIntegerExecutor(model.graph, model.parameters, model.plan);
    at::Tensor expected = network.evaluation;
    for (const Segment* segment : model.graph.Segments()) expected = *executor->Run(*segment, expected);
    EXPECT_TRUE(RunGraph(model.graph, *executor, network.evaluation)->equal(expected));
  }
}

// A convolution in groups, and one whose input's codes do not hold 0, run as the fake quantiser does it.
TEST(ImageLoweringTest, OtherConvolutionsRunAsFloats) {
  QuantizedModel model = SmallResidualNetwork(false);
  const auto shapes = *InferShapes(model.graph, 1);
  Segment& block = model.graph.blocks[0];
  const auto products = [&] { return LowerSegment(block, shapes[1], model.parameters, model.plan, nullptr)->products; };
  EXPECT_EQ(products(), 2);
  model.plan.at("layer1.0.conv1.input").zero_point.fill_(-1);
  EXPECT_EQ(products(), 1);
  const auto conv2 = std::find_if(block.nodes.begin(), block.nodes.end(),
                                  [](const Node& node) { return node.name == "layer1.0.conv2"; });
  conv2->attributes["groups"] = 2;
  EXPECT_EQ(products(), 0);
}

}  // namespace
}  // namespace qwt
