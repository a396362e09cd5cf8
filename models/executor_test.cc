#include "models/executor.h"

#include <cmath>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

at::Tensor Range(at::IntArrayRef shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return at::arange(count, at::kFloat).reshape(shape);
}

at::Tensor Evaluate(Op op, const std::vector<at::Tensor>& inputs, std::map<std::string, double> attributes = {},
                    const at::Tensor& weight = {}, const at::Tensor& bias = {}) {
  Node node{"node", op, {}, weight.defined() ? "weight" : "", bias.defined() ? "bias" : "", std::move(attributes)};
  return EvaluateNode(node, inputs, {{"weight", weight}, {"bias", bias}});
}

void ExpectEqual(const at::Tensor& actual, const at::Tensor& expected) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_TRUE(actual.equal(expected)) << "values differ";
}

TEST(EvaluateNodeTest, Conv2dWithStridePaddingGroupsAndBias) {
  const at::Tensor x = at::ones({1, 2, 4, 4});
  const at::Tensor weight = at::ones({2, 1, 2, 2}), bias = at::tensor({0.5f, 100.f});
  const at::Tensor y = Evaluate(Op::kConv2d, {x}, {{"stride", 2}, {"padding", 1}, {"groups", 2}}, weight, bias);
  // Corners see one pixel, edges two, the middle four.
  ExpectEqual(y[0][0], at::tensor({1.5f, 2.5f, 1.5f, 2.5f, 4.5f, 2.5f, 1.5f, 2.5f, 1.5f}).reshape({3, 3}));
  ExpectEqual(y[0][1], y[0][0] + 99.5);
}

TEST(EvaluateNodeTest, BatchNormByRunningStatistics) {
  Node node{"bn", Op::kBatchNorm, {}, "weight", "bias", {{"epsilon", 3}}};
  node.mean = "mean", node.variance = "variance";
  const at::Tensor y = EvaluateNode(node, {at::ones({1, 2, 1, 3}) * 5},
                                    {{"weight", at::tensor({2.f, 3.f})},
                                     {"bias", at::tensor({10.f, 20.f})},
                                     {"mean", at::tensor({1.f, 7.f})},
                                     {"variance", at::tensor({1.f, 13.f})}});
  // (5 - 1) / sqrt(1 + 3) * 2 + 10 and (5 - 7) / sqrt(13 + 3) * 3 + 20
  ExpectEqual(y, at::tensor({14.f, 14.f, 14.f, 18.5f, 18.5f, 18.5f}).reshape({1, 2, 1, 3}));
}

TEST(EvaluateNodeTest, PoolingAndRelu) {
  const at::Tensor x = Range({1, 1, 3, 4}) - 20;
  // Padding is no candidate: below every value.
  ExpectEqual(Evaluate(Op::kMaxPool, {x}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}}),
              at::tensor({-15.f, -13.f, -11.f, -9.f}).reshape({1, 1, 2, 2}));
  ExpectEqual(Evaluate(Op::kGlobalAveragePool, {Range({1, 2, 2, 2})}), at::tensor({1.5f, 5.5f}).reshape({1, 2}));
  ExpectEqual(Evaluate(Op::kMeanTokens, {Range({1, 3, 2})}), at::tensor({2.f, 3.f}).reshape({1, 2}));
  ExpectEqual(Evaluate(Op::kRelu, {at::tensor({-1.f, 0.f, 2.f})}), at::tensor({0.f, 0.f, 2.f}));
}

TEST(EvaluateNodeTest, TokensComeRowByRow) {
  const at::Tensor y = Evaluate(Op::kFlattenTokens, {Range({1, 2, 2, 3})});
  ExpectEqual(y[0], at::tensor({0.f, 6.f, 1.f, 7.f, 2.f, 8.f, 3.f, 9.f, 4.f, 10.f, 5.f, 11.f}).reshape({6, 2}));
}

TEST(EvaluateNodeTest, TokenIsPrependedToEveryImage) {
  const at::Tensor y =
      Evaluate(Op::kPrependToken, {at::zeros({2, 1, 2})}, {}, at::tensor({7.f, 8.f}).reshape({1, 1, 2}));
  ExpectEqual(y, at::tensor({7.f, 8.f, 0.f, 0.f, 7.f, 8.f, 0.f, 0.f}).reshape({2, 2, 2}));
}

