// What every registered quant method must do, whatever it is. A new one is tested without a line here.
#include "quant/method.h"

#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/randn.h"
#include "gtest/gtest.h"
#include "models/executor.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"
#include "quant/sites.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& description : QuantMethodRegistry::Get().Descriptions()) names.push_back(description.name);
  return names;
}

Graph SmallVit() {
  VitConfig config;
  config.image = 16;
  config.patch = 4;
  config.width = 24;
  config.depth = 2;
  config.heads = 3;
  config.classes = 7;
  config.distilled = true;
  return BuildVit("small", config);
}

// With a shifted block, and a linear without a bias after a LayerNorm.
Graph SmallSwin() {
  SwinConfig config;
  config.image = 16;
  config.patch = 2;
  config.window = 4;
  config.width = 12;
  config.depths = {2, 1};
  config.heads = {2, 3};
  config.classes = 7;
  return BuildSwin("small", config);
}

Graph SmallResnet() {
  ResnetConfig config;
  config.image = 16;
  config.blocks = {1, 1};
  config.width = 12;
  config.classes = 7;
  return BuildResnet("small", config);
}

using Network = std::pair<const char*, Graph (*)()>;

// Every method on every kind of network.
class MethodTest : public testing::TestWithParam<std::tuple<std::string, Network>> {
 protected:
  void SetUp() override {
    graph_ = std::get<1>(GetParam()).second();
    auto generator = at::detail::createCPUGenerator(1);
    for (const ParameterSpec& spec : graph_.parameters) {
      parameters_[spec.name] = at::randn(spec.shape, generator, at::kFloat) * 0.2;
      if (spec.name.find("norm") != std::string::npos && spec.name.find("weight") != std::string::npos)
        parameters_[spec.name] += 1;
      if (spec.name.find("running_var") != std::string::npos) parameters_[spec.name] = parameters_[spec.name].abs() + 1;
    }
    images_ = at::randn({6, 3, 16, 16}, generator, at::kFloat);
  }

  static const std::string& Method() { return std::get<0>(GetParam()); }

  static std::unique_ptr<QuantMethod> Create(int weight_bits, int activation_bits) {
    return MakeMethod(Method(), "{weight_bits: " + std::to_string(weight_bits) +
                                    ", activation_bits: " + std::to_string(activation_bits) + "}");
  }

  static QuantSpecs Specs(const Graph& graph, const QuantMethod& method) {
    const auto specs = method.Specs(graph);
    EXPECT_TRUE(specs.ok()) << specs.status();
    return *specs;
  }

  QuantizedNetwork Quantize(const QuantMethod& method) const {
    return QuantizeNetwork(method, graph_, parameters_, {images_.slice(0, 0, 4), images_.slice(0, 4, 6)});
  }

  at::Tensor Run(const Graph& graph, const Executor& executor) const {
    const auto logits = RunGraph(graph, executor, images_);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return *logits;
  }

  double Error(int bits) const {
    return (Quantize(*Create(bits, bits)).Logits(images_) - Run(graph_, *MakeFloatExecutor(parameters_)))
        .square()
        .mean()
        .item<double>();
  }

  Graph graph_;
  TensorMap parameters_;
  at::Tensor images_;
};

TEST_P(MethodTest, HasBitsFrom2To8) {
  const auto component = QuantMethodRegistry::Get().Find(Method());
  const auto accepts = [&](const std::string& options) {
    Problems problems;
    CheckOptions(*ParseConfig(options, "test"), (*component)->schema, &problems);
    return problems.empty();
  };
  for (const std::string option : {"weight_bits", "activation_bits"}) {
    EXPECT_TRUE(accepts("{" + option + ": 2}"));
    EXPECT_TRUE(accepts("{" + option + ": 8}"));
    EXPECT_FALSE(accepts("{" + option + ": 1}"));
    EXPECT_FALSE(accepts("{" + option + ": 9}"));
  }
}

// Inputs of convolutions have 8 bits as published, or those that the config gives.
TEST_P(MethodTest, ConvolutionsInputsHave8BitsOrThoseOfTheConfig) {
  const QuantSpecs published = Specs(graph_, *Create(3, 5));
  const QuantSpecs from_config =
      Specs(graph_, *MakeMethod(Method(), "{activation_bits: 5, conv_activation_bits: from_config}"));
  for (const Site& site : QuantSites(graph_)) {
    if (site.role == SiteRole::kWeight) continue;
    const bool convolution = site.node->op == Op::kConv2d;
    EXPECT_EQ(published.at(site.name).bits, site.at_border || convolution ? 8 : 5) << site.name;
    EXPECT_EQ(from_config.at(site.name).bits, site.at_border ? 8 : 5) << site.name;
  }
}

