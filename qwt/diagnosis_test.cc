// A diagnosis against the same figures computed directly, on a small network that the method quantised and QwT
// compensated.
#include "qwt/diagnosis.h"

#include <cmath>
#include <limits>
#include <map>

#include "ATen/TensorOperators.h"
#include "ATen/ops/linspace.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/zeros.h"
#include "core/comm/run_ranks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

double MeanSquare(const at::Tensor& x) { return x.to(at::kDouble).square().mean().item<double>(); }

class DiagnosisTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    network_ = new GoldenNetwork(LoadGoldenNetwork("vit_w4a4"));
    model_ = new QuantizedModel(QuantizeGolden(*network_, "repq_vit", "{weight_bits: 4, activation_bits: 4}"));
    FitGolden(*network_, "linear", "{}", model_);
  }
  static void TearDownTestSuite() {
    delete model_;
    delete network_;
  }

  static Diagnosis Diagnosed(const QuantizedModel& model, const std::vector<at::Tensor>& batches) {
    const auto comm = MakeLocalCommunicator();
    auto diagnosis = Diagnose(model, batches, *comm, 2);
    EXPECT_EQ(diagnosis.status(), absl::OkStatus());
    return diagnosis.ok() ? *std::move(diagnosis) : Diagnosis();
  }
  static std::vector<at::Tensor> Batches() {
    return {network_->evaluation.narrow(0, 0, 9), network_->evaluation.narrow(0, 9, 7)};
  }

  static const SiteNoise& SiteOf(const Diagnosis& diagnosis, const std::string& name) {
    for (const SiteNoise& site : diagnosis.sites) {
      if (site.site == name) return site;
    }
    ADD_FAILURE() << "no site " << name;
    return diagnosis.sites.front();
  }

  static GoldenNetwork* network_;
  static QuantizedModel* model_;
};

GoldenNetwork* DiagnosisTest::network_ = nullptr;
QuantizedModel* DiagnosisTest::model_ = nullptr;

TEST_F(DiagnosisTest, ErrorsByDepthAreThoseOfTheNetworksSideBySide) {
  const Diagnosis diagnosis = Diagnosed(*model_, Batches());
  EXPECT_EQ(diagnosis.images, 16);
  const auto exact = MakeFloatExecutor(model_->parameters);
  const auto quantized = *MakeQuantizedExecutor(*model_, false), compensated = *MakeQuantizedExecutor(*model_, true);
  at::Tensor x = network_->evaluation, q = x, c = x;
  const auto segments = model_->graph.Segments();
  ASSERT_EQ(diagnosis.segments.size(), segments.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    const SegmentError& error = diagnosis.segments[i];
    EXPECT_EQ(error.segment, segments[i]->name);
    EXPECT_EQ(error.block, i > 0 && i + 1 < segments.size());
    const at::Tensor alone = *quantized->Run(*segments[i], x);
    x = *exact->Run(*segments[i], x);
    q = *quantized->Run(*segments[i], q);
    c = *compensated->Run(*segments[i], c);
    // 16 images at once are not rounded as 9 and 7: a code may be another one.
    EXPECT_NEAR(error.signal, MeanSquare(x), 1e-5 * MeanSquare(x));
    EXPECT_NEAR(error.mse_alone, MeanSquare(alone - x), 1e-2 * MeanSquare(alone - x)) << error.segment;
    EXPECT_NEAR(error.mse_quantized, MeanSquare(q - x), 1e-2 * MeanSquare(q - x)) << error.segment;
    ASSERT_TRUE(error.mse_compensated.has_value());
    EXPECT_NEAR(*error.mse_compensated, MeanSquare(c - x), 1e-2 * MeanSquare(c - x)) << error.segment;
  }
  EXPECT_GT(*WonBack(diagnosis), 0) << "QwT wins nothing back on images it was not fitted to";
  EXPECT_LT(*WonBack(diagnosis), 1);
}