TEST(EvaluateNodeTest, ParameterIsAddedToEveryImage) {
  const at::Tensor y =
      Evaluate(Op::kAddParameter, {at::ones({2, 2, 1})}, {}, at::tensor({1.f, 2.f}).reshape({1, 2, 1}));
  ExpectEqual(y, at::tensor({2.f, 3.f, 2.f, 3.f}).reshape({2, 2, 1}));
}

TEST(EvaluateNodeTest, LayerNormWithEpsilon) {
  const at::Tensor y = Evaluate(Op::kLayerNorm, {at::tensor({-1.f, 1.f}).reshape({1, 1, 2})}, {{"epsilon", 3}},
                                at::tensor({2.f, 4.f}), at::tensor({0.f, 1.f}));
  EXPECT_NEAR(y[0][0][0].item<float>(), -1, 1e-6);  // -1 / sqrt(1 + 3) * 2
  EXPECT_NEAR(y[0][0][1].item<float>(), 3, 1e-6);
}

TEST(EvaluateNodeTest, LinearWithAndWithoutBias) {
  const at::Tensor weight = at::tensor({1.f, 2.f, 3.f, 4.f}).reshape({2, 2}),
                   x = at::tensor({1.f, 10.f}).reshape({1, 2});
  ExpectEqual(Evaluate(Op::kLinear, {x}, {}, weight), at::tensor({21.f, 43.f}).reshape({1, 2}));
  ExpectEqual(Evaluate(Op::kLinear, {x}, {}, weight, at::tensor({1.f, 0.f})), at::tensor({22.f, 43.f}).reshape({1, 2}));
}

TEST(EvaluateNodeTest, HeadsAreSplitAndMergedBack) {
  const at::Tensor x = Range({1, 2, 12});  // query 0 to 3, key 4 to 7, value 8 to 11 of the first token; two heads
  const at::Tensor key = Evaluate(Op::kSplitHeads, {x}, {{"heads", 2}, {"part", 1}});
  ExpectEqual(key, at::tensor({4.f, 5.f, 16.f, 17.f, 6.f, 7.f, 18.f, 19.f}).reshape({1, 2, 2, 2}));
  ExpectEqual(Evaluate(Op::kMergeHeads, {key}), x.slice(2, 4, 8));
}

TEST(EvaluateNodeTest, WindowsAreSplitAndMergedBack) {
  const std::map<std::string, double> grid = {{"height", 4}, {"width", 6}, {"window", 2}, {"shift", 1}};
  const at::Tensor x = Range({2, 24, 3});
  const at::Tensor windows = Evaluate(Op::kSplitWindows, {x}, grid);
  // Rolled up and left by one, the first window of the second image begins at row 1, column 1.
  ExpectEqual(windows[6].select(1, 0), (at::tensor({7.f, 8.f, 13.f, 14.f}) + 24) * 3);
  ExpectEqual(Evaluate(Op::kMergeWindows, {windows}, grid), x);
  ExpectEqual(Evaluate(Op::kMergePatches, {Range({1, 8, 1})}, {{"height", 2}, {"width", 4}}),
              at::tensor({0.f, 4.f, 1.f, 5.f, 2.f, 6.f, 3.f, 7.f}).reshape({1, 2, 4}));
}

TEST(EvaluateNodeTest, ScoresGetTheirBiasAndMask) {
  // One head and window 2: row 3 * (Δrow + 1) + (Δcolumn + 1) of the table.
  const at::Tensor table = Range({9, 1});
  const at::Tensor biased = Evaluate(Op::kAddRelativePositionBias, {at::ones({1, 1, 4, 4})}, {{"window", 2}}, table);
  ExpectEqual(biased[0][0][0], at::tensor({4.f, 3.f, 1.f, 0.f}) + 1);  // query (0, 0)
  ExpectEqual(biased[0][0][3], at::tensor({8.f, 7.f, 5.f, 4.f}) + 1);  // query (1, 1)
  const at::Tensor masked = Evaluate(Op::kAddWindowMask, {at::ones({8, 3, 4, 4})},
                                     {{"height", 4}, {"width", 4}, {"window", 2}, {"shift", 1}});
  // Window 1 of either image holds the right column and what was rolled over from the left one.
  ExpectEqual(masked[5][2][0], at::tensor({1.f, -99.f, 1.f, -99.f}));
  ExpectEqual(masked[4], at::ones({3, 4, 4}));
}

