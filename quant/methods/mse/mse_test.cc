#include <iostream>
#include <map>

#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "quant/calibrate.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

TEST(MseTest, TheGridIsOfEvenlySpacedFractionsOfTheWholeRange) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const QuantSpecs by_default = *MakeMethod("mse", "{}")->Specs(network.graph);
  for (const auto& [site, spec] : by_default) {
    EXPECT_EQ(spec.percentiles, std::vector<double>{1.0}) << site;
    ASSERT_EQ(spec.fractions.size(), 81) << site;
    EXPECT_EQ(spec.fractions[0], 1.0) << site;
    for (size_t i = 0; i < 81; ++i) EXPECT_NEAR(spec.fractions[i], 1 - 0.01 * i, 1e-12) << site;
  }
  const QuantSpecs specs = *MakeMethod("mse", "{grid: 3, smallest_fraction: 0.5}")->Specs(network.graph);
  EXPECT_EQ(specs.at("head.weight").fractions, (std::vector<double>{1.0, 0.75, 0.5}));
}

// Σ (w - ŵ)² of every output channel, by site, of the weights inside the network.
std::map<std::string, at::Tensor> WeightErrors(const GoldenNetwork& network, const std::string& method) {
  const auto specs = MakeMethod(method, "{weight_bits: 3}")->Specs(network.graph);
  QuantPlan plan;
  EXPECT_EQ(SolveWeights(network.graph, network.parameters, *specs, 2, &plan), absl::OkStatus());
  std::map<std::string, at::Tensor> errors;
  for (const Site& site : QuantSites(network.graph)) {
    if (site.role != SiteRole::kWeight || site.at_border) continue;
    const at::Tensor& weight = network.parameters.at(site.node->weight);
    const at::Tensor approximation = SiteQuantizer::Make(site.name, plan.at(site.name))->Apply(weight);
    errors[site.name] = (approximation - weight).square().flatten(1).sum(1);
  }
  return errors;
}

// The whole range is in the grid, so no channel can be worse than min-max, and some must be better.
TEST(MseTest, NoChannelIsWorseThanItsWholeRange) {
  for (const char* name : {"vit_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const auto minmax = WeightErrors(network, "minmax");
    for (const auto& [site, mse] : WeightErrors(network, "mse")) {
      EXPECT_TRUE((mse <= minmax.at(site) * 1.000001).all().item<bool>()) << site;
      EXPECT_LT(mse.sum().item<float>(), 0.99 * minmax.at(site).sum().item<float>()) << site;
    }
  }
}

double ErrorOfLogits(const GoldenNetwork& network, const std::string& method) {
  const QuantizedNetwork quantized =
      QuantizeNetwork(*MakeMethod(method, "{weight_bits: 4, activation_bits: 4}"), network.graph, network.parameters,
                      {network.calibration.slice(0, 0, 16)});
  return (quantized.Logits(network.evaluation) - network.Figure("float/logits")).square().mean().item<double>();
}

// Of a whole network: a chain of thresholds, so with room.
TEST(MseTest, LogitsAreNotFartherThanWithMinMax) {
  for (const char* name : {"vit_w4a4", "swin_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const double mse = ErrorOfLogits(network, "mse"), minmax = ErrorOfLogits(network, "minmax");
    std::cout << name << ": error over min-max's " << mse / minmax << "\n";
    EXPECT_LT(mse, minmax) << name;
  }
}

}  // namespace
}  // namespace qwt
