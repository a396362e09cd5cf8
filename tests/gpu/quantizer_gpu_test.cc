// Quantisers and the scale search on a GPU against the CPU: the same codes to the last bit, the same scales.
#include <limits>
#include <tuple>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/tensor.h"
#include "gmock/gmock.h"
#include "quant/batch_statistics.h"
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

class QuantizerGpuTest : public GpuTest {
 protected:
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

TEST_F(QuantizerGpuTest, StatisticsAreTheCpus) {
  for (const at::Tensor& input : Inputs()) {
    const at::Tensor x = input.contiguous(), y = x + at::randn(x.sizes()) * 0.1;
    for (int dim : {0, -1, 99}) {
      if (dim == -1 && x.dim() < 2) continue;
      const ChannelLayout layout = LayoutOf(x, Spec("uniform", 4, dim != 99, dim));
      const Extremes on_cpu = ExtremesOf(x, layout, 3, 4), on_gpu = ExtremesOf(x.to(gpu_), layout, 3, 4);
      EXPECT_TRUE(on_gpu.largest.equal(on_cpu.largest));
      EXPECT_TRUE(on_gpu.smallest_negated.equal(on_cpu.smallest_negated));
      const at::Tensor sums = SquaredErrors(x, y, layout), there = SquaredErrors(x.to(gpu_), y.to(gpu_), layout).cpu();
      EXPECT_TRUE(there.allclose(sums, 1e-13, 0)) << x.sizes() << " by " << dim;
      EXPECT_TRUE(SquaredErrors(x.to(gpu_), y.to(gpu_), layout).cpu().equal(there)) << "not the same bits twice";
    }
  }
}

TEST_F(QuantizerGpuTest, ScalesAreTheCpus) {
  for (const char* quantizer : {"uniform", "log_sqrt2"}) {
    for (int dim : {0, -1, 99}) {
      QuantSpec spec = Spec(quantizer, 4, dim != 99, dim);
      spec.fractions = {1.0, 0.9, 0.7};
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
  at::Tensor x = at::randn({100});
  x[17] = std::numeric_limits<float>::quiet_NaN();
  const auto comm = MakeLocalCommunicator();
  EXPECT_THAT(SearchScale("site", Spec("uniform", 4, false, -1), {x.to(gpu_)}, *comm, 1).status().message(),
              testing::HasSubstr("site: NaN or infinity in 1 of the batches to quantise"));
}

}  // namespace
}  // namespace qwt