TEST_P(MethodTest, OverridesChangeTheBitsAndNothingElse) {
  const QuantSpecs before = Specs(graph_, *Create(3, 5));
  const QuantSpecs after = Specs(graph_, *MakeMethod(Method(),
                                                     "{weight_bits: 3, activation_bits: 5, overrides: [{match: "
                                                     "'*', weight_bits: 7, activation_bits: 6}]}"));
  ASSERT_EQ(after.size(), before.size());
  for (const Site& site : QuantSites(graph_)) {
    QuantSpec expected = before.at(site.name);
    expected.bits = site.role == SiteRole::kWeight ? 7 : 6;
    EXPECT_EQ(after.at(site.name).bits, expected.bits) << site.name;
    EXPECT_EQ(after.at(site.name).quantizer, expected.quantizer) << site.name;
    EXPECT_EQ(after.at(site.name).granularity, expected.granularity) << site.name;
  }
  EXPECT_EQ(MakeMethod(Method(), "{overrides: [{match: '*.fc9', weight_bits: 8}]}")->Specs(graph_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(MethodTest, FoldedBatchNormsLeaveTheSameSitesAndTheSameFloatNetwork) {
  const QuantizedNetwork folded = Quantize(*MakeMethod(Method(), "{fold_batch_norm: true}"));
  for (const Segment* segment : folded.graph.Segments()) {
    for (const Node& node : segment->nodes) EXPECT_NE(node.op, Op::kBatchNorm) << node.name;
  }
  EXPECT_EQ(ValidateGraph(folded.graph), absl::OkStatus());
  EXPECT_EQ(folded.plan.size(), Specs(graph_, *Create(4, 4)).size());
  const at::Tensor expected = Run(graph_, *MakeFloatExecutor(parameters_));
  const at::Tensor logits = Run(folded.graph, *MakeFloatExecutor(folded.parameters));
  EXPECT_LT((logits - expected).abs().max().item<float>(), 1e-4 * expected.std().item<float>());
}

TEST_P(MethodTest, EverySpecIsASiteAndEveryWeightHasOne) {
  const QuantSpecs specs = Specs(graph_, *Create(3, 5));
  std::set<std::string> sites;
  for (const Site& site : QuantSites(graph_)) {
    sites.insert(site.name);
    if (site.role != SiteRole::kWeight) continue;
    ASSERT_TRUE(specs.count(site.name)) << site.name;
    EXPECT_EQ(specs.at(site.name).bits, site.at_border ? 8 : 3) << site.name;
  }
  for (const auto& [site, spec] : specs) EXPECT_TRUE(sites.count(site)) << site;
}

// Sites are found by what nodes are, not by what they are called.
TEST_P(MethodTest, NamesDoNotMatter) {
  Graph renamed = graph_;
  for (Segment* segment : renamed.MutableSegments()) {
    for (Node& node : segment->nodes) node.name = "renamed." + node.name;
  }
  const auto method = Create(4, 4);
  const QuantSpecs specs = Specs(graph_, *method), other = Specs(renamed, *method);
  ASSERT_EQ(other.size(), specs.size());
  for (const auto& [site, spec] : specs) {
    const auto found = other.find("renamed." + site);
    ASSERT_TRUE(found != other.end()) << site;
    EXPECT_EQ(found->second.quantizer, spec.quantizer) << site;
    EXPECT_EQ(found->second.bits, spec.bits) << site;
    EXPECT_EQ(found->second.granularity, spec.granularity) << site;
  }
}

TEST_P(MethodTest, PlanIsComplete) {
  const auto method = Create(4, 4);
  const QuantizedNetwork quantized = Quantize(*method);
  const QuantSpecs specs = Specs(graph_, *method);
  EXPECT_EQ(quantized.plan.size(), specs.size());
  for (const auto& [site, quantization] : quantized.plan) {
    EXPECT_TRUE(specs.count(site)) << site;
    EXPECT_TRUE((quantization.scale > 0).all().item<bool>() && quantization.scale.isfinite().all().item<bool>())
        << site;
    EXPECT_EQ(quantization.scale.sizes(), quantization.zero_point.sizes()) << site;
  }
}

// The caller's tensors stay as they are, and what the rewrite changed computes the same in float.
TEST_P(MethodTest, RewriteKeepsTheFloatNetwork) {
  TensorMap before;
  for (const auto& [name, tensor] : parameters_) before[name] = tensor.clone();
  const QuantizedNetwork quantized = Quantize(*Create(8, 8));
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(parameters_.at(name), tensor)) << name;
  const at::Tensor expected = Run(graph_, *MakeFloatExecutor(parameters_));
  const at::Tensor logits = Run(quantized.graph, *MakeFloatExecutor(quantized.parameters));
  EXPECT_EQ(ValidateGraph(quantized.graph), absl::OkStatus());
  EXPECT_LT((logits - expected).abs().max().item<float>(), 1e-4 * expected.std().item<float>());
}

TEST_P(MethodTest, QuantisedLogitsAreFiniteAndMoreBitsNearer) {
  const double error_2 = Error(2), error_4 = Error(4), error_8 = Error(8);
  const double variance = Run(graph_, *MakeFloatExecutor(parameters_)).var().item<double>();
  EXPECT_TRUE(std::isfinite(error_2));
  EXPECT_LT(error_4, 1.2 * error_2);
  EXPECT_LT(error_8, 0.2 * error_4);
  EXPECT_LT(error_8, 0.05 * variance);
  EXPECT_GT(error_8, 1e-9 * variance);  // something is quantised
}

INSTANTIATE_TEST_SUITE_P(All, MethodTest,
                         testing::Combine(testing::ValuesIn(Names()),
                                          testing::Values(Network("vit", SmallVit), Network("swin", SmallSwin),
                                                          Network("resnet", SmallResnet))),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param).first;
                         });

}  // namespace
}  // namespace qwt
