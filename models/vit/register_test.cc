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

TEST(VitOptionsTest, EveryDimensionIsAnOption) {
  const auto graph = Create("vit",
                            "image: 24\npatch: 4\nwidth: 20\ndepth: 2\nheads: 5\nmlp_ratio: 2.97\nclasses: 7\n"
                            "qkv_bias: false\ndistilled: true\nepsilon: 1e-5\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ValidateGraph(*graph), absl::OkStatus());
  EXPECT_EQ(graph->height, 24);
  EXPECT_EQ(graph->width, 24);
  EXPECT_EQ(graph->classes, 7);
  EXPECT_EQ(graph->blocks.size(), 2);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : graph->parameters) shapes[spec.name] = spec.shape;
  EXPECT_EQ(shapes["patch_embed.proj.weight"], (std::vector<int64_t>{20, 3, 4, 4}));
  EXPECT_EQ(shapes["pos_embed"], (std::vector<int64_t>{1, 38, 20}));
  EXPECT_EQ(shapes["blocks.1.mlp.fc1.weight"], (std::vector<int64_t>{59, 20}));  // 59.4
  EXPECT_EQ(shapes["head_dist.weight"], (std::vector<int64_t>{7, 20}));
  EXPECT_EQ(shapes.count("blocks.0.attn.qkv.bias"), 0);
  for (const Node& node : graph->blocks[0].nodes) {
    if (node.op == Op::kLayerNorm) {
      EXPECT_EQ(node.Attribute("epsilon"), 1e-5);
    }
    if (node.op == Op::kSplitHeads) {
      EXPECT_EQ(node.Attribute("heads"), 5);
    }
    if (node.op == Op::kScale) {
      EXPECT_EQ(node.Attribute("factor"), 0.5);  // of 20 / 5 channels
    }
  }
}

TEST(VitOptionsTest, ImpossibleCombinationsNameBothValuesAndTheLine) {
  EXPECT_EQ(Create("deit_small", "patch: 15\nheads: 7\n").status(),
            absl::InvalidArgumentError("a.yaml:1: patch: must divide image, is 15 for image 224\n"
                                       "a.yaml:2: heads: must divide width, is 7 for width 384"));
}

TEST(VitOptionsTest, DimensionsAreAtLeastOne) {
  EXPECT_EQ(Create("vit", "width: 6\nmlp_ratio: 0.1\n").status(),
            absl::InvalidArgumentError("a.yaml:2: mlp_ratio: leaves no hidden channels, is 0.1 for width 6"));
  EXPECT_TRUE(absl::IsInvalidArgument(Create("vit", "depth: 0\n").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Create("vit", "heads: 0\n").status()));
}

}  // namespace
}  // namespace qwt
