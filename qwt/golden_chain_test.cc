// The whole chain on the nine golden networks: calibrate, quantise, fit, evaluate. Rounding at few bits is a threshold,
// so what is compared is the logits' error and how much of each block's error is explained, never weights.
#include <iostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "qwt/quantized_model.h"
#include "tests/helpers/golden_model.h"

namespace qwt {
namespace {

struct Chain {
  std::string name;
  std::string method;
  std::string compensator;
  std::string options;         // of the compensator, as the reference was run
  double first_block_r2 = -1;  // in float64, where the reference's float32 inverse fails; else as the reference's
};

// The reference takes 8 bits for every input of a convolution.
std::string MethodOptions(const GoldenNetwork& network, const Chain& chain) {
  const int activation_bits = chain.method == "percentile" ? 8 : network.activation_bits;
  return "{weight_bits: " + std::to_string(network.weight_bits) +
         ", activation_bits: " + std::to_string(activation_bits) + "}";
}

std::ostream& operator<<(std::ostream& out, const Chain& chain) { return out << chain.name; }

class GoldenChainTest : public ::testing::TestWithParam<Chain> {};

TEST_P(GoldenChainTest, IsWorthWhatTheReferencesIs) {
  const Chain& chain = GetParam();
  const GoldenNetwork network = LoadGoldenNetwork(chain.name);
  QuantizedModel model = QuantizeGolden(network, chain.method, MethodOptions(network, chain));
  FitGolden(network, chain.compensator, chain.options, &model);

  const at::Tensor& exact = network.Figure("float/logits");
  const double reference = MeanSquaredError(network.Figure("qwt/logits"), exact);
  const double ours = MeanSquaredError(Logits(model, true, network.evaluation), exact);
  std::cout << chain.name << ": logits' error over the reference's " << ours / reference << "; R²";
  EXPECT_LT(ours / reference, 1.2);
  EXPECT_GT(ours / reference, 0.5) << "too good to be the same method";
  if (reference < MeanSquaredError(network.Figure("ptq/logits"), exact)) {  // at 6 bits there is nothing to win here
    EXPECT_LT(ours, MeanSquaredError(Logits(model, false, network.evaluation), exact));
  }

  const at::Tensor& recorded = network.Figure("fit/r2");
  ASSERT_EQ(model.compensation.size(), recorded.numel());
  for (int64_t i = 0; i < recorded.numel(); ++i) {
    const BlockSolution& solution = model.compensation[i];
    const double wanted = i == 0 && chain.first_block_r2 > 0 ? chain.first_block_r2 : recorded[i].item<double>();
    std::cout << " " << solution.r2 << " (" << recorded[i].item<double>() << ")";
    EXPECT_GE(solution.r2, wanted - 0.02) << solution.block;
    EXPECT_LE(solution.r2, wanted + 0.05) << solution.block;
  }
  std::cout << "\n";

  const std::vector<double> sizes = RecordedSizes(chain.name);
  EXPECT_NEAR(QuantizedSizeMb(model, false), sizes[sizes.size() - 2], 1e-9);
  EXPECT_NEAR(QuantizedSizeMb(model, true), sizes.back(), 1e-9);
}

INSTANTIATE_TEST_SUITE_P(
    All, GoldenChainTest,
    ::testing::Values(Chain{"vit_w4a4", "repq_vit", "linear", "{}"}, Chain{"vit_w6a6", "repq_vit", "linear", "{}"},
                      Chain{"vit_w3a3_start1", "repq_vit", "linear", "{start_block: 1}"},
                      Chain{"deit_distilled_w4a4", "repq_vit", "linear", "{}"},
                      // 0.013 and 0.001 where the singular Gram is inverted in float32.
                      Chain{"swin_w4a4", "repq_vit", "linear", "{}", 0.23},
                      Chain{"swin_w6a6", "repq_vit", "linear", "{}", 0.14},
                      Chain{"resnet_basic_w4a4", "percentile", "group_conv", "{factor: 16}"},
                      Chain{"resnet_basic_k3_w4a4", "percentile", "group_conv", "{factor: 16, kernel_size: 3}"},
                      Chain{"resnet_bottleneck_w4a4", "percentile", "group_conv", "{factor: 32}"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qwt
