// Quantisers and the scale search on a GPU against the CPU: the same codes to the last bit, the same scales.
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/full.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "quant/extremes.h"
#include "quant/quantizer.h"
#include "quant/search.h"
#include "quant/site_quantizer.h"
#include "tests/gpu/gpu.h"

namespace qwt {
namespace {

// Ragged ones, and one that is not aligned to 16 bytes.
std::vector<at::Tensor> Inputs() {
  return {at::randn({1}),
          at::randn({3, 5}),
          at::randn({257, 10}),
          at::randn({2, 197, 24}),
          at::randn({4, 3, 17, 17}),
          at::randn({1001}).narrow(0, 1, 1000),
          at::randn({5, 64, 7}),
          at::randn({8, 1000, 96}) * 30};
}

QuantSpec Spec(const std::string& quantizer, int bits, bool per_channel, int channel_dim) {
  QuantSpec spec;
  spec.quantizer = quantizer;
  spec.bits = bits;
  spec.granularity = per_channel ? Granularity::kPerChannel : Granularity::kPerTensor;
  spec.channel_dim = channel_dim;
  spec.percentiles = ReferencePercentiles();
  return spec;
}

SiteQuantization Search(const QuantSpec& spec, const std::vector<at::Tensor>& batches) {
  const auto comm = MakeLocalCommunicator();
  auto found = SearchScale("site", spec, batches, *comm, 1);
  EXPECT_TRUE(found.ok()) << found.status();
  return *std::move(found);
}

// The largest difference of sums, relative to them.
double FarthestApart(const at::Tensor& sums, const at::Tensor& expected) {
  return ((sums.cpu() - expected).abs() / expected.clamp_min(1e-30)).max().item<double>();
}

class QuantizerGpuTest : public GpuTest {
 protected:
  // On the GPU at an address that is no multiple of 16 bytes.
  at::Tensor NotAligned(const at::Tensor& x) const {
    return at::cat({at::zeros({1}), x.reshape({-1})}).to(gpu_).narrow(0, 1, x.numel()).view(x.sizes());
  }

