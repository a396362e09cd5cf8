#include "quant/sites.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

Node MakeNode(const std::string& name, Op op, std::vector<int> inputs) {
  Node node{name, op, std::move(inputs), "", "", {}};
  if (op == Op::kConv2d || op == Op::kLinear || op == Op::kLayerNorm) node.weight = name + ".weight";
  return node;
}

std::string Describe(const std::vector<Site>& sites) {
  constexpr const char* kRoles[] = {"weight", "input", "normalized", "operand", "softmax"};
  std::string text;
  for (const Site& site : sites) {
    text += site.name + ": " + kRoles[static_cast<int>(site.role)] + (site.at_border ? ", border" : "") +
            (site.layer_norm != nullptr ? " after " + site.layer_norm->name : "") + "\n";
  }
  return text;
}

Graph Network(std::vector<Node> stem, std::vector<Node> block, std::vector<Node> head) {
  Graph graph;
  graph.stem.nodes = std::move(stem);
  graph.blocks.resize(1);
  graph.blocks[0].nodes = std::move(block);
  graph.head.nodes = std::move(head);
  return graph;
}

TEST(SitesTest, BordersAreTheStemsConvolutionAndTheHeadsLinears) {
  const Graph graph = Network({MakeNode("stem", Op::kConv2d, {0}), MakeNode("embed", Op::kLinear, {1})},
                              {MakeNode("conv", Op::kConv2d, {0})},
                              {MakeNode("norm", Op::kLayerNorm, {0}), MakeNode("head", Op::kLinear, {1})});
  EXPECT_EQ(Describe(QuantSites(graph)),
            "stem.input: input, border\nstem.weight: weight, border\n"
            "embed.input: input\nembed.weight: weight\n"
            "conv.input: input\nconv.weight: weight\n"
            "head.input: input, border\nhead.weight: weight, border\n");
}

TEST(SitesTest, OnlySoftmaxOnTheLeft) {
  const Graph graph = Network(
      {},
      {MakeNode("softmax", Op::kSoftmax, {0}), MakeNode("a", Op::kMatmul, {1, 0}), MakeNode("b", Op::kMatmul, {0, 1})},
      {});
  EXPECT_EQ(Describe(QuantSites(graph)), "a.left: softmax\na.right: operand\nb.left: operand\nb.right: operand\n");
}

// What re-parameterisation moves into the LayerNorm would reach every reader.
TEST(SitesTest, NormalizedOnlyWhereNothingElseReadsTheLayerNorm) {
  const std::vector<Node> alone = {MakeNode("norm", Op::kLayerNorm, {0}), MakeNode("a", Op::kLinear, {1})};
  EXPECT_EQ(Describe(QuantSites(Network({}, alone, {}))), "a.input: normalized after norm\na.weight: weight\n");
  std::vector<Node> shared = alone;
  shared.push_back(MakeNode("add", Op::kAdd, {1, 2}));
  EXPECT_EQ(Describe(QuantSites(Network({}, shared, {}))), "a.input: input\na.weight: weight\n");
}

// Swin's windows: tokens change their places, channels do not.
TEST(SitesTest, NormalizedThroughAReshuffleOfTokens) {
  std::vector<Node> block = {MakeNode("norm", Op::kLayerNorm, {0}), MakeNode("split", Op::kSplitWindows, {1}),
                             MakeNode("a", Op::kLinear, {2})};
  EXPECT_EQ(Describe(QuantSites(Network({}, block, {}))), "a.input: normalized after norm\na.weight: weight\n");
  std::vector<Node> shared = block;
  shared.push_back(MakeNode("add", Op::kAdd, {1, 3}));
  EXPECT_EQ(Describe(QuantSites(Network({}, shared, {}))), "a.input: input\na.weight: weight\n");
  block[1].op = Op::kTranspose;
  EXPECT_EQ(Describe(QuantSites(Network({}, block, {}))), "a.input: input\na.weight: weight\n");
}

TEST(SitesTest, TransitionsLieBetweenBlocksAndAreNoBorders) {
  Graph graph = Network({}, {MakeNode("a", Op::kLinear, {0})}, {MakeNode("head", Op::kLinear, {0})});
  graph.transitions[0].nodes = {MakeNode("norm", Op::kLayerNorm, {0}), MakeNode("reduction", Op::kLinear, {1})};
  EXPECT_EQ(Describe(QuantSites(graph)),
            "reduction.input: normalized after norm\nreduction.weight: weight\n"
            "a.input: input\na.weight: weight\nhead.input: input, border\nhead.weight: weight, border\n");
}

}  // namespace
}  // namespace qwt