TEST_F(DiagnosisTest, EverySiteOfThePlanHasItsNoise) {
  const Diagnosis diagnosis = Diagnosed(*model_, Batches());
  std::map<std::string, at::Tensor> seen;  // by site: what the float network puts through it
  const auto exact = MakeFloatExecutor(model_->parameters);
  at::Tensor x = network_->evaluation;
  for (const Segment* segment : model_->graph.Segments()) {
    x = *RunNodes(*segment, x, [&](const Node& node, const std::vector<at::Tensor>& inputs) {
      const std::vector<std::string> sites = InputSites(node);
      for (size_t i = 0; i < sites.size(); ++i) seen[sites[i]] = inputs[i];
      if (!WeightSite(node).empty()) seen[WeightSite(node)] = model_->parameters.at(node.weight);
      return EvaluateNode(node, inputs, model_->parameters);
    });
  }
  EXPECT_EQ(diagnosis.sites.size(), model_->plan.size());
  for (const SiteNoise& site : diagnosis.sites) {
    ASSERT_TRUE(seen.count(site.site)) << site.site;
    const at::Tensor values = seen.at(site.site).contiguous();
    const at::Tensor quantized = SiteQuantizer::Make(site.site, model_->plan.at(site.site))->Apply(values);
    ASSERT_TRUE(site.sqnr_db.has_value()) << site.site;
    EXPECT_NEAR(*site.sqnr_db, 10 * std::log10(MeanSquare(values) / MeanSquare(quantized - values)), 0.02) << site.site;
    EXPECT_EQ(site.bits, model_->plan.at(site.site).spec.bits);
    if (!site.histogram.has_value()) continue;
    int64_t counted = site.histogram->below + site.histogram->above;
    for (int64_t count : site.histogram->counts) counted += count;
    EXPECT_EQ(counted, values.numel()) << site.site;
    EXPECT_EQ(site.histogram->grid.size(), static_cast<size_t>(site.levels));
  }
  EXPECT_EQ(SiteOf(diagnosis, "blocks.1.mlp.fc2.input").segment, "blocks.1");
  EXPECT_EQ(SiteOf(diagnosis, "blocks.1.mlp.fc2.input").kind, "mlp.fc2.input");
  EXPECT_EQ(SiteOf(diagnosis, "head.weight").kind, "head.weight");
  EXPECT_EQ(SiteOf(diagnosis, "patch_embed.proj.input").kind, "stem.proj.input");
  EXPECT_TRUE(SiteOf(diagnosis, "head.weight").weight);
}

TEST_F(DiagnosisTest, HistogramsAreOfTheNoisiestOfAFewKinds) {
  const Diagnosis diagnosis = Diagnosed(*model_, Batches());
  std::map<std::string, int> kinds;
  int inputs = 0, weights = 0;
  for (const SiteNoise& site : diagnosis.sites) {
    if (!site.histogram.has_value()) continue;
    ++(site.weight ? weights : inputs);
    EXPECT_EQ(++kinds[site.kind], 1) << site.kind;
    for (const SiteNoise& other : diagnosis.sites) {
      if (other.kind != site.kind) continue;
      EXPECT_LE(*site.sqnr_db, *other.sqnr_db) << site.site << ", " << other.site;
    }
  }
  EXPECT_EQ(inputs, kShownInputs);
  EXPECT_EQ(weights, kShownWeights);
}

// Values spread evenly over the steps of 16 codes err by 1/12 of a squared step; with 8 codes half of them are cut.
TEST_F(DiagnosisTest, NoiseOfAKnownQuantiserOnKnownValues) {
  QuantizedModel model = *model_;
  const std::string site = "blocks.0.mlp.fc1.weight";
  at::Tensor& weight = model.parameters.at(site);
  weight = at::linspace(-8.499, 7.499, weight.numel()).view(weight.sizes());
  SiteQuantization& known = model.plan.at(site);
  known.spec.granularity = Granularity::kPerTensor;
  known.spec.bits = 4;
  known.scale = at::ones({1});
  known.zero_point = at::ones({1}) * 8;
  const SiteNoise fine = SiteOf(Diagnosed(model, Batches()), site);
  EXPECT_NEAR(*fine.sqnr_db, 10 * std::log10((256.0 / 12 + 0.25) * 12), 0.01);
  EXPECT_EQ(fine.clipped, 0);
  known.spec.bits = 3;
  known.zero_point = at::ones({1}) * 4;
  const SiteNoise coarse = SiteOf(Diagnosed(model, Batches()), site);
  EXPECT_NEAR(coarse.clipped, 0.5, 0.001);
  EXPECT_LT(*coarse.sqnr_db, 10);
}

TEST_F(DiagnosisTest, RanksFindTheSameFigures) {
  const std::vector<at::Tensor> batches = {network_->evaluation.narrow(0, 0, 6), network_->evaluation.narrow(0, 6, 6),
                                           network_->evaluation.narrow(0, 12, 4)};
  const Diagnosis whole = Diagnosed(*model_, batches);
  RunRanks(2, [&](Communicator& comm) {
    std::vector<at::Tensor> share = {batches[comm.rank()]};
    if (comm.rank() == 0) share.push_back(batches[2]);
    const auto diagnosis = Diagnose(*model_, share, comm, 1);
    ASSERT_EQ(diagnosis.status(), absl::OkStatus());
    EXPECT_EQ(diagnosis->images, 16);
    for (size_t i = 0; i < whole.sites.size(); ++i) {
      EXPECT_EQ(diagnosis->sites[i].sqnr_db, whole.sites[i].sqnr_db) << whole.sites[i].site;
      EXPECT_EQ(diagnosis->sites[i].clipped, whole.sites[i].clipped);
      if (whole.sites[i].histogram.has_value()) {
        EXPECT_EQ(diagnosis->sites[i].histogram->counts, whole.sites[i].histogram->counts);
      }
    }
    for (size_t i = 0; i < whole.segments.size(); ++i) {
      EXPECT_EQ(diagnosis->segments[i].mse_quantized, whole.segments[i].mse_quantized);
      EXPECT_EQ(diagnosis->segments[i].mse_compensated, whole.segments[i].mse_compensated);
    }
  });
}

