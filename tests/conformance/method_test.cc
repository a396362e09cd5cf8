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
#include "quant/calibrate.h"
#include "quant/fake_quant_executor.h"
#include "quant/sites.h"

namespace qwt {
namespace {

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& description : QuantMethodRegistry::Get().Descriptions()) names.push_back(description.name);
  return names;
}

struct Quantized {
  Graph graph;
  TensorMap parameters;
  QuantPlan plan;
};

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

  static absl::StatusOr<std::unique_ptr<QuantMethod>> Create(const std::string& yaml) {
    const auto component = QuantMethodRegistry::Get().Find(std::get<0>(GetParam()));
    if (!component.ok()) return component.status();
    const auto node = ParseConfig(yaml, "test");
    if (!node.ok()) return node.status();
    Problems problems;
    const Options options = CheckOptions(*node, (*component)->schema, &problems);
    if (!problems.empty()) return problems.ToStatus();
    return (*component)->create(options);
  }

  static QuantSpecs Specs(const Graph& graph, int weight_bits, int activation_bits) {
    const auto method = Create("{weight_bits: " + std::to_string(weight_bits) +
                               ", activation_bits: " + std::to_string(activation_bits) + "}");
    EXPECT_TRUE(method.ok()) << method.status();
    const auto specs = (*method)->Specs(graph);
    EXPECT_TRUE(specs.ok()) << specs.status();
    return *specs;
  }

  Quantized Quantize(int bits) const {
    Quantized result{graph_, parameters_, {}};
    const QuantSpecs specs = Specs(graph_, bits, bits);
    const auto comm = MakeLocalCommunicator();
    auto plan = Calibrate(graph_, parameters_, specs, {images_.slice(0, 0, 4), images_.slice(0, 4, 6)}, *comm, 2, {});
    EXPECT_TRUE(plan.ok()) << plan.status();
    result.plan = *std::move(plan);
    EXPECT_EQ((*Create("{}"))->Rewrite(&result.graph, &result.parameters, &result.plan), absl::OkStatus());
    EXPECT_EQ(SolveWeights(result.graph, result.parameters, specs, 2, &result.plan), absl::OkStatus());
    return result;
  }

  at::Tensor Run(const Graph& graph, const Executor& executor) const {
    const auto logits = RunGraph(graph, executor, images_);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return *logits;
  }

  double Error(int bits) const {
    const Quantized quantized = Quantize(bits);
    const auto executor = MakeFakeQuantExecutor(quantized.graph, quantized.parameters, quantized.plan);
    EXPECT_TRUE(executor.ok()) << executor.status();
    return (Run(quantized.graph, **executor) - Run(graph_, *MakeFloatExecutor(parameters_)))
        .square()
        .mean()
        .item<double>();
  }

  Graph graph_;
  TensorMap parameters_;
  at::Tensor images_;
};

TEST_P(MethodTest, HasBitsFrom2To8) {
  for (const char* option : {"weight_bits", "activation_bits"}) {
    const std::string name = option;
    EXPECT_TRUE(Create("{" + name + ": 2}").ok());
    EXPECT_TRUE(Create("{" + name + ": 8}").ok());
    EXPECT_FALSE(Create("{" + name + ": 1}").ok());
    EXPECT_FALSE(Create("{" + name + ": 9}").ok());
  }
}

TEST_P(MethodTest, EverySpecIsASiteAndEveryWeightHasOne) {
  const QuantSpecs specs = Specs(graph_, 3, 5);
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
  const QuantSpecs specs = Specs(graph_, 4, 4), other = Specs(renamed, 4, 4);
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
  const Quantized quantized = Quantize(4);
  const QuantSpecs specs = Specs(graph_, 4, 4);
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
  const Quantized quantized = Quantize(8);
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
