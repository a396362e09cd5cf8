// Small float networks with random weights against timm 0.4.12 and torchvision.
#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

class GoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, LogitsToTheirStandardDeviation) {
  const GoldenNetwork network = LoadGoldenNetwork(GetParam());
  ASSERT_EQ(ValidateGraph(network.graph), absl::OkStatus());
  ASSERT_EQ(CheckParameters(network.parameters, network.graph), absl::OkStatus());
  const auto executor = MakeFloatExecutor(network.parameters);
  const auto logits = RunGraph(network.graph, *executor, network.evaluation);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const at::Tensor& expected = network.Figure("float/logits");
  ASSERT_EQ(logits->sizes(), expected.sizes());
  EXPECT_LT((*logits - expected).abs().max().item<float>(), 1e-4 * expected.std().item<float>());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest,
                         testing::Values("vit_w4a4", "deit_distilled_w4a4", "swin_w4a4", "resnet_basic_w4a4",
                                         "resnet_bottleneck_w4a4"),
                         [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); });

}  // namespace
}  // namespace qwt