TEST_F(DiagnosisTest, WithoutCompensationOnlyTheLossIsSaid) {
  QuantizedModel model = *model_;
  model.compensation.clear();
  const Diagnosis diagnosis = Diagnosed(model, Batches());
  EXPECT_FALSE(diagnosis.segments.back().mse_compensated.has_value());
  EXPECT_FALSE(WonBack(diagnosis).has_value());
  EXPECT_THAT(DiagnosisSentence(diagnosis),
              testing::MatchesRegex("Most is lost in blocks\\..*, measured on 16 images\\."));
}

// What was found without compensation serves every compensation; of the known figures none is measured again.
TEST_F(DiagnosisTest, OfAKnownNetworkOnlyTheCompensationIsMeasured) {
  const Diagnosis whole = Diagnosed(*model_, Batches());
  QuantizedModel bare = *model_;
  bare.compensation.clear();
  Diagnosis known = Diagnosed(bare, Batches());
  known.segments[1].mse_alone = 7;
  known.sites[2].sqnr_db = 8;
  const auto comm = MakeLocalCommunicator();
  const auto diagnosis = Diagnose(*model_, Batches(), *comm, 2, at::kCPU, &known);
  ASSERT_EQ(diagnosis.status(), absl::OkStatus());
  EXPECT_EQ(diagnosis->images, 16);
  ASSERT_EQ(diagnosis->segments.size(), whole.segments.size());
  for (size_t i = 0; i < whole.segments.size(); ++i) {
    const SegmentError &found = diagnosis->segments[i], &wanted = whole.segments[i];
    EXPECT_EQ(found.segment, wanted.segment);
    EXPECT_EQ(found.block, wanted.block);
    EXPECT_EQ(found.signal, wanted.signal);
    EXPECT_EQ(found.mse_alone, i == 1 ? 7 : wanted.mse_alone) << found.segment;
    EXPECT_EQ(found.mse_quantized, wanted.mse_quantized) << found.segment;
    EXPECT_EQ(found.mse_compensated, wanted.mse_compensated) << found.segment;
  }
  ASSERT_EQ(diagnosis->sites.size(), whole.sites.size());
  for (size_t i = 0; i < whole.sites.size(); ++i) {
    EXPECT_EQ(diagnosis->sites[i].site, whole.sites[i].site);
    EXPECT_EQ(diagnosis->sites[i].sqnr_db, i == 2 ? 8 : whole.sites[i].sqnr_db) << whole.sites[i].site;
  }
}

TEST_F(DiagnosisTest, WhatCannotBeDiagnosedIsSaid) {
  const auto comm = MakeLocalCommunicator();
  EXPECT_EQ(Diagnose(*model_, {}, *comm, 1).status(),
            absl::InvalidArgumentError("there is no image to diagnose the network with"));
  at::Tensor bad = network_->evaluation.clone();
  bad[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Diagnose(*model_, {bad}, *comm, 1).status(),
            absl::InvalidArgumentError(
                "the network's values are not finite; look for NaN or infinity in the weights and images"));
}

Diagnosis ByHand(std::optional<double> compensated) {
  Diagnosis diagnosis;
  diagnosis.images = 1;
  diagnosis.segments = {{"stem", false, 1, 0.5, 0.5, compensated},
                        {"blocks.0", true, 1, 0.01, 0.1, compensated},
                        {"blocks.1", true, 1, 0.1, 0.2, compensated},
                        {"head", false, 1, 0.9, 0.4, compensated}};
  SiteNoise left, weight;
  left.site = "blocks.1.attn.matmul1.left";
  left.segment = weight.segment = "blocks.1";
  left.kind = "attn.matmul1.left";
  left.sqnr_db = 7.46;
  weight.kind = "attn.qkv.weight";
  weight.sqnr_db = 20;
  diagnosis.sites = {weight, left};
  return diagnosis;
}

TEST(DiagnosisSentenceTest, NamesTheWorstBlockAndWhatIsWonBack) {
  EXPECT_EQ(DiagnosisSentence(ByHand(0.1)),
            "Most is lost in blocks.1 (10.0 dB), there at attn.matmul1's left operand (7.5 dB); compensation wins back "
            "75 % of the logits' squared error on 1 image it was not fitted to.");
  EXPECT_EQ(
      DiagnosisSentence(ByHand(0.5)),
      "Most is lost in blocks.1 (10.0 dB), there at attn.matmul1's left operand (7.5 dB); compensation adds 25 % to "
      "the logits' squared error on 1 image it was not fitted to.");
  EXPECT_EQ(DiagnosisSentence(Diagnosis{2, {}, {}}), "Quantisation loses nothing on 2 images.");
}

}  // namespace
}  // namespace qwt
