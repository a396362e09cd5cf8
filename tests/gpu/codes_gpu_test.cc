// Every code that a network runs on as integers on a GPU is the fake quantiser's there, but for values on the edge of
// two codes: of the golden networks, and of published ones at full size, weights by formula.
#include <fstream>
#include <nlohmann/json.hpp>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "absl/strings/str_cat.h"
#include "models/registry.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/code_comparison.h"
#include "tests/helpers/component.h"
#include "tests/helpers/formula_weights.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

using CodesGpuTest = GpuTest;

std::string Bits(int weights, int activations) {
  return absl::StrCat("{weight_bits: ", weights, ", activation_bits: ", activations, "}");
}

std::string MethodFor(const std::string& network) {
  return network.find("resnet") == std::string::npos ? "repq_vit" : "percentile";
}

TEST_F(CodesGpuTest, GoldenNetworks) {
  for (const char* name : {"vit_w4a4", "vit_w6a6", "vit_w3a3_start1", "deit_distilled_w4a4", "swin_w4a4", "swin_w6a6",
                           "resnet_basic_w4a4", "resnet_basic_k3_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    for (const std::string& bits : {Bits(network.weight_bits, network.activation_bits), Bits(2, 3), Bits(8, 8)}) {
      SCOPED_TRACE(absl::StrCat(name, " ", bits));
      const QuantizedModel model = QuantizeGolden(network, MethodFor(name), bits);
      const auto segments =
          CompareCodes(model.graph, ToDevice(model.parameters, gpu_), model.plan, network.evaluation.to(gpu_));
      EXPECT_EQ(segments.size(), model.graph.Segments().size());
      ExpectSameCodes(segments);
    }
  }
}

class FullSizeCodesGpuTest : public GpuTest, public testing::WithParamInterface<const char*> {};

TEST_P(FullSizeCodesGpuTest, EveryBlock) {
  const auto fullsize = nlohmann::json::parse(std::ifstream("tests/golden/fullsize.json"));
  const at::Tensor image = Formula("input", {1, 3, 224, 224}, 0, 2);
  const at::Tensor images = at::cat({image, image.flip(3), image.flip(2)}).to(gpu_);
  for (const std::string& bits : {Bits(4, 4), Bits(6, 6), Bits(8, 8)}) {
    SCOPED_TRACE(bits);
    const QuantizedNetwork network =
        QuantizeNetwork(*MakeMethod(MethodFor(GetParam()), bits), MakeComponent<ModelRegistry>(GetParam(), "{}"),
                        FormulaParameters(fullsize, GetParam()), {image});
    const auto segments = CompareCodes(network.graph, ToDevice(network.parameters, gpu_), network.plan, images);
    EXPECT_EQ(segments.size(), network.graph.Segments().size());
    ExpectSameCodes(segments);
  }
}

INSTANTIATE_TEST_SUITE_P(Published, FullSizeCodesGpuTest,
                         testing::Values("deit_small", "deit_base", "swin_tiny", "resnet50"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace qwt
