#include "quant/size.h"

#include "gtest/gtest.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

Graph DeitSmall() { return BuildVit("deit_small", VitConfig()); }

TEST(PublishedWeightBitsTest, TheBorderKeepsEight) {
  const WeightBits bits = PublishedWeightBits(DeitSmall(), 3);
  EXPECT_EQ(bits.size(), 1u + 12 * 4 + 1);
  EXPECT_EQ(bits.at("patch_embed.proj.weight"), 8);
  EXPECT_EQ(bits.at("head.weight"), 8);
  EXPECT_EQ(bits.at("blocks.0.attn.qkv.weight"), 3);
  EXPECT_EQ(bits.at("blocks.11.mlp.fc2.weight"), 3);
}

TEST(ParameterBitsTest, IsASumOverTheParameters) {
  const std::vector<ParameterSpec> parameters = {{"a", {2, 3}}, {"b", {5}}};
  EXPECT_EQ(ParameterBits(parameters, {}), 11 * 32);
  EXPECT_EQ(ParameterBits(parameters, {{"a", 4}, {"c", 8}}), 6 * 4 + 5 * 32);
}

// algorithms section 6.
TEST(ParameterBitsTest, IsTheReferencesSizeOfDeitSmall) {
  const Graph graph = DeitSmall();
  EXPECT_NEAR(BitsToMb(ParameterBits(graph.parameters, PublishedWeightBits(graph, 4))), 11.848, 5e-4);
  EXPECT_NEAR(BitsToMb(ParameterBits(graph.parameters, {})), 22050664 * 4 / 1e6, 1e-9);
}

}  // namespace
}  // namespace qwt
