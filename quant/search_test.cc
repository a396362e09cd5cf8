#include "quant/search.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/unique_dim.h"
#include "ATen/ops/where.h"
#include "ATen/ops/zeros.h"
#include "core/base/log.h"
#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"
#include "quant/quantizer.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

const std::vector<double> kPercentiles = {0.999, 0.9999, 0.99999};

QuantSpec Spec(int bits, Granularity granularity = Granularity::kPerTensor, int channel_dim = -1) {
  QuantSpec spec;
  spec.bits = bits;
  spec.granularity = granularity;
  spec.channel_dim = channel_dim;
  spec.percentiles = kPercentiles;
  return spec;
}

absl::StatusOr<SiteQuantization> Search(const QuantSpec& spec, const std::vector<at::Tensor>& batches,
                                        int threads = 1) {
  const auto comm = MakeLocalCommunicator();
  return SearchScale("a.input", spec, batches, *comm, threads);
}

at::Tensor Apply(const SiteQuantization& site, const at::Tensor& x) {
  return (*MakeQuantizer(site.spec.quantizer))->Apply(x, site);
}

bool StartsWith(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

// site: of the reference, "conv1.weight_quantizer". Every convolution's input of its ResNets has 8 bits.
QuantSpec RecordedSpec(const GoldenNetwork& network, const std::string& site) {
  const bool resnet = network.parameters.count("conv1.weight") > 0;
  const bool border = resnet ? StartsWith(site, "conv1.") || StartsWith(site, "fc.")
                             : StartsWith(site, "patch_embed.") || StartsWith(site, "head");
  const bool weight = site.find("weight_quantizer") != std::string::npos;
  const int bits = border || (resnet && !weight) ? 8 : (weight ? network.weight_bits : network.activation_bits);
  QuantSpec spec = Spec(bits);
  if (network.Figure("site/" + site + ".delta").numel() > 1) {
    spec.granularity = Granularity::kPerChannel;
    spec.channel_dim = weight ? 0 : -1;
  }
  if (!network.Has("site/" + site + ".zero_point")) spec.quantizer = "log_sqrt2";
  return spec;
}

// Every quantiser of which the reference's own input was recorded: scale, zero point, output. Outputs that agree to far
// less than a step at every element have equal codes.
void ExpectRecordedSites(const std::string& name, int expected_sites) {
  const GoldenNetwork network = LoadGoldenNetwork(name);
  int sites = 0;
  for (const auto& [key, scale] : network.figures) {
    if (!StartsWith(key, "site/") || key.find(".delta") == std::string::npos) continue;
    const std::string prefix = key.substr(0, key.size() - 6);  // less ".delta"
    const QuantSpec spec = RecordedSpec(network, prefix.substr(5));
    const at::Tensor input = network.Figure(prefix + ".input");
    const auto found = Search(spec, {input});
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_LT(((found->scale - scale.view(-1)) / scale.view(-1)).abs().max().item<float>(), 1e-5) << key;
    if (spec.quantizer == "uniform") {
      EXPECT_TRUE(at::equal(found->zero_point, network.Figure(prefix + ".zero_point").view(-1))) << key;
    }
    const at::Tensor expected = network.Figure(prefix + ".output").view(-1);
    const at::Tensor output = Apply(*found, input).view(-1).slice(0, 0, expected.numel());
    EXPECT_TRUE(((output - expected).abs() <= 1e-5 * expected.abs()).all().item<bool>()) << key;
    ++sites;
  }
  EXPECT_EQ(sites, expected_sites);
}

TEST(SearchTest, RecordedSitesOfVitAt4Bits) { ExpectRecordedSites("vit_w4a4", 13); }
TEST(SearchTest, RecordedSitesOfVitAt6Bits) { ExpectRecordedSites("vit_w6a6", 4); }
TEST(SearchTest, RecordedSitesOfSwinAt4Bits) { ExpectRecordedSites("swin_w4a4", 4); }
TEST(SearchTest, RecordedSitesOfVitAt3Bits) { ExpectRecordedSites("vit_w3a3_start1", 3); }

TEST(SearchTest, RecordedSitesOfBottleneckResnetAt4Bits) { ExpectRecordedSites("resnet_bottleneck_w4a4", 6); }

TEST(SearchTest, PositionsInFloat32AsTorchHasThem) {
  const QuantilePosition position =
      PositionOfQuantile(0.999, 13057);  // 0.999·13056 = 13042.944; in float32 13042.9443…
  EXPECT_EQ(position.below, 13042);
  EXPECT_EQ(position.fraction, 0.999f * 13056.0f - 13042.0f);
  EXPECT_EQ(PositionOfQuantile(1.0, 7).below, 6);
  EXPECT_EQ(PositionOfQuantile(0.0, 7).below, 0);
  const QuantilePosition large = PositionOfQuantile(0.99999, 100'000'001);  // float64: float32 has no such integer
  EXPECT_EQ(large.below, 99'999'000);
}

// Batches of different lengths and, on the last ranks, none: shares that a list of images leaves.
TEST(SearchTest, RanksAndThreadsGiveTheSameBits) {
  std::vector<at::Tensor> batches;
  for (int64_t images : {16, 16, 16, 5}) batches.push_back(at::randn({images, 17, 24}) * 3 + 0.5);
  for (const QuantSpec& spec : {Spec(4), Spec(8), Spec(3, Granularity::kPerChannel)}) {
    const auto alone = Search(spec, batches);
    ASSERT_TRUE(alone.ok()) << alone.status();
    const auto threads = Search(spec, batches, 2);
    ASSERT_TRUE(threads.ok());
    EXPECT_TRUE(at::equal(threads->scale, alone->scale) && at::equal(threads->zero_point, alone->zero_point));
    for (int ranks : {2, 3, 5}) {
      RunRanks(ranks, [&](Communicator& comm) {
        std::vector<at::Tensor> mine;
        for (size_t i = comm.rank(); i < batches.size(); i += comm.size()) mine.push_back(batches[i]);
        const auto found = SearchScale("a.input", spec, mine, comm, 1);
        ASSERT_TRUE(found.ok()) << found.status();
        EXPECT_TRUE(at::equal(found->scale, alone->scale)) << comm.rank() << " of " << ranks;
        EXPECT_TRUE(at::equal(found->zero_point, alone->zero_point)) << comm.rank() << " of " << ranks;
      });
    }
  }
}

TEST(SearchTest, ChannelsAreSearchedByThemselves) {
  const at::Tensor x = at::randn({40, 12}) * at::randn({12});
  const auto together = Search(Spec(4, Granularity::kPerChannel), {x});
  ASSERT_TRUE(together.ok());
  for (int64_t c = 0; c < 12; ++c) {
    const auto alone = Search(Spec(4), {x.select(1, c)});
    ASSERT_TRUE(alone.ok());
    EXPECT_EQ(alone->scale.item<float>(), together->scale.select(0, c).item<float>()) << c;
    EXPECT_EQ(alone->zero_point.item<float>(), together->zero_point.select(0, c).item<float>()) << c;
  }
}

TEST(SearchTest, WholeRangeOfPercentileOne) {
  QuantSpec spec = Spec(4);
  spec.percentiles = {1.0};
  const auto found = Search(spec, {at::tensor({-1.0f, 0.3f}), at::tensor({14.0f})});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->scale.item<float>(), 1.0f);
  EXPECT_EQ(found->zero_point.item<float>(), 1.0f);
}

