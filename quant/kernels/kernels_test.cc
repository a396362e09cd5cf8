#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/clamp.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/exp2.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/where.h"
#include "gtest/gtest.h"
#include "quant/kernels/log_sqrt2.h"
#include "quant/kernels/statistics.h"
#include "quant/kernels/uniform.h"

namespace qwt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == b.numel() &&
         std::memcmp(a.data_ptr<float>(), b.data_ptr<float>(), a.numel() * sizeof(float)) == 0;
}

// Values around every multiple of half a step, halves exactly, and extremes.
at::Tensor AwkwardValues(float scale) {
  std::vector<float> values = {0.0f,   -0.0f,     1e-45f,     -1e-45f,    1e-38f,    3e38f,
                               -3e38f, kInfinity, -kInfinity, 8388608.0f, 8388609.0f};
  for (int half_steps = -600; half_steps <= 600; ++half_steps) {
    const float value = static_cast<float>(half_steps) * 0.5f * scale;
    values.push_back(value);
    values.push_back(std::nextafter(value, kInfinity));
    values.push_back(std::nextafter(value, -kInfinity));
  }
  return at::tensor(values);
}

// The reference's chain of operators. scale, zero_point: broadcast against x.
at::Tensor NaiveUniform(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero_point, float top) {
  const at::Tensor codes = at::clamp((x / scale).round() + zero_point, 0, top);
  return (codes - zero_point) * scale;
}

at::Tensor FusedUniform(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero_point, float top,
                        int64_t outer, int64_t inner) {
  at::Tensor y = x.clone();
  UniformApply({outer, scale.numel(), inner, scale.data_ptr<float>(), zero_point.data_ptr<float>(), top},
               x.data_ptr<float>(), y.data_ptr<float>());
  return y;
}

TEST(UniformKernelTest, BitsOfTheOperatorChainPerTensor) {
  for (float top : {3.0f, 15.0f, 255.0f}) {
    for (float scale : {1.0f, 0.25f, 0.1f, 0.0173f, 3.7f, 1e-3f}) {
      for (float zero : {0.0f, 7.0f, -40.0f, 300.0f, 7.3958335f}) {
        const at::Tensor s = at::tensor({scale}), z = at::tensor({zero});
        for (const at::Tensor& x : {AwkwardValues(scale), at::randn({4099}) * (scale * top / 3)}) {
          ASSERT_TRUE(SameBits(FusedUniform(x, s, z, top, 1, x.numel()), NaiveUniform(x, s, z, top)))
              << "scale " << scale << ", zero point " << zero << ", top " << top;
        }
      }
    }
  }
}

TEST(UniformKernelTest, BitsOfTheOperatorChainPerChannel) {
  const at::Tensor scale = at::rand({37}) + 0.01, zero = (at::rand({37}) * 15).round(), x = at::randn({53, 37}) * 4;
  EXPECT_TRUE(SameBits(FusedUniform(x, scale, zero, 15, 53, 1), NaiveUniform(x, scale, zero, 15)));
  const at::Tensor first = x.t().contiguous();
  EXPECT_TRUE(SameBits(FusedUniform(first, scale, zero, 15, 1, 53),
                       NaiveUniform(first, scale.view({37, 1}), zero.view({37, 1}), 15)));
  const at::Tensor middle = at::randn({5, 37, 11});
  EXPECT_TRUE(SameBits(FusedUniform(middle, scale, zero, 15, 5, 11),
                       NaiveUniform(middle, scale.view({37, 1}), zero.view({37, 1}), 15)));
}

TEST(UniformKernelTest, NanStaysNan) {
  const float nan = std::nanf(""), one = 1, zero = 0;
  float y = 0;
  UniformApply({1, 1, 1, &one, &zero, 15}, &nan, &y);
  EXPECT_TRUE(std::isnan(y));
}

// RepQ-ViT's chain; codes of `levels` and more become 0.
at::Tensor NaiveLogSqrt2(const at::Tensor& x, float scale, float floor, int levels) {
  at::Tensor ratio = x / scale;
  if (floor > 0) ratio = ratio.clamp_min(floor);
  const at::Tensor unclamped = (ratio.log2() * -2).round();
  const at::Tensor codes = unclamped.clamp(0, levels - 1);
  const at::Tensor power = at::exp2(-(codes / 2).ceil()) * scale;
  const at::Tensor values = at::where(codes.remainder(2) == 1, power * static_cast<float>(std::sqrt(2.0)), power);
  return at::where(unclamped >= levels, values * 0, values);
}

