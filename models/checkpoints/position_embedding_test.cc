#include "models/checkpoints/position_embedding.h"

#include <algorithm>
#include <cmath>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/ops/randn.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

// The cubic kernel of Keys with a = -0.75.
double Cubic(double x) {
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// Of channel `c` of a grid of side² tokens after `prefix`, at (y, x) of a grid of side `to`; edges are repeated.
double Interpolated(const at::Tensor& embedding, int64_t prefix, int64_t side, int64_t to, int64_t y, int64_t x,
                    int64_t c) {
  const double scale = static_cast<double>(side) / to;
  const double top = (y + 0.5) * scale - 0.5, left = (x + 0.5) * scale - 0.5;
  double sum = 0;
  for (int64_t i = static_cast<int64_t>(std::floor(top)) - 1; i <= std::floor(top) + 2; ++i) {
    for (int64_t j = static_cast<int64_t>(std::floor(left)) - 1; j <= std::floor(left) + 2; ++j) {
      const int64_t row = std::clamp<int64_t>(i, 0, side - 1), column = std::clamp<int64_t>(j, 0, side - 1);
      sum += Cubic(top - i) * Cubic(left - j) * embedding[0][prefix + row * side + column][c].item<float>();
    }
  }
  return sum;
}

TEST(PositionEmbeddingTest, BicubicOnTheGridAndTheOtherTokensAsTheyAre) {
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor embedding = at::randn({1, 2 + 16, 3}, generator, at::kFloat);
  for (int64_t to : {6, 3}) {
    const at::Tensor resized = ResizePositionEmbedding(embedding, 2, 2 + to * to);
    ASSERT_EQ(resized.sizes(), (std::vector<int64_t>{1, 2 + to * to, 3}));
    EXPECT_TRUE(resized.narrow(1, 0, 2).equal(embedding.narrow(1, 0, 2)));
    for (int64_t y = 0; y < to; ++y) {
      for (int64_t x = 0; x < to; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          EXPECT_NEAR(resized[0][2 + y * to + x][c].item<float>(), Interpolated(embedding, 2, 4, to, y, x, c), 1e-5);
        }
      }
    }
  }
}

TEST(PositionEmbeddingTest, OnlySquareGridsOfTheSameWidth) {
  const ParameterSpec spec{"pos_embed", {1, 197, 8}};
  EXPECT_TRUE(IsOtherGrid(spec, {1, 577, 8}, 1));
  EXPECT_TRUE(IsOtherGrid(spec, {1, 50, 8}, 1));
  EXPECT_FALSE(IsOtherGrid(spec, {1, 197, 8}, 1));  // the same
  EXPECT_FALSE(IsOtherGrid(spec, {1, 198, 8}, 1));  // 197 patches, of a distilled network
  EXPECT_FALSE(IsOtherGrid(spec, {1, 577, 16}, 1));
  EXPECT_FALSE(IsOtherGrid(spec, {577, 8}, 1));
  EXPECT_FALSE(IsOtherGrid(spec, {1, 0, 8}, 1));
}

TEST(PositionEmbeddingTest, IsFoundInTheStem) {
  Graph graph;
  graph.stem.nodes = {{"dist_token", Op::kPrependToken, {0}, "dist_token", "", {}},
                      {"cls_token", Op::kPrependToken, {1}, "cls_token", "", {}},
                      {"pos_embed", Op::kAddParameter, {2}, "pos_embed", "", {}}};
  EXPECT_EQ(FindPositionEmbedding(graph).name, "pos_embed");
  EXPECT_EQ(FindPositionEmbedding(graph).prefix, 2);
  EXPECT_EQ(FindPositionEmbedding(Graph()).name, "");
}

}  // namespace
}  // namespace qwt
