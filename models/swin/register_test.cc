#include <map>

#include "gtest/gtest.h"
#include "models/registry.h"

namespace qwt {
namespace {

absl::StatusOr<Graph> Create(const std::string& name, const std::string& yaml) {
  const auto component = ModelRegistry::Get().Find(name);
  if (!component.ok()) return component.status();
  const auto node = ParseConfig(yaml, "a.yaml");
  if (!node.ok()) return node.status();
  Problems problems;
  const Options options = CheckOptions(*node, (*component)->schema, &problems);
  if (!problems.empty()) return problems.ToStatus();
  return (*component)->create(options);
}

const Node* Find(const Segment& segment, Op op) {
  for (const Node& node : segment.nodes) {
    if (node.op == op) return &node;
  }
  return nullptr;
}

TEST(SwinOptionsTest, EveryDimensionIsAnOption) {
  const auto graph = Create("swin",
                            "image: 36\npatch: 3\nwindow: 4\nwidth: 20\ndepths: [2, 1]\nheads: [5, 2]\n"
                            "mlp_ratio: 2.97\nclasses: 7\nqkv_bias: false\nepsilon: 1e-6\n");
  ASSERT_FALSE(graph.ok());  // 6 x 6 tokens in the second stage
  const auto small = Create("swin",
                            "image: 36\npatch: 3\nwindow: 6\nwidth: 20\ndepths: [2, 2]\nheads: [5, 2]\n"
                            "mlp_ratio: 2.97\nclasses: 7\nqkv_bias: false\nepsilon: 1e-6\n");
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(ValidateGraph(*small), absl::OkStatus());
  EXPECT_EQ(small->height, 36);
  EXPECT_EQ(small->classes, 7);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : small->parameters) shapes[spec.name] = spec.shape;
  EXPECT_EQ(shapes["patch_embed.proj.weight"], (std::vector<int64_t>{20, 3, 3, 3}));
  EXPECT_EQ(shapes["layers.0.blocks.1.attn.relative_position_bias_table"], (std::vector<int64_t>{121, 5}));
  EXPECT_EQ(shapes["layers.0.downsample.reduction.weight"], (std::vector<int64_t>{40, 80}));
  EXPECT_EQ(shapes["layers.1.blocks.0.mlp.fc1.weight"], (std::vector<int64_t>{118, 40}));  // 118.8
  EXPECT_EQ(shapes["head.weight"], (std::vector<int64_t>{7, 40}));
  EXPECT_EQ(shapes.count("layers.0.blocks.0.attn.qkv.bias"), 0);
  EXPECT_EQ(shapes.count("layers.0.downsample.reduction.bias"), 0);
  EXPECT_EQ(Find(small->blocks[0], Op::kLayerNorm)->Attribute("epsilon"), 1e-6);
  EXPECT_EQ(Find(small->blocks[0], Op::kScale)->Attribute("factor"), 0.5);  // of 20 / 5 channels
}

TEST(SwinOptionsTest, PatchMergingStandsBetweenBlocksAndIsNone) {
  const auto graph = Create("swin_tiny", "{}");
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->blocks.size(), 12);
  EXPECT_EQ(graph->blocks[2].name, "layers.1.blocks.0");
  EXPECT_EQ(graph->blocks[11].name, "layers.3.blocks.1");
  ASSERT_EQ(graph->transitions.size(), 3);
  EXPECT_EQ(graph->transitions.at(2).name, "layers.0.downsample");
  EXPECT_EQ(graph->transitions.at(4).name, "layers.1.downsample");
  EXPECT_EQ(graph->transitions.at(10).name, "layers.2.downsample");
}

TEST(SwinOptionsTest, OddBlocksShiftWhereThereAreSeveralWindows) {
  const auto graph = Create("swin_tiny", "{}");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto shift = [&](int block) { return Find(graph->blocks[block], Op::kSplitWindows)->Attribute("shift"); };
  EXPECT_EQ(shift(0), 0);
  EXPECT_EQ(shift(1), 3);
  EXPECT_EQ(shift(9), 3);
  EXPECT_EQ(shift(11), 0);  // 7 x 7 tokens
  EXPECT_EQ(Find(graph->blocks[0], Op::kAddWindowMask), nullptr);
  EXPECT_NE(Find(graph->blocks[1], Op::kAddWindowMask), nullptr);
  const auto small = Create("swin", "{image: 32, window: 8, depths: [1, 2], heads: [3, 6]}");
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(Find(small->blocks[2], Op::kSplitWindows)->Attribute("window"), 4);
  EXPECT_EQ(Find(small->blocks[2], Op::kSplitWindows)->Attribute("shift"), 0);
}

TEST(SwinOptionsTest, ImpossibleCombinationsNameBothValuesAndTheLine) {
  const auto error = [](const std::string& yaml) { return Create("swin", yaml).status(); };
  EXPECT_EQ(error("patch: 5\nmlp_ratio: 0.001\n"),
            absl::InvalidArgumentError("a.yaml:1: patch: must divide image, is 5 for image 224\n"
                                       "a.yaml:2: mlp_ratio: leaves no hidden channels, is 0.001 for width 96"));
  EXPECT_EQ(error("heads: [3, 6]\n"),
            absl::InvalidArgumentError("a.yaml:1: heads: must be of as many stages as depths, is of 2, depths of 4"));
  EXPECT_EQ(error("depths: []\nheads: []\n"),
            absl::InvalidArgumentError("a.yaml:1: depths: must be of 1 to 12 stages, is of 0"));
  EXPECT_EQ(
      error("width: 60\nheads: [3, 7, 12, 16]\n"),
      absl::InvalidArgumentError("a.yaml:2: heads: must divide the stage's width, is 7 for width 120 of stage 1"));
  EXPECT_EQ(error("window: 5\n"),
            absl::InvalidArgumentError(
                "a.yaml:1: window: must divide the stage's side of tokens, is 5 for 56 tokens of stage 0\n"
                "a.yaml:1: window: must divide the stage's side of tokens, is 5 for 28 tokens of stage 1\n"
                "a.yaml:1: window: must divide the stage's side of tokens, is 5 for 14 tokens of stage 2\n"
                "a.yaml:1: window: must divide the stage's side of tokens, is 5 for 7 tokens of stage 3"));
  EXPECT_EQ(error("image: 112\n"),
            absl::InvalidArgumentError("a.yaml:1: image: is 112 with patch 4: stage 2 has 7 x 7 tokens, which cannot "
                                       "be merged 2 x 2 for stage 3"));
}

TEST(SwinOptionsTest, DimensionsAreAtLeastOne) {
  EXPECT_TRUE(absl::IsInvalidArgument(Create("swin", "depths: [2, 0, 2, 2]\n").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Create("swin", "window: 0\n").status()));
}

}  // namespace
}  // namespace qwt