  void ExpectSameBits(const SiteQuantization& site, const at::Tensor& x) {
    const at::Tensor on_cpu = SiteQuantizer::Make("site", site)->Apply(x);
    const at::Tensor on_gpu = SiteQuantizer::Make("site", site, gpu_)->Apply(x.to(gpu_));
    EXPECT_TRUE(on_gpu.is_cuda());
    // As bytes, since 0 is not -0; one NaN is as good as another.
    const auto bits = [](const at::Tensor& y) { return y.masked_fill(y.isnan(), 12345).view(at::kInt); };
    EXPECT_TRUE(bits(on_gpu.cpu()).equal(bits(on_cpu))) << site.spec.quantizer << " at " << x.sizes();
  }
};

TEST_F(QuantizerGpuTest, UniformGivesTheSameBits) {
  for (int bits : {2, 4, 6, 8}) {
    for (const at::Tensor& x : Inputs()) {
      ExpectSameBits(Search(Spec("uniform", bits, false, -1), {x}), x);
      for (int dim : {0, -1}) {
        if (x.dim() > 1) ExpectSameBits(Search(Spec("uniform", bits, true, dim), {x}), x);
      }
    }
  }
}

TEST_F(QuantizerGpuTest, UniformGivesTheSameBitsAtHalves) {
  SiteQuantization site = {Spec("uniform", 8, false, -1), at::tensor({0.1f}), at::tensor({127.25f})};
  ExpectSameBits(site, at::linspace(-20, 20, 40001) * 0.1);
  const float infinity = std::numeric_limits<float>::infinity();
  ExpectSameBits(site,
                 at::tensor({infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), -0.0f, 1e-40f, 3e38f}));
}

TEST_F(QuantizerGpuTest, LogSqrt2GivesTheSameBits) {
  for (int bits : {2, 4, 8}) {
    for (double floor : {0.0, 1e-6}) {
      for (const at::Tensor& x : Inputs()) {
        QuantSpec spec = Spec("log_sqrt2", bits, false, -1);
        spec.log_floor = floor;
        const at::Tensor positive = x.sigmoid().pow(9);
        ExpectSameBits(Search(spec, {positive}), positive);
        if (x.dim() < 2) continue;
        spec.granularity = Granularity::kPerChannel;
        ExpectSameBits(Search(spec, {positive}), positive);
      }
    }
  }
  // Every power and what lies about it, zero, and what is too small for a code.
  SiteQuantization site = {Spec("log_sqrt2", 8, false, -1), at::tensor({0.7f}), at::tensor({0.0f})};
  site.spec.log_floor = 0;
  ExpectSameBits(site, at::linspace(-128, 0, 100001).exp2() * 0.7);
  ExpectSameBits(site, at::tensor({0.0f, 1e-45f, 1e-38f, 1.0f, std::numeric_limits<float>::quiet_NaN()}));
}

// Codes that differ in one value of the largest input change a sum by more than 1e-12 of it.
TEST_F(QuantizerGpuTest, ErrorsAreTheCpus) {
  for (const char* name : {"uniform", "log_sqrt2"}) {
    const auto quantizer = *MakeQuantizer(name);
    for (const at::Tensor& input : Inputs()) {
      const at::Tensor x = input.contiguous(), there = input.to(gpu_);
      for (int dim : {0, -1, 1, 99}) {
        if (dim != 99 && x.dim() < 2) continue;
        const QuantSpec spec = Spec(name, 4, dim != 99, dim);
        const int64_t channels = LayoutOf(x, spec).channels;
        for (int64_t candidates : {1, 2, 3, 4, 7}) {
          const at::Tensor scales = at::rand({candidates, channels}) + 0.1;
          const at::Tensor zero_points = (at::rand({candidates, channels}) * 15).round();
          const at::Tensor on_cpu = quantizer->Errors(x, spec, scales, zero_points);
          const at::Tensor s = scales.to(gpu_), z = zero_points.to(gpu_);
          const std::string where =
              absl::StrCat(name, ", ", x.numel(), " values, by ", dim, ", ", candidates, " candidates: ");
          const at::Tensor found = quantizer->Errors(there, spec, s, z);
          EXPECT_TRUE(found.is_cuda());
          ASSERT_EQ(found.sizes(), on_cpu.sizes()) << where;
          EXPECT_LE(FarthestApart(found, on_cpu), 1e-12) << where << "as one read";
          EXPECT_LE(FarthestApart(quantizer->Quantizer::Errors(there, spec, s, z), on_cpu), 1e-12)
              << where << "applied and compared";
          EXPECT_LE(FarthestApart(quantizer->Errors(NotAligned(x), spec, s, z), on_cpu), 1e-12)
              << where << "not aligned";
          EXPECT_TRUE(quantizer->Errors(there, spec, s, z).equal(found)) << where << "not the same bits twice";
        }
      }
    }
  }
}

// [rows, n]: short rows, a block's each; long ones, which blocks share; what lies about the limits between them.
TEST_F(QuantizerGpuTest, ExtremesAreTheCpus) {
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 1},     {3, 5},     {384, 197},  {100, 4099},  {70, 5000}, {2, 4096},   {2, 4095},
      {63, 6304}, {1, 50001}, {80, 65537}, {1, 1000003}, {5, 65536}, {2000, 100}, {64, 4096}};
  for (const auto& [rows, n] : shapes) {
    const at::Tensor normal = at::randn({rows, n});
    const std::vector<std::pair<std::string, at::Tensor>> inputs = {{"normal", normal},
                                                                    {"with ties", (normal * 3).round()},
                                                                    {"half of it zero", normal.clamp_min(0)},
                                                                    {"constant", at::full({rows, n}, -0.75f)},
                                                                    {"probabilities", (normal * 9).sigmoid().pow(9)},
                                                                    {"subnormal", normal * 1e-40},
                                                                    {"huge", normal.clamp(-3, 3) * 1e38}};
    for (const auto& [what, x] : inputs) {
      for (int64_t kept : {int64_t{1}, int64_t{2}, n / 1000 + 2, n / 3 + 1, n}) {
        if (kept > 2000 && rows > 1) continue;
        const at::Tensor expected = ExtremesOf(x, {1, rows, n}, kept);
        for (const at::Tensor& there : {x.to(gpu_), NotAligned(x)}) {
          const at::Tensor found = ExtremesOf(there, {1, rows, n}, kept);
          EXPECT_TRUE(found.is_cuda());
          ASSERT_EQ(found.sizes(), expected.sizes());
          const at::Tensor differ = found.cpu().ne(expected);
          EXPECT_EQ(differ.sum().item<int64_t>(), 0)
              << what << ", [" << rows << ", " << n << "], " << kept << " kept: of the largest "
              << differ[0].sum().item<int64_t>() << " differ, of the smallest " << differ[1].sum().item<int64_t>();
        }
      }
    }
  }
}