// Every range by itself, then the best of them for each channel: what one search over all of them must find.
TEST(SearchTest, OfAGridOfRangesTheBestForEachChannel) {
  const at::Tensor x = at::randn({2000, 6}).pow(3);
  QuantSpec spec = Spec(3, Granularity::kPerChannel);
  spec.percentiles = {1.0, 0.99};
  spec.fractions = {1.0, 0.8, 0.6, 0.4, 0.2, 0.1};
  const auto found = Search(spec, {x});
  ASSERT_TRUE(found.ok()) << found.status();
  const auto error = [&](const SiteQuantization& site) { return (Apply(site, x) - x).square().sum(0); };
  at::Tensor lowest = at::full({6}, std::numeric_limits<float>::infinity()), scale = at::zeros({6});
  QuantSpec one = spec;
  for (double percentile : spec.percentiles) {
    for (double fraction : spec.fractions) {
      one.percentiles = {percentile};
      one.fractions = {fraction};
      const auto site = Search(one, {x});
      ASSERT_TRUE(site.ok()) << site.status();
      const at::Tensor better = error(*site) < lowest;
      lowest = at::where(better, error(*site), lowest);
      scale = at::where(better, site->scale, scale);
    }
  }
  EXPECT_TRUE(at::equal(found->scale, scale)) << found->scale << scale;
  EXPECT_GT(std::get<0>(at::unique_dim(scale / std::get<0>(x.abs().max(0)), 0)).size(0), 2);  // not one for all
  const auto whole = Search(Spec(3, Granularity::kPerChannel), {x});
  EXPECT_LT(error(*found).sum().item<float>(), error(*whole).sum().item<float>());
}

TEST(SearchTest, AFractionOfTheRangeIsAFractionOfTheScale) {
  QuantSpec spec = Spec(4);
  spec.percentiles = {1.0};
  spec.fractions = {0.5};
  const auto found = Search(spec, {at::tensor({-2.0f, 0.3f, 28.0f})});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->scale.item<float>(), 1.0f);
  EXPECT_EQ(found->zero_point.item<float>(), 1.0f);
  spec.quantizer = "log_sqrt2";
  EXPECT_EQ(Search(spec, {at::tensor({0.0f, 0.3f, 0.5f})})->scale.item<float>(), 0.25f);
}