TEST(LogSqrt2KernelTest, ValuesOfTheOperatorChain) {
  for (float floor : {0.0f, 1e-6f}) {
    for (int bits : {2, 4, 6, 7}) {
      const float scale = 0.913f;
      LogSqrt2Arguments arguments{1, 1, 0, &scale, floor, 1 << bits};
      // Uniform in the logarithm, with what lies above the scale and exact zeros.
      at::Tensor x = at::exp2(at::rand({20000}) * -70 + 1);
      x.slice(0, 0, 10).zero_();
      arguments.inner = x.numel();
      at::Tensor y = at::empty_like(x);
      LogSqrt2Apply(arguments, x.data_ptr<float>(), y.data_ptr<float>());
      EXPECT_TRUE(SameBits(y, NaiveLogSqrt2(x, scale, floor, 1 << bits))) << bits << " bits, floor " << floor;
    }
  }
}

TEST(LogSqrt2KernelTest, FloorTurnsZeroIntoASmallPower) {
  const float scale = 0.75f, zero = 0;
  float y = 1;
  LogSqrt2Apply({1, 1, 1, &scale, 1e-6f, 64}, &zero, &y);
  EXPECT_EQ(y, 0.75f * std::exp2(-20.0f));
  LogSqrt2Apply({1, 1, 1, &scale, 0, 64}, &zero, &y);
  EXPECT_EQ(y, 0.0f);
  LogSqrt2Apply({1, 1, 1, &scale, 1e-6f, 16}, &zero, &y);  // 40 ≥ 16: below the last power
  EXPECT_EQ(y, 0.0f);
}

TEST(StatisticsTest, SquaredErrorsOfEveryLayout) {
  const at::Tensor x = at::randn({7, 19, 41}), y = at::randn({7, 19, 41});
  const at::Tensor squares = (x.to(at::kDouble) - y.to(at::kDouble)).square();
  const auto expect = [&](int64_t outer, int64_t channels, int64_t inner) {
    std::vector<double> sums(channels, 1.0);
    AddSquaredErrors(x.data_ptr<float>(), y.data_ptr<float>(), outer, channels, inner, sums.data());
    const at::Tensor expected = squares.view({outer, channels, inner}).sum(at::IntArrayRef({0, 2})) + 1;
    for (int64_t c = 0; c < channels; ++c) EXPECT_NEAR(sums[c], expected.data_ptr<double>()[c], 1e-12 * sums[c]);
  };
  expect(1, 1, 7 * 19 * 41);
  expect(7 * 19, 41, 1);
  expect(1, 7, 19 * 41);
  expect(7, 19, 41);
}

TEST(StatisticsTest, FiniteOrNot) {
  for (int64_t n : {1, 15, 16, 17, 100}) {
    for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
      std::vector<float> values(n, -3e38f);
      EXPECT_TRUE(AllFinite(values.data(), n));
      for (float damage : {kInfinity, -kInfinity, std::nanf("")}) {
        values[at] = damage;
        EXPECT_FALSE(AllFinite(values.data(), n)) << n << " values, " << damage << " at " << at;
      }
    }
  }
}

TEST(StatisticsTest, ExtremesAreThoseOfASort) {
  for (int64_t n : {1, 5, 127, 128, 129, 5000}) {
    for (int64_t count : {int64_t{1}, int64_t{3}, n}) {
      at::Tensor x = (at::randn({n}) * 50).round();  // with ties
      if (count == 3) x = std::get<0>(x.sort());
      LargestValues largest(count), smallest(count);
      AddExtremes(x.data_ptr<float>(), n, &largest, &smallest);
      const at::Tensor sorted = std::get<0>(x.sort());
      const int64_t kept = std::min(n, count);
      ASSERT_EQ(largest.Sorted().size(), kept);
      ASSERT_EQ(smallest.Sorted().size(), kept);
      for (int64_t i = 0; i < kept; ++i) {
        EXPECT_EQ(largest.Sorted()[i], sorted.data_ptr<float>()[n - 1 - i]);
        EXPECT_EQ(-smallest.Sorted()[i], sorted.data_ptr<float>()[i]);
      }
    }
  }
}

}  // namespace
}  // namespace qwt
