#include "quant/weight_statistics.h"

#include <cmath>
#include <limits>

#include "ATen/ops/full.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

WeightStatistics Of(const at::Tensor& weight) {
  const auto statistics = StatisticsOfWeight("layer.weight", weight);
  EXPECT_TRUE(statistics.ok()) << statistics.status();
  return *statistics;
}

TEST(WeightStatisticsTest, AHandMadeWeight) {
  const WeightStatistics statistics = Of(at::tensor({0.0f, 1.0f, 0.0f, 4.0f, -2.0f, 0.0f}).view({3, 2}));
  EXPECT_EQ(statistics.min, -2);
  EXPECT_EQ(statistics.max, 4);
  EXPECT_DOUBLE_EQ(statistics.mean_abs, 7.0 / 6);
  EXPECT_DOUBLE_EQ(statistics.std, std::sqrt(19.5 / 6));  // around the mean 0.5
  EXPECT_DOUBLE_EQ(statistics.peak, 3.5 / std::sqrt(19.5 / 6));
  EXPECT_EQ(statistics.outlier_share, 0);
  EXPECT_DOUBLE_EQ(statistics.channel_spread, 2);  // ranges 1, 4, 2
}

TEST(WeightStatisticsTest, OutliersAreFartherThanSixDeviations) {
  at::Tensor weight = at::ones({10, 10, 2, 5});
  weight.view({-1}).slice(0, 0, 1000, 2).fill_(-1);
  EXPECT_EQ(Of(weight).outlier_share, 0);
  EXPECT_DOUBLE_EQ(Of(weight).peak, 1);
  weight.view({-1})[17] = 5.7f;
  weight.view({-1})[18] = -6.5f;
  EXPECT_DOUBLE_EQ(Of(weight).outlier_share, 1.0 / 1000);
  weight.view({-1})[18] = -1;
  weight.view({-1})[17] = 100;
  weight.view({-1})[400] = -90;
  EXPECT_DOUBLE_EQ(Of(weight).outlier_share, 2.0 / 1000);
  EXPECT_NEAR(Of(weight).peak, 100 / std::sqrt(1 + 10 + 8.1), 0.05);
}

// Channels of as many -1 as 1: any quantile is one of them, the scale 2/15, each value 1/15 off.
TEST(WeightStatisticsTest, SignalOverNoiseAtFourBits) {
  at::Tensor weight = at::ones({2, 4000});
  weight.slice(1, 0, 2000).fill_(-1);
  ASSERT_TRUE(Of(weight).snr_db.has_value());
  EXPECT_NEAR(*Of(weight).snr_db, 10 * std::log10(225), 1e-4);
  // A channel has a scale of its own: another one's size changes nothing.
  weight[1] *= 1000;
  EXPECT_NEAR(*Of(weight).snr_db, 10 * std::log10(225), 1e-4);
  EXPECT_DOUBLE_EQ(Of(weight).channel_spread, 2000 / 1001.0);
}

TEST(WeightStatisticsTest, ConstantChannelsAreNoNumbersOfTheirOwn) {
  for (const at::Tensor& weight : {at::zeros({4, 3}), at::full({4, 3}, 0.1f), at::full({4, 1}, -7.0f)}) {
    const WeightStatistics statistics = Of(weight);
    EXPECT_EQ(statistics.std, 0);
    EXPECT_EQ(statistics.peak, 0);
    EXPECT_EQ(statistics.outlier_share, 0);
    EXPECT_EQ(statistics.channel_spread, 1);
    EXPECT_FALSE(statistics.snr_db.has_value());
  }
  at::Tensor pruned = at::zeros({5, 2});
  pruned[3][0] = 2;
  pruned[4][0] = 4;
  EXPECT_DOUBLE_EQ(Of(pruned).channel_spread, 4 / 3.0);
}

TEST(WeightStatisticsTest, NeedsFiniteValues) {
  at::Tensor weight = at::ones({2, 3});
  weight[1][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(StatisticsOfWeight("layer.weight", weight).status().message(), testing::HasSubstr("layer.weight"));
}

}  // namespace
}  // namespace qwt
