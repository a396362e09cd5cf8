#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "gtest/gtest.h"
#include "quant/calibrate.h"
#include "quant/sites.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

TEST(PercentileTest, SpecsOfTheReferencesResnet) {
  const GoldenNetwork network = LoadGoldenNetwork("resnet_bottleneck_w4a4");
  const auto specs = MakeMethod("percentile", "{weight_bits: 3, activation_bits: 5}")->Specs(network.graph);
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ(specs->size(), 2 * (1 + 4 * (3 + 1) + 1));  // stem; blocks: three convolutions, a shortcut; classifier
  for (const auto& [site, spec] : *specs) {
    const bool weight = site.find(".weight") != std::string::npos;
    const bool border = site.rfind("conv1.", 0) == 0 || site.rfind("fc.", 0) == 0;
    EXPECT_EQ(spec.quantizer, "uniform") << site;
    EXPECT_EQ(spec.bits, weight && !border ? 3 : 8) << site;
    EXPECT_EQ(spec.granularity, weight ? Granularity::kPerChannel : Granularity::kPerTensor) << site;
    EXPECT_EQ(spec.percentiles, (std::vector<double>{0.999, 0.9999, 0.99999})) << site;
    EXPECT_EQ(spec.fractions, std::vector<double>{1.0}) << site;
  }
  const auto tried = MakeMethod("percentile", "{percentiles: [1, 0.99]}")->Specs(network.graph);
  EXPECT_EQ(tried->at("layer2.0.conv3.input").percentiles, (std::vector<double>{1, 0.99}));
}

// Scales of the weights as published: BatchNorm is not folded.
void ExpectRecordedWeights(const std::string& name, int expected_weights) {
  const GoldenNetwork network = LoadGoldenNetwork(name);
  const auto method = MakeMethod("percentile", "{weight_bits: " + std::to_string(network.weight_bits) + "}");
  QuantPlan plan;
  ASSERT_EQ(SolveWeights(network.graph, network.parameters, *method->Specs(network.graph), 2, &plan), absl::OkStatus());
  EXPECT_EQ(plan.size(), expected_weights);
  for (const auto& [site, quantization] : plan) {
    const std::string reference = "ptq/" + ReferenceSite(site);
    const at::Tensor scale = network.Figure(reference + ".delta").view(-1);
    EXPECT_LT(((quantization.scale - scale) / scale).abs().max().item<float>(), 1e-5) << site;
    EXPECT_TRUE(at::equal(quantization.zero_point, network.Figure(reference + ".zero_point").view(-1))) << site;
  }
}

TEST(PercentileTest, WeightScalesOfResnet) { ExpectRecordedWeights("resnet_basic_w4a4", 13); }
TEST(PercentileTest, WeightScalesOfResnetWithWiderCompensation) { ExpectRecordedWeights("resnet_basic_k3_w4a4", 13); }
TEST(PercentileTest, WeightScalesOfBottleneckResnet) { ExpectRecordedWeights("resnet_bottleneck_w4a4", 18); }

// The first inputs are images: nothing of ours lies between them and the recorded scale.
TEST(PercentileTest, InputScalesOfResnet) {
  const GoldenNetwork network = LoadGoldenNetwork("resnet_bottleneck_w4a4");
  const auto method = MakeMethod("percentile", "{weight_bits: 4}");
  const QuantizedNetwork quantized =
      QuantizeNetwork(*method, network.graph, network.parameters, {network.calibration.slice(0, 0, 16)});
  EXPECT_LT(RelativeError(quantized.plan.at("conv1.input").scale, network.Figure("ptq/conv1.input_quantizer.delta")),
            1e-5);
  // Further in, products that are summed in another order move them a little.
  for (const auto& [site, quantization] : quantized.plan) {
    if (site.find(".input") == std::string::npos) continue;
    const at::Tensor scale = network.Figure("ptq/" + ReferenceSite(site) + ".delta").view(-1);
    EXPECT_LT(RelativeError(quantization.scale, scale), 0.02) << site;
  }
}

}  // namespace
}  // namespace qwt
