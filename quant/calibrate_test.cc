#include "quant/calibrate.h"

#include <cmath>
#include <iostream>

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"
#include "quant/fake_quant_executor.h"
#include "quant/sites.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

// The base method that the reference has for the network, with the recorded bits.
std::unique_ptr<QuantMethod> ReferencesMethod(const GoldenNetwork& network) {
  const bool resnet = network.parameters.count("conv1.weight") > 0;
  return MakeMethod(resnet ? "percentile" : "repq_vit",
                    "{weight_bits: " + std::to_string(network.weight_bits) +
                        ", activation_bits: " + std::to_string(network.activation_bits) + "}");
}

double MeanSquaredError(const at::Tensor& a, const at::Tensor& b) { return (a - b).square().mean().item<double>(); }

// A chain of thresholds: compared by its error, on both sides.
void ExpectErrorOfTheReference(const std::string& name) {
  const GoldenNetwork network = LoadGoldenNetwork(name);
  const QuantizedNetwork quantized = QuantizeNetwork(*ReferencesMethod(network), network.graph, network.parameters,
                                                     {network.calibration.slice(0, 0, 16)});
  const at::Tensor logits = quantized.Logits(network.evaluation);
  const at::Tensor& expected = network.Figure("float/logits");
  const double ratio = MeanSquaredError(logits, expected) / MeanSquaredError(network.Figure("ptq/logits"), expected);
  std::cout << name << ": error over the reference's " << ratio << "\n";
  EXPECT_LT(ratio, 1.2) << name;
  EXPECT_GT(ratio, 0.5) << name;
}

TEST(CalibrateTest, ChainOfVitAt4Bits) { ExpectErrorOfTheReference("vit_w4a4"); }
TEST(CalibrateTest, ChainOfVitAt6Bits) { ExpectErrorOfTheReference("vit_w6a6"); }
TEST(CalibrateTest, ChainOfVitAt3Bits) { ExpectErrorOfTheReference("vit_w3a3_start1"); }
TEST(CalibrateTest, ChainOfDistilledDeitAt4Bits) { ExpectErrorOfTheReference("deit_distilled_w4a4"); }
TEST(CalibrateTest, ChainOfSwinAt4Bits) { ExpectErrorOfTheReference("swin_w4a4"); }
TEST(CalibrateTest, ChainOfSwinAt6Bits) { ExpectErrorOfTheReference("swin_w6a6"); }
TEST(CalibrateTest, ChainOfResnetAt4Bits) { ExpectErrorOfTheReference("resnet_basic_w4a4"); }
TEST(CalibrateTest, ChainOfResnetWithWiderCompensationAt4Bits) { ExpectErrorOfTheReference("resnet_basic_k3_w4a4"); }
TEST(CalibrateTest, ChainOfBottleneckResnetAt4Bits) { ExpectErrorOfTheReference("resnet_bottleneck_w4a4"); }

// The reference's own scales and rewritten parameters: only its products, not ours, lie in between.
TEST(CalibrateTest, ExecutorWithTheReferencesPlan) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w6a6");
  const auto specs = ReferencesMethod(network)->Specs(network.graph);
  ASSERT_TRUE(specs.ok());
  QuantPlan plan;
  for (const auto& [site, spec] : *specs) {
    SiteQuantization& quantization = plan[site];
    const std::string reference = "ptq/" + ReferenceSite(site);
    quantization.spec = spec;
    quantization.scale = network.Figure(reference + ".delta").view(-1).contiguous();
    const bool zero_point = network.Has(reference + ".zero_point");
    quantization.zero_point =
        zero_point ? network.Figure(reference + ".zero_point").view(-1).contiguous() : quantization.scale;
    if (quantization.scale.numel() == 1) quantization.spec.granularity = Granularity::kPerTensor;
  }
  TensorMap parameters = network.parameters;
  for (auto& [name, tensor] : parameters) {
    if (network.Has("ptq/" + name)) tensor = network.Figure("ptq/" + name);
  }
  const auto executor = MakeFakeQuantExecutor(network.graph, parameters, plan);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const auto logits = RunGraph(network.graph, **executor, network.evaluation);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const at::Tensor& expected = network.Figure("ptq/logits");
  const double flips = MeanSquaredError(*logits, expected);
  const double quantisation = MeanSquaredError(network.Figure("float/logits"), expected);
  ::testing::Test::RecordProperty("flips_over_quantisation", std::to_string(flips / quantisation));
  EXPECT_LT(flips, 0.3 * quantisation);
}

