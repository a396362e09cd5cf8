#include "models/cost.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

using testing::ElementsAre;

struct Totals {
  int64_t parameters = 0, macs = 0;
};

Totals TotalsOf(const VitConfig& config, int64_t batch) {
  const auto costs = EstimateCost(BuildVit("vit", config), batch);
  EXPECT_TRUE(costs.ok()) << costs.status();
  Totals totals;
  for (const SegmentCost& cost : *costs) {
    totals.parameters += cost.parameters;
    totals.macs += cost.macs;
  }
  return totals;
}

VitConfig TinyConfig() {
  VitConfig config;
  config.image = 8;
  config.patch = 4;
  config.width = 6;
  config.depth = 1;
  config.heads = 2;
  config.classes = 3;
  return config;
}

TEST(CostTest, DeitSmallIsAsPublished) {
  const Totals one = TotalsOf(VitConfig(), 1);
  EXPECT_EQ(one.parameters, 22050664);
  EXPECT_EQ(one.macs, 4598882304);  // 4.6 G
  const Totals four = TotalsOf(VitConfig(), 4);
  EXPECT_EQ(four.parameters, one.parameters);
  EXPECT_EQ(four.macs, 4 * one.macs);
}

TEST(CostTest, ShapesOfEverySegment) {
  const auto shapes = InferShapes(BuildVit("vit", TinyConfig()), 2);
  ASSERT_TRUE(shapes.ok()) << shapes.status();
  ASSERT_EQ(shapes->size(), 3);
  EXPECT_THAT((*shapes)[0], ElementsAre(ElementsAre(2, 3, 8, 8), ElementsAre(2, 6, 2, 2), ElementsAre(2, 4, 6),
                                        ElementsAre(2, 5, 6), ElementsAre(2, 5, 6)));
  EXPECT_THAT((*shapes)[1][2], ElementsAre(2, 5, 18));    // qkv
  EXPECT_THAT((*shapes)[1][6], ElementsAre(2, 2, 3, 5));  // the transposed key
  EXPECT_THAT((*shapes)[1][7], ElementsAre(2, 2, 5, 5));  // query times key
  EXPECT_THAT((*shapes)[2].back(), ElementsAre(2, 3));
}

TEST(CostTest, PeakIsWhatIsAliveAtOnce) {
  const auto costs = EstimateCost(BuildVit("vit", TinyConfig()), 2);
  ASSERT_TRUE(costs.ok()) << costs.status();
  ASSERT_EQ(costs->size(), 3);
  EXPECT_EQ((*costs)[0].segment, "stem");
  // The images (384 values) with tokens before and after pos_embed (60 each).
  EXPECT_EQ((*costs)[0].peak_activation_bytes, 4 * (384 + 60 + 60));
  // fc1's output and GELU's (240 each) beside the block's input and its middle (60 each).
  EXPECT_EQ((*costs)[1].peak_activation_bytes, 4 * (60 + 60 + 240 + 240));
  EXPECT_EQ((*costs)[2].peak_activation_bytes, 4 * (60 + 60 + 12));
  EXPECT_EQ(PeakActivationBytes(BuildVit("vit", TinyConfig()), 2), 4 * 600);
}

TEST(CostTest, AMisfitNamesTheNode) {
  Graph graph = BuildVit("vit", TinyConfig());
  for (ParameterSpec& spec : graph.parameters) {
    if (spec.name == "blocks.0.mlp.fc2.weight") spec.shape = {6, 23};
  }
  EXPECT_EQ(InferShapes(graph, 2).status(),
            absl::InvalidArgumentError(
                "node 'blocks.0.mlp.fc2' (linear) on [2, 5, 24]: the weight is [6, 23], must be [Co, 24]"));
  EXPECT_EQ(PeakActivationBytes(graph, 2), 0);

  graph = BuildVit("vit", TinyConfig());
  graph.classes = 4;
  EXPECT_EQ(InferShapes(graph, 2).status(),
            absl::InvalidArgumentError("graph 'vit': the head makes [2, 3], must make [2, 4]"));
}

}  // namespace
}  // namespace qwt
