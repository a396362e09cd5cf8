// What every registered quantiser must do, whatever it is. A new one is tested without a line here.
#include "quant/quantizer.h"

#include <cmath>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/stack.h"
#include "gtest/gtest.h"
#include "quant/search.h"

namespace qwt {
namespace {

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& description : QuantizerRegistry::Get().Descriptions()) names.push_back(description.name);
  return names;
}

class QuantizerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto quantizer = MakeQuantizer(GetParam());
    ASSERT_TRUE(quantizer.ok()) << quantizer.status();
    quantizer_ = *std::move(quantizer);
    // Not negative, so that quantisers of probabilities take part; skewed towards 0, as probabilities are.
    auto generator = at::detail::createCPUGenerator(1);
    x_ = at::rand({29, 31}, generator, at::kFloat).pow(3);
  }

  static QuantSpec Spec(int bits, Granularity granularity = Granularity::kPerTensor) {
    QuantSpec spec;
    spec.quantizer = GetParam();
    spec.bits = bits;
    spec.granularity = granularity;
    spec.percentiles = {0.999, 1.0};
    return spec;
  }

  static SiteQuantization Solve(const QuantSpec& spec, const at::Tensor& x) {
    const auto comm = MakeLocalCommunicator();
    auto site = SearchScale("site", spec, {x}, *comm, 1);
    EXPECT_TRUE(site.ok()) << site.status();
    return *std::move(site);
  }

  double Error(int bits) const {
    return (quantizer_->Apply(x_, Solve(Spec(bits), x_)) - x_).square().mean().item<double>();
  }

  std::unique_ptr<Quantizer> quantizer_;
  at::Tensor x_;
};

TEST_P(QuantizerTest, PositionsRoundToCodes) {
  for (const Granularity granularity : {Granularity::kPerTensor, Granularity::kPerChannel}) {
    for (int bits : {2, 3, 8}) {
      const SiteQuantization site = Solve(Spec(bits, granularity), x_);
      const at::Tensor positions = quantizer_->Positions(x_, site);
      ASSERT_EQ(positions.sizes(), x_.sizes());
      const at::Tensor codes = *quantizer_->Codes(x_, site);
      const at::Tensor rounded = positions.round().clamp(0, quantizer_->Levels(site.spec) - 1);
      // Half way between two codes the kernels may round otherwise.
      const at::Tensor half_way = (positions - positions.floor() - 0.5).abs().lt(1e-3);
      EXPECT_TRUE(rounded.eq(codes).logical_or(half_way).all().item<bool>()) << bits << " bits";
      EXPECT_LT(half_way.sum().item<int64_t>(), x_.numel() / 20);
    }
  }
}

TEST_P(QuantizerTest, ValuesAreThoseOfTheirCodes) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (Granularity granularity : {Granularity::kPerTensor, Granularity::kPerChannel}) {
      const SiteQuantization site = Solve(Spec(bits, granularity), x_);
      const auto codes = quantizer_->Codes(x_, site);
      ASSERT_TRUE(codes.ok()) << codes.status();
      EXPECT_EQ(codes->scalar_type(), at::kByte);
      EXPECT_LT(codes->max().item<int>(), quantizer_->Levels(site.spec));
      EXPECT_TRUE(at::equal(quantizer_->Dequantize(*codes, site), quantizer_->Apply(x_, site))) << bits << " bits";
    }
  }
}

TEST_P(QuantizerTest, ErrorsAreThoseOfWhatIsApplied) {
  for (Granularity granularity : {Granularity::kPerTensor, Granularity::kPerChannel}) {
    const QuantSpec spec = Spec(4, granularity);
    const SiteQuantization site = Solve(spec, x_);
    const at::Tensor scales = at::stack({site.scale, site.scale * 0.7, site.scale * 2});
    const at::Tensor zero_points = at::stack({site.zero_point, site.zero_point + 1, site.zero_point});
    const at::Tensor errors = quantizer_->Errors(x_, spec, scales, zero_points);
    ASSERT_EQ(errors.sizes(), scales.sizes());
    for (int64_t j = 0; j < scales.size(0); ++j) {
      const at::Tensor applied = quantizer_->Apply(x_, {spec, scales[j], zero_points[j]});
      const at::Tensor squares = (x_.to(at::kDouble) - applied.to(at::kDouble)).square();
      const at::Tensor expected = granularity == Granularity::kPerTensor ? squares.sum().view({1}) : squares.sum(0);
      EXPECT_TRUE(errors[j].allclose(expected, 1e-12, 0)) << errors[j] << " for scale " << j << ", not " << expected;
    }
  }
}

TEST_P(QuantizerTest, LevelsFitAByte) {
  for (int bits = 2; bits <= 8; ++bits) {
    EXPECT_GE(quantizer_->Levels(Spec(bits)), 1 << bits);
    EXPECT_LE(quantizer_->Levels(Spec(bits)), 256);
  }
}