TEST(SearchTest, ConstantChannelsAreSaidOnceInTheLog) {
  const std::string log = testing::TempDir() + "/constant.log";
  SetLogFile(log);
  const at::Tensor x = at::randn({40, 3}) * at::tensor({1.0f, 0.0f, 0.0f});
  ASSERT_TRUE(Search(Spec(4, Granularity::kPerChannel), {x, x}).ok());
  ASSERT_TRUE(Search(Spec(4), {at::full({5}, 2.0f)}).ok());
  SetLogFile("");
  std::ifstream file(log);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t first = text.find("a.input: 2 of 3 channels constant, kept exactly\n");
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_NE(text.find(" I search.cc:"), std::string::npos) << text;
  EXPECT_NE(text.find("a.input: 1 of 1 tensor constant, kept exactly\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
}

TEST(SearchTest, ConstantChannelsAreKeptExactly) {
  const std::vector<float> constants = {0.0f, 1.0f, -0.3f, 1e-42f, -1e-42f, 3e38f, -3e38f, 0.1f, -0.0f};
  const at::Tensor x = at::tensor(constants).expand({50, static_cast<int64_t>(constants.size())}).contiguous();
  for (int bits : {2, 8}) {
    const auto found = Search(Spec(bits, Granularity::kPerChannel), {x});
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(at::equal(Apply(*found, x), x)) << Apply(*found, x);
    EXPECT_TRUE(found->scale.isfinite().all().item<bool>());
    EXPECT_TRUE((found->scale > 0).all().item<bool>());
  }
}

TEST(SearchTest, OutlierBeyondEveryPercentile) {
  at::Tensor x = at::zeros({300'000});
  x.slice(0, 0, 1).fill_(6.0f);
  const auto found = Search(Spec(2), {x});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->scale.item<float>(), 2.0f);  // the whole range, as the percentile ranges are empty
}

TEST(SearchTest, RangesThatFloat32CanHardlyHold) {
  for (const at::Tensor& x :
       {at::tensor({-3e38f, 3e38f}), at::tensor({1e-44f, 3e-44f}), at::tensor({1.0f, 1.0f + 1.2e-7f})}) {
    const auto found = Search(Spec(8), {x});
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(std::isfinite(found->scale.item<float>()));
    EXPECT_TRUE(std::isfinite(found->zero_point.item<float>()));
    EXPECT_TRUE(Apply(*found, x).isfinite().all().item<bool>());
  }
}

TEST(SearchTest, EveryRankHearsOfNan) {
  RunRanks(2, [](Communicator& comm) {
    const at::Tensor x = at::full({4}, comm.rank() == 1 ? std::nanf("") : 1.0f);
    EXPECT_EQ(SearchScale("blocks.0.attn.qkv.input", Spec(4), {x}, comm, 1).status(),
              absl::InvalidArgumentError(
                  "blocks.0.attn.qkv.input: NaN or infinity in 1 of the batches to quantise; check the "
                  "parameters and the images"));
  });
}

TEST(SearchTest, WhatCannotBeSearched) {
  EXPECT_EQ(Search(Spec(4), {}).status(), absl::InvalidArgumentError("a.input: no values to find a scale from"));
  EXPECT_EQ(Search(Spec(9), {at::zeros({1})}).status(),
            absl::InvalidArgumentError("a.input: 9 bits; a quantiser has 2 to 8"));
  QuantSpec spec = Spec(4);
  spec.percentiles = {};
  EXPECT_EQ(Search(spec, {at::zeros({1})}).status(),
            absl::InvalidArgumentError("a.input: no range to try; percentile 1, fraction 1 is the whole one"));
  spec.percentiles = {99.9};
  EXPECT_EQ(Search(spec, {at::zeros({1})}).status(),
            absl::InvalidArgumentError("a.input: percentile 99.9; it must be 0.5 to 1"));
  for (double fraction : {0.0, 1.5}) {
    spec = Spec(4);
    spec.fractions = {1, fraction};
    EXPECT_EQ(Search(spec, {at::zeros({1})}).status().code(), absl::StatusCode::kInvalidArgument) << fraction;
  }
  EXPECT_EQ(Search(spec, {at::zeros({1})}).status(),
            absl::InvalidArgumentError("a.input: fraction 1.5; it must be above 0, up to 1"));
  spec = Spec(4);
  spec.fractions = {};
  EXPECT_EQ(Search(spec, {at::zeros({1})}).status().code(), absl::StatusCode::kInvalidArgument);
  spec = Spec(4);
  spec.quantizer = "unifrom";
  EXPECT_EQ(Search(spec, {at::zeros({1})}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace qwt