TEST(EvaluateNodeTest, TransposeMatmulScaleAddMeanSelect) {
  const at::Tensor x = Range({1, 2, 2});
  ExpectEqual(Evaluate(Op::kTranspose, {x}), at::tensor({0.f, 2.f, 1.f, 3.f}).reshape({1, 2, 2}));
  ExpectEqual(Evaluate(Op::kMatmul, {x, x}), at::tensor({2.f, 3.f, 6.f, 11.f}).reshape({1, 2, 2}));
  ExpectEqual(Evaluate(Op::kScale, {x}, {{"factor", 0.5}}), x / 2);
  ExpectEqual(Evaluate(Op::kAdd, {x, x}), x * 2);
  ExpectEqual(Evaluate(Op::kMean, {x, x + 1, x + 5}), x + 2);
  ExpectEqual(Evaluate(Op::kSelectToken, {x}, {{"index", 1}}), at::tensor({2.f, 3.f}).reshape({1, 2}));
}

TEST(EvaluateNodeTest, SoftmaxOverTheLastDimension) {
  const at::Tensor y = Evaluate(Op::kSoftmax, {at::tensor({0.f, std::log(3.f), 5.f, 5.f}).reshape({2, 2})});
  EXPECT_LT((y - at::tensor({0.25f, 0.75f, 0.5f, 0.5f}).reshape({2, 2})).abs().max().item<float>(), 1e-6);
}

TEST(EvaluateNodeTest, GeluIsTheExactOne) {
  const at::Tensor y = Evaluate(Op::kGelu, {at::tensor({1.f, -2.f})});
  EXPECT_NEAR(y[0].item<float>(), 0.5 * (1 + std::erf(1 / std::sqrt(2.0))), 1e-6);  // tanh's form gives 0.841192
  EXPECT_NEAR(y[1].item<float>(), -1 * (1 + std::erf(-2 / std::sqrt(2.0))), 1e-6);
}

// a -> relu-like chain in which the first value is read once and the input twice.
Segment Chain() {
  return {"chain",
          {{"double", Op::kScale, {0}, "", "", {{"factor", 2}}},
           {"again", Op::kScale, {1}, "", "", {{"factor", 2}}},
           {"sum", Op::kAdd, {2, 0}, "", "", {}}}};
}

TEST(LastUsesTest, IndexOfTheLastReader) { EXPECT_THAT(LastUses(Chain()), testing::ElementsAre(2, 1, 2, -1)); }

TEST(RunNodesTest, DropsValuesAfterTheirLastUse) {
  at::Tensor first;
  const auto result = RunNodes(Chain(), at::ones({1}), [&](const Node& node, const std::vector<at::Tensor>& inputs) {
    const at::Tensor value = EvaluateNode(node, inputs, {});
    if (node.name == "double") first = value;
    if (node.name == "sum") {
      EXPECT_EQ(first.use_count(), 1);  // only this test still holds it
    }
    return value;
  });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->item<float>(), 5);
}

TEST(ExecutorTest, ErrorsNameNodeSegmentAndShapes) {
  const Segment segment = {"blocks.3", {{"blocks.3.mlp.fc1", Op::kLinear, {0}, "w", "", {}}}};
  const auto executor = MakeFloatExecutor({{"w", at::ones({4, 3})}});
  const absl::Status status = executor->Run(segment, at::ones({2, 5})).status();
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_EQ(status.message(),
            "node 'blocks.3.mlp.fc1' (linear) of blocks.3 on [2, 5]: mat1 and mat2 shapes cannot be multiplied (2x5 "
            "and 3x4)");
  EXPECT_EQ(MakeFloatExecutor({})->Run(segment, at::ones({2, 5})).status(),
            absl::InternalError("node 'blocks.3.mlp.fc1' (linear) of blocks.3 on [2, 5]: there is no parameter 'w'"));
}

TEST(RunGraphTest, RefusesImagesOfAnotherSize) {
  Graph graph;
  graph.name = "small";
  graph.height = graph.width = 8;
  const TensorMap parameters;
  const auto executor = MakeFloatExecutor(parameters);
  EXPECT_EQ(RunGraph(graph, *executor, at::ones({2, 3, 8, 9})).status(),
            absl::InvalidArgumentError("the images are [2, 3, 8, 9], small takes [N, 3, 8, 8]"));
  EXPECT_EQ(RunGraph(graph, *executor, at::ones({3, 8, 8})).status(),
            absl::InvalidArgumentError("the images are [3, 8, 8], small takes [N, 3, 8, 8]"));
}

}  // namespace
}  // namespace qwt