void ExpectSamePlan(const QuantPlan& plan, const QuantPlan& expected) {
  ASSERT_EQ(plan.size(), expected.size());
  for (const auto& [site, quantization] : expected) {
    ASSERT_TRUE(plan.count(site)) << site;
    EXPECT_TRUE(at::equal(plan.at(site).scale, quantization.scale)) << site;
    EXPECT_TRUE(at::equal(plan.at(site).zero_point, quantization.zero_point)) << site;
  }
}

TEST(CalibrateTest, RanksAndThreadsGiveTheSameBits) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const auto method = ReferencesMethod(network);
  std::vector<at::Tensor> batches;  // the last one shorter
  for (int64_t begin = 0; begin < 20; begin += 8) {
    batches.push_back(network.calibration.slice(0, begin, std::min<int64_t>(begin + 8, 20)).contiguous());
  }
  const auto comm = MakeLocalCommunicator();
  const QuantizedNetwork alone = QuantizeNetwork(*method, network.graph, network.parameters, batches, *comm, 1);
  ExpectSamePlan(QuantizeNetwork(*method, network.graph, network.parameters, batches, *comm, 2).plan, alone.plan);
  for (int ranks : {2, 4}) {  // of four, one has no batch
    RunRanks(ranks, [&](Communicator& comm) {
      std::vector<at::Tensor> mine;
      for (size_t i = comm.rank(); i < batches.size(); i += comm.size()) mine.push_back(batches[i]);
      ExpectSamePlan(QuantizeNetwork(*method, network.graph, network.parameters, mine, comm, 1).plan, alone.plan);
    });
  }
}

TEST(CalibrateTest, ProgressCountsNodes) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const auto specs = ReferencesMethod(network)->Specs(network.graph);
  const auto comm = MakeLocalCommunicator();
  std::vector<int64_t> heard;
  int64_t nodes = 0;
  for (const Segment* segment : network.graph.Segments()) nodes += segment->nodes.size();
  const auto plan = Calibrate(network.graph, network.parameters, *specs, {network.calibration.slice(0, 0, 2)}, *comm, 1,
                              [&](int64_t done, int64_t total) {
                                heard.push_back(done);
                                EXPECT_EQ(total, nodes);
                              });
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(heard.size(), nodes);
  EXPECT_EQ(heard.front(), 1);
  EXPECT_EQ(heard.back(), nodes);
}

TEST(CalibrateTest, NanIsNamedByItsSite) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const auto specs = ReferencesMethod(network)->Specs(network.graph);
  const auto comm = MakeLocalCommunicator();
  TensorMap parameters = network.parameters;
  at::Tensor bias = parameters.at("blocks.1.norm2.bias").clone();
  bias.slice(0, 3, 4).fill_(std::nanf(""));
  parameters["blocks.1.norm2.bias"] = bias;
  EXPECT_EQ(
      Calibrate(network.graph, parameters, *specs, {network.calibration.slice(0, 0, 2)}, *comm, 1, {}).status(),
      absl::InvalidArgumentError("blocks.1.mlp.fc1.input: NaN or infinity in 1 of the batches to quantise; check the "
                                 "parameters and the images"));
}

TEST(FakeQuantExecutorTest, PlanOfAnotherNetworkIsRefused) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  QuantPlan plan;
  plan["blocks.9.attn.qkv.input"].spec.bits = 4;
  EXPECT_EQ(MakeFakeQuantExecutor(network.graph, network.parameters, plan).status(),
            absl::InvalidArgumentError(
                "the quantisation plan is not for vit_w4a4, which has no site blocks.9.attn.qkv.input"));
}

}  // namespace
}  // namespace qwt
