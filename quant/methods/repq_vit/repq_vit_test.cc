#include <algorithm>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/ones_like.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "quant/calibrate.h"
#include "quant/quantizer.h"
#include "quant/sites.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

std::unique_ptr<QuantMethod> RepqVit(const std::string& options) { return MakeMethod("repq_vit", options); }

TEST(RepqVitTest, SpecsOfEveryRole) {
  const GoldenNetwork network = LoadGoldenNetwork("deit_distilled_w4a4");
  const auto specs = RepqVit("{weight_bits: 3, activation_bits: 5}")->Specs(network.graph);
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ(specs->size(), 2 + 3 * 12 + 4);  // stem; blocks: four linears and two products; two heads
  const auto expect = [&](const std::string& site, const std::string& quantizer, int bits, Granularity granularity) {
    ASSERT_TRUE(specs->count(site)) << site;
    EXPECT_EQ(specs->at(site).quantizer, quantizer) << site;
    EXPECT_EQ(specs->at(site).bits, bits) << site;
    EXPECT_EQ(specs->at(site).granularity, granularity) << site;
    EXPECT_EQ(specs->at(site).percentiles, (std::vector<double>{0.999, 0.9999, 0.99999})) << site;
  };
  expect("patch_embed.proj.input", "uniform", 8, Granularity::kPerTensor);
  expect("patch_embed.proj.weight", "uniform", 8, Granularity::kPerChannel);
  expect("blocks.1.attn.qkv.input", "uniform", 5, Granularity::kPerChannel);
  expect("blocks.1.attn.qkv.weight", "uniform", 3, Granularity::kPerChannel);
  expect("blocks.1.attn.matmul1.left", "uniform", 5, Granularity::kPerTensor);
  expect("blocks.1.attn.matmul1.right", "uniform", 5, Granularity::kPerTensor);
  expect("blocks.1.attn.matmul2.left", "log_sqrt2", 5, Granularity::kPerTensor);
  expect("blocks.1.attn.matmul2.right", "uniform", 5, Granularity::kPerTensor);
  expect("blocks.1.attn.proj.input", "uniform", 5, Granularity::kPerTensor);
  expect("blocks.1.mlp.fc1.input", "uniform", 5, Granularity::kPerChannel);
  expect("blocks.1.mlp.fc2.input", "uniform", 5, Granularity::kPerTensor);
  expect("head.input", "uniform", 8, Granularity::kPerTensor);
  expect("head_dist.weight", "uniform", 8, Granularity::kPerChannel);
  EXPECT_EQ(specs->at("blocks.1.attn.matmul2.left").log_floor, 1e-6);
  EXPECT_EQ(specs->at("blocks.1.attn.qkv.input").channel_dim, -1);
  EXPECT_EQ(specs->at("blocks.1.attn.qkv.weight").channel_dim, 0);
  EXPECT_EQ(RepqVit("{log_floor: none}")->Specs(network.graph)->at("blocks.1.attn.matmul2.left").log_floor, 0);
}

std::vector<Site> NormalizedSites(const Graph& graph) {
  std::vector<Site> sites;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kNormalizedInput) sites.push_back(site);
  }
  return sites;
}

// The plan after the first pass as far as the reference recorded it; per channel everywhere the rewrite looks.
QuantPlan RecordedPlan(const GoldenNetwork& network, const QuantSpecs& specs) {
  QuantPlan plan;
  for (const Site& site : NormalizedSites(network.graph)) {
    SiteQuantization& quantization = plan[site.name];
    const std::string recorded = "site/" + ReferenceSite(site.name);
    const bool known = network.Has(recorded + ".delta");
    const at::Tensor ones = at::ones_like(network.parameters.at(site.layer_norm->weight));
    quantization.spec = specs.at(site.name);
    quantization.scale = known ? network.Figure(recorded + ".delta").view(-1) : ones;
    quantization.zero_point = known ? network.Figure(recorded + ".zero_point").view(-1) : ones;
  }
  return plan;
}