TEST_P(QuantizerTest, SecondApplicationChangesNothing) {
  for (int bits : {2, 4, 8}) {
    const SiteQuantization site = Solve(Spec(bits), x_);
    const at::Tensor once = quantizer_->Apply(x_, site);
    EXPECT_LE((quantizer_->Apply(once, site) - once).abs().max().item<float>(), 1e-6) << bits << " bits";
  }
}

TEST_P(QuantizerTest, GreaterStaysGreaterOrEqual) {
  const SiteQuantization site = Solve(Spec(4), x_);
  const at::Tensor y = quantizer_->Apply(at::linspace(0, 2, 100001), site);
  EXPECT_TRUE((y.slice(0, 1) >= y.slice(0, 0, -1)).all().item<bool>());
}

TEST_P(QuantizerTest, MoreBitsAreNeverMuchWorse) {
  for (int bits = 3; bits <= 8; ++bits) EXPECT_LE(Error(bits), 1.02 * Error(bits - 1)) << bits << " bits";
  EXPECT_LT(Error(4), 0.5 * Error(2));
}

TEST_P(QuantizerTest, ConstantIsKept) {
  for (float constant : {1.0f, 0.3f, 1e-42f, 3e38f}) {
    const at::Tensor x = at::full({7}, constant);
    const SiteQuantization site = Solve(Spec(4), x);
    EXPECT_TRUE(at::equal(quantizer_->Apply(x, site), x)) << constant;
    EXPECT_TRUE(std::isfinite(site.scale.item<float>()) && site.scale.item<float>() > 0) << constant;
  }
}

// Every channel of a slice as it is by itself, whichever dimension the channels are.
TEST_P(QuantizerTest, ChannelsAreIndependent) {
  for (int dim : {0, -1}) {
    QuantSpec spec = Spec(4, Granularity::kPerChannel);
    spec.channel_dim = dim;
    const SiteQuantization site = Solve(spec, x_);
    const at::Tensor together = quantizer_->Apply(x_, site);
    ASSERT_EQ(site.scale.numel(), x_.size(dim));
    for (int64_t c = 0; c < x_.size(dim); ++c) {
      SiteQuantization one{Spec(4), site.scale.slice(0, c, c + 1), site.zero_point.slice(0, c, c + 1)};
      EXPECT_TRUE(at::equal(quantizer_->Apply(x_.select(dim, c), one), together.select(dim, c))) << dim << ": " << c;
    }
  }
}

TEST_P(QuantizerTest, ResultIsNewAndContiguous) {
  const SiteQuantization site = Solve(Spec(4), x_);
  const at::Tensor before = x_.clone();
  const at::Tensor y = quantizer_->Apply(x_.t(), site);
  EXPECT_TRUE(at::equal(x_, before));
  EXPECT_EQ(y.sizes(), x_.t().sizes());
  EXPECT_TRUE(y.is_contiguous());
  EXPECT_TRUE(at::equal(y, quantizer_->Apply(x_, site).t()));
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerTest, testing::ValuesIn(Names()), [](const auto& info) { return info.param; });

// Of uniform steps alone.
TEST(UniformQuantizerTest, ErrorIsAtMostHalfAStepInsideTheRange) {
  const auto quantizer = MakeQuantizer("uniform");
  ASSERT_TRUE(quantizer.ok());
  for (int bits = 2; bits <= 8; ++bits) {
    SiteQuantization site;
    site.spec.bits = bits;
    site.scale = at::full({1}, 0.37f);
    site.zero_point = at::full({1}, 1.0f);
    const float top = static_cast<float>((1 << bits) - 1);
    const at::Tensor x = at::linspace(-0.37f, (top - 1) * 0.37f, 10001);
    const float error = ((*quantizer)->Apply(x, site) - x).abs().max().item<float>();
    EXPECT_LE(error, 0.5 * 0.37 * (1 + 1e-4)) << bits << " bits";
    EXPECT_GE(error, 0.49 * 0.37) << bits << " bits";
  }
}

TEST(UniformQuantizerTest, FractionalZeroPointsHaveNoCodes) {
  const auto quantizer = MakeQuantizer("uniform");
  ASSERT_TRUE(quantizer.ok());
  SiteQuantization site{{}, at::full({1}, 1.0f), at::full({1}, 2.5f)};
  EXPECT_EQ((*quantizer)->Codes(at::full({1}, 1.0f), site).status(),
            absl::InvalidArgumentError(
                "a uniform quantiser has integer codes only with a whole zero point; this one is 2.500000"));
  EXPECT_EQ((*quantizer)->Apply(at::full({1}, -9.0f), site).item<float>(), -2.5f);
}

TEST(UniformQuantizerTest, NameIsChecked) {
  EXPECT_EQ(MakeQuantizer("unifrom").status(),
            absl::NotFoundError("unknown quantiser 'unifrom'; did you mean 'uniform'? There are: log_sqrt2, uniform"));
}

}  // namespace
}  // namespace qwt
