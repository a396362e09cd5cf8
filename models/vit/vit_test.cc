#include "models/vit/vit.h"

#include "ATen/TensorOperators.h"
#include "core/tensor/safetensors.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "models/parameters.h"

namespace qwt {
namespace {

const std::string kGolden = "tests/golden/networks/";

VitConfig SmallConfig(bool distilled) {
  VitConfig config;
  config.image = 32;
  config.patch = 8;
  config.width = 48;
  config.depth = 3;
  config.heads = 3;
  config.classes = 10;
  config.distilled = distilled;
  return config;
}

// The logits of timm's network on the same images, to 1e-4 of their standard deviation.
void ExpectGoldenLogits(bool distilled, const std::string& weights, const std::string& figures) {
  const Graph graph = BuildVit("small", SmallConfig(distilled));
  ASSERT_EQ(ValidateGraph(graph), absl::OkStatus());
  const auto parameters = LoadParameters({{kGolden + weights}}, graph);
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  const auto images = ReadSafetensors(kGolden + "images_32.safetensors");
  const auto golden = ReadSafetensors(kGolden + figures);
  ASSERT_TRUE(images.ok() && golden.ok()) << images.status() << golden.status();
  const at::Tensor batch = (images->tensors.at("eval").to(at::kFloat) / 255.0 - 0.45) / 0.22;

  const auto executor = MakeFloatExecutor(*parameters);
  const auto logits = RunGraph(graph, *executor, batch);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const at::Tensor expected = golden->tensors.at("float/logits");
  ASSERT_EQ(logits->sizes(), expected.sizes());
  EXPECT_LT((*logits - expected).abs().max().item<float>(), 1e-4 * expected.std().item<float>());
}

TEST(VitTest, LogitsOfTimmsVit) { ExpectGoldenLogits(false, "weights_vit.safetensors", "vit_w4a4.safetensors"); }

TEST(VitTest, LogitsOfTimmsDistilledVit) {
  ExpectGoldenLogits(true, "weights_distilled.safetensors", "deit_distilled_w4a4.safetensors");
}

}  // namespace
}  // namespace qwt