// Algorithms section 4 by itself: from the recorded per-channel scales to the reference's parameters. Returns how many
// sites were compared.
int ExpectRecordedRewrites(const std::string& name) {
  GoldenNetwork network = LoadGoldenNetwork(name);
  const auto method = RepqVit("{}");
  QuantPlan plan = RecordedPlan(network, *method->Specs(network.graph));
  TensorMap parameters = network.parameters;
  EXPECT_EQ(method->Rewrite(&network.graph, &parameters, &plan), absl::OkStatus());
  EXPECT_EQ(CheckParameters(parameters, network.graph), absl::OkStatus());
  int compared = 0;
  for (const Site& site : NormalizedSites(network.graph)) {
    if (!network.Has("site/" + ReferenceSite(site.name) + ".delta")) continue;
    ++compared;
    for (const std::string& parameter :
         {site.layer_norm->weight, site.layer_norm->bias, site.node->weight, site.node->bias}) {
      EXPECT_LT(RelativeError(parameters.at(parameter), network.Figure("ptq/" + parameter)), 1e-5) << parameter;
    }
    const SiteQuantization& quantization = plan.at(site.name);
    EXPECT_EQ(quantization.spec.granularity, Granularity::kPerTensor);
    const std::string reference = "ptq/" + ReferenceSite(site.name);
    EXPECT_LT(RelativeError(quantization.scale, network.Figure(reference + ".delta")), 1e-5) << site.name;
    EXPECT_LT(RelativeError(quantization.zero_point, network.Figure(reference + ".zero_point")), 1e-5) << site.name;
  }
  return compared;
}

TEST(RepqVitTest, RewritesAsTheReference) {
  EXPECT_EQ(ExpectRecordedRewrites("vit_w4a4"), 2);
  EXPECT_EQ(ExpectRecordedRewrites("vit_w6a6"), 1);
  EXPECT_EQ(ExpectRecordedRewrites("vit_w3a3_start1"), 1);
  EXPECT_EQ(ExpectRecordedRewrites("swin_w4a4"), 2);  // of them the patch merging's, which has no bias before
}

// The second pass by itself: scales of the weights as the reference rewrote them.
void ExpectRecordedWeights(const std::string& name) {
  const GoldenNetwork network = LoadGoldenNetwork(name);
  TensorMap parameters = network.parameters;
  for (auto& [parameter, tensor] : parameters) {
    if (network.Has("ptq/" + parameter)) tensor = network.Figure("ptq/" + parameter);
  }
  const std::string bits = std::to_string(network.weight_bits);
  const auto specs = RepqVit("{weight_bits: " + bits + "}")->Specs(network.graph);
  QuantPlan plan;
  ASSERT_EQ(SolveWeights(network.graph, parameters, *specs, 2, &plan), absl::OkStatus());
  EXPECT_GE(plan.size(), 14);
  for (const auto& [site, quantization] : plan) {
    const std::string reference = "ptq/" + ReferenceSite(site);
    const at::Tensor scale = network.Figure(reference + ".delta").view(-1);
    EXPECT_LT(((quantization.scale - scale) / scale).abs().max().item<float>(), 1e-5) << site;
    EXPECT_TRUE(at::equal(quantization.zero_point, network.Figure(reference + ".zero_point").view(-1))) << site;
  }
}

TEST(RepqVitTest, WeightScalesOfVitAt4Bits) { ExpectRecordedWeights("vit_w4a4"); }
TEST(RepqVitTest, WeightScalesOfVitAt6Bits) { ExpectRecordedWeights("vit_w6a6"); }
TEST(RepqVitTest, WeightScalesOfVitAt3Bits) { ExpectRecordedWeights("vit_w3a3_start1"); }
TEST(RepqVitTest, WeightScalesOfDistilledDeit) { ExpectRecordedWeights("deit_distilled_w4a4"); }
TEST(RepqVitTest, WeightScalesOfSwinAt4Bits) { ExpectRecordedWeights("swin_w4a4"); }
TEST(RepqVitTest, WeightScalesOfSwinAt6Bits) { ExpectRecordedWeights("swin_w6a6"); }

TEST(RepqVitTest, WholeZeroPointsOnRequest) {
  GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const auto method = RepqVit("{round_zero_point: true}");
  QuantPlan plan = RecordedPlan(network, *method->Specs(network.graph));
  TensorMap parameters = network.parameters;
  ASSERT_EQ(method->Rewrite(&network.graph, &parameters, &plan), absl::OkStatus());
  for (const auto& [site, quantization] : plan) {
    EXPECT_TRUE(at::equal(quantization.zero_point, quantization.zero_point.round())) << site;
  }
  EXPECT_EQ(plan.at("blocks.1.attn.qkv.input").zero_point.item<float>(), 7.0f);  // 7.3958 unrounded
}