TEST_F(QuantizerGpuTest, ExtremesOfChannelsInAnyPlace) {
  for (const auto& [outer, channels, inner] : {std::tuple{32, 384, 1}, {16, 3, 289}, {1, 96, 50}, {4, 1, 33}}) {
    const at::Tensor x = at::randn({outer, channels, inner});
    const ChannelLayout layout{outer, channels, inner};
    EXPECT_TRUE(ExtremesOf(x.to(gpu_), layout, 4).cpu().equal(ExtremesOf(x, layout, 4))) << x.sizes();
  }
}

TEST_F(QuantizerGpuTest, WhatIsNotFiniteIsAmongTheExtremes) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [rows, n] : {std::tuple{3, 100}, {3, 100000}}) {
    for (float damage : {infinity, -infinity, nan, -nan}) {
      for (int64_t kept : {1, 5}) {
        at::Tensor x = at::randn({rows, n});
        x[1][77] = damage;
        const at::Tensor extremes = ExtremesOf(x.to(gpu_), {1, rows, n}, kept).cpu();
        EXPECT_EQ(extremes.isinf().sum().item<int64_t>(), 1) << damage << " among " << n << ", " << kept << " kept";
        EXPECT_FALSE(extremes.isnan().any().item<bool>()) << damage << " among " << n << ", " << kept << " kept";
      }
    }
  }
}

TEST_F(QuantizerGpuTest, ScalesAreTheCpus) {
  for (const char* quantizer : {"uniform", "log_sqrt2"}) {
    for (int dim : {0, -1, 99}) {
      QuantSpec spec = Spec(quantizer, 4, dim != 99, dim);
      spec.fractions = {1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4};
      std::vector<at::Tensor> batches, on_gpu;
      for (int i = 0; i < 3; ++i) {
        batches.push_back(at::rand({16, 300, 24}).pow(6));
        on_gpu.push_back(batches.back().to(gpu_));
      }
      if (dim == 0) batches.resize(1), on_gpu.resize(1);
      const SiteQuantization expected = Search(spec, batches), found = Search(spec, on_gpu);
      EXPECT_TRUE(found.scale.is_cpu());
      EXPECT_TRUE(found.scale.equal(expected.scale)) << quantizer << " by " << dim;
      EXPECT_TRUE(found.zero_point.equal(expected.zero_point)) << quantizer << " by " << dim;
    }
  }
}

TEST_F(QuantizerGpuTest, NaNIsFound) {
  for (int64_t n : {100, 100000}) {
    at::Tensor x = at::randn({n}), y = at::randn({n}), z = at::randn({n});
    x[17] = std::numeric_limits<float>::quiet_NaN();
    y[17] = -std::numeric_limits<float>::infinity();
    const auto comm = MakeLocalCommunicator();
    const auto found =
        SearchScale("site", Spec("uniform", 4, false, -1), {x.to(gpu_), y.to(gpu_), z.to(gpu_)}, *comm, 1);
    EXPECT_EQ(found.status(),
              absl::InvalidArgumentError("site: NaN or infinity in 2 of the batches to quantise; check the parameters "
                                         "and the images"));
  }
}

}  // namespace
}  // namespace qwt