// Where a LayerNorm's weight is 0, its output is its bias: kept exactly, though z̃ is no whole number, and without a
// part in the means.
TEST(RepqVitTest, ConstantChannelsMoveIntoTheNextLayersBias) {
  const std::string norm = "blocks.1.norm1", site = "blocks.1.attn.qkv.input";
  GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const std::vector<std::pair<int64_t, float>> constants = {{0, 0.0f}, {5, 3.5f}, {7, -1e-3f}};
  at::Tensor weight = network.parameters.at(norm + ".weight").clone();
  at::Tensor bias = network.parameters.at(norm + ".bias").clone();
  for (const auto& [channel, value] : constants) {
    weight.slice(0, channel, channel + 1).fill_(0);
    bias.slice(0, channel, channel + 1).fill_(value);
  }
  network.parameters[norm + ".weight"] = weight;
  network.parameters[norm + ".bias"] = bias;
  const auto method = RepqVit("{}");
  const auto comm = MakeLocalCommunicator();
  const auto plan = Calibrate(network.graph, network.parameters, *method->Specs(network.graph),
                              {network.calibration.slice(0, 0, 4)}, *comm, 1, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  QuantPlan rewritten = *plan;
  TensorMap parameters = network.parameters;
  Graph graph = network.graph;
  ASSERT_EQ(method->Rewrite(&graph, &parameters, &rewritten), absl::OkStatus());

  at::Tensor varies = at::ones({48}, at::kBool);
  for (const auto& [channel, value] : constants) varies.slice(0, channel, channel + 1).fill_(false);
  EXPECT_FLOAT_EQ(rewritten.at(site).scale.item<float>(),
                  plan->at(site).scale.masked_select(varies).mean().item<float>());
  EXPECT_FLOAT_EQ(rewritten.at(site).zero_point.item<float>(),
                  plan->at(site).zero_point.masked_select(varies).mean().item<float>());
  const at::Tensor quantised = (*MakeQuantizer("uniform"))->Apply(parameters.at(norm + ".bias"), rewritten.at(site));
  for (const auto& [channel, value] : constants) {
    EXPECT_EQ(parameters.at(norm + ".weight").select(0, channel).item<float>(), 0) << channel;
    EXPECT_EQ(parameters.at(norm + ".bias").select(0, channel).item<float>(), 0) << channel;
    EXPECT_EQ(quantised.select(0, channel).item<float>(), 0) << channel;
    EXPECT_TRUE(at::equal(parameters.at("blocks.1.attn.qkv.weight").select(1, channel),
                          network.parameters.at("blocks.1.attn.qkv.weight").select(1, channel)))
        << channel;
  }
  // In float the rewritten network computes what it did.
  const auto before = RunGraph(network.graph, *MakeFloatExecutor(network.parameters), network.evaluation);
  const auto after = RunGraph(graph, *MakeFloatExecutor(parameters), network.evaluation);
  EXPECT_LT(RelativeError(*after, *before), 1e-4);
}

TEST(RepqVitTest, ALinearWithoutABiasGetsOne) {
  GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  for (Node& node : network.graph.blocks[1].nodes) {
    if (node.name == "blocks.1.attn.qkv") node.bias.clear();
  }
  const auto removed = [](const ParameterSpec& spec) { return spec.name == "blocks.1.attn.qkv.bias"; };
  auto& specs = network.graph.parameters;
  specs.erase(std::remove_if(specs.begin(), specs.end(), removed), specs.end());
  const at::Tensor bias = network.parameters.at("blocks.1.attn.qkv.bias");
  network.parameters.erase("blocks.1.attn.qkv.bias");
  ASSERT_EQ(CheckParameters(network.parameters, network.graph), absl::OkStatus());

  const auto method = RepqVit("{}");
  QuantPlan plan = RecordedPlan(network, *method->Specs(network.graph));
  ASSERT_EQ(method->Rewrite(&network.graph, &network.parameters, &plan), absl::OkStatus());
  EXPECT_EQ(ValidateGraph(network.graph), absl::OkStatus());
  ASSERT_EQ(CheckParameters(network.parameters, network.graph), absl::OkStatus());
  const at::Tensor made = network.parameters.at("blocks.1.attn.qkv.bias");
  EXPECT_LT(RelativeError(made + bias, network.Figure("ptq/blocks.1.attn.qkv.bias")), 1e-5);
}

TEST(RepqVitTest, ScalesPerChannelMustBeThere) {
  GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  QuantPlan plan;
  EXPECT_EQ(RepqVit("{}")->Rewrite(&network.graph, &network.parameters, &plan),
            absl::FailedPreconditionError(
                "repq_vit: blocks.0.attn.qkv.input has no scales per channel; calibrate with the method's "
                "own specs first"));
}

}  // namespace
}  // namespace qwt
